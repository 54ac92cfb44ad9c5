//! The memories of exchanges: the values that a deduplicating exchange has seen, and the last
//! messages of a recent history.
//!
//! If shards remembered separately, a duplicate could pass on one shard while the first message
//! passes on another. So all memories are in one place: **on the shard that orders the catalog's
//! changes**. A message whose way leads through such an exchange is routed there, all of its way
//! (`shard::publish::relay`). That makes the memories exact without a lock: each value passes once
//! in the broker, a history has the broker's last messages, and a queue that is bound in the
//! meantime gets each of them once, from the history or by its binding. The price is a way over
//! that shard, for these messages alone.
//!
//! The memory of an exchange begins with its first message and ends with the exchange.

use super::{History, Kept};
use crate::base::hash::Map;
use crate::base::ids::ExchangeId;
use crate::broker::deduplication::{self, Deduplication, Forgotten, Wanted};
use crate::contract::ExchangeSpec;
use crate::message::{MessageView, TableRef};

/// The memories of all exchanges.
#[derive(Default)]
pub struct Memories(Map<ExchangeId, Remembered>);

/// The memory of one exchange.
struct Remembered {
    deduplication: Option<Deduplication>,
    history: Option<History>,
}

impl Memories {
    /// Remembers a message that has come to an exchange. Returns whether the message goes on from
    /// there: it is no duplicate.
    pub fn passes(&mut self, id: ExchangeId, spec: &ExchangeSpec, message: &MessageView<'_>, headers: TableRef<'_>, now: u64) -> bool {
        let remembered = self.0.entry(id).or_insert_with(|| Remembered::of(spec));
        let passes = remembered.deduplication.as_mut().is_none_or(|deduplication| deduplication.passes(headers, now));
        if let Some(history) = remembered.history.as_mut().filter(|_| passes) {
            history.keep(message, headers);
        }
        passes
    }

    /// The history of an exchange, oldest message first.
    pub fn history(&self, id: ExchangeId) -> impl Iterator<Item = &Kept> {
        let history = self.0.get(&id).and_then(|remembered| remembered.history.as_ref());
        history.into_iter().flat_map(History::messages)
    }

    /// Forgets the exchanges that are not `there` any more. Returns the values by which they
    /// recognized duplicates.
    pub fn retain(&mut self, there: impl Fn(ExchangeId) -> bool) -> impl Iterator<Item = Forgotten> {
        let gone = self.0.extract_if(move |&id, _| !there(id));
        gone.filter_map(|(_, remembered)| remembered.deduplication.map(|mut deduplication| deduplication.forget_all()))
    }
}

impl Remembered {
    fn of(spec: &ExchangeSpec) -> Remembered {
        Remembered { deduplication: Wanted::by_exchange(spec).map(Deduplication::new), history: History::of(spec) }
    }
}

/// Whether an exchange with this declaration has a memory.
pub fn remembers(spec: &ExchangeSpec) -> bool {
    deduplication::is_wanted_by_exchange(spec) || History::of(spec).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Key;
    use crate::broker::fixture::exchange;
    use crate::message::{Body, Properties, Route, Stamp, TableBuilder};

    #[test]
    fn a_duplicate_is_not_kept_and_what_went_is_forgotten() {
        let arguments = TableBuilder::new().bool("x-message-deduplication", true).build();
        let spec = ExchangeSpec { arguments, ..exchange("e", "x-recent-history") };
        assert!(remembers(&spec) && !remembers(&exchange("e", "fanout")));
        let id = |slot| ExchangeId(Key { slot, generation: 0 });
        let message = MessageView { route: Route::EMPTY, properties: Properties::NONE, stamp: Stamp::NONE, body: Body::Slice(b"") };
        let headers = TableBuilder::new().text("x-deduplication-header", "v").build();
        let mut memories = Memories::default();
        for slot in [1, 2] {
            assert!(memories.passes(id(slot), &spec, &message, headers.view(), 0));
            assert!(!memories.passes(id(slot), &spec, &message, headers.view(), 0));
            assert!(memories.passes(id(slot), &spec, &message, TableRef::EMPTY, 0));
        }
        assert_eq!(memories.retain(|kept| kept == id(2)).count(), 1);
        assert_eq!((memories.history(id(1)).count(), memories.history(id(2)).count()), (0, 2));
    }
}

//! The four exchange types: from a message to the destinations that its bindings name.
//!
//! Each type keeps its bindings in the form in which it can match fastest. What a binding's identity is, and that it is bound
//! once, is the catalog's business: a type may be told the same destination under several bindings (other keys or arguments) and
//! forgets it with the last of them.
//!
//! `matching` names a destination at least once per way in which it matches; the router makes the queues of a message unique.

mod destinations;
mod direct;
mod fanout;
mod headers;
mod topic;

pub use destinations::Destinations;
pub use direct::Direct;
pub use fanout::Fanout;
pub use headers::{Headers, check_binding};
pub use topic::Topic;

use crate::base::ids::{ExchangeId, QueueAddr};
use crate::message::{Table, TableRef};

/// What a binding leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dest {
    /// A queue.
    Queue(QueueAddr),
    /// Another exchange, which routes on by its own bindings.
    Exchange(ExchangeId),
}

/// The type of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The routing key is the binding key.
    Direct,
    /// Every binding matches.
    Fanout,
    /// The binding key is a pattern of words.
    Topic,
    /// The binding's arguments are compared with the message's headers.
    Headers,
}

impl Kind {
    /// The type with this name.
    pub fn named(name: &str) -> Option<Kind> {
        match name {
            "direct" => Some(Kind::Direct),
            "fanout" => Some(Kind::Fanout),
            "topic" => Some(Kind::Topic),
            "headers" => Some(Kind::Headers),
            _ => None,
        }
    }
}

/// The bindings of one exchange as their source.
pub enum Matcher {
    /// See [`Direct`].
    Direct(Direct),
    /// See [`Fanout`].
    Fanout(Fanout),
    /// See [`Topic`].
    Topic(Topic),
    /// See [`Headers`].
    Headers(Headers),
}

impl Matcher {
    /// No bindings.
    pub fn new(kind: Kind) -> Matcher {
        match kind {
            Kind::Direct => Matcher::Direct(Direct::default()),
            Kind::Fanout => Matcher::Fanout(Fanout::default()),
            Kind::Topic => Matcher::Topic(Topic::default()),
            Kind::Headers => Matcher::Headers(Headers::default()),
        }
    }

    /// Adds a binding that is not there.
    pub fn bind(&mut self, key: &[u8], arguments: &Table, dest: Dest) {
        match self {
            Matcher::Direct(direct) => direct.bind(key, dest),
            Matcher::Fanout(fanout) => fanout.bind(dest),
            Matcher::Topic(topic) => topic.bind(key, dest),
            Matcher::Headers(headers) => headers.bind(arguments, dest),
        }
    }

    /// Takes back a binding that is there.
    pub fn unbind(&mut self, key: &[u8], arguments: &Table, dest: Dest) {
        match self {
            Matcher::Direct(direct) => direct.unbind(key, dest),
            Matcher::Fanout(fanout) => fanout.unbind(dest),
            Matcher::Topic(topic) => topic.unbind(key, dest),
            Matcher::Headers(headers) => headers.unbind(arguments, dest),
        }
    }

    /// Where a message goes that has these routing keys (its own, CC, BCC) and headers.
    #[inline]
    pub fn matching<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, headers: TableRef<'_>, found: &mut impl FnMut(Dest)) {
        match self {
            Matcher::Direct(direct) => keys.for_each(|key| direct.matching(key, found)),
            Matcher::Fanout(fanout) => fanout.matching(found),
            Matcher::Topic(topic) => keys.for_each(|key| topic.matching(key, found)),
            Matcher::Headers(bindings) => bindings.matching(headers, found),
        }
    }

    /// Whether matching looks at the message's headers, so that its exchange and routing key do not tell the queues.
    pub fn reads_headers(&self) -> bool {
        matches!(self, Matcher::Headers(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueId, ShardId};

    pub(super) fn queue(slot: u32) -> Dest {
        Dest::Queue(QueueAddr { home: ShardId(0), queue: QueueId(Key { slot, generation: 0 }) })
    }

    pub(super) fn collect(matching: impl FnOnce(&mut Collect<'_>)) -> Vec<Dest> {
        let mut all = Vec::new();
        matching(&mut (Box::new(|dest| all.push(dest)) as Collect<'_>));
        all
    }

    pub(super) type Collect<'a> = Box<dyn FnMut(Dest) + 'a>;
}

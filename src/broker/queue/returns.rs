//! Messages that came back to a quorum queue (rows S11 to S13, D23). They are delivered again
//! before all ready ones, in the order of their return, with two counts.
//!
//! ```text
//! acquired    a consumer had the message, and it came back for whatever reason
//! delivered   it came back because the delivery failed: the consumer rejected it, or its channel
//!             ended; beyond the limit the message is dead
//! ```
//!
//! Only messages that came back have an entry here; others cost nothing. An orderly stop notes the
//! counts in the order of the returns, and the next start goes on with them: each message gets its
//! turn as soon as it is read from the log. After a crash, counts are read from the log with their
//! messages. A message that a consumer had at the crash has failed once more, as in RabbitMQ (see
//! `store::returns` for how the log knows of it).

use std::collections::BTreeMap;

use crate::base::hash::Map;
use crate::contract::{Entry, Outcome};
use crate::message::{Properties, TableBuilder, replace_headers};

/// Messages that came back, and the counts of all such messages until they are settled.
#[derive(Default)]
pub struct Returns {
    /// Messages that wait, by the number of their return.
    list: BTreeMap<u64, Entry>,
    returned: u64,
    counts: Map<u64, Counted>,
    /// How often a message may fail; `None` for no limit.
    limit: Option<u32>,
}

/// A message that came back at least once.
#[derive(Clone, Copy, Default)]
struct Counted {
    counts: Counts,
    /// The number of its last return, if it waits or will wait once it is in memory.
    at: Option<u64>,
}

/// How often a message came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// For any reason.
    pub acquired: u32,
    /// Because a delivery failed.
    pub delivered: u32,
}

impl Counts {
    /// Returns the properties of a message with these counts among the headers (row S13).
    pub fn write(self, properties: &[u8]) -> Vec<u8> {
        let headers = Properties::trusted(properties).headers().unwrap_or_default();
        let others = headers.without(|name| [ACQUIRED, DELIVERED].iter().any(|own| own.as_bytes() == name));
        let counts = [(ACQUIRED, self.acquired), (DELIVERED, self.delivered)].into_iter().filter(|&(_, count)| count > 0);
        let headers = counts.fold(TableBuilder::extending(&others), |headers, (name, count)| headers.long(name, count.into()));
        replace_headers(properties, headers.build().view(), 0)
    }
}

impl Returns {
    /// Makes an empty set, with a limit of how often a message may fail.
    pub fn new(limit: Option<u32>) -> Returns {
        Returns { limit, ..Returns::default() }
    }

    /// Sets the limit of failures.
    pub fn set_limit(&mut self, limit: Option<u32>) {
        self.limit = limit;
    }

    /// Counts the return of a message. Returns whether it has failed too often.
    pub fn count(&mut self, entry: Entry, outcome: Outcome) -> bool {
        let counts = &mut self.counts.entry(entry.place()).or_default().counts;
        counts.acquired += 1;
        counts.delivered += u32::from(outcome == Outcome::Failed);
        self.limit.is_some_and(|limit| counts.delivered > limit)
    }

    /// Lets a counted message wait for its next delivery.
    pub fn add(&mut self, entry: Entry) {
        let last = self.next_return();
        let at = *self.counts.entry(entry.place()).or_default().at.get_or_insert(last);
        self.list.insert(at, entry);
    }

    /// Takes the next message.
    pub fn pop(&mut self) -> Option<Entry> {
        let (_, entry) = self.list.pop_first()?;
        if let Some(counted) = self.counts.get_mut(&entry.place()) {
            counted.at = None;
        }
        Some(entry)
    }

    /// Removes the message at this place, if it waits.
    pub fn take(&mut self, place: u64) -> Option<Entry> {
        let at = self.counts.get_mut(&place)?.at.take()?;
        self.list.remove(&at)
    }

    /// Removes all messages that wait; [`forget`](Self::forget) follows for each of them.
    pub fn purge(&mut self) -> BTreeMap<u64, Entry> {
        std::mem::take(&mut self.list)
    }

    /// Whether the message at this place waits.
    pub fn contains(&self, place: u64) -> bool {
        self.counts.get(&place).is_some_and(|counted| counted.at.is_some())
    }

    /// How often a message came back, if it did.
    pub fn counts(&self, entry: Entry) -> Option<Counts> {
        self.counts.get(&entry.place()).map(|counted| counted.counts).filter(|counts| counts.acquired > 0)
    }

    /// Places and counts of all messages that came back, in the order of their last return.
    pub fn all_counts(&self) -> Vec<(u64, Counts)> {
        let mut all: Vec<_> = self.counts.iter().filter(|(_, counted)| counted.counts.acquired > 0).collect();
        all.sort_unstable_by_key(|(_, counted)| counted.at);
        all.into_iter().map(|(&place, counted)| (place, counted.counts)).collect()
    }

    /// Restores how often a message that is not in memory yet came back before a restart. Its turn
    /// comes after those restored before.
    pub fn go_on_counting(&mut self, place: u64, counts: Counts) {
        let at = Some(self.next_return());
        self.counts.insert(place, Counted { counts, at });
    }

    /// Restores how often a message that comes into memory came back before a crash, unless newer
    /// counts are known. Returns whether it has failed too often.
    pub fn recall(&mut self, place: u64, counts: Counts) -> bool {
        if counts.acquired > 0 && !self.counts.contains_key(&place) {
            self.go_on_counting(place, counts);
        }
        self.limit.is_some_and(|limit| counts.delivered > limit)
    }

    fn next_return(&mut self) -> u64 {
        self.returned += 1;
        self.returned
    }

    /// Forgets a message that is gone.
    pub fn forget(&mut self, entry: Entry) {
        self.counts.remove(&entry.place());
    }

    /// Messages that wait for their next delivery.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.list.values()
    }

    /// Number of messages that wait.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

const ACQUIRED: &str = "x-acquired-count";
const DELIVERED: &str = "x-delivery-count";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MessageRef, PropertiesBuilder};

    fn entry(sequence: u64) -> Entry {
        Entry::new(0, sequence, MessageRef::default())
    }

    #[test]
    fn they_leave_in_the_order_in_which_they_came() {
        let mut returns = Returns::new(None);
        [3, 1, 2, 4].into_iter().for_each(|n| returns.add(entry(n)));
        assert_eq!((returns.take(entry(1).place()), returns.take(entry(1).place())), (Some(entry(1)), None));
        assert!(returns.contains(entry(2).place()) && !returns.contains(entry(1).place()));
        let order: Vec<u64> = std::iter::from_fn(|| returns.pop()).map(Entry::sequence).collect();
        assert_eq!((order, returns.is_empty()), (vec![3, 2, 4], true));
    }

    #[test]
    fn counts_stand_behind_the_other_headers() {
        let own = TableBuilder::new().text("a", "b").text("x-delivery-count", "mine").int("c", 1).build();
        let properties = PropertiesBuilder { headers: Some(own.view()), delivery_mode: Some(2), ..Default::default() }.build();
        let written = Counts { acquired: 3, delivered: 2 }.write(&properties);
        let expected = TableBuilder::new().text("a", "b").int("c", 1).long("x-acquired-count", 3).long("x-delivery-count", 2).build();
        assert_eq!(Properties::parse(&written).map(|read| (read.headers(), read.delivery_mode())), Ok((Some(expected.view()), Some(2))));
        let written = Counts { acquired: 1, delivered: 0 }.write(Properties::NONE);
        let expected = TableBuilder::new().long("x-acquired-count", 1).build();
        assert_eq!(Properties::parse(&written).map(|read| read.headers()), Ok(Some(expected.view())));
    }

    #[test]
    fn both_counts_are_kept_until_a_message_is_gone() {
        let mut returns = Returns::new(Some(1));
        assert!(!returns.count(entry(7), Outcome::Requeued) && !returns.count(entry(7), Outcome::Failed));
        returns.add(entry(7));
        assert_eq!((returns.pop(), returns.counts(entry(7))), (Some(entry(7)), Some(Counts { acquired: 2, delivered: 1 })));
        assert!(returns.count(entry(7), Outcome::Failed));
        returns.forget(entry(7));
        assert_eq!(returns.counts(entry(7)), None);
    }

    #[test]
    fn counts_go_on_after_a_restart() {
        let mut before = Returns::new(Some(1));
        for (sequence, outcome) in [(7, Outcome::Failed), (3, Outcome::Requeued)] {
            before.count(entry(sequence), outcome);
            before.add(entry(sequence));
        }
        before.add(entry(8)); // it is put back without having been counted
        let noted = before.all_counts();
        let counted = |sequence, acquired, delivered| (entry(sequence).place(), Counts { acquired, delivered });
        assert_eq!(noted, [counted(7, 1, 1), counted(3, 1, 0)]);
        let mut after = Returns::new(Some(1));
        noted.into_iter().for_each(|(place, counts)| after.go_on_counting(place, counts));
        assert!(after.is_empty());
        [3, 7].into_iter().for_each(|sequence| after.add(entry(sequence)));
        assert_eq!((after.pop(), after.pop()), (Some(entry(7)), Some(entry(3))));
        assert!(after.count(entry(7), Outcome::Failed) && !after.count(entry(3), Outcome::Failed));
        assert!(!after.recall(entry(9).place(), Counts { acquired: 5, delivered: 1 }));
        assert!(after.recall(entry(5).place(), Counts { acquired: 2, delivered: 2 }));
        after.add(entry(9));
        assert_eq!(after.pop().and_then(|entry| after.counts(entry)), Some(Counts { acquired: 5, delivered: 1 }));
    }
}

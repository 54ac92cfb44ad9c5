//! The messages that an exchange delays, until each is due (rows X20, N3). They wait in a queue of
//! the exchange's own, which has no consumers.
//!
//! ```text
//! far        deadlines: (due, sequence) …    in the log only: 16 bytes each, less if successive
//!              │ some seconds before; while memory is short, when they are due
//! gathered   sequence …                      some in each turn, until reading the log is worth it
//!              │ fetched from the log
//! near       (due, sequence, entry) …        in memory
//!              │ due
//!              ▼ routed by the exchange; settled in the log once all their queues have them
//! ```
//!
//! So the memory that they take depends only on their number, not on their size or on how long they
//! wait.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use dary_heap::OctonaryHeap;

use super::deadlines::Deadlines;
use crate::base::ascending::Ascending;
use crate::base::ids::ExchangeId;
use crate::base::limits::{DELAY_AHEAD_MS, DELAY_GATHER_BUDGET};
use crate::contract::Entry;

/// The delayed messages of one exchange. Times are milliseconds since 1970.
#[derive(Debug)]
pub struct Delays {
    /// The exchange.
    pub exchange: ExchangeId,
    far: Deadlines,
    /// Sequence numbers of messages that are going to be fetched together.
    gathered: Ascending,
    near: OctonaryHeap<Near>,
    /// Whether the last fetched messages were due already.
    fetches_due: bool,
    /// No message is fetched before this time; 0 if nothing delays fetching.
    pub rests_until: u64,
    /// Messages of which a restart has found copies in other queues, by sequence number; whether
    /// they are still in the log is not known.
    pub doubtful: BTreeMap<u64, Copies>,
    /// Messages of which a restart has found copies, and which are still in the log.
    pub copied: BTreeMap<u64, Copies>,
}

/// The queues where copies of a message have arrived.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Copies {
    /// The numbers of the queues.
    pub queues: Vec<u64>,
    /// In how many queues there were to be copies.
    pub wanted: u32,
}

impl Copies {
    /// Whether no queue lacks a copy.
    pub fn are_all(&self) -> bool {
        self.queues.len() >= self.wanted as usize
    }
}

/// A message in memory. In the heap, the message that is due first is the greatest.
#[derive(PartialEq, Eq, Debug)]
struct Near {
    due: u64,
    entry: Entry,
}

impl Ord for Near {
    fn cmp(&self, other: &Near) -> Ordering {
        (other.due, other.entry.sequence()).cmp(&(self.due, self.entry.sequence()))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Near) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Delays {
    /// Makes an empty set.
    pub fn new(exchange: ExchangeId) -> Delays {
        Delays {
            exchange,
            far: Deadlines::default(),
            gathered: Ascending::default(),
            near: OctonaryHeap::new(),
            fetches_due: false,
            rests_until: 0,
            doubtful: BTreeMap::new(),
            copied: BTreeMap::new(),
        }
    }

    /// Adds a message that is in memory, due at this time.
    pub fn keep(&mut self, due: u64, entry: Entry) {
        self.near.push(Near { due, entry });
    }

    /// Adds messages that are only in the log, with the sequence numbers `first` to `last`, due at
    /// this time.
    pub fn put_off(&mut self, due: u64, first: u64, last: u64) {
        self.far.push(due, first, last);
    }

    /// Notes that a restart has found a copy of a message in the queue of this number, and in how
    /// many queues there were to be copies.
    pub fn note_copy(&mut self, sequence: u64, queue: u64, wanted: u32) {
        let copies = self.doubtful.entry(sequence).or_default();
        copies.queues.push(queue);
        copies.wanted = copies.wanted.max(wanted);
    }

    /// Notes that a message was found in the log.
    pub fn found(&mut self, sequence: u64) {
        if let Some(copies) = self.doubtful.remove(&sequence) {
            self.copied.insert(sequence, copies);
        }
    }

    /// Takes the next message that is due at `now` and is in memory.
    pub fn take_due(&mut self, now: u64) -> Option<Entry> {
        self.near.peek().filter(|first| first.due <= now)?;
        self.near.pop().map(|first| first.entry)
    }

    /// Gathers messages to be fetched from the log, each `ahead` milliseconds before it is due.
    /// Once a message has to be fetched by `now`, at most `most` are gathered, including those that
    /// will have to be fetched soon, because each fetch reads much of the log. Each call gathers
    /// some; the last one returns their sequence numbers, the others return `None`.
    pub fn take_far(&mut self, now: u64, ahead: u64, most: usize) -> Option<Ascending> {
        if self.gathered.is_empty() && self.far.next().is_none_or(|due| due > now + ahead) {
            return None;
        }
        self.fetches_due = ahead == 0;
        for _ in 0..DELAY_GATHER_BUDGET {
            let next = if self.gathered.len() < most { self.far.pop(now + 2 * ahead) } else { None };
            match next {
                Some(sequence) => self.gathered.push(sequence),
                None => return Some(std::mem::take(&mut self.gathered)),
            }
        }
        None
    }

    /// When there is something to do next. `is_fetching`: no fetch may begin, because one is under
    /// way or fetching rests.
    pub fn next(&self, is_fetching: bool) -> Option<u64> {
        let fetch = match is_fetching {
            false if !self.gathered.is_empty() => Some(self.rests_until),
            false => self.far.next().map(|due| due.saturating_sub(DELAY_AHEAD_MS).max(self.rests_until)),
            true => Some(self.rests_until).filter(|until| *until > 0),
        };
        self.near.peek().map(|first| first.due).into_iter().chain(fetch).min()
    }

    /// Whether messages cannot wait in the log until there is memory for them: some are due, but
    /// none of the due messages is in memory.
    pub fn is_urgent(&self, now: u64, is_fetching: bool) -> bool {
        let near = self.near.peek().map(|first| first.due);
        match is_fetching {
            false => !self.gathered.is_empty() || self.far.next().is_some_and(|due| due <= now),
            true if self.fetches_due => near.is_none_or(|due| due > now),
            true => near.is_none(),
        }
    }

    /// Removes all messages. Returns those in memory.
    pub fn clear(&mut self) -> impl Iterator<Item = Entry> + use<> {
        self.far.clear();
        self.gathered = Ascending::default();
        std::mem::take(&mut self.near).into_iter().map(|near| near.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Key;
    use crate::message::MessageRef;

    fn entry(sequence: u64) -> Entry {
        Entry::new(0, sequence, MessageRef::default())
    }

    fn numbers(gathered: Option<Ascending>) -> Vec<u64> {
        let mut gathered = gathered.expect("they are gathered");
        std::iter::from_fn(|| gathered.first().filter(|&first| gathered.take(first))).collect()
    }

    #[test]
    fn they_come_in_the_order_in_which_they_are_due() {
        let mut delays = Delays::new(ExchangeId(Key::default()));
        for (due, sequence) in [(700, 0), (300, 1), (300, 2), (500, 3)] {
            delays.keep(due, entry(sequence));
        }
        assert_eq!((delays.next(false), delays.take_due(299)), (Some(300), None));
        let order: Vec<u64> = std::iter::from_fn(|| delays.take_due(600)).map(Entry::sequence).collect();
        assert_eq!((order, delays.next(false)), (vec![1, 2, 3], Some(700)));
        assert!(delays.clear().map(Entry::sequence).eq([0]) && delays.take_due(u64::MAX).is_none());
    }

    #[test]
    fn what_is_far_is_fetched_some_time_before() {
        let mut delays = Delays::new(ExchangeId(Key::default()));
        let day = 86_400_000;
        delays.put_off(day + 5, 7, 9);
        delays.put_off(day + 4, 10, 10);
        delays.put_off(2 * day, 3, 3);
        delays.put_off(day + 5 + DELAY_AHEAD_MS, 6, 6);
        assert_eq!((delays.next(false), delays.next(true)), (Some(day + 4 - DELAY_AHEAD_MS), None));
        assert!(delays.take_far(day - DELAY_AHEAD_MS, DELAY_AHEAD_MS, 10).is_none());
        assert_eq!(numbers(delays.take_far(day, DELAY_AHEAD_MS, 3)), [7, 8, 10]);
        assert_eq!((numbers(delays.take_far(day, DELAY_AHEAD_MS, 3)), delays.next(false)), (vec![6, 9], Some(2 * day - DELAY_AHEAD_MS)));
        delays.rests_until = 2 * day - 1;
        assert_eq!((delays.next(false), delays.next(true)), (Some(2 * day - 1), Some(2 * day - 1)));
    }

    #[test]
    fn many_are_gathered_some_at_a_time() {
        let mut delays = Delays::new(ExchangeId(Key::default()));
        let count = DELAY_GATHER_BUDGET as u64 + 5;
        (0..count).for_each(|sequence| delays.put_off(50_000 - sequence, sequence, sequence));
        assert!(delays.take_far(50_000, DELAY_AHEAD_MS, usize::MAX).is_none());
        assert_eq!(delays.next(false), Some(0));
        assert!(numbers(delays.take_far(50_000, DELAY_AHEAD_MS, usize::MAX)).into_iter().eq(0..count));
        assert_eq!(delays.next(false), None);
    }

    #[test]
    fn while_memory_is_short_what_is_due_is_fetched_and_does_not_wait_for_what_is_near() {
        let mut delays = Delays::new(ExchangeId(Key::default()));
        delays.keep(900, entry(1));
        delays.put_off(500, 2, 3);
        delays.put_off(501, 4, 4);
        assert!(!delays.is_urgent(499, false) && delays.take_far(499, 0, 10).is_none());
        assert!(delays.is_urgent(500, false));
        assert_eq!(numbers(delays.take_far(500, 0, 10)), [2, 3]);
        delays.keep(500, entry(2));
        assert!(!delays.is_urgent(500, true), "one that is due is in memory");
        assert_eq!(delays.take_due(500).map(Entry::sequence), Some(2));
        assert!(delays.is_urgent(500, true));
    }
}

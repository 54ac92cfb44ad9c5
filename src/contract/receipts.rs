//! Receipts: delivered messages that are settled together. Those of one consumer stand in a row, so
//! that its queue is told once for all of them.

use super::{Entry, Receipt};
use crate::base::ids::{ConsumerId, QueueAddr};

/// The deliveries of a channel to be settled, by their tags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tags {
    /// All from the first to the last.
    Each {
        /// The first.
        first: u64,
        /// The last, included.
        last: u64,
    },
    /// This one and all before it; 0: all.
    UpTo(u64),
}

/// Settled deliveries, in the order of their tags.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Receipts {
    runs: Vec<Run>,
    entries: Vec<Entry>,
}

/// Deliveries in a row that came from one queue to one consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    queue: QueueAddr,
    consumer: Option<ConsumerId>,
    end: usize,
}

impl Receipts {
    /// Adds a delivery.
    #[inline]
    pub fn push(&mut self, Receipt { queue, consumer, entry }: Receipt) {
        self.extend(queue, consumer, [entry]);
    }

    /// Adds deliveries of one queue and consumer.
    #[inline]
    pub fn extend(&mut self, queue: QueueAddr, consumer: Option<ConsumerId>, entries: impl IntoIterator<Item = Entry>) {
        self.entries.extend(entries);
        let end = self.entries.len();
        match self.runs.last_mut() {
            Some(last) if (last.queue, last.consumer) == (queue, consumer) => last.end = end,
            _ => self.runs.push(Run { queue, consumer, end }),
        }
    }

    /// Returns the deliveries of each queue and consumer that stand in a row.
    pub fn runs(&self) -> impl Iterator<Item = (QueueAddr, Option<ConsumerId>, &[Entry])> {
        let starts = std::iter::once(0).chain(self.runs.iter().map(|run| run.end));
        starts.zip(&self.runs).map(|(start, run)| (run.queue, run.consumer, &self.entries[start..run.end]))
    }

    /// Number of deliveries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many of them went to consumers. Messages of basic.get do not count towards a prefetch.
    pub fn consumed(&self) -> u32 {
        let counts = self.runs().filter(|(_, consumer, _)| consumer.is_some()).map(|(_, _, entries)| entries.len());
        u32::try_from(counts.sum::<usize>()).expect("unsettled deliveries are fewer than 2^32")
    }

    /// Removes all and keeps the memory.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueId, ShardId};
    use crate::message::MessageRef;

    #[test]
    fn what_stands_in_a_row_is_one_run() {
        let queue = |slot| QueueAddr { home: ShardId(0), queue: QueueId(Key { slot, generation: 0 }) };
        let entry = |sequence| Entry::new(0, sequence, MessageRef::default());
        let mut receipts = Receipts::default();
        receipts.push(Receipt { queue: queue(1), consumer: Some(ConsumerId::default()), entry: entry(1) });
        receipts.extend(queue(1), Some(ConsumerId::default()), [entry(2), entry(3)]);
        receipts.push(Receipt { queue: queue(1), consumer: None, entry: entry(4) });
        receipts.push(Receipt { queue: queue(2), consumer: None, entry: entry(5) });
        let runs: Vec<_> = receipts.runs().map(|(queue, _, entries)| (queue.queue.0.slot, entries.len())).collect();
        assert_eq!((runs, receipts.len(), receipts.consumed()), (vec![(1, 3), (1, 1), (2, 1)], 5, 3));
        receipts.clear();
        assert!(receipts.is_empty() && receipts.runs().next().is_none());
    }
}

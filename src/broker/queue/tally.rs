//! What a queue counts for operators: messages that came, went out and were settled. Whoever gives
//! messages out in a run counts the run.

use super::{Level, Queue};
use crate::broker::arena::Arena;
use crate::contract::{Count, Counts, Outcome};
use crate::message::Properties;

/// A queue's counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Counts,
    /// Deliveries that were settled.
    settled: u64,
}

impl Queue {
    /// The queue's counts. Places count the messages that came.
    pub fn counted(&self) -> Counts {
        let mut counts = self.tally.counts;
        counts[Count::Publish] = self.levels().map(Level::arrived).sum();
        counts
    }

    /// Counts a fetch that found nothing.
    pub fn count_empty(&mut self) {
        self.tally.counts.add(Count::GetEmpty, 1);
    }

    /// Counts messages that were given out. `count` says how; `again` of them had been delivered
    /// before.
    #[inline]
    pub fn count_given_out(&mut self, count: Count, messages: usize, again: usize) {
        self.tally.counts.add(count, messages);
        if again > 0 {
            self.tally.counts.add(Count::Redeliver, again);
        }
    }

    /// Counts deliveries that were settled.
    #[inline]
    pub fn count_settled(&mut self, outcome: Outcome, messages: usize) {
        self.tally.settled += messages as u64;
        if outcome == Outcome::Acked {
            self.tally.counts.add(Count::Ack, messages);
        }
    }

    /// Number of deliveries that are not settled.
    pub fn unsettled(&self) -> u64 {
        (self.tally.counts[Count::Deliver] + self.tally.counts[Count::Get]).saturating_sub(self.tally.settled)
    }

    /// Bytes of the deliveries that are not settled: an estimate, by the mean size of all so far.
    pub fn unsettled_bytes(&self) -> u64 {
        let given = (self.tally.counts[Count::Deliver] + self.tally.counts[Count::DeliverNoAck]).max(1);
        (self.pace.delivered() as f64 / given as f64 * self.unsettled() as f64) as u64
    }

    /// Bytes of the bodies of ready messages, except those that a restart has found and that have
    /// not been read yet.
    pub fn ready_bytes(&self) -> u64 {
        self.ready_bytes
    }

    /// Number of messages that wait in memory for a retry.
    pub fn delayed(&self) -> usize {
        self.extras.as_ref().map_or(0, |extras| extras.held.iter().count())
    }

    /// The property `timestamp` of the first ready message, seconds since 1970, if it is in memory
    /// and has one.
    pub fn head_timestamp(&self, arena: &Arena) -> Option<u64> {
        let head = self.levels.first().entries().next()?;
        Properties::trusted(arena.view(head.message).properties).timestamp()
    }
}

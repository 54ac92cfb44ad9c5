//! What a queue counts for operators: messages that came, went out and were settled. Whoever gives
//! messages out in a run counts the run.

use super::Queue;
use crate::broker::arena::Arena;
use crate::contract::{Count, Counts, Outcome};
use crate::message::Properties;

/// A queue's counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub counts: Counts,
    /// Deliveries that are not settled.
    unsettled: u64,
    /// Bytes that the deliveries to be settled took.
    bytes: u64,
}

impl Queue {
    /// The queue's counts.
    pub fn counts_so_far(&self) -> &Counts {
        &self.tally.counts
    }

    /// Counts events.
    #[inline]
    pub fn count(&mut self, count: Count, n: usize) {
        self.tally.counts.add(count, n);
    }

    /// Counts messages that were given out, `count` says how, and that took `bytes` together.
    #[inline]
    pub fn count_given_out(&mut self, count: Count, messages: usize, bytes: usize) {
        self.count(count, messages);
        if matches!(count, Count::Deliver | Count::Get) {
            self.tally.unsettled += messages as u64;
            self.tally.bytes += bytes as u64;
        }
    }

    /// Counts deliveries that were settled.
    #[inline]
    pub fn count_settled(&mut self, outcome: Outcome, messages: usize) {
        self.tally.unsettled = self.tally.unsettled.saturating_sub(messages as u64);
        if outcome == Outcome::Acked {
            self.count(Count::Ack, messages);
        }
    }

    /// Number of deliveries that are not settled.
    pub fn unsettled(&self) -> u64 {
        self.tally.unsettled
    }

    /// Bytes of the deliveries that are not settled: an estimate, by the mean size of those so far.
    pub fn unsettled_bytes(&self) -> u64 {
        let given = self.tally.counts[Count::Deliver] + self.tally.counts[Count::Get];
        (self.tally.bytes as f64 / given.max(1) as f64 * self.tally.unsettled as f64) as u64
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

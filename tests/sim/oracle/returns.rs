//! Queues that count returns: the counts grow, no message fails more often than allowed, and a
//! message that must wait does not come at once.

use super::deliveries::Arrival;
use super::{MessageId, Oracle};
use crate::op::{Counts, LETTER, Name};
use crate::queues::{self, counts, failures_max};

/// The observer's knowledge of a message that comes back.
#[derive(Default)]
pub struct Returned {
    /// The counts that its last receiver saw.
    counts: Counts,
    /// How often it may have failed, as far as clients know; and how many consumers had left the
    /// queue when that was known.
    failures: u32,
    leaves_before: u32,
    /// It may have failed too often before a crash.
    is_doomed: bool,
    /// Its last holder has certainly failed.
    has_failed: bool,
    /// It does not come before this time, if that is certain.
    not_before: u64,
}

impl Returned {
    /// Whether the message may have failed too often before a crash.
    pub fn is_doomed(&self) -> bool {
        self.is_doomed
    }
}

impl Oracle {
    /// Makes the counts of a message that may be in a queue from now on.
    pub(super) fn begin_counting(&self, name: Name) -> Returned {
        let leaves_before = self.queues.get(name).map_or(0, |queue| queue.leaves);
        Returned { leaves_before, ..Returned::default() }
    }

    /// Notes that a client gives a message back, which has failed, certainly or perhaps. `is_sure`:
    /// the client certainly still had it.
    pub(super) fn count_return(&mut self, id: MessageId, name: Name, has_failed: bool, may_have_failed: bool, is_sure: bool) {
        let delay = queues::retry_delay(name, has_failed, 1).filter(|_| is_sure);
        let not_before = delay.map_or(0, |delay| self.now + delay);
        let returned = &mut self.copy(id, name).returned;
        returned.failures += u32::from(may_have_failed);
        (returned.has_failed, returned.not_before) = (has_failed, not_before);
    }

    /// Notes that a consumer leaves the queue: messages on their way to it may have failed.
    pub(super) fn count_leave(&mut self, name: Name) {
        let is_at_rest = self.is_at_rest;
        self.queue(name).leaves += u32::from(!is_at_rest);
    }

    /// Whether a message may have failed more often than its queue allows.
    pub(super) fn may_have_failed(&self, id: MessageId, name: Name) -> bool {
        self.may_have_failed_and(id, name, 0)
    }

    /// Whether that may be so if the message has failed `more` times beyond the clients' knowledge.
    pub(super) fn may_have_failed_and(&self, id: MessageId, name: Name, more: u32) -> bool {
        let Some(most) = failures_max(name) else { return false };
        let Some(copy) = self.copies.get(&(id, name)) else { return false };
        let leaves = self.queues.get(name).map_or(0, |queue| queue.leaves);
        copy.returned.is_doomed || copy.returned.failures + leaves - copy.returned.leaves_before + more > most
    }

    /// Checks that a message that arrives has not failed more often than it may.
    pub(super) fn check_counts(&self, arrival: &Arrival) {
        let &Arrival { id, queue: name, counts: seen, .. } = arrival;
        let most = if counts(name) { seen.acquired.min(failures_max(name).unwrap_or(0)) } else { 0 };
        let is_right = seen.delivered <= most && (counts(name) || seen.acquired == 0);
        assert!(is_right || id & LETTER > 0, "message {id} of {name} has {seen:?}"); // a letter has the counts of the queue where it died
    }

    /// Whether a message that came back arrives too soon, or with lower counts than it should have.
    pub(super) fn is_premature(&self, arrival: &Arrival) -> bool {
        let &Arrival { id, queue: name, counts: seen, .. } = arrival;
        let returned = &self.copies[&(id, name)].returned;
        let (acquired, delivered) = (returned.counts.acquired + 1, returned.counts.delivered + u32::from(returned.has_failed));
        counts(name) && (seen.acquired < acquired || seen.delivered < delivered || returned.not_before > self.now)
    }

    /// Notes the counts of a message that a client now has.
    pub(super) fn note_counts(&mut self, arrival: &Arrival) {
        let leaves_before = self.queue(arrival.queue).leaves;
        let returned = &mut self.copy(arrival.id, arrival.queue).returned;
        (returned.counts, returned.leaves_before) = (arrival.counts, leaves_before);
        returned.failures = if counts(arrival.queue) { arrival.counts.delivered } else { 0 };
        (returned.has_failed, returned.not_before) = (false, 0);
    }

    /// Notes that the broker stops at any moment: a message that a client had, or that was on its
    /// way to one, has failed once more. The last events before may be unknown after it.
    pub(super) fn count_over_crash(&mut self) {
        for ((_, name), copy) in &mut self.copies {
            let Some(most) = failures_max(name) else { continue };
            let leaves = self.queues.get(name).map_or(0, |queue| queue.leaves);
            let failures = copy.returned.failures + leaves - copy.returned.leaves_before + 1;
            let is_doomed = copy.returned.is_doomed || failures > most;
            copy.returned = Returned { failures, is_doomed, ..Returned::default() };
        }
    }
}

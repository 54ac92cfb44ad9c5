//! How queues follow policies. A policy that is set, changed or deleted takes effect within some
//! turns, however many queues there are, and no client waits for it.
//!
//! ```text
//! policies change ─ applied on every shard ─▶ sweep: all queues here are due ─ some each turn ─▶
//!                                             the queue's rules and settings are derived again
//! ```
//!
//! Exchanges look their policy up when it matters (see
//! [`alternate`](crate::broker::catalog::Catalog::alternate)).

use crate::base::ids::QueueId;
use crate::base::limits::POLICY_BUDGET;
use crate::broker::queue::{Rules, Settings};
use crate::shard::Shard;
use crate::shard::local_queue;

/// A walk through the queues of a shard, by slot: from its place to the last slot, then from the
/// first one to its place. A walk that begins while another is under way goes on from where that
/// one is, so that very frequent changes starve no queue. Slots that are added meanwhile are
/// visited, too, if the walk has not passed the end.
#[derive(Default)]
pub struct Sweep {
    next: usize,
    /// Whether the slots from `next` to the last one are still to be visited.
    goes_to_end: bool,
    /// The slots below this one are still to be visited, once the others are.
    below: usize,
}

impl Sweep {
    fn begin(&mut self) {
        (self.goes_to_end, self.below) = (true, self.next);
    }

    fn is_under_way(&self) -> bool {
        self.goes_to_end || self.next < self.below
    }

    /// Returns the next of `len` slots, or nothing if the walk is over.
    fn step(&mut self, len: usize) -> Option<usize> {
        if self.goes_to_end && self.next >= len {
            (self.goes_to_end, self.next) = (false, 0);
        }
        let slot = self.is_under_way().then_some(self.next)?;
        self.next += 1;
        Some(slot)
    }
}

impl Shard {
    /// Begins a sweep, because policies changed.
    pub(in crate::shard) fn begin_sweep(&mut self) {
        self.queues.sweep.begin();
    }

    /// Whether queues are left that have not looked their policies up.
    pub(in crate::shard) fn is_sweeping(&self) -> bool {
        self.queues.sweep.is_under_way()
    }

    /// Lets some more queues look their policies up.
    pub(in crate::shard) fn go_on_sweeping(&mut self) {
        let mut budget = POLICY_BUDGET;
        while budget > 0
            && let Some(slot) = self.queues.sweep.step(self.queues.slots.len())
        {
            if let Some(id) = self.queues.slots[slot].as_ref().map(|queue| queue.id) {
                self.follow_policies(id);
                budget -= 1;
            }
        }
    }

    /// Derives a queue's rules and settings from its arguments and policies.
    pub(in crate::shard) fn follow_policies(&mut self, id: QueueId) {
        let Some(info) = self.catalog.queue(id) else { return };
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        let terms = self.catalog.terms(info);
        queue.follow(Rules::of(&info.spec, &terms));
        let settings = Settings::of(&terms, queue.rules.quorum);
        self.promise(id, settings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(sweep: &mut Sweep, count: usize, len: usize) -> Vec<usize> {
        (0..count).map_while(|_| sweep.step(len)).collect()
    }

    #[test]
    fn a_sweep_visits_every_slot_although_others_are_added() {
        let mut sweep = Sweep::default();
        assert!(!sweep.is_under_way() && sweep.step(10).is_none());
        sweep.begin();
        assert_eq!(steps(&mut sweep, 5, 10), [0, 1, 2, 3, 4]);
        sweep.begin();
        assert_eq!(steps(&mut sweep, 3, 10), [5, 6, 7]);
        assert_eq!(steps(&mut sweep, 99, 12), [8, 9, 10, 11, 0, 1, 2, 3, 4]);
        assert!(!sweep.is_under_way());
        sweep.begin();
        assert_eq!(steps(&mut sweep, 99, 12).len(), 12);
        assert!(sweep.step(12).is_none());
    }
}

//! How queues follow policies. A policy that is set, changed or deleted takes effect at once,
//! however many queues there are, and nobody waits for it.
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

/// A walk through the queues of a shard, by slot, round and round. A walk that begins while another
/// is under way goes on from its place.
#[derive(Default)]
pub struct Sweep {
    next: usize,
    /// Slots that are still to be visited.
    left: usize,
}

impl Shard {
    /// Begins a sweep, because policies changed.
    pub(in crate::shard) fn begin_sweep(&mut self) {
        self.queues.sweep.left = self.queues.slots.len();
    }

    /// Whether queues are left that have not looked their policies up.
    pub(in crate::shard) fn is_sweeping(&self) -> bool {
        self.queues.sweep.left > 0
    }

    /// Lets some more queues look their policies up.
    pub(in crate::shard) fn go_on_sweeping(&mut self) {
        let mut budget = POLICY_BUDGET;
        while budget > 0 && self.queues.sweep.left > 0 {
            let slot = self.queues.sweep.next % self.queues.slots.len();
            (self.queues.sweep.next, self.queues.sweep.left) = (slot + 1, self.queues.sweep.left - 1);
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

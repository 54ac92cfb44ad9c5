//! How queues follow policies: a policy that is set, changed or deleted is in force at once, for as many queues as there are, and nobody waits for it.
//!
//! ```text
//! policies change ─ apply, on every shard ─▶ sweep: all queues here are to look ─ a turn: some of them ─▶ other rules and promises, or none
//! ```
//!
//! Exchanges look when they are asked (see [`alternate`](crate::broker::catalog::Catalog::alternate)).

use crate::base::ids::QueueId;
use crate::base::limits::POLICY_BUDGET;
use crate::broker::queue::{Rules, Settings};
use crate::shard::Shard;
use crate::shard::local_queue;

/// A walk through the queues of a shard, by slot and round and round: one that begins while another is under way goes on from there.
#[derive(Default)]
pub struct Sweep {
    next: usize,
    /// Slots that are still to be seen.
    left: usize,
}

impl Shard {
    /// Policies changed.
    pub(in crate::shard) fn begin_sweep(&mut self) {
        self.sweep.left = self.queues.len();
    }

    /// Whether there are queues that have not looked.
    pub(in crate::shard) fn is_sweeping(&self) -> bool {
        self.sweep.left > 0
    }

    /// Some more queues look what is said of them.
    pub(in crate::shard) fn go_on_sweeping(&mut self) {
        let mut budget = POLICY_BUDGET;
        while budget > 0 && self.sweep.left > 0 {
            let slot = self.sweep.next % self.queues.len();
            (self.sweep.next, self.sweep.left) = (slot + 1, self.sweep.left - 1);
            if let Some(id) = self.queues[slot].as_ref().map(|queue| queue.id) {
                self.follow_policies(id);
                budget -= 1;
            }
        }
    }

    /// A queue here works by what is said of it, from now on.
    pub(in crate::shard) fn follow_policies(&mut self, id: QueueId) {
        let Some(info) = self.catalog.queue(id) else { return };
        let Some(queue) = local_queue(&mut self.queues, id) else { return };
        let terms = self.catalog.terms(info);
        queue.follow(Rules::of(&info.spec, &terms));
        let settings = Settings::of(&terms, queue.rules.quorum);
        self.promise(id, settings);
    }
}

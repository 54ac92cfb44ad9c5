//! Jobs: long operations that few bytes ask for, carried out a part at a time, so that others are
//! served beside them.
//!
//! ```text
//! tx.commit ───────────────┐
//! basic.ack of very many ──┼─▶ jobs: [job][job][job] ─ a share of a turn each ─▶ answer; input
//! the end of a channel ────┘                                                     goes on
//! ```
//!
//! A job that fits into one share is done at once and never gets here. While a job waits here, its
//! connection is parked, and its later input is carried out afterwards. If the peer is lost
//! meanwhile, the connection stays until its job is done, or the job goes on without it.

use super::Shard;
use crate::shard::publish::commit::Commit;
use crate::shard::queues::settling::Settling;

/// A job that is under way.
pub enum Job {
    /// The commit of a transaction.
    Commit(Commit),
    /// The settlement of very many messages.
    Settle(Settling),
}

impl Shard {
    /// Whether a job can go on, and there is room for its effects.
    pub(super) fn can_go_on(&self) -> bool {
        !self.jobs.is_empty() && self.has_room_for_jobs()
    }

    /// Whether the log, memory and the links to other shards have room for the effects of jobs.
    pub(super) fn has_room_for_jobs(&self) -> bool {
        let has_room = || self.peers.links.iter().flatten().all(|link| link.has_room());
        !self.durability.store.is_congested() && !self.arena.is_short() && has_room()
    }

    /// Carries jobs on, a share each, as far as the budget reaches.
    pub(super) fn go_on_with_jobs(&mut self) {
        while !self.work.is_spent()
            && self.can_go_on()
            && let Some(job) = self.jobs.pop_front()
        {
            self.work.begin_share();
            match job {
                Job::Commit(commit) => self.go_on_committing(commit),
                Job::Settle(settling) => self.go_on_settling(settling),
            }
        }
    }
}

//! Jobs: what takes long though few bytes ask for it is carried out some at a time, so that others
//! are served beside it.
//!
//! ```text
//! tx.commit ──────────────────┐
//! basic.ack of very many ─────┼─▶ jobs: [job][job][job] ─ a share of the turn each, in rotation ─▶ the answer, and input goes on
//! the end of a channel ───────┘
//! ```
//!
//! A job that one share is enough for is done at once and never gets here. The connection of one
//! that waits here is parked: what it has sent behind is carried out afterwards. If it is lost, it
//! stays until its job is done, or the job goes on without it.

use super::Shard;
use crate::shard::publish::commit::Commit;
use crate::shard::queues::settling::Settling;

/// A job that is under way.
pub enum Job {
    /// A transaction that is being committed.
    Commit(Commit),
    /// Very many messages that are being settled.
    Settle(Settling),
}

impl Shard {
    /// Whether a job goes on, and there is room for what it does.
    pub(super) fn can_go_on(&self) -> bool {
        !self.jobs.is_empty() && self.has_room_for_jobs()
    }

    /// Whether the log, memory and the links to other shards have room for what jobs do.
    pub(super) fn has_room_for_jobs(&self) -> bool {
        let has_room = || self.links.iter().flatten().all(|link| link.has_room());
        !self.store.is_congested() && !self.arena.is_short() && has_room()
    }

    /// Jobs go on, each with its share, as far as the budget reaches.
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

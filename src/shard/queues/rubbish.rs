//! What is to be freed, some in each turn: ten million messages, or values of duplicates, at once would hold everybody up.
//!
//! The log hears of purged messages as they are freed, unless their queue is gone: then it forgets
//! them with the queue. A stop waits until all are.

use std::collections::VecDeque;

use crate::base::ids::QueueId;
use crate::base::limits::PURGE_BUDGET;
use crate::broker::deduplication::Forgotten;
use crate::broker::queue::Purged;
use crate::shard::Shard;
use crate::shard::local_queue;

/// What nobody needs any more.
#[derive(Default)]
pub struct Rubbish {
    /// Purged messages of these queues, whose places in the arena are still taken.
    pub purged: VecDeque<(QueueId, Purged)>,
    /// What queues and exchanges knew duplicates by.
    pub forgotten: VecDeque<Forgotten>,
}

impl Rubbish {
    /// Whether nothing is left to be freed.
    pub fn is_empty(&self) -> bool {
        self.purged.is_empty() && self.forgotten.is_empty()
    }
}

impl Shard {
    /// Frees some of it.
    pub(in crate::shard) fn free_rubbish(&mut self) {
        let Rubbish { purged, forgotten } = &mut self.rubbish;
        if forgotten.front_mut().is_some_and(|forgotten| !forgotten.free(PURGE_BUDGET)) {
            forgotten.pop_front();
        }
        if let Some((id, level)) = purged.pop_front() {
            self.free_purged(id, level);
        }
    }

    /// Frees some of what a queue here, or one that was here, has been purged of.
    pub(in crate::shard) fn free_purged(&mut self, id: QueueId, mut level: Purged) {
        let entries = std::iter::from_fn(|| level.pop()).take(PURGE_BUDGET);
        let released = entries.inspect(|entry| self.arena.release(entry.message));
        match local_queue(&mut self.queues, id) {
            Some(queue) => Shard::log_settled(&mut self.store, queue, released),
            None => released.for_each(drop),
        }
        if !level.is_freed() {
            self.rubbish.purged.push_front((id, level));
        }
    }
}

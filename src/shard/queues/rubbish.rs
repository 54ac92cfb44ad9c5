//! Messages and other values to be freed, a part in each turn: freeing ten million messages, or the
//! values of a deduplication, at once would hold everybody up.
//!
//! The log hears of purged messages as they are freed, unless their queue is gone: then it forgets
//! them with the queue. A broker that stops waits until all are freed.

use std::collections::VecDeque;

use crate::base::ids::QueueId;
use crate::base::limits::PURGE_BUDGET;
use crate::broker::deduplication::Forgotten;
use crate::broker::queue::Purged;
use crate::shard::Shard;
use crate::shard::local_queue;

/// Values that nobody needs any more.
#[derive(Default)]
pub struct Rubbish {
    /// Purged messages of these queues, whose places in the arena are still taken.
    pub purged: VecDeque<(QueueId, Purged)>,
    /// Values by which queues and exchanges recognised duplicates.
    pub forgotten: VecDeque<Forgotten>,
}

impl Rubbish {
    /// Whether nothing is left to be freed.
    pub fn is_empty(&self) -> bool {
        self.purged.is_empty() && self.forgotten.is_empty()
    }
}

impl Shard {
    /// Frees a part.
    pub(in crate::shard) fn free_rubbish(&mut self) {
        let Rubbish { purged, forgotten } = &mut self.queues.rubbish;
        if forgotten.front_mut().is_some_and(|forgotten| !forgotten.free(PURGE_BUDGET)) {
            forgotten.pop_front();
        }
        if let Some((id, level)) = purged.pop_front() {
            self.free_purged(id, level);
        }
    }

    /// Frees some of the messages that were purged from a queue, which may be gone.
    pub(in crate::shard) fn free_purged(&mut self, id: QueueId, mut level: Purged) {
        let entries = std::iter::from_fn(|| level.pop()).take(PURGE_BUDGET);
        let released = entries.inspect(|entry| self.arena.release(entry.message));
        match local_queue(&mut self.queues.slots, id) {
            Some(queue) => Shard::log_settled(&mut self.durability.store, queue, released),
            None => released.for_each(drop),
        }
        if !level.is_freed() {
            self.queues.rubbish.purged.push_front((id, level));
        }
    }
}

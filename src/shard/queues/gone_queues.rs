//! Queues that were deleted before all their dead messages were published. A client that deletes a
//! queue, or an expiry, does not wait for a million dead letters.

use std::collections::VecDeque;

use crate::base::hash::Map;
use crate::base::ids::QueueId;
use crate::broker::queue::DeadLetter;
use crate::contract::VhostId;

/// Deleted queues, until the last of their dead messages is published.
#[derive(Default)]
pub struct GoneQueues {
    queues: Map<QueueId, GoneQueue>,
    /// How many dead messages, of all that there have ever been, are published when a queue can be
    /// forgotten; ascending.
    until: VecDeque<(u64, QueueId)>,
}

/// The facts of a deleted queue that its dead letters carry, and their destination.
pub struct GoneQueue {
    /// The queue's virtual host.
    pub vhost: VhostId,
    /// The queue's name.
    pub name: Box<str>,
    /// The destination of its dead letters.
    pub target: DeadLetter,
}

impl GoneQueues {
    /// Keeps a queue that is being deleted; its dead messages are among the first `last` ones.
    pub fn keep(&mut self, id: QueueId, queue: GoneQueue, last: u64) {
        self.queues.insert(id, queue);
        self.until.push_back((last, id));
    }

    /// Forgets queues all of whose dead messages are among the `count` that are published.
    pub fn forget_before(&mut self, count: u64) {
        while let Some((_, id)) = self.until.pop_front_if(|(last, _)| *last <= count) {
            self.queues.remove(&id);
        }
    }

    /// Finds a deleted queue.
    pub fn find(&self, id: QueueId) -> Option<&GoneQueue> {
        self.queues.get(&id)
    }
}

//! What is left of queues that went before all that died there was published: a client that deletes
//! a queue, or one that expires, does not wait for a million dead letters.

use std::collections::VecDeque;

use crate::base::hash::Map;
use crate::base::ids::QueueId;
use crate::broker::queue::DeadLetter;
use crate::contract::VhostId;

/// Queues that are gone, until the last of their dead is published.
#[derive(Default)]
pub struct GoneQueues {
    queues: Map<QueueId, GoneQueue>,
    /// How many of the dead are published by then, of all that there have ever been; ascending.
    until: VecDeque<(u64, QueueId)>,
}

/// What dead letters say of the queue where they died, and where they go from there.
pub struct GoneQueue {
    /// Its virtual host.
    pub vhost: VhostId,
    /// Its name.
    pub name: Box<str>,
    /// Where its dead letters go.
    pub target: DeadLetter,
}

impl GoneQueues {
    /// A queue goes, all of whose dead are among the first `last` ones.
    pub fn keep(&mut self, id: QueueId, queue: GoneQueue, last: u64) {
        self.queues.insert(id, queue);
        self.until.push_back((last, id));
    }

    /// So many of the dead are published.
    pub fn forget_before(&mut self, count: u64) {
        while let Some((_, id)) = self.until.pop_front_if(|(last, _)| *last <= count) {
            self.queues.remove(&id);
        }
    }

    /// A queue that is gone.
    pub fn find(&self, id: QueueId) -> Option<&GoneQueue> {
        self.queues.get(&id)
    }
}

//! Sorted names of queues, remembered as long as the catalog stays the same: a page of a list of
//! many queues costs as much as its own queues.

use std::rc::Rc;

use crate::base::ids::QueueId;
use crate::broker::catalog::Catalog;
use crate::contract::VhostId;

/// A queue in the order of names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// Its virtual host.
    pub vhost: VhostId,
    /// Its name.
    pub name: Box<str>,
    /// The queue.
    pub id: QueueId,
}

/// The remembered order.
#[derive(Default)]
pub struct Names {
    version: u64,
    queues: Rc<[Named]>,
}

impl Names {
    /// All queues that clients see, by the names of their virtual hosts and their own.
    pub fn queues(&mut self, catalog: &Catalog) -> Rc<[Named]> {
        if self.version != catalog.version() {
            let visible = catalog.queues().filter(|queue| queue.delays.is_none());
            let mut queues: Vec<Named> =
                visible.map(|queue| Named { vhost: queue.vhost, name: queue.spec.name.clone(), id: queue.addr.queue }).collect();
            queues.sort_unstable_by(|left, right| {
                let by_vhost = || catalog.vhost_name(left.vhost).cmp(catalog.vhost_name(right.vhost));
                let in_one = left.vhost == right.vhost;
                if in_one { left.name.cmp(&right.name) } else { by_vhost() }
            });
            (self.version, self.queues) = (catalog.version(), queues.into());
        }
        self.queues.clone()
    }
}

//! Routes: the queues to which an exchange and a routing key lead, and one channel's memory of its
//! last route.

use smallvec::SmallVec;

use crate::base::ids::QueueAddr;

/// The queues of one message, each once.
pub type RouteSet = SmallVec<[QueueAddr; 4]>;

/// Makes `to` equal to `from`. (`clone_from` goes from one queue to the next.)
#[inline]
pub fn copy_routes(from: &RouteSet, to: &mut RouteSet) {
    to.clear();
    to.extend_from_slice(from);
}

/// The last exchange and routing key of a channel, and the queues. Valid while the catalog's
/// version stands.
///
/// Publishers repeat themselves: comparing a few bytes saves the lookup and the hash that routing
/// would cost per message.
#[derive(Debug, Default)]
pub struct RouteCache {
    version: u64,
    route: SmallVec<[u8; 64]>,
    queues: RouteSet,
}

impl RouteCache {
    /// Returns the remembered queues, if `route` (exchange and routing key in wire form) and the
    /// catalog's `version` are the same as then.
    pub fn find(&self, version: u64, route: &[u8]) -> Option<&RouteSet> {
        (self.version == version && self.route[..] == *route).then_some(&self.queues)
    }

    /// Remembers the queues of `route` under catalog `version` (from 1; 0 means that nothing is
    /// remembered), unless they are many.
    pub fn remember(&mut self, version: u64, route: &[u8], queues: &RouteSet) {
        if queues.len() > ROUTE_CACHE_QUEUES_MAX {
            return;
        }
        self.version = version;
        self.route.clear();
        self.route.extend_from_slice(route);
        copy_routes(queues, &mut self.queues);
    }
}

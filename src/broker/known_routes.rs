//! What the router has found before: queues by exchange and routing key, for publishers that use many keys in turn.
//!
//! An answer holds while the catalog's version stands. When the table is full it starts over: who uses more keys than it holds gains
//! nothing from any order of forgetting, and who uses fewer never notices.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::base::limits::KNOWN_ROUTES_MAX;
use crate::contract::{RouteSet, VhostId};

/// The table of one shard.
#[derive(Default)]
pub struct KnownRoutes {
    version: u64,
    table: HashTable<Known>,
    hasher: foldhash::fast::RandomState,
}

struct Known {
    vhost: VhostId,
    route: SmallVec<[u8; 48]>,
    queues: RouteSet,
}

impl KnownRoutes {
    /// The queues of messages to `route` (exchange and routing key in wire form) under the catalog's `version`, if they were remembered.
    #[inline]
    pub fn find(&self, version: u64, vhost: VhostId, route: &[u8]) -> Option<&RouteSet> {
        if self.version != version {
            return None;
        }
        self.table.find(self.hash(vhost, route), |known| known.is(vhost, route)).map(|known| &known.queues)
    }

    /// Remembers what [`find`](Self::find) has not found.
    pub fn remember(&mut self, version: u64, vhost: VhostId, route: &[u8], queues: &RouteSet) {
        if self.version != version || self.table.len() == KNOWN_ROUTES_MAX {
            self.table.clear();
            self.version = version;
        }
        let known = Known { vhost, route: route.into(), queues: queues.clone() };
        let KnownRoutes { table, hasher, .. } = self;
        table.insert_unique(hash(hasher, vhost, route), known, |known| hash(hasher, known.vhost, &known.route));
    }

    fn hash(&self, vhost: VhostId, route: &[u8]) -> u64 {
        hash(&self.hasher, vhost, route)
    }
}

impl Known {
    #[inline]
    fn is(&self, vhost: VhostId, route: &[u8]) -> bool {
        self.vhost == vhost && self.route[..] == *route
    }
}

#[inline]
fn hash(hasher: &foldhash::fast::RandomState, vhost: VhostId, route: &[u8]) -> u64 {
    hasher.hash_one((vhost, route))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueAddr, QueueId, ShardId};

    fn queues(slot: u32) -> RouteSet {
        RouteSet::from_slice(&[QueueAddr { home: ShardId(0), queue: QueueId(Key { slot, generation: 0 }) }])
    }

    #[test]
    fn answers_hold_for_their_version_and_vhost() {
        let mut routes = KnownRoutes::default();
        routes.remember(1, VhostId(0), b"\x00\x01a", &queues(1));
        routes.remember(1, VhostId(1), b"\x00\x01a", &queues(2));
        assert_eq!(routes.find(1, VhostId(0), b"\x00\x01a"), Some(&queues(1)));
        assert_eq!(routes.find(1, VhostId(1), b"\x00\x01a"), Some(&queues(2)));
        assert_eq!(routes.find(1, VhostId(0), b"\x00\x01b"), None);
        assert_eq!(routes.find(2, VhostId(0), b"\x00\x01a"), None);
        routes.remember(2, VhostId(0), b"\x00\x01b", &queues(3));
        assert_eq!((routes.find(2, VhostId(0), b"\x00\x01a"), routes.find(2, VhostId(0), b"\x00\x01b")), (None, Some(&queues(3))));
    }

    #[test]
    fn a_flood_of_keys_does_not_fill_the_memory() {
        let mut routes = KnownRoutes::default();
        for key in 0..3 * KNOWN_ROUTES_MAX as u32 {
            routes.remember(1, VhostId(0), &key.to_be_bytes(), &queues(key));
            assert_eq!(routes.find(1, VhostId(0), &key.to_be_bytes()), Some(&queues(key)));
        }
        assert!(routes.table.len() <= KNOWN_ROUTES_MAX);
    }
}

//! Remembered routes: queues by exchange and routing key, for publishers that use many keys in
//! turn.
//!
//! A route is valid for one user in one virtual host, whose permission to publish there was checked
//! when the route was found, and as long as the catalog's version stays the same. When the table is
//! full, by number or by bytes, it is emptied: a publisher that uses more keys than fit gains
//! nothing from forgetting them in a better order, and one that uses fewer keys never notices. A
//! route to so many queues that a few such routes would fill the table is not remembered: finding
//! it again costs nothing in comparison with that many copies of a message.
//!
//! Invariant: `bytes` is the sum of the routes' sizes.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::base::ids::{QueueAddr, UserId};
use crate::base::limits::{KNOWN_ROUTE_SIZE_MAX, KNOWN_ROUTES_MAX, KNOWN_ROUTES_SIZE_MAX};
use crate::contract::{RouteSet, VhostId};

/// The routes of one shard.
#[derive(Default)]
pub struct KnownRoutes {
    version: u64,
    table: HashTable<Known>,
    bytes: usize,
    hasher: foldhash::fast::RandomState,
}

/// Virtual host and user of a publisher.
pub type Publisher = (VhostId, UserId);

struct Known {
    publisher: Publisher,
    route: SmallVec<[u8; 48]>,
    queues: RouteSet,
    exchange: u32,
}

impl KnownRoutes {
    /// Returns the queues of messages with this `route` (exchange and routing key in wire form), and
    /// the exchange's slot, if they are remembered for the catalog's `version`.
    #[inline]
    pub fn find(&self, version: u64, publisher: Publisher, route: &[u8]) -> Option<(&RouteSet, u32)> {
        if self.version != version {
            return None;
        }
        self.table.find(self.hash(publisher, route), |known| known.is(publisher, route)).map(|known| (&known.queues, known.exchange))
    }

    /// Remembers a route that [`find`](Self::find) has not found, with the slot of its exchange.
    pub fn remember(&mut self, version: u64, publisher: Publisher, route: &[u8], queues: &RouteSet, exchange: u32) {
        let size = size(route, queues);
        if size > KNOWN_ROUTE_SIZE_MAX {
            return;
        }
        if self.version != version || self.table.len() == KNOWN_ROUTES_MAX || self.bytes + size > KNOWN_ROUTES_SIZE_MAX {
            self.table.clear();
            (self.version, self.bytes) = (version, 0);
        }
        self.bytes += size;
        let known = Known { publisher, route: route.into(), queues: RouteSet::from_slice(queues), exchange };
        let KnownRoutes { table, hasher, .. } = self;
        table.insert_unique(hash(hasher, publisher, route), known, |known| hash(hasher, known.publisher, &known.route));
    }

    fn hash(&self, publisher: Publisher, route: &[u8]) -> u64 {
        hash(&self.hasher, publisher, route)
    }
}

impl Known {
    #[inline]
    fn is(&self, publisher: Publisher, route: &[u8]) -> bool {
        self.publisher == publisher && self.route[..] == *route
    }
}

/// The size of a route, bytes.
fn size(route: &[u8], queues: &RouteSet) -> usize {
    let own = if queues.spilled() { queues.len() * size_of::<QueueAddr>() } else { 0 };
    size_of::<Known>() + route.len() + own
}

#[inline]
fn hash(hasher: &foldhash::fast::RandomState, publisher: Publisher, route: &[u8]) -> u64 {
    hasher.hash_one((publisher, route))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueAddr, QueueId, ShardId};

    fn publisher(vhost: u32, user: u32) -> Publisher {
        (VhostId(vhost), UserId(Key { slot: user, generation: 0 }))
    }

    fn queues(slot: u32) -> RouteSet {
        RouteSet::from_slice(&[QueueAddr { home: ShardId(0), queue: QueueId(Key { slot, generation: 0 }) }])
    }

    #[test]
    fn answers_hold_for_their_version_vhost_and_user() {
        let mut routes = KnownRoutes::default();
        routes.remember(1, publisher(0, 0), b"\x00\x01a", &queues(1), 7);
        routes.remember(1, publisher(1, 0), b"\x00\x01a", &queues(2), 7);
        assert_eq!(routes.find(1, publisher(0, 0), b"\x00\x01a"), Some((&queues(1), 7)));
        assert_eq!(routes.find(1, publisher(1, 0), b"\x00\x01a"), Some((&queues(2), 7)));
        assert_eq!(routes.find(1, publisher(0, 0), b"\x00\x01b"), None);
        assert_eq!(routes.find(1, publisher(0, 1), b"\x00\x01a"), None);
        assert_eq!(routes.find(2, publisher(0, 0), b"\x00\x01a"), None);
        routes.remember(2, publisher(0, 0), b"\x00\x01b", &queues(3), 7);
        assert_eq!(
            (routes.find(2, publisher(0, 0), b"\x00\x01a"), routes.find(2, publisher(0, 0), b"\x00\x01b")),
            (None, Some((&queues(3), 7)))
        );
    }

    #[test]
    fn routes_to_many_queues_do_not_fill_the_memory() {
        let mut routes = KnownRoutes::default();
        let addr = |slot| QueueAddr { home: ShardId(0), queue: QueueId(Key { slot, generation: 0 }) };
        let many: RouteSet = (0..2_000).map(addr).collect();
        for key in 0..4_000u32 {
            routes.remember(1, publisher(0, 0), &key.to_be_bytes(), &many, 7);
            assert_eq!(routes.find(1, publisher(0, 0), &key.to_be_bytes()), Some((&many, 7)));
            let bytes: usize = routes.table.iter().map(|known| known.queues.capacity() * size_of::<QueueAddr>()).sum();
            assert!(bytes <= KNOWN_ROUTES_SIZE_MAX, "{key}: {bytes}");
        }
        let very_many: RouteSet = (0..200_000).map(addr).collect();
        routes.remember(1, publisher(0, 0), b"", &very_many, 7);
        assert_eq!(routes.find(1, publisher(0, 0), b""), None, "it would take the place of all others");
    }

    #[test]
    fn a_flood_of_keys_does_not_fill_the_memory() {
        let mut routes = KnownRoutes::default();
        for key in 0..3 * KNOWN_ROUTES_MAX as u32 {
            routes.remember(1, publisher(0, 0), &key.to_be_bytes(), &queues(key), 7);
            assert_eq!(routes.find(1, publisher(0, 0), &key.to_be_bytes()), Some((&queues(key), 7)));
        }
        assert!(routes.table.len() <= KNOWN_ROUTES_MAX);
    }
}

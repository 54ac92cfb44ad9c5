//! The last routes of a connection. Publishers repeat themselves: comparing a few bytes saves the
//! lookup and the hash that routing would cost per message.
//!
//! Each channel has a place of its own, up to a limit; channels beyond it share places. A route
//! holds for any channel of the connection, because all have the same user and virtual host.

use smallvec::SmallVec;

use crate::base::limits::{ROUTE_CACHE_QUEUES_MAX, ROUTE_CACHES_MAX};
use crate::contract::{RouteSet, copy_routes};

/// The last routes of one connection.
#[derive(Debug, Default)]
pub struct LastRoutes(Vec<RouteCache>);

impl LastRoutes {
    /// The place of a channel.
    #[inline]
    pub fn of(&mut self, channel: u16) -> &mut RouteCache {
        let at = usize::from(channel) % ROUTE_CACHES_MAX;
        if at >= self.0.len() {
            self.0.resize_with(at + 1, RouteCache::default);
        }
        &mut self.0[at]
    }
}

/// The last exchange and routing key, and the queues. Valid while the catalog's version stays the
/// same.
#[derive(Debug, Default)]
pub struct RouteCache {
    version: u64,
    route: SmallVec<[u8; 64]>,
    queues: RouteSet,
    /// The exchange's slot.
    exchange: u32,
}

impl RouteCache {
    /// Returns the remembered queues and the exchange's slot, if `route` (exchange and routing key in
    /// wire form) and the catalog's `version` are the same as then.
    pub fn find(&self, version: u64, route: &[u8]) -> Option<(&RouteSet, u32)> {
        (self.version == version && self.route[..] == *route).then_some((&self.queues, self.exchange))
    }

    /// Remembers the queues and the exchange's slot of `route` under catalog `version` (from 1; 0
    /// means that nothing is remembered), unless the queues are many.
    pub fn remember(&mut self, version: u64, route: &[u8], (queues, exchange): (&RouteSet, u32)) {
        if queues.len() > ROUTE_CACHE_QUEUES_MAX {
            return;
        }
        (self.version, self.exchange) = (version, exchange);
        self.route.clear();
        self.route.extend_from_slice(route);
        copy_routes(queues, &mut self.queues);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueAddr, QueueId, ShardId};

    #[test]
    fn channels_have_places_of_their_own_as_far_as_these_reach() {
        let queues = |slot| RouteSet::from_slice(&[QueueAddr { home: ShardId(0), queue: QueueId(Key { slot, generation: 0 }) }]);
        let mut routes = LastRoutes::default();
        for channel in 1..=2 {
            routes.of(channel).remember(1, b"\x00\x01q", (&queues(channel.into()), 7));
        }
        assert_eq!(routes.of(1).find(1, b"\x00\x01q"), Some((&queues(1), 7)));
        assert_eq!(routes.of(2).find(2, b"\x00\x01q"), None);
        for channel in 0..=u16::MAX {
            routes.of(channel);
        }
        assert_eq!(routes.0.len(), ROUTE_CACHES_MAX);
    }
}

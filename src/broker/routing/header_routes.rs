//! Remembered routes of messages whose headers matter, too: queues by exchange, routing key and
//! headers table.
//!
//! An application sends the same few tables of headers over and over, or never the same one twice.
//! In the first case, comparing a table's bytes saves reading it. In the second case, it only costs
//! time, so after many unknown messages in a row, some are not looked up.

use crate::broker::routing::known_routes::{KnownRoutes, Publisher};
use crate::contract::RouteSet;

/// All routes that a shard remembers.
#[derive(Default)]
pub struct RouteMemory {
    /// Routes that depend on exchange and routing key alone.
    pub by_key: KnownRoutes,
    /// Routes that depend on the headers, too.
    pub by_headers: HeaderRoutes,
}

/// The routes of one shard.
#[derive(Default)]
pub struct HeaderRoutes {
    routes: KnownRoutes,
    /// Working memory: a route followed by a table.
    key: Vec<u8>,
    /// Number of unknown messages in a row, and of those that were not looked up after them.
    unknown: u32,
}

impl HeaderRoutes {
    /// Returns the queues of messages with this `route` and these headers (in wire form), and the
    /// slot of the exchange, if they are remembered.
    pub fn find(&mut self, version: u64, publisher: Publisher, route: &[u8], headers: &[u8]) -> Option<(&RouteSet, u32)> {
        self.unknown = if self.unknown == UNKNOWN_MAX + PASSED { 0 } else { self.unknown + 1 };
        if self.is_resting() || headers.len() > HEADERS_SIZE_MAX {
            return None;
        }
        self.put_key(route, headers);
        let found = self.routes.find(version, publisher, &self.key)?;
        self.unknown = 0;
        Some(found)
    }

    /// Remembers a route that [`find`](Self::find) has not found.
    pub fn remember(&mut self, version: u64, publisher: Publisher, (route, exchange): (&[u8], u32), headers: &[u8], queues: &RouteSet) {
        if !self.is_resting() && headers.len() <= HEADERS_SIZE_MAX {
            self.put_key(route, headers);
            if self.routes.find(version, publisher, &self.key).is_none() {
                self.routes.remember(version, publisher, &self.key, queues, exchange);
            }
        }
    }

    fn is_resting(&self) -> bool {
        self.unknown > UNKNOWN_MAX
    }

    fn put_key(&mut self, route: &[u8], headers: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(route);
        self.key.extend_from_slice(headers);
    }
}

/// After this many unknown messages in a row, some are not looked up.
const UNKNOWN_MAX: u32 = 512;
/// Number of messages that are not looked up then.
const PASSED: u32 = 16_384;
/// A longer table is not remembered, bytes.
const HEADERS_SIZE_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueAddr, QueueId, ShardId, UserId};
    use crate::contract::VhostId;

    const GUEST: Publisher = (VhostId(0), UserId(Key { slot: 0, generation: 0 }));

    fn queues(slot: u32) -> RouteSet {
        RouteSet::from_slice(&[QueueAddr { home: ShardId(0), queue: QueueId(Key { slot, generation: 0 }) }])
    }

    #[test]
    fn an_answer_holds_for_its_headers_and_version() {
        let mut routes = HeaderRoutes::default();
        routes.remember(1, GUEST, (b"\x00\x01a", 7), b"x", &queues(1));
        routes.remember(1, GUEST, (b"\x00\x01a", 7), b"y", &queues(2));
        assert_eq!(routes.find(1, GUEST, b"\x00\x01a", b"x"), Some((&queues(1), 7)));
        assert_eq!(routes.find(1, GUEST, b"\x00\x01a", b"y"), Some((&queues(2), 7)));
        assert_eq!(routes.find(1, GUEST, b"\x00\x01a", b""), None);
        assert_eq!(routes.find(1, GUEST, b"\x00\x02ax", b""), None);
        assert_eq!(routes.find(2, GUEST, b"\x00\x01a", b"x"), None);
    }

    #[test]
    fn headers_that_never_come_again_are_let_pass() {
        let mut routes = HeaderRoutes::default();
        let mut remembered = 0;
        for n in 0..100_000u32 {
            assert_eq!(routes.find(1, GUEST, b"\x00\x01a", &n.to_be_bytes()), None);
            routes.remember(1, GUEST, (b"\x00\x01a", 7), &n.to_be_bytes(), &queues(n));
            remembered += u32::from(!routes.is_resting());
        }
        assert!(remembered < 100_000 / 25, "{remembered}");
    }

    #[test]
    fn a_thousand_tables_in_turn_are_known_in_the_end() {
        let mut routes = HeaderRoutes::default();
        let mut known = 0;
        for n in (0..1_000u32).cycle().take(100_000) {
            match routes.find(1, GUEST, b"\x00\x01a", &n.to_be_bytes()) {
                Some(_) => known += 1,
                None => routes.remember(1, GUEST, (b"\x00\x01a", 7), &n.to_be_bytes(), &queues(n)),
            }
        }
        assert!(known > 60_000, "{known}");
    }
}

//! The keeper routes messages that pass an exchange that
//! [remembers](crate::broker::exchange::remembered) messages: it walks like the router, on the
//! shard that has the memories.
//!
//! The publisher's shard has checked the message ([`route`](crate::broker::routing::router::route))
//! and knows from the bindings that it must come here. Only the keeper decides whether the message
//! is a duplicate, and has it remembered.

use crate::base::ids::ExchangeId;
use crate::broker::catalog::{Catalog, ExchangeInfo};
use crate::broker::exchange::remembered::Memories;
use crate::broker::exchange::{Chance, Features, RoutingKeys};
use crate::broker::routing::publish_rules::CarbonCopies;
use crate::broker::routing::router::{Way, keep_each_once};
use crate::contract::{RouteSet, VhostId};
use crate::message::{MessageView, Properties, TableRef};

/// The result of routing, besides the queues.
pub struct Passed {
    /// The properties, as in [`Routed`](crate::broker::routing::router::Routed).
    pub properties: Option<Vec<u8>>,
    /// Whether a duplicate was dropped on the way.
    pub is_duplicate: bool,
}

/// A router for messages that pass exchanges that remember messages.
pub struct Keeper<'a> {
    /// The catalog.
    pub catalog: &'a Catalog,
    /// The memories.
    pub memories: &'a mut Memories,
    /// The means of random choices: the publisher's shard, and the random source.
    pub chance: Chance<'a>,
    /// Whether the keys in CC and BCC are used, too.
    pub copies: bool,
    /// The exchange that has delayed the message, if one has: the message has passed it before, and
    /// goes on from there.
    pub passed: Option<ExchangeId>,
    /// The time, milliseconds.
    pub now: u64,
}

impl Keeper<'_> {
    /// Whether the message leads to no queue, whatever the exchanges on its way remember. Does not
    /// remember the message.
    pub fn finds_nobody(&mut self, vhost: VhostId, message: &MessageView<'_>) -> bool {
        let mut found = RouteSet::new();
        if let Some(start) = self.start(vhost, message) {
            self.walk(start, message, |_, _| true, &mut found);
        }
        found.is_empty()
    }

    /// Finds the queues of a message that [`route`](crate::broker::routing::router::route) has
    /// checked, and lets the exchanges on its way remember it. If its exchange is gone, there are
    /// no queues.
    pub fn route(&mut self, vhost: VhostId, message: &MessageView<'_>, out: &mut RouteSet) -> Passed {
        out.clear();
        match self.start(vhost, message) {
            Some(start) => self.route_from(start, message, out),
            None => Passed { properties: None, is_duplicate: false },
        }
    }

    /// Finds the queues of a message like [`route`](Self::route), from an exchange on.
    pub fn route_from(&mut self, start: ExchangeId, message: &MessageView<'_>, out: &mut RouteSet) -> Passed {
        out.clear();
        let headers = Properties::trusted(message.properties).headers().unwrap_or_default();
        let copies = self.copies(headers);
        let without_blind = copies.has_blind().then(|| copies.without_blind(message.properties, headers));
        let visible = MessageView { properties: without_blind.as_deref().unwrap_or(message.properties), ..*message };
        let (passed, now) = (self.passed, self.now);
        let mut is_duplicate = false;
        let visit = |memories: &mut Memories, exchange: &ExchangeInfo| {
            let passes =
                !exchange.remembers || passed == Some(exchange.id) || memories.passes(exchange.id, &exchange.spec, &visible, headers, now);
            is_duplicate |= !passes;
            passes
        };
        self.walk(start, message, visit, out);
        keep_each_once(out);
        Passed { properties: without_blind, is_duplicate }
    }

    /// Collects the queues, with repetitions. `visit` is called for each exchange on the way, and
    /// decides whether the message goes on from there.
    fn walk(
        &mut self,
        start: ExchangeId,
        message: &MessageView<'_>,
        mut visit: impl FnMut(&mut Memories, &ExchangeInfo) -> bool,
        out: &mut RouteSet,
    ) {
        let properties = Properties::trusted(message.properties);
        let headers = properties.headers().unwrap_or_default();
        let copies = self.copies(headers);
        let keys = RoutingKeys::new(message.route.key(), copies.keys());
        let Keeper { catalog, memories, chance, .. } = self;
        Way { catalog, keys, features: Features { headers, properties } }.walk(start, chance, |exchange| visit(memories, exchange), out);
    }

    /// The exchange at which the message's way begins.
    fn start(&self, vhost: VhostId, message: &MessageView<'_>) -> Option<ExchangeId> {
        let published_to = || self.catalog.exchange_by_name(vhost, message.route.exchange()).map(|exchange| exchange.id);
        self.catalog.find_vhost(vhost).and_then(|_| self.passed.or_else(published_to))
    }

    fn copies<'m>(&self, headers: TableRef<'m>) -> CarbonCopies<'m> {
        if self.copies { CarbonCopies::of(headers).unwrap_or_default() } else { CarbonCopies::default() }
    }
}

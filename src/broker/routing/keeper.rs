//! Who routes the messages on whose way an exchange [remembers](crate::broker::exchange::remembered): the router's walk once more, where the memories are.
//!
//! The publisher's shard has checked the message ([`route`](crate::broker::routing::router::route)) and knows by the bindings that it must come here. Whether it is a
//! duplicate is decided here, and only here it is kept for later.

use crate::base::ids::ExchangeId;
use crate::broker::catalog::{Catalog, ExchangeInfo};
use crate::broker::exchange::remembered::Memories;
use crate::broker::exchange::{Chance, Features, RoutingKeys};
use crate::broker::routing::publish_rules::CarbonCopies;
use crate::broker::routing::router::{Way, keep_each_once};
use crate::contract::{RouteSet, VhostId};
use crate::message::{MessageView, Properties, TableRef};

/// What was learnt where an exchange remembers.
pub struct Passed {
    /// As of [`Routed`](crate::broker::routing::router::Routed).
    pub properties: Option<Vec<u8>>,
    /// A duplicate was dropped on the way.
    pub is_duplicate: bool,
}

/// Who routes messages through exchanges that remember.
pub struct Keeper<'a> {
    /// What exists.
    pub catalog: &'a Catalog,
    /// What they remember.
    pub memories: &'a mut Memories,
    /// The publisher's shard, and dice.
    pub chance: Chance<'a>,
    /// CC and BCC are keys, too.
    pub copies: bool,
    /// The message comes from this exchange, which has delayed it: it passed there before, and goes on.
    pub passed: Option<ExchangeId>,
    /// Milliseconds.
    pub now: u64,
}

impl Keeper<'_> {
    /// Whether the message leads to no queue at all, whatever exchanges on its way know. They do not remember it for that.
    pub fn finds_nobody(&mut self, vhost: VhostId, message: &MessageView<'_>) -> bool {
        let mut found = RouteSet::new();
        if let Some(start) = self.start(vhost, message) {
            self.walk(start, message, |_, _| true, &mut found);
        }
        found.is_empty()
    }

    /// Finds the queues of a message that [`route`](crate::broker::routing::router::route) has let pass, and has the exchanges on its way remember it. If its exchange is gone, it has none.
    pub fn route(&mut self, vhost: VhostId, message: &MessageView<'_>, out: &mut RouteSet) -> Passed {
        out.clear();
        match self.start(vhost, message) {
            Some(start) => self.route_from(start, message, out),
            None => Passed { properties: None, is_duplicate: false },
        }
    }

    /// The same from an exchange on the way on.
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

    /// Collects the queues, not yet each once. `visit` sees each exchange on the way, and says whether the message goes on from there.
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

    /// Where the message begins.
    fn start(&self, vhost: VhostId, message: &MessageView<'_>) -> Option<ExchangeId> {
        let published_to = || self.catalog.exchange_by_name(vhost, message.route.exchange()).map(|exchange| exchange.id);
        self.catalog.find_vhost(vhost).and_then(|_| self.passed.or_else(published_to))
    }

    fn copies<'m>(&self, headers: TableRef<'m>) -> CarbonCopies<'m> {
        if self.copies { CarbonCopies::of(headers).unwrap_or_default() } else { CarbonCopies::default() }
    }
}

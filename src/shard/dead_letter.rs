//! Dead letters: what a queue gives up is published again to its dead-letter exchange, or gone (rows DL1 to DL12).
//!
//! ```text
//! rejected, expired, over the limit ─ die ─▶ dead, oldest first ─ bury, a budget per turn ─▶ route ─▶ queues here and elsewhere
//!                                     └ no dead-letter exchange: gone                            └▶ then the log lets go of the old place
//! ```
//!
//! The log has the message in its new place before it lets go of the old one, so a crash may leave it in both, but loses none whose new queue
//! lives on this shard. (What goes to another shard is under way for a moment, as in RabbitMQ.)

use super::{Shard, local_queue};
use crate::base::ids::{QueueAddr, QueueId};
use crate::base::limits::BURY_BUDGET;
use crate::broker::arena::Holders;
use crate::broker::dead_letter::{Dead, Death, Reason};
use crate::broker::exchange::{Chance, Features};
use crate::broker::router::Way;
use crate::contract::{Entry, RouteSet};
use crate::message::{MessageView, Properties, Route, Stamp, Value, wire};

/// A message that died and is to be published again.
#[derive(Clone, Copy)]
pub struct Corpse {
    queue: QueueId,
    entry: Entry,
    reason: Reason,
}

/// A dead message on its way: owned, because its old place goes.
struct Letter {
    route: Vec<u8>,
    stamp: Stamp,
    properties: Vec<u8>,
    routes: RouteSet,
    /// CC counts.
    copies: bool,
    /// An exchange on its way remembers it: shard 0 routes it.
    is_remembered: bool,
}

impl Shard {
    /// A message that was in a queue here dies.
    pub(super) fn die(&mut self, queue: QueueId, entry: Entry, reason: Reason) {
        let settings = local_queue(&mut self.queues, queue).and_then(|queue| queue.settings());
        if settings.is_some_and(|settings| settings.dead_letter.is_some()) {
            self.dead.push_back(Corpse { queue, entry, reason });
        } else {
            self.let_go(queue, entry);
        }
    }

    /// A message that a full queue here has refused dies.
    pub(super) fn die_refused(&mut self, queue: QueueId, message: &MessageView<'_>) {
        let entry = Entry::new(0, 0, self.arena.insert(message, Holders::One));
        self.die(queue, entry, Reason::MaxLength);
    }

    /// Publishes the dead again, within a budget, and only while the log and the links to other shards have room.
    pub(super) fn bury_dead(&mut self) {
        for _ in 0..BURY_BUDGET {
            if self.dead.is_empty() || !self.has_room_to_forward() {
                return;
            }
            self.bury_next();
        }
    }

    /// The same for all that died in queues that are about to go.
    pub(super) fn bury_all(&mut self) {
        while !self.dead.is_empty() {
            self.bury_next();
        }
    }

    /// Whether there are dead to be published again, and room for them.
    pub(super) fn can_bury(&self) -> bool {
        !self.dead.is_empty() && self.has_room_to_forward()
    }

    /// Whether the log and the links to other shards have room for what is published again.
    pub(super) fn has_room_to_forward(&self) -> bool {
        !self.store.is_congested() && self.links.iter().flatten().all(|link| link.has_room())
    }

    fn bury_next(&mut self) {
        let Some(Corpse { queue, entry, reason }) = self.dead.pop_front() else { return };
        if let Some(letter) = self.letter(queue, entry, reason) {
            let Letter { route, stamp, properties, routes, copies, is_remembered } = letter;
            let body = self.arena.view(entry.message).body.to_owned();
            let message = MessageView { route: Route::new(&route), properties: &properties, stamp, body: body.as_body() };
            match self.catalog.queue(queue) {
                Some(info) if is_remembered => self.relay_dead(info.vhost, &message, copies),
                _ => self.forward_dead(&message, &routes),
            }
        }
        self.let_go(queue, entry);
    }

    /// What is published of a dead message, and where to; none: nowhere.
    fn letter(&mut self, queue: QueueId, entry: Entry, reason: Reason) -> Option<Letter> {
        let info = self.catalog.queue(queue)?;
        let target = local_queue(&mut self.queues, queue)?.settings()?.dead_letter.as_ref()?;
        let message = self.arena.view(entry.message);
        let now = self.epoch_ms + self.now;
        let death = Death { queue: &info.spec.name, reason, time: now / 1000 };
        let dead = Dead::new(&message, &death, self.config.trust_client_deaths);
        let key = target.routing_key.as_deref().unwrap_or(message.route.key());
        let headers = Properties::trusted(&dead.properties).headers().unwrap_or_default();
        let copies = target.routing_key.is_none();
        let carbon = headers.find("CC").filter(|_| copies).and_then(Value::as_array);
        let carbon = carbon.into_iter().flatten().filter_map(Value::as_text);
        let mut routes = RouteSet::new();
        let keys = || std::iter::once(key).chain(carbon.clone());
        let chance = Chance { rng: &mut self.rng, here: self.id };
        let way = Way { catalog: &self.catalog, keys, features: Features { headers, properties: Properties::trusted(&dead.properties) } };
        let is_remembered = way.route_dead(info.vhost, &target.exchange, chance, &mut routes);
        routes.retain(|addr| self.catalog.queue(addr.queue).is_some_and(|queue| !dead.is_cycle(&queue.spec.name)));
        let mut route = Vec::with_capacity(2 + target.exchange.len() + key.len());
        wire::put_shortstr(&mut route, &target.exchange);
        wire::put_shortstr(&mut route, key);
        let was_delivered = reason == Reason::Rejected || entry.redelivered();
        let stamp = if was_delivered { message.stamp.delivered() } else { message.stamp };
        Some(Letter { route, stamp: stamp.died().renewed(now), properties: dead.properties, routes, copies, is_remembered })
    }

    /// Gives a dead message to queues here and elsewhere. Those that refuse it do not get it.
    fn forward_dead(&mut self, message: &MessageView<'_>, routes: &[QueueAddr]) {
        self.forward(None, message, routes);
        (self.refused, self.link_full) = (false, false);
    }

    /// A message that was in a queue here is gone.
    pub(super) fn let_go(&mut self, queue: QueueId, entry: Entry) {
        self.arena.release(entry.message);
        if let Some(queue) = local_queue(&mut self.queues, queue) {
            Shard::log_settled(&mut self.store, queue, std::iter::once(entry));
        }
    }
}

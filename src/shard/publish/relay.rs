//! Relayed messages: their way leads through an exchange that remembers messages, so shard 0 routes
//! them, wherever they were published.
//!
//! ```text
//! publisher's shard ── Relay ─▶ shard 0: duplicate? keep it, route it ── Publish ─▶ queue's home
//!         ◀── Returned (mandatory, no queue), Relayed ──    ◀── Accepted ──
//! ```
//!
//! `Relayed` says that all queues of the message have it (and the disk, if it must last). It ends
//! the publisher's hold. Until then, requests of its connection wait: a client that publishes and
//! then asks for the message finds it, as if it had gone straight. Messages of one channel through
//! one exchange keep their order, because all of the way is one sequence of mail. They may change
//! places with messages that the channel publishes past such exchanges.
//!
//! Nothing grows without bound: if a link has no room for the messages that shard 0 spreads, shard
//! 0 reads no mail until it has. Mail backs up into the rings, and publishers feel that as they
//! feel any full link.
//!
//! A queue that is bound to a recent history gets the history's messages at the moment in which
//! shard 0 makes the binding. That mail is ahead of the news of the binding, so the messages are in
//! the queue when the client hears of the binding. No message is missed or comes twice, because all
//! publishes to the history pass through here.

use slab::Slab;

use crate::base::ids::{ConnId, ExchangeId, QueueAddr, ShardId};
use crate::broker::catalog::Change;
use crate::broker::dead_letter::Dead;
use crate::broker::exchange::remembered::Memories;
use crate::broker::exchange::{Chance, Dest, Kept};
use crate::broker::routing::keeper::Keeper;
use crate::contract::{RouteSet, Topology, VhostId};
use crate::message::{MessageView, Stamp};
use crate::shard::Shard;
use crate::shard::jobs::Job;
use crate::shard::peers::mail::{Hold, Mail, Relay, Relayed};
use crate::shard::publish::Publishing;
use crate::shard::publish::dispatch::{Found, Published};
use crate::shard::publish::effect::Effect;
use crate::shard::queues::dead_letter::Left;
use crate::store::arrivals::Origin;

/// The part of shard 0: the memories of exchanges, and relayed messages on their way to queues.
#[derive(Default)]
pub struct Relays {
    memories: Memories,
    waiting: Slab<Waiting>,
    /// Whether a link had no room: no mail is read until all have.
    is_congested: bool,
}

/// A relayed message that some queues do not have yet.
struct Waiting {
    /// The publisher's shard.
    from: ShardId,
    /// The answer for the publisher.
    relayed: Relayed,
    /// The message's queues, and the places of those that have refused it.
    routes: RouteSet,
    refused: Vec<usize>,
    /// How many acceptances are expected, once that is known, and how many have come.
    waits: Option<usize>,
    heard: usize,
}

impl Relays {
    /// Whether relayed messages have found no room.
    pub fn is_congested(&self) -> bool {
        self.is_congested
    }

    /// Notes that there is room again.
    pub fn go_on(&mut self) {
        self.is_congested = false;
    }
}

impl Shard {
    /// Finds the queues of a message whose way leads through an exchange that remembers. Shards
    /// other than 0 send it to shard 0.
    pub(in crate::shard) fn find_remembered(&mut self, id: ConnId, published: &Published<'_, '_>) -> Found {
        self.publishing.routes.clear();
        if self.id != ShardId::ORDERER {
            let effect = self.relay(id, published);
            return Found { count: 1, is_done: true, effect, ..Found::default() };
        }
        let mut routes = std::mem::take(&mut self.publishing.routes);
        let vhost = self.conns.get(id).expect("a publisher is connected").session.vhost();
        let message = published.contents[0].sent_to(published.route);
        let passed = self.keeper(self.id, true).route(vhost, &message, &mut routes);
        self.publishing.routes = routes;
        let properties = passed.properties.unwrap_or_else(|| message.properties.to_vec());
        let is_done = passed.is_duplicate && self.publishing.routes.is_empty();
        Found { count: 1, properties: Some(properties), is_done, ..Found::default() }
    }

    /// Does the same for a message of a transaction, and gives it to its queues at once.
    pub(in crate::shard) fn publish_remembered(&mut self, id: ConnId, published: &Published<'_, '_>) -> Effect {
        let found = self.find_remembered(id, published);
        self.spread_found(id, published, &found)
    }

    /// Sends a message to shard 0, which routes it.
    fn relay(&mut self, id: ConnId, published: &Published<'_, '_>) -> Effect {
        let &Published { channel, mandatory, wanted, .. } = published;
        let conn = self.conns.get_mut(id).expect("a publisher is connected");
        conn.relayed += 1;
        let (vhost, generation) = (conn.session.vhost(), conn.session.generation(channel));
        let publisher = Some(wanted.hold(id, channel, generation));
        self.hold_published(id, channel, wanted, 1, 1);
        let link = self.link(ShardId::ORDERER);
        let relay = Relay { publisher, vhost, mandatory, copies: true, is_dead: false, passed: None, at: 0 };
        link.relay(&published.contents[0].sent_to(published.route), relay);
        Effect::LINK_FULL.when(!link.has_room())
    }

    /// Relays a message that died here. `copies`: CC and BCC are keys, too. `hold` hears when
    /// queues have it.
    pub(in crate::shard) fn relay_dead(&mut self, vhost: VhostId, message: &MessageView<'_>, copies: bool, hold: Option<Hold>) {
        self.send_relay(Relay { publisher: hold, vhost, mandatory: false, copies, is_dead: true, passed: None, at: 0 }, message);
    }

    /// Relays a message of a queue here.
    pub(in crate::shard) fn send_relay(&mut self, relay: Relay, message: &MessageView<'_>) {
        if self.id == ShardId::ORDERER {
            self.on_relay(self.id, &relay, message);
        } else {
            self.link(ShardId::ORDERER).relay(message, relay);
        }
    }

    /// Shard 0: routes a message from shard `from`.
    pub(in crate::shard) fn on_relay(&mut self, from: ShardId, relay: &Relay, message: &MessageView<'_>) {
        let &Relay { publisher, vhost, mandatory, copies, is_dead, passed, .. } = relay;
        if let Some(hold) = publisher.filter(|_| is_dead)
            && self.keeper(from, copies).finds_nobody(vhost, message)
        {
            return self.tell_relayed(from, Relayed { hold, is_refused: true, is_taken: false, refused: Box::default() });
        }
        let mut routes = std::mem::take(&mut self.publishing.routes);
        let passed = Keeper { passed, ..self.keeper(from, copies) }.route(vhost, message, &mut routes);
        let message = MessageView { properties: passed.properties.as_deref().unwrap_or(message.properties), ..*message };
        if is_dead {
            let dead = Dead::again(&message);
            let is_cycle = |addr: &QueueAddr| self.catalog.queue(addr.queue).is_some_and(|queue| dead.is_cycle(&queue.spec.name));
            let cycles: RouteSet = routes.iter().copied().filter(is_cycle).collect();
            routes.retain(|addr| !cycles.contains(addr));
            self.note_cycles(cycles.into_iter().map(|addr| addr.queue));
        }
        if mandatory
            && routes.is_empty()
            && !passed.is_duplicate
            && let Some(way_back) = publisher.and_then(Hold::way_back)
        {
            self.link(from).give_back(&message, way_back);
        }
        let effect = match publisher {
            Some(hold) => {
                let relayed = Relayed { hold, is_refused: false, is_taken: false, refused: Box::default() };
                let waiting = Waiting { from, relayed, routes: routes.clone(), refused: Vec::new(), waits: None, heard: 0 };
                let at = self.publishing.relays.waiting.insert(waiting);
                let is_here = from == self.id && matches!(hold, Hold::Transfer { .. } | Hold::Delayed { .. });
                let origin = relay.passed.and_then(|exchange| self.origin(exchange, hold, routes.len()));
                let (waits, effect) = self.hand_over(Hold::relay(at), origin, is_here, &message, &routes);
                self.publishing.relays.waiting[at].waits = Some(waits);
                self.end_if_done(at);
                effect
            }
            None => self.forward(&message, &routes),
        };
        self.publishing.routes = routes;
        self.publishing.relays.is_congested |= effect.has(Effect::LINK_FULL);
    }

    /// Returns the origin of a message that an exchange has delayed, if it survives a restart
    /// there.
    fn origin(&self, exchange: ExchangeId, hold: Hold, copies: usize) -> Option<Origin> {
        let Hold::Delayed { sequence, .. } = hold else { return None };
        let delay_queue = self.catalog.exchange(exchange)?.delay_queue?;
        let queue = self.catalog.queue(delay_queue.queue).filter(|queue| queue.spec.durable)?;
        Some(Origin { place: (queue.number, sequence), copies: copies as u32 })
    }

    /// Shard 0: a queue, or the disk, has a relayed message.
    pub(in crate::shard) fn on_relay_accepted(&mut self, at: usize) {
        self.publishing.relays.waiting[at].heard += 1;
        self.end_if_done(at);
    }

    /// Shard 0: a queue has refused its part of a relayed message. (Its acceptance follows.)
    pub(in crate::shard) fn on_relay_refused(&mut self, at: usize, part: usize) {
        self.publishing.relays.waiting[at].refused.push(part);
    }

    /// Shard 0: tells the publisher of the relayed message `at` once all its queues have answered.
    fn end_if_done(&mut self, at: usize) {
        if self.publishing.relays.waiting[at].waits == Some(self.publishing.relays.waiting[at].heard) {
            let Waiting { from, relayed, routes, refused, .. } = self.publishing.relays.waiting.remove(at);
            let (is_refused, is_taken) = (!refused.is_empty(), refused.len() < routes.len());
            let refused = refused.into_iter().map(|part| routes[part]).collect();
            self.tell_relayed(from, Relayed { is_refused, is_taken, refused, ..relayed });
        }
    }

    /// Shard 0: tells a shard the outcome of a message that it had relayed.
    fn tell_relayed(&mut self, from: ShardId, relayed: Relayed) {
        if from == self.id {
            self.on_relayed(relayed);
        } else {
            self.link(from).stage(Mail::Relayed(relayed));
        }
    }

    /// All queues have answered for a message that was relayed from here.
    pub(in crate::shard) fn on_relayed(&mut self, relayed: Relayed) {
        let Relayed { hold, is_refused, is_taken, refused } = relayed;
        match hold {
            Hold::Transfer { at, .. } | Hold::Delayed { at, .. } => {
                if is_refused {
                    self.on_transfer_left(at as usize, Left { queues: refused.into_vec(), is_taken });
                }
                self.on_transfer_accepted(at as usize);
            }
            Hold::Confirm { conn, .. } | Hold::Commit { conn, .. } | Hold::Unconfirmed { conn, .. } => {
                if is_refused {
                    self.on_refused(hold);
                }
                self.on_accepted_by_queue(&[(hold, 1)]);
                self.end_relayed(conn);
            }
            Hold::Relay { .. } => unreachable!("shard 0 relays no message twice"),
        }
    }

    /// Counts a client's relayed message as routed. After the last one, what waited for it goes on.
    fn end_relayed(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.relayed -= 1;
        if conn.relayed > 0 {
            return;
        }
        let (commit, request) = (conn.commit.as_mut().and_then(|commit| commit.rest.take()), conn.delayed.take());
        self.jobs.extend(commit.map(|commit| Job::Commit(*commit)));
        if let Some((channel, request)) = request {
            self.on_request(id, channel, request);
        }
    }

    /// Shard 0: a change was applied. Forgets deleted exchanges; gives new bindings of a recent
    /// history its messages.
    pub(in crate::shard) fn remember_change(&mut self, change: &Change) {
        let catalog = &self.catalog;
        self.queues.rubbish.forgotten.extend(self.publishing.relays.memories.retain(|id| catalog.exchange(id).is_some()));
        let Change::Topology { vhost, topology: Topology::Bind(spec), .. } = change else { return };
        let Some(vhost) = catalog.vhost_by_name(vhost) else { return };
        let source = catalog.exchange_by_name(vhost, spec.source.as_bytes()).filter(|source| source.remembers);
        let (Some(source), Some(dest)) = (source, catalog.dest(vhost, spec.kind, &spec.destination)) else { return };
        let messages: Vec<Kept> = self.publishing.relays.memories.history(source.id).cloned().collect();
        for message in messages {
            self.replay(&message.view(), dest);
        }
    }

    /// Shard 0: gives a message of a history to the destination of a new binding.
    fn replay(&mut self, message: &MessageView<'_>, dest: Dest) {
        let mut routes = RouteSet::new();
        match dest {
            Dest::Queue(queue) => routes.push(queue),
            Dest::Exchange(id) => _ = self.keeper(self.id, true).route_from(id, message, &mut routes),
        }
        let stamp = if message.stamp == Stamp::NONE { Stamp::NONE } else { message.stamp.renewed(self.span_start_time()) };
        let effect = self.forward(&MessageView { stamp, ..*message }, &routes);
        self.publishing.relays.is_congested |= effect.has(Effect::LINK_FULL);
    }

    fn keeper(&mut self, publisher: ShardId, copies: bool) -> Keeper<'_> {
        let Shard { catalog, publishing: Publishing { relays, .. }, rng, now, .. } = self;
        let chance = Chance { rng, here: publisher };
        Keeper { catalog, memories: &mut relays.memories, chance, copies, passed: None, now: *now }
    }
}

//! Dead letters: a message that a queue gives up is published again to the queue's dead-letter
//! exchange, or dropped (rows DL1 to DL12).
//!
//! ```text
//! rejected, expired, surplus ─ die ─┬ dead, oldest first ─ bury, some per turn ─▶ route ─▶ queues
//!                                   └ no dead-letter exchange: dropped
//! then the log lets go of the old place
//! ```
//!
//! A letter to more queues than a turn has time for is given to some at a time, before the next one
//! begins.
//!
//! If old and new place are both on this shard, one batch of the log has the message in its new
//! place and lets go of the old one: a crash leaves it in one of the two. (On its way to another
//! shard it is in neither for a moment, as in RabbitMQ.)
//!
//! A queue whose strategy is at-least-once keeps each letter until all its new queues have it (see
//! [`transfer`](crate::shard::publish::transfer)). As long as there is no such queue, or one
//! refuses the letter, it tries again (row D16, see [`unburied`](crate::shard::queues::unburied)).
//! Exchanges that remember messages are passed only once; after that, a letter tries again only
//! with the queues that have refused it.

use crate::base::ids::{QueueAddr, QueueId};
use crate::base::limits::{BURY_BUDGET, BURY_QUEUES_BUDGET};
use crate::broker::arena::Holders;
use crate::broker::catalog::QueueInfo;
use crate::broker::dead_letter::{Dead, Death, Reason};
use crate::broker::exchange::{Chance, Features, RoutingKeys};
use crate::broker::queue::{Counts, Queue};
use crate::broker::routing::router::Way;
use crate::contract::{Entry, NOWHERE, RouteSet, VhostId};
use crate::message::{MessageView, Properties, Route, Stamp, Value, wire};
use crate::shard::Shard;
use crate::shard::local_queue;
use crate::shard::peers::mail::Hold;
use crate::shard::publish::transfer::Leaving;
use crate::shard::queues::gone_queues::GoneQueue;
use crate::shard::queues::unburied::Awaited;

/// A message that died and is to be published again.
pub struct Corpse {
    /// The queue where it died.
    pub queue: QueueId,
    /// Its entry in that queue.
    pub entry: Entry,
    /// The reason of its death.
    pub reason: Reason,
    /// Queues that have it already, while others refuse it.
    pub taken: Vec<QueueId>,
    /// Set once it was routed through exchanges that remember messages, which happens only once:
    /// the queues among its destinations that have refused it.
    pub left: Option<Left>,
    /// Its number among the waiting letters (0: it has not waited yet), and the queues that it
    /// waits for.
    pub number: u64,
    pub awaited: Vec<Awaited>,
    /// Whether it was counted as a message that would come back where it died.
    pub is_cycle_noted: bool,
    /// The queue for which it tries again, because its turn among the letters that wait for it has
    /// come.
    pub tried: Option<Awaited>,
}

/// The rest of the work for a letter that exchanges remember.
#[derive(Clone)]
pub struct Left {
    /// The queues that do not have it yet.
    pub queues: Vec<QueueAddr>,
    /// Whether other queues have it.
    pub is_taken: bool,
}

/// A dead message on its way. It owns its bytes, because its old place goes.
struct Letter {
    route: Vec<u8>,
    stamp: Stamp,
    properties: Vec<u8>,
    routes: RouteSet,
    /// Whether its CC header counts.
    copies: bool,
    /// The virtual host in which it is published.
    vhost: VhostId,
    /// Whether an exchange on its way remembers messages: then shard 0 routes it.
    is_remembered: bool,
    /// Whether its old queue keeps it until the new ones have it.
    at_least_once: bool,
    /// Whether some of its destinations need not get it: it comes from there, or is there already.
    is_through: bool,
}

/// A letter to more queues than a turn has time for.
pub struct Begun {
    corpse: Corpse,
    letter: Letter,
    /// How many of its queues have it.
    at: usize,
}

impl Letter {
    fn finds_nobody(&self) -> bool {
        self.routes.is_empty() && !self.is_remembered && !self.is_through
    }
}

impl Shard {
    /// Lets a message of a queue here die.
    pub(in crate::shard) fn die(&mut self, queue: QueueId, entry: Entry, reason: Reason) {
        let settings = local_queue(&mut self.queues.slots, queue).and_then(|queue| queue.settings());
        if settings.is_some_and(|settings| settings.dead_letter.is_some()) {
            let (taken, awaited) = (Vec::new(), Vec::new());
            self.queues.dead.push(Corpse {
                queue,
                entry,
                reason,
                taken,
                left: None,
                number: 0,
                awaited,
                is_cycle_noted: false,
                tried: None,
            });
        } else {
            self.let_go(queue, entry);
        }
    }

    /// Lets a message die that a full queue here has refused.
    pub(in crate::shard) fn die_refused(&mut self, queue: QueueId, message: &MessageView<'_>) {
        let entry = Entry::at(NOWHERE, self.arena.insert(message, Holders::One));
        self.die(queue, entry, Reason::MaxLength);
    }

    /// Publishes dead messages again, within a budget, and only while the log and the links to
    /// other shards have room.
    pub(in crate::shard) fn bury_dead(&mut self) {
        let (mut letters, mut queues) = (0, 0);
        while letters < BURY_BUDGET && queues < BURY_QUEUES_BUDGET && self.can_bury() {
            letters += 1;
            queues += self.bury_next(BURY_QUEUES_BUDGET - queues);
        }
    }

    /// Keeps the facts of a queue that is about to go, because its dead messages are published
    /// later.
    pub(in crate::shard) fn keep_gone(&mut self, id: QueueId) {
        let queue = local_queue(&mut self.queues.slots, id);
        let target = queue.and_then(|queue| queue.settings()?.dead_letter.clone());
        if let (Some(target), Some(info)) = (target, self.catalog.queue(id)) {
            self.queues.dead.keep_gone(id, GoneQueue { vhost: info.vhost, name: info.spec.name.clone(), target });
        }
    }

    /// Whether there are dead messages to be published again, and room for them.
    pub(in crate::shard) fn can_bury(&self) -> bool {
        !self.queues.dead.is_empty() && self.has_room_to_forward()
    }

    /// Whether the log and the links to other shards have room for republished messages, and the
    /// turn has budget left for them.
    pub(in crate::shard) fn has_room_to_forward(&self) -> bool {
        !self.work.is_spent()
            && !self.durability.store.is_congested()
            && !self.publishing.transfers.is_full()
            && self.peers.links.iter().flatten().all(|link| link.has_room())
    }

    /// Publishes the next dead message again, to at most `most` queues for now. Returns the number
    /// of queues.
    fn bury_next(&mut self, most: usize) -> usize {
        if let Some(begun) = self.queues.dead.begun.take() {
            return self.go_on_burying(begun, most);
        }
        let Some(mut corpse) = self.queues.dead.pop() else { return 0 };
        match self.letter(&mut corpse) {
            Some(letter) if letter.at_least_once && letter.finds_nobody() => {
                self.bury_later(corpse, vec![None]);
                0
            }
            Some(letter) if letter.at_least_once => self.send_at_least_once(corpse, letter),
            Some(letter) => self.go_on_burying(Begun { corpse, letter, at: 0 }, most),
            None => {
                self.buried(corpse);
                0
            }
        }
    }

    /// Gives a letter to at most `most` more of its queues; after the last one, its old place goes.
    /// Returns the number of queues.
    fn go_on_burying(&mut self, mut begun: Begun, most: usize) -> usize {
        let Begun { ref corpse, ref letter, at } = begun;
        let end = letter.routes.len().min(at.saturating_add(most));
        self.send_letter(corpse.entry, letter, &letter.routes[at..end], None);
        if end == letter.routes.len() {
            self.buried(begun.corpse);
        } else {
            begun.at = end;
            self.queues.dead.begun = Some(begun);
        }
        end - at
    }

    /// Publishes a dead message that its queue keeps until others have it. For a queue that other
    /// letters wait for, it waits behind them. Returns the number of queues that it goes to.
    fn send_at_least_once(&mut self, corpse: Corpse, mut letter: Letter) -> usize {
        let entry = corpse.entry;
        let is_open = |addr: &QueueAddr| corpse.tried == Some(Some(*addr)) || !self.queues.dead.awaits(*addr);
        let (open, closed): (Vec<QueueAddr>, Vec<QueueAddr>) = letter.routes.iter().partition(|addr| is_open(addr));
        letter.routes = RouteSet::from_vec(open);
        let leaving = Leaving::Dead { corpse, routes: letter.routes.clone(), closed };
        self.transfer(leaving, |shard, hold| shard.send_letter(entry, &letter, &letter.routes, Some(hold)));
        letter.routes.len()
    }

    /// Publishes a dead message again, to these of its queues. Returns how many times `hold`, or
    /// its part for one of the queues, will be told that some have it.
    fn send_letter(&mut self, entry: Entry, letter: &Letter, routes: &[QueueAddr], hold: Option<Hold>) -> usize {
        let body = self.arena.view(entry.message).body.to_owned();
        let Letter { route, properties, stamp, .. } = letter;
        let message = MessageView { route: Route::new(route), properties, stamp: *stamp, body: body.as_body() };
        if letter.is_remembered {
            self.relay_dead(letter.vhost, &message, letter.copies, hold);
            return 1;
        }
        let Some(hold) = hold else {
            _ = self.forward(&message, routes); // has_room_to_forward looks at links and log
            return 0;
        };
        self.hand_over(hold, None, true, &message, routes).0
    }

    /// Makes the letter of a dead message: content and destinations. None: it goes nowhere.
    fn letter(&mut self, corpse: &mut Corpse) -> Option<Letter> {
        let &mut Corpse { queue, entry, reason, ref taken, ref left, ref mut is_cycle_noted, .. } = corpse;
        let (now, start) = (self.time_of_day(), self.span_start_time());
        let home = local_queue(&mut self.queues.slots, queue);
        let (vhost, name, target) = match (home.as_deref(), self.queues.dead.gone.find(queue)) {
            (Some(home), _) => {
                let info = self.catalog.queue(queue)?;
                (info.vhost, &info.spec.name, home.settings()?.dead_letter.as_ref()?)
            }
            (None, gone) => gone.map(|gone| (gone.vhost, &gone.name, &gone.target))?,
        };
        let message = self.arena.view(entry.message);
        let counted = home.as_deref().filter(|_| target.at_least_once).and_then(|home| counted(home, entry, reason, message.properties));
        let message = MessageView { properties: counted.as_deref().unwrap_or(message.properties), ..message };
        let death = Death { queue: name, reason, time: now / 1000 };
        let dead = Dead::new(&message, &death, self.config.trust_client_deaths);
        let key = target.routing_key.as_deref().unwrap_or(message.route.key());
        if target.exchange.len().max(key.len()) > usize::from(u8::MAX) {
            return None; // no message can have such an exchange or key
        }
        let headers = Properties::trusted(&dead.properties).headers().unwrap_or_default();
        let copies = target.routing_key.is_none();
        let carbon = headers.find("CC").filter(|_| copies).and_then(Value::as_array);
        let carbon = carbon.into_iter().flatten().filter_map(Value::as_text);
        let mut routes = RouteSet::new();
        let keys = RoutingKeys::new(key, carbon);
        let chance = Chance { rng: &mut self.rng, here: self.id };
        let way = Way { catalog: &self.catalog, keys, features: Features { headers, properties: Properties::trusted(&dead.properties) } };
        let is_remembered = way.route_dead(vhost, &target.exchange, chance, &mut routes) && left.is_none();
        let rest = left.as_ref().map(|left| left.queues.iter().copied().filter(|addr| self.catalog.queue(addr.queue).is_some()));
        if let (Some(rest), Some(left)) = (rest, left) {
            let rest: RouteSet = rest.collect();
            if left.is_taken || !rest.is_empty() {
                routes = rest;
            }
        }
        let found = routes.len();
        let is_cycle = |queue: &QueueInfo| dead.is_cycle(&queue.spec.name);
        let (catalog, mut cycles) = (&self.catalog, RouteSet::new());
        if is_remembered {
            routes.clear();
        }
        cycles.extend(routes.iter().copied().filter(|addr| catalog.queue(addr.queue).is_some_and(is_cycle)));
        routes.retain(|addr| !cycles.contains(addr) && !taken.contains(&addr.queue));
        let is_through = routes.len() < found || left.as_ref().is_some_and(|left| left.is_taken);
        let mut route = Vec::with_capacity(2 + target.exchange.len() + key.len());
        wire::put_shortstr(&mut route, &target.exchange);
        wire::put_shortstr(&mut route, key);
        let was_delivered = reason == Reason::Rejected || entry.redelivered();
        let stamp = if was_delivered { message.stamp.delivered() } else { message.stamp };
        let (stamp, properties, at_least_once) = (dead.stamp(stamp).renewed(start), dead.properties, target.at_least_once);
        if !cycles.is_empty() && !std::mem::replace(is_cycle_noted, true) {
            self.note_cycles(cycles.into_iter().map(|addr| addr.queue));
        }
        Some(Letter { route, stamp, properties, routes, copies, vhost, is_remembered, at_least_once, is_through })
    }

    /// Drops a message of a queue here.
    pub(in crate::shard) fn let_go(&mut self, queue: QueueId, entry: Entry) {
        self.arena.release(entry.message);
        if let Some(queue) = local_queue(&mut self.queues.slots, queue) {
            Shard::log_settled(&mut self.durability.store, queue, std::iter::once(entry));
        }
    }
}

/// Returns the properties of a dead message with its counts of returns, as RabbitMQ writes them if
/// the strategy is at-least-once.
fn counted(queue: &Queue, entry: Entry, reason: Reason, properties: &[u8]) -> Option<Vec<u8>> {
    let Counts { acquired, delivered } = queue.counts(entry).unwrap_or_default();
    let now = u32::from(reason == Reason::Rejected);
    let counts = Counts { acquired: acquired + now, delivered: delivered + now };
    (counts != Counts::default()).then(|| counts.write(properties))
}

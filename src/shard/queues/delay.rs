//! Delayed messages: they wait in a queue of their exchange until they are due, and are routed then
//! (rows X20, N3; see [`Delays`]).
//!
//! ```text
//! publish ─ route ─▶ the exchange's queue ─ hold_back ─┬ due soon: in memory ◀────┐
//!                                                      └ due later: in the log ─ fetched in time
//! due ─▶ release_due, a budget per turn ─▶ route on ─▶ transfer to the queues
//! ```
//!
//! After a restart the shard reads all that the log has of the queue, once and in order, and keeps
//! only the due time of each message. Queues of other shards say which messages they have copies
//! of: these go only to the queues that have none, or are dropped.

use smallvec::SmallVec;

use crate::base::ids::{ExchangeId, QueueAddr, QueueId};
use crate::base::limits::{BURY_BUDGET, DELAY_AHEAD_MS, DELAY_FETCH_MAX, DELAY_REST_MS, EXPIRE_BUDGET, LOG_READ_SIZE, PUBLISH_RUN_MAX};
use crate::broker::arena::{Arena, Holders};
use crate::broker::exchange::{Chance, delay, without_delay};
use crate::broker::queue::{Copies, Delays, Queue};
use crate::broker::routing::router::{self, Routed};
use crate::contract::{Entry, RouteSet};
use crate::message::{MessageView, Properties, Route};
use crate::shard::Shard;
use crate::shard::local_queue;
use crate::shard::peers::mail::{Hold, Relay};
use crate::shard::publish::transfer::{Homes, Leaving};
use crate::shard::queues::enqueue::{Admission, Batch};
use crate::store::arrivals::Origin;
use crate::store::format::{Placement, is_fleeting};

impl Shard {
    /// Makes a queue hold the messages that this exchange delays.
    pub(in crate::shard) fn delay_for(&mut self, id: QueueId, exchange: ExchangeId) {
        self.change_queue(id, |queue, _| queue.delay_for(exchange));
        if self.queue_mut(id).is_some_and(|queue| queue.spilled() > 0) {
            self.mark_queue(id);
        }
    }

    /// Takes messages into a queue that holds delayed messages. Returns how many are in memory.
    pub(in crate::shard) fn hold_back(&mut self, id: QueueId, admission: &Admission, batch: &mut Batch<'_, '_>) -> usize {
        let horizon = self.horizon();
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return 0 };
        let dues: SmallVec<[u64; PUBLISH_RUN_MAX]> = (0..batch.contents.len()).map(|at| due(&batch.message(at))).collect();
        let (count, is_near) = (dues.len(), dues.iter().all(|&due| due <= horizon));
        let mut run = self.arena.run(batch.holders());
        for (at, due) in dues.into_iter().enumerate() {
            let place = admission.first + at as u64;
            queue.pass(admission.level, 1);
            let held = is_near.then(|| Entry::at(place, batch.hold(at, admission.is_logged, &mut run)));
            let delays = queue.delays().expect("a queue of delayed messages has delays");
            match held {
                Some(entry) => delays.keep(due, entry),
                None => delays.put_off(due, place, place),
            }
        }
        self.set_queue_timer(id);
        if is_near { count } else { 0 }
    }

    /// Returns the due time up to which messages are kept in memory; 0 while there is little
    /// memory.
    pub(in crate::shard) fn horizon(&self) -> u64 {
        if self.may_read_ahead() { self.time_of_day() + DELAY_AHEAD_MS } else { 0 }
    }

    /// Whether the queue holds delayed messages.
    pub(in crate::shard) fn is_delayed(&mut self, id: QueueId) -> bool {
        local_queue(&mut self.queues.slots, id).is_some_and(|queue| queue.is_delayed())
    }

    /// Fires a timer: messages are due, or will be soon.
    pub(in crate::shard) fn on_delays_timer(&mut self, id: QueueId) {
        let now = self.time_of_day();
        let Some(delays) = delays(&mut self.queues.slots, id) else { return };
        let due = std::iter::from_fn(|| delays.take_due(now)).take(EXPIRE_BUDGET);
        self.queues.due.extend(due.map(|entry| (id, entry)));
        self.fetch_delayed(id);
    }

    /// Reads messages that are to be in memory soon or, if there is no room for those, messages
    /// that are due.
    fn fetch_delayed(&mut self, id: QueueId) {
        let now = self.time_of_day();
        let (has_room, is_held_up) = (self.may_read_ahead(), !self.queues.due.is_empty());
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        let (slot, is_scanning) = (queue.first().slot(), queue.spilled() > 0);
        let Some(delays) = queue.delays().filter(|_| !is_scanning) else { return };
        let is_fetching = self.durability.store.is_fetching(slot);
        // Messages that are due and cannot leave keep others out.
        if !has_room && (is_held_up || !delays.is_urgent(now, is_fetching)) {
            delays.rests_until = now + DELAY_REST_MS;
            return;
        }
        delays.rests_until = 0;
        let ahead = if has_room { DELAY_AHEAD_MS } else { 0 };
        let more = if is_fetching { None } else { delays.take_far(now, ahead, DELAY_FETCH_MAX) };
        self.durability.store.fetch(slot, more, LOG_READ_SIZE);
    }

    /// Messages were read from the log: those that the queue has asked for, or those that a restart
    /// has found.
    pub(in crate::shard) fn on_delayed_read(&mut self, id: QueueId, is_served: bool) {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        if queue.spilled() > 0 && is_served {
            self.mark_queue(id);
        } else {
            self.end_doubts(id);
            self.fetch_delayed(id);
        }
        self.set_queue_timer(id);
    }

    /// Routes messages that are due, within a budget, and only while the log and the links to other
    /// shards have room.
    pub(in crate::shard) fn release_due(&mut self) {
        for _ in 0..BURY_BUDGET {
            if !self.can_release() {
                return;
            }
            let Some((queue, entry)) = self.queues.due.pop_front() else { return };
            self.route_due(queue, entry);
        }
    }

    /// Whether a message is due, and there is room for it.
    pub(in crate::shard) fn can_release(&self) -> bool {
        !self.queues.due.is_empty() && self.has_room_to_forward()
    }

    fn route_due(&mut self, id: QueueId, entry: Entry) {
        let Some(delays) = delays(&mut self.queues.slots, id) else { return self.let_go(id, entry) };
        let (exchange, copies) = (delays.exchange, delays.copied.remove(&entry.sequence()));
        let place = self.place_in_log(id, entry);
        if let (Some(place), Some(copies)) = (place, &copies)
            && copies.are_all()
        {
            self.let_go(id, entry);
            return self.forget_later(place, self.everywhere());
        }
        let message = self.arena.view(entry.message);
        let (route, body) = (message.route.wire().to_vec(), message.body.to_owned());
        let properties = without_delay(message.properties);
        let stamp = message.stamp.renewed(self.span_start_time());
        let message = MessageView { route: Route::new(&route), properties: &properties, stamp, body: body.as_body() };
        let mut routes = RouteSet::new();
        let chance = Chance { rng: &mut self.rng, here: self.id };
        let routed = router::route_on(&self.catalog, exchange, &message, chance, &mut routes);
        let has = |addr: &QueueAddr| self.catalog.queue(addr.queue).map_or(0, |queue| queue.number);
        copies.iter().for_each(|copies| routes.retain(|addr| !copies.queues.contains(&has(addr))));
        let wanted = routes.len() + copies.as_ref().map_or(0, |copies| copies.queues.len());
        let homes = if routed.is_remembered || copies.is_some() { self.everywhere() } else { self.homes(&routes) };
        let is_noted = copies.is_some() || homes.iter().any(|&home| home != self.id);
        let noted = place.filter(|_| is_noted).map(|place| (place, homes));
        let origin = noted.as_ref().map(|&(place, _)| Origin { place, copies: wanted as u32 });
        let leaving = Leaving::Due { queue: id, entry, noted };
        self.transfer(leaving, |shard, hold| shard.send_on(exchange, hold, origin, &message, &routed, &routes));
    }

    /// Returns the place in the log of a message that survives a restart.
    fn place_in_log(&mut self, id: QueueId, entry: Entry) -> Option<Placement> {
        let queue = local_queue(&mut self.queues.slots, id).filter(|_| entry.message.is_logged())?;
        let number = self.durability.store.number(queue.level(entry.level()).slot())?;
        (!is_fleeting(number)).then_some((number, entry.sequence()))
    }

    /// Returns the shards on which these queues live.
    fn homes(&self, routes: &RouteSet) -> Homes {
        let mut homes: Homes = routes.iter().map(|addr| addr.home).collect();
        homes.sort_unstable();
        homes.dedup();
        homes
    }

    /// Forgets copies that queues of other shards have of messages which the log, now read, does
    /// not have.
    pub(in crate::shard) fn end_doubts(&mut self, id: QueueId) {
        let Some(queue) = local_queue(&mut self.queues.slots, id).filter(|queue| queue.spilled() == 0) else { return };
        let slot = queue.first().slot();
        let doubtful = queue.delays().map(|delays| std::mem::take(&mut delays.doubtful));
        self.forget_copies(slot, doubtful.into_iter().flatten());
    }

    /// Ends the delays of a queue that is about to go.
    pub(in crate::shard) fn end_delays(&mut self, queue: &mut Queue) {
        let slot = queue.first().slot();
        let Some(delays) = queue.delays() else { return };
        let (doubtful, copied) = (std::mem::take(&mut delays.doubtful), std::mem::take(&mut delays.copied));
        self.forget_copies(slot, doubtful.into_iter().chain(copied));
    }

    fn forget_copies(&mut self, slot: u32, copies: impl Iterator<Item = (u64, Copies)>) {
        for (sequence, _) in copies {
            if let Some(number) = self.durability.store.number(slot) {
                self.forget_later((number, sequence), self.everywhere());
            }
        }
    }

    /// Gives a message to the queues to which its exchange has led it. Returns how many times
    /// `hold` will be told that some have it.
    fn send_on(
        &mut self,
        exchange: ExchangeId,
        hold: Hold,
        origin: Option<Origin>,
        message: &MessageView<'_>,
        routed: &Routed,
        routes: &RouteSet,
    ) -> usize {
        let properties = routed.properties.as_deref().unwrap_or(message.properties);
        let message = MessageView { properties, ..*message };
        if routed.is_remembered {
            let vhost = self.catalog.exchange(exchange).expect("the exchange that routed it exists").vhost;
            let passed = Some(exchange);
            let hold = match (hold, origin) {
                (Hold::Transfer { at, .. }, Some(Origin { place: (_, sequence), .. })) => Hold::Delayed { at, sequence },
                _ => hold,
            };
            self.send_relay(
                Relay { publisher: Some(hold), vhost, mandatory: false, copies: true, is_dead: false, passed, at: 0 },
                &message,
            );
            return 1;
        }
        self.hand_over(hold, origin, true, &message, routes).0
    }
}

/// Takes a message that was read from the log, because it is due soon or because a restart has
/// found it. It is kept in memory if it is due by `horizon`. A message that was due by
/// `routed_until` may have been routed before a crash, and is marked in case it comes again.
pub fn take_up(queue: &mut Queue, arena: &mut Arena, sequence: u64, message: &MessageView<'_>, horizon: u64, routed_until: u64) {
    let level = queue.first().number();
    let is_found = queue.spilled() > 0;
    if is_found {
        queue.lose(level, 1);
    }
    let Some(delays) = queue.delays() else { return };
    if is_found {
        delays.found(sequence);
    }
    let due = due(message);
    if is_found && due > horizon {
        delays.put_off(due, sequence, sequence);
    } else {
        let stamp = if due <= routed_until { message.stamp.delivered() } else { message.stamp };
        let held = arena.insert(&MessageView { stamp, ..*message }, Holders::One);
        delays.keep(due, Entry::new(level, sequence, held.logged()));
    }
}

/// When a delayed message is due.
fn due(message: &MessageView<'_>) -> u64 {
    let headers = Properties::trusted(message.properties).headers().unwrap_or_default();
    message.stamp.time_ms().unwrap_or_default().saturating_add(delay(headers).unwrap_or_default())
}

fn delays(queues: &mut [Option<Box<Queue>>], id: QueueId) -> Option<&mut Delays> {
    local_queue(queues, id)?.delays()
}

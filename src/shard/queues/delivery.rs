//! Delivery: from a queue to its consumers, on this shard or another.
//!
//! ```text
//! a batch ─▶ enqueue ─┬ queue empty, a consumer has room: deliver at once ─▶ Sink ─┬ here: output
//!                     ├ otherwise: into memory, queue dirty, later in the turn     └ away: mail
//!                     └ memory short: into the log alone                           ▲
//! dirty queue ─▶ deliver_queue ─▶ next consumer in rotation with room ─ serve ─────┘
//!                     ├ nobody has room: the consumer is parked and unparked when it has
//!                     ├ its link is full: the queue waits for the link
//!                     └ QUEUE_BUDGET spent: back to the tail of the dirty queues
//! ```
//!
//! The first way is the hot path: a message that a consumer waits for never enters the queue. It
//! only takes the queue's next number, so that it finds its place if it is requeued. A consumer
//! here has room by its prefetch and its connection's output. One on another shard has room by the
//! link and by credit in bytes, which its shard grants in advance
//! ([`credit`](crate::shard::conns::credit)); only if its channel counts messages does the queue
//! ask first ([`Mail::Want`]).
//!
//! A consumer keeps its turn for as many messages as the rotation gives it. Messages that need no
//! acknowledgement are settled at once, in memory and in the log.

use crate::base::ids::{ChannelAddr, ConsumerId, QueueAddr, QueueId, ShardId};
use crate::base::limits::{CREDIT_MESSAGES_MAX, QUEUE_BUDGET, SPILL_MIN};
use crate::broker::arena::{Holders, Run};
use crate::broker::queue::Queue;
use crate::contract::session::Room;
use crate::contract::{Entry, Outcome, Target, cost, split_place};
use crate::message::{Content, MessageRef, MessageView, Route, Stamp};
use crate::shard::Shard;
use crate::shard::conns::Conns;
use crate::shard::conns::conn::WaitingConsumer;
use crate::shard::conns::credit::grant_or_wait;
use crate::shard::local_queue;
use crate::shard::peers::link::Link;
use crate::shard::peers::mail::{Deliver, Mail};
use crate::shard::publish::effect::Effect;
use crate::shard::queues::lifetime::has_expiration;
use crate::shard::session::Delivery;

/// The consumer that a queue serves next.
#[derive(Clone, Copy)]
struct Served {
    queue: QueueId,
    consumer: ConsumerId,
    target: Target,
    no_ack: bool,
    /// Bytes that the consumer may get, if it is on another shard.
    credit: usize,
}

/// The result of looking for the next consumer.
enum Next {
    Serve(Served),
    /// No consumer can take a message; an event will say when one can.
    Nobody,
    /// The next consumer is on another shard, and the link to it has no room.
    LinkFull,
}

/// The way to a consumer.
enum Sink<'s, 'm> {
    /// Into its connection's output.
    Here(Delivery<'s, 'm>),
    /// By mail to its connection's shard.
    There(Away<'s, 'm>),
}

/// Messages for a consumer on another shard.
struct Away<'s, 'm> {
    link: &'s mut Link,
    deliver: Deliver,
    /// Bytes that may be sent, and those that were.
    credit: usize,
    spent: usize,
    /// Route and properties of the last message.
    last: Option<(Route<'m>, &'m [u8])>,
}

/// A run of messages to the same place on their way into a queue, and their places in the arena.
/// For a queue with levels they are all of one level.
pub struct Batch<'b, 'm> {
    /// Exchange and routing key.
    route: Route<'m>,
    /// When they were published, and what has happened to them.
    stamp: Stamp,
    /// The messages.
    pub(in crate::shard) contents: &'b [Content<'m>],
    /// For each message, if several queues get it: its place in the arena, once a queue has put it
    /// there.
    stored: Option<&'b mut [Option<MessageRef>]>,
    /// The level of the queue that they go to.
    pub(in crate::shard) level: u8,
    /// They survive a restart in that queue.
    pub(in crate::shard) is_logged: bool,
}

impl Shard {
    /// Gives messages to the queue `id`, which lives here: to waiting consumers at once, else into
    /// the arena or, if memory is short, to the log alone.
    pub(in crate::shard) fn enqueue(&mut self, id: QueueId, mut batch: Batch<'_, '_>) -> Effect {
        if self.queues.levelled > 0 {
            batch.level = self.level_for(id, batch.contents[0].properties);
        }
        let (count, mut kept) = (batch.contents.len(), 0);
        let is_special = self.is_special(id, &batch);
        if is_special && self.is_delayed(id) {
            self.hold_back(id, &mut batch);
            return Effect::NONE;
        }
        if is_special && !self.admits(id, &batch.message(0)) {
            return Effect::REFUSED;
        }
        if is_special && !self.is_first_of_its_kind(id, &batch) {
            return Effect::NONE;
        }
        let mut effect = Effect::NONE;
        while kept < count {
            let done = self.deliver_at_once(id, &mut batch, kept);
            if done == 0 {
                let delivered = kept;
                let in_memory;
                (in_memory, effect) = self.append(id, &mut batch, kept);
                kept += in_memory;
                if is_special {
                    self.note_waiting(id, &batch, delivered, in_memory);
                }
                break;
            }
            kept += done;
        }
        if batch.is_logged || kept < count {
            self.note_taken(id, batch.level, count, kept, batch.is_logged);
        }
        if is_special && self.durability.logging.fresh.last() != Some(&id) {
            self.durability.logging.fresh.push(id);
        }
        effect
    }

    /// Whether the queue has extras or the messages expire. (Then they are stamped.)
    #[inline]
    fn is_special(&mut self, id: QueueId, batch: &Batch<'_, '_>) -> bool {
        batch.stamp != Stamp::NONE && (has_expiration(batch.contents[0].properties) || self.has_extras(id))
    }

    /// Whether the next message is no duplicate in this queue (row D30).
    fn is_first_of_its_kind(&mut self, id: QueueId, batch: &Batch<'_, '_>) -> bool {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return true };
        queue.is_first_of_its_kind(batch.level, batch.contents[0].properties, self.now)
    }

    fn has_extras(&mut self, id: QueueId) -> bool {
        local_queue(&mut self.queues.slots, id).is_some_and(|queue| queue.extras.is_some())
    }

    /// Notes that messages from index `from` on wait in the queue, `in_memory` of them in memory.
    fn note_waiting(&mut self, id: QueueId, batch: &Batch<'_, '_>, from: usize, in_memory: usize) {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        if in_memory > 0 {
            let next = queue.level(batch.level).next();
            self.note_deadlines(id, next - in_memory as u64, next - 1, &batch.message(from));
        }
    }

    /// Delivers messages from index `from` on straight to a consumer that is ready, if the queue is
    /// empty. Returns how many went.
    fn deliver_at_once<'m>(&mut self, id: QueueId, batch: &mut Batch<'_, 'm>, from: usize) -> usize {
        let Some(queue) = local_queue(&mut self.queues.slots, id).filter(|queue| queue.is_empty()) else { return 0 };
        let Next::Serve(served) = next(queue, &mut self.conns, &mut self.peers.links, self.id) else { return 0 };
        batch.is_logged = queue.rules.keeps(batch.contents[0].properties);
        let many = queue.consumers.turns(served.consumer, batch.contents.len() - from);
        let mut sink = open_sink(&mut self.conns, &mut self.peers.links, self.id, served);
        let mut run = self.arena.run(batch.holders());
        let was_delivered = batch.stamp.was_delivered();
        let level = queue.level(batch.level);
        let (slot, first) = (level.slot(), level.next());
        let mut done = 0;
        while done < many && sink.has_room() {
            let held = if served.no_ack { MessageRef::default() } else { batch.hold(from + done, &mut run) };
            let entry = Entry::at(first + done as u64, held);
            sink.deliver(if was_delivered { entry.returned() } else { entry }, &batch.message(from + done));
            done += 1;
        }
        let (spent, is_tight) = (sink.spent(), sink.is_tight());
        queue.change(batch.level, |level| level.pass(done));
        queue.on_delivered(served.consumer, done, spent);
        if is_tight {
            self.publishing.flow.press(QueueAddr { home: self.id, queue: id });
        }
        let sequence = split_place(first).1;
        if served.no_ack && batch.is_logged {
            self.durability.logging.gone(slot, sequence, done);
        } else if batch.is_logged && queue.rules.counts {
            self.durability.store.count(slot, sequence, sequence + done as u64 - 1, (1, 1));
        }
        if served.no_ack
            && let Some(deduplication) = queue.deduplication()
        {
            (first..first + done as u64).for_each(|place| deduplication.forget(place));
        }
        done
    }

    /// Lets messages from index `from` on wait in the queue. Returns how many of them do so in
    /// memory.
    fn append(&mut self, id: QueueId, batch: &mut Batch<'_, '_>, from: usize) -> (usize, Effect) {
        let persistent = self.config.queue_memory;
        let transient = self.config.transient_memory.unwrap_or(persistent);
        let is_short = [persistent, transient].map(|memory| self.uses_more_than(memory));
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return (0, Effect::NONE) };
        batch.is_logged = queue.rules.keeps(batch.contents[0].properties);
        let bytes = batch.contents[from..].iter().map(|content| content.body.bytes().len() as u64).sum();
        let level = queue.level(batch.level);
        let (count, was_spilling) = (batch.contents.len() - from, level.spilled() > 0);
        let spills = was_spilling || is_short[usize::from(!batch.is_logged)] && level.loaded() >= SPILL_MIN;
        let mut effect = Effect::NONE;
        if spills {
            if !was_spilling {
                self.durability.store.spill_from(level.slot(), split_place(level.next()).1);
            }
            queue.append(batch.level, bytes, |level| level.spill(count));
        } else {
            let mut run = self.arena.run(batch.holders());
            let was_delivered = batch.stamp.was_delivered();
            queue.append(batch.level, bytes, |level| {
                for at in from..batch.contents.len() {
                    let entry = Entry::at(level.next(), batch.hold(at, &mut run));
                    level.push(if was_delivered { entry.returned() } else { entry });
                }
            });
            effect = Effect::MEMORY_SHORT.when(self.arena.is_short());
        }
        if !queue.consumers.is_empty() {
            self.publishing.flow.press(QueueAddr { home: self.id, queue: id });
        }
        if queue.consumers.any_ready() {
            self.mark_queue(id);
        }
        (if spills { 0 } else { count }, effect)
    }

    /// Serves the consumers of a queue, within a budget. Returns whether there is more to do.
    pub(in crate::shard) fn deliver_queue(&mut self, id: QueueId) -> bool {
        let mut budget = QUEUE_BUDGET;
        let is_more = self.deliver_some(id, &mut budget);
        self.work.spend(1 + (QUEUE_BUDGET - budget) / DELIVERED_PER_STEP);
        is_more
    }

    fn deliver_some(&mut self, id: QueueId, budget: &mut usize) -> bool {
        while *budget > 0 {
            let Some(mut queue) = local_queue(&mut self.queues.slots, id).filter(|queue| queue.returning == 0) else { return false };
            let at_hand = queue.at_hand();
            if queue.spilled() > 0 {
                self.load_spilled(id);
                queue = local_queue(&mut self.queues.slots, id).expect("a read does not remove a queue");
            }
            if at_hand == 0 {
                self.return_unused(id);
                return false;
            }
            match next(queue, &mut self.conns, &mut self.peers.links, self.id) {
                Next::Serve(served) => *budget -= self.serve(id, served, *budget),
                Next::Nobody => {
                    self.return_unused(id);
                    return false;
                }
                Next::LinkFull => {
                    self.queues.blocked.push(id);
                    return false;
                }
            }
        }
        true
    }

    /// Gives a consumer its turn's share of messages, at most `budget`. Returns how many it got, at
    /// least one.
    fn serve(&mut self, id: QueueId, served: Served, budget: usize) -> usize {
        let queue = local_queue(&mut self.queues.slots, id).expect("a queue that is served exists");
        if queue.counts_next() {
            return self.serve_counted(id, served);
        }
        let many = queue.consumers.turns(served.consumer, budget.min(queue.at_hand()));
        let mut sink = open_sink(&mut self.conns, &mut self.peers.links, self.id, served);
        let mut over = std::mem::take(&mut self.queues.over);
        let notes = served.no_ack || queue.rules.counts;
        let mut left = many;
        let done = queue.pop_while(&self.arena, |entry, message| {
            sink.deliver(entry, &message);
            if notes {
                over.push(entry);
            }
            left -= 1;
            left > 0 && sink.has_room()
        });
        let spent = sink.spent();
        queue.on_delivered(served.consumer, done, spent);
        if served.no_ack {
            let released = over.drain(..).inspect(|entry| self.arena.release(entry.message));
            Shard::log_settled(&mut self.durability.store, queue, released);
        } else if notes {
            Shard::note_given_out(&mut self.durability.store, queue, &over);
            over.clear();
        }
        self.queues.over = over;
        done
    }

    /// Gives a consumer of a quorum queue one message, with its counts if it had come back (row
    /// S13).
    fn serve_counted(&mut self, id: QueueId, served: Served) -> usize {
        let queue = local_queue(&mut self.queues.slots, id).expect("a queue that is served exists");
        let (entry, message) = queue.pop(&self.arena).expect("a counted message is at the head");
        let counted = queue.counts(entry).map(|counts| counts.write(message.properties));
        let mut sink = open_sink(&mut self.conns, &mut self.peers.links, self.id, served);
        sink.deliver(entry, &MessageView { properties: counted.as_deref().unwrap_or(message.properties), ..message });
        let spent = sink.spent();
        queue.on_delivered(served.consumer, 1, spent);
        if served.no_ack {
            self.drop_settled(id, &[entry]);
        } else {
            Shard::note_given_out(&mut self.durability.store, queue, &[entry]);
        }
        1
    }

    /// Takes deliveries from a queue on shard `home`. There is room, because the queue has spent
    /// the consumer's credit, unless the consumer is gone.
    pub(in crate::shard) fn on_deliver<'a>(
        &mut self,
        home: ShardId,
        deliver: &Deliver,
        messages: impl Iterator<Item = (Entry, MessageView<'a>)>,
    ) {
        let &Deliver { conn: id, queue, consumer, index, channel, no_ack, count, .. } = deliver;
        if self.conns.get(id).is_none_or(|conn| conn.room(channel, index) == Room::Gone) {
            if !no_ack {
                let link = self.link(home);
                // Marked redelivered, as in RabbitMQ.
                messages.for_each(|(entry, _)| link.settle(queue, Some(consumer), &[entry], Outcome::Failed));
            }
            return;
        }
        let conn = self.conns.touch(id).expect("its consumer has room");
        let mut delivery = conn.session.delivery(channel, index);
        let mut bytes = 0;
        for (entry, message) in messages {
            bytes += cost(&message);
            delivery.deliver(entry, &message);
        }
        if conn.session.on_arrived(channel, index, count, bytes) {
            let waiting = WaitingConsumer { channel, index, queue: QueueAddr { home, queue }, consumer };
            grant_or_wait(conn, self.peers.links[home.0 as usize].as_mut().expect("every other shard has a link"), waiting);
        }
    }
}

/// Finds the next consumer with room, and parks those without on the way.
fn next(queue: &mut Queue, conns: &mut Conns, links: &mut [Option<Link>], here: ShardId) -> Next {
    while let Some((consumer, found)) = queue.consumers.next() {
        let credit = found.credit.map_or(0, |credit| credit.bytes());
        let served = Served { queue: queue.id, consumer, target: found.target, no_ack: found.no_ack, credit };
        let addr = served.target.channel.conn;
        if addr.shard != here {
            let link = links[addr.shard.0 as usize].as_mut().expect("every other shard has a link");
            if !link.has_room() {
                return Next::LinkFull;
            }
            if !found.credit.is_some_and(|credit| credit.must_ask()) {
                return Next::Serve(served);
            }
            link.stage(Mail::Want(served.target, queue.at_hand().clamp(1, CREDIT_MESSAGES_MAX) as u32));
            queue.consumers.ask(consumer);
            continue;
        }
        let Some(conn) = conns.get_mut(addr.conn) else {
            queue.consumers.park(consumer);
            continue;
        };
        let (channel, index) = (served.target.channel.channel, served.target.index);
        if conn.room(channel, index) == Room::Yes {
            return Next::Serve(served);
        }
        queue.consumers.park(consumer);
        conn.waiting.push(WaitingConsumer { channel, index, queue: QueueAddr { home: here, queue: queue.id }, consumer });
    }
    Next::Nobody
}

/// Opens the way to a consumer that has room.
fn open_sink<'s, 'm>(conns: &'s mut Conns, links: &'s mut [Option<Link>], here: ShardId, served: Served) -> Sink<'s, 'm> {
    let Served { queue, consumer, target, credit, no_ack } = served;
    let Target { channel: ChannelAddr { conn, channel }, index } = target;
    if conn.shard == here {
        let conn = conns.touch(conn.conn).expect("a consumer with room is connected");
        return Sink::Here(conn.session.delivery(channel, index));
    }
    let link = links[conn.shard.0 as usize].as_mut().expect("every other shard has a link");
    let deliver = Deliver { conn: conn.conn, queue, consumer, index, at: 0, count: 1, channel, no_ack };
    Sink::There(Away { link, deliver, credit, spent: 0, last: None })
}

impl<'m> Sink<'_, 'm> {
    #[inline]
    fn has_room(&self) -> bool {
        match self {
            Sink::Here(delivery) => delivery.has_room(),
            Sink::There(away) => away.spent < away.credit && away.link.has_room(),
        }
    }

    /// Bytes that were sent; to a consumer on another shard as its credit counts them.
    fn spent(&self) -> usize {
        match self {
            Sink::Here(delivery) => delivery.written(),
            Sink::There(away) => away.spent,
        }
    }

    /// Whether little room is left.
    fn is_tight(&self) -> bool {
        match self {
            Sink::Here(delivery) => delivery.is_tight(),
            Sink::There(away) => away.spent > away.credit / 2,
        }
    }

    #[inline]
    fn deliver(&mut self, entry: Entry, message: &MessageView<'m>) {
        match self {
            Sink::Here(delivery) => delivery.deliver(entry, message),
            Sink::There(away) => {
                let repeats = away.last.is_some_and(|(route, properties)| message.shares_head(route, properties));
                away.last = Some((message.route, message.properties));
                away.spent += cost(message);
                away.link.deliver(message, repeats, entry, away.deliver);
            }
        }
    }
}

impl<'b, 'm> Batch<'b, 'm> {
    /// Makes a batch for one queue.
    pub fn new(route: Route<'m>, stamp: Stamp, contents: &'b [Content<'m>]) -> Self {
        Batch { route, stamp, contents, stored: None, level: 0, is_logged: false }
    }

    /// Makes a batch for several queues, which share its places.
    pub fn shared(route: Route<'m>, stamp: Stamp, contents: &'b [Content<'m>], stored: &'b mut [Option<MessageRef>]) -> Self {
        Batch { route, stamp, contents, stored: Some(stored), level: 0, is_logged: false }
    }

    pub(in crate::shard) fn message(&self, at: usize) -> MessageView<'m> {
        MessageView { stamp: self.stamp, ..self.contents[at].sent_to(self.route) }
    }

    pub(in crate::shard) fn holders(&self) -> Holders {
        if self.stored.is_some() { Holders::Several } else { Holders::One }
    }

    /// Returns the place of a message in the arena, held once more.
    #[inline]
    pub(in crate::shard) fn hold(&mut self, at: usize, run: &mut Run<'_, 'm>) -> MessageRef {
        let place = self.place(at, run);
        if self.is_logged { place.logged() } else { place }
    }

    #[inline]
    fn place(&mut self, at: usize, run: &mut Run<'_, 'm>) -> MessageRef {
        if let Some(place) = self.stored.as_ref().and_then(|stored| stored[at]) {
            run.hold(place);
            return place;
        }
        let place = run.insert(&self.message(at));
        if let Some(stored) = &mut self.stored {
            stored[at] = Some(place);
        }
        place
    }
}

/// Messages whose delivery costs about a step.
const DELIVERED_PER_STEP: usize = 2;

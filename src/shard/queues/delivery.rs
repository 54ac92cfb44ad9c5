//! Delivery: from a queue to its consumers, on this shard or another.
//!
//! ```text
//! enqueue ─▶ pass_on: queue empty ─┐                                               ┌ here: output
//! dirty queue ─▶ deliver_queue ────┴─▶ next consumer in rotation with room ─▶ Sink ┴ away: mail
//!                     ├ nobody has room: the consumer is parked and unparked when it has
//!                     ├ its link is full: the queue waits for the link
//!                     └ QUEUE_BUDGET spent: back to the tail of the dirty queues
//! ```
//!
//! The first way is the hot path: a message that a consumer waits for never enters the queue. It
//! only takes the queue's next number, so that it finds its place if it is requeued. Both ways ask
//! [`next`] whose turn it is before anything is given out. Whether a message comes this far has been
//! decided in [`enqueue`](super::enqueue).
//!
//! A consumer here has room by its prefetch and its connection's output. One on another shard has
//! room by the link and by credit in bytes, which its shard grants in advance
//! ([`credit`](crate::shard::conns::credit)); only if its channel counts messages does the queue
//! ask first ([`Mail::Want`]).
//!
//! A consumer keeps its turn for as many messages as the rotation gives it. Messages that need no
//! acknowledgement are settled at once, in memory and in the log.

use crate::base::ids::{ChannelAddr, ConnId, ConsumerId, QueueAddr, QueueId, ShardId};
use crate::base::limits::{CREDIT_MESSAGES_MAX, QUEUE_BUDGET};
use crate::broker::arena::Arena;
use crate::broker::queue::Queue;
use crate::contract::session::Room;
use crate::contract::{Count, Entry, Outcome, Target, cost, split_place};
use crate::message::{MessageRef, MessageView, Route};
use crate::shard::Shard;
use crate::shard::conns::Conns;
use crate::shard::conns::conn::WaitingConsumer;
use crate::shard::conns::credit::grant_or_wait;
use crate::shard::durability::Durability;
use crate::shard::local_queue;
use crate::shard::peers::link::Link;
use crate::shard::peers::mail::{Deliver, Mail};
use crate::shard::publish::flow::Flow;
use crate::shard::publish::trace::Traces;
use crate::shard::queues::enqueue::{Admission, Batch};
use crate::shard::session::Delivery;
use crate::shard::tally::Tally;

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
    /// The same, with a note of each message, because the virtual host is traced.
    Traced(Traced<'s, 'm>),
    /// By mail to its connection's shard.
    There(Away<'s, 'm>),
}

/// A delivery that is traced.
struct Traced<'s, 'm> {
    delivery: Delivery<'s, 'm>,
    traces: &'s mut Traces,
    queue: QueueId,
    channel: (ConnId, u16),
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

/// The parts of the shard that a delivery at once needs beside the queue.
pub struct Around<'s> {
    /// The connections.
    pub conns: &'s mut Conns,
    /// The links to the other shards.
    pub links: &'s mut [Option<Link>],
    /// This shard.
    pub here: ShardId,
    /// The memory of messages.
    pub arena: &'s mut Arena,
    /// The log.
    pub durability: &'s mut Durability,
    /// The floods.
    pub flow: &'s mut Flow,
    /// The shard's counts.
    pub tally: &'s mut Tally,
    /// Deliveries to be traced.
    pub traces: &'s mut Traces,
}

impl Shard {
    /// Serves the consumers of a queue, within a budget. Returns whether there is more to do.
    pub(in crate::shard) fn deliver_queue(&mut self, id: QueueId) -> bool {
        let mut budget = QUEUE_BUDGET;
        let is_more = self.deliver_some(id, &mut budget);
        self.work.spend(1 + (QUEUE_BUDGET - budget) / DELIVERED_PER_STEP);
        is_more
    }

    fn deliver_some(&mut self, id: QueueId, budget: &mut usize) -> bool {
        while *budget > 0 {
            let Some(mut queue) = local_queue(&mut self.queues.slots, id).filter(|queue| !queue.is_returning()) else { return false };
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
        let mut sink = open_sink(&mut self.conns, &mut self.peers.links, self.id, served, &mut self.publishing.traces);
        let mut over = std::mem::take(&mut self.queues.over);
        let notes = served.no_ack || queue.rules.counts;
        let (mut left, mut again) = (many, 0);
        let done = queue.pop_while(&self.arena, |entry, message| {
            sink.deliver(entry, &message);
            again += usize::from(entry.redelivered());
            if notes {
                over.push(entry);
            }
            left -= 1;
            left > 0 && sink.has_room()
        });
        let spent = sink.spent();
        queue.on_delivered(served.consumer, served.no_ack, (done, again), spent);
        self.tally.give_out(served.no_ack, done, again);
        count_again(&mut self.conns, self.id, served, again);
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
        let mut sink = open_sink(&mut self.conns, &mut self.peers.links, self.id, served, &mut self.publishing.traces);
        sink.deliver(entry, &MessageView { properties: counted.as_deref().unwrap_or(message.properties), ..message });
        let spent = sink.spent();
        let again = entry.redelivered().into();
        queue.on_delivered(served.consumer, served.no_ack, (1, again), spent);
        self.tally.give_out(served.no_ack, 1, again);
        count_again(&mut self.conns, self.id, served, again);
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
        let is_traced = conn.is_traced;
        let mut delivery = conn.session.delivery(channel, index);
        let (mut bytes, mut again) = (0, 0);
        for (entry, message) in messages {
            bytes += cost(&message);
            again += usize::from(entry.redelivered());
            delivery.deliver(entry, &message);
            if is_traced {
                self.publishing.traces.note((id, channel), queue, entry.redelivered(), &message);
            }
        }
        if again > 0 {
            conn.session.count(channel, Count::Redeliver, again);
        }
        if conn.session.on_arrived(channel, index, count, bytes) {
            let waiting = WaitingConsumer { channel, index, queue: QueueAddr { home, queue }, consumer };
            grant_or_wait(conn, self.peers.links[home.0 as usize].as_mut().expect("every other shard has a link"), waiting);
        }
    }
}

/// Delivers the first messages of a batch straight to consumers that are ready, if the queue is
/// empty. Returns how many went.
#[inline]
pub fn pass_on(queue: &mut Queue, admission: &Admission, batch: &mut Batch<'_, '_>, mut around: Around<'_>) -> usize {
    let (mut passed, mut place) = (0, admission.first);
    while passed < batch.contents.len()
        && queue.is_empty()
        && let Next::Serve(served) = next(queue, around.conns, around.links, around.here)
    {
        let done = deliver_at_once(queue, served, admission, batch, (passed, place), &mut around);
        if done == 0 {
            break;
        }
        (passed, place) = (passed + done, place + done as u64);
    }
    passed
}

/// Delivers messages from index `from` on, which get the places from `first` on, straight to a
/// consumer. Returns how many went.
#[inline]
fn deliver_at_once(
    queue: &mut Queue,
    served: Served,
    admission: &Admission,
    batch: &mut Batch<'_, '_>,
    (from, first): (usize, u64),
    around: &mut Around<'_>,
) -> usize {
    let &Admission { level, is_logged, slot, .. } = admission;
    let many = queue.consumers.turns(served.consumer, batch.contents.len() - from);
    let mut sink = open_sink(around.conns, around.links, around.here, served, around.traces);
    let mut run = around.arena.run(batch.holders());
    let was_delivered = batch.stamp.was_delivered();
    let mut done = 0;
    while done < many && sink.has_room() {
        let held = if served.no_ack { MessageRef::default() } else { batch.hold(from + done, is_logged, &mut run) };
        let entry = Entry::at(first + done as u64, held);
        sink.deliver(if was_delivered { entry.returned() } else { entry }, &batch.message(from + done));
        done += 1;
    }
    let (spent, is_tight) = (sink.spent(), sink.is_tight());
    queue.pass(level, done);
    let again = if was_delivered { done } else { 0 };
    queue.on_delivered(served.consumer, served.no_ack, (done, again), spent);
    around.tally.give_out(served.no_ack, done, again);
    count_again(around.conns, around.here, served, again);
    if is_tight {
        around.flow.press(QueueAddr { home: around.here, queue: queue.id });
    }
    let sequence = split_place(first).1;
    if served.no_ack && is_logged {
        around.durability.logging.gone(slot, sequence, done);
    } else if is_logged && queue.rules.counts {
        around.durability.store.count(slot, sequence, sequence + done as u64 - 1, (1, 1));
    }
    if served.no_ack
        && let Some(deduplication) = queue.deduplication()
    {
        (first..first + done as u64).for_each(|place| deduplication.forget(place));
    }
    done
}

/// Counts deliveries of messages that had been delivered before for a consumer's channel here.
#[inline]
fn count_again(conns: &mut Conns, here: ShardId, served: Served, again: usize) {
    let ChannelAddr { conn, channel } = served.target.channel;
    if again > 0
        && conn.shard == here
        && let Some(conn) = conns.get_mut(conn.conn)
    {
        conn.session.count(channel, Count::Redeliver, again);
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
fn open_sink<'s, 'm>(
    conns: &'s mut Conns,
    links: &'s mut [Option<Link>],
    here: ShardId,
    served: Served,
    traces: &'s mut Traces,
) -> Sink<'s, 'm> {
    let Served { queue, consumer, target, credit, no_ack } = served;
    let Target { channel: ChannelAddr { conn, channel }, index } = target;
    if conn.shard == here {
        let id = conn.conn;
        let conn = conns.touch(id).expect("a consumer with room is connected");
        let delivery = conn.session.delivery(channel, index);
        if conn.is_traced {
            return Sink::Traced(Traced { delivery, traces, queue, channel: (id, channel) });
        }
        return Sink::Here(delivery);
    }
    let link = links[conn.shard.0 as usize].as_mut().expect("every other shard has a link");
    let deliver = Deliver { conn: conn.conn, queue, consumer, index, at: 0, count: 1, channel, no_ack };
    Sink::There(Away { link, deliver, credit, spent: 0, last: None })
}

impl<'m> Sink<'_, 'm> {
    #[inline]
    fn has_room(&self) -> bool {
        match self {
            Sink::Here(delivery) | Sink::Traced(Traced { delivery, .. }) => delivery.has_room(),
            Sink::There(away) => away.spent < away.credit && away.link.has_room(),
        }
    }

    /// Bytes that were sent; to a consumer on another shard as its credit counts them.
    fn spent(&self) -> usize {
        match self {
            Sink::Here(delivery) | Sink::Traced(Traced { delivery, .. }) => delivery.written(),
            Sink::There(away) => away.spent,
        }
    }

    /// Whether little room is left.
    fn is_tight(&self) -> bool {
        match self {
            Sink::Here(delivery) | Sink::Traced(Traced { delivery, .. }) => delivery.is_tight(),
            Sink::There(away) => away.spent > away.credit / 2,
        }
    }

    /// Delivers a message. Inlined as far as the bytes are written, and by value beyond that: so the
    /// loop over the messages keeps their views in registers.
    #[inline(always)]
    fn deliver(&mut self, entry: Entry, message: &MessageView<'m>) {
        match self {
            Sink::Here(delivery) => delivery.deliver(entry, message),
            Sink::Traced(traced) => traced.deliver(entry, *message),
            Sink::There(away) => away.deliver(entry, *message),
        }
    }
}

impl<'m> Traced<'_, 'm> {
    /// Delivers a message and notes it.
    #[inline(never)]
    fn deliver(&mut self, entry: Entry, message: MessageView<'m>) {
        self.traces.note(self.channel, self.queue, entry.redelivered(), &message);
        self.delivery.deliver(entry, &message);
    }
}

impl<'m> Away<'_, 'm> {
    /// Adds a message to the mail.
    #[inline(never)]
    fn deliver(&mut self, entry: Entry, message: MessageView<'m>) {
        let repeats = self.last.is_some_and(|(route, properties)| message.shares_head(route, properties));
        self.last = Some((message.route, message.properties));
        self.spent += cost(&message);
        self.link.deliver(&message, repeats, entry, self.deliver);
    }
}

/// Messages whose delivery costs about a step.
const DELIVERED_PER_STEP: usize = 2;

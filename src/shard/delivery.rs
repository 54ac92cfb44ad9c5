//! From a queue to its consumers, on this shard or another.

use super::conn::WaitingConsumer;
use super::conns::Conns;
use super::link::Link;
use super::mail::{Deliver, Mail};
use super::{Shard, local_queue};
use crate::base::ids::{ChannelAddr, ConnId, ConsumerId, QueueAddr, QueueId, ShardId};
use crate::base::limits::QUEUE_BUDGET;
use crate::broker::arena::Arena;
use crate::broker::queue::Queue;
use crate::contract::{Entry, Outcome, Target};
use crate::message::{Content, MessageRef, MessageView, Route};
use crate::protocol::amqp::session::Room;

/// A remote consumer that sent a delivery back: until it is served again with this epoch, older deliveries are sent back too.
pub struct RemoteHold {
    parked: bool,
    epoch: u32,
}

/// Whom a queue serves next.
#[derive(Clone, Copy)]
struct Served {
    queue: QueueId,
    consumer: ConsumerId,
    target: Target,
    no_ack: bool,
    epoch: u32,
}

/// What a look at the next consumer found.
enum Next {
    Serve(Served),
    /// Nobody can take a message; an event will say when.
    Nobody,
    /// The next consumer is remote and its link has no room.
    LinkFull,
}

impl Shard {
    /// A message for the queue `id`, which lives here: to a waiting consumer at once, else into the arena. `stored` is the message's place
    /// in the arena once one of its queues has put it there.
    pub(super) fn enqueue(&mut self, id: QueueId, message: &MessageView<'_>, stored: &mut Option<MessageRef>) {
        let Some(queue) = local_queue(&mut self.queues, id) else { return };
        if queue.is_empty()
            && let Next::Serve(served) = next(queue, &mut self.conns, &mut self.links, self.id)
        {
            let held = if served.no_ack { MessageRef::default() } else { hold(&mut self.arena, message, stored) };
            let entry = queue.place(held);
            queue.consumers.on_delivered(served.consumer, 1);
            return self.hand_over(served, entry, message);
        }
        queue.push(hold(&mut self.arena, message, stored));
        if queue.consumers.any_ready() {
            self.mark_queue(id);
        }
    }

    /// Several messages in a row for the queue `id`, which lives here.
    pub(super) fn enqueue_run(&mut self, id: QueueId, route: Route<'_>, contents: &[Content<'_>]) {
        let mut rest = contents;
        while let Some((first, others)) = rest.split_first() {
            let delivered = self.deliver_run(id, route, rest);
            if delivered == 0 {
                self.enqueue(id, &first.sent_to(route), &mut None);
                rest = others;
            } else {
                rest = &rest[delivered..];
            }
        }
    }

    /// Messages that find the queue empty and one local consumer ready go straight into its output. The answer is how many did.
    fn deliver_run(&mut self, id: QueueId, route: Route<'_>, contents: &[Content<'_>]) -> usize {
        let Some(queue) = local_queue(&mut self.queues, id).filter(|queue| queue.is_empty()) else { return 0 };
        let Next::Serve(served) = next(queue, &mut self.conns, &mut self.links, self.id) else { return 0 };
        let Target { channel: ChannelAddr { conn, channel }, index } = served.target;
        if conn.shard != self.id {
            return 0;
        }
        let many = queue.consumers.turns(served.consumer, contents.len());
        let mut delivery = self.conns.touch(conn.conn).expect("a consumer with room is connected").session.delivery(channel, index);
        let mut done = 0;
        while done < many && delivery.has_room() {
            let message = contents[done].sent_to(route);
            let held = if served.no_ack { MessageRef::default() } else { self.arena.insert(&message) };
            delivery.deliver(queue.place(held), &message);
            done += 1;
        }
        queue.consumers.on_delivered(served.consumer, done);
        done
    }

    /// Serves the consumers of one queue with what it has, within a budget. True: there is more to do, come back.
    pub(super) fn deliver_queue(&mut self, id: QueueId) -> bool {
        let mut budget = QUEUE_BUDGET;
        while budget > 0 {
            let Some(queue) = local_queue(&mut self.queues, id).filter(|queue| !queue.is_empty()) else { return false };
            match next(queue, &mut self.conns, &mut self.links, self.id) {
                Next::Serve(served) if served.target.channel.conn.shard == self.id => budget -= self.serve_here(id, served, budget),
                Next::Serve(served) => {
                    self.serve_remote(id, served);
                    budget -= 1;
                }
                Next::Nobody => return false,
                Next::LinkFull => {
                    self.blocked_queues.push(id);
                    return false;
                }
            }
        }
        true
    }

    /// Gives a local consumer what is its turn, at most `budget` messages. The answer is how many it got, at least one.
    fn serve_here(&mut self, id: QueueId, served: Served, budget: usize) -> usize {
        let Target { channel: ChannelAddr { conn, channel }, index } = served.target;
        let queue = local_queue(&mut self.queues, id).expect("it is being served");
        let many = queue.consumers.turns(served.consumer, budget.min(queue.len()));
        let mut delivery = self.conns.touch(conn.conn).expect("a consumer with room is connected").session.delivery(channel, index);
        let mut done = 0;
        while done < many && delivery.has_room() {
            let entry = queue.pop().expect("no more are served than there are");
            delivery.deliver(entry, &self.arena.view(entry.message));
            if served.no_ack {
                self.arena.release(entry.message);
            }
            done += 1;
        }
        queue.consumers.on_delivered(served.consumer, done);
        done
    }

    /// Sends one message to a consumer on another shard.
    fn serve_remote(&mut self, id: QueueId, served: Served) {
        let queue = local_queue(&mut self.queues, id).expect("it is being served");
        let entry = queue.pop().expect("it is being served");
        queue.consumers.on_delivered(served.consumer, 1);
        post_delivery(&mut self.links, served, entry, &self.arena.view(entry.message));
        if served.no_ack {
            self.arena.release(entry.message);
        }
    }

    /// A message goes out: into the connection's output, or by mail to the connection's shard.
    fn hand_over(&mut self, served: Served, entry: Entry, message: &MessageView<'_>) {
        let Target { channel: ChannelAddr { conn, channel }, index } = served.target;
        if conn.shard != self.id {
            return post_delivery(&mut self.links, served, entry, message);
        }
        let conn = self.conns.touch(conn.conn).expect("a consumer with room is connected");
        conn.session.delivery(channel, index).deliver(entry, message);
    }

    /// Deliveries from a queue on shard `home`.
    pub(super) fn on_deliver<'a>(
        &mut self,
        home: ShardId,
        deliver: &Deliver,
        mut messages: impl Iterator<Item = (Entry, MessageView<'a>)>,
    ) {
        let is_usual = self.remote_holds.is_empty()
            && self.conns.get(deliver.conn).is_some_and(|conn| conn.room(deliver.channel, deliver.index) == Room::Yes);
        if is_usual {
            let conn = self.conns.touch(deliver.conn).expect("it has room");
            let mut delivery = conn.session.delivery(deliver.channel, deliver.index);
            while delivery.has_room() {
                let Some((entry, message)) = messages.next() else { return };
                delivery.deliver(entry, &message);
            }
        }
        messages.for_each(|(entry, message)| self.deliver_or_send_back(home, deliver, entry, &message));
    }

    /// One delivery from a queue on shard `home`, which may find no room.
    fn deliver_or_send_back(&mut self, home: ShardId, deliver: &Deliver, entry: Entry, message: &MessageView<'_>) {
        let queue = QueueAddr { home, queue: deliver.queue };
        let out_of_turn = self.is_out_of_turn(deliver);
        match self.conns.get(deliver.conn).map_or(Room::Gone, |conn| conn.room(deliver.channel, deliver.index)) {
            Room::Gone if deliver.no_ack => return,
            // Flagged, as in RabbitMQ.
            Room::Gone => return self.link(home).settle(deliver.queue, Some(deliver.consumer), &[entry], Outcome::Requeued),
            Room::Yes if deliver.no_ack || !out_of_turn => {}
            _ => {
                let is_new = self.hold_remote(deliver, queue);
                if !deliver.no_ack {
                    return self.link(home).stage(Mail::SentBack(deliver.queue, deliver.consumer, entry, deliver.epoch));
                }
                if is_new {
                    self.link(home).stage(Mail::Park(deliver.queue, deliver.consumer));
                }
            }
        }
        let conn = self.conns.touch(deliver.conn).expect("it is there, or its room would be gone");
        conn.session.delivery(deliver.channel, deliver.index).deliver(entry, message);
    }

    /// Whether a delivery was sent before its consumer was unparked.
    fn is_out_of_turn(&mut self, deliver: &Deliver) -> bool {
        if self.remote_holds.is_empty() {
            return false;
        }
        match self.remote_holds.get(&(deliver.queue, deliver.consumer)) {
            Some(hold) if hold.parked || hold.epoch != deliver.epoch => true,
            Some(_) => {
                self.remote_holds.remove(&(deliver.queue, deliver.consumer));
                false
            }
            None => false,
        }
    }

    /// Remembers that a remote consumer waits for room here. False if that is known.
    fn hold_remote(&mut self, deliver: &Deliver, queue: QueueAddr) -> bool {
        let &Deliver { channel, index, consumer, .. } = deliver;
        let is_new = !self.remote_holds.contains_key(&(deliver.queue, consumer));
        if is_new && let Some(conn) = self.conns.get_mut(deliver.conn) {
            self.remote_holds.insert((deliver.queue, consumer), RemoteHold { parked: true, epoch: deliver.epoch.wrapping_add(1) });
            conn.waiting.push(WaitingConsumer { channel, index, queue, consumer });
        }
        is_new
    }

    /// A consumer left: nothing of it is awaited any more.
    pub(super) fn forget_hold(&mut self, queue: QueueId, consumer: ConsumerId) {
        self.remote_holds.remove(&(queue, consumer));
    }
}

/// Room came back to a connection: its consumers that found none are served again, and those that were cancelled meanwhile forgotten.
pub(super) fn recheck_waiting(shard: &mut Shard, id: ConnId) {
    let Some(conn) = shard.conns.get_mut(id).filter(|conn| !conn.waiting.is_empty()) else { return };
    let mut over = Vec::new();
    for one in std::mem::take(&mut conn.waiting) {
        match conn.room(one.channel, one.index) {
            Room::ChannelFull | Room::OutputFull => conn.waiting.push(one),
            room => over.push((one.queue, one.consumer, room)),
        }
    }
    for (queue, consumer, room) in over {
        if room == Room::Gone {
            shard.forget_hold(queue.queue, consumer);
            continue;
        }
        if let Some(hold) = shard.remote_holds.get_mut(&(queue.queue, consumer)) {
            hold.parked = false;
        }
        shard.unpark(queue, consumer);
    }
}

/// The next consumer with room; those without are parked on the way.
fn next(queue: &mut Queue, conns: &mut Conns, links: &mut [Option<Link>], here: ShardId) -> Next {
    while let Some((consumer, found)) = queue.consumers.next() {
        let served = Served { queue: queue.id, consumer, target: found.target, no_ack: found.no_ack, epoch: found.epoch };
        let addr = served.target.channel.conn;
        if addr.shard != here {
            let link = links[addr.shard.0 as usize].as_ref().expect("every other shard has a link");
            return if link.has_room() { Next::Serve(served) } else { Next::LinkFull };
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

/// Mails a message to the shard of its consumer.
fn post_delivery(links: &mut [Option<Link>], served: Served, entry: Entry, message: &MessageView<'_>) {
    let Served { queue, consumer, target, epoch, no_ack } = served;
    let Target { channel: ChannelAddr { conn, channel }, index } = target;
    let link = links[conn.shard.0 as usize].as_mut().expect("every other shard has a link");
    link.deliver(message, entry, Deliver { conn: conn.conn, queue, consumer, index, epoch, at: 0, count: 1, channel, no_ack });
}

/// The message's place in the arena, held once more.
fn hold(arena: &mut Arena, message: &MessageView<'_>, stored: &mut Option<MessageRef>) -> MessageRef {
    match *stored {
        Some(place) => {
            arena.hold(place);
            place
        }
        None => *stored.insert(arena.insert(message)),
    }
}

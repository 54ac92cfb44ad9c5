//! The room of consumers. If consumer and queue are on one shard, the queue is told when there is
//! room again. Otherwise the consumer's shard grants the queue credit to spend.
//!
//! ```text
//! queue here        no room: parked, waiting      ─ room ─▶ unpark
//! queue elsewhere   no room: grant due, waiting   ─ room ─▶ Mail::Grant
//!                                                 ◀─ Want, Unused ─ if the channel counts messages
//! ```

use crate::base::ids::{ConnId, ConsumerId, QueueId};
use crate::contract::session::Room;
use crate::contract::{Grant, Target};
use crate::shard::Shard;
use crate::shard::conns::conn::{Conn, WaitingConsumer};
use crate::shard::peers::link::Link;
use crate::shard::peers::mail::Mail;

impl Shard {
    /// Adds credit to a consumer of a queue here that is on another shard.
    pub(in crate::shard) fn on_grant(&mut self, id: QueueId, consumer: ConsumerId, grant: Grant) {
        if let Some(queue) = self.queue_mut(id) {
            queue.consumers.grant(consumer, grant);
            self.mark_queue(id); // also if it has nothing: then messages that were granted go back
        }
    }

    /// Notes that the channel of a consumer on another shard counts messages from now on.
    pub(in crate::shard) fn on_meter(&mut self, id: QueueId, consumer: ConsumerId) {
        if let Some(queue) = self.queue_mut(id) {
            queue.consumers.meter(consumer);
        }
    }

    /// Gives back message credit that consumers on other shards do not need now, because a queue
    /// here has nothing to deliver or nobody to deliver it to.
    pub(in crate::shard) fn return_unused(&mut self, id: QueueId) {
        let Some(queue) = self.queue_mut(id) else { return };
        for (target, messages) in queue.consumers.take_unused() {
            self.link(target.channel.conn.shard).stage(Mail::Unused(target, messages));
        }
    }

    /// Grants messages for a consumer here, as a queue on another shard asks.
    pub(in crate::shard) fn on_wanted(&mut self, target: Target, messages: u32) {
        let Target { channel, index } = target;
        let Some(conn) = self.conns.get_mut(channel.conn.conn).filter(|conn| !conn.ending) else { return };
        let Some((queue, consumer)) = conn.session.consumer(channel.channel, index) else { return };
        if !conn.session.on_wanted(channel.channel, index, messages) {
            return;
        }
        let link = self.peers.links[queue.home.0 as usize].as_mut().expect("the queue is on another shard");
        grant_or_wait(conn, link, WaitingConsumer { channel: channel.channel, index, queue, consumer });
    }

    /// Takes back message credit that a queue on another shard does not need; others of the channel
    /// may have it.
    pub(in crate::shard) fn on_unused(&mut self, target: Target, messages: u32) {
        let Target { channel, index } = target;
        let Some(conn) = self.conns.get_mut(channel.conn.conn) else { return };
        conn.session.on_unused(channel.channel, index, messages);
        recheck_waiting(self, channel.conn.conn);
    }

    /// Tells queues on other shards that a channel here counts messages from now on, so that they
    /// must ask.
    pub(in crate::shard) fn on_metered(&mut self, id: ConnId, channel: u16) {
        let Some(conn) = self.conns.get(id) else { return };
        for (queue, consumer) in conn.session.acking_consumers(channel) {
            if let Some(link) = self.peers.links[queue.home.0 as usize].as_mut() {
                link.stage(Mail::Meter(queue.queue, consumer));
            }
        }
    }

    /// Lets a queue here serve a consumer again.
    fn unpark(&mut self, id: QueueId, consumer: ConsumerId) {
        if self.queue_mut(id).is_some_and(|queue| queue.consumers.unpark(consumer)) {
            self.mark_queue(id);
        }
    }
}

/// Grants a queue on another shard the credit that is due to a consumer here. A grant without room
/// waits.
pub(in crate::shard) fn grant_or_wait(conn: &mut Conn, link: &mut Link, waiting: WaitingConsumer) {
    let WaitingConsumer { channel, index, queue, consumer } = waiting;
    let (grant, waits) = conn.session.grant(channel, index);
    if grant != Grant::default() {
        link.stage(Mail::Grant(queue.queue, consumer, grant));
    }
    if waits {
        conn.waiting.push(waiting);
    }
}

/// Serves consumers again that waited for room in their connection, and forgets those that were
/// cancelled meanwhile.
pub(in crate::shard) fn recheck_waiting(shard: &mut Shard, id: ConnId) {
    let here = shard.id;
    let Some(conn) = shard.conns.get_mut(id).filter(|conn| !conn.waiting.is_empty()) else { return };
    let mut served = Vec::new();
    for one in std::mem::take(&mut conn.waiting) {
        match conn.room(one.channel, one.index) {
            Room::Gone => {}
            _ if one.queue.home != here => {
                grant_or_wait(conn, shard.peers.links[one.queue.home.0 as usize].as_mut().expect("the queue is on another shard"), one);
            }
            Room::ChannelFull | Room::OutputFull => conn.waiting.push(one),
            Room::Yes => served.push((one.queue.queue, one.consumer)),
        }
    }
    served.into_iter().for_each(|(queue, consumer)| shard.unpark(queue, consumer));
}

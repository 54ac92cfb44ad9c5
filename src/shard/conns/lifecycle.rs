//! How connections, channels, consumers and queues end.

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use crate::base::ids::{ConnId, ConsumerId, Key, QueueAddr, QueueId, ShardId};
use crate::base::limits::LINGER_MS;
use crate::broker::queue::Queue;
use crate::contract::Target;
use crate::contract::session::{Ended, GivenUp, Late};
use crate::shard::Action;
use crate::shard::Shard;
use crate::shard::conns::conn::Conn;
use crate::shard::conns::credit::recheck_waiting;
use crate::shard::conns::parking::OwnReason;
use crate::shard::control::order::{Remover, Waiter};
use crate::shard::control::wish::Wish;
use crate::shard::peers::mail::Mail;
use crate::shard::queues::settling::Left;

/// Shards on which an ending connection or channel has consumers or messages.
pub type Homes = SmallVec<[ShardId; 4]>;

/// The last answer of a connection or channel, given when its end is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// channel.close-ok, if the client closed the channel.
    Channel(u16),
    /// connection.close-ok, if the client closed the connection.
    Connection,
}

impl Shard {
    /// The peer is gone: nothing can be sent any more. Its input is still carried out to the end,
    /// if the connection waited only for its turn or for a job.
    pub fn on_closed(&mut self, id: ConnId) {
        let waits = |conn: &Conn| conn.waits_for(OwnReason::Job) || conn.waits_for(OwnReason::Turn) || conn.spread.is_some();
        if let Some(conn) = self.conns.get_mut(id).filter(|conn| waits(conn) && !conn.ending) {
            conn.is_lost = true;
            return;
        }
        self.end_session(id);
        self.close(id);
    }

    /// Ends a resumed connection whose peer is gone, unless something other than the peer still
    /// holds up its input.
    pub(in crate::shard) fn end_gone(&mut self, id: ConnId) {
        let waits_for_peer = |conn: &Conn| conn.session.is_blocked() || conn.waits_for(OwnReason::Output);
        let goes_on = |conn: &Conn| conn.is_parked() && !conn.ending && !waits_for_peer(conn);
        if self.conns.get(id).is_some_and(|conn| !conn.waits_for(OwnReason::Job) && !goes_on(conn)) {
            self.end_session(id);
            self.close(id);
        }
    }

    /// Tells every connection that the broker stops, and closes it.
    pub fn shut_down(&mut self, now: u64) {
        self.now = now;
        self.stopping = true;
        for id in self.conns.ids() {
            if let Some(conn) = self.conns.touch(id) {
                conn.session.shut_down();
            }
            self.resume_input(id);
        }
    }

    /// Ends a channel: its consumers leave, and its unsettled messages are requeued.
    pub(in crate::shard) fn end_channel(&mut self, id: ConnId, channel: u16) {
        let Some(conn) = self.conns.touch(id) else { return };
        conn.waiting.retain(|one| one.channel != channel);
        let mut ended = conn.session.end_channel(channel);
        conn.channels.end(channel, &mut ended.unsettled);
        let is_relayed = conn.relayed > 0 && self.id != ShardId::ORDERER;
        // Messages that shard 0 returns come before close-ok.
        let homes = is_relayed.then_some(ShardId::ORDERER).into_iter().collect();
        self.clean_up(id, ended, homes, Some(Last::Channel(channel)));
    }

    /// Ends a session. Its remaining output is sent, then the socket is closed.
    pub(in crate::shard) fn end_session(&mut self, id: ConnId) {
        let Some(conn) = self.conns.touch(id).filter(|conn| !conn.ending) else { return };
        conn.ending = true;
        conn.input = Vec::new();
        self.set_timer(id, Some(self.now + LINGER_MS));
        self.release(id, None);
    }

    /// Releases all that a connection holds: its channels end, its exclusive queues go; then it
    /// says its `last` word, if the client listens.
    pub(in crate::shard) fn release(&mut self, id: ConnId, last: Option<Last>) {
        let Some(conn) = self.conns.touch(id) else { return };
        conn.waiting.clear();
        conn.stay = None;
        let mut ended = conn.session.end();
        conn.channels.end_all(&mut ended.unsettled);
        self.clean_up(id, ended, Homes::new(), last);
    }

    /// Forgets the connection and has its socket closed.
    pub(in crate::shard) fn close(&mut self, id: ConnId) {
        self.set_timer(id, None);
        if let Some(conn) = self.conns.remove(id) {
            self.tally.churn.connection_closed += 1;
            self.tally.traffic.add(conn.traffic);
            self.conns.of_broker.fetch_sub(1, Ordering::Relaxed);
            self.actions.push_back(Action::Close(id));
        }
    }

    /// Removes the consumers, and gives unsettled messages back to their queues.
    fn clean_up(&mut self, id: ConnId, ended: Ended, mut homes: Homes, last: Option<Last>) {
        homes.extend(ended.consumers.iter().map(|(queue, _)| queue.home));
        ended.consumers.into_iter().for_each(|(queue, consumer)| self.leave(queue, consumer));
        self.settle_left(Left::new(id, ended.unsettled, homes, last));
    }

    /// Ends that: a connection's exclusive queues go, and the `last` word may be said once the
    /// shards `homes` know.
    pub(in crate::shard) fn end_left(&mut self, id: ConnId, homes: &[ShardId], last: Option<Last>) {
        if !matches!(last, Some(Last::Channel(_))) {
            let owned: Vec<QueueId> = self.catalog.owned_by(self.conn_addr(id)).collect();
            owned.into_iter().for_each(|queue| self.delete_queue(queue, None));
        }
        if let Some(last) = last {
            self.sync(id, homes, last);
            self.end_request(id);
        }
    }

    /// Waits until the shards `homes` have read all mail up to now, then says the connection's
    /// `last` word. So a client that gets close-ok may rely on it that consumers are gone and
    /// messages are back, wherever their queues live.
    pub(in crate::shard) fn sync(&mut self, id: ConnId, homes: &[ShardId], last: Last) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.last_word = Some((homes.len(), last));
        homes.iter().for_each(|&home| self.link(home).stage(Mail::Sync(id)));
        self.say_last(id);
    }

    /// A shard has read all mail about a connection's end.
    pub(in crate::shard) fn on_synced(&mut self, id: ConnId) {
        if let Some((waits, _)) = self.live(id).and_then(|conn| conn.last_word.as_mut()) {
            *waits -= 1;
            self.say_last(id);
            self.end_request(id);
        }
    }

    fn say_last(&mut self, id: ConnId) {
        let Some(conn) = self.live(id) else { return };
        match conn.last_word.take_if(|(waits, _)| *waits == 0) {
            Some((_, Last::Channel(channel))) => conn.session.release_channel(channel),
            Some((_, Last::Connection)) => conn.session.released(),
            None => {}
        }
    }

    /// Takes all deliveries back from a consumer here, or a channel, that has kept one for too long
    /// (row S14).
    pub(in crate::shard) fn on_late(&mut self, id: ConnId, late: &Late) {
        let Some(conn) = self.live(id) else { return };
        log::warn!(peer:% = conn.peer.ip(); "{}: channel {}: deliveries were not acknowledged in time", conn.peer, late.channel);
        let settled = conn.channels.unsettle(late.channel, late.origin);
        let GivenUp { unsettled, cancelled } = conn.session.give_up(late, settled);
        self.settle_late(unsettled);
        if let Some(consumer) = cancelled {
            self.leave(late.origin.0, consumer);
        }
    }

    /// Removes a consumer without waiting for its queue's answer.
    pub(in crate::shard) fn leave(&mut self, queue: QueueAddr, consumer: ConsumerId) {
        self.send(queue.home, Mail::Leave(queue.queue, consumer));
    }

    /// Removes a consumer of a queue here.
    pub(in crate::shard) fn on_leave(&mut self, id: QueueId, consumer: ConsumerId) {
        let left = self.queue_mut(id).and_then(|queue| queue.consumers.leave(consumer)).is_some();
        self.tally.consumers -= usize::from(left);
        if left {
            self.touch_queue(id);
            self.serve_next(id);
            self.delete_if_abandoned(id);
        }
    }

    /// Serves a queue whose consumer went, as it may be another's turn (row S8).
    pub(in crate::shard) fn serve_next(&mut self, id: QueueId) {
        if self.queue_mut(id).is_some_and(|queue| queue.rules.single_active && queue.can_deliver()) {
            self.mark_queue(id);
        }
    }

    /// Deletes an auto-delete queue with its last consumer (row D5).
    pub(in crate::shard) fn delete_if_abandoned(&mut self, id: QueueId) {
        if self.queue_mut(id).is_some_and(|queue| queue.is_abandoned()) {
            self.delete_queue(id, None);
        }
    }

    /// Deletes a queue of this shard: its messages go, the catalog forgets it; then `remover` hears
    /// how many, and the consumers hear that they are gone.
    pub(in crate::shard) fn delete_queue(&mut self, id: QueueId, remover: Option<Remover>) {
        let Some(end) = self.catalog.end_of(id) else { return }; // and so it is not here
        if let Some((messages, queue)) = self.take_queue(id) {
            let consumers = queue.consumers.iter().map(|(_, consumer)| consumer.target).collect();
            self.order(Wish::Decided(end), Waiter::QueueGone { remover: remover.map(|remover| (remover, messages)), consumers });
        }
    }

    /// Takes a queue of this shard out, with its messages. Returns how many there were.
    pub(in crate::shard) fn take_queue(&mut self, id: QueueId) -> Option<(u32, Box<Queue>)> {
        self.bury_dead();
        self.keep_gone(id);
        self.forget_unburied(id);
        let ready = self.queue_mut(id).map_or(0, |queue| queue.len()); // without messages that wait for a retry
        self.purge(id);
        let slot = Key::from(id).slot;
        let mut queue = self.queues.slots.get_mut(slot as usize)?.take_if(|queue| queue.id == id)?;
        self.queues.rubbish.forgotten.extend(queue.forget_duplicates(true));
        self.end_delays(&mut queue);
        self.forget_timer(&mut queue);
        self.queues.levelled -= usize::from(queue.rules.priorities.has_levels());
        self.tally.consumers -= queue.consumers.len();
        self.tally.churn.queue_deleted += 1;
        self.queues.dirty.remove(slot);
        self.queues.overfull.remove(slot);
        queue.levels().for_each(|level| self.durability.store.close_queue(level.slot()));
        self.retry_getters();
        Some((u32::try_from(ready).unwrap_or(u32::MAX), queue))
    }

    pub(in crate::shard) fn tell_consumer_gone(&mut self, target: Target) {
        self.send(target.channel.conn.shard, Mail::ConsumerGone(target));
    }

    /// Tells a consumer here that its queue is gone (basic.cancel, row S7).
    pub(in crate::shard) fn on_consumer_gone(&mut self, target: Target) {
        let Target { channel, index } = target;
        let Some(conn) = self.live(channel.conn.conn) else { return };
        conn.waiting.retain(|one| (one.channel, one.index) != (channel.channel, index));
        conn.session.consumer_gone(channel.channel, index);
        recheck_waiting(self, channel.conn.conn);
    }
}

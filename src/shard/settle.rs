//! Settling: what consumers say of the messages that they got. Messages of one queue and consumer that stand in a row are settled together.

use super::Shard;
use super::mail::Mail;
use crate::base::ids::{ConnId, ConsumerId, QueueAddr, QueueId};
use crate::broker::arena::Arena;
use crate::broker::dead_letter::Reason;
use crate::broker::queue::Queue;
use crate::contract::{Entry, Outcome, Receipts, Tags};

impl Shard {
    /// basic.ack, nack, reject.
    pub(super) fn on_settle(&mut self, conn: ConnId, channel: u16, tags: Tags, outcome: Outcome) {
        let mut receipts = std::mem::take(&mut self.receipts);
        let conn = self.conns.get_mut(conn).expect("who settles is connected");
        conn.session.settle(channel, tags, outcome, &mut receipts);
        self.settle_all(&receipts, outcome);
        receipts.clear();
        self.receipts = receipts;
    }

    /// Settles deliveries, wherever their queues live.
    pub(super) fn settle_all(&mut self, receipts: &Receipts, outcome: Outcome) {
        receipts.runs().for_each(|(queue, consumer, entries)| self.settle(queue, consumer, entries, outcome));
    }

    /// Settles deliveries of one queue, wherever it lives.
    pub(super) fn settle(&mut self, queue: QueueAddr, consumer: Option<ConsumerId>, entries: &[Entry], outcome: Outcome) {
        if queue.home == self.id {
            self.settle_here(queue.queue, consumer, entries.iter().copied(), outcome);
        } else {
            self.link(queue.home).settle(queue.queue, consumer, entries, outcome);
        }
    }

    /// Settles deliveries of a queue that lives (or lived) here.
    pub(super) fn settle_here(
        &mut self,
        id: QueueId,
        consumer: Option<ConsumerId>,
        entries: impl ExactSizeIterator<Item = Entry>,
        outcome: Outcome,
    ) {
        let count = entries.len();
        let Some(queue) = super::local_queue(&mut self.queues, id) else {
            return entries.for_each(|entry| self.arena.release(entry.message)); // the queue went first
        };
        let is_special = queue.extras.is_some();
        match outcome {
            Outcome::Discarded if is_special => entries.for_each(|entry| self.die(id, entry, Reason::Rejected)),
            Outcome::Acked | Outcome::Discarded => {
                let released = entries.inspect(|entry| self.arena.release(entry.message));
                Shard::log_settled(&mut self.store, queue, released);
            }
            Outcome::Requeued | Outcome::Failed => self.give_back(id, entries, outcome),
            Outcome::Undelivered if is_special => self.take_back(id, entries),
            Outcome::Undelivered => entries.for_each(|entry| requeue(queue, &self.arena, entry)),
        }
        let Some(queue) = super::local_queue(&mut self.queues, id) else { return };
        if let Some(consumer) = consumer {
            queue.consumers.on_settled(consumer, count);
        }
        if queue.can_deliver() {
            self.mark_queue(id);
        }
    }

    /// Messages of a queue here are gone.
    pub(super) fn drop_settled(&mut self, id: QueueId, entries: &[Entry]) {
        let Some(queue) = super::local_queue(&mut self.queues, id) else { return };
        let released = entries.iter().copied().inspect(|entry| self.arena.release(entry.message));
        Shard::log_settled(&mut self.store, queue, released);
    }

    /// Messages come back that somebody had. Those that have failed too often die (row D23).
    fn give_back(&mut self, id: QueueId, entries: impl Iterator<Item = Entry>, outcome: Outcome) {
        let Some(queue) = super::local_queue(&mut self.queues, id) else { return };
        if queue.extras.is_none() && !queue.rules.counts {
            return entries.for_each(|entry| requeue(queue, &self.arena, entry.returned()));
        }
        let (dead, back): (Vec<Entry>, Vec<Entry>) = entries.map(Entry::returned).partition(|&entry| queue.count_return(entry, outcome));
        dead.into_iter().for_each(|entry| self.die(id, entry, Reason::DeliveryLimit));
        let Some(retry) = super::local_queue(&mut self.queues, id).and_then(|queue| queue.settings()?.retry) else {
            return self.take_back(id, back.into_iter());
        };
        back.into_iter().for_each(|entry| self.retry_later(id, entry, retry, outcome));
    }

    /// A delivery that its connection could not take, sent with the consumer's `epoch`: it returns to its place, and the consumer waits for
    /// [`Mail::Unpark`], unless that came first.
    pub(super) fn on_sent_back(&mut self, id: QueueId, consumer: ConsumerId, entry: Entry, epoch: u32) {
        if self.queue_mut(id).is_some_and(|queue| queue.consumers.get(consumer).is_some_and(|found| found.epoch == epoch)) {
            self.on_park(id, consumer);
        }
        self.settle_here(id, Some(consumer), std::iter::once(entry), Outcome::Undelivered);
    }

    /// A consumer on another shard has no room. Its shard hears once when it is not served any more.
    pub(super) fn on_park(&mut self, id: QueueId, consumer: ConsumerId) {
        let Some(queue) = self.queue_mut(id) else { return };
        if queue.consumers.park(consumer)
            && let Some(found) = queue.consumers.get(consumer)
        {
            let to = found.target.channel.conn;
            self.link(to.shard).stage(Mail::Parked(to.conn, id, consumer));
        }
    }

    /// Tells a queue that its consumer can take messages again.
    pub(super) fn unpark(&mut self, queue: QueueAddr, consumer: ConsumerId) {
        if queue.home != self.id {
            return self.link(queue.home).stage(Mail::Unpark(queue.queue, consumer));
        }
        self.on_unpark(queue.queue, consumer);
    }

    /// A consumer of a queue here can take messages again.
    pub(super) fn on_unpark(&mut self, id: QueueId, consumer: ConsumerId) {
        if self.queue_mut(id).is_some_and(|queue| queue.consumers.unpark(consumer)) {
            self.mark_queue(id);
        }
    }
}

/// A message is ready again at its place.
fn requeue(queue: &mut Queue, arena: &Arena, entry: Entry) {
    queue.ready_bytes += arena.view(entry.message).body.bytes().len() as u64;
    queue.requeue(entry);
}

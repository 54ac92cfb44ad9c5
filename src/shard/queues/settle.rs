//! Settling: acknowledgements, rejections and returns of delivered messages. Messages of one queue
//! and consumer that stand in a row are settled together.

use crate::base::ids::{ConnId, ConsumerId, QueueAddr, QueueId};
use crate::broker::dead_letter::Reason;
use crate::contract::{Count, Entry, Outcome, Receipts, Tags};
use crate::message::Stamp;
use crate::shard::queues::lifetime::has_expiration;
use crate::shard::{Shard, local_queue};

impl Shard {
    /// Carries out basic.ack, basic.nack or basic.reject.
    pub(in crate::shard) fn on_settle(&mut self, id: ConnId, channel: u16, tags: Tags, outcome: Outcome) {
        let mut receipts = std::mem::take(&mut self.queues.receipts);
        let conn = self.conns.get_mut(id).expect("a client that settles is connected");
        let rest = conn.session.settle(channel, tags, outcome, &mut receipts);
        self.settle_all(&receipts, outcome);
        if let Some(rest) = rest {
            self.settle_rest(id, rest, &receipts);
        }
        receipts.clear();
        self.queues.receipts = receipts;
    }

    /// Carries out basic.recover.
    pub(in crate::shard) fn on_recover(&mut self, id: ConnId, channel: u16) {
        let conn = self.conns.get_mut(id).expect("a client that recovers is connected");
        let rest = conn.session.recovery(channel);
        let mut receipts = std::mem::take(&mut self.queues.receipts);
        let is_more = conn.session.settle_rest(&rest, &mut receipts);
        self.settle_all(&receipts, rest.outcome);
        if is_more {
            self.settle_rest(id, rest, &receipts);
        }
        receipts.clear();
        self.queues.receipts = receipts;
    }

    /// Settles deliveries, wherever their queues live.
    pub(in crate::shard) fn settle_all(&mut self, receipts: &Receipts, outcome: Outcome) {
        receipts.runs().for_each(|(queue, consumer, entries)| self.settle(queue, consumer, entries, outcome));
    }

    /// Settles deliveries of one queue, wherever it lives.
    pub(in crate::shard) fn settle(&mut self, queue: QueueAddr, consumer: Option<ConsumerId>, entries: &[Entry], outcome: Outcome) {
        if queue.home == self.id {
            self.settle_here(queue.queue, consumer, entries.iter().copied(), outcome);
        } else {
            self.link(queue.home).settle(queue.queue, consumer, entries, outcome);
        }
    }

    /// Settles deliveries of a queue that lives (or lived) here.
    pub(in crate::shard) fn settle_here(
        &mut self,
        id: QueueId,
        consumer: Option<ConsumerId>,
        entries: impl ExactSizeIterator<Item = Entry>,
        outcome: Outcome,
    ) {
        let count = entries.len();
        let Some(queue) = local_queue(&mut self.queues.slots, id) else {
            return entries.for_each(|entry| self.arena.release(entry.message)); // the queue was deleted before
        };
        queue.count_settled(outcome, count);
        if outcome == Outcome::Acked {
            self.tally.counts.add(Count::Ack, count);
        }
        let is_special = queue.is_special();
        match outcome {
            Outcome::Discarded if is_special => entries.for_each(|entry| self.die(id, entry, Reason::Rejected)),
            Outcome::Acked | Outcome::Discarded => {
                let released = entries.inspect(|entry| self.arena.release(entry.message));
                Shard::log_settled(&mut self.durability.store, queue, released);
            }
            Outcome::Requeued | Outcome::Failed => self.give_back(id, entries, outcome),
        }
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        if let Some(consumer) = consumer {
            queue.consumers.on_settled(consumer, count);
        }
        if queue.can_deliver() {
            self.mark_queue(id);
        }
    }

    /// Drops messages of a queue here for good.
    pub(in crate::shard) fn drop_settled(&mut self, id: QueueId, entries: &[Entry]) {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        let released = entries.iter().copied().inspect(|entry| self.arena.release(entry.message));
        Shard::log_settled(&mut self.durability.store, queue, released);
    }

    /// Gives messages back to their queue. Those that have failed too often die (row D23).
    fn give_back(&mut self, id: QueueId, entries: impl ExactSizeIterator<Item = Entry>, outcome: Outcome) {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        let is_plain = !queue.is_special() && !queue.rules.counts;
        self.work.spend(entries.len() * if is_plain { 1 } else { SPECIAL_STEPS });
        if is_plain {
            return self.take_back_plainly(id, entries.map(Entry::returned));
        }
        let (dead, back): (Vec<Entry>, Vec<Entry>) = entries.map(Entry::returned).partition(|&entry| queue.count_return(entry, outcome));
        if queue.rules.counts {
            [&dead, &back].into_iter().for_each(|entries| Shard::note_returned(&mut self.durability.store, queue, entries));
        }
        dead.into_iter().for_each(|entry| self.die(id, entry, Reason::DeliveryLimit));
        if self.queue_mut(id).is_some_and(|queue| queue.delays_returns()) {
            back.into_iter().for_each(|entry| self.retry_later(id, entry, outcome));
        } else {
            self.take_back(id, back.into_iter());
        }
    }

    /// Lets a message die that the log was read for: it had failed too often when the broker died
    /// (row D23).
    pub(in crate::shard) fn fail_for_good(&mut self, id: QueueId, entry: Entry) {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        if queue.take(entry.place(), &self.arena).is_some() {
            self.die(id, entry, Reason::DeliveryLimit);
        }
    }

    /// Gives messages back to a plain queue. It knows no deadlines yet of messages with a TTL of
    /// their own, because they went straight to a consumer.
    fn take_back_plainly(&mut self, id: QueueId, entries: impl Iterator<Item = Entry>) {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        let mut expiring = Vec::new();
        for entry in entries {
            let message = self.arena.view(entry.message);
            if message.stamp != Stamp::NONE && has_expiration(message.properties) {
                expiring.push(entry);
                continue;
            }
            queue.requeue(entry, &message);
        }
        if !expiring.is_empty() {
            self.take_back(id, expiring.into_iter());
        }
    }
}

/// Steps of a message that comes back to a queue that has extras or counts returns.
const SPECIAL_STEPS: usize = 8;

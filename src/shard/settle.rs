//! Settling: what consumers say of the messages that they got.

use super::Shard;
use super::mail::{Mail, Settle};
use crate::base::ids::{ConnId, ConsumerId, QueueAddr, QueueId};
use crate::contract::{Outcome, Receipt};

impl Shard {
    /// basic.ack, nack, reject.
    pub(super) fn on_settle(&mut self, conn: ConnId, channel: u16, tag: u64, multiple: bool, outcome: Outcome) {
        let mut receipts = std::mem::take(&mut self.receipts);
        let conn = self.conns.get_mut(conn).expect("who settles is connected");
        conn.session.settle(channel, tag, multiple, outcome, &mut receipts);
        receipts.drain(..).for_each(|receipt| self.settle(receipt, outcome));
        self.receipts = receipts;
    }

    /// Settles one delivery, wherever its queue lives.
    pub(super) fn settle(&mut self, receipt: Receipt, outcome: Outcome) {
        let QueueAddr { home, .. } = receipt.queue;
        if home == self.id {
            self.settle_here(Settle { receipt, outcome });
        } else {
            self.link(home).settle(Settle { receipt, outcome });
        }
    }

    /// Settles a delivery of a queue that lives (or lived) here.
    pub(super) fn settle_here(&mut self, Settle { receipt, outcome }: Settle) {
        let id = receipt.queue.queue;
        let Some(queue) = super::local_queue(&mut self.queues, id) else {
            return self.arena.release(receipt.entry.message); // the queue went first
        };
        match outcome {
            Outcome::Acked | Outcome::Discarded => self.arena.release(receipt.entry.message),
            Outcome::Requeued => queue.requeue(receipt.entry.returned()),
            Outcome::Undelivered => queue.requeue(receipt.entry),
        }
        if let Some(consumer) = receipt.consumer {
            queue.consumers.on_settled(consumer);
        }
        if queue.can_deliver() {
            self.mark_queue(id);
        }
    }

    /// A delivery that its connection could not take, sent with the consumer's `epoch`: it returns to its place, and the consumer waits for
    /// [`Mail::Unpark`], unless that came first.
    pub(super) fn on_sent_back(&mut self, receipt: Receipt, epoch: u32) {
        if let (Some(queue), Some(consumer)) = (self.queue_mut(receipt.queue.queue), receipt.consumer)
            && queue.consumers.get(consumer).is_some_and(|found| found.epoch == epoch)
        {
            queue.consumers.park(consumer);
        }
        self.settle_here(Settle { receipt, outcome: Outcome::Undelivered });
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

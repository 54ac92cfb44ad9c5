//! The mailbox: mail of the other shards, taken in whole batches, peers in rotation, and given to
//! its receivers.

use bytes::Bytes;

use crate::base::ids::{QueueAddr, QueueId, ShardId};
use crate::shard::Action;
use crate::shard::Shard;
use crate::shard::peers::block::{Records, check_entries, settled_entries};
use crate::shard::peers::mail::{Mail, Publish, Settled};
use crate::shard::queues::settling::SETTLED_PER_STEP;

/// Mail for a queue that is not declared here yet, with the block and the shared body that it
/// refers to.
pub type Early = (ShardId, Bytes, Option<Bytes>, Mail);

impl Shard {
    /// Reads the mail that has arrived from each peer.
    pub(in crate::shard) fn read_mail(&mut self) {
        let count = self.config.shards;
        self.peers.first_peer = (self.peers.first_peer + 1) % count;
        for offset in 0..count {
            let peer = ShardId((self.peers.first_peer + offset) % count);
            if peer != self.id {
                self.read_mail_of(peer);
            }
        }
    }

    fn read_mail_of(&mut self, peer: ShardId) {
        let available = self.link(peer).available();
        if available == 0 {
            return;
        }
        let link = self.link(peer);
        let (mut block, mut body) = (std::mem::take(&mut link.in_block), link.in_body.take());
        for _ in 0..available {
            if self.work.is_spent() {
                break; // the rest stays in the ring
            }
            match self.link(peer).take().expect("counted as available") {
                Mail::Block(next) => block = next,
                Mail::Body(next) => body = Some(next),
                mail => self.on_mail(peer, &block, body.take(), mail),
            }
        }
        let link = self.link(peer);
        link.in_block = block;
        link.in_body = body;
        if link.release() {
            self.actions.push_back(Action::Wake(peer));
        }
    }

    /// Sends a mail that is neither about messages nor to a queue that may be unknown yet. If it is
    /// for this shard, it is carried out at once.
    pub(in crate::shard) fn send(&mut self, to: ShardId, mail: Mail) {
        if to == self.id {
            self.on_rare_mail(self.id, mail);
        } else {
            self.link(to).stage(mail);
        }
    }

    fn on_mail(&mut self, from: ShardId, block: &Bytes, body: Option<Bytes>, mail: Mail) {
        match mail {
            Mail::Publish(_) | Mail::Transfer(_) | Mail::Ask(_) => self.on_queue_mail(from, block, body, mail),
            Mail::Deliver(deliver) => {
                self.on_deliver(from, &deliver, records(block, deliver.at, deliver.count, true, body.as_ref()));
            }
            Mail::Reply(reply) => {
                let messages = records(block, reply.at, reply.count.into(), false, body.as_ref()).map(|(_, message)| message);
                self.on_reply(from, &reply, messages);
            }
            Mail::Returned(returned) => {
                records(block, returned.at, 1, false, body.as_ref()).for_each(|(_, message)| self.on_returned(&returned, &message));
            }
            Mail::Got(got) => {
                let (to, got) = *got;
                records(block, got.at, 1, false, body.as_ref()).for_each(|(_, message)| self.on_got(to, &got, &message));
            }
            Mail::Relay(relay) => {
                records(block, relay.at, 1, false, body.as_ref()).for_each(|(_, message)| self.on_relay(from, &relay, &message));
            }
            Mail::Settled(Settled { queue, consumer, outcome, at, count }) => {
                self.work.spend(count as usize / SETTLED_PER_STEP);
                debug_assert_eq!(check_entries(block, at, count), Ok(()));
                self.settle_here(queue, consumer, settled_entries(block, at, count), outcome);
            }
            Mail::Accepted(holds) => self.on_accepted_by_queue(&holds),
            Mail::Grant(queue, consumer, grant) => self.on_grant(queue, consumer, grant),
            Mail::Refused(hold) => self.on_refused(hold),
            Mail::Want(target, messages) => self.on_wanted(target, messages),
            Mail::Unused(target, messages) => self.on_unused(target, messages),
            mail => self.on_rare_mail(from, mail),
        }
    }

    /// Carries out mail that refers to no records and does not come with messages.
    fn on_rare_mail(&mut self, from: ShardId, mail: Mail) {
        match mail {
            Mail::LookFor(asked) => {
                let (asker, vhost, consumer, name) = *asked;
                self.on_look_for(asker, vhost, &consumer, &name);
            }
            Mail::Relayed(relayed) => self.on_relayed(relayed),
            Mail::Gone(place) => self.durability.store.forget_arrivals(place),
            Mail::Returning(queue, is_more) => self.on_returning(queue, is_more),
            Mail::Meter(queue, consumer) => self.on_meter(queue, consumer),
            Mail::Press(queue) => self.on_press(QueueAddr { home: from, queue }),
            Mail::Ease(queue) => self.on_ease(QueueAddr { home: from, queue }),
            Mail::Leave(queue, consumer) => self.on_leave(queue, consumer),
            Mail::Sync(conn) => self.link(from).stage(Mail::Synced(conn)),
            Mail::Synced(conn) => self.on_synced(conn),
            Mail::ConsumerGone(target) => self.on_consumer_gone(target),
            Mail::Told(told) => self.on_told(told.to, told.answer),
            Mail::Remove(queue, removal) => self.on_removal(queue, *removal),
            Mail::Order(order) => self.on_order(*order),
            Mail::Apply(change) => self.on_apply(&change),
            Mail::Applied => self.on_applied(from),
            Mail::Decided(ticket, verdict) => self.on_decided(ticket, *verdict),
            Mail::Block(_) | Mail::Body(_) => unreachable!("taken by read_mail_of"),
            Mail::Publish(_) | Mail::Transfer(_) | Mail::Ask(_) => unreachable!("taken by on_queue_mail"),
            Mail::Deliver(_) | Mail::Reply(_) | Mail::Returned(_) | Mail::Got(_) | Mail::Relay(_) | Mail::Settled(_) => {
                unreachable!("it refers to records")
            }
            Mail::Accepted(_) | Mail::Grant(..) | Mail::Refused(_) | Mail::Want(..) | Mail::Unused(..) => {
                unreachable!("it comes with messages")
            }
        }
    }

    /// Carries out mail for a queue. It may be ahead of the news that the queue exists, because
    /// shard 0 tells the shards one after the other; then it waits.
    pub(in crate::shard) fn on_queue_mail(&mut self, from: ShardId, block: &Bytes, body: Option<Bytes>, mail: Mail) {
        let queue: QueueId = match &mail {
            Mail::Publish(publish) => publish.queue,
            Mail::Transfer(transfer) => transfer.0.queue,
            Mail::Ask(ask) => ask.queue,
            _ => unreachable!("only mail for queues comes here"),
        };
        if self.catalog.is_newer(queue) {
            return self.peers.early.push((from, block.clone(), body, mail));
        }
        match mail {
            Mail::Publish(publish) => self.on_publish(from, block, body, publish),
            Mail::Transfer(transfer) => {
                let (publish, origin) = *transfer;
                self.durability.logging.origin = Some(origin);
                self.on_publish(from, block, body, publish);
                self.durability.logging.origin = None;
            }
            Mail::Ask(ask) => self.on_ask(*ask),
            _ => unreachable!("only mail for queues comes here"),
        }
    }

    #[inline]
    fn on_publish(&mut self, from: ShardId, block: &Bytes, body: Option<Bytes>, Publish { queue, hold, at, count }: Publish) {
        self.work.spend(count as usize);
        let messages = records(block, at, count, false, body.as_ref()).map(|(_, message)| message);
        self.on_posted(queue, hold.map(|hold| (from, hold)), messages);
        self.note_flood_from(from);
    }
}

/// Reads the messages of a mail. Debug builds check its block first.
#[inline]
fn records<'a>(block: &'a [u8], at: u32, count: u32, with_entry: bool, shared: Option<&'a Bytes>) -> Records<'a> {
    let records = Records::new(block, at, count, with_entry, shared);
    debug_assert_eq!(records.check(), Ok(()));
    records
}

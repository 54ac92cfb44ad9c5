//! The answers of queues that live here to sessions, on this shard or others.

use crate::base::ids::{ChannelAddr, QueueAddr, QueueId};
use crate::broker::queue::{Consumer, Purged, Queue};
use crate::config::Config;
use crate::contract::{Code, Count, Credit, Fault, Notice, Outcome, Receipt, Target};
use crate::message::MessageView;
use crate::shard::Shard;
use crate::shard::control::order::Remover;
use crate::shard::local_queue;
use crate::shard::peers::mail::{Answer, Ask, Got, Mail, Question, Removal, Told};
use crate::shard::queues::Queues;

impl Shard {
    /// Answers a question to a queue.
    pub(in crate::shard) fn on_ask(&mut self, ask: Ask) {
        let Ask { from, queue: id, question } = ask;
        if matches!(question, Question::Counts | Question::Get { .. }) {
            self.touch_queue(id);
        }
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return self.tell(from, absent(question)) };
        match question {
            Question::Counts => {
                let (messages, consumers) = (count(queue.len()), count(queue.consumers.counted()));
                let name = self.queue_name(id);
                self.tell(from, Answer::Notice(Notice::QueueDeclared { name, messages, consumers }));
            }
            Question::Purge => {
                let messages = self.purge(id);
                self.tell(from, Answer::Notice(Notice::MessagesGone { messages }));
            }
            Question::Delete { if_unused, if_empty } => {
                if let Err(fault) = self.try_delete(Remover::Session(from), id, if_unused, if_empty) {
                    self.tell(from, Answer::Notice(Notice::Failed(fault)));
                }
            }
            Question::Consume { index, no_ack, exclusive, prefetch, window, metered, arguments } => {
                let credit = (from.conn.shard != self.id).then(|| Credit::new(window, metered));
                let target = Target { channel: from, index };
                let consumer = Consumer::new(target, no_ack, prefetch, arguments.priority).with_credit(credit);
                let timeout_ms = timeout_ms(queue, no_ack, arguments.timeout, &self.config);
                self.on_consume(from, id, consumer, exclusive, timeout_ms);
            }
            Question::Cancel(consumer) => {
                let gone = queue.consumers.cancel(consumer).is_some();
                self.tally.consumers -= usize::from(gone);
                self.touch_queue(id);
                self.tell(from, Answer::Notice(Notice::Done));
                self.serve_next(id);
                self.delete_if_abandoned(id);
            }
            Question::Get { .. } if queue.rules.quorum && queue.rules.single_active => self.refuse_get(from, id),
            Question::Get { no_ack } => self.on_get(from, id, no_ack),
        }
    }

    /// Deletes a queue here, if it is unused or empty as demanded.
    fn try_delete(&mut self, remover: Remover, id: QueueId, if_unused: bool, if_empty: bool) -> Result<(), Fault> {
        let Some(queue) = self.queue_mut(id) else { return Ok(()) };
        if if_empty && !queue.is_empty() {
            return Err(self.refusal(id, Code::PreconditionFailed, "not empty"));
        }
        if if_unused && !queue.consumers.is_empty() {
            return Err(self.refusal(id, Code::PreconditionFailed, "in use"));
        }
        self.delete_queue(id, Some(remover));
        Ok(())
    }

    /// Deletes a queue here for an operator. If it is gone or not there yet, the catalog is asked
    /// again.
    pub(in crate::shard) fn on_removal(&mut self, id: QueueId, removal: Removal) {
        let Removal { shard, ticket, if_unused, if_empty, .. } = removal;
        if self.queue_mut(id).is_none() {
            return self.retry_removal(removal);
        }
        if let Err(fault) = self.try_delete(Remover::Operator(shard, ticket), id, if_unused, if_empty) {
            self.decide(shard, ticket, Err(fault));
        }
    }

    fn on_consume(&mut self, from: ChannelAddr, id: QueueId, consumer: Consumer, exclusive: bool, timeout_ms: Option<u64>) {
        let home = self.id;
        let Some(queue) = self.queue_mut(id) else { return };
        let Some(consumer) = queue.consumers.add(consumer, exclusive) else {
            return self.refuse(from, id, Code::AccessRefused, "in exclusive use");
        };
        self.tally.consumers += 1;
        self.tell(from, Answer::Notice(Notice::Consuming { queue: QueueAddr { home, queue: id }, consumer, timeout_ms }));
        self.mark_queue(id);
    }

    pub(in crate::shard) fn on_get(&mut self, from: ChannelAddr, id: QueueId, no_ack: bool) {
        let home = self.id;
        let Shard { queues: Queues { slots, .. }, arena, config, tally, conns, .. } = self;
        let Some(queue) = local_queue(slots, id) else { return self.tell(from, Answer::Retry) };
        if queue.is_returning() {
            return self.queues.getters.push((from, id, no_ack));
        }
        let Some((entry, _)) = queue.pop(arena) else {
            let is_empty = queue.is_empty();
            if is_empty {
                queue.count_empty();
                tally.counts.add(Count::GetEmpty, 1);
            }
            return if is_empty { self.tell(from, Answer::Notice(Notice::Empty)) } else { self.await_load(from, id, no_ack) };
        };
        let is_gone = from.conn.shard == home && conns.get(from.conn.conn).is_none_or(|conn| conn.ending);
        // For a client that went while the log was read, the message is settled below.
        let kind = if no_ack && !is_gone { Count::GetNoAck } else { Count::Get };
        let again = entry.redelivered().into();
        queue.count_given_out(kind, 1, again);
        tally.counts.add(kind, 1);
        tally.counts.add(Count::Redeliver, again);
        let remaining = count(queue.len());
        let receipt = Receipt { queue: QueueAddr { home, queue: id }, consumer: None, entry };
        let timeout_ms = timeout_ms(queue, no_ack, None, config);
        let got = Got { receipt, no_ack, remaining, timeout_ms, at: 0 };
        let message = self.arena.view(entry.message);
        let counted = queue.counts(entry).map(|counts| counts.write(message.properties));
        let message = MessageView { properties: counted.as_deref().unwrap_or(message.properties), ..message };
        if from.conn.shard == home {
            match self.conns.touch(from.conn.conn).filter(|conn| !conn.ending) {
                Some(conn) => {
                    if conn.is_traced {
                        self.publishing.traces.note((from.conn.conn, from.channel), id, entry.redelivered(), &message);
                    }
                    conn.session.deliver_get(receipt.queue, entry, remaining, timeout_ms, &message);
                }
                None => return self.settle_here(id, None, std::iter::once(entry), Outcome::Failed), // the client went while the log was read
            }
            self.end_request(from.conn.conn);
        } else {
            let link = self.peers.links[from.conn.shard.0 as usize].as_mut().expect("every other shard has a link");
            link.got(&message, from, got);
        }
        if no_ack {
            return self.drop_settled(id, &[entry]);
        }
        let Some(queue) = local_queue(&mut self.queues.slots, id).filter(|queue| queue.rules.counts) else { return };
        Shard::note_given_out(&mut self.durability.store, queue, &[entry]);
    }

    /// Delivers a message that a session here asked for with basic.get.
    pub(in crate::shard) fn on_got(&mut self, to: ChannelAddr, got: &Got, message: &MessageView<'_>) {
        match self.conns.touch(to.conn.conn).filter(|conn| !conn.ending) {
            Some(conn) => {
                let &Got { receipt, remaining, timeout_ms, .. } = got;
                if conn.is_traced {
                    let from = (to.conn.conn, to.channel);
                    self.publishing.traces.note(from, receipt.queue.queue, receipt.entry.redelivered(), message);
                }
                conn.session.deliver_get(receipt.queue, receipt.entry, remaining, timeout_ms, message);
                self.end_request(to.conn.conn);
            }
            None if got.no_ack => {}
            // Marked redelivered, as in RabbitMQ: others may have got later messages meanwhile.
            None => self.settle(got.receipt.queue, None, &[got.receipt.entry], Outcome::Failed),
        }
    }

    /// Tells a session, wherever it is.
    pub(in crate::shard) fn tell(&mut self, to: ChannelAddr, answer: Answer) {
        if to.conn.shard == self.id {
            self.on_told(to, answer);
        } else {
            self.link(to.conn.shard).stage(Mail::Told(Box::new(Told { to, answer })));
        }
    }

    /// Refuses basic.get from a quorum queue with a single active consumer (row S8).
    fn refuse_get(&mut self, to: ChannelAddr, id: QueueId) {
        let text = format!(
            "cannot obtain access to locked queue '{}' in vhost '{}'. basic.get operations are not supported by <<\"quorum\">> queues with \
             single active consumer",
            self.queue_name(id),
            self.queue_vhost(id)
        );
        self.tell(to, Answer::Notice(Notice::Failed(Fault::new(Code::ResourceLocked, text))));
    }

    fn refuse(&mut self, to: ChannelAddr, id: QueueId, code: Code, why: &str) {
        let fault = self.refusal(id, code, why);
        self.tell(to, Answer::Notice(Notice::Failed(fault)));
    }

    fn refusal(&self, id: QueueId, code: Code, why: &str) -> Fault {
        Fault::new(code, format!("queue '{}' in vhost '{}' {why}", self.queue_name(id), self.queue_vhost(id)))
    }

    /// Drops the messages that are ready; delivered and unsettled ones stay.
    pub(in crate::shard) fn purge(&mut self, id: QueueId) -> u32 {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return 0 };
        self.queues.rubbish.forgotten.extend(queue.forget_duplicates(false));
        let purged = queue.purge();
        let messages = count(purged.iter().map(Purged::count).sum());
        for level in purged {
            self.durability.store.settle_spilled(level.slot, level.spilled);
            self.free_purged(id, level);
        }
        self.retry_getters(); // the messages that they wait for will not come
        messages
    }

    pub(in crate::shard) fn queue_name(&self, id: QueueId) -> Box<str> {
        self.catalog.queue(id).map(|info| info.spec.name.clone()).unwrap_or_default()
    }

    fn queue_vhost(&self, id: QueueId) -> Box<str> {
        self.catalog.queue(id).map(|info| self.catalog.vhost_name(info.vhost).into()).unwrap_or_default()
    }
}

/// Returns how long a delivery may stay unsettled (row S14), by the consumer, the queue or the
/// configuration. Only quorum queues have such a limit.
fn timeout_ms(queue: &Queue, no_ack: bool, argument: Option<u64>, config: &Config) -> Option<u64> {
    let may_be_late = queue.rules.quorum && !no_ack;
    argument.or(queue.rules.consumer_timeout_ms).or(config.consumer_timeout_ms).filter(|_| may_be_late)
}

/// The answer for a queue that is going. Its consumers went with it; any other question is for the
/// catalog.
fn absent(question: Question) -> Answer {
    match question {
        Question::Cancel(_) => Answer::Notice(Notice::Done),
        _ => Answer::Retry,
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

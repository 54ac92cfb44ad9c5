//! The answers to requests, and the replies that the session then writes. The shard parks the
//! connection meanwhile; the session only remembers how the client is to be told.

use super::*;
use crate::contract::{Count, Entry, Notice, Receipt};
use crate::message::MessageView;
use crate::protocol::amqp::content::write_content;
use crate::protocol::amqp::deliver::write_get_ok;
use crate::protocol::amqp::method::{Method, basic, exchange, queue, tx};

/// A request that is under way, one at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    channel: u16,
    method: MethodIds,
    reply: Reply,
    nowait: bool,
}

/// The reply to the client when its request is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named after the methods that answer")]
pub enum Reply {
    ExchangeDeclared,
    ExchangeDeleted,
    ExchangeBound,
    ExchangeUnbound,
    QueueDeclared,
    QueueBound,
    QueueUnbound,
    QueuePurged,
    QueueDeleted,
    Consuming { index: u32 },
    Cancelled { index: u32 },
    Got { no_ack: bool },
    Committed,
}

impl Session {
    /// Notes how to answer the present method.
    pub(super) fn expect_answer(&mut self, channel: u16, reply: Reply, nowait: bool) {
        self.pending = Some(Pending { channel, method: self.method, reply, nowait });
    }

    fn take_pending(&mut self) -> Pending {
        self.end_wait();
        self.pending.take().expect("only a request is answered")
    }

    /// Takes the answer to [`Event::Request`] or [`Event::Commit`]. The answer to a basic.get that
    /// found a message is [`Session::deliver_get`].
    pub fn answer(&mut self, notice: Notice) {
        let Pending { channel: number, method, reply, nowait } = self.take_pending();
        let Some(channel) = self.channels.find_mut(number) else {
            return;
        };
        match (notice, reply) {
            (Notice::Failed(fault), reply) => {
                if let Reply::Consuming { index } = reply {
                    channel.remove_consumer(index);
                }
                self.fail(number, method, fault);
            }
            // The consumer exists even if the connection has begun to close in the meantime; then
            // its end removes the consumer.
            (Notice::Consuming { queue, consumer, timeout_ms }, Reply::Consuming { index }) => {
                let added = channel.consumers.find_mut(index).expect("a consumer stays until it is answered");
                added.place = Some((queue, consumer));
                added.terms.timeout_ms = timeout_ms;
                let tag = added.tag.clone();
                self.reply(number, nowait, basic::ConsumeOk { consumer_tag: &tag });
                if let Some(timeout_ms) = timeout_ms {
                    self.time_consumer(number, index, (queue, consumer), timeout_ms);
                }
            }
            (Notice::Replying(_), Reply::Consuming { index }) => {
                let tag = channel.consumers.find(index).expect("a consumer stays until it is answered").tag.clone();
                self.reply(number, nowait, basic::ConsumeOk { consumer_tag: &tag });
            }
            (Notice::Done, Reply::Cancelled { index }) => {
                let was_full = channel.is_full();
                let consumer = channel.remove_consumer(index).expect("a consumer stays until its cancel is answered");
                let relieved = was_full && !channel.is_full();
                self.announce_relief(number, relieved);
                self.reply(number, nowait, basic::CancelOk { consumer_tag: &consumer.tag });
            }
            (Notice::QueueDeclared { name, messages: message_count, consumers: consumer_count }, Reply::QueueDeclared) => {
                self.reply(number, nowait, queue::DeclareOk { queue: &name, message_count, consumer_count });
                self.channels.find_mut(number).expect("it was just found").last_queue = name;
            }
            (notice, reply) => {
                channel.counts.add(Count::GetEmpty, usize::from(notice == Notice::Empty));
                self.reply(number, nowait, plain_reply(reply, &notice));
            }
        }
    }

    /// Takes the answer to a basic.get that found a message. `remaining` other messages are ready
    /// in `queue`; the channel may keep this one for `timeout_ms`.
    pub fn deliver_get(&mut self, queue: QueueAddr, entry: Entry, remaining: u32, timeout_ms: Option<u64>, message: &MessageView<'_>) {
        let Pending { channel: number, reply, .. } = self.take_pending();
        let Some(channel) = self.channels.find_mut(number) else {
            return;
        };
        let (count, tag) = match reply {
            Reply::Got { no_ack: true } => (Count::GetNoAck, channel.unacked.skip()),
            _ => (Count::Get, channel.unacked.push(Receipt { queue, consumer: None, entry })),
        };
        channel.counts.add(count, 1);
        channel.counts.add(Count::Redeliver, entry.redelivered().into());
        if let Some(timeout_ms) = timeout_ms {
            self.time_fetched(number, queue, timeout_ms);
        }
        if self.stage == Stage::Running {
            write_get_ok(number, tag, entry.redelivered(), message.route.wire(), remaining, self.output.bytes_mut());
            write_content(number, self.client.frame_max, message.properties, message.body, &mut self.output);
        }
    }

    /// Whether the client is cancelling this consumer: then the answer tells it of the consumer's
    /// end.
    pub(super) fn is_cancelling(&self, number: u16, index: u32) -> bool {
        matches!(self.pending, Some(Pending { channel, reply: Reply::Cancelled { index: i }, .. }) if (channel, i) == (number, index))
    }

    fn reply<'m>(&mut self, channel: u16, nowait: bool, method: impl Into<Method<'m>>) {
        if !nowait && self.stage == Stage::Running {
            method.into().write(channel, self.output.bytes_mut());
        }
    }
}

/// Returns the replies that change nothing in the session.
fn plain_reply(reply: Reply, notice: &Notice) -> Method<'static> {
    match (reply, notice) {
        (Reply::ExchangeDeclared, Notice::Done) => exchange::DeclareOk {}.into(),
        (Reply::ExchangeDeleted, Notice::Done) => exchange::DeleteOk {}.into(),
        (Reply::ExchangeBound, Notice::Done) => exchange::BindOk {}.into(),
        (Reply::ExchangeUnbound, Notice::Done) => exchange::UnbindOk {}.into(),
        (Reply::QueueBound, Notice::Done) => queue::BindOk {}.into(),
        (Reply::QueueUnbound, Notice::Done) => queue::UnbindOk {}.into(),
        (Reply::QueuePurged, &Notice::MessagesGone { messages: message_count }) => queue::PurgeOk { message_count }.into(),
        (Reply::QueueDeleted, &Notice::MessagesGone { messages: message_count }) => queue::DeleteOk { message_count }.into(),
        (Reply::Got { .. }, Notice::Empty) => basic::GetEmpty::default().into(),
        (Reply::Committed, Notice::Done) => tx::CommitOk {}.into(),
        (reply, notice) => panic!("{notice:?} is no answer to what waits for {reply:?}"),
    }
}

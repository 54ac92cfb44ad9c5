//! Mail: what shards say to each other. A mail has at most 64 bytes; larger values are in a block
//! or behind a pointer.
//!
//! A connection lives on one shard and a queue on another, so a message may cross twice:
//!
//! ```text
//! publisher's shard ── Publish ──▶ queue's home ── Deliver ──▶ consumer's shard
//!         ◀── Accepted (confirm) ──      ◀── Settled (ack, nack, back) ──
//! ```
//!
//! **Credit.** A queue delivers a message only if the consumer's shard has granted room for it
//! ([`Credit`](crate::contract::Credit)). So every delivery that arrives is written to its
//! connection, and order per consumer holds. Only deliveries that find their consumer gone return
//! to their place, marked redelivered.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::ids::{ChannelAddr, ConnId, ConsumerId, ExchangeId, QueueAddr, QueueId, ShardId};
use crate::broker::catalog::ConsumerArguments;
use crate::contract::{Fault, Grant, Notice, Outcome, Receipt, ReplyConsumer, Target, VhostId};
use crate::shard::control::order::Made;
use crate::shard::control::wish::Wish;
use crate::store::arrivals::Origin;
use crate::store::format::Placement;

/// One item of a ring between two shards.
pub enum Mail {
    /// Records; the mail behind refers to them by offset.
    Block(Bytes),
    /// The shared body of the very next mail.
    Body(Bytes),
    /// Messages for a queue.
    Publish(Publish),
    /// A message that leaves its queue for this one and others, and its origin.
    Transfer(Box<(Publish, Origin)>),
    /// The message at this place has left for good: arrivals of its copies may be forgotten.
    Gone(Placement),
    /// Messages for a channel that waits for replies.
    Reply(Reply),
    /// A mandatory message that found no queue, or its channel gone.
    Returned(Box<Returned>),
    /// A question whether replies to this name are awaited.
    LookFor(Box<(ChannelAddr, VhostId, ReplyConsumer, Box<str>)>),
    /// Messages for a consumer.
    Deliver(Deliver),
    /// Settled deliveries.
    Settled(Settled),
    /// Messages of a queue are on their way back in several parts (true), or the last part has been
    /// sent (false).
    Returning(QueueId, bool),
    /// Messages that their queues have: the first hold of each run, and the number of messages.
    Accepted(Box<[(Hold, u32)]>),
    /// A queue has refused this message; it is among those in the [`Accepted`](Mail::Accepted)
    /// behind.
    Refused(Hold),
    /// A consumer has room for more.
    Grant(QueueId, ConsumerId, Grant),
    /// A queue has this many messages for a consumer whose channel counts messages.
    Want(Target, u32),
    /// A queue does not need this many of the messages that it was granted for a consumer.
    Unused(Target, u32),
    /// A consumer's channel begins to count messages: the queue must ask from now on.
    Meter(QueueId, ConsumerId),
    /// A queue has no room for a flood: its publishers are to be held.
    Press(QueueId),
    /// The queue has room again.
    Ease(QueueId),
    /// A consumer leaves, because it is gone.
    Leave(QueueId, ConsumerId),
    /// Asks for [`Synced`](Mail::Synced) for this connection, once all mail before is read.
    Sync(ConnId),
    /// All mail before the connection's [`Sync`](Mail::Sync) is read.
    Synced(ConnId),
    /// A queue is gone, and its consumer with it.
    ConsumerGone(Target),
    /// An operator's command to delete a queue.
    Remove(QueueId, Box<Removal>),
    /// A session's question to a queue.
    Ask(Box<Ask>),
    /// A queue's answer.
    Told(Box<Told>),
    /// A queue's answer to basic.get: the channel, and the message.
    Got(Box<(ChannelAddr, Got)>),
    /// To shard 0: a message for it to route.
    Relay(Relay),
    /// From shard 0: all queues of a relayed message have answered.
    Relayed(Relayed),
    /// To shard 0: an order to change the catalog.
    Order(Box<Order>),
    /// From shard 0: the next change.
    Apply(Arc<Made>),
    /// To shard 0: the oldest change that this shard had not confirmed is applied.
    Applied,
    /// From shard 0: the order with this ticket is carried out on all shards, or refused.
    Decided(u32, Box<Result<(), Fault>>),
}

/// The party that waits for a message to be accepted by its queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// A confirm channel.
    Confirm {
        /// The publisher's connection on the shard that sent the message.
        conn: ConnId,
        /// The publisher's channel.
        channel: u16,
        /// Tells the channel from others of the same number: it may be closed and opened again
        /// before the answer comes.
        generation: u32,
        /// The publish's sequence number on the channel, from 1.
        sequence: u64,
    },
    /// A tx.commit, which waits for all its messages together.
    Commit {
        /// The publisher's connection.
        conn: ConnId,
        /// The publisher's channel.
        channel: u16,
        /// Tells the channel from others of the same number.
        generation: u32,
    },
    /// A channel that wants no confirm. Its message may be returned, and requests of its connection
    /// wait for messages that shard 0 routes.
    Unconfirmed {
        /// The publisher's connection.
        conn: ConnId,
        /// The publisher's channel.
        channel: u16,
        /// Tells the channel from others of the same number.
        generation: u32,
    },
    /// Shard 0, for a message that it routes.
    Relay {
        /// The message's number among the relayed ones.
        at: u32,
        /// The place of the queue among the message's queues.
        part: u32,
    },
    /// A shard, for a message on its way from a queue to others.
    Transfer {
        /// The message's number among the transfers.
        at: u32,
        /// The place of the queue among the message's queues.
        part: u32,
    },
    /// A shard, for a transfer that shard 0 routes: an exchange has delayed the message, and it
    /// survives a restart.
    Delayed {
        /// The message's number among the transfers.
        at: u32,
        /// The message's sequence number in the exchange's queue.
        sequence: u64,
    },
}

impl Hold {
    /// Makes the hold of shard 0 for its relayed message number `at`.
    pub fn relay(at: usize) -> Hold {
        Hold::Relay { at: number(at), part: 0 }
    }

    /// Makes the hold of a shard for its transfer number `at`.
    pub fn transfer(at: usize) -> Hold {
        Hold::Transfer { at: number(at), part: 0 }
    }

    /// Makes the hold of a part of this relayed message or transfer: one of its queues.
    pub fn part(self, part: usize) -> Hold {
        let part = number(part);
        match self {
            Hold::Relay { at, .. } => Hold::Relay { at, part },
            Hold::Transfer { at, .. } => Hold::Transfer { at, part },
            _ => unreachable!("messages of clients have no parts"),
        }
    }

    /// Returns the hold of the message `count` behind.
    #[inline]
    pub fn behind(self, count: u32) -> Hold {
        match self {
            Hold::Confirm { conn, channel, generation, sequence } => {
                Hold::Confirm { conn, channel, generation, sequence: sequence + u64::from(count) }
            }
            hold => hold,
        }
    }

    /// Whether `next` waits for the message behind the `count` ones that this hold waits for. (A
    /// shard hears of each of its messages alone.)
    #[inline]
    pub fn is_followed_by(self, next: Hold, count: u32) -> bool {
        matches!(self, Hold::Confirm { .. } | Hold::Commit { .. }) && self.behind(count) == next
    }

    /// Returns where a client's message goes if it is returned.
    pub fn way_back(self) -> Option<Returned> {
        match self {
            Hold::Confirm { conn, channel, generation, .. }
            | Hold::Commit { conn, channel, generation }
            | Hold::Unconfirmed { conn, channel, generation } => Some(Returned { conn, channel, generation, at: 0 }),
            Hold::Relay { .. } | Hold::Transfer { .. } | Hold::Delayed { .. } => None,
        }
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("fewer messages are under way, and a message has fewer queues")
}

/// Messages on their way to a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish {
    /// The queue.
    pub queue: QueueId,
    /// The hold of the first message; the others have the sequence numbers behind it.
    pub hold: Option<Hold>,
    /// The record of the first message in the block.
    pub at: u32,
    /// The number of messages, whose records follow one another.
    pub count: u32,
}

impl Publish {
    /// Whether `next` is for the same queue, and its holds continue these.
    pub fn is_followed_by(&self, next: &Publish) -> bool {
        let continues = match (self.hold, next.hold) {
            (None, None) => true,
            (Some(hold), Some(next)) => hold.is_followed_by(next, self.count),
            _ => false,
        };
        continues && self.queue == next.queue
    }
}

/// A message whose way leads through an exchange that remembers messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relay {
    /// The publisher's hold. None: nobody waits for an answer.
    pub publisher: Option<Hold>,
    /// The virtual host in which it was published.
    pub vhost: VhostId,
    /// Whether to return it if it finds no queue.
    pub mandatory: bool,
    /// Whether CC and BCC are keys, too.
    pub copies: bool,
    /// Whether it is a dead letter.
    pub is_dead: bool,
    /// The exchange that has delayed it, if it comes from one.
    pub passed: Option<ExchangeId>,
    /// Its record in the block.
    pub at: u32,
}

/// The outcome of a relayed message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relayed {
    /// The publisher's hold.
    pub hold: Hold,
    /// Whether a queue has refused it, or a dead letter leads to no queue.
    pub is_refused: bool,
    /// Whether a queue has taken it.
    pub is_taken: bool,
    /// The queues that have refused it.
    pub refused: Box<[QueueAddr]>,
}

/// Replies on their way to the channel that waits for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The receiver.
    pub consumer: ReplyConsumer,
    /// The publisher's hold of the first reply; the others have the sequence numbers behind it.
    pub hold: Hold,
    /// Whether they are returned if nobody awaits them.
    pub mandatory: bool,
    /// The virtual host.
    pub vhost: VhostId,
    /// The record of the first reply in the block.
    pub at: u32,
    /// The number of replies, whose records follow one another.
    pub count: u16,
}

/// A message that is returned to its publisher.
#[derive(Clone, Copy, Debug)]
pub struct Returned {
    /// The publisher's connection.
    pub conn: ConnId,
    /// The publisher's channel.
    pub channel: u16,
    /// Tells the channel from others of the same number.
    pub generation: u32,
    /// The record in the block.
    pub at: u32,
}

/// Deliveries under way. In the block, each record follows the message's
/// [`Entry`](crate::contract::Entry).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deliver {
    /// The consumer's connection.
    pub conn: ConnId,
    /// The queue that they come from.
    pub queue: QueueId,
    /// The consumer's id in the queue.
    pub consumer: ConsumerId,
    /// The consumer's index in its channel.
    pub index: u32,
    /// The first entry in the block.
    pub at: u32,
    /// The number of deliveries, which follow one another.
    pub count: u32,
    /// The consumer's channel.
    pub channel: u16,
    /// Whether they need no settling: their queue has let the messages go.
    pub no_ack: bool,
}

/// The end of deliveries of one queue to one consumer. Each one's [`Entry`](crate::contract::Entry)
/// is in the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled {
    /// The queue.
    pub queue: QueueId,
    /// The consumer's id in the queue, or `None` for messages of basic.get.
    pub consumer: Option<ConsumerId>,
    /// The fate of the messages.
    pub outcome: Outcome,
    /// The first entry in the block.
    pub at: u32,
    /// The number of entries, which follow one another.
    pub count: u32,
}

/// A session's question to a queue.
pub struct Ask {
    /// The session's channel.
    pub from: ChannelAddr,
    /// The queue.
    pub queue: QueueId,
    /// The question.
    pub question: Question,
}

/// A question to a queue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Question {
    /// The number of messages and consumers (queue.declare-ok).
    Counts,
    /// Drop the ready messages.
    Purge,
    /// Delete the queue.
    Delete {
        /// Only if it has no consumers.
        if_unused: bool,
        /// Only if it has no messages.
        if_empty: bool,
    },
    /// Add a consumer.
    Consume {
        /// The consumer's index in its channel.
        index: u32,
        /// Whether deliveries need no settling.
        no_ack: bool,
        /// Whether it is to be the only consumer.
        exclusive: bool,
        /// Most unsettled deliveries; 0 is no limit.
        prefetch: u32,
        /// Credit for a consumer on another shard, bytes.
        window: u32,
        /// Whether the consumer's channel counts messages.
        metered: bool,
        /// The consumer's arguments.
        arguments: ConsumerArguments,
    },
    /// Cancel a consumer.
    Cancel(ConsumerId),
    /// Take one message.
    Get {
        /// Whether it needs no settling.
        no_ack: bool,
    },
}

/// A queue's answer to a channel.
pub struct Told {
    /// The channel.
    pub to: ChannelAddr,
    /// The answer.
    pub answer: Answer,
}

/// A queue's answer.
pub enum Answer {
    /// A notice that the session passes to its client.
    Notice(Notice),
    /// The queue is going or gone: ask the catalog again.
    Retry,
}

/// A message for basic.get.
#[derive(Clone, Copy, Debug)]
pub struct Got {
    /// The message's place; to be settled unless `no_ack`.
    pub receipt: Receipt,
    /// Whether it counts as settled already.
    pub no_ack: bool,
    /// Messages that remain ready.
    pub remaining: u32,
    /// How long the channel may keep it.
    pub timeout_ms: Option<u64>,
    /// The record in the block.
    pub at: u32,
}

/// An order to change the catalog.
pub struct Order {
    /// The shard that waits for the decision.
    pub shard: ShardId,
    /// The shard's ticket for the waiting party.
    pub ticket: u32,
    /// The wanted change.
    pub wish: Wish,
}

/// An operator's command that a queue's home carries out.
pub struct Removal {
    /// The shard that waits for the decision.
    pub shard: ShardId,
    /// The shard's ticket for the waiting party.
    pub ticket: u32,
    /// The virtual host.
    pub vhost: Box<str>,
    /// The queue.
    pub name: Box<str>,
    /// Only if it has no consumers.
    pub if_unused: bool,
    /// Only if it has no ready messages.
    pub if_empty: bool,
}

const _: () = assert!(size_of::<Mail>() <= 64);

//! What shards say to each other: at most 64 bytes each, whatever is larger stands in a block or behind a pointer.
//!
//! A connection lives on one shard and a queue on another, so a message may cross twice:
//!
//! ```text
//! publisher's shard ── Publish ──▶ queue's home ── Deliver ──▶ consumer's shard
//!         ◀── Accepted (confirm) ──      ◀── Settled (ack, nack, back) ──
//! ```
//!
//! **Credit.** A queue gives a message out only if the consumer's shard has granted room for it ([`Credit`](crate::contract::Credit)): every delivery
//! that arrives is written to its connection, and order per consumer holds. Only what finds its consumer gone returns to its place, marked redelivered.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::ids::{ChannelAddr, ConnId, ConsumerId, ExchangeId, Key, QueueAddr, QueueId, ShardId};
use crate::broker::catalog::{Asker, Change, ConsumerArguments};
use crate::contract::{Command, Fault, Grant, Notice, Outcome, Receipt, ReplyConsumer, Request, Target, VhostId};
use crate::store::arrivals::Origin;
use crate::store::format::Placement;

/// One item of a ring between two shards.
pub enum Mail {
    /// Records that the mail behind it refers to by offset.
    Block(Bytes),
    /// The shared body of the very next mail.
    Body(Bytes),
    /// Messages for a queue.
    Publish(Publish),
    /// A message that leaves its queue for this one and others, and where it comes from.
    Transfer(Box<(Publish, Origin)>),
    /// What came from there has no original any more.
    Gone(Placement),
    /// Messages for a channel that waits for replies.
    Reply(Reply),
    /// A mandatory one that found the channel gone.
    Returned(Box<Returned>),
    /// Somebody asks whether replies to this name are awaited there.
    LookFor(Box<(ChannelAddr, VhostId, ReplyConsumer, Box<str>)>),
    /// Messages for a consumer.
    Deliver(Deliver),
    /// Settled deliveries.
    Settled(Settled),
    /// Messages of a queue are on their way back in several goes, or (false) the last one has been.
    Returning(QueueId, bool),
    /// Messages that their queues have: who waits, and from its sequence number on how many.
    Accepted(Box<[(Hold, u32)]>),
    /// A queue has refused this message; it is among those in [`Accepted`](Mail::Accepted) behind.
    Refused(Hold),
    /// A consumer has room for more.
    Grant(QueueId, ConsumerId, Grant),
    /// A queue has so many messages for a consumer, whose channel counts them.
    Want(Target, u32),
    /// A queue does not need so many of the messages that it was granted for a consumer.
    Unused(Target, u32),
    /// A consumer's channel begins to count messages: the queue must ask from now on.
    Meter(QueueId, ConsumerId),
    /// A queue has no room for a flood: its publishers are to be held.
    Press(QueueId),
    /// It has room again.
    Ease(QueueId),
    /// A consumer's channel ended.
    Leave(QueueId, ConsumerId),
    /// Say [`Synced`](Mail::Synced) for this connection: what it sent before is read then.
    Sync(ConnId),
    /// All that was sent before the connection's [`Sync`](Mail::Sync) is read.
    Synced(ConnId),
    /// A queue went and its consumer with it.
    ConsumerGone(Target),
    /// An operator wants a queue gone.
    Remove(QueueId, Box<Removal>),
    /// A session asks a queue.
    Ask(Box<Ask>),
    /// The queue's answer.
    Told(Box<Told>),
    /// The queue's answer to basic.get: to whom, and the message.
    Got(Box<(ChannelAddr, Got)>),
    /// To shard 0: a message for it to route.
    Relay(Relay),
    /// From shard 0: all queues of a relayed message have it.
    Relayed(Relayed),
    /// To shard 0: please change the catalog.
    Order(Box<Order>),
    /// From shard 0: this change is next.
    Apply(Arc<Change>),
    /// To shard 0: the oldest change that this shard had not confirmed is applied.
    Applied,
    /// From shard 0: the order is carried out on all shards, or refused.
    Decided(u32, Box<Result<(), Fault>>),
}

/// Who waits for a message to be accepted: a confirm channel's sequence number, (sequence 0) a transaction, or (channel 0) the shard itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// The publisher's connection on the shard that sent the message.
    pub conn: ConnId,
    /// Its channel.
    pub channel: u16,
    /// Which channel of that number: it may be closed and opened again before the answer comes.
    pub generation: u32,
    /// The publish's sequence number on the channel, from 1; 0 for tx.commit.
    pub sequence: u64,
}

/// What a shard itself waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Own {
    /// A relayed message.
    Relay,
    /// A message on its way from a queue to others.
    Transfer,
}

impl Hold {
    /// The shard waits, for number `at` of what is such.
    pub fn own(what: Own, at: usize) -> Hold {
        let slot = u32::try_from(at).expect("fewer messages are under way");
        Hold { conn: ConnId(Key { slot, generation: 0 }), channel: 0, generation: what as u32, sequence: 1 }
    }

    /// The same, for the part with this number of what the shard waits for.
    pub fn part(self, number: usize) -> Hold {
        let number = u32::try_from(number).expect("a message has fewer queues");
        Hold { conn: ConnId(Key { generation: number, ..Key::from(self.conn) }), ..self }
    }

    /// Which part of it.
    pub fn part_number(self) -> usize {
        Key::from(self.conn).generation as usize
    }

    /// If the shard itself waits: for what, and which of them.
    #[inline]
    pub fn as_own(self) -> Option<(Own, usize)> {
        let what = if self.generation == Own::Relay as u32 { Own::Relay } else { Own::Transfer };
        (self.channel == 0).then(|| (what, Key::from(self.conn).slot as usize))
    }

    /// Who waits for the message `count` behind. (A transaction waits for all its messages together.)
    pub fn behind(self, count: u32) -> Hold {
        let step = if self.sequence == 0 { 0 } else { u64::from(count) };
        Hold { sequence: self.sequence + step, ..self }
    }

    /// Whether `next` waits for the message behind the `count` ones that this one waits for.
    pub fn is_followed_by(self, next: Hold, count: u32) -> bool {
        self.behind(count) == next
    }
}

/// Messages on their way to a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish {
    /// The queue.
    pub queue: QueueId,
    /// Who waits until the queue has the first one; the others have the sequence numbers behind it.
    pub hold: Option<Hold>,
    /// The first one's record in the block.
    pub at: u32,
    /// How many there are, their records behind one another.
    pub count: u32,
}

impl Publish {
    /// Whether `next` is for the same queue, and waited for as if it were one with this one.
    pub fn is_followed_by(&self, next: &Publish) -> bool {
        let continues = match (self.hold, next.hold) {
            (None, None) => true,
            (Some(hold), Some(next)) => hold.is_followed_by(next, self.count),
            _ => false,
        };
        continues && self.queue == next.queue
    }
}

/// A message whose way leads through an exchange that remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relay {
    /// Who has published it, and its sequence number if that waits for it (of what an exchange has delayed, that of the message in the exchange's
    /// queue and [`FIRST_PLACE`](crate::shard::publish::relay::FIRST_PLACE)). None: nobody who wants to hear of it.
    pub publisher: Option<Hold>,
    /// Where it was published.
    pub vhost: VhostId,
    /// Return it if it finds no queue.
    pub mandatory: bool,
    /// The publisher waits until its queues have it.
    pub is_awaited: bool,
    /// CC and BCC are keys, too.
    pub copies: bool,
    /// It is a dead letter.
    pub is_dead: bool,
    /// It comes from this exchange, which has delayed it.
    pub passed: Option<ExchangeId>,
    /// Its record in the block.
    pub at: u32,
}

/// What became of a relayed message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relayed {
    /// Its publisher.
    pub hold: Hold,
    /// The publisher waits for this.
    pub is_awaited: bool,
    /// A queue has refused it, or a dead letter leads to none.
    pub is_refused: bool,
    /// A queue has taken it.
    pub is_taken: bool,
    /// Those that have refused it.
    pub refused: Box<[QueueAddr]>,
}

/// Replies on their way to the channel that waits for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Who waits for them.
    pub consumer: ReplyConsumer,
    /// Who has published the first one; the others have the sequence numbers behind it.
    pub hold: Hold,
    /// And waits until they are there.
    pub is_held: bool,
    /// And wants them back if nobody awaits them.
    pub mandatory: bool,
    /// The virtual host.
    pub vhost: VhostId,
    /// The first one's record in the block.
    pub at: u32,
    /// How many there are, their records behind one another.
    pub count: u16,
}

/// A message that goes back to who published it.
#[derive(Clone, Copy, Debug)]
pub struct Returned {
    /// Whose connection.
    pub conn: ConnId,
    /// On which channel.
    pub channel: u16,
    /// Which channel of that number.
    pub generation: u32,
    /// The record in the block.
    pub at: u32,
}

/// Deliveries under way. In front of each record in the block stands the message's [`Entry`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deliver {
    /// The consumer's connection.
    pub conn: ConnId,
    /// The queue it comes from.
    pub queue: QueueId,
    /// The consumer there.
    pub consumer: ConsumerId,
    /// The consumer's index in its channel.
    pub index: u32,
    /// The first entry in the block.
    pub at: u32,
    /// How many there are, behind one another.
    pub count: u32,
    /// The consumer's channel.
    pub channel: u16,
    /// They need no settling, and their queue has let the messages go.
    pub no_ack: bool,
}

/// The end of deliveries of one queue to one consumer. Their [`Entry`]s stand in the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled {
    /// The queue.
    pub queue: QueueId,
    /// The consumer there, or `None` for messages that were fetched.
    pub consumer: Option<ConsumerId>,
    /// What becomes of the messages.
    pub outcome: Outcome,
    /// The first entry in the block.
    pub at: u32,
    /// How many there are, behind one another.
    pub count: u32,
}

/// A session's question to a queue.
pub struct Ask {
    /// Who asks.
    pub from: ChannelAddr,
    /// Whom.
    pub queue: QueueId,
    /// What.
    pub question: Question,
}

/// What a queue can be asked.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Question {
    /// How many messages and consumers? (queue.declare-ok)
    Counts,
    /// Drop what is ready.
    Purge,
    /// Go.
    Delete {
        /// Only without consumers.
        if_unused: bool,
        /// Only without messages.
        if_empty: bool,
    },
    /// Take a consumer.
    Consume {
        /// Its index in the channel.
        index: u32,
        /// Needs no settling.
        no_ack: bool,
        /// Alone.
        exclusive: bool,
        /// Unsettled deliveries at most; 0 is no limit.
        prefetch: u32,
        /// What a consumer on another shard is granted, bytes.
        window: u32,
        /// Its channel counts messages.
        metered: bool,
        /// What its arguments say.
        arguments: ConsumerArguments,
    },
    /// Let a consumer go.
    Cancel(ConsumerId),
    /// One message.
    Get {
        /// Needs no settling.
        no_ack: bool,
    },
}

/// A queue's answer.
pub struct Told {
    /// To whom.
    pub to: ChannelAddr,
    /// What.
    pub answer: Answer,
}

/// What a queue says.
pub enum Answer {
    /// Something that the session tells its client.
    Notice(Notice),
    /// The queue is going or gone: ask the catalog again.
    Retry,
}

/// A message for basic.get.
#[derive(Clone, Copy, Debug)]
pub struct Got {
    /// Its place; to be settled unless `no_ack`.
    pub receipt: Receipt,
    /// Counts as settled already.
    pub no_ack: bool,
    /// Messages that remain ready.
    pub remaining: u32,
    /// How long the channel may keep it.
    pub timeout_ms: Option<u64>,
    /// The record in the block.
    pub at: u32,
}

/// A wish to change the catalog.
pub struct Order {
    /// The shard that waits for the decision.
    pub shard: ShardId,
    /// Its name for the waiting.
    pub ticket: u32,
    /// What to change.
    pub wish: Wish,
}

/// An operator's command that a queue's home carries out.
pub struct Removal {
    /// The shard that waits for the decision.
    pub shard: ShardId,
    /// Its name for the waiting.
    pub ticket: u32,
    /// To delete the queue.
    pub command: Command,
}

/// Who wishes which change.
pub enum Wish {
    /// A client's request, to be checked against the catalog when its turn comes.
    Request {
        /// Whose.
        asker: Asker,
        /// Where.
        vhost: VhostId,
        /// What.
        request: Request,
    },
    /// An operator's command, to be checked likewise.
    Command(Command),
    /// A queue that is gone already.
    DeleteQueue(QueueId),
}

const _: () = assert!(size_of::<Mail>() <= 64);

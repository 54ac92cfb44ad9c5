//! Requests of a session, and the notices that answer them.

use super::Topology;
use crate::base::ids::{ConnAddr, ConsumerId, QueueAddr};
use crate::message::Table;

/// A request of a channel. A connection makes one at a time, and is parked until the answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// A declaration, a deletion, a binding.
    Topology(Topology),
    /// exchange.declare passive
    CheckExchange {
        /// The exchange.
        name: Box<str>,
    },
    /// queue.declare passive
    CheckQueue {
        /// The queue.
        name: Box<str>,
    },
    /// queue.purge
    PurgeQueue {
        /// The queue.
        name: Box<str>,
    },
    /// basic.consume
    Consume {
        /// The queue.
        queue: Box<str>,
        /// The consumer's index in the channel's table; deliveries name it.
        index: u32,
        /// Whether deliveries count as acknowledged at once.
        no_ack: bool,
        /// Whether there may be no other consumer.
        exclusive: bool,
        /// Most unsettled deliveries at a time; 0 is no limit.
        prefetch: u32,
        /// Whether its channel limits the unsettled deliveries of all its consumers together.
        limited: bool,
        /// Bytes that a queue on another shard may send at first (see [`super::Credit`]).
        window: u32,
        /// The x-arguments.
        arguments: Table,
    },
    /// basic.consume of replies to this channel
    ConsumeReplies {
        /// The consumer's index in the channel's table.
        index: u32,
    },
    /// basic.cancel
    Cancel {
        /// The consumer's index in the channel's table.
        index: u32,
    },
    /// basic.get
    Get {
        /// The queue.
        queue: Box<str>,
        /// Whether the message counts as acknowledged at once.
        no_ack: bool,
    },
}

impl From<Topology> for Request {
    fn from(topology: Topology) -> Request {
        Request::Topology(topology)
    }
}

/// A message of the broker to a channel.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// The request is done and has no values to report.
    Done,
    /// queue.declare-ok
    QueueDeclared {
        /// The queue's name.
        name: Box<str>,
        /// Messages ready for delivery.
        messages: u32,
        /// Consumers.
        consumers: u32,
    },
    /// queue.purge-ok, queue.delete-ok
    MessagesGone {
        /// Number of messages.
        messages: u32,
    },
    /// basic.consume-ok: the queue has the consumer, deliveries follow.
    Consuming {
        /// The consumer's queue.
        queue: QueueAddr,
        /// The consumer's id in the queue.
        consumer: ConsumerId,
        /// How long a delivery may stay unsettled, milliseconds; none: no limit.
        timeout_ms: Option<u64>,
    },
    /// basic.consume-ok of replies, with the name that replies may be sent to.
    Replying(super::ReplyName),
    /// basic.get-empty
    Empty,
    /// The request failed.
    Failed(super::Fault),
    /// Unasked: the broker ended a consumer, because its queue is gone (basic.cancel).
    ConsumerGone {
        /// The consumer's index in the channel's table.
        index: u32,
    },
}

/// The connection that owns an exclusive queue.
pub type Owner = Option<ConnAddr>;

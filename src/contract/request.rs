//! Requests of a session, and the notices that answer them.

use crate::base::ids::{ConnAddr, ConsumerId, QueueAddr};
use crate::message::Table;

/// The attributes of a queue, as in queue.declare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueSpec {
    /// The name, never empty here: the session makes up server-named ones.
    pub name: Box<str>,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it belongs to one connection and goes with it.
    pub exclusive: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// The x-arguments.
    pub arguments: Table,
}

/// The attributes of an exchange, as in exchange.declare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeSpec {
    /// Its name.
    pub name: Box<str>,
    /// The type as the client wrote it; the catalog knows which exist.
    pub kind: Box<str>,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it goes with its last binding as a source.
    pub auto_delete: bool,
    /// Whether clients may not publish to it.
    pub internal: bool,
    /// The x-arguments.
    pub arguments: Table,
}

/// The kind of a binding's destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Destination {
    /// queue.bind
    Queue,
    /// exchange.bind
    Exchange,
}

/// A binding. Source, destination, key and arguments together are its identity.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BindingSpec {
    /// The exchange that messages come from.
    pub source: Box<str>,
    /// Whether `destination` names a queue or an exchange.
    pub kind: Destination,
    /// The queue or exchange that they go to.
    pub destination: Box<str>,
    /// The binding key (may be any bytes up to 255, in practice UTF-8).
    pub key: Box<[u8]>,
    /// Arguments in canonical order (sorted by key), for the headers exchange.
    pub arguments: Table,
}

/// A request of a channel. A connection makes one at a time, and is parked until the answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// exchange.declare
    DeclareExchange(ExchangeSpec),
    /// exchange.declare passive
    CheckExchange {
        /// The exchange.
        name: Box<str>,
    },
    /// exchange.delete
    DeleteExchange {
        /// The exchange.
        name: Box<str>,
        /// Refuse if it is the source of bindings.
        if_unused: bool,
    },
    /// queue.bind, exchange.bind
    Bind(BindingSpec),
    /// queue.unbind, exchange.unbind
    Unbind(BindingSpec),
    /// queue.declare
    DeclareQueue(QueueSpec),
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
    /// queue.delete
    DeleteQueue {
        /// The queue.
        name: Box<str>,
        /// Refuse if it has consumers.
        if_unused: bool,
        /// Refuse if it has messages.
        if_empty: bool,
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

impl Request {
    /// Whether the request may change the catalog.
    pub fn is_change(&self) -> bool {
        matches!(
            self,
            Request::DeclareExchange(_)
                | Request::DeleteExchange { .. }
                | Request::Bind(_)
                | Request::Unbind(_)
                | Request::DeclareQueue(_)
                | Request::DeleteQueue { .. }
        )
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

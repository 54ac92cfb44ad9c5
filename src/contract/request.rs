//! What a session asks for, and what it is told.

use crate::base::ids::{ConnAddr, ConsumerId, QueueAddr};
use crate::message::Table;

/// What queue.declare says of a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueSpec {
    /// Its name, never empty here: the session makes up server-named ones.
    pub name: Box<str>,
    /// Survives a restart.
    pub durable: bool,
    /// Belongs to one connection and goes with it.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// The x-arguments.
    pub arguments: Table,
}

/// What exchange.declare says of an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeSpec {
    /// Its name.
    pub name: Box<str>,
    /// Its type as the client wrote it; the catalog knows which exist.
    pub kind: Box<str>,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last binding as a source.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// The x-arguments.
    pub arguments: Table,
}

/// What a binding leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Destination {
    /// queue.bind
    Queue,
    /// exchange.bind
    Exchange,
}

/// A binding: source, destination, key and arguments are together its identity.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BindingSpec {
    /// The exchange that messages come from.
    pub source: Box<str>,
    /// Whether `destination` names a queue or an exchange.
    pub kind: Destination,
    /// Where they go.
    pub destination: Box<str>,
    /// The binding key (may be any bytes up to 255, in practice UTF-8).
    pub key: Box<[u8]>,
    /// Arguments in canonical order (sorted by key), for the headers exchange.
    pub arguments: Table,
}

/// What a channel asks of the broker. One at a time per connection: until its answer, the connection is parked.
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
        /// Deliveries count as acknowledged at once.
        no_ack: bool,
        /// No other consumer beside this one.
        exclusive: bool,
        /// Most unsettled deliveries at a time; 0 is no limit.
        prefetch: u32,
        /// Its channel limits the unsettled deliveries of all its consumers together.
        limited: bool,
        /// What a queue on another shard may send at first, bytes (see [`super::Credit`]).
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
        /// The message counts as acknowledged at once.
        no_ack: bool,
    },
}

impl Request {
    /// Whether it may change the catalog.
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

/// What the broker tells a channel.
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
        /// How many.
        messages: u32,
    },
    /// basic.consume-ok: the queue has the consumer, deliveries follow.
    Consuming {
        /// Where the consumer is.
        queue: QueueAddr,
        /// Its id there.
        consumer: ConsumerId,
        /// How long a delivery may stay unsettled, milliseconds; none: as long as it likes.
        timeout_ms: Option<u64>,
    },
    /// basic.consume-ok of replies: they may be sent to this name.
    Replying(super::ReplyName),
    /// basic.get-empty
    Empty,
    /// The request failed.
    Failed(super::Fault),
    /// Unasked: the broker ended a consumer, because its queue is gone (basic.cancel).
    ConsumerGone {
        /// Its index in the channel's table.
        index: u32,
    },
}

/// Who owns an exclusive queue.
pub type Owner = Option<ConnAddr>;

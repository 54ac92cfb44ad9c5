//! Queries: what an operator may ask a shard. Names and attributes of what the catalog has come
//! from the asker's own copy of the catalog; a shard answers with numbers, and with what only it
//! knows: connections, channels and consumers.
//!
//! Figures come as a [`Part`] of a list, which is made within one turn and tells where the next part
//! begins. It is small, but for what a single connection has: that is not divided. What comes and goes between two parts may be in the list or not; all else is
//! in it once.

use std::net::SocketAddr;

use super::{Counts, VhostId};
use crate::base::ids::{ChannelAddr, ConnAddr, ExchangeId, QueueId, UserId};
use crate::message::Table;

/// One query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// The shard's [`Totals`].
    Totals,
    /// The queues here, from a place of the last part on.
    Queues {
        /// Where the part begins; 0 is the beginning of the list.
        from: u32,
    },
    /// Those of these queues that live here, at most [`PART`].
    QueuesById(Vec<QueueId>),
    /// The exchanges for which messages were counted here.
    Exchanges {
        /// Where the part begins.
        from: u32,
    },
    /// The connections here.
    Connections {
        /// Where the part begins.
        from: u32,
    },
    /// The channels of connections here.
    Channels {
        /// Where the part begins.
        from: u32,
    },
    /// The consumers of channels here.
    Consumers {
        /// Where the part begins.
        from: u32,
    },
}

/// The answer to a [`Query`].
#[derive(Clone, PartialEq, Debug)]
pub enum Figures {
    /// To [`Query::Totals`].
    Totals(Box<Totals>),
    /// To [`Query::Queues`] and [`Query::QueuesById`].
    Queues(Part<QueueFigures>),
    /// To [`Query::Exchanges`].
    Exchanges(Part<ExchangeFigures>),
    /// To [`Query::Connections`].
    Connections(Part<ConnectionFigures>),
    /// To [`Query::Channels`].
    Channels(Part<ChannelFigures>),
    /// To [`Query::Consumers`].
    Consumers(Part<ConsumerFigures>),
}

/// A part of a list.
#[derive(Clone, PartialEq, Debug)]
pub struct Part<T> {
    /// The objects.
    pub items: Vec<T>,
    /// Where the next part begins; none: this was the last.
    pub next: Option<u32>,
}

/// Places of a list that a part covers at most.
pub const PART: usize = 256;

/// Sums over a shard. Counts go on from the start of the broker, also for objects that are gone.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Totals {
    /// Messages.
    pub counts: Counts,
    /// Connections now.
    pub connections: usize,
    /// Channels of all shards now; 0 but on the shard that orders changes.
    pub channels: usize,
    /// Consumers of queues that live here now.
    pub consumers: usize,
    /// Connections that were opened and closed, channels that were opened and closed, queues that
    /// were declared, created and deleted.
    pub churn: Churn,
    /// Distinct messages in memory or unsettled, and the bytes of memory for them.
    pub messages: usize,
    /// Bytes of memory that messages take.
    pub message_memory: usize,
    /// Bytes of logs on the disk.
    pub log_bytes: u64,
    /// Writes to the log, and bytes of them.
    pub writes: (u64, u64),
    /// Bytes that came from clients, and bytes sent to them, by connections that are gone.
    pub octets: (u64, u64),
    /// Receives and sends of connections that are gone.
    pub packets: (u64, u64),
    /// Logins that were accepted and that failed.
    pub logins: (u64, u64),
}

/// How often connections, channels and queues came and went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Churn {
    /// Connections that were opened.
    pub connection_created: u64,
    /// Connections that were closed.
    pub connection_closed: u64,
    /// Channels that were opened.
    pub channel_created: u64,
    /// Channels that were closed.
    pub channel_closed: u64,
    /// Declarations of queues, also of those that were there.
    pub queue_declared: u64,
    /// Queues that were made.
    pub queue_created: u64,
    /// Queues that were deleted.
    pub queue_deleted: u64,
}

/// The numbers of a queue.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct QueueFigures {
    /// The queue.
    pub id: QueueId,
    /// Its messages.
    pub counts: Counts,
    /// Messages ready for delivery.
    pub ready: u64,
    /// Messages that were delivered and are not settled.
    pub unacked: u64,
    /// Messages that an exchange or a retry delays.
    pub delayed: u64,
    /// Bytes of the bodies of ready messages.
    pub ready_bytes: u64,
    /// Bytes of the bodies of unsettled messages.
    pub unacked_bytes: u64,
    /// Ready messages that are only in the log.
    pub spilled: u64,
    /// Its consumers.
    pub consumers: u32,
    /// Part of the time, from 0 to 1, in which its consumers could take messages at once.
    pub consumer_capacity: f32,
    /// The consumer that is served, if a single one is active.
    pub single_active: Option<ChannelAddr>,
    /// Whether one consumer has it for itself.
    pub is_exclusively_consumed: bool,
    /// Bytes of memory that the queue itself takes, without messages.
    pub memory: usize,
    /// The time that the first message in memory has as its property `timestamp`, milliseconds since
    /// 1970, if it has one.
    pub head_timestamp_ms: Option<u64>,
}

/// The numbers of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExchangeFigures {
    /// The exchange.
    pub id: ExchangeId,
    /// Messages that came to it on this shard, and that it gave to queues.
    pub counts: Counts,
}

/// The state of a connection, in RabbitMQ's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionState {
    /// It has not opened a virtual host yet.
    Opening,
    /// It works.
    Running,
    /// An alarm is on; it has not published since.
    Blocking,
    /// An alarm is on, and it wants to publish.
    Blocked,
    /// It is read more slowly, because it publishes faster than its queues deliver.
    Flow,
    /// It ends.
    Closing,
}

/// A connection.
#[derive(Clone, PartialEq, Debug)]
pub struct ConnectionFigures {
    /// Its address in the broker.
    pub addr: ConnAddr,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The local address.
    pub local: SocketAddr,
    /// The protocol and its version, such as `AMQP 0-9-1`.
    pub protocol: &'static str,
    /// The user, once logged in.
    pub user: Option<(UserId, Box<str>)>,
    /// The virtual host, once it is open.
    pub vhost: Option<VhostId>,
    /// Its state.
    pub state: ConnectionState,
    /// When it was accepted, milliseconds since 1970.
    pub connected_at_ms: u64,
    /// The SASL mechanism.
    pub mechanism: &'static str,
    /// What the client said about itself.
    pub client_properties: Table,
    /// Open channels.
    pub channels: usize,
    /// The highest channel number that was agreed.
    pub channel_max: u16,
    /// The largest frame that was agreed, bytes.
    pub frame_max: u32,
    /// The heartbeat that was agreed, seconds.
    pub heartbeat: u16,
    /// Bytes received and sent.
    pub octets: (u64, u64),
    /// Receives and sends.
    pub packets: (u64, u64),
    /// Bytes that wait to be sent.
    pub pending: usize,
}

/// A channel.
#[derive(Clone, PartialEq, Debug)]
pub struct ChannelFigures {
    /// Its address.
    pub addr: ChannelAddr,
    /// The peer's and the local address of its connection.
    pub ends: (SocketAddr, SocketAddr),
    /// Its user.
    pub user: Box<str>,
    /// Its virtual host.
    pub vhost: VhostId,
    /// Its connection's state.
    pub state: ConnectionState,
    /// Whether publishes are confirmed.
    pub confirm: bool,
    /// Whether it has transactions.
    pub transactional: bool,
    /// The limit of unsettled deliveries of each new consumer; 0: none.
    pub prefetch: u32,
    /// The limit of unsettled deliveries of all its consumers together; 0: none.
    pub global_prefetch: u32,
    /// Its consumers.
    pub consumers: usize,
    /// Deliveries that it has not settled.
    pub unacked: usize,
    /// Publishes that were not confirmed yet.
    pub unconfirmed: usize,
    /// Messages of its open transaction.
    pub uncommitted: usize,
    /// Settlements of its open transaction.
    pub acks_uncommitted: usize,
    /// Its messages.
    pub counts: Counts,
}

/// A consumer.
#[derive(Clone, PartialEq, Debug)]
pub struct ConsumerFigures {
    /// Its queue.
    pub queue: QueueId,
    /// Its channel.
    pub channel: ChannelAddr,
    /// The peer's and the local address of its connection.
    pub ends: (SocketAddr, SocketAddr),
    /// Its user.
    pub user: Box<str>,
    /// The client's name for it.
    pub tag: Box<str>,
    /// Whether it has the queue for itself.
    pub exclusive: bool,
    /// Whether it acknowledges.
    pub ack_required: bool,
    /// Its limit of unsettled deliveries; 0: none.
    pub prefetch: u32,
    /// How long it may keep a delivery, milliseconds, if there is a limit.
    pub timeout_ms: Option<u64>,
    /// Its arguments.
    pub arguments: Table,
}

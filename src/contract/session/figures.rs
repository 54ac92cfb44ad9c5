//! What a session tells of itself to operators.

use crate::base::ids::QueueAddr;
use crate::contract::Counts;
use crate::message::Table;

/// A session.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionFigures {
    /// The protocol and its version, such as `AMQP 0-9-1`.
    pub protocol: &'static str,
    /// The SASL mechanism; empty before the login.
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
}

/// An open channel of a session.
#[derive(Clone, PartialEq, Debug)]
pub struct ChannelState {
    /// Its number.
    pub channel: u16,
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
    /// Deliveries that it has not settled, also not in an open transaction.
    pub unacked: usize,
    /// Publishes that were not confirmed yet.
    pub unconfirmed: usize,
    /// Its messages.
    pub counts: Counts,
}

/// A consumer of a session's channel.
#[derive(Clone, PartialEq, Debug)]
pub struct ConsumerState {
    /// Its channel.
    pub channel: u16,
    /// Its queue.
    pub queue: QueueAddr,
    /// The client's name for it.
    pub tag: Box<str>,
    /// Whether it acknowledges.
    pub ack_required: bool,
    /// The rest of what the client asked for.
    pub terms: ConsumerTerms,
}

/// The terms on which a client consumes.
#[derive(Clone, PartialEq, Debug)]
pub struct ConsumerTerms {
    /// Whether it wants the queue for itself.
    pub exclusive: bool,
    /// Its limit of unsettled deliveries; 0: none.
    pub prefetch: u32,
    /// How long it may keep a delivery, milliseconds, if there is a limit.
    pub timeout_ms: Option<u64>,
    /// Its arguments.
    pub arguments: Table,
}

impl Default for ConsumerTerms {
    fn default() -> Self {
        ConsumerTerms { exclusive: false, prefetch: 0, timeout_ms: None, arguments: Table::empty() }
    }
}

//! Numbers of objects that can be added up, so that a family needs one function for both its forms:
//! the sum's value is that of the sum.

use std::ops::AddAssign;

use crate::contract::{ChannelFigures, ConnectionFigures, Count, Counts, ExchangeFigures, QueueFigures};

/// Numbers of a queue, or of all.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Queue {
    /// Its messages.
    pub counts: Counts,
    /// Messages that were published into it.
    pub published: u64,
    /// Messages ready for delivery.
    pub ready: u64,
    /// Those in memory.
    pub ready_in_memory: u64,
    /// Unsettled deliveries. They are in memory until they are settled.
    pub unacked: u64,
    /// Bytes of ready messages.
    pub ready_bytes: u64,
    /// Bytes of unsettled messages.
    pub unacked_bytes: u64,
    /// Consumers.
    pub consumers: u64,
    /// Part of the time in which its consumers could take messages at once.
    pub capacity: f64,
    /// Bytes of memory, without messages.
    pub memory: u64,
    /// Whether it is a quorum queue; how many are.
    pub quorums: u64,
    /// Bytes of memory of quorum queues.
    pub quorum_memory: u64,
    /// When its oldest message was published, seconds since 1970; not a number: nobody knows. The
    /// sum has none.
    pub head_timestamp: Option<f64>,
}

impl Queue {
    /// The numbers of one queue.
    pub fn of(figures: &QueueFigures, is_quorum: bool) -> Queue {
        let memory = figures.memory as u64;
        Queue {
            counts: figures.counts,
            published: figures.counts[Count::Publish],
            ready: figures.ready,
            ready_in_memory: figures.ready.saturating_sub(figures.spilled),
            unacked: figures.unacked,
            ready_bytes: figures.ready_bytes,
            unacked_bytes: figures.unacked_bytes,
            consumers: figures.consumers.into(),
            capacity: figures.consumer_capacity.into(),
            memory,
            quorums: is_quorum.into(),
            quorum_memory: if is_quorum { memory } else { 0 },
            head_timestamp: Some(figures.head_timestamp_ms.map_or(f64::NAN, |ms| ms as f64 / 1000.0)),
        }
    }
}

impl AddAssign<&Queue> for Queue {
    fn add_assign(&mut self, other: &Queue) {
        self.counts += &other.counts;
        self.published += other.published;
        self.ready += other.ready;
        self.ready_in_memory += other.ready_in_memory;
        self.unacked += other.unacked;
        self.ready_bytes += other.ready_bytes;
        self.unacked_bytes += other.unacked_bytes;
        self.consumers += other.consumers;
        self.capacity += other.capacity;
        self.memory += other.memory;
        self.quorums += other.quorums;
        self.quorum_memory += other.quorum_memory;
    }
}

/// Numbers of a channel, or of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Channel {
    /// Its messages.
    pub counts: Counts,
    /// Consumers.
    pub consumers: u64,
    /// Unsettled deliveries.
    pub unacked: u64,
    /// Publishes that were not confirmed yet.
    pub unconfirmed: u64,
    /// Messages of open transactions.
    pub uncommitted: u64,
    /// Settlements of open transactions.
    pub acks_uncommitted: u64,
    /// Limit of unsettled deliveries of each new consumer.
    pub prefetch: u64,
    /// Limit of those of all its consumers.
    pub global_prefetch: u64,
    /// Whether it published something; how many did.
    pub publishers: u64,
}

impl From<&ChannelFigures> for Channel {
    fn from(figures: &ChannelFigures) -> Channel {
        Channel {
            counts: figures.counts,
            consumers: figures.consumers as u64,
            unacked: figures.unacked as u64,
            unconfirmed: figures.unconfirmed as u64,
            uncommitted: figures.uncommitted as u64,
            acks_uncommitted: figures.acks_uncommitted as u64,
            prefetch: figures.prefetch.into(),
            global_prefetch: figures.global_prefetch.into(),
            publishers: (figures.counts[Count::Publish] > 0).into(),
        }
    }
}

impl AddAssign<&Channel> for Channel {
    fn add_assign(&mut self, other: &Channel) {
        self.counts += &other.counts;
        self.consumers += other.consumers;
        self.unacked += other.unacked;
        self.unconfirmed += other.unconfirmed;
        self.uncommitted += other.uncommitted;
        self.acks_uncommitted += other.acks_uncommitted;
        self.prefetch += other.prefetch;
        self.global_prefetch += other.global_prefetch;
        self.publishers += other.publishers;
    }
}

/// Numbers of a connection, or of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Connection {
    /// Bytes received and sent.
    pub octets: (u64, u64),
    /// Receives and sends.
    pub packets: (u64, u64),
    /// Bytes that wait to be sent.
    pub pending: u64,
    /// Open channels.
    pub channels: u64,
}

impl From<&ConnectionFigures> for Connection {
    fn from(figures: &ConnectionFigures) -> Connection {
        let ConnectionFigures { octets, packets, pending, channels, .. } = *figures;
        Connection { octets, packets, pending: pending as u64, channels: channels as u64 }
    }
}

impl AddAssign<&Connection> for Connection {
    fn add_assign(&mut self, other: &Connection) {
        self.octets = both(self.octets, other.octets, |one, other| one + other);
        self.packets = both(self.packets, other.packets, |one, other| one + other);
        self.pending += other.pending;
        self.channels += other.channels;
    }
}

impl Connection {
    /// Lets no count be lower than it was earlier.
    pub fn not_below(&mut self, earlier: &Connection) {
        self.octets = both(self.octets, earlier.octets, u64::max);
        self.packets = both(self.packets, earlier.packets, u64::max);
    }
}

fn both(one: (u64, u64), other: (u64, u64), join: fn(u64, u64) -> u64) -> (u64, u64) {
    (join(one.0, other.0), join(one.1, other.1))
}

/// Numbers of an exchange, or of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exchange {
    /// Messages that came to it.
    pub published: u64,
    /// Messages that went to queues, once for each queue.
    pub routed: u64,
    /// All counts. Nobody keeps them for one exchange.
    pub counts: Option<Counts>,
}

impl From<&ExchangeFigures> for Exchange {
    fn from(figures: &ExchangeFigures) -> Exchange {
        Exchange { published: figures.counts[Count::PublishIn], routed: figures.counts[Count::PublishOut], counts: None }
    }
}

impl AddAssign<&Exchange> for Exchange {
    fn add_assign(&mut self, other: &Exchange) {
        self.published += other.published;
        self.routed += other.routed;
    }
}

impl Exchange {
    /// How often something happened; unknown for one exchange.
    pub fn count(&self, count: Count) -> Option<u64> {
        self.counts.map(|counts| counts[count])
    }
}

//! The tally: what a shard has counted since it started, also for objects that are gone. Operators
//! see sums of it.
//!
//! Messages are counted in runs, where a run is given to a queue, to a consumer, or settled, and
//! nothing is counted twice that follows from something else (see `queue::Queue::counts` and the
//! session's figures).

use crate::contract::{Churn, Count, Counts};

/// A shard's sums.
#[derive(Default)]
pub struct Tally {
    /// Messages.
    pub counts: Counts,
    /// Connections and queues that came and went. Channels are counted by their quota.
    pub churn: Churn,
    /// Consumers of queues here.
    pub consumers: usize,
    /// Bytes and packets of connections that are gone.
    pub traffic: Traffic,
    /// Writes to the log, and bytes of them.
    pub writes: (u64, u64),
    /// Logins that were accepted.
    pub logins: u64,
    /// Logins that failed.
    pub refused_logins: u64,
}

impl Tally {
    /// Counts messages that a consumer got, of which `again` had been delivered before.
    #[inline]
    pub fn give_out(&mut self, no_ack: bool, messages: usize, again: usize) {
        self.counts.add(if no_ack { Count::DeliverNoAck } else { Count::Deliver }, messages);
        if again > 0 {
            self.counts.add(Count::Redeliver, again);
        }
    }
}

/// Bytes that came and went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Bytes received and sent.
    pub octets: (u64, u64),
    /// Receives and sends.
    pub packets: (u64, u64),
}

impl Traffic {
    /// Counts a receive.
    #[inline]
    pub fn receive(&mut self, bytes: usize) {
        self.octets.0 += bytes as u64;
        self.packets.0 += 1;
    }

    /// Counts a send.
    #[inline]
    pub fn send(&mut self, bytes: usize) {
        self.octets.1 += bytes as u64;
        self.packets.1 += 1;
    }

    /// Adds what another one has counted.
    pub fn add(&mut self, other: Traffic) {
        self.octets = (self.octets.0 + other.octets.0, self.octets.1 + other.octets.1);
        self.packets = (self.packets.0 + other.packets.0, self.packets.1 + other.packets.1);
    }
}

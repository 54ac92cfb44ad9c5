//! The broker's own families.

use crate::management::metrics::family::Source::{Connections, PerShard};
use crate::management::metrics::family::{Family, Group, Shown, gauge};

/// The group.
pub const GROUPS: &[Group] = &[Group { asked_as: &["ringmq_metrics"], prefix: "ringmq_", shown: Shown::Usually, families: OWN }];

const OWN: &[Family] = &[
    gauge("shard_connections", "Connections that a shard serves", PerShard(|shard| shard.connections as u64)),
    gauge("shard_channels", "Channels of connections that a shard serves", PerShard(|shard| shard.channels as u64)),
    gauge("shard_consumers", "Consumers of queues that live on a shard", PerShard(|shard| shard.consumers as u64)),
    gauge("shard_messages", "Distinct messages that a shard keeps in memory", PerShard(|shard| shard.messages as u64)),
    gauge("shard_message_memory_bytes", "Memory that a shard uses for messages", PerShard(|shard| shard.message_memory as u64)),
    gauge("shard_log_bytes", "Size of the message log of a shard on the disk", PerShard(|shard| shard.log_bytes)),
    gauge("connection_pending_bytes", "Bytes waiting to be sent on a connection", Connections(|connection| connection.pending.into())),
];

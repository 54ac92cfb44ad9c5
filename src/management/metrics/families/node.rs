//! The node: objects that came and went, the process, its disks, logins, alarms.
//!
//! A figure that only Erlang's machine has is 0 where that is the truth (nothing is ever collected
//! as garbage here), and has no sample otherwise.

use super::RABBITMQ;
use crate::management::metrics::family::Source::{self, Labelled, Node, Shards};
use crate::management::metrics::family::{Family, Group, Samples, Shown, counter, gauge, untyped};
use crate::management::metrics::snapshot::{PROTOCOL, Snapshot};

/// The groups.
pub const GROUPS: &[Group] = &[
    group(&["connection_churn_metrics"], CHURN),
    group(&["node_coarse_metrics"], COARSE),
    group(&["node_metrics"], LIMITS),
    group(&["node_persister_metrics"], DISKS),
    group(&["auth_attempt_metrics"], LOGINS),
    Group { asked_as: &["auth_attempt_detailed_metrics"], prefix: RABBITMQ, shown: Shown::PerObject, families: SOURCES },
    group(&[], NOW),
    Group { asked_as: &[], prefix: "", shown: Shown::Usually, families: START },
];

const fn group(asked_as: &'static [&'static str], families: &'static [Family]) -> Group {
    Group { asked_as, prefix: RABBITMQ, shown: Shown::Usually, families }
}

const CHURN: &[Family] = &[
    counter("connections_opened_total", "Total number of connections opened", Shards(|shard| shard.churn.connection_created)),
    counter("connections_closed_total", "Total number of connections closed or terminated", Shards(|shard| shard.churn.connection_closed)),
    counter("channels_opened_total", "Total number of channels opened", Shards(|shard| shard.churn.channel_created)),
    counter("channels_closed_total", "Total number of channels closed", Shards(|shard| shard.churn.channel_closed)),
    counter("queues_declared_total", "Total number of queues declared", Shards(|shard| shard.churn.queue_declared)),
    counter("queues_created_total", "Total number of queues created", Shards(|shard| shard.churn.queue_created)),
    counter("queues_deleted_total", "Total number of queues deleted", Shards(|shard| shard.churn.queue_deleted)),
];

const COARSE: &[Family] = &[
    gauge("process_open_fds", "Open file descriptors", Node(|node| node.facts.process.descriptors.into())),
    gauge("process_resident_memory_bytes", "Memory used in bytes", Node(|node| node.facts.process.resident.into())),
    gauge("disk_space_available_bytes", "Disk space available in bytes", Node(|node| node.facts.disk_free.into())),
    gauge("erlang_processes_used", "Erlang processes used", Node(|node| node.facts.process.threads.into())),
    counter("erlang_gc_runs_total", "Total number of Erlang garbage collector runs", NEVER),
    counter("erlang_gc_reclaimed_bytes_total", "Total number of bytes of memory reclaimed by Erlang garbage collector", NEVER),
    counter(
        "erlang_scheduler_context_switches_total",
        "Total number of Erlang scheduler context switches",
        Node(|node| node.facts.context_switches.into()),
    ),
];

const LIMITS: &[Family] = &[
    gauge("process_max_fds", "Open file descriptors limit", Node(|node| node.facts.process.descriptors_max.into())),
    gauge("resident_memory_limit_bytes", "Memory high watermark in bytes", Node(|node| node.facts.memory_max.into())),
    gauge("disk_space_available_limit_bytes", "Free disk space low watermark in bytes", Node(|node| node.facts.disk_free_min.into())),
    gauge("erlang_processes_limit", "Erlang processes limit", Node(|node| node.facts.process.threads_max.into())),
    gauge("erlang_scheduler_run_queue", "Erlang scheduler run queue", Source::None),
    gauge("erlang_net_ticktime_seconds", "Inter-node heartbeat interval", Source::None),
    gauge("erlang_uptime_seconds", "Node uptime", Node(|node| node.facts.process.uptime.into())),
];

const DISKS: &[Family] = &[
    counter("io_read_ops_total", "Total number of I/O read operations", Source::None),
    counter("io_read_bytes_total", "Total number of I/O bytes read", Node(|node| node.facts.process.disk.0.into())),
    counter("io_write_ops_total", "Total number of I/O write operations", Source::None),
    counter("io_write_bytes_total", "Total number of I/O bytes written", Node(|node| node.facts.process.disk.1.into())),
    counter("io_sync_ops_total", "Total number of I/O sync operations", Source::None),
    counter("io_seek_ops_total", "Total number of I/O seek operations", NEVER),
    counter("io_reopen_ops_total", "Total number of times files have been reopened", Source::None),
    counter("schema_db_ram_tx_total", "Total number of Schema DB memory transactions", NEVER),
    counter("schema_db_disk_tx_total", "Total number of Schema DB disk transactions", NEVER),
    counter("msg_store_read_total", "Total number of Message Store read operations", Source::None),
    counter("msg_store_write_total", "Total number of Message Store write operations", Source::None),
    counter("queue_index_read_ops_total", "Total number of Queue Index read operations", Source::None),
    counter("queue_index_write_ops_total", "Total number of Queue Index write operations", Source::None),
    counter("io_read_time_seconds_total", "Total I/O read time", Source::None),
    counter("io_write_time_seconds_total", "Total I/O write time", Source::None),
    counter("io_sync_time_seconds_total", "Total I/O sync time", Source::None),
    counter("io_seek_time_seconds_total", "Total I/O seek time", Node(|_| 0.0.into())),
];

const LOGINS: &[Family] = &[
    counter(
        "auth_attempts_total",
        "Total number of authentication attempts",
        Labelled(|node, samples| by_protocol(node, samples, |(accepted, failed)| accepted + failed)),
    ),
    counter(
        "auth_attempts_succeeded_total",
        "Total number of successful authentication attempts",
        Labelled(|node, samples| by_protocol(node, samples, |(accepted, _)| accepted)),
    ),
    counter(
        "auth_attempts_failed_total",
        "Total number of failed authentication attempts",
        Labelled(|node, samples| by_protocol(node, samples, |(_, failed)| failed)),
    ),
];

/// Nobody counts logins by user and address.
const SOURCES: &[Family] = &[
    counter("auth_attempts_detailed_total", "Total number of authentication attempts with source info", Source::None),
    counter("auth_attempts_detailed_succeeded_total", "Total number of successful authentication attempts with source info", Source::None),
    counter("auth_attempts_detailed_failed_total", "Total number of failed authentication attempts with source info", Source::None),
];

const NOW: &[Family] = &[
    gauge("connections", "Connections currently open", Shards(|shard| shard.connections as u64)),
    gauge("channels", "Channels currently open", Shards(|shard| shard.channels as u64)),
    gauge("consumers", "Consumers currently connected", Shards(|shard| shard.consumers as u64)),
    gauge("queues", "Queues available", Node(|node| node.queue_count.into())),
    untyped(
        "alarms_free_disk_space_watermark",
        "is 1 if free disk space watermark alarm is in effect",
        Node(|node| node.facts.alarms.low_on_disk().into()),
    ),
    untyped(
        "alarms_memory_used_watermark",
        "is 1 if VM memory watermark alarm is in effect",
        Node(|node| node.facts.alarms.low_on_memory().into()),
    ),
    gauge("unreachable_cluster_peers_count", "Number of peers in the cluster the current node cannot reach.", NEVER),
];

const START: &[Family] = &[gauge(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
    Node(|node| node.facts.process.started.into()),
)];

const NEVER: Source = Node(|_| 0u64.into());

/// Writes logins as RabbitMQ does: those of all protocols together, then those of each.
fn by_protocol(node: &Snapshot, samples: &mut Samples<'_>, of: fn((u64, u64)) -> u64) {
    let clients = (node.sum(|shard| shard.logins.0), node.sum(|shard| shard.logins.1));
    let http = node.facts.http_logins;
    samples.put(&[], of(clients) + of(http));
    samples.put(&[("protocol", "http")], of(http));
    samples.put(&[("protocol", PROTOCOL)], of(clients));
}

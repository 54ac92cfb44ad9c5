//! The parts of the memory. Parts that only RabbitMQ has take nothing here, so the sum of all is
//! the memory of the process.

use super::RABBITMQ;
use crate::management::metrics::family::Source::{self, Node};
use crate::management::metrics::family::{Family, Group, Shown, gauge};
use crate::management::metrics::snapshot::Snapshot;

/// The group.
pub const GROUPS: &[Group] = &[Group { asked_as: &[], prefix: RABBITMQ, shown: Shown::Breakdown, families: PARTS }];

const PARTS: &[Family] = &[
    gauge("memory_code_module_bytes", "Code module memory footprint", Node(|node| node.facts.process.program.into())),
    gauge("memory_client_connection_reader_bytes", "Client connection reader processes footprint in bytes", NOTHING),
    gauge("memory_client_connection_writer_bytes", "Client connection writer processes footprint in bytes", NOTHING),
    gauge("memory_client_connection_channel_bytes", "Client connection channel processes footprint in bytes", NOTHING),
    gauge("memory_client_connection_other_bytes", "Client connection other processes footprint in bytes", NOTHING),
    gauge(
        "memory_classic_queue_erlang_process_bytes",
        "Classic queue processes footprint in bytes",
        Node(|node| (node.sums.queue.memory - node.sums.queue.quorum_memory).into()),
    ),
    gauge(
        "memory_quorum_queue_erlang_process_bytes",
        "Quorum queue processes footprint in bytes",
        Node(|node| node.sums.queue.quorum_memory.into()),
    ),
    gauge("memory_quorum_queue_dlx_erlang_process_bytes", "Quorum queue DLX worker processes footprint in bytes", NOTHING),
    gauge("memory_stream_erlang_process_bytes", "Stream processes footprint in bytes", NOTHING),
    gauge("memory_stream_replica_reader_erlang_process_bytes", "Stream replica reader processes footprint in bytes", NOTHING),
    gauge("memory_stream_coordinator_erlang_process_bytes", "Stream coordinator processes footprint in bytes", NOTHING),
    gauge("memory_plugin_bytes", "Total plugin footprint in bytes", NOTHING),
    gauge("memory_modern_metadata_store_bytes", "Modern metadata store footprint in bytes", NOTHING),
    gauge("memory_other_erlang_process_bytes", "Other processes footprint in bytes", NOTHING),
    gauge("memory_metrics_bytes", "Metric table footprint in bytes", NOTHING),
    gauge("memory_management_stats_db_bytes", "Management stats database footprint in bytes", NOTHING),
    gauge("memory_classic_metadata_store_bytes", "Classic metadata store footprint in bytes", NOTHING),
    gauge("memory_quorum_queue_ets_table_bytes", "Quorum queue ETS tables footprint in bytes", NOTHING),
    gauge("memory_modern_metadata_store_ets_table_bytes", "Modern metadata store ETS tables footprint in bytes", NOTHING),
    gauge("memory_other_ets_table_bytes", "Other ETS tables footprint in bytes", NOTHING),
    gauge("memory_binary_heap_bytes", "Binary heap size in bytes", Node(|node| messages(node).into())),
    gauge("memory_message_index_bytes", "Message index footprint in bytes", NOTHING),
    gauge("memory_atom_table_bytes", "Atom table size in bytes", NOTHING),
    gauge("memory_other_system_bytes", "Other runtime footprint in bytes", Node(|node| others(node).into())),
    gauge("memory_runtime_allocated_unused_bytes", "Runtime allocated but unused blocks size in bytes", NOTHING),
    gauge("memory_runtime_reserved_unallocated_bytes", "Runtime reserved but unallocated blocks size in bytes", NOTHING),
];

const NOTHING: Source = Node(|_| 0u64.into());

/// Messages, of all queues.
fn messages(node: &Snapshot) -> u64 {
    node.sum(|shard| shard.message_memory as u64)
}

/// Everything else.
fn others(node: &Snapshot) -> Option<u64> {
    let known = [node.facts.process.program.unwrap_or_default(), node.sums.queue.memory, messages(node)];
    node.facts.process.resident.map(|resident| resident.saturating_sub(known.iter().sum()))
}

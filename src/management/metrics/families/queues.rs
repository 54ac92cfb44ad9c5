//! Queues: what they contain, and what they delivered.

use super::RABBITMQ;
use crate::contract::Count;
use crate::management::metrics::family::Source::{self, Queues};
use crate::management::metrics::family::{Family, Group, Shown, counter, gauge};

/// The groups.
pub const GROUPS: &[Group] = &[
    group(&["queue_coarse_metrics"], COARSE),
    group(&["queue_consumer_count", "queue_metrics"], CONSUMERS),
    group(&["queue_metrics"], CONTENTS),
    group(&["queue_delivery_metrics"], DELIVERIES),
    group(&["queue_exchange_metrics"], PUBLISHED),
    group(&["channel_queue_exchange_metrics"], PUBLISHED_ON_CHANNELS),
    Group {
        asked_as: &["queue_coarse_metrics", "queue_consumer_count", "queue_metrics"],
        prefix: RABBITMQ,
        shown: Shown::PerObject,
        families: INFO,
    },
];

const fn group(asked_as: &'static [&'static str], families: &'static [Family]) -> Group {
    Group { asked_as, prefix: RABBITMQ, shown: Shown::Usually, families }
}

const COARSE: &[Family] = &[
    gauge("queue_messages_ready", "Messages ready to be delivered to consumers", Queues(|queue| queue.ready.into())),
    gauge("queue_messages_unacked", "Messages delivered to consumers but not yet acknowledged", Queues(|queue| queue.unacked.into())),
    gauge(
        "queue_messages",
        "Sum of ready and unacknowledged messages - total queue depth",
        Queues(|queue| (queue.ready + queue.unacked).into()),
    ),
    counter("queue_process_reductions_total", "Total number of queue process reductions", Source::None),
];

const CONSUMERS: &[Family] = &[gauge("queue_consumers", "Consumers on a queue", Queues(|queue| queue.consumers.into()))];

const CONTENTS: &[Family] = &[
    gauge("queue_consumer_capacity", "Consumer capacity", Queues(|queue| queue.capacity.into())),
    gauge("queue_consumer_utilisation", "Same as consumer capacity", Queues(|queue| queue.capacity.into())),
    gauge("queue_process_memory_bytes", "Memory in bytes used by the Erlang queue process", Queues(|queue| queue.memory.into())),
    gauge(
        "queue_messages_ram",
        "Ready and unacknowledged messages stored in memory",
        Queues(|queue| (queue.ready_in_memory + queue.unacked).into()),
    ),
    gauge("queue_messages_ram_bytes", "Size of ready and unacknowledged messages stored in memory", Source::None),
    gauge("queue_messages_ready_ram", "Ready messages stored in memory", Queues(|queue| queue.ready_in_memory.into())),
    gauge("queue_messages_unacked_ram", "Unacknowledged messages stored in memory", Queues(|queue| queue.unacked.into())),
    gauge("queue_messages_persistent", "Persistent messages", Source::None),
    gauge("queue_messages_persistent_bytes", "Size in bytes of persistent messages", Source::None),
    gauge(
        "queue_messages_bytes",
        "Size in bytes of ready and unacknowledged messages",
        Queues(|queue| (queue.ready_bytes + queue.unacked_bytes).into()),
    ),
    gauge("queue_messages_ready_bytes", "Size in bytes of ready messages", Queues(|queue| queue.ready_bytes.into())),
    gauge("queue_messages_unacked_bytes", "Size in bytes of all unacknowledged messages", Queues(|queue| queue.unacked_bytes.into())),
    gauge(
        "queue_head_message_timestamp",
        "Timestamp of the first message in the queue, if any",
        Queues(|queue| queue.head_timestamp.into()),
    ),
    counter("queue_disk_reads_total", "Total number of times queue read messages from disk", Source::None),
    counter("queue_disk_writes_total", "Total number of times queue wrote messages to disk", Source::None),
    counter("stream_segments", "Total number of stream segment files", Source::None),
];

const DELIVERIES: &[Family] = &[
    counter(
        "queue_get_ack_total",
        "Total number of messages fetched from a queue with basic.get in manual acknowledgement mode",
        Queues(|queue| queue.counts[Count::Get].into()),
    ),
    counter(
        "queue_get_total",
        "Total number of messages fetched from a queue with basic.get in automatic acknowledgement mode",
        Queues(|queue| queue.counts[Count::GetNoAck].into()),
    ),
    counter(
        "queue_messages_delivered_ack_total",
        "Total number of messages delivered from a queue to consumers in manual acknowledgement mode",
        Queues(|queue| queue.counts[Count::Deliver].into()),
    ),
    counter(
        "queue_messages_delivered_total",
        "Total number of messages delivered from a queue to consumers in automatic acknowledgement mode",
        Queues(|queue| queue.counts[Count::DeliverNoAck].into()),
    ),
    counter(
        "queue_messages_redelivered_total",
        "Total number of messages redelivered from a queue to consumers",
        Queues(|queue| queue.counts[Count::Redeliver].into()),
    ),
    counter(
        "queue_messages_acked_total",
        "Total number of messages acknowledged by consumers on a queue",
        Queues(|queue| queue.counts[Count::Ack].into()),
    ),
    counter(
        "queue_get_empty_total",
        "Total number of times basic.get operations fetched no message on a queue",
        Queues(|queue| queue.counts[Count::GetEmpty].into()),
    ),
];

/// Nobody keeps these numbers for pairs of an exchange and a queue: a sample is for a queue and all
/// exchanges.
const PUBLISHED: &[Family] = &[counter(
    "queue_exchange_messages_published_total",
    "Total number of messages published into a queue through an exchange",
    Queues(|queue| queue.published.into()),
)];

/// Here for a queue, all exchanges and all channels.
const PUBLISHED_ON_CHANNELS: &[Family] = &[counter(
    "queue_messages_published_total",
    "Total number of messages published into a queue through an exchange on a channel",
    Queues(|queue| queue.published.into()),
)];

const INFO: &[Family] =
    &[gauge("queue_info", "A metric with a constant '1' value and labels that provide some queue details", Source::QueueInfo)];

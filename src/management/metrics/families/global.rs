//! Messages by protocol, and by type of queue.
//!
//! The broker speaks one protocol, and does not count by the types of queues: a sample of a family
//! that RabbitMQ divides by `queue_type` is for all types and has no such label.

use super::RABBITMQ;
use crate::contract::Count;
use crate::management::metrics::family::Source::{self, Protocol};
use crate::management::metrics::family::{Family, Group, Kind, Shown, counter, gauge};

/// The groups.
pub const GROUPS: &[Group] =
    &[group(Shown::Summed, PUBLISHERS), group(Shown::Summed, CONSUMERS), group(Shown::Summed, DEAD_LETTERS), group(Shown::Usually, SIZES)];

const fn group(shown: Shown, families: &'static [Family]) -> Group {
    Group { asked_as: &[], prefix: RABBITMQ, shown, families }
}

const PUBLISHERS: &[Family] = &[
    counter(
        "global_messages_received_total",
        "Total number of messages received from publishers",
        Protocol(|node| node.count(Count::Publish).into()),
    ),
    counter(
        "global_messages_received_confirm_total",
        "Total number of messages received from publishers expecting confirmations",
        Protocol(|node| node.count(Count::Confirm).into()),
    ),
    counter(
        "global_messages_routed_total",
        "Total number of messages routed to queues or streams",
        Protocol(|node| node.sums.exchange.routed.into()),
    ),
    counter(
        "global_messages_confirmed_total",
        "Total number of messages confirmed to publishers",
        Protocol(|node| node.count(Count::Confirm).into()),
    ),
    counter(
        "global_messages_unroutable_returned_total",
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
        Protocol(|node| node.count(Count::ReturnUnroutable).into()),
    ),
    counter(
        "global_messages_unroutable_dropped_total",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        Protocol(|node| node.count(Count::DropUnroutable).into()),
    ),
    gauge("global_publishers", "Current number of publishers", Protocol(|node| node.sums.channel.publishers.into())),
    gauge("global_consumers", "Current number of consumers", Protocol(|node| node.sum(|shard| shard.consumers as u64).into())),
];

const CONSUMERS: &[Family] = &[
    counter(
        "global_messages_delivered_total",
        "Total number of messages delivered to consumers",
        Protocol(|node| node.counts.deliver_get().into()),
    ),
    counter(
        "global_messages_delivered_consume_manual_ack_total",
        "Total number of messages delivered to consumers using basic.consume with manual acknowledgment",
        Protocol(|node| node.count(Count::Deliver).into()),
    ),
    counter(
        "global_messages_delivered_consume_auto_ack_total",
        "Total number of messages delivered to consumers using basic.consume with automatic acknowledgment",
        Protocol(|node| node.count(Count::DeliverNoAck).into()),
    ),
    counter(
        "global_messages_delivered_get_manual_ack_total",
        "Total number of messages delivered to consumers using basic.get with manual acknowledgment",
        Protocol(|node| node.count(Count::Get).into()),
    ),
    counter(
        "global_messages_delivered_get_auto_ack_total",
        "Total number of messages delivered to consumers using basic.get with automatic acknowledgment",
        Protocol(|node| node.count(Count::GetNoAck).into()),
    ),
    counter(
        "global_messages_get_empty_total",
        "Total number of times basic.get operations fetched no message",
        Protocol(|node| node.count(Count::GetEmpty).into()),
    ),
    counter(
        "global_messages_redelivered_total",
        "Total number of messages redelivered to consumers",
        Protocol(|node| node.count(Count::Redeliver).into()),
    ),
    counter(
        "global_messages_acknowledged_total",
        "Total number of messages acknowledged by consumers",
        Protocol(|node| node.count(Count::Ack).into()),
    ),
];

/// Nobody counts these.
const DEAD_LETTERS: &[Family] = &[
    counter(
        "global_messages_dead_lettered_maxlen_total",
        "Total number of messages dead-lettered due to overflow drop-head or reject-publish-dlx",
        Source::None,
    ),
    counter(
        "global_messages_dead_lettered_rejected_total",
        "Total number of messages dead-lettered due to basic.reject or basic.nack",
        Source::None,
    ),
    counter(
        "global_messages_dead_lettered_expired_total",
        "Total number of messages dead-lettered due to message TTL exceeded",
        Source::None,
    ),
    counter(
        "global_messages_dead_lettered_delivery_limit_total",
        "Total number of messages dead-lettered due to delivery-limit exceeded",
        Source::None,
    ),
    counter(
        "global_messages_dead_lettered_confirmed_total",
        "Total number of messages dead-lettered and confirmed by target queues",
        Source::None,
    ),
];

const SIZES: &[Family] = &[Family {
    name: "message_size_bytes",
    kind: Kind::Histogram,
    help: "Size of messages received from publishers",
    source: Source::None,
}];

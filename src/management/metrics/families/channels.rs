//! Connections, channels, and the exchanges that they publish to.
//!
//! Nobody keeps a channel's numbers by exchange or by queue: a sample is for a channel and all of
//! them.

use super::RABBITMQ;
use crate::contract::Count;
use crate::management::metrics::family::Source::{self, Channels, Connections, Exchanges};
use crate::management::metrics::family::{Family, Group, Shown, counter, gauge};

/// The groups.
pub const GROUPS: &[Group] = &[
    group(&["channel_metrics"], STATE),
    group(&["channel_exchange_metrics"], PUBLISHED),
    group(&["channel_process_metrics"], WORK),
    group(&["channel_queue_metrics"], DELIVERED),
    group(&["connection_coarse_metrics"], BYTES),
    group(&["stream_consumer_metrics"], STREAMS),
    group(&["connection_metrics"], PACKETS),
    group(&["exchange_metrics"], EXCHANGES),
];

const fn group(asked_as: &'static [&'static str], families: &'static [Family]) -> Group {
    Group { asked_as, prefix: RABBITMQ, shown: Shown::Usually, families }
}

const STATE: &[Family] = &[
    gauge("channel_consumers", "Consumers on a channel", Channels(|channel| channel.consumers.into())),
    gauge("channel_messages_unacked", "Delivered but not yet acknowledged messages", Channels(|channel| channel.unacked.into())),
    gauge("channel_messages_unconfirmed", "Published but not yet confirmed messages", Channels(|channel| channel.unconfirmed.into())),
    gauge(
        "channel_messages_uncommitted",
        "Messages received in a transaction but not yet committed",
        Channels(|channel| channel.uncommitted.into()),
    ),
    gauge(
        "channel_acks_uncommitted",
        "Message acknowledgements in a transaction not yet committed",
        Channels(|channel| channel.acks_uncommitted.into()),
    ),
    gauge("consumer_prefetch", "Limit of unacknowledged messages for each consumer", Channels(|channel| channel.prefetch.into())),
    gauge("channel_prefetch", "Deprecated and will be removed in a future version", Channels(|channel| channel.global_prefetch.into())),
];

const PUBLISHED: &[Family] = &[
    counter(
        "channel_messages_published_total",
        "Total number of messages published into an exchange on a channel",
        Channels(|channel| channel.counts[Count::Publish].into()),
    ),
    counter(
        "channel_messages_confirmed_total",
        "Total number of messages published into an exchange and confirmed on the channel",
        Channels(|channel| channel.counts[Count::Confirm].into()),
    ),
    counter(
        "channel_messages_unroutable_returned_total",
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
        Channels(|channel| channel.counts[Count::ReturnUnroutable].into()),
    ),
    counter(
        "channel_messages_unroutable_dropped_total",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        Channels(|channel| channel.counts[Count::DropUnroutable].into()),
    ),
];

const WORK: &[Family] = &[counter("channel_process_reductions_total", "Total number of channel process reductions", Source::None)];

const DELIVERED: &[Family] = &[
    counter(
        "channel_get_ack_total",
        "Total number of messages fetched with basic.get in manual acknowledgement mode",
        Channels(|channel| channel.counts[Count::Get].into()),
    ),
    counter(
        "channel_get_total",
        "Total number of messages fetched with basic.get in automatic acknowledgement mode",
        Channels(|channel| channel.counts[Count::GetNoAck].into()),
    ),
    counter(
        "channel_messages_delivered_ack_total",
        "Total number of messages delivered to consumers in manual acknowledgement mode",
        Channels(|channel| channel.counts[Count::Deliver].into()),
    ),
    counter(
        "channel_messages_delivered_total",
        "Total number of messages delivered to consumers in automatic acknowledgement mode",
        Channels(|channel| channel.counts[Count::DeliverNoAck].into()),
    ),
    counter(
        "channel_messages_redelivered_total",
        "Total number of messages redelivered to consumers",
        Channels(|channel| channel.counts[Count::Redeliver].into()),
    ),
    counter(
        "channel_messages_acked_total",
        "Total number of messages acknowledged by consumers",
        Channels(|channel| channel.counts[Count::Ack].into()),
    ),
    counter(
        "channel_get_empty_total",
        "Total number of times basic.get operations fetched no message",
        Channels(|channel| channel.counts[Count::GetEmpty].into()),
    ),
];

const BYTES: &[Family] = &[
    counter(
        "connection_incoming_bytes_total",
        "Total number of bytes received on a connection",
        Connections(|connection| connection.octets.0.into()),
    ),
    counter(
        "connection_outgoing_bytes_total",
        "Total number of bytes sent on a connection",
        Connections(|connection| connection.octets.1.into()),
    ),
    counter("connection_process_reductions_total", "Total number of connection process reductions", Source::None),
];

const STREAMS: &[Family] = &[gauge("stream_consumer_max_offset_lag", "Highest consumer offset lag", Source::None)];

const PACKETS: &[Family] = &[
    counter(
        "connection_incoming_packets_total",
        "Total number of packets received on a connection",
        Connections(|connection| connection.packets.0.into()),
    ),
    counter(
        "connection_outgoing_packets_total",
        "Total number of packets sent on a connection",
        Connections(|connection| connection.packets.1.into()),
    ),
    // What waits is counted in bytes, see `ringmq_connection_pending_bytes`.
    gauge("connection_pending_packets", "Number of packets waiting to be sent on a connection", Source::None),
    gauge("connection_channels", "Channels on a connection", Connections(|connection| connection.channels.into())),
];

const EXCHANGES: &[Family] = &[
    counter(
        "exchange_messages_published_total",
        "Total number of messages published into an exchange",
        Exchanges(|exchange| exchange.published.into()),
    ),
    counter(
        "exchange_messages_confirmed_total",
        "Total number of messages published into an exchange and confirmed",
        Exchanges(|exchange| exchange.count(Count::Confirm).into()),
    ),
    counter(
        "exchange_messages_unroutable_returned_total",
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
        Exchanges(|exchange| exchange.count(Count::ReturnUnroutable).into()),
    ),
    counter(
        "exchange_messages_unroutable_dropped_total",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        Exchanges(|exchange| exchange.count(Count::DropUnroutable).into()),
    ),
];

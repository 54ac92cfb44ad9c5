//! The lists with their columns.

use serde_json::Value;

use super::{Column, List};
use crate::term::Term;

/// The list of each command.
pub const LISTS: &[(&str, &List)] = &[
    ("list_amqp10_connections", &AMQP10),
    ("list_bindings", &BINDINGS),
    ("list_channels", &CHANNELS),
    ("list_connections", &CONNECTIONS),
    ("list_consumers", &CONSUMERS),
    ("list_deprecated_features", &DEPRECATED),
    ("list_exchanges", &EXCHANGES),
    ("list_feature_flags", &FLAGS),
    ("list_mqtt_connections", &MQTT),
    ("list_queues", &QUEUES),
    ("list_stomp_connections", &STOMP),
    ("list_vhosts", &VHOSTS),
    ("list_web_mqtt_connections", &WEB_MQTT),
];

/// Reads a value as it is.
fn plain(value: &Value) -> Term {
    Term::from(value)
}

/// Reads a count, which is missing as long as it is zero.
fn count(value: &Value) -> Term {
    Term::Integer(value.as_i64().unwrap_or_default())
}

/// Reads a word.
fn word(value: &Value) -> Term {
    value.as_str().map_or_else(|| Term::from(value), Term::atom)
}

/// Reads nothing.
fn nothing(_: &Value) -> Term {
    Term::Nothing
}

fn exchange(_: &Value) -> Term {
    Term::atom("exchange")
}

/// Reads the version of a protocol, for example `AMQP 0-9-1`.
fn protocol(value: &Value) -> Term {
    let version = value.as_str().and_then(|text| text.rsplit(' ').next()).unwrap_or_default();
    let numbers: Option<Vec<Term>> = version.split('-').map(|part| part.parse().ok().map(Term::Integer)).collect();
    numbers.map_or_else(|| Term::from(value), Term::Tuple)
}

/// Whether a connection is one of AMQP over the network.
fn is_amqp(connection: &Value) -> bool {
    connection["type"] != "direct" && speaks(connection, "AMQP")
}

fn speaks(connection: &Value, protocol: &str) -> bool {
    connection["protocol"].as_str().is_some_and(|name| name.starts_with(protocol))
}

/// Columns that RabbitMQ had and that scripts still ask for: they are empty.
pub const REMOVED: &[Column] = &[
    ("global_prefetch_count", "", nothing),
    ("slave_nodes", "", nothing),
    ("slave_pids", "", nothing),
    ("synchronised_slave_nodes", "", nothing),
];

const QUEUES: List = List {
    collection: &["queues"],
    is_of_vhost: true,
    keys: &["node", "state"],
    holds: |_| true,
    usual: "name messages",
    columns: &[
        ("name", "name", plain),
        ("durable", "durable", plain),
        ("auto_delete", "auto_delete", plain),
        ("arguments", "arguments", Term::arguments),
        ("policy", "policy", plain),
        ("operator_policy", "operator_policy", plain),
        ("effective_policy_definition", "effective_policy_definition", Term::pairs),
        ("pid", "pid", plain),
        ("owner_pid", "owner_pid_details.name", plain),
        ("exclusive", "exclusive", plain),
        ("exclusive_consumer_pid", "", nothing),
        ("exclusive_consumer_tag", "exclusive_consumer_tag", plain),
        ("messages_ready", "messages_ready", plain),
        ("messages_unacknowledged", "messages_unacknowledged", plain),
        ("messages", "messages", plain),
        ("messages_ready_ram", "messages_ready_ram", plain),
        ("messages_unacknowledged_ram", "messages_unacknowledged_ram", plain),
        ("messages_ram", "messages_ram", plain),
        ("messages_persistent", "messages_persistent", plain),
        ("message_bytes", "message_bytes", plain),
        ("message_bytes_ready", "message_bytes_ready", plain),
        ("message_bytes_unacknowledged", "message_bytes_unacknowledged", plain),
        ("message_bytes_ram", "message_bytes_ram", plain),
        ("message_bytes_persistent", "message_bytes_persistent", plain),
        ("head_message_timestamp", "head_message_timestamp", plain),
        ("disk_reads", "message_stats.disk_reads", count),
        ("disk_writes", "message_stats.disk_writes", count),
        ("consumers", "consumers", plain),
        ("consumer_utilisation", "consumer_utilisation", plain),
        ("consumer_capacity", "consumer_capacity", plain),
        ("memory", "memory", plain),
        ("state", "state", word),
        ("type", "type", word),
        ("leader", "leader", word),
        ("members", "members", nodes),
        ("online", "online", nodes),
    ],
};

/// Reads the names of nodes, which only replicated queues have.
fn nodes(value: &Value) -> Term {
    if value.is_array() { Term::atoms(value) } else { Term::Nothing }
}

const EXCHANGES: List = List {
    collection: &["exchanges"],
    is_of_vhost: true,
    keys: &[],
    holds: |_| true,
    usual: "name type",
    columns: &[
        ("name", "name", plain),
        ("type", "type", word),
        ("durable", "durable", plain),
        ("auto_delete", "auto_delete", plain),
        ("internal", "internal", plain),
        ("arguments", "arguments", Term::arguments),
        ("policy", "policy", plain),
    ],
};

const BINDINGS: List = List {
    collection: &["bindings"],
    is_of_vhost: true,
    keys: &[],
    holds: |_| true,
    usual: "source_name source_kind destination_name destination_kind routing_key arguments",
    columns: &[
        ("source_name", "source", plain),
        ("source_kind", "source", exchange),
        ("destination_name", "destination", plain),
        ("destination_kind", "destination_type", word),
        ("routing_key", "routing_key", plain),
        ("arguments", "arguments", Term::arguments),
    ],
};

const CONSUMERS: List = List {
    collection: &["consumers"],
    is_of_vhost: true,
    keys: &[],
    holds: |_| true,
    usual: "queue_name channel_pid consumer_tag ack_required prefetch_count active arguments",
    columns: &[
        ("queue_name", "queue.name", plain),
        ("channel_pid", "channel_details.name", plain),
        ("consumer_tag", "consumer_tag", plain),
        ("ack_required", "ack_required", plain),
        ("prefetch_count", "prefetch_count", plain),
        ("active", "active", plain),
        ("activity_status", "activity_status", word),
        ("arguments", "arguments", Term::arguments),
    ],
};

const CONNECTIONS: List = List {
    collection: &["connections"],
    is_of_vhost: false,
    keys: &["protocol", "type"],
    holds: is_amqp,
    usual: "user peer_host peer_port state",
    columns: &[
        // The names of connections are what `close_connection` takes.
        ("pid", "name", plain),
        ("name", "name", plain),
        ("port", "port", plain),
        ("host", "host", Term::address),
        ("peer_port", "peer_port", plain),
        ("peer_host", "peer_host", Term::address),
        ("ssl", "ssl", plain),
        ("ssl_protocol", "ssl_protocol", plain),
        ("ssl_key_exchange", "ssl_key_exchange", plain),
        ("ssl_cipher", "ssl_cipher", plain),
        ("ssl_hash", "ssl_hash", plain),
        ("peer_cert_subject", "peer_cert_subject", plain),
        ("peer_cert_issuer", "peer_cert_issuer", plain),
        ("peer_cert_serial_number", "peer_cert_serial_number", plain),
        ("peer_cert_validity", "peer_cert_validity", plain),
        ("state", "state", word),
        ("channels", "channels", plain),
        ("protocol", "protocol", protocol),
        ("auth_mechanism", "auth_mechanism", plain),
        ("user", "user", plain),
        ("vhost", "vhost", plain),
        ("container_id", "container_id", plain),
        ("timeout", "timeout", plain),
        ("frame_max", "frame_max", plain),
        ("channel_max", "channel_max", plain),
        ("client_properties", "client_properties", Term::arguments),
        ("recv_oct", "recv_oct", plain),
        ("recv_cnt", "recv_cnt", plain),
        ("send_oct", "send_oct", plain),
        ("send_cnt", "send_cnt", plain),
        ("send_pend", "send_pend", plain),
        ("connected_at", "connected_at", plain),
        ("user_provided_name", "user_provided_name", plain),
    ],
};

const CHANNELS: List = List {
    collection: &["channels"],
    is_of_vhost: false,
    keys: &[],
    holds: |_| true,
    usual: "pid user consumer_count messages_unacknowledged",
    columns: &[
        ("pid", "name", plain),
        ("connection", "connection_details.name", plain),
        ("name", "name", plain),
        ("number", "number", plain),
        ("user", "user", plain),
        ("vhost", "vhost", plain),
        ("transactional", "transactional", plain),
        ("confirm", "confirm", plain),
        ("consumer_count", "consumer_count", plain),
        ("messages_unacknowledged", "messages_unacknowledged", plain),
        ("messages_uncommitted", "messages_uncommitted", plain),
        ("acks_uncommitted", "acks_uncommitted", plain),
        ("messages_unconfirmed", "messages_unconfirmed", plain),
        ("prefetch_count", "prefetch_count", plain),
    ],
};

const VHOSTS: List = List {
    collection: &["vhosts"],
    is_of_vhost: false,
    keys: &[],
    holds: |_| true,
    usual: "name",
    columns: &[
        ("name", "name", plain),
        ("description", "description", plain),
        ("tags", "tags", Term::atoms),
        ("default_queue_type", "default_queue_type", plain),
        ("protected_from_deletion", "protected_from_deletion", plain),
        ("tracing", "tracing", plain),
        ("cluster_state", "cluster_state", Term::properties),
        ("metadata", "metadata", plain),
    ],
};

const FLAGS: List = List {
    collection: &["feature-flags"],
    is_of_vhost: false,
    keys: &[],
    holds: |_| true,
    usual: "name state",
    columns: &[
        ("name", "name", word),
        ("state", "state", word),
        ("stability", "stability", word),
        ("provided_by", "provided_by", word),
        ("desc", "desc", plain),
        ("doc_url", "doc_url", plain),
    ],
};

const DEPRECATED: List = List {
    collection: &["deprecated-features"],
    is_of_vhost: false,
    keys: &[],
    holds: |_| true,
    usual: "name deprecation_phase state",
    columns: &[
        ("name", "name", word),
        ("deprecation_phase", "deprecation_phase", word),
        ("state", "state", word),
        ("provided_by", "provided_by", word),
        ("desc", "desc", plain),
        ("doc_url", "doc_url", plain),
    ],
};

/// The deprecated features that are in use.
pub const USED: List = List { collection: &["deprecated-features", "used"], ..DEPRECATED };

/// Makes a list of the connections of a protocol.
const fn connections_of(holds: fn(&Value) -> bool, id: &'static [Column], usual: &'static str) -> List {
    List { collection: &["connections"], is_of_vhost: false, keys: &["protocol"], holds, usual, columns: id }
}

const MQTT: List = connections_of(|connection| speaks(connection, "MQTT"), OF_MQTT, "client_id conn_name");
const AMQP10: List = connections_of(|connection| speaks(connection, "AMQP 1"), OF_AMQP10, "conn_name user");
const WEB_MQTT: List = connections_of(|connection| speaks(connection, "Web MQTT"), OF_MQTT, "client_id conn_name");
const STOMP: List = connections_of(|connection| speaks(connection, "STOMP"), OF_STOMP, "session_id conn_name");

const OF_MQTT: &[Column] = &[
    ("client_id", "client_id", plain),
    ("conn_name", "name", plain),
    ("connection", "name", plain),
    ("user", "user", plain),
    ("vhost", "vhost", plain),
    ("protocol", "protocol", plain),
    ("peer_host", "peer_host", Term::address),
    ("peer_port", "peer_port", plain),
    ("host", "host", Term::address),
    ("port", "port", plain),
    ("ssl", "ssl", plain),
    ("connected_at", "connected_at", plain),
    ("state", "state", word),
];

const OF_AMQP10: &[Column] = &[
    ("conn_name", "name", plain),
    ("connection", "name", plain),
    ("container_id", "container_id", plain),
    ("user", "user", plain),
    ("vhost", "vhost", plain),
    ("peer_host", "peer_host", Term::address),
    ("peer_port", "peer_port", plain),
    ("ssl", "ssl", plain),
    ("connected_at", "connected_at", plain),
    ("state", "state", word),
];

const OF_STOMP: &[Column] = &[
    ("session_id", "session_id", plain),
    ("conn_name", "name", plain),
    ("connection", "name", plain),
    ("user", "user", plain),
    ("vhost", "vhost", plain),
    ("protocol", "protocol", plain),
    ("peer_host", "peer_host", Term::address),
    ("peer_port", "peer_port", plain),
    ("ssl", "ssl", plain),
    ("connected_at", "connected_at", plain),
    ("state", "state", word),
];

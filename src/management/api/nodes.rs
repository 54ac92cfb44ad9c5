//! Nodes: a RingMQ broker is one.

use serde_json::{Value, json};

use super::call::Call;
use super::object::{Object, extend, object};
use crate::config::auth::Mechanism;
use crate::management::host::Usage;
use crate::management::http::{Answer, Outcome, Refusal};
use crate::management::measures::{self, CHURN, History, NODE};
use crate::management::rates::{Subject, Windows};
use std::net::SocketAddr;

/// `GET /nodes`
pub async fn list(call: &Call) -> Outcome {
    node_object(call).await.map(|node| Answer::list([node]))
}

/// `GET /nodes/N`
pub async fn get(call: &Call) -> Outcome {
    check_node(call)?;
    node_object(call).await.map(Answer::one)
}

/// `GET /nodes/N/memory`
pub async fn memory(call: &Call) -> Outcome {
    check_node(call)?;
    let parts = parts(call).await?;
    let rss = call.site.host.usage().memory.0;
    let mut memory: Object = parts.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.into())).collect();
    extend(&mut memory, json!({ "strategy": "rss", "total": { "rss": rss, "allocated": rss, "erlang": rss } }));
    Ok(Answer::one(json!({ "memory": memory })))
}

/// `GET /nodes/N/memory/relative`: per cent.
pub async fn relative_memory(call: &Call) -> Outcome {
    check_node(call)?;
    let parts = parts(call).await?;
    let rss = call.site.host.usage().memory.0.max(1);
    let share = |bytes: u64| (bytes * 100).div_ceil(rss);
    let mut memory: Object = parts.into_iter().map(|(name, bytes)| (name.to_owned(), share(bytes).into())).collect();
    memory.insert("total".into(), 100.into());
    Ok(Answer::one(json!({ "memory": memory })))
}

/// Checks that the path names this node.
pub fn check_node(call: &Call) -> Result<(), Refusal> {
    if call.variable("node") == call.site.node() { Ok(()) } else { Err(Refusal::absent()) }
}

/// The parts of the memory, in RabbitMQ's words; what RingMQ has no such thing of is 0.
async fn parts(call: &Call) -> Result<Vec<(&'static str, u64)>, Refusal> {
    let totals = call.broker().totals().await?;
    let messages: u64 = totals.iter().map(|totals| totals.message_memory as u64).sum();
    let mut queues = 0;
    call.broker().visit_queues(|part| queues += part.iter().map(|queue| queue.memory as u64).sum::<u64>()).await?;
    let rest = call.site.host.usage().memory.0.saturating_sub(messages + queues);
    let known = |name: &str| match name {
        "binary" => messages,
        "queue_procs" => queues,
        "other_system" => rest,
        _ => 0,
    };
    Ok(PARTS.into_iter().map(|name| (name, known(name))).collect())
}

async fn node_object(call: &Call) -> Result<Object, Refusal> {
    let usage = call.site.host.usage();
    let mut node =
        object(json!({ "name": call.site.node(), "type": "disc", "running": true, "being_drained": call.site.host.is_in_maintenance() }));
    if call.params.is_true("disable_stats") {
        return Ok(node);
    }
    let churn = call.broker().totals().await?.iter().fold([0; CHURN.len()], |mut sums, totals| {
        sums.iter_mut().zip(measures::churn(&totals.churn)).for_each(|(sum, n)| *sum += n);
        sums
    });
    extend(&mut node, about(call));
    extend(&mut node, runtime());
    extend(&mut node, limits(call, &usage));
    let window = Windows::parse(&call.params)?.nodes;
    let rates = call.site.rates.borrow();
    measures::put(&mut node, &NODE, &measures::node(&usage), History { series: rates.of(Subject::Node), from: 0, window });
    measures::put(&mut node, &CHURN, &churn, History { series: rates.of(Subject::Broker), from: measures::CHURN_FROM, window: None });
    for name in NEVER {
        measures::put(&mut node, &[name], &[0], History::default());
    }
    Ok(node)
}

fn about(call: &Call) -> Value {
    let config = call.broker().config();
    let mechanism = |mechanism: Mechanism| {
        let description = format!("SASL {} authentication mechanism", mechanism.name());
        json!({ "name": mechanism.name(), "description": description, "enabled": config.auth.offers(mechanism) })
    };
    json!({
        "applications": [{ "name": "ringmq", "description": "RingMQ", "version": env!("CARGO_PKG_VERSION") }],
        "auth_mechanisms": Mechanism::ALL.map(mechanism),
        "exchange_types": exchange_types(),
        "contexts": contexts(call),
        "enabled_plugins": ["rabbitmq_management", "rabbitmq_prometheus"],
        "rabbitmq_version": config.product_version,
        "rates_mode": "basic",
        "mem_calculation_strategy": "rss",
        "db_dir": config.data_dir.display().to_string(),
        "config_files": [],
        "log_files": ["<stdout>"],
        "partitions": [],
        "cluster_links": [],
        "net_ticktime": 60,
        "metrics_gc_queue_length": {},
        "ra_open_file_metrics": {},
    })
}

fn limits(call: &Call, usage: &Usage) -> Value {
    let alarms = call.site.host.alarms();
    json!({
        "os_pid": usage.process.to_string(),
        "uptime": usage.uptime_ms,
        "processors": usage.processors,
        "run_queue": 0,
        "fd_total": usage.descriptors.1,
        "sockets_total": 0,
        "proc_total": usage.threads.1,
        "mem_limit": usage.memory.1,
        "mem_alarm": alarms.low_on_memory(),
        "disk_free_limit": usage.disk.1,
        "disk_free_alarm": alarms.low_on_disk(),
    })
}

/// The runtime that clients expect to be told.
pub fn runtime() -> Value {
    json!({
        "erlang_version": "29.1.2",
        "erlang_full_version": concat!("RingMQ ", env!("CARGO_PKG_VERSION"), " (no Erlang)"),
        "crypto_lib_version": "",
    })
}

/// The types of exchanges.
pub fn exchange_types() -> Value {
    TYPES.map(|(name, description)| json!({ "name": name, "description": description, "enabled": true })).into_iter().collect()
}

/// The listeners.
pub fn listeners(call: &Call) -> Value {
    let listener = |(protocol, address): (&str, &SocketAddr)| {
        json!({
            "node": call.site.node(),
            "protocol": protocol,
            "ip_address": address.ip(),
            "port": address.port(),
            "socket_opts": {},
            "tls": false,
        })
    };
    call.site.listeners.all().map(listener).collect()
}

/// What is served over HTTP.
pub fn contexts(call: &Call) -> Value {
    let context = |(protocol, address): (&str, &SocketAddr)| {
        json!({
            "node": call.site.node(),
            "description": if protocol == "http" { "RabbitMQ Management" } else { "RabbitMQ Prometheus" },
            "path": "/",
            "ip": address.ip(),
            "port": address.port().to_string(),
            "ssl_opts": {},
            "cowboy_opts": "[]",
        })
    };
    call.site.listeners.all().filter(|(protocol, _)| *protocol != "amqp").map(context).collect()
}

const TYPES: [(&str, &str); 11] = [
    ("direct", "AMQP direct exchange, as per the AMQP specification"),
    ("fanout", "AMQP fanout exchange, as per the AMQP specification"),
    ("headers", "AMQP headers exchange, as per the AMQP specification"),
    ("topic", "AMQP topic exchange, as per the AMQP specification"),
    ("x-consistent-hash", "Consistent Hashing Exchange"),
    ("x-delayed-message", "Delayed Message Exchange."),
    ("x-local-random", "Picks one random local binding (queue) to route via (to)."),
    ("x-modulus-hash", "Modulus Hashing Exchange"),
    ("x-random", "Randomly picks a binding (queue) to route via (to)."),
    ("x-recent-history", "Recent History Exchange."),
    ("x-message-deduplication", "Message Deduplication Exchange."),
];

/// Counters that a node of RabbitMQ has.
const NEVER: [&str; 23] = [
    "gc_num",
    "gc_bytes_reclaimed",
    "io_read_count",
    "io_read_bytes",
    "io_read_avg_time",
    "io_write_count",
    "io_write_bytes",
    "io_write_avg_time",
    "io_sync_count",
    "io_sync_avg_time",
    "io_seek_count",
    "io_seek_avg_time",
    "io_reopen_count",
    "mnesia_ram_tx_count",
    "mnesia_disk_tx_count",
    "msg_store_read_count",
    "msg_store_write_count",
    "queue_index_write_count",
    "queue_index_read_count",
    "queue_index_journal_write_count",
    "sockets_used",
    "io_file_handle_open_attempt_count",
    "io_file_handle_open_attempt_avg_time",
];

const PARTS: [&str; 26] = [
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "queue_procs",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "plugins",
    "metadata_store",
    "metadata_store_ets",
    "other_proc",
    "metrics",
    "mgmt_db",
    "mnesia",
    "quorum_ets",
    "other_ets",
    "binary",
    "msg_index",
    "code",
    "atom",
    "other_system",
    "allocated_unused",
    "reserved_unallocated",
];

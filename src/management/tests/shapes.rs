//! Objects have every key that RabbitMQ's have, with values of the same type.

use serde_json::{Value, json};

use super::*;
use crate::base::ids::{ChannelAddr, ConnAddr, ConnId, Key, QueueId, ShardId, UserId};
use crate::contract::{ChannelFigures, ConnectionFigures, ConnectionState, ConsumerFigures, Counts, QueueFigures, VhostId};
use crate::message::{Table, TableBuilder};

/// For each kind of object its keys, and the types of their values.
const SHAPES: &str = include_str!("../data/shapes.json");

/// Keys that only RabbitMQ has: its own memory management, and what plugins add.
const LEFT_OUT: [&str; 5] = ["cached_segments", "ssl_opts", "cowboy_opts", "socket_opts", "tags"];

pub fn numbers() -> Numbers {
    let conn = ConnAddr { shard: ShardId(0), conn: ConnId(Key { slot: 1, generation: 0 }) };
    let channel = ChannelAddr { conn, channel: 1 };
    let ends = ("127.0.0.1:60768".parse().expect("an address"), "127.0.0.1:5672".parse().expect("an address"));
    let queue = QueueId(Key { slot: 0, generation: 0 });
    Numbers {
        queues: vec![QueueFigures { id: queue, ready: 3, unacked: 2, consumers: 1, head_timestamp_ms: Some(1), ..QueueFigures::default() }],
        connections: vec![ConnectionFigures {
            addr: conn,
            peer: ends.0,
            local: ends.1,
            protocol: "AMQP 0-9-1",
            user: Some((UserId(Key::default()), "guest".into())),
            vhost: Some(VhostId(0)),
            state: ConnectionState::Running,
            connected_at_ms: 1,
            mechanism: "PLAIN",
            client_properties: TableBuilder::new().text("connection_name", "worker").build(),
            channels: 1,
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 60,
            octets: (1, 2),
            packets: (3, 4),
            pending: 0,
        }],
        channels: vec![ChannelFigures {
            addr: channel,
            ends,
            user: "guest".into(),
            vhost: VhostId(0),
            state: ConnectionState::Running,
            confirm: true,
            transactional: false,
            prefetch: 20,
            global_prefetch: 0,
            consumers: 1,
            unacked: 2,
            unconfirmed: 0,
            uncommitted: 0,
            acks_uncommitted: 0,
            counts: Counts::default(),
        }],
        consumers: vec![ConsumerFigures {
            queue,
            channel,
            ends,
            user: "guest".into(),
            tag: "worker-1".into(),
            exclusive: false,
            ack_required: true,
            prefetch: 20,
            timeout_ms: None,
            arguments: Table::empty(),
        }],
        ..Numbers::default()
    }
}

pub const CONNECTION: &str = "127.0.0.1%3A60768%20-%3E%20127.0.0.1%3A5672";

/// Kind, path, and where in the answer the object is.
fn places() -> Vec<(&'static str, String, &'static str)> {
    [
        ("overview", "overview", ""),
        ("message_stats of the overview", "overview", "/message_stats"),
        ("churn_rates", "overview", "/churn_rates"),
        ("queue_totals", "overview", "/queue_totals"),
        ("object_totals", "overview", "/object_totals"),
        ("listener", "overview", "/listeners/0"),
        ("context", "overview", "/contexts/0"),
        ("node", "nodes/rabbit@localhost", ""),
        ("memory", "nodes/rabbit@localhost/memory", "/memory"),
        ("vhost", "vhosts", "/0"),
        ("user", "users/guest", ""),
        ("permission", "permissions/%2F/guest", ""),
        ("topic permission", "topic-permissions", "/0"),
        ("exchange", "exchanges/%2F/amq.topic", ""),
        ("queue", "queues/%2F/jobs", ""),
        ("message_stats of a queue", "queues/%2F/jobs", "/message_stats"),
        ("quorum queue", "queues/%2F/q.quorum", ""),
        ("binding", "bindings", "/0"),
        ("policy", "policies/%2F/p", ""),
        ("parameter", "parameters/federation-upstream/%2F/up", ""),
        ("global parameter", "global-parameters", "/0"),
        ("consumer", "consumers", "/0"),
        ("consumer", "queues/%2F/jobs", "/consumer_details/0"),
        ("channel_details", "consumers", "/0/channel_details"),
        ("definitions", "definitions", ""),
        ("definitions of a virtual host", "definitions/%2F", ""),
        ("whoami", "whoami", ""),
        ("feature flag", "feature-flags", "/0"),
        ("deprecated feature", "deprecated-features", "/0"),
        ("attempts", "auth/attempts/rabbit@localhost", "/0"),
    ]
    .map(|(kind, path, place)| (kind, path.to_owned(), place))
    .into_iter()
    .chain([("connection", format!("connections/{CONNECTION}"), ""), ("channel", format!("channels/{CONNECTION}%20(1)"), "")])
    .collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[test]
fn objects_have_all_keys_that_rabbitmq_s_have() {
    with_server(Config::default(), numbers(), |client| async move {
        for (path, body) in [
            ("queues/%2F/jobs", r#"{"durable": true}"#),
            ("queues/%2F/q.quorum", r#"{"durable": true, "arguments": {"x-queue-type": "quorum"}}"#),
            ("policies/%2F/p", r#"{"pattern": "^amq.topic$|jobs", "definition": {"message-ttl": 1}}"#),
            ("policies/%2F/ae", r#"{"pattern": "^amq.topic$", "definition": {"alternate-exchange": "x"}, "priority": 1}"#),
            ("topic-permissions/%2F/guest", r#"{"exchange": "amq.topic", "write": "", "read": ""}"#),
            ("parameters/federation-upstream/%2F/up", r#"{"value": {"uri": "amqp://"}}"#),
        ] {
            assert_eq!(client.put(&format!("/api/{path}"), body).await.status, 201, "{path}");
        }
        let shapes: Value = serde_json::from_str(SHAPES).expect("JSON");
        let mut wrong = Vec::new();
        for (name, path, place) in places() {
            let answer = client.get(&format!("/api/{path}")).await.json();
            let Some(object) = answer.pointer(place).filter(|object| object.is_object()) else {
                wrong.push(format!("{path} has no {name} at '{place}'"));
                continue;
            };
            for (key, types) in shapes[name].as_object().expect("keys") {
                let (types, ours) = (types.as_str().expect("types"), &object[key]);
                let is_missing = object.get(key).is_none();
                let is_same = types.split('|').any(|known| known == kind(ours)) || ours.is_null() || types == "null";
                if (is_missing || !is_same) && !is_excused(key, ours) {
                    wrong.push(format!("{name}: {key} is {}, not {types}", if is_missing { "missing" } else { kind(ours) }));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// Empty objects, which RabbitMQ writes as lists, and keys of RabbitMQ's own.
fn is_excused(key: &str, ours: &Value) -> bool {
    *ours == json!({}) || LEFT_OUT.contains(&key)
}

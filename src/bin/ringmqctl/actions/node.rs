//! The node: its name, its listeners, its state; commands that wait for it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::actions::Action;
use crate::call::{Call, Node};
use crate::failure::{Failure, Result, SOFTWARE};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("await_online_nodes", await_online_nodes).checked(check_positive),
    Action::anytime("await_startup", await_startup),
    Action::anytime("check_running", check_running),
    Action::new("discover_peers", discover_peers),
    Action::new("erlang_version", erlang_version),
    Action::anytime("is_booting", is_booting),
    Action::anytime("is_running", is_running),
    Action::new("listeners", listeners),
    Action::anytime("node_health_check", |_| Ok(Output::Done)),
    Action::anytime("ping", ping),
    Action::new("server_version", server_version),
    Action::anytime("wait", wait).checked(check_wait),
];

fn ping(call: &Call) -> Result<Output> {
    let name = call.node_name();
    let ms = call.given.number("timeout").unwrap_or_default().saturating_mul(1000);
    match call.node() {
        Ok(_) => Ok(Output::Report { text: "Ping succeeded".into(), json: json!({ "message": "Ping succeeded" }) }),
        Err(Failure::Unreachable { .. } | Failure::Timeout { .. }) => {
            Err(Failure::refused(format!("Failed to connect and authenticate to {name} in {ms} ms")))
        }
        Err(failure) => Err(failure),
    }
}

fn running_text(name: &str, is_running: bool) -> String {
    match is_running {
        true => format!("RabbitMQ on node {name} is fully booted and running"),
        false => format!("RabbitMQ on node {name} is not running or has not fully booted yet (check with is_booting)"),
    }
}

fn is_running(call: &Call) -> Result<Output> {
    let node = call.node()?;
    let text = running_text(&node.name, node.is_running());
    Ok(Output::Report { json: json!({ "message": text, "result": node.is_running() }), text })
}

fn check_running(call: &Call) -> Result<Output> {
    let node = call.node()?;
    let text = running_text(&node.name, node.is_running());
    match node.is_running() {
        true => Ok(Output::Report { json: json!({ "result": "ok" }), text }),
        false => Err(Failure::refused(text)),
    }
}

fn is_booting(call: &Call) -> Result<Output> {
    let node = call.node()?;
    let is_booting = node.app == "booting";
    let text = match is_booting {
        true => format!("RabbitMQ on node {} is booting", node.name),
        false => format!("RabbitMQ on node {} is fully booted (check with is_running), stopped or has not started booting yet", node.name),
    };
    Ok(Output::Report { json: json!({ "message": text, "result": is_booting }), text })
}

/// Waits until something is so. Fails after the timeout with a reason.
fn until<T>(call: &Call, late: impl FnOnce() -> Failure, mut attempt: impl FnMut() -> Option<T>) -> Result<T> {
    let seconds = call.given.number("timeout").and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(300);
    let end = Instant::now().checked_add(Duration::from_secs(seconds)); // none: never
    loop {
        if let Some(value) = attempt() {
            return Ok(value);
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Err(late());
        }
        thread::sleep(PAUSE);
    }
}

/// Waits until a process is gone, for ever if there is no timeout.
pub fn until_gone(call: &Call, pid: u32) -> Result<()> {
    let seconds = call.given.number("timeout").and_then(|seconds| u64::try_from(seconds).ok());
    let end = seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    while is_alive(pid.into()) {
        if end.is_some_and(|end| Instant::now() >= end) {
            return Err(Failure::timeout());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Whether a process runs. One that has ended and that nobody has waited for does not.
fn is_alive(pid: i64) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    // The state stands behind the name, which may have any characters.
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

fn until_running(call: &Call) -> Result<Node> {
    let late = || Failure::error(SOFTWARE, format!("Error: timed out while waiting for node {} to start", call.node_name()));
    until(call, late, || call.ask_node().ok().filter(Node::is_running))
}

fn await_startup(call: &Call) -> Result<Output> {
    until_running(call).map(|_| Output::Done)
}

fn await_online_nodes(call: &Call) -> Result<Output> {
    let count: usize = call.argument(0).parse().unwrap_or_default();
    let name = call.node_name();
    let late = || Failure::error(SOFTWARE, format!("Error: timed out while waiting. Not enough nodes joined {name}'s cluster."));
    let online = || Some(call.list(&["api", "nodes"]).ok()?.iter().filter(|node| node["running"] == true).count());
    until(call, late, || online().filter(|online| *online >= count))?;
    Ok(Output::Done)
}

fn check_wait(call: &Call) -> Result<()> {
    match call.given.arguments.is_empty() && call.given.value("pid").is_none() {
        true => Err(Failure::usage("\"No pid or pidfile specified\"")),
        false => Ok(()),
    }
}

/// Checks that the first argument is a number from 1.
pub fn check_positive(call: &Call) -> Result<()> {
    match call.argument(0).parse::<u16>() {
        Ok(number) if number > 0 => Ok(()),
        _ => Err(Failure::bad_argument("Argument must be a positive integer")),
    }
}

/// Waits for a file with the number of the process, if one is named, and for the node to run.
fn wait(call: &Call) -> Result<Output> {
    let say = |line: String| call.tell(&line);
    let pid = match call.given.arguments.first() {
        Some(file) => {
            say(format!("Waiting for pid file '{file}' to appear"));
            let read = || fs::read_to_string(file).ok()?.trim().parse::<i64>().ok();
            let late = || Failure::error(SOFTWARE, format!("could not read pid from file {file}"));
            let pid = until(call, late, read)?;
            say(format!("pid is {pid}"));
            pid
        }
        None => call.given.number("pid").unwrap_or_default(),
    };
    let name = call.node_name();
    say(format!("Waiting for erlang distribution on node '{name}' while OS process '{pid}' is running"));
    let late = || Failure::error(SOFTWARE, format!("Error: timed out while waiting for node {name} to start"));
    let found = until(call, late, || match call.ask_node() {
        Ok(node) => Some(Some(node)),
        Err(_) if !is_alive(pid) => Some(None),
        Err(_) => None,
    })?;
    let gone = || Failure::error(SOFTWARE, format!("process '{pid}' not found"));
    let name = found.ok_or_else(gone)?.name;
    say(format!("Waiting for applications 'rabbit_and_plugins' to start on node '{name}'"));
    until_running(call)?;
    say(format!("Applications 'rabbit_and_plugins' are running on node '{name}'"));
    Ok(Output::Done)
}

fn server_version(call: &Call) -> Result<Output> {
    Ok(Output::Text(call.get(&["api", "overview"])?["rabbitmq_version"].as_str().unwrap_or_default().to_owned()))
}

fn erlang_version(call: &Call) -> Result<Output> {
    let overview = call.get(&["api", "overview"])?;
    let text = |key: &str| overview[key].as_str().unwrap_or_default().trim_end().to_owned();
    Ok(Output::Text(if call.given.is("details") { text("erlang_full_version") } else { format!("Erlang/OTP {}", text("erlang_version")) }))
}

fn discover_peers(call: &Call) -> Result<Output> {
    let nodes = call.list(&["api", "nodes"])?;
    let names = nodes.iter().filter_map(|node| node["name"].as_str()).map(|name| format!(":{name}")).collect::<Vec<_>>();
    Ok(Output::Text(format!("[{}]", names.join(", "))))
}

/// A listener.
#[derive(Clone, PartialEq, Debug)]
pub struct Listener {
    /// The address.
    pub interface: String,
    /// The port.
    pub port: u64,
    /// The protocol.
    pub protocol: String,
}

impl Listener {
    /// Reads the listeners of a node, or of all nodes.
    pub fn all(overview: &Value, node: Option<&str>) -> Vec<(String, Listener)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let read = |item: &Value| {
            let address = text(&item["ip_address"]);
            let interface = if address.contains(':') { format!("[{address}]") } else { address };
            let listener = Listener { interface, port: item["port"].as_u64().unwrap_or_default(), protocol: text(&item["protocol"]) };
            (text(&item["node"]), listener)
        };
        let listeners = overview["listeners"].as_array().into_iter().flatten().map(read);
        listeners.filter(|(name, _)| node.is_none_or(|node| node == name)).collect()
    }

    /// Returns what the listener is for.
    pub fn purpose(&self) -> &str {
        PURPOSES.iter().find(|(protocol, _)| *protocol == self.protocol).map_or(&self.protocol, |(_, purpose)| purpose)
    }

    /// Returns a description.
    pub fn line(&self) -> String {
        format!("Interface: {}, port: {}, protocol: {}, purpose: {}", self.interface, self.port, self.protocol, self.purpose())
    }

    /// Returns the listener for programs.
    pub fn json(&self, node: &str) -> Value {
        json!({ "node": node, "port": self.port, "protocol": self.protocol, "interface": self.interface, "purpose": self.purpose() })
    }
}

/// Returns the listeners of this node.
pub fn own_listeners(call: &Call) -> Result<Vec<Listener>> {
    let name = call.node()?.name.clone();
    let overview = call.get(&["api", "overview"])?;
    Ok(Listener::all(&overview, Some(&name)).into_iter().map(|(_, listener)| listener).collect())
}

fn listeners(call: &Call) -> Result<Output> {
    let (listeners, name) = (own_listeners(call)?, call.node_name());
    let lines: Vec<String> = listeners.iter().map(Listener::line).collect();
    let items: Vec<Value> = listeners.iter().map(|listener| listener.json(&name)).collect();
    Ok(Output::Report { text: lines.join("\n"), json: json!({ "node": name, "result": "ok", "listeners": items }) })
}

const PURPOSES: &[(&str, &str)] = &[
    ("amqp", "AMQP 0-9-1 and AMQP 1.0"),
    ("amqp/ssl", "AMQP 0-9-1 and AMQP 1.0 over TLS"),
    ("clustering", "inter-node and CLI tool communication"),
    ("clustering/ssl", "inter-node and CLI tool communication over TLS"),
    ("http", "HTTP API"),
    ("http/prometheus", "Prometheus exporter API over HTTP"),
    ("http/web-amqp", "AMQP over WebSocket"),
    ("http/web-mqtt", "MQTT over WebSocket"),
    ("http/web-stomp", "STOMP over WebSocket"),
    ("https", "HTTP API over TLS (HTTPS)"),
    ("https/prometheus", "Prometheus exporter API over TLS (HTTPS)"),
    ("https/web-amqp", "AMQP over WebSocket and TLS (HTTPS)"),
    ("https/web-mqtt", "MQTT over WebSocket and TLS (HTTPS)"),
    ("https/web-stomp", "STOMP over WebSocket and TLS (HTTPS)"),
    ("mqtt", "MQTT"),
    ("mqtt/ssl", "MQTT over TLS"),
    ("stomp", "STOMP"),
    ("stomp/ssl", "STOMP over TLS"),
];

const PAUSE: Duration = Duration::from_millis(50);

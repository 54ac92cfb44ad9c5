//! Health checks. A check that fails ends with exit code 69 and says why on stderr.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::actions::Action;
use crate::actions::node::{Listener, check_positive, own_listeners};
use crate::call::Call;
use crate::client::Answer;
use crate::failure::{Failure, Result, UNAVAILABLE};
use crate::format::{Format, Output};

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("alarms", list_alarms),
    Action::new("await_online_quorum_plus_one", single_node_or_enough),
    Action::new("await_online_synchronized_mirror", |_| Ok(Output::Text("ok".into()))),
    Action::new("check_alarms", check_alarms),
    Action::new("check_certificate_expiration", check_certificates).checked(check_unit),
    Action::new("check_for_quorum_queues_without_an_elected_leader", check_leaders),
    Action::new("check_if_any_deprecated_features_are_used", check_deprecated),
    Action::new("check_if_metadata_store_is_initialized", check_metadata),
    Action::new("check_if_metadata_store_is_initialized_with_data", check_metadata),
    Action::new("check_if_new_quorum_queue_replicas_have_finished_initial_sync", check_new_replicas),
    Action::new("check_if_node_is_mirror_sync_critical", |_| Ok(Output::Text("ok".into()))),
    Action::new("check_if_node_is_quorum_critical", check_quorum),
    Action::new("check_local_alarms", check_local_alarms),
    Action::new("check_port_connectivity", check_connectivity),
    Action::new("check_port_listener", check_port).checked(check_positive),
    Action::new("check_protocol_listener", check_protocol),
    Action::new("check_virtual_hosts", check_vhosts),
    Action::new("has_reached_target_cluster_size", check_cluster_size),
];

/// Returns the output of a check that passes.
fn passed(call: &Call, text: String) -> Output {
    match call.given.is("silent") {
        true => Output::Nothing,
        false => Output::Report { text, json: json!({ "result": "ok" }) },
    }
}

/// Returns the failure of a check that does not pass: for people a text, for programs JSON.
fn failed(call: &Call, text: String, details: Value) -> Failure {
    let mut json = json!({ "result": "error" });
    for (key, value) in details.as_object().into_iter().flatten() {
        json[key] = value.clone();
    }
    match call.format() {
        _ if call.given.is("silent") => Failure::plain(UNAVAILABLE, ""),
        Format::Json => Failure::unhealthy(json.to_string()),
        _ => Failure::unhealthy(text),
    }
}

/// Asks a health check of the API.
fn ask(call: &Call, check: &[&str]) -> Result<Answer> {
    call.send(Method::GET, &[&["api", "health", "checks"], check].concat(), None)
}

/// Returns the sentences about alarms, of one node or of all.
pub fn alarms(nodes: &[Value], own: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    for node in nodes.iter().filter(|node| own.is_none_or(|own| node["name"] == own)) {
        let name = node["name"].as_str().unwrap_or_default();
        let kinds = [("mem_alarm", "Memory alarm"), ("disk_free_alarm", "Free disk space alarm")];
        lines.extend(kinds.iter().filter(|(key, _)| node[key] == true).map(|(_, alarm)| format!("{alarm} on node {name}")));
    }
    lines
}

fn report_of_alarms(call: &Call) -> Result<(Vec<String>, Value)> {
    let nodes = call.list(&["api", "nodes"])?;
    let name = call.node()?.name.as_str();
    let (all, local) = (alarms(&nodes, None), alarms(&nodes, Some(name)));
    let elsewhere: Vec<&String> = all.iter().filter(|line| !local.contains(line)).collect();
    let report = json!({ "local": local, "global": elsewhere, "message": format!("Node {name} reported alarms") });
    Ok((all, report))
}

fn list_alarms(call: &Call) -> Result<Output> {
    let (alarms, mut json) = report_of_alarms(call)?;
    let name = call.node_name();
    if alarms.is_empty() {
        let text = format!("Node {name} reported no alarms, local or clusterwide");
        return Ok(Output::Report { text, json: json!({ "result": "ok", "node": name, "alarms": [] }) });
    }
    json["result"] = "ok".into();
    Ok(Output::Report { text: alarms.join("\n"), json })
}

fn check_alarms(call: &Call) -> Result<Output> {
    let (alarms, json) = report_of_alarms(call)?;
    match alarms.is_empty() {
        true => Ok(passed(call, format!("Node {} reported no alarms, local or clusterwide", call.node_name()))),
        false => Err(failed(call, alarms.join("\n"), json)),
    }
}

fn check_local_alarms(call: &Call) -> Result<Output> {
    let name = call.node_name();
    let alarms = alarms(&call.list(&["api", "nodes"])?, Some(&name));
    match alarms.is_empty() {
        true => Ok(passed(call, format!("Node {name} reported no local alarms"))),
        false => Err(failed(call, alarms.join("\n"), json!({ "local": alarms }))),
    }
}

fn check_port(call: &Call) -> Result<Output> {
    let (port, name) = (call.argument(0), call.node_name());
    let listeners = own_listeners(call)?;
    let ports = ports_of(&listeners);
    if listeners.iter().any(|listener| listener.port.to_string() == port) {
        let json = json!({ "result": "ok", "node": name, "port": port });
        return Ok(Output::Report { text: format!("A listener for port {port} is running on node {name}."), json });
    }
    let text = format!("No listener for port {port} is active on node {name}. Found listeners that use the following ports: {ports}");
    let items: Vec<Value> = listeners.iter().map(|listener| listener.json(&name)).collect();
    Err(failed(call, text, json!({ "node": name, "missing": port.parse::<u16>().unwrap_or_default(), "listeners": items })))
}

fn ports_of(listeners: &[Listener]) -> String {
    let mut ports: Vec<u64> = listeners.iter().map(|listener| listener.port).collect();
    ports.sort_unstable();
    ports.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn check_protocol(call: &Call) -> Result<Output> {
    let (protocol, name) = (call.argument(0), call.node_name());
    let known = PROTOCOLS.iter().find(|(alias, _)| *alias == protocol.to_lowercase()).map_or(protocol, |(_, known)| known);
    let listeners = own_listeners(call)?;
    if listeners.iter().any(|listener| listener.protocol == known) {
        let json = json!({ "result": "ok", "node": name, "protocol": known });
        return Ok(Output::Report { text: format!("A listener for protocol {known} is running on node {name}."), json });
    }
    let mut protocols: Vec<&str> = listeners.iter().map(|listener| listener.protocol.as_str()).collect();
    protocols.sort_unstable();
    let found = protocols.join(", ");
    Err(Failure::refused(format!(
        "No listener for protocol {known} is active on node {name}. Found listeners for the following protocols: {found}"
    )))
}

const PROTOCOLS: &[(&str, &str)] = &[
    ("amqp091", "amqp"),
    ("amqp0.9.1", "amqp"),
    ("amqp10", "amqp"),
    ("amqp1.0", "amqp"),
    ("amqps", "amqp/ssl"),
    ("mqtts", "mqtt/ssl"),
    ("stomps", "stomp/ssl"),
    ("prometheus", "http/prometheus"),
    ("management", "http"),
];

/// Connects to every listener.
fn check_connectivity(call: &Call) -> Result<Output> {
    let name = call.node_name();
    let (host, how) = match call.given.value("address") {
        Some(address) => (address, format!("using {address} for target IP address")),
        None => (name.split_once('@').map_or("localhost", |(_, host)| host), "using node hostname resolution".to_owned()),
    };
    let listeners = own_listeners(call)?;
    let mut failures = Vec::new();
    for listener in &listeners {
        call.tell(&format!("Will connect to {host}:{}", listener.port));
        if let Err(error) = connect(host, listener) {
            call.tell(&format!("Error connecting to {host}:{}: {error}", listener.port));
            failures.push(listener.line());
        }
    }
    if !failures.is_empty() {
        let failed = failures.join("\n");
        return Err(Failure::refused(format!("Connection to ports of the following listeners on node {name} failed: \n{failed}")));
    }
    let items: Vec<Value> = listeners.iter().map(|listener| listener.json(&name)).collect();
    Ok(Output::Report {
        text: format!("Successfully connected to ports {} on node {name} ({how})", ports_of(&listeners)),
        json: json!({ "result": "ok", "node": name, "listeners": items }),
    })
}

/// Connects to a listener at the host, whose addresses may be several.
fn connect(host: &str, listener: &Listener) -> std::io::Result<()> {
    let port = u16::try_from(listener.port).unwrap_or_default();
    let mut result = Err(std::io::Error::other("nxdomain"));
    for address in (host, port).to_socket_addrs()? {
        result = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map(|_| ());
        if result.is_ok() {
            break;
        }
    }
    result
}

fn check_vhosts(call: &Call) -> Result<Output> {
    let (answer, name) = (ask(call, &["virtual-hosts"])?, call.node_name());
    if answer.is_ok() {
        return Ok(passed(call, format!("Node {name} reported all vhosts as running")));
    }
    let down = strings(&answer.body["virtual-hosts"]);
    match call.format() {
        Format::Json => Err(failed(call, String::new(), json!({ "down_vhosts": down }))),
        _ if call.given.is("silent") => Err(Failure::plain(UNAVAILABLE, "")),
        _ => Err(Failure::refused(format!("Some virtual hosts on node {name} are down:\n{}", down.join("\n")))),
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn check_unit(call: &Call) -> Result<()> {
    match call.given.value("unit").unwrap_or_default() {
        "days" | "weeks" | "months" | "years" => Ok(()),
        unit => Err(Failure::usage(format!("\"unit '{unit}' is not supported. Please use one of: days, weeks, months, years\""))),
    }
}

fn check_certificates(call: &Call) -> Result<Output> {
    let (within, unit) = (call.given.number("within").unwrap_or_default(), call.given.value("unit").unwrap_or_default());
    let answer = ask(call, &["certificate-expiration", &within.to_string(), unit])?;
    if answer.is_ok() {
        let unit = if within == 1 { unit.trim_end_matches('s') } else { unit };
        let text = format!("No certificates are expiring within {within} {unit}.");
        return Ok(Output::Report { text, json: json!({ "result": "ok" }) });
    }
    let expired = answer.body["expired"].as_array().cloned().unwrap_or_default();
    if expired.is_empty() {
        return Err(Failure::refused(answer.reason()));
    }
    let text = expired.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    Err(failed(call, text, json!({ "expired": expired })))
}

fn check_quorum(call: &Call) -> Result<Output> {
    let (answer, name) = (ask(call, &["node-is-quorum-critical"])?, call.node_name());
    if answer.is_ok() && answer.body["reason"].is_null() {
        return Ok(passed(call, format!("Node {name} reported no queues/streams with minimum quorum")));
    }
    if answer.is_ok() {
        let state = "seems to be the only one in a single node cluster, the check does not apply";
        let json = json!({ "result": "ok", "message": format!("Target node {state}") });
        let report = Output::Report { text: format!("Node {name} {state}"), json };
        return Ok(if call.given.is("silent") { Output::Nothing } else { report });
    }
    let queues = answer.body["queues"].as_array().cloned().unwrap_or_default();
    let line = |queue: &Value| {
        let queue = queue["readable_name"].as_str().or_else(|| queue["name"].as_str()).unwrap_or_default();
        format!("{queue} will become unavailable if node {name} stops")
    };
    let text = queues.iter().map(line).collect::<Vec<_>>().join("\n");
    let message = format!("Node {name} reported local queues with minimum online quorum");
    Err(failed(call, text, json!({ "queues": queues, "message": message })))
}

fn check_new_replicas(call: &Call) -> Result<Output> {
    Ok(passed(call, format!("Node {} reported no queues with promotable replicas", call.node_name())))
}

fn check_leaders(call: &Call) -> Result<Output> {
    let (pattern, name) = (call.argument(0), call.node_name());
    let check = "quorum-queues-without-elected-leaders";
    let answer = match call.given.is("across-all-vhosts") {
        true => ask(call, &[check, "all-vhosts", "pattern", pattern])?,
        false => ask(call, &[check, "vhost", call.vhost(), "pattern", pattern])?,
    };
    let text = format!("Node {name} reported all quorum queue as having responsive leader replicas");
    match answer.is_ok() {
        true if call.is_quiet() => Ok(Output::Nothing),
        true => Ok(Output::Report { json: json!({ "result": "ok", "message": text }), text }),
        false => {
            let queues = answer.body["queues"].as_array().cloned().unwrap_or_default();
            let text: Vec<String> = queues.iter().map(|queue| queue["readable_name"].as_str().unwrap_or_default().to_owned()).collect();
            Err(failed(call, text.join("\n"), json!({ "queues": queues, "message": answer.reason() })))
        }
    }
}

fn check_deprecated(call: &Call) -> Result<Output> {
    let used = call.list(&["api", "deprecated-features", "used"])?;
    let mut names: Vec<&str> = used.iter().filter_map(|feature| feature["name"].as_str()).collect();
    names.sort_unstable();
    match names[..] {
        [] => Ok(passed(call, "Cluster reported no deprecated features in use".into())),
        _ => {
            let details = json!({ "deprecated_features": names, "message": "Cluster reported deprecated features in use" });
            Err(failed(call, names.join("\n"), details))
        }
    }
}

fn check_metadata(call: &Call) -> Result<Output> {
    let (answer, name) = (ask(call, &["metadata-store", "initialized"])?, call.node_name());
    match answer.is_ok() {
        true => Ok(passed(call, format!("Metadata store on node {name} has completed its initialization"))),
        false => Err(Failure::refused(format!("Metadata store on node {name} reports to not yet have finished initialization"))),
    }
}

fn check_cluster_size(call: &Call) -> Result<Output> {
    let (answer, name) = (ask(call, &["reached-target-cluster-size"])?, call.node_name());
    if answer.is_ok() {
        return Ok(passed(call, format!("Target cluster size has been reached on node {name}")));
    }
    let (online, target) = (&answer.body["online"], &answer.body["target"]);
    let text = format!("Target cluster size on node {name} has not been reached: {online} of {target} nodes are online");
    match call.format() {
        Format::Json => Err(failed(call, String::new(), json!({ "message": text, "online": online, "target": target }))),
        _ if call.given.is("silent") => Err(Failure::plain(UNAVAILABLE, "")),
        _ => Err(Failure::refused(text)),
    }
}

/// Waits until the node can stop without a loss of majorities, which one node alone cannot.
fn single_node_or_enough(call: &Call) -> Result<Output> {
    let text = "Target node seems to be the only one in a single node cluster, the command does not apply";
    let answer = ask(call, &["node-is-quorum-critical"])?;
    match answer.is_ok() {
        true if answer.body["reason"].is_null() || call.is_quiet() => Ok(Output::Done),
        true => Ok(Output::Report { text: text.into(), json: json!({ "result": "ok", "message": text }) }),
        false => Err(Failure::refused("time is up, no quorum + 1 online replicas came online for at least some quorum queues or streams")),
    }
}

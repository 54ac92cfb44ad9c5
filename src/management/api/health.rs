//! Health checks. Probes come every few seconds, so none of them asks for a list.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::call::Call;
use super::object::{extend, object};
use crate::management::http::{Answer, Content, Outcome, Refusal};
use hyper::StatusCode;

/// A check that a broker of one node which answers at all has passed.
pub async fn ok(_: &Call) -> Outcome {
    Ok(passed(json!({})))
}

/// `GET /health/checks/node-is-quorum-critical`
pub async fn single_node(_: &Call) -> Outcome {
    Ok(passed(json!({ "reason": "single node cluster" })))
}

/// `GET /healthchecks/node`
pub async fn node(call: &Call) -> Outcome {
    let alarms: Vec<String> = in_effect(call).iter().map(|(_, term)| format!("{{resource_limit,{term},{}}}", call.site.node())).collect();
    match alarms.is_empty() {
        true => Ok(passed(json!({}))),
        false => Ok(failed(&format!("resource alarm(s) in effect:[{}]", alarms.join(",")), json!({}))),
    }
}

/// `GET /health/checks/alarms`
pub async fn alarms(call: &Call) -> Outcome {
    Ok(check_alarms(call, "There are alarms in effect in the cluster"))
}

/// `GET /health/checks/local-alarms`
pub async fn local_alarms(call: &Call) -> Outcome {
    Ok(check_alarms(call, "There are alarms in effect on the node"))
}

fn check_alarms(call: &Call, reason: &str) -> Answer {
    let alarms: Vec<Value> =
        in_effect(call).iter().map(|(resource, _)| json!({ "node": call.site.node(), "resource": resource })).collect();
    if alarms.is_empty() { passed(json!({})) } else { failed(reason, json!({ "alarms": alarms })) }
}

/// The alarms: their names, and RabbitMQ's terms for them.
fn in_effect(call: &Call) -> Vec<(&'static str, &'static str)> {
    let alarms = call.site.host.alarms();
    let memory = alarms.low_on_memory().then_some(("memory", "memory"));
    let disk = alarms.low_on_disk().then_some(("disk space", "disk"));
    memory.into_iter().chain(disk).collect()
}

/// `GET /health/checks/port-listener/P`
pub async fn port_listener(call: &Call) -> Outcome {
    let port: u16 = call.variable("port").parse().map_err(|_| Refusal::bad_request("Invalid port"))?;
    let ports: BTreeSet<u16> = call.site.listeners.all().map(|(_, address)| address.port()).collect();
    Ok(match ports.contains(&port) {
        true => passed(json!({ "port": port })),
        false => failed("No active listener", json!({ "missing": port, "ports": ports })),
    })
}

/// `GET /health/checks/protocol-listener/P`: names separated by commas.
pub async fn protocol_listener(call: &Call) -> Outcome {
    let mut open: Vec<&str> = call.site.listeners.all().map(|(protocol, _)| protocol).collect();
    open.dedup();
    let wanted = call.variable("protocols").split(',').map(str::trim);
    let missing: Vec<&str> = wanted.filter(|name| !open.contains(&protocol(name))).collect();
    Ok(match missing.is_empty() {
        true => passed(json!({ "protocols": open })),
        false => failed("No active listener", json!({ "missing": missing, "protocols": open })),
    })
}

/// The listener that serves a protocol.
fn protocol(name: &str) -> &str {
    match name {
        "amqp091" | "amqp0.9.1" => "amqp",
        other => other,
    }
}

/// `GET /health/checks/certificate-expiration/N/UNIT`: no listener has a certificate.
pub async fn certificates(call: &Call) -> Outcome {
    if !["days", "weeks", "months", "years"].contains(&call.variable("unit")) {
        return Err(Refusal::bad_request("Time unit not recognised. Supported units: days, weeks, months, years."));
    }
    match call.variable("within").parse::<u32>() {
        Ok(_) => Ok(passed(json!({}))),
        Err(_) => Err(Refusal::bad_request("Invalid expiration value.")),
    }
}

/// `GET /health/checks/below-node-connection-limit`
pub async fn below_limit(call: &Call) -> Outcome {
    let connections = connections(call).await?;
    Ok(match connections < call.broker().config().max_connections {
        true => passed(json!({ "connections": connections })),
        false => failed("node connection limit is reached", json!({ "connections": connections })),
    })
}

/// `GET /health/checks/is-in-service`
pub async fn in_service(call: &Call) -> Outcome {
    Ok(match call.site.host.is_in_maintenance() {
        true => failed("this rabbit node is not currently available to serve", json!({})),
        false => passed(json!({})),
    })
}

/// `GET /health/checks/ready-to-serve-clients`. An alarm does not fail it.
pub async fn ready(call: &Call) -> Outcome {
    if call.site.host.is_in_maintenance() {
        return in_service(call).await;
    }
    if call.site.listeners.amqp.is_empty() {
        return Ok(failed("no active listeners for AMQP/AMQPS", json!({})));
    }
    below_limit(call).await
}

async fn connections(call: &Call) -> Result<usize, Refusal> {
    Ok(call.broker().totals().await?.iter().map(|totals| totals.connections).sum())
}

fn passed(more: Value) -> Answer {
    let mut answer = object(json!({ "status": "ok" }));
    extend(&mut answer, more);
    Answer::one(answer)
}

fn failed(reason: &str, more: Value) -> Answer {
    let mut answer = object(json!({ "status": "failed", "reason": reason }));
    extend(&mut answer, more);
    Answer::new(StatusCode::SERVICE_UNAVAILABLE, Content::One(answer.into()))
}

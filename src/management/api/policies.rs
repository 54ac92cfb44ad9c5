//! Policies and operator policies.

use serde_json::{Value, json};

use super::call::Call;
use super::object::{Object, object};
use crate::broker::catalog::{Catalog, VhostInfo};
use crate::contract::{Administration, Fault, PolicyKind, PolicySpec};
use crate::definitions::arguments::{to_json, to_table};
use crate::management::http::{Answer, Outcome, Refusal};
use hyper::StatusCode;

/// `GET /policies` and `/policies/V`
pub async fn list(call: &Call) -> Outcome {
    Ok(policies(call, PolicyKind::User))
}

/// `GET /policies/V/P`
pub async fn get(call: &Call) -> Outcome {
    one(call, PolicyKind::User).map(Answer::one)
}

/// `PUT /policies/V/P`
pub async fn put(call: &Call) -> Outcome {
    put_kind(call, PolicyKind::User).await
}

/// `DELETE /policies/V/P`
pub async fn delete(call: &Call) -> Outcome {
    delete_kind(call, PolicyKind::User).await
}

/// `GET /operator-policies` and `/operator-policies/V`
pub async fn list_operator(call: &Call) -> Outcome {
    Ok(policies(call, PolicyKind::Operator))
}

/// `GET /operator-policies/V/P`
pub async fn get_operator(call: &Call) -> Outcome {
    one(call, PolicyKind::Operator).map(Answer::one)
}

/// `PUT /operator-policies/V/P`
pub async fn put_operator(call: &Call) -> Outcome {
    check_unlocked(call)?;
    put_kind(call, PolicyKind::Operator).await
}

/// `DELETE /operator-policies/V/P`
pub async fn delete_operator(call: &Call) -> Outcome {
    check_unlocked(call)?;
    delete_kind(call, PolicyKind::Operator).await
}

fn check_unlocked(call: &Call) -> Result<(), Refusal> {
    if call.broker().config().management.operator_policies_locked {
        let reason = "Broker settings disallow editing of operator policies.";
        return Err(Refusal::told(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", reason));
    }
    Ok(())
}

fn policies(call: &Call, kind: PolicyKind) -> Answer {
    let catalog = call.broker().catalog();
    let lists = call.lists(&catalog);
    let vhosts = catalog.vhosts().filter(|vhost| lists(vhost.id));
    let mut found: Vec<(&VhostInfo, &PolicySpec)> = vhosts.flat_map(|vhost| of_kind(vhost, kind).map(move |spec| (vhost, spec))).collect();
    found.sort_unstable_by_key(|(vhost, spec)| (&vhost.spec.name, &spec.name));
    Answer::list(found.into_iter().map(|(vhost, spec)| policy_object(&vhost.spec.name, spec)))
}

fn one(call: &Call, kind: PolicyKind) -> Result<Object, Refusal> {
    let catalog = call.broker().catalog();
    find(call, &catalog, kind).map(|spec| policy_object(call.variable("vhost"), spec)).ok_or_else(Refusal::absent)
}

fn find<'a>(call: &Call, catalog: &'a Catalog, kind: PolicyKind) -> Option<&'a PolicySpec> {
    let vhost = catalog.find_vhost(call.vhost(catalog).ok()?)?;
    of_kind(vhost, kind).find(|spec| *spec.name == *call.variable("policy"))
}

fn of_kind(vhost: &VhostInfo, kind: PolicyKind) -> impl Iterator<Item = &PolicySpec> {
    vhost.policies.specs().filter(move |(known, _)| *known == kind).map(|(_, spec)| spec)
}

async fn put_kind(call: &Call, kind: PolicyKind) -> Outcome {
    let body = call.object()?;
    body.need(&["pattern", "definition"])?;
    let priority = match body.get("priority") {
        Some(Value::String(text)) if text.parse::<i64>().is_err() => Err(not_a_number("priority", &json!(text))),
        Some(value @ Value::Number(number)) if !number.is_i64() => Err(not_a_number("priority", value)),
        _ => body.int("priority"),
    }?;
    let spec = PolicySpec {
        name: call.variable("policy").into(),
        pattern: body.text("pattern")?.unwrap_or_default().into(),
        apply_to: body.text("apply-to")?.unwrap_or("all").into(),
        priority: priority.unwrap_or_default(),
        definition: to_table(&body.object("definition")?).map_err(Refusal::bad_request)?,
    };
    let is_new = find(call, &call.broker().catalog(), kind).is_none();
    let vhost = call.variable("vhost").into();
    call.broker().command(Administration::PutPolicy { vhost, kind, spec }).await.map_err(invalid)?;
    Ok(Answer::put(is_new))
}

async fn delete_kind(call: &Call, kind: PolicyKind) -> Outcome {
    one(call, kind)?;
    let (vhost, name) = (call.variable("vhost").into(), call.variable("policy").into());
    call.administer(Administration::DeletePolicy { vhost, kind, name }).await?;
    Ok(Answer::done())
}

fn policy_object(vhost: &str, spec: &PolicySpec) -> Object {
    object(json!({
        "vhost": vhost,
        "name": spec.name,
        "pattern": spec.pattern,
        "apply-to": spec.apply_to,
        "definition": to_json(spec.definition.view()),
        "priority": spec.priority,
    }))
}

fn not_a_number(key: &str, value: &Value) -> Refusal {
    failed(&format!("{key} should be a number, actually was {}", erlang(value)))
}

fn invalid(fault: Fault) -> Refusal {
    match fault.code {
        crate::contract::Code::PreconditionFailed => failed(&fault.text),
        _ => fault.into(),
    }
}

/// RabbitMQ's refusal of a parameter with these errors, one per line.
pub fn failed(errors: &str) -> Refusal {
    Refusal::bad_request(format!("Validation failed\n\n{errors}\n"))
}

/// A JSON value as RabbitMQ's error texts show it: as a term of Erlang.
pub fn erlang(value: &Value) -> String {
    match value {
        Value::String(text) => format!("<<\"{text}\">>"),
        Value::Object(object) => {
            let members: Vec<String> = object.iter().map(|(key, value)| format!("{{<<\"{key}\">>,{}}}", erlang(value))).collect();
            format!("[{}]", members.join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(erlang).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

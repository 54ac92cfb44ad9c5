//! Virtual hosts.

use hyper::Method;
use serde_json::{Value, json};

use crate::actions::{Action, done};
use crate::call::Call;
use crate::failure::{DATA, Failure, Result};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("add_vhost", add).checked(check_queue_type),
    Action::new("delete_vhost", delete),
    Action::new("disable_vhost_deletion_protection", unprotect),
    Action::new("enable_vhost_deletion_protection", protect),
    Action::new("reconcile_vhosts", |_| Ok(Output::Done)),
    Action::new("restart_vhost", restart),
    Action::new("set_vhost_tags", set_tags),
    Action::new("trace_off", trace_off),
    Action::new("trace_on", trace_on),
    Action::new("update_vhost_metadata", update).checked(check_queue_type),
];

fn check_queue_type(call: &Call) -> Result<()> {
    match call.given.value("default-queue-type") {
        None | Some("quorum" | "stream" | "classic") => Ok(()),
        Some(other) => Err(Failure::bad_argument(format!("Default queue type must be one of: quorum, stream, classic. Provided: {other}"))),
    }
}

fn add(call: &Call) -> Result<Output> {
    let name = call.argument(0);
    if call.send(Method::GET, &["api", "vhosts", name], None)?.is_ok() {
        return Ok(Output::Done);
    }
    call.put(&["api", "vhosts", name], &with_options(call, json!({}))).and_then(done)
}

/// Adds the description, the tags and the default queue type that are given.
fn with_options(call: &Call, mut body: Value) -> Value {
    for (option, key) in [("description", "description"), ("tags", "tags"), ("default-queue-type", "default_queue_type")] {
        if let Some(value) = call.given.value(option) {
            body[key] = value.into();
        }
    }
    body
}

/// Changes a virtual host: what is not changed must be sent as it is.
fn change(call: &Call, name: &str, change: impl FnOnce(&mut Value)) -> Result<Output> {
    let answer = call.send(Method::GET, &["api", "vhosts", name], None)?;
    if answer.status == 404 {
        return Err(Failure::no_vhost(name));
    }
    let vhost = answer.accepted()?;
    let mut body = json!({ "description": vhost["description"], "tags": vhost["tags"], "tracing": vhost["tracing"] });
    if let Some(kind) = vhost["default_queue_type"].as_str().filter(|kind| *kind != "undefined") {
        body["default_queue_type"] = kind.into();
    }
    change(&mut body);
    call.put(&["api", "vhosts", name], &body).and_then(done)
}

fn update(call: &Call) -> Result<Output> {
    change(call, call.argument(0), |body| *body = with_options(call, body.take()))?;
    match call.given.value("protected-from-deletion") {
        Some("true") => protect(call),
        Some(_) => unprotect(call),
        None => Ok(Output::Done),
    }
}

fn set_tags(call: &Call) -> Result<Output> {
    let tags: Vec<&str> = call.given.arguments[1..].iter().map(|tag| tag.trim()).collect();
    change(call, call.argument(0), |body| body["tags"] = tags.into())
}

fn delete(call: &Call) -> Result<Output> {
    let name = call.argument(0);
    let answer = call.send(Method::DELETE, &["api", "vhosts", name], None)?;
    match answer.status {
        404 => Err(Failure::no_vhost(name)),
        412 => Err(Failure::error(
            DATA,
            "Cannot delete this virtual host: it is protected from deletion. To lift the protection, inspect and update its metadata",
        )),
        _ => answer.accepted().and_then(done),
    }
}

fn protect(call: &Call) -> Result<Output> {
    set_protection(call, Method::POST)
}

fn unprotect(call: &Call) -> Result<Output> {
    set_protection(call, Method::DELETE)
}

fn set_protection(call: &Call, method: Method) -> Result<Output> {
    let name = call.argument(0);
    let answer = call.send(method, &["api", "vhosts", name, "deletion", "protection"], None)?;
    if answer.status == 404 { Err(Failure::no_vhost(name)) } else { answer.accepted().and_then(done) }
}

fn trace_on(call: &Call) -> Result<Output> {
    trace(call, true, "enabled")
}

fn trace_off(call: &Call) -> Result<Output> {
    trace(call, false, "disabled")
}

fn trace(call: &Call, is_on: bool, word: &str) -> Result<Output> {
    change(call, call.vhost(), |body| body["tracing"] = is_on.into())?;
    Ok(Output::Text(format!("Trace {word} for vhost {}", call.vhost())))
}

fn restart(call: &Call) -> Result<Output> {
    let (vhost, node) = (call.vhost(), call.node_name());
    call.require_vhost()?;
    call.send(Method::POST, &["api", "vhosts", vhost, "start", &node], None)?.accepted()?;
    Ok(Output::Text(format!("Vhost '{vhost}' is already running on node '{node}'")))
}

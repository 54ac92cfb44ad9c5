//! Shovels and federation links.

use hyper::Method;
use serde_json::Value;

use crate::actions::{Action, done};
use crate::call::Call;
use crate::failure::{Failure, Result};
use crate::format::Output;
use crate::term::{Row, Term};

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("delete_shovel", delete_shovel),
    Action::new("federation_status", federation_status),
    Action::new("restart_federation_link", restart_link),
    Action::new("restart_shovel", restart_shovel),
    Action::new("shovel_status", shovel_status),
];

/// The columns of a shovel, with the key of each in the API.
const SHOVEL: &[(&str, &str)] = &[
    ("name", "name"),
    ("pending", "pending"),
    ("type", "type"),
    ("state", "state"),
    ("source", "src_uri"),
    ("destination", "dest_uri"),
    ("vhost", "vhost"),
    ("last_changed", "timestamp"),
    ("termination_reason", "reason"),
    ("destination_protocol", "dest_protocol"),
    ("source_protocol", "src_protocol"),
    ("source_queue", "src_queue"),
    ("destination_queue", "dest_queue"),
    ("remaining", "remaining"),
    ("remaining_unacked", "remaining_unacked"),
    ("forwarded", "forwarded"),
];

fn shovel_status(call: &Call) -> Result<Output> {
    let row = |shovel: &Value| SHOVEL.iter().map(|&(column, key)| (column.to_owned(), Term::from(&shovel[key]))).collect::<Row>();
    Ok(Output::Rows(call.list(&["api", "shovels"])?.iter().map(row).collect()))
}

fn not_found(call: &Call, and: &str) -> Failure {
    Failure::refused(format!(
        "Shovel with the given name was not found on the target node '{}' {and} virtual host '{}'",
        call.node_name(),
        call.vhost()
    ))
}

fn restart_shovel(call: &Call) -> Result<Output> {
    let answer = call.send(Method::DELETE, &["api", "shovels", "vhost", call.vhost(), call.argument(0), "restart"], None)?;
    if answer.status == 404 { Err(not_found(call, "and / or")) } else { answer.accepted().and_then(done) }
}

fn delete_shovel(call: &Call) -> Result<Output> {
    let answer = call.send(Method::DELETE, &["api", "shovels", "vhost", call.vhost(), call.argument(0)], None)?;
    if answer.status == 404 { Err(not_found(call, "and/or")) } else { answer.accepted().and_then(done) }
}

fn federation_links(call: &Call) -> Result<Vec<Value>> {
    let mut links = call.list(&["api", "federation-links"])?;
    links.retain(|link| !call.given.is("only-down") || link["status"] != "running");
    Ok(links)
}

fn federation_status(call: &Call) -> Result<Output> {
    Ok(Output::Term(Term::List(federation_links(call)?.iter().map(Term::from).collect())))
}

fn restart_link(call: &Call) -> Result<Output> {
    let id = call.argument(0);
    let links = federation_links(call)?;
    let missing = || Failure::refused("Link with the given ID was not found");
    let link = links.iter().find(|link| link["id"] == id).ok_or_else(missing)?;
    let (vhost, node) = (link["vhost"].as_str().unwrap_or_default(), link["node"].as_str().unwrap_or_default());
    call.delete(&["api", "federation-links", "vhost", vhost, id, node, "restart"]).and_then(done)
}

//! Runtime parameters, of virtual hosts and global ones.

use hyper::Method;
use serde_json::{Value, json};

use crate::actions::{self, Action, done};
use crate::call::Call;
use crate::failure::{Failure, Result};
use crate::format::Output;
use crate::term::Term;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("clear_global_parameter", clear_global),
    Action::new("clear_parameter", clear),
    Action::new("list_global_parameters", list_global),
    Action::new("list_parameters", list),
    Action::new("set_cluster_name", set_cluster_name),
    Action::new("set_global_parameter", set_global),
    Action::new("set_parameter", set),
];

fn set(call: &Call) -> Result<Output> {
    let body = json!({ "value": actions::json(call.argument(2))? });
    let answer = call.send(Method::PUT, &["api", "parameters", call.argument(0), call.vhost(), call.argument(1)], Some(&body))?;
    if answer.status == 404 { Err(Failure::no_vhost(call.vhost())) } else { answer.accepted().and_then(done) }
}

fn set_global(call: &Call) -> Result<Output> {
    let body = json!({ "value": actions::json(call.argument(1))? });
    call.put(&["api", "global-parameters", call.argument(0)], &body).and_then(done)
}

fn clear(call: &Call) -> Result<Output> {
    remove(call, &["api", "parameters", call.argument(0), call.vhost(), call.argument(1)])
}

fn clear_global(call: &Call) -> Result<Output> {
    remove(call, &["api", "global-parameters", call.argument(0)])
}

fn remove(call: &Call, path: &[&str]) -> Result<Output> {
    let answer = call.send(Method::DELETE, path, None)?;
    if answer.status == 404 { Err(Failure::refused("Parameter does not exist")) } else { answer.accepted().and_then(done) }
}

fn list(call: &Call) -> Result<Output> {
    let mut parameters = call.list(&["api", "parameters"])?;
    parameters.retain(|parameter| parameter["vhost"] == call.vhost() && parameter["component"] != "vhost-limits");
    if parameters.is_empty() {
        call.require_vhost()?;
    }
    Ok(rows(&parameters, &["component", "name", "value"]))
}

fn list_global(call: &Call) -> Result<Output> {
    Ok(rows(&call.list(&["api", "global-parameters"])?, &["name", "value"]))
}

fn rows(parameters: &[Value], columns: &[&str]) -> Output {
    let cell = |parameter: &Value, column: &str| match column {
        "value" => Term::json(&parameter[column]),
        _ => Term::from(&parameter[column]),
    };
    let row = |parameter: &Value| columns.iter().map(|&column| (column.to_owned(), cell(parameter, column))).collect();
    Output::List(parameters.iter().map(row).collect())
}

fn set_cluster_name(call: &Call) -> Result<Output> {
    call.put(&["api", "cluster-name"], &json!({ "name": call.argument(0) })).and_then(done)
}

//! Permissions of users in virtual hosts, and on topics.

use hyper::Method;
use serde_json::{Value, json};

use crate::actions::{Action, done, users};
use crate::call::Call;
use crate::client::Answer;
use crate::failure::{Failure, NO_USER, Result};
use crate::format::Output;
use crate::term::Term;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("clear_permissions", clear).checked(users::check_name),
    Action::new("clear_topic_permissions", clear_topic).checked(users::check_name),
    Action::new("list_permissions", list),
    Action::new("list_topic_permissions", list_topic),
    Action::new("list_user_permissions", list_of_user).checked(users::check_name),
    Action::new("list_user_topic_permissions", list_topic_of_user).checked(users::check_name),
    Action::new("set_permissions", set).checked(users::check_name),
    Action::new("set_permissions_globally", set_globally).checked(users::check_name),
    Action::new("set_topic_permissions", set_topic).checked(users::check_name),
];

fn set(call: &Call) -> Result<Output> {
    set_in(call, call.vhost())
}

fn set_globally(call: &Call) -> Result<Output> {
    for vhost in call.list(&["api", "vhosts"])? {
        set_in(call, vhost["name"].as_str().unwrap_or_default())?;
    }
    Ok(Output::Done)
}

fn set_in(call: &Call, vhost: &str) -> Result<Output> {
    let body = json!({ "configure": call.argument(1), "write": call.argument(2), "read": call.argument(3) });
    let answer = call.send(Method::PUT, &["api", "permissions", vhost, call.argument(0)], Some(&body))?;
    match answer.is_ok() {
        true => Ok(Output::Done),
        false => Err(missing(call, vhost)?.unwrap_or_else(|| Failure::refused(answer.reason()))),
    }
}

/// Returns the failure that a user or a virtual host does not exist, if that is so.
fn missing(call: &Call, vhost: &str) -> Result<Option<Failure>> {
    let user = call.argument(0);
    if users::find(call, user)?.is_none() {
        return Ok(Some(Failure::error(NO_USER, format!("User {user} does not exist"))));
    }
    let answer = call.send(Method::GET, &["api", "vhosts", vhost], None)?;
    Ok((answer.status == 404).then(|| Failure::refused(format!("Virtual host {vhost} does not exist"))))
}

fn clear(call: &Call) -> Result<Output> {
    cleared(call.send(Method::DELETE, &["api", "permissions", call.vhost(), call.argument(0)], None)?)
}

/// What is not there is cleared.
fn cleared(answer: Answer) -> Result<Output> {
    if answer.status == 404 { Ok(Output::Done) } else { answer.accepted().and_then(done) }
}

fn set_topic(call: &Call) -> Result<Output> {
    let body = json!({ "exchange": call.argument(1), "write": call.argument(2), "read": call.argument(3) });
    let answer = call.send(Method::PUT, &["api", "topic-permissions", call.vhost(), call.argument(0)], Some(&body))?;
    if answer.is_ok() {
        return Ok(Output::Done);
    }
    if let Some(failure) = missing(call, call.vhost())? {
        return Err(failure);
    }
    let exchange = call.send(Method::GET, &["api", "exchanges", call.vhost(), call.argument(1)], None)?;
    Err(match exchange.status {
        404 => Failure::refused(format!("Exchange {} does not exist", call.argument(1))),
        _ => Failure::refused(answer.reason()),
    })
}

fn clear_topic(call: &Call) -> Result<Output> {
    let mut path = vec!["api", "topic-permissions", call.vhost(), call.argument(0)];
    path.extend(call.given.arguments.get(1).map(|name| if name.is_empty() { "amq.default" } else { name.as_str() }));
    cleared(call.send(Method::DELETE, &path, None)?)
}

fn list(call: &Call) -> Result<Output> {
    in_vhost(call, "permissions", &["user", "configure", "write", "read"])
}

fn list_topic(call: &Call) -> Result<Output> {
    in_vhost(call, "topic-permissions", &["user", "exchange", "write", "read"])
}

fn in_vhost(call: &Call, kind: &str, columns: &[&str]) -> Result<Output> {
    let answer = call.send(Method::GET, &["api", "vhosts", call.vhost(), kind], None)?;
    if answer.status == 404 { Err(Failure::no_vhost(call.vhost())) } else { Ok(Output::List(rows(&answer.accepted()?, columns))) }
}

fn list_of_user(call: &Call) -> Result<Output> {
    of_user(call, "permissions", &["vhost", "configure", "write", "read"])
}

fn list_topic_of_user(call: &Call) -> Result<Output> {
    of_user(call, "topic-permissions", &["vhost", "exchange", "write", "read"])
}

fn of_user(call: &Call, kind: &str, columns: &[&str]) -> Result<Output> {
    let user = call.argument(0);
    let answer = call.send(Method::GET, &["api", "users", user, kind], None)?;
    if answer.status == 404 || users::find(call, user)?.is_none() {
        return Err(users::missing(user));
    }
    Ok(Output::List(rows(&answer.accepted()?, columns)))
}

fn rows(items: &Value, columns: &[&str]) -> Vec<Vec<(String, Term)>> {
    let row = |item: &Value| columns.iter().map(|&column| (column.to_owned(), Term::from(&item[column]))).collect();
    items.as_array().into_iter().flatten().map(row).collect()
}

//! Closing of connections.

use std::thread;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use crate::actions::{Action, done, users};
use crate::call::Call;
use crate::client::{Answer, path};
use crate::failure::{Failure, Result};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("close_all_connections", close_all),
    Action::new("close_all_user_connections", close_of_user).checked(users::check_name),
    Action::new("close_connection", close_one),
];

fn close(call: &Call, segments: &[&str], reason: &str) -> Result<Answer> {
    call.client.send(Method::DELETE, &path(segments), None, Some(reason))
}

fn close_one(call: &Call) -> Result<Output> {
    let name = call.argument(0);
    let answer = close(call, &["api", "connections", name], call.argument(1))?;
    if answer.status == 404 { Err(Failure::refused(format!("Connection {name} was not found"))) } else { answer.accepted().and_then(done) }
}

fn close_of_user(call: &Call) -> Result<Output> {
    let answer = close(call, &["api", "connections", "username", call.argument(0)], call.argument(1))?;
    if answer.status == 404 { Ok(Output::Done) } else { answer.accepted().and_then(done) }
}

fn close_all(call: &Call) -> Result<Output> {
    let connections = match call.given.is("global") {
        true => call.list(&["api", "connections"])?,
        false => call.list(&["api", "vhosts", call.vhost(), "connections"])?,
    };
    let number = |name: &str| call.given.number(name).and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
    let most = match number("limit") {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let names: Vec<&str> = connections.iter().filter_map(|connection| connection["name"].as_str()).take(most).collect();
    for name in &names {
        let answer = close(call, &["api", "connections", name], call.argument(0))?;
        if answer.status != 404 {
            answer.accepted()?; // one that is gone is closed, too
        }
        thread::sleep(Duration::from_millis(number("per-connection-delay")));
    }
    Ok(Output::Report {
        text: format!("Closed {} connections", names.len()),
        json: Value::from(format!("Closed {} connections", names.len())),
    })
}

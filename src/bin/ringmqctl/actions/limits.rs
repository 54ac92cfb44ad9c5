//! Limits of virtual hosts and users.

use serde_json::{Value, json};

use crate::actions::{self, Action, users};
use crate::call::Call;
use crate::failure::{Failure, Result};
use crate::format::Output;
use crate::term::Term;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("clear_user_limits", clear_user).checked(users::check_name),
    Action::new("clear_vhost_limits", clear_vhost),
    Action::new("list_user_limits", list_user),
    Action::new("list_vhost_limits", list_vhost),
    Action::new("set_user_limits", set_user).checked(users::check_name),
    Action::new("set_vhost_limits", set_vhost),
];

const VHOST: &str = "vhost-limits";
const USER: &str = "user-limits";

fn set_vhost(call: &Call) -> Result<Output> {
    let limits = actions::json(call.argument(0))?;
    call.require_vhost()?;
    put_all(call, VHOST, call.vhost(), &limits)?;
    // The limits that are not told are lifted.
    clear_all(call, VHOST, call.vhost(), |name| limits.get(name).is_none())
}

fn set_user(call: &Call) -> Result<Output> {
    let (user, limits) = (call.argument(0), actions::json(call.argument(1))?);
    check_user(call, user)?;
    put_all(call, USER, user, &limits)
}

fn check_user(call: &Call, user: &str) -> Result<()> {
    users::find(call, user)?.map(|_| ()).ok_or_else(|| users::missing(user))
}

fn put_all(call: &Call, kind: &str, owner: &str, limits: &Value) -> Result<Output> {
    for (name, value) in limits.as_object().into_iter().flatten() {
        call.put(&["api", kind, owner, name], &json!({ "value": value }))?;
    }
    Ok(Output::Done)
}

fn clear_vhost(call: &Call) -> Result<Output> {
    clear_all(call, VHOST, call.vhost(), |_| true)
}

fn clear_user(call: &Call) -> Result<Output> {
    let (user, limit) = (call.argument(0), call.argument(1));
    check_user(call, user)?;
    clear_all(call, USER, user, |name| limit == "all" || limit == name)
}

fn clear_all(call: &Call, kind: &str, owner: &str, is_cleared: impl Fn(&str) -> bool) -> Result<Output> {
    for name in limits_of(call, kind, owner)?.as_object().into_iter().flatten().map(|(name, _)| name) {
        if is_cleared(name) {
            call.delete(&["api", kind, owner, name])?;
        }
    }
    Ok(Output::Done)
}

/// Returns the limits of a virtual host or a user: an object.
fn limits_of(call: &Call, kind: &str, owner: &str) -> Result<Value> {
    let items = call.list(&["api", kind, owner])?;
    Ok(items.first().map_or_else(|| json!({}), |item| item["value"].clone()))
}

fn list_vhost(call: &Call) -> Result<Output> {
    if call.given.is("global") {
        return list_all(call, VHOST, "vhost");
    }
    call.require_vhost()?;
    let limits = limits_of(call, VHOST, call.vhost())?;
    match limits.as_object().is_none_or(serde_json::Map::is_empty) {
        true => Ok(Output::List(Vec::new())),
        false => Ok(Output::Text(limits.to_string())),
    }
}

fn list_user(call: &Call) -> Result<Output> {
    let user = call.given.value("user").unwrap_or_default();
    if call.given.is("global") {
        return list_all(call, USER, "user");
    }
    if user.is_empty() {
        return Err(Failure::bad_argument("user cannot be an empty string"));
    }
    check_user(call, user)?;
    let text = limits_of(call, USER, user)?.to_string();
    Ok(Output::Report { json: json!({ "message": text }), text })
}

fn list_all(call: &Call, kind: &str, owner: &str) -> Result<Output> {
    let items = call.list(&["api", kind])?;
    let row = |item: &Value| vec![(owner.to_owned(), Term::from(&item[owner])), ("limits".to_owned(), Term::json(&item["value"]))];
    Ok(Output::List(items.iter().map(row).collect()))
}

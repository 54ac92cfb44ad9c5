//! Limits of virtual hosts and of users.

use serde_json::{Value, json};

use super::call::Call;
use super::object::{Object, object};
use super::policies::{erlang, failed};
use super::users::limits;
use crate::broker::catalog::{UserInfo, VhostInfo};
use crate::contract::{Administration, Limit, UserLimits, VhostLimits};
use crate::management::http::{Answer, Outcome, Refusal};

/// `GET /vhost-limits`
pub async fn list_vhosts(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let mut vhosts: Vec<&VhostInfo> = catalog.vhosts().filter(|vhost| call.login.may_see(&catalog, vhost.id)).collect();
    vhosts.sort_unstable_by_key(|vhost| &vhost.spec.name);
    Ok(Answer::list(vhosts.into_iter().filter_map(of_vhost)))
}

/// `GET /vhost-limits/V`
pub async fn get_vhost(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let vhost = catalog.vhost_by_name(call.variable("seen-vhost")).ok_or_else(Refusal::absent)?;
    if !call.login.may_see(&catalog, vhost) {
        return Err(Refusal::not_found("Not Found"));
    }
    Ok(Answer::list(catalog.find_vhost(vhost).and_then(of_vhost)))
}

/// `PUT /vhost-limits/V/L`
pub async fn put_vhost(call: &Call) -> Outcome {
    let limit = wanted(call)?;
    let limit = limit.map_err(|value| failed(&not_a_number(call, &value)))?;
    set_vhost(call, limit).await?.map_err(|()| failed(&unrecognised(call, "limits")))?;
    Ok(Answer::done())
}

/// `DELETE /vhost-limits/V/L`: a limit that does not exist is none.
pub async fn delete_vhost(call: &Call) -> Outcome {
    let _ = set_vhost(call, None).await?;
    Ok(Answer::done())
}

/// `GET /user-limits`
pub async fn list_users(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let mut users: Vec<&UserInfo> = catalog.users().collect();
    users.sort_unstable_by_key(|user| &user.name);
    Ok(Answer::list(users.into_iter().filter_map(of_user)))
}

/// `GET /user-limits/U`
pub async fn get_user(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let user = catalog.user_by_name(call.variable("user")).ok_or_else(Refusal::absent)?;
    Ok(Answer::list(of_user(user)))
}

/// `PUT /user-limits/U/L`
pub async fn put_user(call: &Call) -> Outcome {
    let limit = wanted(call)?;
    let limit = limit.map_err(|value| Refusal::bad_request(not_a_number(call, &value)))?;
    let name = call.variable("user");
    let is_there = call.broker().catalog().user_by_name(name).is_some();
    if !is_there {
        return Err(Refusal::bad_request(format!("no_such_user: {name}")));
    }
    set_user(call, limit).await?.map_err(|()| Refusal::bad_request(unrecognised(call, "user-limits")))?;
    Ok(Answer::done())
}

/// `DELETE /user-limits/U/L`
pub async fn delete_user(call: &Call) -> Outcome {
    let is_there = call.broker().catalog().user_by_name(call.variable("user")).is_some();
    if !is_there {
        return Err(Refusal::absent());
    }
    let _ = set_user(call, None).await?;
    Ok(Answer::done())
}

/// The limit in the body; a negative number is none. The inner error is a value that is no number.
fn wanted(call: &Call) -> Result<Result<Limit, Value>, Refusal> {
    let body = call.object()?;
    body.need(&["value"])?;
    let value = &body.0["value"];
    Ok(value.as_i64().map(|limit| u32::try_from(limit).ok()).ok_or_else(|| value.clone()))
}

/// Sets a limit; the inner error: there is no limit of this name.
async fn set_vhost(call: &Call, limit: Limit) -> Result<Result<(), ()>, Refusal> {
    let mut limits = {
        let catalog = call.broker().catalog();
        catalog.find_vhost(call.vhost(&catalog)?).map(|vhost| vhost.limits).unwrap_or_default()
    };
    match call.variable("limit") {
        "max-connections" => limits.max_connections = limit,
        "max-queues" => limits.max_queues = limit,
        _ => return Ok(Err(())),
    }
    call.administer(Administration::SetVhostLimits { vhost: call.variable("vhost").into(), limits }).await.map(Ok)
}

async fn set_user(call: &Call, limit: Limit) -> Result<Result<(), ()>, Refusal> {
    let user = call.variable("user");
    let mut limits = call.broker().catalog().user_by_name(user).map(|user| user.limits).unwrap_or_default();
    match call.variable("limit") {
        "max-connections" => limits.max_connections = limit,
        "max-channels" => limits.max_channels = limit,
        _ => return Ok(Err(())),
    }
    call.administer(Administration::SetUserLimits { user: user.into(), limits }).await.map(Ok)
}

fn of_vhost(vhost: &VhostInfo) -> Option<Object> {
    let VhostLimits { max_connections, max_queues } = vhost.limits;
    let set = limits([("max-connections", max_connections), ("max-queues", max_queues)]);
    (!set.is_empty()).then(|| object(json!({ "vhost": vhost.spec.name, "value": set })))
}

fn of_user(user: &UserInfo) -> Option<Object> {
    let UserLimits { max_connections, max_channels } = user.limits;
    let set = limits([("max-connections", max_connections), ("max-channels", max_channels)]);
    (!set.is_empty()).then(|| object(json!({ "user": user.name, "value": set })))
}

fn not_a_number(call: &Call, value: &Value) -> String {
    format!("{} should be a number, actually was {}", call.variable("limit"), erlang(value))
}

fn unrecognised(call: &Call, whose: &str) -> String {
    let value = call.object().ok().and_then(|body| body.get("value").map(erlang)).unwrap_or_default();
    format!("Unrecognised terms [{{<<\"{}\">>,{value}}}] in {whose}", call.variable("limit"))
}

//! Permissions of users, and permissions for routing keys of topic exchanges.

use serde_json::json;

use super::call::Call;
use super::object::{Object, object};
use crate::broker::catalog::{Catalog, UserInfo};
use crate::contract::{Administration, Fault, Permissions, TopicPermissions, VhostId};
use crate::management::http::{Answer, Outcome, Refusal};

/// `GET /permissions`
pub async fn list(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    Ok(Answer::list(permissions(&catalog, None, |_| true)))
}

/// `GET /vhosts/V/permissions`
pub async fn of_vhost(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let vhost = call.vhost(&catalog)?;
    Ok(Answer::list(permissions(&catalog, None, |other| other == vhost)))
}

/// `GET /users/U/permissions`
pub async fn of_user(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let user = catalog.user_by_name(call.variable("user")).ok_or_else(Refusal::absent)?;
    Ok(Answer::list(permissions(&catalog, Some(user), |_| true)))
}

/// `GET /permissions/V/U`
pub async fn get(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let (user, vhost) = named(call, &catalog).ok_or_else(Refusal::absent)?;
    let found = permissions(&catalog, Some(user), |other| other == vhost).into_iter().next();
    found.map(Answer::one).ok_or_else(Refusal::absent)
}

/// `PUT /permissions/V/U`
pub async fn put(call: &Call) -> Outcome {
    let body = call.object()?;
    body.need(&["configure", "write", "read"])?;
    let pattern = |key| body.text(key).map(|pattern| pattern.unwrap_or_default().into());
    let permissions = Permissions { configure: pattern("configure")?, write: pattern("write")?, read: pattern("read")? };
    let is_new = {
        let catalog = call.broker().catalog();
        let (user, vhost) = named(call, &catalog).ok_or_else(unknown)?;
        catalog.access(user.id, vhost).is_none_or(|access| access.permissions().is_none())
    };
    let (vhost, user) = names(call);
    call.broker().command(Administration::SetPermissions { vhost, user, permissions }).await.map_err(refused)?;
    Ok(Answer::put(is_new))
}

/// `DELETE /permissions/V/U`
pub async fn delete(call: &Call) -> Outcome {
    {
        let catalog = call.broker().catalog();
        let access = named(call, &catalog).and_then(|(user, vhost)| catalog.access(user.id, vhost)?.permissions());
        access.ok_or_else(Refusal::absent)?;
    }
    let (vhost, user) = names(call);
    call.administer(Administration::ClearPermissions { vhost, user }).await?;
    Ok(Answer::done())
}

/// `GET /topic-permissions`
pub async fn list_topics(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    Ok(Answer::list(topic_permissions(&catalog, None, |_| true)))
}

/// `GET /vhosts/V/topic-permissions`
pub async fn topics_of_vhost(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let vhost = call.vhost(&catalog)?;
    Ok(Answer::list(topic_permissions(&catalog, None, |other| other == vhost)))
}

/// `GET /users/U/topic-permissions`
pub async fn topics_of_user(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let user = catalog.user_by_name(call.variable("user")).ok_or_else(Refusal::absent)?;
    Ok(Answer::list(topic_permissions(&catalog, Some(user), |_| true)))
}

/// `GET /topic-permissions/V/U` and `…/X`
pub async fn get_topics(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let found = named_topics(call, &catalog);
    if found.is_empty() { Err(Refusal::absent()) } else { Ok(Answer::list(found)) }
}

/// `PUT /topic-permissions/V/U`
pub async fn put_topics(call: &Call) -> Outcome {
    let body = call.object()?;
    body.need(&["exchange", "write", "read"])?;
    let text = |key| body.text(key).map(Option::unwrap_or_default);
    let exchange = Some(text("exchange")?).filter(|name| *name != "amq.default").unwrap_or_default();
    let permissions = TopicPermissions { write: text("write")?.into(), read: text("read")?.into() };
    let is_new = {
        let catalog = call.broker().catalog();
        let (user, vhost) = named(call, &catalog).ok_or_else(unknown)?;
        if catalog.exchange_by_name(vhost, exchange.as_bytes()).is_none() {
            return Err(Refusal::bad_request(format!("no_such_exchange: {exchange}")));
        }
        let access = catalog.access(user.id, vhost);
        !access.is_some_and(|access| access.topic_permissions().any(|(known, _)| known == exchange))
    };
    let (vhost, user) = names(call);
    let command = Administration::SetTopicPermissions { vhost, user, exchange: exchange.into(), permissions };
    call.broker().command(command).await.map_err(refused)?;
    Ok(Answer::put(is_new))
}

/// `DELETE /topic-permissions/V/U` and `…/X`
pub async fn delete_topics(call: &Call) -> Outcome {
    let is_there = !named_topics(call, &call.broker().catalog()).is_empty();
    if !is_there {
        return Err(Refusal::absent());
    }
    let (vhost, user) = names(call);
    let exchange = Some(call.exchange("exchange")).filter(|_| has_exchange(call)).map(Into::into);
    call.administer(Administration::ClearTopicPermissions { vhost, user, exchange }).await?;
    Ok(Answer::done())
}

/// The permissions of one or all users, sorted by virtual host and user.
fn permissions(catalog: &Catalog, of: Option<&UserInfo>, which: impl Fn(VhostId) -> bool) -> Vec<Object> {
    let mut found = Vec::new();
    for user in catalog.users().filter(|user| of.is_none_or(|of| of.id == user.id)) {
        for (&vhost, access) in user.access.iter().filter(|(vhost, _)| which(**vhost)) {
            found.extend(access.permissions().map(|permissions| (catalog.vhost_name(vhost), &user.name, permissions)));
        }
    }
    found.sort_unstable_by_key(|(vhost, user, _)| (*vhost, *user));
    let as_object = |(vhost, user, Permissions { configure, write, read }): (_, _, &_)| {
        object(json!({ "user": user, "vhost": vhost, "configure": configure, "write": write, "read": read }))
    };
    found.into_iter().map(as_object).collect()
}

/// The permissions for topics of one or all users, sorted by virtual host, user and exchange.
fn topic_permissions(catalog: &Catalog, of: Option<&UserInfo>, which: impl Fn(VhostId) -> bool) -> Vec<Object> {
    let mut found = Vec::new();
    for user in catalog.users().filter(|user| of.is_none_or(|of| of.id == user.id)) {
        for (&vhost, access) in user.access.iter().filter(|(vhost, _)| which(**vhost)) {
            found.extend(access.topic_permissions().map(|(exchange, topics)| (catalog.vhost_name(vhost), &user.name, exchange, topics)));
        }
    }
    found.sort_unstable_by_key(|(vhost, user, exchange, _)| (*vhost, *user, *exchange));
    let as_object = |(vhost, user, exchange, TopicPermissions { write, read }): (_, _, _, &_)| {
        object(json!({ "user": user, "vhost": vhost, "exchange": exchange, "write": write, "read": read }))
    };
    found.into_iter().map(as_object).collect()
}

/// The permissions for topics that the path names: of one exchange, or of all.
fn named_topics(call: &Call, catalog: &Catalog) -> Vec<Object> {
    let Some((user, vhost)) = named(call, catalog) else { return Vec::new() };
    let mut found = topic_permissions(catalog, Some(user), |other| other == vhost);
    if has_exchange(call) {
        found.retain(|topics| topics.get("exchange").is_some_and(|exchange| exchange == call.exchange("exchange")));
    }
    found
}

fn has_exchange(call: &Call) -> bool {
    call.variables.iter().any(|(name, _)| *name == "exchange")
}

fn named<'a>(call: &Call, catalog: &'a Catalog) -> Option<(&'a UserInfo, VhostId)> {
    Some((catalog.user_by_name(call.variable("user"))?, catalog.vhost_by_name(call.variable("of-vhost"))?))
}

fn names(call: &Call) -> (Box<str>, Box<str>) {
    (call.variable("of-vhost").into(), call.variable("user").into())
}

fn unknown() -> Refusal {
    Refusal::bad_request("vhost_or_user_not_found")
}

/// A wrong pattern, as RabbitMQ's kind of error.
fn refused(fault: Fault) -> Refusal {
    match fault.text.strip_prefix("invalid regexp: ") {
        Some(why) => Refusal::bad_request(format!("invalid_regexp: {why}")),
        None => fault.into(),
    }
}

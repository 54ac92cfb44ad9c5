//! Users.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::call::Call;
use super::object::{Object, object};
use crate::broker::access::SALT;
use crate::broker::catalog::UserInfo;
use crate::contract::{Administration, Hashing, Limit, Password, PasswordHash, UserSpec};
use crate::management::http::{Answer, Body, Outcome, Params, Refusal};
use crate::management::login::{self, Needs, Origin};

/// `GET /whoami`
pub async fn whoami(call: &Call) -> Outcome {
    let (name, tags) = (&call.login.name, call.login.tags());
    Ok(Answer::one(json!({ "name": name, "tags": tags, "is_internal_user": true })))
}

/// `POST /login`: reads a form with `username` and `password`.
pub async fn log_in(call: &Call) -> Outcome {
    let form = Params::parse(&String::from_utf8_lossy(&call.body));
    let (name, password) = (form.get("username").unwrap_or_default(), form.get("password").unwrap_or_default());
    let login = match &call.origin {
        Origin::Local => call.login.clone(),
        Origin::Remote(peer) => {
            let broker = call.broker();
            if !broker.config().management.basic_auth {
                return Err(Refusal::wrong_login());
            }
            let login = login::of_user(&broker.catalog(), broker.config(), *peer, (name, password), &call.site.attempts)?;
            login.check(Needs::Management)?;
            login
        }
    };
    let token = BASE64_STANDARD.encode(format!("{name}:{password}"));
    Ok(Answer::one(json!({
        "user": { "name": login.name, "tags": login.tags(), "is_internal_user": true },
        "token": { "type": "basic", "value": token },
    })))
}

/// `GET /users`
pub async fn list(call: &Call) -> Outcome {
    Ok(users(call, |_| true))
}

/// `GET /users/without-permissions`
pub async fn without_permissions(call: &Call) -> Outcome {
    Ok(users(call, |user| user.access.values().all(|access| access.permissions().is_none())))
}

fn users(call: &Call, which: impl Fn(&UserInfo) -> bool) -> Answer {
    let catalog = call.broker().catalog();
    let mut users: Vec<&UserInfo> = catalog.users().filter(|user| which(user)).collect();
    users.sort_unstable_by_key(|user| &user.name);
    Answer::list(users.into_iter().map(user_object))
}

/// `GET /users/U`
pub async fn get(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    catalog.user_by_name(call.variable("user")).map(|user| Answer::one(user_object(user))).ok_or_else(Refusal::absent)
}

/// `PUT /users/U`
pub async fn put(call: &Call) -> Outcome {
    let (name, body) = (call.variable("user"), call.object()?);
    let Some(tags) = body.tags("tags")? else { return Err(Refusal::bad_request("tags_not_present")) };
    let is_new = call.broker().catalog().user_by_name(name).is_none();
    let spec = UserSpec { name: name.into(), password: Some(password(&body)?), tags: Some(tags) };
    call.administer(Administration::PutUser(spec)).await?;
    Ok(Answer::put(is_new))
}

/// Reads the password; without one, no password is right.
fn password(body: &Body) -> Result<Password, Refusal> {
    if body.0.get("password").is_some_and(serde_json::Value::is_null) {
        return Err(Refusal::bad_request("not_string: password"));
    }
    let none = Password::Hashed(PasswordHash::default());
    match (body.text("password")?, body.text("password_hash")?) {
        (Some(_), Some(_)) => Err(Refusal::bad_request("both_password_and_password_hash_are_provided")),
        (Some(""), None) | (None, Some("") | None) => Ok(none),
        (Some(password), None) => Ok(Password::Plain(password.as_bytes().into())),
        (None, Some(hash)) => {
            let hashing = match body.text("hashing_algorithm")? {
                None => Hashing::default(),
                Some(name) => Hashing::named(name).ok_or_else(|| Refusal::bad_request(format!("unknown hashing algorithm: {name}")))?,
            };
            let hash = PasswordHash::from_base64(hashing, hash).ok_or_else(|| Refusal::bad_request(format!("not_base64: {hash}")))?;
            Ok(Password::Hashed(hash))
        }
    }
}

/// `DELETE /users/U`
pub async fn delete(call: &Call) -> Outcome {
    let name = call.variable("user");
    call.broker().catalog().user_by_name(name).map(drop).ok_or_else(Refusal::absent)?;
    call.administer(Administration::DeleteUser { name: name.into() }).await?;
    Ok(Answer::done())
}

/// `POST /users/bulk-delete`
pub async fn delete_many(call: &Call) -> Outcome {
    let body = call.object()?;
    body.need(&["users"])?;
    let users = body.get("users").and_then(|users| users.as_array()?.iter().map(|user| user.as_str()).collect::<Option<Vec<_>>>());
    for name in users.ok_or_else(|| Refusal::bad_request("'users' is not a list of names"))? {
        let is_there = call.broker().catalog().user_by_name(name).is_some();
        if is_there {
            call.administer(Administration::DeleteUser { name: name.into() }).await?;
        }
    }
    Ok(Answer::done())
}

/// `GET /auth/hash_password/P`
pub async fn hash_password(call: &Call) -> Outcome {
    let random = call.site.host.random();
    let salt: [u8; SALT] = std::array::from_fn(|at| random[at]);
    let hash = PasswordHash::new(Hashing::default(), salt, call.variable("password").as_bytes());
    Ok(Answer::one(json!({ "ok": hash.to_base64() })))
}

fn user_object(user: &UserInfo) -> Object {
    object(json!({
        "name": user.name,
        "password_hash": user.password.to_base64(),
        "hashing_algorithm": user.password.hashing.name(),
        "tags": user.tags,
        "limits": limits([("max-connections", user.limits.max_connections), ("max-channels", user.limits.max_channels)]),
    }))
}

/// The limits that are set, by name.
pub fn limits(limits: [(&str, Limit); 2]) -> Object {
    limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?.into()))).collect()
}

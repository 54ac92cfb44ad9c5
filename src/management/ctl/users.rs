//! The check of a user's name and password for operators.

use hyper::StatusCode;
use serde_json::json;

use crate::broker::access;
use crate::management::api::Call;
use crate::management::http::{Answer, Outcome, Refusal};

/// `POST /ctl/authentication`. The user needs no tag, and it does not matter from where it would come.
pub async fn authenticate(call: &Call) -> Outcome {
    let body = call.object()?;
    let (name, password) = (body.text("username")?.unwrap_or_default(), body.text("password")?.unwrap_or_default());
    let catalog = call.broker().catalog();
    let user = access::authenticate(&catalog, name, password.as_bytes(), &[])
        .map_err(|failure| Refusal::told(StatusCode::UNAUTHORIZED, "not_authorized", failure.text(name)))?;
    let tags = catalog.user(user.id).map(|user| &*user.tags).unwrap_or_default();
    Ok(Answer::one(json!({ "name": user.name, "tags": tags })))
}

//! The API: one file for each kind of object, and the [table](table) of routes.
//!
//! ```text
//! path, method ─ table ─▶ route, action ─ login, tags, virtual host ─▶ handler ─▶ Answer or Refusal
//! ```

mod amqp_json;
mod bindings;
mod call;
mod channels;
mod connections;
mod consumers;
mod definitions;
mod exchanges;
mod features;
mod health;
mod limits;
mod messages;
mod names;
mod nodes;
mod object;
mod others;
mod overview;
mod parameters;
mod permissions;
mod policies;
mod queue_object;
mod queues;
mod reference;
mod replicas;
mod route;
mod table;
mod users;
mod vhosts;

pub use call::Call;
pub use others::unknown;
pub(in crate::management) use parameters::cluster_id;
pub use reference::page as reference_page;
pub use route::{Action, Route, Variables, Verb};
pub(in crate::management) use route::{find as find_route, routes};

use hyper::Method;

use super::http::{Outcome, Refusal};

/// Finds the route of the segments behind `/api/`.
pub fn find(segments: &[String]) -> Option<(&'static Route, Variables)> {
    route::find(table::TABLES, segments)
}

/// Carries out an action, after the checks that its route demands.
pub async fn perform(action: &Action, call: &Call) -> Outcome {
    check_vhost(call)?;
    (action.run)(call).await
}

/// Checks that the virtual host of the path exists and that the asker may open it.
fn check_vhost(call: &Call) -> Result<(), Refusal> {
    let Some((_, name)) = call.variables.iter().find(|(known, _)| *known == "vhost") else { return Ok(()) };
    let catalog = call.broker().catalog();
    match catalog.vhost_by_name(name) {
        Some(vhost) if call.login.may_open(&catalog, vhost) => Ok(()),
        None if call.login.is_administrator() && matches!(call.method, Method::PUT | Method::POST) => {
            Err(Refusal::not_found("vhost_not_found"))
        }
        None if call.login.is_administrator() => Err(Refusal::absent()),
        _ => Err(Refusal::not_found("Not Found")),
    }
}

//! Replicas of quorum queues: a broker of one node has one of each.

use serde_json::{Value, json};

use super::call::Call;
use super::nodes::check_node;
use super::object::object;
use crate::broker::catalog::is_quorum;
use crate::management::http::{Answer, Outcome, Refusal};
use hyper::StatusCode;

/// `GET /queues/quorum/V/Q/status`
pub async fn status(call: &Call) -> Outcome {
    check_queue(call)?;
    let unknown = ["Last Log Index", "Last Written", "Last Applied", "Commit Index", "Snapshot Index", "Term", "Machine Version"];
    let mut status = object(json!({ "Node Name": call.site.node(), "Raft State": "leader", "Membership": "voter" }));
    status.extend(unknown.into_iter().map(|key| (key.to_owned(), Value::from(""))));
    Ok(Answer::list([status]))
}

/// `POST /queues/quorum/V/Q/replicas/add`
pub async fn add(call: &Call) -> Outcome {
    check_queue(call)?;
    let body = call.object()?;
    body.need(&["node"])?;
    match body.text("node")? {
        Some(node) if node == call.site.node() => Ok(Answer::done()),
        _ => Err(Refusal::bad_request("Node is not a cluster member")),
    }
}

/// `DELETE /queues/quorum/V/Q/replicas/delete`
pub async fn delete(call: &Call) -> Outcome {
    check_queue(call)?;
    Err(Refusal::unavailable("last_node"))
}

/// `POST /queues/quorum/replicas/on/N/grow`
pub async fn grow(call: &Call) -> Outcome {
    check_node(call)?;
    Ok(Answer::done())
}

/// `DELETE /queues/quorum/replicas/on/N/shrink`
pub async fn shrink(call: &Call) -> Outcome {
    check_node(call)?;
    Ok(Answer::bare(StatusCode::ACCEPTED))
}

fn check_queue(call: &Call) -> Result<(), Refusal> {
    let catalog = call.broker().catalog();
    let queue = call.queue(&catalog).map_err(|_| Refusal::unavailable("not_found"))?;
    if is_quorum(&queue.spec.arguments) { Ok(()) } else { Err(Refusal::unavailable("classic_queue_not_supported")) }
}

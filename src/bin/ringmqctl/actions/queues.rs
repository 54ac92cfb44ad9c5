//! Work on queues: purging, deleting, and the replicas of quorum queues.

use fancy_regex::Regex;
use hyper::Method;
use serde_json::{Value, json};

use crate::actions::{Action, done};
use crate::call::Call;
use crate::client::path;
use crate::failure::{DATA, Failure, Result, USAGE};
use crate::format::Output;
use crate::term::Term;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("add_member", |call| change_members(call, Method::POST, "add")).checked(check_member),
    Action::new("delete_member", |call| change_members(call, Method::DELETE, "delete")),
    Action::new("delete_queue", delete),
    Action::new("force_checkpoint", force_checkpoint),
    Action::new("grow", grow),
    Action::new("grow_to_count", |_| Ok(Output::List(Vec::new()))),
    Action::new("metadata_store_status", metadata_store_status),
    Action::new("peek", peek),
    Action::new("purge_queue", purge),
    Action::new("quorum_status", quorum_status),
    Action::new("rebalance", rebalance),
    Action::new("reclaim_quorum_memory", reclaim_memory),
    Action::new("shrink", shrink),
    Action::new("transfer_leadership", transfer_leadership),
];

fn purge(call: &Call) -> Result<Output> {
    let answer = call.send(Method::DELETE, &["api", "queues", call.vhost(), call.argument(0), "contents"], None)?;
    if answer.status == 404 {
        return Err(Failure::plain(DATA, "Object (queue, stream, exchange, etc) was not found"));
    }
    answer.accepted().and_then(done)
}

fn delete(call: &Call) -> Result<Output> {
    let queue = ["api", "queues", call.vhost(), call.argument(0)];
    let missing = || Failure::error(USAGE, "No such queue was found");
    let found = call.send(Method::GET, &queue, None)?;
    if found.status == 404 {
        return Err(missing());
    }
    let ready = found.accepted()?["messages_ready"].as_u64().unwrap_or_default();
    let conditions: Vec<String> =
        ["if-empty", "if-unused"].into_iter().filter(|name| call.given.is(name)).map(|name| format!("{name}=true")).collect();
    let answer = call.client.send(Method::DELETE, &format!("{}?{}", path(&queue), conditions.join("&")), None, None)?;
    if answer.status == 404 {
        return Err(missing());
    }
    answer.accepted().map(|_: Value| Output::Text(format!("Queue was successfully deleted with {ready} ready messages")))
}

/// Returns a quorum queue, the first argument.
fn quorum_queue(call: &Call) -> Result<Value> {
    let name = call.argument(0);
    let answer = call.send(Method::GET, &["api", "queues", call.vhost(), name], None)?;
    if answer.status == 404 {
        return Err(Failure::plain(DATA, format!("queue '{name}' was not found in virtual host '{}'", call.vhost())));
    }
    let queue = answer.accepted()?;
    match queue["type"].as_str() {
        Some("quorum") => Ok(queue),
        Some(kind) => Err(Failure::refused(format!("{{:unsupported, :rabbit_{kind}_queue}}"))),
        None => Err(Failure::refused("the type of the queue is not known")),
    }
}

fn quorum_status(call: &Call) -> Result<Output> {
    quorum_queue(call)?;
    let members = call.list(&["api", "queues", "quorum", call.vhost(), call.argument(0), "status"])?;
    let row = |member: &Value| MEMBER.iter().map(|&column| (column.to_owned(), Term::from(&member[column]))).collect();
    Ok(Output::Rows(members.iter().map(row).collect()))
}

const MEMBER: &[&str] = &[
    "Node Name",
    "Raft State",
    "Membership",
    "Last Log Index",
    "Last Written",
    "Last Applied",
    "Commit Index",
    "Snapshot Index",
    "Term",
    "Machine Version",
];

/// Shows that the node is the whole cluster, and so the leader of the metadata store.
fn metadata_store_status(call: &Call) -> Result<Output> {
    let row = vec![
        ("Node Name".to_owned(), Term::atom(call.node()?.name.clone())),
        ("Raft State".to_owned(), Term::atom("leader")),
        ("Membership".to_owned(), Term::atom("voter")),
    ];
    Ok(Output::Rows(vec![row]))
}

fn peek(call: &Call) -> Result<Output> {
    match quorum_queue(call) {
        Ok(_) => Err(Failure::refused("Peeking is not supported: get a message with requeue by the HTTP API")),
        Err(Failure::Error { .. }) => Err(Failure::refused("Cannot peek into a classic queue")),
        Err(Failure::Plain { .. }) => Err(Failure::refused(format!("Target queue was not found in virtual host '{}'", call.vhost()))),
        Err(failure) => Err(failure),
    }
}

/// Returns the queues of a kind whose names and virtual hosts match the patterns that are given.
fn matching(call: &Call, kind: &str) -> Result<Vec<Value>> {
    let pattern =
        |option: &str| Regex::new(call.given.value(option).unwrap_or(".*")).map_err(|error| Failure::bad_argument(error.to_string()));
    let (vhost, name) = (pattern("vhost-pattern")?, pattern("queue-pattern")?);
    let matches = |pattern: &Regex, value: &Value| pattern.is_match(value.as_str().unwrap_or_default()).unwrap_or(false);
    let mut queues = call.list(&["api", "queues"])?;
    queues.retain(|queue| queue["type"] == kind && matches(&vhost, &queue["vhost"]) && matches(&name, &queue["name"]));
    Ok(queues)
}

fn rebalance(call: &Call) -> Result<Output> {
    let kinds: &[(&str, &str)] = match call.argument(0) {
        "all" => &[("quorum", "Number of quorum queues"), ("stream", "Number of streams")],
        "quorum" => &[("quorum", "Number of quorum queues")],
        "stream" => &[("stream", "Number of streams")],
        other => return Err(Failure::refused(format!("type {other} is not supported. Try one of all, quorum, stream."))),
    };
    call.send(Method::POST, &["api", "rebalance", "queues"], None)?.accepted()?;
    let mut rows = Vec::new();
    for node in call.list(&["api", "nodes"])? {
        let mut row = vec![("Node name".to_owned(), Term::from(&node["name"]))];
        for (kind, title) in kinds {
            let led = matching(call, kind)?.iter().filter(|queue| queue["leader"] == node["name"]).count();
            row.push(((*title).to_owned(), Term::Integer(i64::try_from(led).unwrap_or(i64::MAX))));
        }
        rows.push(row);
    }
    Ok(Output::Rows(rows))
}

fn force_checkpoint(call: &Call) -> Result<Output> {
    let row = |queue: &Value| {
        vec![
            ("vhost".to_owned(), Term::from(&queue["vhost"])),
            ("name".to_owned(), Term::from(&queue["name"])),
            ("result".to_owned(), Term::text("{ok}")),
        ]
    };
    Ok(Output::Rows(matching(call, "quorum")?.iter().map(row).collect()))
}

fn reclaim_memory(call: &Call) -> Result<Output> {
    match quorum_queue(call) {
        Err(Failure::Error { .. }) => Err(Failure::refused("This operation is not applicable to classic queues")),
        queue => queue.map(|_| Output::Done),
    }
}

/// Checks that the second argument is a node of the cluster.
fn check_member(call: &Call) -> Result<()> {
    call.require_running()?;
    let node = call.argument(1);
    match call.list(&["api", "nodes"])?.iter().any(|member| member["name"] == node) {
        true => Ok(()),
        false => Err(Failure::State(format!("node {node} is not a member of the cluster"))),
    }
}

fn change_members(call: &Call, method: Method, verb: &str) -> Result<Output> {
    quorum_queue(call)?;
    let (queue, node) = (call.argument(0), call.argument(1));
    let path = ["api", "queues", "quorum", call.vhost(), queue, "replicas", verb];
    call.send(method, &path, Some(&json!({ "node": node })))?.accepted().and_then(done)
}

fn grow(call: &Call) -> Result<Output> {
    let body = json!({
        "strategy": call.argument(1),
        "vhost_pattern": call.given.value("vhost-pattern").unwrap_or(".*"),
        "queue_pattern": call.given.value("queue-pattern").unwrap_or(".*"),
    });
    call.send(Method::POST, &["api", "queues", "quorum", "replicas", "on", call.argument(0), "grow"], Some(&body))?.accepted()?;
    Ok(Output::List(Vec::new()))
}

fn shrink(call: &Call) -> Result<Output> {
    let node = call.argument(0);
    let answer = call.send(Method::DELETE, &["api", "queues", "quorum", "replicas", "on", node, "shrink"], None)?;
    if answer.status == 404 {
        return Err(Failure::refused(format!("{{:node_not_running, :{node}}}")));
    }
    answer.accepted().map(|_| Output::List(Vec::new()))
}

fn transfer_leadership(call: &Call) -> Result<Output> {
    match quorum_queue(call)?["leader"] == call.argument(1) {
        true => Err(Failure::refused("The target node is already the leader of this queue")),
        false => Err(Failure::refused(format!("node {} is not a member of the queue", call.argument(1)))),
    }
}

//! Starting, stopping and resetting the broker, maintenance, and the membership of a cluster.

use std::fs;

use hyper::Method;
use serde_json::json;

use crate::actions::node::until_gone;
use crate::actions::{Action, done};
use crate::call::Call;
use crate::failure::{Failure, Result, UNAVAILABLE, USAGE};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("drain", |call| call.put(&["ctl", "maintenance"], &json!({})).and_then(done)),
    Action::stopped("force_boot", |_| Ok(Output::Done)),
    Action::stopped("force_reset", |call| reset(call, true)),
    Action::stopped("force_standalone_khepri_boot", |_| Ok(Output::Done)),
    Action::new("forget_cluster_node", forget),
    Action::anytime("join_cluster", join).checked(check_join),
    Action::new("post_upgrade", |call| call.send(Method::POST, &["api", "rebalance", "queues"], None)?.accepted().and_then(done)),
    Action::anytime("rename_cluster_node", |_| Ok(Output::Done)),
    Action::stopped("reset", |call| reset(call, false)),
    Action::new("resume_listeners", |call| call.delete(&["ctl", "suspension"]).and_then(done)),
    Action::new("revive", |call| call.delete(&["ctl", "maintenance"]).and_then(done)),
    Action::anytime("shutdown", shut_down),
    Action::anytime("start_app", start_app),
    Action::anytime("stop", stop),
    Action::anytime("stop_app", |call| set_app(call, "stopped")),
    Action::new("suspend_listeners", |call| call.put(&["ctl", "suspension"], &json!({})).and_then(done)),
    Action::stopped("update_cluster_nodes", |_| Ok(Output::Done)),
];

fn start_app(call: &Call) -> Result<Output> {
    if call.node()?.is_running() { Ok(Output::Done) } else { set_app(call, "running") }
}

fn set_app(call: &Call, state: &str) -> Result<Output> {
    call.put(&["ctl", "app"], &json!({ "state": state })).and_then(done)
}

fn reset(call: &Call, is_forced: bool) -> Result<Output> {
    let answer = call.send(Method::POST, &["ctl", "reset"], Some(&json!({ "force": is_forced })))?;
    if answer.status == 409 { Err(Failure::app_running()) } else { answer.accepted().and_then(done) }
}

/// Asks the broker to end. Returns its process.
fn end(call: &Call) -> Result<Option<u32>> {
    let pid = call.node()?.pid;
    call.send(Method::POST, &["ctl", "shutdown"], None)?.accepted()?;
    Ok(pid)
}

fn stop(call: &Call) -> Result<Output> {
    let file = call.given.arguments.first();
    let named = file.map(|file| fs::read_to_string(file).map_err(|error| unreadable(file, &error.to_string()))).transpose()?;
    let pid = match end(call) {
        Err(Failure::Unreachable { .. }) if call.given.is("idempotent") => {
            return Ok(Output::Text(format!("Node {} is no longer running", call.node_name())));
        }
        ended => ended?,
    };
    let Some((file, named)) = file.zip(named) else {
        pid.map_or(Ok(()), |pid| until_gone(call, pid))?;
        return Ok(Output::Done);
    };
    let named = named.trim().parse().map_err(|_| unreadable(file, named.trim()))?;
    until_gone(call, named)?;
    Ok(Output::Text(format!("process {named} (take from pid file {file}) is no longer running")))
}

fn unreadable(file: &str, why: &str) -> Failure {
    Failure::error(UNAVAILABLE, format!("could not read pid from file {file}. Error: {why}"))
}

fn shut_down(call: &Call) -> Result<Output> {
    let name = call.node()?.name.clone();
    let pid = call.node()?.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
    if call.given.is_not("wait") {
        return end(call).map(|_| Output::Done);
    }
    call.say(&format!("Shutting down RabbitMQ node {name} running at PID {pid}"));
    let process = end(call)?;
    call.say(&format!("Waiting for PID {pid} to terminate"));
    process.map_or(Ok(()), |pid| until_gone(call, pid))?;
    Ok(Output::Text(format!("RabbitMQ node {name} running at PID {pid} successfully shut down")))
}

fn check_join(call: &Call) -> Result<()> {
    match call.given.is("ram") {
        true => Err(Failure::usage("RAM nodes are not supported.")),
        false => Ok(()),
    }
}

fn join(call: &Call) -> Result<Output> {
    Err(Failure::error(USAGE, format!("This broker is a cluster of one node: it cannot be clustered with {}", call.argument(0))))
}

fn forget(call: &Call) -> Result<Output> {
    let name = call.argument(0);
    if name == call.node()?.name {
        let text = format!("RabbitMQ on node {name} must be stopped with 'rabbitmqctl -n {name} stop_app' before it can be removed");
        return Err(Failure::refused(text));
    }
    Err(Failure::refused("{:not_a_cluster_node, ~c\"The node selected is not in the cluster.\"}"))
}

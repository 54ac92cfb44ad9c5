//! Figures: attempts to log in, sizes of messages, certificates, and a report of everything.

use std::rc::Rc;

use hyper::Method;
use serde_json::Value;

use crate::actions::{self, Action, done};
use crate::call::Call;
use crate::catalog::Command;
use crate::failure::Result;
use crate::format::Output;
use crate::options::Switches;
use crate::term::{Row, Term};
use crate::tool::Tool;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("certificates", |call| Ok(Output::Term(Term::from(&call.get(&["ctl", "certificates"])?)))),
    Action::new("disable_auth_attempt_source_tracking", |_| Ok(Output::Done)),
    Action::new("enable_auth_attempt_source_tracking", |_| Ok(Output::Done)),
    Action::new("list_node_auth_attempt_stats", attempts),
    Action::new("message_size_stats", message_sizes),
    Action::new("report", report),
    Action::new("reset_node_auth_attempt_metrics", reset_attempts),
];

fn attempts(call: &Call) -> Result<Output> {
    let name = call.node()?.name.as_str();
    let (path, columns): (&[&str], &[&str]) = match call.given.is("by-source") {
        true => (&["api", "auth", "attempts", name, "source"], &["remote_address", "username"]),
        false => (&["api", "auth", "attempts", name], &[]),
    };
    let counts = ["protocol", "auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded"];
    let names = || columns.iter().chain(&counts);
    let row = |item: &Value| names().map(|&column| (column.to_owned(), Term::from(&item[column]))).collect();
    let rows: Vec<Row> = call.list(path)?.iter().map(row).collect();
    match rows.is_empty() && !call.is_terse() {
        true => Ok(Output::Text(format!("Node {name} reported no authentication attempt stats"))),
        false => Ok(Output::Rows(rows)),
    }
}

fn reset_attempts(call: &Call) -> Result<Output> {
    call.send(Method::DELETE, &["api", "auth", "attempts", &call.node()?.name], None)?.accepted().and_then(done)
}

fn message_sizes(call: &Call) -> Result<Output> {
    let buckets = call.get(&["ctl", "message-sizes"])?.as_array().cloned().unwrap_or_default();
    let count = |bucket: &Value| bucket["count"].as_u64().unwrap_or_default();
    let total = buckets.iter().map(count).sum::<u64>().max(1);
    let row = |(bucket, name): (&Value, &&str)| {
        let share = count(bucket) as f64 / total as f64 * 100.0;
        vec![
            ("Message Size".to_owned(), Term::text(*name)),
            ("Count".to_owned(), Term::from(&bucket["count"])),
            ("Percentage".to_owned(), Term::text(format!("{share:.2}"))),
        ]
    };
    Ok(Output::Rows(buckets.iter().zip(SIZES).map(row).collect()))
}

const SIZES: &[&str] = &[
    "below 100B",
    "between 100B and 1KB",
    "between 1KB and 10KB",
    "between 10KB and 100KB",
    "between 100KB and 1MB",
    "between 1MB and 10MB",
    "between 10MB and 50MB",
    "between 50MB and 100MB",
    "above 100MB",
];

/// Performs the commands whose output support needs, one after the other.
fn report(call: &Call) -> Result<Output> {
    let mut vhosts = Vec::new();
    for vhost in call.list(&["api", "vhosts"])? {
        vhosts.extend(vhost["name"].as_str().map(str::to_owned));
    }
    for name in GENERAL {
        part(call, name, &[])?;
    }
    for vhost in &vhosts {
        for name in OF_VHOST {
            part(call, name, &["--vhost".to_owned(), vhost.clone()])?;
        }
    }
    Ok(Output::Nothing)
}

fn part(call: &Call, name: &str, words: &[String]) -> Result<()> {
    let (Some(action), Some(command)) = (actions::find(name), Command::find(Tool::called(""), name)) else { return Ok(()) };
    let mut given = command.switches().and(&Switches::common()).parse(words);
    given.arguments.clear();
    let part = Call::new(command, given, Rc::clone(&call.client));
    part.say("");
    actions::perform(action, &part)
}

const GENERAL: &[&str] = &["status", "cluster_status", "environment", "list_connections", "list_channels"];
const OF_VHOST: &[&str] = &[
    "list_queues",
    "list_exchanges",
    "list_bindings",
    "list_consumers",
    "list_permissions",
    "list_policies",
    "list_global_parameters",
    "list_parameters",
];

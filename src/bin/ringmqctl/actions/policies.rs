//! Policies and operator policies.

use fancy_regex::Regex;
use hyper::Method;
use serde_json::{Value, json};

use crate::actions::{self, Action, done};
use crate::call::Call;
use crate::failure::{Failure, Result};
use crate::format::Output;
use crate::term::{Row, Term};

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("clear_operator_policy", |call| clear(call, OPERATOR)),
    Action::new("clear_policy", |call| clear(call, USER)),
    Action::new("list_operator_policies", |call| list(call, OPERATOR)),
    Action::new("list_operator_policies_with_classic_queue_mirroring", |call| list_mirroring(call, OPERATOR)),
    Action::new("list_policies", |call| list(call, USER)),
    Action::new("list_policies_that_match", list_matching),
    Action::new("list_policies_with_classic_queue_mirroring", |call| list_mirroring(call, USER)),
    Action::new("check_if_cluster_has_classic_queue_mirroring_policy", check_mirroring),
    Action::new("remove_classic_queue_mirroring_from_policies", remove_mirroring),
    Action::new("set_operator_policy", |call| set(call, OPERATOR)),
    Action::new("set_policy", |call| set(call, USER)),
];

const USER: &str = "policies";
const OPERATOR: &str = "operator-policies";

fn set(call: &Call, kind: &str) -> Result<Output> {
    let body = json!({
        "pattern": call.argument(1),
        "definition": actions::json(call.argument(2))?,
        "priority": call.given.number("priority").unwrap_or_default(),
        "apply-to": call.given.value("apply-to").unwrap_or("all"),
    });
    let answer = call.send(Method::PUT, &["api", kind, call.vhost(), call.argument(0)], Some(&body))?;
    if answer.status == 404 { Err(Failure::no_vhost(call.vhost())) } else { answer.accepted().and_then(done) }
}

fn clear(call: &Call, kind: &str) -> Result<Output> {
    let answer = call.send(Method::DELETE, &["api", kind, call.vhost(), call.argument(0)], None)?;
    if answer.status == 404 { Err(Failure::refused("Parameter does not exist")) } else { answer.accepted().and_then(done) }
}

fn list(call: &Call, kind: &str) -> Result<Output> {
    let policies = call.list_in_vhost(&["api", kind, call.vhost()])?;
    Ok(Output::List(policies.iter().map(row).collect()))
}

fn row(policy: &Value) -> Row {
    let columns = ["vhost", "name", "pattern", "apply-to", "definition", "priority"];
    let cell = |column: &str| if column == "definition" { Term::json(&policy[column]) } else { Term::from(&policy[column]) };
    columns.iter().map(|&column| (column.to_owned(), cell(column))).collect()
}

/// Lists the policies that match the name of a queue or an exchange, the one in force first.
fn list_matching(call: &Call) -> Result<Output> {
    let (name, kind) = (call.argument(0), call.given.value("object-type").unwrap_or("queue"));
    let is_for = |policy: &&Value| match policy["apply-to"].as_str().unwrap_or("all") {
        "all" => true,
        "exchanges" => kind == "exchange",
        _ => kind == "queue",
    };
    let matches = |policy: &&Value| {
        let pattern = Regex::new(policy["pattern"].as_str().unwrap_or_default());
        pattern.is_ok_and(|pattern| pattern.is_match(name).unwrap_or(false))
    };
    let policies = call.list(&["api", USER, call.vhost()])?;
    let mut matching: Vec<&Value> = policies.iter().filter(is_for).filter(matches).collect();
    matching.sort_by_key(|policy| std::cmp::Reverse(policy["priority"].as_i64()));
    let with_pairs = |policy: &Value| {
        let mut row = row(policy);
        row.iter_mut().filter(|(name, _)| name == "definition").for_each(|(_, cell)| *cell = Term::pairs(&policy["definition"]));
        row
    };
    Ok(Output::Rows(matching.into_iter().map(with_pairs).collect()))
}

fn mirroring(call: &Call, kind: &str) -> Result<Vec<Value>> {
    let mut policies = call.list(&["api", kind])?;
    policies.retain(|policy| policy["definition"].as_object().is_some_and(|definition| definition.keys().any(|key| is_mirroring(key))));
    Ok(policies)
}

fn is_mirroring(key: &str) -> bool {
    key.starts_with("ha-")
}

fn list_mirroring(call: &Call, kind: &str) -> Result<Output> {
    Ok(Output::Rows(mirroring(call, kind)?.iter().map(row).collect()))
}

fn check_mirroring(call: &Call) -> Result<Output> {
    match mirroring(call, USER)?.len() + mirroring(call, OPERATOR)?.len() {
        0 => Ok(Output::Text("Cluster reported no policies that enable classic queue mirroring".into())),
        _ => Err(Failure::unhealthy("Cluster has policies that enable classic queue mirroring")),
    }
}

fn remove_mirroring(call: &Call) -> Result<Output> {
    for kind in [USER, OPERATOR] {
        for mut policy in mirroring(call, kind)? {
            if let Some(definition) = policy["definition"].as_object_mut() {
                definition.retain(|key, _| !is_mirroring(key));
            }
            let text = |key: &str| policy[key].as_str().unwrap_or_default().to_owned();
            let (vhost, name) = (text("vhost"), text("name"));
            let is_empty = policy["definition"].as_object().is_none_or(serde_json::Map::is_empty);
            let path = ["api", kind, &vhost, &name];
            if is_empty {
                call.delete(&path)?
            } else {
                call.put(&path, &policy)?
            };
        }
    }
    Ok(Output::Done)
}

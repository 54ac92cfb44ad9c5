//! Lists whose columns are chosen by arguments: queues, exchanges, bindings, consumers, connections,
//! channels, virtual hosts.
//!
//! A list is a table of columns, each with the place of its value in the API's objects. The API is
//! asked for these places only, so that a broker with many queues computes and sends no more. The
//! tables stand in `tables.rs`.

mod tables;

use hyper::Method;
use serde_json::Value;

use crate::actions::Action;
use crate::call::Call;
use crate::client::{encoded, path};
use crate::failure::{Failure, Result};
use crate::format::Output;
use crate::term::{Row, Term};

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("list_amqp10_connections", show).checked(check),
    Action::new("list_bindings", show).checked(check),
    Action::new("list_channels", show).checked(check),
    Action::new("list_connections", show).checked(check),
    Action::new("list_consumers", show).checked(check),
    Action::new("list_exchanges", show).checked(check),
    Action::new("list_feature_flags", show).checked(check),
    Action::new("list_mqtt_connections", show).checked(check),
    Action::new("list_stomp_connections", show).checked(check),
    Action::new("list_vhosts", show).checked(check),
    Action::new("list_web_mqtt_connections", show).checked(check),
    Action::new("list_deprecated_features", list_deprecated).checked(check),
    Action::new("list_queues", list_queues).checked(check),
    Action::new("list_unresponsive_queues", |_| Ok(Output::Rows(Vec::new()))),
];

/// A list.
struct List {
    /// The collection of the API.
    collection: &'static [&'static str],
    /// Whether it is asked for one virtual host.
    is_of_vhost: bool,
    /// Keys that are needed beside the columns.
    keys: &'static [&'static str],
    /// Whether an object belongs to the list.
    holds: fn(&Value) -> bool,
    /// The columns if none are chosen.
    usual: &'static str,
    columns: &'static [Column],
}

/// A column: its name, the place of the value, and how the value is read.
type Column = (&'static str, &'static str, fn(&Value) -> Term);

/// Returns the list of a command.
fn list_of(call: &Call) -> &'static List {
    let found = tables::LISTS.iter().find(|(name, _)| *name == call.command.name);
    found.map(|(_, list)| *list).expect("every action here that asks for its list has one")
}

/// Returns the columns that are chosen, several of which may stand in one argument.
fn chosen(call: &Call, list: &List) -> Result<Vec<Column>> {
    let given = call.given.arguments.join(" ");
    let names = if given.is_empty() { list.usual } else { &given };
    let (mut columns, mut unknown) = (Vec::new(), Vec::new());
    for name in names.split([' ', ',']).filter(|name| !name.is_empty()) {
        let known = list.columns.iter().chain(tables::REMOVED).find(|(known, ..)| *known == name);
        known.map_or_else(|| unknown.push(name), |column| columns.push(*column));
    }
    match unknown[..] {
        [] => Ok(columns),
        _ => Err(Failure::usage(format!("Info key(s) {} are not supported", unknown.join(",")))),
    }
}

fn check(call: &Call) -> Result<()> {
    chosen(call, list_of(call)).map(|_| ())
}

fn show(call: &Call) -> Result<Output> {
    show_list(call, list_of(call))
}

fn show_list(call: &Call, list: &List) -> Result<Output> {
    let columns = chosen(call, list)?;
    let rows = items(call, list, &columns)?.iter().map(|item| row(item, &columns)).collect();
    Ok(Output::Rows(rows))
}

fn items(call: &Call, list: &List, columns: &[Column]) -> Result<Vec<Value>> {
    let mut segments = vec!["api"];
    segments.extend(list.collection);
    segments.extend(list.is_of_vhost.then_some(call.vhost()));
    let mut keys: Vec<&str> =
        columns.iter().map(|(_, key, _)| *key).chain(list.keys.iter().copied()).filter(|key| !key.is_empty()).collect();
    keys.sort_unstable();
    keys.dedup();
    let answer = call.client.send(Method::GET, &format!("{}?columns={}", path(&segments), encoded(&keys.join(","))), None, None)?;
    if answer.status == 404 {
        return Ok(Vec::new());
    }
    let Value::Array(mut items) = answer.accepted()? else { return Ok(Vec::new()) };
    items.retain(list.holds);
    Ok(items)
}

fn row(item: &Value, columns: &[Column]) -> Row {
    columns.iter().map(|(name, key, read)| ((*name).to_owned(), read(at(item, key)))).collect()
}

/// Returns the value at a path of keys with points between them.
fn at<'a>(item: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(item, |value, key| value.get(key).unwrap_or(&Value::Null))
}

fn list_queues(call: &Call) -> Result<Output> {
    let list = list_of(call);
    let columns = chosen(call, list)?;
    let mut queues = items(call, list, &columns)?;
    let own = if call.given.is("local") { Some(call.node()?.name.as_str()) } else { None };
    let (online, offline) = (call.given.is("online"), call.given.is("offline"));
    queues.retain(|queue| match own {
        Some(own) => queue["node"] == own,
        None => online == offline || online == is_online(queue),
    });
    queues.iter_mut().for_each(name_leader);
    Ok(Output::Rows(queues.iter().map(|queue| row(queue, &columns)).collect()))
}

/// Names the node of a classic queue as its leader and only member.
fn name_leader(queue: &mut Value) {
    if queue["leader"].is_null() {
        queue["leader"] = queue["node"].clone();
        queue["members"] = vec![queue["node"].clone()].into();
    }
}

fn list_deprecated(call: &Call) -> Result<Output> {
    show_list(call, if call.given.is("used") { &tables::USED } else { list_of(call) })
}

fn is_online(queue: &Value) -> bool {
    !matches!(queue["state"].as_str(), Some("down" | "stopped" | "crashed" | "minority"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_a_command() {
        let mut commands: Vec<&str> = ACTIONS.iter().map(|action| action.name).filter(|name| *name != "list_unresponsive_queues").collect();
        commands.sort_unstable();
        let mut lists: Vec<&str> = tables::LISTS.iter().map(|(name, _)| *name).collect();
        lists.sort_unstable();
        assert_eq!(commands, lists);
    }

    #[test]
    fn usual_columns_exist() {
        for (name, list) in tables::LISTS {
            for usual in list.usual.split(' ') {
                assert!(list.columns.iter().any(|(column, ..)| *column == usual), "{name}: {usual}");
            }
        }
    }
}

//! Streams: their connections, publishers and consumers.

use serde_json::{Value, json};

use crate::actions::{Action, done};
use crate::call::Call;
use crate::failure::{Failure, Result};
use crate::format::Output;
use crate::term::{Row, Term};

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("activate_stream_consumer", unsupported),
    Action::new("add_replica", unsupported),
    Action::new("add_super_stream", add_super_stream),
    Action::new("coordinator_status", unsupported),
    Action::new("delete_replica", unsupported),
    Action::new("delete_super_stream", unsupported),
    Action::new("list_stream_connections", |call| list(call, "connections", "node conn_name")),
    Action::new("list_stream_consumer_groups", |_| Ok(Output::Rows(Vec::new()))),
    Action::new("list_stream_consumers", |call| list(call, "consumers", CONSUMERS)),
    Action::new("list_stream_group_consumers", |_| Ok(Output::Rows(Vec::new()))),
    Action::new("list_stream_publishers", |call| list(call, "publishers", PUBLISHERS)),
    Action::new("list_stream_tracking", tracking),
    Action::new("reset_offset", unsupported),
    Action::new("restart_stream", unsupported),
    Action::new("stream_status", unsupported),
];

const CONSUMERS: &str = "subscription_id stream messages_consumed offset offset_lag credits active activity_status properties";
const PUBLISHERS: &str = "publisher_id stream reference messages_published messages_confirmed messages_errored";

fn list(call: &Call, kind: &str, usual: &str) -> Result<Output> {
    let given = call.given.arguments.join(" ");
    let names = if given.is_empty() { usual } else { &given };
    let columns: Vec<&str> = names.split([' ', ',']).filter(|name| !name.is_empty()).collect();
    let items = match kind {
        "connections" => call.list(&["api", "stream", kind])?,
        _ => call.list(&["api", "stream", kind, call.vhost()])?,
    };
    let row = |item: &Value| columns.iter().map(|&column| (column.to_owned(), cell(item, column))).collect::<Row>();
    Ok(Output::Rows(items.iter().map(row).collect()))
}

/// Returns the value of a column, some of which have other names in the API.
fn cell(item: &Value, column: &str) -> Term {
    let value = match column {
        "conn_name" => &item["name"],
        "stream" => &item["queue"]["name"],
        "messages_published" => &item["published"],
        "messages_confirmed" => &item["confirmed"],
        "messages_errored" => &item["errored"],
        "messages_consumed" => &item["consumed"],
        _ => &item[column],
    };
    Term::from(value)
}

fn add_super_stream(call: &Call) -> Result<Output> {
    let mut body = json!({ "partitions": call.given.number("partitions") });
    if let Some(keys) = call.given.value("binding-keys") {
        body = json!({ "binding-keys": keys });
    }
    call.put(&["api", "stream", "super-streams", call.vhost(), call.argument(0)], &body).and_then(done)?;
    Ok(Output::Text(format!("Super stream {} has been created", call.argument(0))))
}

fn tracking(call: &Call) -> Result<Output> {
    let found = call.get(&["api", "stream", call.vhost(), call.argument(0), "tracking"])?;
    let mut rows = Vec::new();
    for (key, kind) in [("offsets", "offset"), ("writers", "writer")] {
        for (name, value) in found[key].as_object().into_iter().flatten() {
            rows.push(vec![
                ("type".to_owned(), Term::atom(kind)),
                ("name".to_owned(), Term::text(name.clone())),
                ("tracking_value".to_owned(), Term::from(value)),
            ]);
        }
    }
    Ok(Output::Rows(rows))
}

fn unsupported(_: &Call) -> Result<Output> {
    Err(Failure::refused("This broker does not support the command"))
}

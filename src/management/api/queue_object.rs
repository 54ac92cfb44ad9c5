//! The JSON of a queue. Every key is always there, whatever its queue has seen so far; kinds of
//! queues differ in some keys.

use serde_json::{Value, json};

use super::call::Call;
use super::object::{Object, extend, object};
use crate::broker::catalog::{Catalog, QueueInfo, is_quorum};
use crate::contract::{PolicyKind, QueueFigures, QueueSpec};
use crate::definitions::arguments::to_json;
use crate::management::measures::{self, COUNTS, History, LENGTHS, OF_QUEUE};
use crate::management::rates::{Subject, Windows};

/// The numbers that are wanted.
#[derive(Clone, Copy)]
pub enum Numbers<'a> {
    /// None: attributes and policies.
    None,
    /// Only the numbers of messages, and no policies.
    Totals(&'a QueueFigures),
    /// All, with samples of these windows.
    All(&'a QueueFigures, Windows),
}

/// Makes the object of a queue.
pub fn queue_object(call: &Call, catalog: &Catalog, queue: &QueueInfo, numbers: Numbers<'_>) -> Object {
    let mut all = attributes(call, catalog, queue);
    match numbers {
        Numbers::None => add_policies(&mut all, call, catalog, queue),
        Numbers::Totals(figures) => {
            let names = LENGTHS.iter().map(|name| (*name).to_owned());
            all.extend(names.zip(measures::lengths(figures.ready, figures.unacked).map(Value::from)));
            all.insert("online".into(), Value::Null);
        }
        Numbers::All(figures, windows) => {
            add_policies(&mut all, call, catalog, queue);
            add_numbers(&mut all, call, queue, figures, windows);
        }
    }
    all
}

/// The keys of [`Numbers::None`].
pub const ATTRIBUTES: [&str; 19] = [
    "name",
    "vhost",
    "type",
    "durable",
    "auto_delete",
    "exclusive",
    "arguments",
    "node",
    "state",
    "policy",
    "operator_policy",
    "effective_policy_definition",
    "internal",
    "internal_owner",
    "storage_version",
    "leader",
    "members",
    "online",
    "delivery_limit",
];

fn attributes(call: &Call, catalog: &Catalog, queue: &QueueInfo) -> Object {
    let QueueSpec { name, durable, exclusive, auto_delete, arguments } = &queue.spec;
    let mut arguments = to_json(arguments.view());
    let kind = arguments.entry("x-queue-type").or_insert_with(|| "classic".into()).clone();
    object(json!({
        "name": name,
        "vhost": catalog.vhost_name(queue.vhost),
        "type": kind,
        "durable": durable,
        "auto_delete": auto_delete,
        "exclusive": exclusive,
        "arguments": arguments,
        "node": call.site.node(),
        "state": "running",
    }))
}

fn add_policies(to: &mut Object, call: &Call, catalog: &Catalog, queue: &QueueInfo) {
    let [user, operator] = PolicyKind::ALL.map(|kind| catalog.policy(kind, queue));
    let definition =
        |policy: Option<&crate::contract::PolicySpec>| policy.map(|policy| to_json(policy.definition.view())).unwrap_or_default();
    let effective = effective(definition(user), definition(operator));
    let (internal, internal_owner) = (false, false);
    extend(
        to,
        json!({
            "policy": user.map(|policy| &policy.name),
            "operator_policy": operator.map(|policy| &policy.name),
            "internal": internal,
            "internal_owner": internal_owner,
        }),
    );
    match is_quorum(&queue.spec.arguments) {
        false => _ = to.insert("storage_version".into(), 2.into()),
        true => extend(
            to,
            json!({
                "leader": call.site.node(),
                "members": [call.site.node()],
                "online": [call.site.node()],
                "delivery_limit": delivery_limit(queue, &effective),
            }),
        ),
    }
    to.insert("effective_policy_definition".into(), effective.into());
}

/// Merges both policies: of two numbers the lower one counts, of other values the operator's.
fn effective(mut user: Object, operator: Object) -> Object {
    for (key, value) in operator {
        match user.get(&key).and_then(Value::as_i64).zip(value.as_i64()) {
            Some((own, limit)) if own < limit => {}
            _ => _ = user.insert(key, value),
        }
    }
    user
}

/// How often a quorum queue delivers a message again; −1: without a limit.
fn delivery_limit(queue: &QueueInfo, policy: &Object) -> i64 {
    let argument = queue.spec.arguments.find("x-delivery-limit").and_then(|limit| limit.as_int());
    let policy = policy.get("delivery-limit").and_then(Value::as_i64);
    match (argument, policy) {
        (Some(argument), Some(policy)) if argument >= 0 && policy >= 0 => argument.min(policy),
        (argument, policy) => argument.or(policy).unwrap_or(DELIVERY_LIMIT),
    }
}

const DELIVERY_LIMIT: i64 = 20;

fn add_numbers(to: &mut Object, call: &Call, queue: &QueueInfo, figures: &QueueFigures, windows: Windows) {
    let rates = call.site.rates.borrow();
    let history = History { series: rates.of(Subject::Queue(queue.addr.queue)), from: 0, window: windows.messages };
    to.insert("message_stats".into(), measures::message_stats(&figures.counts, &OF_QUEUE, history));
    measures::put(to, &LENGTHS, &measures::lengths(figures.ready, figures.unacked), history.at(COUNTS.len(), windows.lengths));
    measures::put(to, &["reductions"], &[0], History::default());
    add_memory(to, queue, figures);
    let capacity = if figures.consumers == 0 { json!(0) } else { finite(figures.consumer_capacity).into() };
    extend(
        to,
        json!({
            "consumers": figures.consumers,
            "consumer_capacity": capacity,
            "consumer_utilisation": capacity,
            "head_message_timestamp": figures.head_timestamp_ms.map(|ms| ms / 1000),
            "exclusive_consumer_tag": null,
            "single_active_consumer_tag": null,
            "garbage_collection": garbage_collection(),
        }),
    );
    if is_quorum(&queue.spec.arguments) {
        extend(
            to,
            json!({
                "delayed_retry": "disabled",
                "messages_delayed": figures.delayed,
                "messages_dlx": 0,
                "message_bytes_dlx": 0,
                "messages_by_priority": {},
                "messages_active_priorities": 0,
                "messages_ready_returned": 0,
                "open_files": { call.site.node(): 0 },
                "publishers": 0,
            }),
        );
    }
}

fn add_memory(to: &mut Object, queue: &QueueInfo, figures: &QueueFigures) {
    let &QueueFigures { ready, unacked, ready_bytes, unacked_bytes, spilled, memory, .. } = figures;
    let ready_ram = ready.saturating_sub(spilled);
    let mean = ready_bytes.checked_div(ready).unwrap_or_default();
    let bytes = ready_bytes + unacked_bytes;
    let persistent = |number: u64| if queue.spec.durable { number } else { 0 };
    extend(
        to,
        json!({
            "memory": memory,
            "message_bytes": bytes,
            "message_bytes_ready": ready_bytes,
            "message_bytes_unacknowledged": unacked_bytes,
            "message_bytes_ram": bytes.saturating_sub(mean * spilled),
            "message_bytes_persistent": persistent(bytes),
            "message_bytes_paged_out": mean * spilled,
            "messages_persistent": persistent(ready + unacked),
            "messages_ram": ready_ram + unacked,
            "messages_ready_ram": ready_ram,
            "messages_unacknowledged_ram": unacked,
            "messages_paged_out": spilled,
        }),
    );
}

/// A number that JSON can hold.
fn finite(number: f32) -> f64 {
    if number.is_finite() { f64::from(number) } else { 0.0 }
}

/// The memory management of an Erlang process, which some clients read: there is none.
pub fn garbage_collection() -> Value {
    json!({ "fullsweep_after": 0, "max_heap_size": 0, "min_bin_vheap_size": 0, "min_heap_size": 0, "minor_gcs": 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_policies_the_stricter_counts() {
        let merged = |user, operator| Value::Object(effective(object(user), object(operator)));
        let user = json!({"max-length": 5, "expires": 10, "overflow": "drop-head"});
        let expected = json!({"max-length": 5, "expires": 7, "overflow": "reject-publish", "message-ttl": 1});
        assert_eq!(merged(user, json!({"max-length": 9, "expires": 7, "overflow": "reject-publish", "message-ttl": 1})), expected);
    }
}

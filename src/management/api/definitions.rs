//! Definitions: the objects of the broker as one file, or those of one virtual host.

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::object::{Object, extend};
use super::parameters::{all_global, name_of_cluster};
use super::users::limits;
use crate::contract::{Command, Topology};
use crate::definitions::steps::Step;
use crate::definitions::{Definitions, export};
use crate::management::http::{Answer, Outcome, Refusal, file_of_form};

/// `GET /definitions`
pub async fn get(call: &Call) -> Outcome {
    let mut all = exported(call)?;
    all.insert("original_cluster_name".into(), name_of_cluster(call));
    all.insert("global_parameters".into(), all_global(call).into_iter().map(Value::Object).collect());
    Ok(as_file(call, all))
}

/// `GET /definitions/V`
pub async fn get_vhost(call: &Call) -> Outcome {
    let name = call.variable("vhost");
    let all = exported(call)?;
    let mut own = Map::new();
    for (key, value) in all {
        match value {
            Value::Array(items) if OF_VHOST.contains(&&*key) => {
                let its = items.into_iter().filter(|item| item["vhost"] == name).map(without_vhost);
                own.insert(key, its.collect());
            }
            Value::Array(_) => {}
            other => _ = own.insert(key, other),
        }
    }
    let catalog = call.broker().catalog();
    let vhost = catalog.find_vhost(call.vhost(&catalog)?).ok_or_else(Refusal::absent)?;
    let (spec, kind) = (&vhost.spec, vhost.spec.default_queue_type.as_deref().unwrap_or("classic"));
    extend(
        &mut own,
        json!({
            "rabbitmq_definition_format": "single_virtual_host",
            "explanation": format!("Definitions of virtual host '{name}'"),
            "original_vhost_name": name,
            "description": spec.description,
            "default_queue_type": kind,
            "metadata": { "description": spec.description, "tags": spec.tags, "default_queue_type": kind },
            "limits": limits([("max-connections", vhost.limits.max_connections), ("max-queues", vhost.limits.max_queues)]),
        }),
    );
    Ok(as_file(call, own))
}

/// `POST /definitions`
pub async fn post(call: &Call) -> Outcome {
    import(call, parsed(call)?).await
}

/// `POST /definitions/V`: its objects go into this virtual host, whichever they name.
pub async fn post_vhost(call: &Call) -> Outcome {
    let mut all = parsed(call)?;
    all.retain(|key, value| !value.is_array() || OF_VHOST.contains(&&**key));
    all.remove("original_vhost_name");
    all.remove("rabbitmq_definition_format");
    for item in all.values_mut().filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut) {
        item.insert("vhost".into(), call.variable("vhost").into());
    }
    import(call, all).await
}

/// The sections of objects of a virtual host.
const OF_VHOST: [&str; 5] = ["queues", "exchanges", "bindings", "policies", "parameters"];

fn exported(call: &Call) -> Result<Object, Refusal> {
    match serde_json::to_value(export(&call.broker().catalog())) {
        Ok(Value::Object(all)) => Ok(all),
        _ => Err(Refusal::unavailable("the definitions cannot be written")),
    }
}

fn without_vhost(mut item: Value) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.remove("vhost");
    }
    item
}

fn as_file(call: &Call, all: Object) -> Answer {
    let answer = Answer::one(all);
    match call.params.get("download") {
        Some(name) => answer.as_file(name),
        None => answer,
    }
}

/// The body: JSON, or a form with a file of it.
fn parsed(call: &Call) -> Result<Object, Refusal> {
    let kind = call.headers.get(hyper::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let file = if kind.starts_with("multipart/form-data") { file_of_form(kind, &call.body) } else { Some(&call.body[..]) };
    let file = file.ok_or_else(|| Refusal::bad_request("the form has no file"))?;
    if file.trim_ascii().is_empty() {
        return Ok(Object::new());
    }
    serde_json::from_slice(file).map_err(|_| Refusal::bad_request("failed_to_parse_json"))
}

/// Makes the objects, in an order in which each one's needs exist. Queues and exchanges that exist
/// stay as they are. The first refusal stops the import; what came before stays.
async fn import(call: &Call, all: Object) -> Outcome {
    let steps = Definitions::read(&Value::Object(all).to_string()).and_then(|definitions| definitions.steps());
    let mut steps = steps.map_err(Refusal::bad_request)?.into_iter().peekable();
    while let Some(step) = steps.next() {
        let kind = kind_of(&step).to_owned();
        let mut part = vec![step];
        while part.len() < PART {
            let Some(next) = steps.next_if(|next| kind_of(next) == kind) else { break };
            part.push(next);
        }
        perform(call, part).await?;
    }
    Ok(Answer::done())
}

/// Performs steps that do not need each other, all at once: the broker writes them together.
async fn perform(call: &Call, steps: Vec<Step>) -> Result<(), Refusal> {
    let missing: Vec<Step> = {
        let catalog = call.broker().catalog();
        let is_there = |command: &Command| {
            let Command::Topology { vhost, topology } = command else { return false };
            let Some(vhost) = catalog.vhost_by_name(vhost) else { return false };
            match topology {
                Topology::DeclareQueue(spec) => catalog.queue_by_name(vhost, &spec.name).is_some(),
                Topology::DeclareExchange(spec) => catalog.exchange_by_name(vhost, spec.name.as_bytes()).is_some(),
                _ => false,
            }
        };
        steps.into_iter().filter(|step| !is_there(&step.command)).collect()
    };
    let performed = join_all(missing.into_iter().map(|step| async move {
        let decided = call.broker().command(step.command).await;
        decided.map_err(|fault| Refusal::bad_request(format!("{}: {}", step.object, fault.text)))
    }));
    performed.await.into_iter().collect()
}

/// The kind of object that a step makes.
fn kind_of(step: &Step) -> &str {
    step.object.split(" '").next().unwrap_or_default()
}

/// Steps that are performed at once.
const PART: usize = 256;

//! Bindings, also the implicit ones of the default exchange to every queue.

use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::header::LOCATION;
use serde_json::json;

use super::call::Call;
use super::exchanges;
use super::object::{Object, object};
use crate::broker::catalog::{BindingView, Catalog};
use crate::contract::{BindingSpec, Destination, Topology};
use crate::definitions::arguments::{text, to_json, to_table};
use crate::management::http::form::{self, encode_segment};
use crate::management::http::{Answer, Outcome, Refusal};
use crate::management::properties_key::properties_key;
use crate::message::Table;

/// `GET /bindings` and `/bindings/V`
pub async fn list(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let lists = call.lists(&catalog);
    Ok(answer(&catalog, |binding| lists(binding.vhost)))
}

/// `GET /queues/V/Q/bindings`
pub async fn of_queue(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let queue = call.queue(&catalog)?;
    let is_its = |binding: &BindingView<'_>| {
        binding.vhost == queue.vhost && binding.kind == Destination::Queue && *binding.destination == *queue.spec.name
    };
    Ok(answer(&catalog, is_its))
}

/// `GET /exchanges/V/X/bindings/source`
pub async fn of_source(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let exchange = exchanges::find(call, &catalog)?;
    Ok(answer(&catalog, |binding| binding.vhost == exchange.vhost && *binding.source == *exchange.spec.name))
}

/// `GET /exchanges/V/X/bindings/destination`
pub async fn of_destination(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let exchange = exchanges::find(call, &catalog)?;
    let is_its = |binding: &BindingView<'_>| {
        binding.vhost == exchange.vhost && binding.kind == Destination::Exchange && *binding.destination == *exchange.spec.name
    };
    Ok(answer(&catalog, is_its))
}

/// `GET /bindings/V/e/X/q/Q` and `/bindings/V/e/X/e/X`
pub async fn between(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let ends = Ends::of(call)?;
    let vhost = call.vhost(&catalog)?;
    Ok(answer(&catalog, |binding| binding.vhost == vhost && ends.are_of(binding)))
}

/// `POST /bindings/V/e/X/q/Q` and `/bindings/V/e/X/e/X`
pub async fn post(call: &Call) -> Outcome {
    if call.body.len() > BODY_MAX {
        return Err(Refusal::bad_request("Payload size limit exceeded"));
    }
    let (ends, body) = (Ends::of(call)?, call.object()?);
    let key = body.text("routing_key")?.unwrap_or_default();
    let arguments = to_table(&body.object("arguments")?).map_err(Refusal::bad_request)?.view().canonical();
    let location = format!("{}/{}", encode_segment(ends.destination), encode_segment(&properties_key(key.as_bytes(), arguments.view())));
    call.change(Topology::Bind(ends.spec(key.as_bytes(), arguments))).await?;
    Ok(Answer::bare(StatusCode::CREATED).with(LOCATION, &location))
}

/// `GET /bindings/V/e/X/q/Q/PROPERTIES` and the same of an exchange
pub async fn get(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let (vhost, ends) = (call.vhost(&catalog)?, Ends::of(call)?);
    let all = everything(&catalog, |binding| binding.vhost == vhost && ends.are_of(binding));
    named(call, &all).map(|binding| Answer::one(binding_object(&catalog, binding))).ok_or_else(Refusal::absent)
}

/// `DELETE /bindings/V/e/X/q/Q/PROPERTIES` and the same of an exchange
pub async fn delete(call: &Call) -> Outcome {
    let ends = Ends::of(call)?;
    if ends.source.is_empty() {
        return Err(Refusal::not_authorised("Access refused."));
    }
    let spec = {
        let catalog = call.broker().catalog();
        let vhost = call.vhost(&catalog)?;
        let all: Vec<BindingView<'_>> = catalog.bindings().filter(|binding| binding.vhost == vhost && ends.are_of(binding)).collect();
        named(call, &all).map(|binding| ends.spec(binding.key, binding.arguments.clone())).ok_or_else(Refusal::absent)?
    };
    call.change(Topology::Unbind(spec)).await?;
    Ok(Answer::done())
}

/// Finds the binding whose properties key the path names. Clients may encode it once for the path, or
/// also the routing key in it, as RabbitMQ does; a key that matches as it is comes first.
fn named<'a, 'b>(call: &Call, all: &'a [BindingView<'b>]) -> Option<&'a BindingView<'b>> {
    let wanted = call.variable("properties");
    let find = |wanted: &str| all.iter().find(|binding| properties_key(binding.key, binding.arguments.view()) == wanted);
    find(wanted).or_else(|| find(&form::encode(wanted.as_bytes())))
}

/// The ends that a path names.
struct Ends<'a> {
    source: &'a str,
    kind: Destination,
    destination: &'a str,
}

impl Ends<'_> {
    fn of(call: &Call) -> Result<Ends<'_>, Refusal> {
        let (source, destination) = (call.exchange("exchange"), call.variable("destination"));
        let kind = match call.variable("kind") {
            "q" => Destination::Queue,
            "e" => Destination::Exchange,
            other => return Err(Refusal::bad_request(format!("the destination is of kind q or e, not '{other}'"))),
        };
        let destination = if kind == Destination::Exchange { call.exchange("destination") } else { destination };
        Ok(Ends { source, kind, destination })
    }

    fn are_of(&self, binding: &BindingView<'_>) -> bool {
        (binding.source, binding.kind, binding.destination) == (self.source, self.kind, self.destination)
    }

    fn spec(&self, key: &[u8], arguments: Table) -> BindingSpec {
        let (source, destination) = (self.source.into(), self.destination.into());
        BindingSpec { source, kind: self.kind, destination, key: key.into(), arguments }
    }
}

fn answer(catalog: &Catalog, which: impl Fn(&BindingView<'_>) -> bool) -> Answer {
    Answer::list(everything(catalog, which).into_iter().map(|binding| binding_object(catalog, &binding)))
}

/// The bindings that match, with the implicit ones of the default exchange, in RabbitMQ's order.
fn everything(catalog: &Catalog, which: impl Fn(&BindingView<'_>) -> bool) -> Vec<BindingView<'_>> {
    let queues = catalog.queues().filter(|queue| queue.delays.is_none());
    let implicit = queues.map(|queue| {
        let name: &str = &queue.spec.name;
        let kind = Destination::Queue;
        BindingView { vhost: queue.vhost, source: "", kind, destination: name, key: name.as_bytes(), arguments: &NO_ARGUMENTS }
    });
    let mut found: Vec<BindingView<'_>> = implicit.chain(catalog.bindings()).filter(|binding| which(binding)).collect();
    found.sort_by_key(|binding| (catalog.vhost_name(binding.vhost), binding.source, binding.destination, binding.kind, binding.key));
    found
}

fn binding_object(catalog: &Catalog, binding: &BindingView<'_>) -> Object {
    object(json!({
        "source": binding.source,
        "vhost": catalog.vhost_name(binding.vhost),
        "destination": binding.destination,
        "destination_type": if binding.kind == Destination::Queue { "queue" } else { "exchange" },
        "routing_key": text(binding.key),
        "arguments": to_json(binding.arguments.view()),
        "properties_key": properties_key(binding.key, binding.arguments.view()),
    }))
}

static NO_ARGUMENTS: LazyLock<Table> = LazyLock::new(Table::empty);

/// The largest body, bytes.
const BODY_MAX: usize = 5000;

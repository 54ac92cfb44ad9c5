//! Queues: lists, pages and single ones. [`queue_object`](super::queue_object) makes their JSON.

use serde_json::{Value, json};
use tokio::task::yield_now;

use super::call::Call;
use super::consumers;
use super::names::connection_name;
use super::object::Object;
use super::queue_object::{ATTRIBUTES, Numbers, queue_object};
use crate::base::hash::Map;
use crate::base::ids::QueueId;
use crate::broker::catalog::{Catalog, QueueInfo};
use crate::contract::{ConsumerFigures, Intervened, Intervention, QueueFigures, QueueSpec, Topology};
use crate::definitions::arguments::to_table;
use crate::management::http::{Answer, Columns, Content, Outcome, Paging, Refusal, Sort, compare};
use crate::management::names::Named;
use crate::management::rates::Windows;
use hyper::StatusCode;

/// `GET /queues`, `/queues/detailed` and `/queues/V`
///
/// A page in the order of names, with its numbers, costs the shards only the queues on it. No more
/// than a part of a list is in memory at a time, also if it is sorted by something else.
pub async fn list(call: &Call) -> Outcome {
    let (sort, wants) = (Sort::parse(&call.params), wants(call)?);
    let paging = Paging::parse(&call.params)?;
    let mut names = visible(call);
    let total = names.len();
    if let Some(paging) = paging.as_ref().filter(|paging| !paging.accepts_all()) {
        names.retain(|named| paging.accepts(&named.name));
    }
    let needs_all = wants != Wants::Attributes && (paging.is_none() || !sort.is_own());
    let all = Figures::new(if needs_all { call.broker().queues().await? } else { Vec::new() });
    if !sort.is_own() {
        names = sorted(call, names, &all, wants, &sort).await;
    }
    if sort.is_reverse() {
        names.reverse();
    }
    match paging {
        None => Ok(streamed(call.clone(), names, all, wants)),
        Some(paging) => page(call, &paging, &names, total, wants).await,
    }
}

/// One page of these names.
async fn page(call: &Call, paging: &Paging, names: &[Named], total: usize, wants: Wants) -> Outcome {
    let names_here = &names[paging.range(names.len())?];
    let ids: Vec<QueueId> = names_here.iter().map(|named| named.id).collect();
    let figures = Figures::new(if wants == Wants::Attributes { Vec::new() } else { call.broker().queues_by_id(&ids).await? });
    let items = objects(call, names_here, &figures, wants).into_iter().map(Value::Object).collect();
    Ok(Answer::new(StatusCode::OK, Content::Page(paging.page(items, names.len(), total))))
}

/// All of these names, made in parts while they are sent.
fn streamed(call: Call, names: Vec<Named>, figures: Figures, wants: Wants) -> Answer {
    let mut names = names.into_iter();
    Answer::lazy(move || {
        let part: Vec<Named> = names.by_ref().take(PART).collect();
        let objects = || objects(&call, &part, &figures, wants).into_iter().map(Value::Object).collect();
        (!part.is_empty()).then(objects)
    })
}

/// Sorts names by a value of their objects. Others are served in between.
async fn sorted(call: &Call, names: Vec<Named>, figures: &Figures, wants: Wants, sort: &Sort) -> Vec<Named> {
    let mut keyed = Vec::with_capacity(names.len());
    for part in names.chunks(PART) {
        let one = |named: &Named| {
            let object = objects(call, std::slice::from_ref(named), figures, wants).pop()?;
            Some((sort.value(&Value::Object(object)).cloned(), named.clone()))
        };
        keyed.extend(part.iter().filter_map(one));
        yield_now().await;
    }
    keyed.sort_by(|(left, _), (right, _)| compare(left.as_ref(), right.as_ref()));
    keyed.into_iter().map(|(_, named)| named).collect()
}

/// `GET /queues/V/Q`
pub async fn get(call: &Call) -> Outcome {
    let (id, windows) = (call.queue_id()?, Windows::parse(&call.params)?);
    if call.params.is_true("disable_stats") {
        let catalog = call.broker().catalog();
        return Ok(Answer::one(queue_object(call, &catalog, call.queue(&catalog)?, Numbers::None)));
    }
    let figures = call.broker().queues_by_id(&[id]).await?.pop().ok_or_else(Refusal::absent)?;
    let consumers = of_queue(call.broker().consumers().await?, id);
    let owner = owner(call, id).await?;
    let catalog = call.broker().catalog();
    let mut found = queue_object(call, &catalog, call.queue(&catalog)?, Numbers::All(&figures, windows));
    let tag_of = |consumer: Option<&ConsumerFigures>| consumer.map_or(Value::Null, |consumer| (*consumer.tag).into());
    let active = consumers.iter().find(|consumer| Some(consumer.channel) == figures.single_active);
    let exclusive = consumers.iter().find(|consumer| consumer.exclusive);
    found.insert("single_active_consumer_tag".into(), tag_of(active));
    found.insert("exclusive_consumer_tag".into(), tag_of(exclusive));
    let details = consumers.iter().map(|consumer| consumers::consumer_object(call, &catalog, consumer, figures.single_active));
    found.insert("consumer_details".into(), details.map(Value::Object).collect());
    found.insert("incoming".into(), json!([]));
    found.insert("deliveries".into(), json!([]));
    found.extend(owner.map(|owner| ("owner_pid_details".to_owned(), owner)));
    Ok(Answer::one(found))
}

/// `PUT /queues/V/Q`
pub async fn put(call: &Call) -> Outcome {
    let body = call.object()?;
    let name = call.variable("queue");
    if let Some(node) = body.text("node")?.filter(|node| !node.is_empty() && *node != call.site.node()) {
        return Err(Refusal::bad_request(format!("Node {node} is not a cluster member")));
    }
    let arguments = to_table(&body.object("arguments")?).map_err(Refusal::bad_request)?;
    let is_known = call.queue(&call.broker().catalog()).is_ok();
    if name.starts_with("amq.") && !is_known {
        return Err(Refusal::not_authorised("Access refused."));
    }
    let (durable, auto_delete) = (body.bool("durable", false)?, body.bool("auto_delete", false)?);
    let spec = QueueSpec { name: name.into(), durable, exclusive: false, auto_delete, arguments };
    call.change(Topology::DeclareQueue(spec)).await.map(Answer::put)
}

/// `DELETE /queues/V/Q`
pub async fn delete(call: &Call) -> Outcome {
    call.queue_id()?;
    let (name, params) = (call.variable("queue").into(), &call.params);
    let (if_unused, if_empty) = (params.is_true("if-unused"), params.is_true("if-empty"));
    call.change(Topology::DeleteQueue { name, if_unused, if_empty }).await?;
    Ok(Answer::done())
}

/// `DELETE /queues/V/Q/contents`
pub async fn purge(call: &Call) -> Outcome {
    call.queue_id()?;
    let queue = {
        let catalog = call.broker().catalog();
        catalog.check_read(call.vhost(&catalog)?, call.login.asker(), call.variable("queue"))?
    };
    match call.broker().intervene(queue.home, Intervention::Purge(queue.queue)).await? {
        Intervened::Done { .. } => Ok(Answer::done()),
        Intervened::Absent => Err(Refusal::absent()),
    }
}

/// `POST /queues/V/Q/actions`: RabbitMQ's actions were for mirrors.
pub async fn act(call: &Call) -> Outcome {
    call.queue_id().map_err(|_| Refusal::not_found("queue_not_found"))?;
    let body = call.object()?;
    body.need(&["action"])?;
    Err(Refusal::bad_request(format!("unknown: {}", body.text("action")?.unwrap_or_default())))
}

/// The numbers that a list wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Attributes,
    Totals,
    All(Windows),
}

fn wants(call: &Call) -> Result<Wants, Refusal> {
    let windows = Windows::of_list(&call.params)?;
    let is_number = Sort::parse(&call.params).field().is_some_and(|field| !ATTRIBUTES.contains(&field));
    Ok(match (call.params.is_true("disable_stats"), call.params.is_true("enable_queue_totals")) {
        (true, true) => Wants::Totals,
        (true, false) => Wants::Attributes,
        _ if Columns::parse(&call.params).are_among(&ATTRIBUTES) && !is_number => Wants::Attributes,
        _ => Wants::All(windows),
    })
}

/// The queues that the asker sees, in the order of names.
fn visible(call: &Call) -> Vec<Named> {
    let catalog = call.broker().catalog();
    let lists = call.lists(&catalog);
    let all = call.site.names.borrow_mut().queues(&catalog);
    let mut last = None;
    let mut is_listed = |vhost| match last {
        Some((known, is_listed)) if known == vhost => is_listed,
        _ => {
            let is_listed = lists(vhost);
            last = Some((vhost, is_listed));
            is_listed
        }
    };
    all.iter().filter(|named| is_listed(named.vhost)).cloned().collect()
}

/// The numbers of queues.
struct Figures(Map<QueueId, QueueFigures>);

impl Figures {
    fn new(figures: Vec<QueueFigures>) -> Figures {
        Figures(figures.into_iter().map(|figures| (figures.id, figures)).collect())
    }
}

/// The objects of these queues, without those that are gone meanwhile.
fn objects(call: &Call, names: &[Named], figures: &Figures, wants: Wants) -> Vec<Object> {
    let catalog = call.broker().catalog();
    let none = QueueFigures::default();
    let one = |named: &Named| {
        let queue = catalog.queue(named.id)?;
        let figures = figures.0.get(&named.id).unwrap_or(&none);
        Some(match wants {
            Wants::Attributes => queue_object(call, &catalog, queue, Numbers::None),
            Wants::Totals => queue_object(call, &catalog, queue, Numbers::Totals(figures)),
            Wants::All(windows) => queue_object(call, &catalog, queue, Numbers::All(figures, windows)),
        })
    };
    names.iter().filter_map(one).collect()
}

/// Queues whose objects are made at once.
const PART: usize = 64;

fn of_queue(consumers: Vec<ConsumerFigures>, queue: QueueId) -> Vec<ConsumerFigures> {
    consumers.into_iter().filter(|consumer| consumer.queue == queue).collect()
}

/// The connection that an exclusive queue belongs to.
async fn owner(call: &Call, id: QueueId) -> Result<Option<Value>, Refusal> {
    let owner = call.broker().catalog().queue(id).and_then(|queue: &QueueInfo| queue.owner);
    let Some(owner) = owner else { return Ok(None) };
    let connections = call.broker().connections().await?;
    let found = connections.into_iter().find(|connection| connection.addr == owner);
    Ok(found.map(|connection| {
        let (host, port) = (connection.peer.ip(), connection.peer.port());
        json!({ "name": connection_name(connection.peer, connection.local), "peer_host": host, "peer_port": port })
    }))
}

/// `GET /users/U/queues`: RingMQ does not note who declared a queue.
pub async fn of_user(call: &Call) -> Outcome {
    let catalog: &Catalog = &call.broker().catalog();
    catalog.user_by_name(call.variable("user")).map(|_| Answer::list([])).ok_or_else(Refusal::absent)
}

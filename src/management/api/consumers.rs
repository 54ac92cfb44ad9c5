//! Consumers.

use serde_json::json;

use super::call::Call;
use super::names::{channel_name, connection_name};
use super::object::{Object, object};
use crate::base::hash::Map;
use crate::base::ids::{ChannelAddr, QueueId};
use crate::broker::catalog::Catalog;
use crate::contract::ConsumerFigures;
use crate::definitions::arguments::to_json;
use crate::management::http::{Answer, Outcome, Refusal};

/// `GET /consumers` and `/consumers/V`
pub async fn list(call: &Call) -> Outcome {
    if call.params.is_true("disable_stats") {
        return Err(Refusal::bad_request("Stats in management UI are disabled on this node"));
    }
    let mut consumers = call.broker().consumers().await?;
    let active = active(call, &consumers).await?;
    let catalog = call.broker().catalog();
    let lists = call.lists(&catalog);
    consumers.retain(|consumer| catalog.queue(consumer.queue).is_some_and(|queue| lists(queue.vhost)));
    consumers.sort_by(|left, right| key(&catalog, left).cmp(&key(&catalog, right)));
    let objects = consumers.iter().map(|consumer| consumer_object(call, &catalog, consumer, active.get(&consumer.queue).copied()));
    Ok(Answer::list(objects.collect::<Vec<_>>()))
}

/// The channels of single active consumers, by queue.
async fn active(call: &Call, consumers: &[ConsumerFigures]) -> Result<Map<QueueId, ChannelAddr>, Refusal> {
    let mut queues: Vec<QueueId> = consumers.iter().map(|consumer| consumer.queue).collect();
    queues.sort_unstable();
    queues.dedup();
    let figures = call.broker().queues_by_id(&queues).await?;
    Ok(figures.into_iter().filter_map(|queue| Some((queue.id, queue.single_active?))).collect())
}

fn key<'a>(catalog: &'a Catalog, consumer: &'a ConsumerFigures) -> (&'a str, &'a str, &'a str) {
    let queue = catalog.queue(consumer.queue);
    (queue.map_or("", |queue| catalog.vhost_name(queue.vhost)), queue.map_or("", |queue| &queue.spec.name), &consumer.tag)
}

/// Makes the object of a consumer; `active` is the channel of its queue's single active consumer.
pub fn consumer_object(call: &Call, catalog: &Catalog, consumer: &ConsumerFigures, active: Option<ChannelAddr>) -> Object {
    let ConsumerFigures { channel, ends: (peer, local), tag, exclusive, ack_required, prefetch, .. } = consumer;
    let queue = catalog.queue(consumer.queue);
    let is_single = queue.is_some_and(|queue| {
        let argument = queue.spec.arguments.find("x-single-active-consumer").and_then(|truth| truth.as_bool());
        argument == Some(true) || active.is_some()
    });
    let is_active = !is_single || active == Some(*channel);
    let status = match (is_single, is_active) {
        (false, _) => "up",
        (true, true) => "single_active",
        (true, false) => "waiting",
    };
    object(json!({
        "consumer_tag": tag,
        "queue": {
            "name": queue.map_or("", |queue| &queue.spec.name),
            "vhost": queue.map_or("", |queue| catalog.vhost_name(queue.vhost)),
        },
        "channel_details": {
            "name": channel_name(*peer, *local, channel.channel),
            "number": channel.channel,
            "node": call.site.node(),
            "connection_name": connection_name(*peer, *local),
            "peer_host": peer.ip().to_canonical(),
            "peer_port": peer.port(),
            "user": consumer.user,
        },
        "exclusive": exclusive,
        "ack_required": ack_required,
        "prefetch_count": prefetch,
        "active": is_active,
        "activity_status": status,
        "arguments": to_json(consumer.arguments.view()),
        "consumer_timeout": consumer.timeout_ms.or(call.broker().config().consumer_timeout_ms).unwrap_or_default(),
    }))
}

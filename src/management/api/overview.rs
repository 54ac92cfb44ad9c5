//! The overview, and the version.

use serde_json::{Value, json};

use super::call::Call;
use super::nodes;
use super::object::{Object, extend, object};
use super::parameters::{global_value, name_of_cluster};
use crate::contract::{Counts, QueueFigures, Totals};
use crate::management::http::{Answer, Outcome, Refusal};
use crate::management::measures::{self, CHURN, CHURN_FROM, COUNTS, History, LENGTHS, OF_CHANNEL};
use crate::management::rates::{Series, Subject, Windows};

/// `GET /version`
pub async fn version(call: &Call) -> Outcome {
    Ok(Answer::one(Value::from(&*call.broker().config().product_version)))
}

/// `GET /overview`
pub async fn get(call: &Call) -> Outcome {
    let is_without = call.params.is_true("disable_stats");
    let mut all = about(call);
    extend(&mut all, json!({ "object_totals": object_totals(call).await? }));
    if !is_without {
        add_numbers(&mut all, call).await?;
    }
    if call.login.is_monitoring() {
        all.insert("node".into(), call.site.node().into());
        if !is_without {
            all.insert("listeners".into(), nodes::listeners(call));
        }
        all.insert("contexts".into(), nodes::contexts(call));
    }
    Ok(Answer::one(all))
}

/// What does not change.
fn about(call: &Call) -> Object {
    let config = call.broker().config();
    let kind = config.defaults.queue_type.as_deref().unwrap_or("classic");
    let tags = global_value(&call.broker().catalog(), "cluster_tags").unwrap_or_else(|| json!({}));
    let mut all = object(json!({
        "management_version": config.product_version,
        "rabbitmq_version": config.product_version,
        "product_name": config.product,
        "product_version": env!("CARGO_PKG_VERSION"),
        "cluster_name": name_of_cluster(call),
        "cluster_tags": tags,
        "node_tags": {},
        "rates_mode": "basic",
        "sample_retention_policies": { "global": [600, 3600, 28800, 86400], "basic": [600, 3600], "detailed": [600] },
        "exchange_types": nodes::exchange_types(),
        "disable_stats": call.params.is_true("disable_stats"),
        "enable_queue_totals": call.params.is_true("enable_queue_totals"),
        "default_queue_type": kind,
        "is_op_policy_updating_enabled": !config.management.operator_policies_locked,
        "require_definition_json_extension": false,
        "statistics_db_event_queue": 0,
    }));
    extend(&mut all, nodes::runtime());
    all
}

/// The numbers of objects that the asker may see.
async fn object_totals(call: &Call) -> Result<Value, Refusal> {
    let sees_all = call.login.is_monitoring();
    let (connections, channels, consumers) = if sees_all {
        let totals = call.broker().totals().await?;
        let sum = |of: fn(&Totals) -> usize| totals.iter().map(of).sum::<usize>();
        (sum(|of| of.connections), sum(|of| of.channels), sum(|of| of.consumers))
    } else {
        let own = |name: &str| *name == *call.login.name;
        let connections = call.broker().connections().await?;
        let channels = call.broker().channels().await?;
        let consumers = call.broker().consumers().await?;
        (
            connections.iter().filter(|one| one.user.as_ref().is_some_and(|(_, name)| own(name))).count(),
            channels.iter().filter(|one| own(&one.user)).count(),
            consumers.iter().filter(|one| own(&one.user)).count(),
        )
    };
    let catalog = call.broker().catalog();
    let lists = call.lists(&catalog);
    let queues = catalog.queues().filter(|queue| queue.delays.is_none() && lists(queue.vhost)).count();
    let exchanges = catalog.exchanges().filter(|exchange| lists(exchange.vhost)).count();
    Ok(json!({ "connections": connections, "channels": channels, "consumers": consumers, "queues": queues, "exchanges": exchanges }))
}

/// Adds the sums over the whole broker, or over the virtual hosts that the asker may open.
async fn add_numbers(to: &mut Object, call: &Call) -> Result<(), Refusal> {
    let windows = Windows::parse(&call.params)?;
    let totals = call.broker().totals().await?;
    let mut sums = (0, 0);
    let visit = |part: Vec<QueueFigures>| {
        let catalog = call.broker().catalog();
        let lists = call.lists(&catalog);
        let is_listed = |queue: &&QueueFigures| catalog.queue(queue.id).is_some_and(|known| known.delays.is_none() && lists(known.vhost));
        part.iter().filter(is_listed).for_each(|queue| sums = (sums.0 + queue.ready, sums.1 + queue.unacked));
    };
    call.broker().visit_queues(visit).await?;
    let catalog = call.broker().catalog();
    let lists = call.lists(&catalog);
    let rates = call.site.rates.borrow();
    let mut counts = Counts::default();
    match call.login.is_monitoring() {
        true => totals.iter().for_each(|totals| counts += &totals.counts),
        false => catalog.vhosts().filter(|vhost| lists(vhost.id)).for_each(|vhost| counts += &rates.vhost(vhost.id).counts),
    }
    let of_broker = call.login.is_monitoring().then_some((&totals[..], rates.of(Subject::Broker)));
    put_numbers(to, counts, sums, of_broker, windows);
    Ok(())
}

/// Puts the numbers. What tells of the whole broker is for those who may see it.
fn put_numbers(
    to: &mut Object,
    counts: Counts,
    (ready, unacked): (u64, u64),
    of_broker: Option<(&[Totals], Option<&Series>)>,
    windows: Windows,
) {
    let history = of_broker.map_or(History::default(), |(_, series)| History { series, from: 0, window: windows.messages });
    let mut stats = object(measures::message_stats(&counts, &OF_CHANNEL, history));
    if let Some((totals, _)) = of_broker {
        let writes = totals.iter().map(|totals| totals.writes.0).sum();
        measures::put(&mut stats, &["disk_reads", "disk_writes"], &[0, writes], History::default());
    }
    to.insert("message_stats".into(), stats.into());
    let mut lengths = Object::new();
    measures::put(&mut lengths, &LENGTHS, &measures::lengths(ready, unacked), history.at(COUNTS.len(), windows.lengths));
    to.insert("queue_totals".into(), lengths.into());
    let Some((totals, _)) = of_broker else { return };
    let mut churn = [0; CHURN.len()];
    for totals in totals {
        churn.iter_mut().zip(measures::churn(&totals.churn)).for_each(|(sum, n)| *sum += n);
    }
    let mut churned = Object::new();
    measures::put(&mut churned, &CHURN, &churn, history.at(CHURN_FROM, windows.messages));
    to.insert("churn_rates".into(), churned.into());
}

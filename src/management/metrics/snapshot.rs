//! What an answer tells, collected before its text is written.
//!
//! Names come from the copy of the catalog, which is read in batches, so that nothing waits long for
//! it; numbers come from the shards.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Facts;
use super::endpoint::{Endpoint, Wanted};
use super::families::Planned;
use super::family::Source;
use super::format::Format;
use super::numbers::{Channel, Connection, Exchange, Queue};
use super::sums::Sums;
use super::telemetry::Scrapes;
use super::value::labels;
use crate::base::ids::ExchangeId;
use crate::broker::catalog::{Catalog, ExchangeInfo, is_quorum};
use crate::contract::{ChannelFigures, ConnectionFigures, Count, Counts, QueueFigures, Totals, VhostId};
use crate::management::api::cluster_id;
use crate::management::broker::{Broker, Unanswered};

/// What an answer tells.
#[derive(Default)]
pub struct Snapshot {
    /// The endpoint's name in its own answer.
    pub endpoint: &'static str,
    /// The endpoint's name in the telemetry.
    pub registry: &'static str,
    /// The node's name.
    pub name: String,
    /// The cluster's name.
    pub cluster: String,
    /// What stays when the cluster's name changes; empty: nothing.
    pub cluster_id: String,
    /// The version of RabbitMQ whose behaviour the broker has.
    pub version: String,
    /// The time since 1970.
    pub now: Duration,
    /// What the asker knows about the process.
    pub facts: Facts,
    /// The sums of each shard.
    pub shards: Vec<Totals>,
    /// All messages.
    pub counts: Counts,
    /// Queues now.
    pub queue_count: usize,
    /// The sums over all objects.
    pub sums: Sums,
    /// The queues that were asked for.
    pub queues: Vec<Row<Queue>>,
    /// The channels that were asked for.
    pub channels: Vec<Row<Channel>>,
    /// The connections that were asked for.
    pub connections: Vec<Row<Connection>>,
    /// The exchanges that were asked for and used.
    pub exchanges: Vec<Row<Exchange>>,
    /// All exchanges that have a name.
    pub declared: Vec<Row<Declared>>,
    /// All virtual hosts.
    pub vhosts: Vec<Box<str>>,
    /// Earlier answers of this endpoint.
    pub scrapes: Vec<(Format, Scrapes)>,
}

/// An object with its labels, as they stand in the text.
pub struct Row<T> {
    /// The labels.
    pub labels: Box<str>,
    /// Its numbers.
    pub numbers: T,
}

/// An exchange that exists.
pub struct Declared {
    /// Number of bindings that it is the source of.
    pub bindings: u64,
}

impl Snapshot {
    /// The sum of a number over the shards.
    pub fn sum(&self, of: impl Fn(&Totals) -> u64) -> u64 {
        self.shards.iter().map(of).sum()
    }

    /// How often something happened, in all shards.
    pub fn count(&self, count: Count) -> u64 {
        self.counts[count]
    }

    /// Collects what stands in every answer.
    pub async fn of_node(broker: &Broker, endpoint: &Endpoint, facts: Facts) -> Result<Snapshot, Unanswered> {
        let shards = broker.totals().await?;
        let mut counts = Counts::default();
        shards.iter().for_each(|shard| counts += &shard.counts);
        let (config, catalog) = (broker.config(), broker.catalog());
        let parameter = |name| catalog.global_parameters().find(|(known, _)| *known == name).and_then(|(_, json)| text_of(json));
        Ok(Snapshot {
            endpoint: endpoint.name(),
            registry: endpoint.registry(),
            name: config.node_name.clone(),
            cluster: parameter("cluster_name").unwrap_or_else(|| config.node_name.clone()),
            cluster_id: parameter("internal_cluster_id").unwrap_or_else(|| cluster_id(&config.node_name)),
            version: config.product_version.clone(),
            facts,
            shards,
            counts,
            queue_count: catalog.vhosts().map(|vhost| vhost.queue_count()).sum(),
            ..Snapshot::default()
        })
    }

    /// Takes the sums over all objects. What shards count themselves they have counted for deleted
    /// objects, too.
    pub fn add_sums(&mut self, mut sums: Sums) {
        sums.queue.counts = self.counts;
        sums.queue.published = sums.exchange.routed;
        sums.channel.counts = self.counts;
        sums.exchange.published = self.counts[Count::Publish];
        sums.exchange.counts = Some(self.counts);
        self.sums = sums;
    }

    /// Collects the objects for which these families have samples.
    pub async fn add_objects(&mut self, broker: &Broker, plan: &[Planned], wanted: &Wanted) -> Result<(), Unanswered> {
        let needs = |test: fn(&Source) -> bool| plan.iter().any(|planned| planned.per_object && test(&planned.family.source));
        if needs(|source| matches!(source, Source::Queues(_) | Source::QueueInfo)) {
            self.queues = rows(broker, broker.queues().await?, |catalog, figures| queue(catalog, figures, wanted)).await;
        }
        if needs(|source| matches!(source, Source::Channels(_))) {
            self.channels = rows(broker, broker.channels().await?, |catalog, figures| channel(catalog, figures, wanted)).await;
        }
        if needs(|source| matches!(source, Source::Connections(_))) {
            self.connections = rows(broker, broker.connections().await?, |catalog, figures| connection(catalog, figures, wanted)).await;
        }
        if needs(|source| matches!(source, Source::Exchanges(_))) {
            let used = exchanges(broker).await?.into_iter().collect();
            self.exchanges = rows(broker, used, |catalog, used| exchange(catalog, used, wanted)).await;
        }
        if needs(|source| matches!(source, Source::Declared(_))) {
            self.declared = declared(&broker.catalog());
        }
        self.vhosts = broker.catalog().vhosts().map(|vhost| vhost.spec.name.clone()).collect();
        Ok(())
    }
}

/// The numbers of all exchanges that were used, those of all shards together.
pub async fn exchanges(broker: &Broker) -> Result<BTreeMap<ExchangeId, Exchange>, Unanswered> {
    let mut all = BTreeMap::<ExchangeId, Exchange>::new();
    for figures in broker.exchanges().await? {
        *all.entry(figures.id).or_default() += &Exchange::from(&figures);
    }
    Ok(all)
}

/// The numbers of a queue, unless it is gone.
pub fn numbers_of_queue(catalog: &Catalog, figures: &QueueFigures) -> Option<Queue> {
    catalog.queue(figures.id).map(|queue| Queue::of(figures, is_quorum(&queue.spec.arguments)))
}

/// Makes something of each object, with the catalog at hand, in batches between which others have
/// their turn.
pub async fn rows<F, R>(broker: &Broker, figures: Vec<F>, row: impl Fn(&Catalog, &F) -> Option<R>) -> Vec<R> {
    let mut rows = Vec::with_capacity(figures.len());
    for batch in figures.chunks(BATCH) {
        {
            let catalog = broker.catalog();
            rows.extend(batch.iter().filter_map(|figures| row(&catalog, figures)));
        }
        tokio::task::yield_now().await;
    }
    rows
}

impl<T> Row<T> {
    fn new(named: &[(&str, &str)], numbers: T) -> Row<T> {
        Row { labels: labels(named).into(), numbers }
    }
}

fn queue(catalog: &Catalog, figures: &QueueFigures, wanted: &Wanted) -> Option<Row<Queue>> {
    let queue = catalog.queue(figures.id)?;
    let (vhost, name) = (wanted_vhost(catalog, queue.vhost, wanted)?, &*queue.spec.name);
    wanted.has_queue(name).then(|| Row::new(&[("vhost", vhost), ("queue", name)], Queue::of(figures, is_quorum(&queue.spec.arguments))))
}

fn channel(catalog: &Catalog, figures: &ChannelFigures, wanted: &Wanted) -> Option<Row<Channel>> {
    wanted_vhost(catalog, figures.vhost, wanted)?;
    let name = format!("{} ({})", name_of_connection(figures.ends), figures.addr.channel);
    Some(Row::new(&[("channel", &name)], figures.into()))
}

/// A connection has the label `channel`, as in RabbitMQ.
fn connection(catalog: &Catalog, figures: &ConnectionFigures, wanted: &Wanted) -> Option<Row<Connection>> {
    match figures.vhost {
        Some(vhost) => _ = wanted_vhost(catalog, vhost, wanted)?,
        None if !wanted.has_all_vhosts() => return None,
        None => {}
    }
    let name = name_of_connection((figures.peer, figures.local));
    Some(Row::new(&[("channel", &name)], figures.into()))
}

fn exchange(catalog: &Catalog, (id, numbers): &(ExchangeId, Exchange), wanted: &Wanted) -> Option<Row<Exchange>> {
    let exchange = catalog.exchange(*id)?;
    let vhost = wanted_vhost(catalog, exchange.vhost, wanted)?;
    Some(Row::new(&[("vhost", vhost), ("exchange", &exchange.spec.name)], *numbers))
}

fn declared(catalog: &Catalog) -> Vec<Row<Declared>> {
    let mut bindings = BTreeMap::<(VhostId, &str), u64>::new();
    catalog.bindings().for_each(|binding| *bindings.entry((binding.vhost, binding.source)).or_default() += 1);
    let named = catalog.exchanges().filter(|exchange| !exchange.spec.name.is_empty());
    let row = |exchange: &ExchangeInfo| {
        let spec = &exchange.spec;
        let labels = [("vhost", catalog.vhost_name(exchange.vhost)), ("exchange", &*spec.name), ("type", &*spec.kind)];
        Row::new(&labels, Declared { bindings: bindings.get(&(exchange.vhost, &*spec.name)).copied().unwrap_or_default() })
    };
    named.map(row).collect()
}

/// The name of a virtual host, if it exists and was asked for.
fn wanted_vhost<'a>(catalog: &'a Catalog, vhost: VhostId, wanted: &Wanted) -> Option<&'a str> {
    let name = &*catalog.find_vhost(vhost)?.spec.name;
    wanted.has_vhost(name).then_some(name)
}

/// The name of a connection between these ends.
fn name_of_connection((peer, local): (SocketAddr, SocketAddr)) -> String {
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    format!("{} -> {}", canonical(peer), canonical(local))
}

/// A text of JSON.
fn text_of(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// The only protocol, as RabbitMQ names it.
pub const PROTOCOL: &str = "amqp091";

/// Objects that are looked up in the catalog at a time.
const BATCH: usize = 1024;

//! The answers against those of RabbitMQ 4.3.6, of which `captured/` has the names, types and
//! explanations, except those of Erlang's machine, of Raft and of streams.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::endpoint::Endpoint;
use super::format::Format;
use super::process::Process;
use super::{Facts, Metrics};
use crate::base::ids::{ChannelAddr, ConnAddr, ConnId, Key, ShardId};
use crate::base::inbox::Inbox;
use crate::broker::catalog::Catalog;
use crate::config::Config;
use crate::config::metrics::Metrics as Settings;
use crate::contract::{
    ChannelFigures, ConnectionFigures, ConnectionState, Count, Counts, Demand, ExchangeFigures, Figures, PART, Part, Query, QueueFigures,
    QueueSpec, Reply, Report, Topology, Totals, VhostId,
};
use crate::management::broker::{Broker, Reported};
use crate::message::{Table, TableBuilder};

/// What the only shard answers.
#[derive(Clone, Default)]
struct Shard {
    totals: Totals,
    queues: Vec<QueueFigures>,
    channels: Vec<ChannelFigures>,
    connections: Vec<ConnectionFigures>,
    exchanges: Vec<ExchangeFigures>,
    /// How often it was asked for its queues.
    walks: Arc<AtomicUsize>,
}

impl Shard {
    fn answer(&self, demand: &Demand) -> Figures {
        fn part<T: Clone>(all: &[T], from: u32) -> Part<T> {
            let end = all.len().min(from as usize + PART);
            Part { items: all[from as usize..end].to_vec(), next: (end < all.len()).then_some(end as u32) }
        }
        match *demand {
            Demand::Query(Query::Totals) => Figures::Totals(Box::new(self.totals)),
            Demand::Query(Query::Queues { from }) => {
                self.walks.fetch_add(1, Ordering::Relaxed);
                Figures::Queues(part(&self.queues, from))
            }
            Demand::Query(Query::Channels { from }) => Figures::Channels(part(&self.channels, from)),
            Demand::Query(Query::Connections { from }) => Figures::Connections(part(&self.connections, from)),
            Demand::Query(Query::Exchanges { from }) => Figures::Exchanges(part(&self.exchanges, from)),
            ref other => panic!("metrics do not ask for {other:?}"),
        }
    }
}

/// Runs a test with a broker whose catalog is this one.
fn with_metrics<R>(shard: Shard, catalog: Catalog, test: impl AsyncFnOnce(&Metrics) -> R) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (sender, reports) = mpsc::unbounded_channel::<Reported>();
        let bell = Arc::new(Notify::new());
        let door = Arc::new(Inbox::new({
            let bell = bell.clone();
            move || bell.notify_one()
        }));
        let inbox = door.clone();
        let serve = async move {
            loop {
                bell.notified().await;
                for (ticket, demand) in inbox.take() {
                    let reply = Reply::Figures(shard.answer(&demand));
                    sender.send(Report::Reply(ticket, reply)).expect("the broker listens");
                }
            }
        };
        let broker = Broker::new(Arc::new(Config::default()), catalog, vec![door]);
        let metrics = Metrics::new(broker.clone(), Box::new(|| Duration::from_secs(2_000_000_000)));
        tokio::select! {
            () = serve => unreachable!("a shard serves for ever"),
            () = broker.follow(reports) => unreachable!("the shard is there"),
            result = test(&metrics) => result,
        }
    })
}

/// The text of an endpoint, given as a path with a query.
async fn fetch(metrics: &Metrics, target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let endpoint = Endpoint::of(&Settings::default(), path, query).expect("an endpoint");
    let facts = Facts { process: Process::read(), memory_max: Some(9), disk_free: Some(8), disk_free_min: Some(7), ..Facts::default() };
    metrics.render(facts, &endpoint, Format::Text).await.expect("the shard answers").collect()
}

/// A broker with some objects.
fn small() -> (Shard, Catalog) {
    let mut catalog = Catalog::new();
    catalog.with_exchange("logs", "fanout");
    let plain = catalog.with_queue("plain").queue;
    let arguments = TableBuilder::new().text("x-queue-type", "quorum").build();
    catalog.perform_well(Topology::DeclareQueue(QueueSpec {
        name: "odd\"\\\n".into(),
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments,
    }));
    let odd = catalog.queue_by_name(VhostId(0), "odd\"\\\n").expect("it was declared").addr.queue;
    catalog.with_binding("logs", "", "plain");
    let logs = catalog.exchange_by_name(VhostId(0), b"logs").expect("it was declared").id;
    let mut of_exchange = Counts::default();
    (of_exchange[Count::PublishIn], of_exchange[Count::PublishOut]) = (11, 22);
    let mut counts = Counts::default();
    let of_messages = Count::ALL.into_iter().filter(|count| !matches!(count, Count::PublishIn | Count::PublishOut));
    of_messages.enumerate().for_each(|(at, count)| counts.add(count, at + 1));
    let queue = |id, ready| QueueFigures { id, ready, unacked: 2, ready_bytes: 10, memory: 100, spilled: 1, ..QueueFigures::default() };
    let shard = Shard {
        totals: Totals { counts, octets: (50, 60), logins: (3, 4), consumers: 5, message_memory: 77, ..Totals::default() },
        queues: vec![queue(plain, 3), QueueFigures { head_timestamp_ms: Some(1500), ..queue(odd, 4) }],
        channels: vec![channel(counts)],
        connections: vec![connection()],
        exchanges: vec![ExchangeFigures { id: logs, counts: of_exchange }],
        walks: Arc::default(),
    };
    (shard, catalog)
}

fn address() -> ConnAddr {
    ConnAddr { shard: ShardId(0), conn: ConnId(Key { slot: 1, generation: 0 }) }
}

fn connection() -> ConnectionFigures {
    ConnectionFigures {
        addr: address(),
        peer: "[::ffff:10.0.0.1]:99".parse().expect("an address"),
        local: "127.0.0.1:5672".parse().expect("an address"),
        protocol: "AMQP 0-9-1",
        user: None,
        vhost: Some(VhostId(0)),
        state: ConnectionState::Running,
        connected_at_ms: 0,
        mechanism: "PLAIN",
        client_properties: Table::empty(),
        channels: 1,
        channel_max: 0,
        frame_max: 0,
        heartbeat: 0,
        octets: (5, 6),
        packets: (1, 2),
        pending: 9,
    }
}

fn channel(counts: Counts) -> ChannelFigures {
    let ConnectionFigures { peer, local, .. } = connection();
    ChannelFigures {
        addr: ChannelAddr { conn: address(), channel: 7 },
        ends: (peer, local),
        user: "guest".into(),
        vhost: VhostId(0),
        state: ConnectionState::Running,
        confirm: true,
        transactional: false,
        prefetch: 20,
        global_prefetch: 0,
        consumers: 1,
        unacked: 2,
        unconfirmed: 3,
        uncommitted: 0,
        acks_uncommitted: 0,
        counts,
    }
}

/// A family as a text tells it.
#[derive(Debug)]
struct Told {
    name: String,
    kind: String,
    help: String,
    /// The samples: name with labels, and value.
    samples: Vec<(String, String)>,
}

/// Reads a text: every family is told once, its type before its explanation, and its samples stand
/// below it, each once.
fn read(text: &str) -> Vec<Told> {
    let mut families: Vec<Told> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            let help = lines.next().and_then(|line| line.strip_prefix("# HELP ")?.strip_prefix(name)?.strip_prefix(' '));
            assert!(families.iter().all(|family| family.name != name), "{name} is told twice");
            let (name, kind, help) = (name.to_owned(), kind.to_owned(), help.expect("an explanation").to_owned());
            families.push(Told { name, kind, help, samples: Vec::new() });
        } else {
            let family = families.last_mut().expect("a family before its samples");
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let bare = name.split('{').next().expect("a name");
            let endings = if family.kind == "summary" { &["_count", "_sum"][..] } else { &[""] };
            assert!(endings.iter().any(|ending| bare == format!("{}{ending}", family.name)), "{line} below {}", family.name);
            assert!(value == "NaN" || value.parse::<f64>().is_ok(), "{line}");
            assert!(family.samples.iter().all(|(other, _)| other != name), "{name} is there twice");
            family.samples.push((name.to_owned(), value.to_owned()));
        }
    }
    families
}

/// The value of a sample.
fn value<'a>(families: &'a [Told], sample: &str) -> &'a str {
    let mut samples = families.iter().flat_map(|family| &family.samples);
    samples.find(|(name, _)| name == sample).map_or("missing", |(_, value)| value)
}

#[test]
fn every_family_of_rabbitmq_is_told_in_its_words() {
    let (shard, catalog) = small();
    with_metrics(shard, catalog, async |metrics| {
        for (target, captured) in [
            ("/metrics", include_str!("captured/aggregated.txt")),
            ("/metrics/per-object", include_str!("captured/per-object.txt")),
            ("/metrics/memory-breakdown", include_str!("captured/memory-breakdown.txt")),
        ] {
            let told = read(&fetch(metrics, target).await);
            let told: BTreeSet<String> = told.iter().map(|family| format!("{} {} {}", family.name, family.kind, family.help)).collect();
            let captured: BTreeSet<String> = captured.lines().map(str::to_owned).collect();
            let lacking: Vec<&String> = captured.difference(&told).collect();
            assert!(lacking.is_empty(), "{target} lacks {lacking:#?}");
            let more: Vec<&String> = told.difference(&captured).filter(|family| !family.starts_with("ringmq_")).collect();
            assert!(more.is_empty(), "{target} also has {more:#?}");
        }
    });
}

#[test]
fn what_is_asked_for_is_what_rabbitmq_answers() {
    let captured: Vec<[&str; 3]> = include_str!("captured/detailed.txt")
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>().try_into().expect("a group, a name and a type"))
        .collect();
    let groups: BTreeSet<&str> = captured.iter().map(|[group, ..]| *group).collect();
    let (shard, catalog) = small();
    with_metrics(shard, catalog, async |metrics| {
        for group in groups {
            let families = read(&fetch(metrics, &format!("/metrics/detailed?family={group}")).await);
            let told: BTreeSet<(&str, &str)> = families.iter().map(|family| (&*family.name, &*family.kind)).collect();
            let own = captured.iter().filter(|[of, ..]| *of == group).map(|&[_, name, kind]| (name, kind));
            assert_eq!(told, own.chain(ALWAYS).collect(), "{group}");
        }
        let told = read(&fetch(metrics, "/metrics/detailed?family=nonsense").await);
        assert_eq!(told.len(), ALWAYS.len());
    });
}

#[test]
fn dashboards_and_alerts_find_what_they_read() {
    let (shard, catalog) = small();
    with_metrics(shard, catalog, async |metrics| {
        let all = read(&fetch(metrics, "/metrics").await);
        let detailed = read(&fetch(metrics, "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count").await);
        let has = |name: &str| {
            let mut families = all.iter().chain(&detailed).filter(|family| !family.samples.is_empty());
            families.any(|family| family.name.strip_prefix("rabbitmq_") == Some(name))
        };
        let lacking: Vec<&str> = READ.split_whitespace().filter(|name| !has(name)).collect();
        assert_eq!(lacking, ["message_size_bytes"], "nobody measures messages");
    });
}

#[test]
fn sums_are_those_of_objects_and_of_shards() {
    let (shard, catalog) = small();
    with_metrics(shard, catalog, async |metrics| {
        let told = read(&fetch(metrics, "/metrics").await);
        for (sample, expected) in [
            ("rabbitmq_queues", "2"),
            ("rabbitmq_queue_messages_ready", "7"),
            ("rabbitmq_queue_messages", "11"),
            ("rabbitmq_queue_messages_ready_ram", "5"),
            ("rabbitmq_queue_consumer_capacity", "0.0"),
            ("rabbitmq_queue_head_message_timestamp", "missing"),
            ("rabbitmq_queue_messages_published_total", "22"),
            ("rabbitmq_exchange_messages_published_total", "1"),
            ("rabbitmq_exchange_messages_confirmed_total", "2"),
            ("rabbitmq_channel_messages_delivered_total", "6"),
            ("rabbitmq_queue_messages_delivered_ack_total", "5"),
            ("rabbitmq_consumer_prefetch", "20"),
            ("rabbitmq_connection_incoming_bytes_total", "55"),
            ("rabbitmq_auth_attempts_total", "7"),
            ("rabbitmq_auth_attempts_failed_total{protocol=\"amqp091\"}", "4"),
            ("rabbitmq_global_messages_delivered_total{protocol=\"amqp091\"}", "26"),
            ("rabbitmq_global_publishers{protocol=\"amqp091\"}", "1"),
            ("rabbitmq_global_consumers{protocol=\"amqp091\"}", "5"),
            ("rabbitmq_resident_memory_limit_bytes", "9"),
            ("rabbitmq_alarms_memory_used_watermark", "0"),
            ("ringmq_shard_message_memory_bytes{shard=\"0\"}", "77"),
            ("ringmq_connection_pending_bytes", "9"),
        ] {
            assert_eq!(value(&told, sample), expected, "{sample}");
        }
        let parts = read(&fetch(metrics, "/metrics/memory-breakdown").await);
        assert_eq!(value(&parts, "rabbitmq_memory_quorum_queue_erlang_process_bytes"), "100");
        let sum: f64 = parts
            .iter()
            .flat_map(|part| &part.samples)
            .filter(|(name, _)| name.starts_with("rabbitmq_memory_"))
            .map(|(_, bytes)| bytes.parse::<f64>().expect("bytes"))
            .sum();
        let resident = Process::read().resident.expect("the kernel tells") as f64;
        assert!((sum / resident - 1.0).abs() < 0.2, "{sum} of {resident}");
    });
}

#[test]
fn objects_have_rabbitmq_s_labels() {
    let (shard, catalog) = small();
    with_metrics(shard, catalog, async |metrics| {
        let told = read(&fetch(metrics, "/metrics/per-object").await);
        for (sample, expected) in [
            ("rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"plain\"}", "3"),
            ("rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"odd\\\"\\\\\\n\"}", "4"),
            ("rabbitmq_queue_messages_ready", "missing"),
            ("rabbitmq_queue_head_message_timestamp{vhost=\"/\",queue=\"plain\"}", "NaN"),
            ("rabbitmq_queue_head_message_timestamp{vhost=\"/\",queue=\"odd\\\"\\\\\\n\"}", "1.5"),
            ("rabbitmq_queue_info{vhost=\"/\",queue=\"plain\",queue_type=\"rabbit_classic_queue\",membership=\"leader\"}", "1"),
            ("rabbitmq_exchange_messages_published_total{vhost=\"/\",exchange=\"logs\"}", "11"),
            ("rabbitmq_channel_consumers{channel=\"10.0.0.1:99 -> 127.0.0.1:5672 (7)\"}", "1"),
            ("rabbitmq_connection_incoming_bytes_total{channel=\"10.0.0.1:99 -> 127.0.0.1:5672\"}", "5"),
        ] {
            assert_eq!(value(&told, sample), expected, "{sample}");
        }
        let names = read(&fetch(metrics, "/metrics/detailed?family=exchange_bindings&family=exchange_names&family=vhost_status").await);
        let of_logs = "{vhost=\"/\",exchange=\"logs\",type=\"fanout\"}";
        assert_eq!(value(&names, &format!("rabbitmq_cluster_exchange_bindings{of_logs}")), "1");
        assert_eq!(value(&names, &format!("rabbitmq_cluster_exchange_name{of_logs}")), "1");
        assert_eq!(value(&names, "rabbitmq_cluster_vhost_status{vhost=\"/\"}"), "1");
    });
}

#[test]
fn a_query_narrows_the_objects() {
    let (shard, catalog) = small();
    with_metrics(shard, catalog, async |metrics| {
        for (query, queues) in
            [("", 2), ("&queue=ai", 1), ("&queue=%5Eai", 0), ("&vhost=%2F", 2), ("&vhost=x&vhost=%2F", 2), ("&vhost=x", 0)]
        {
            let told = read(&fetch(metrics, &format!("/metrics/detailed?family=queue_coarse_metrics{query}")).await);
            let ready = told.iter().find(|family| family.name == "rabbitmq_detailed_queue_messages_ready").expect("told");
            assert_eq!(ready.samples.len(), queues, "{query}");
        }
    });
}

#[test]
fn an_answer_tells_who_answers_and_the_answers_before() {
    let (shard, catalog) = small();
    with_metrics(shard, catalog, async |metrics| {
        let first = fetch(metrics, "/metrics/detailed").await;
        let second = read(&fetch(metrics, "/metrics/detailed").await);
        let labels = "{registry=\"detailed\",content_type=\"text/plain; version=0.0.4\"}";
        assert_eq!(value(&second, &format!("telemetry_scrape_duration_seconds_count{labels}")), "1");
        assert_eq!(value(&second, &format!("telemetry_scrape_size_bytes_sum{labels}")), first.len().to_string());
        let identity = second.iter().find(|family| family.name == "rabbitmq_identity_info").expect("told");
        let [(sample, _)] = &identity.samples[..] else { panic!("one identity for each target") };
        assert!(
            sample.contains("rabbitmq_cluster=\"rabbit@localhost\"") && sample.ends_with("rabbitmq_endpoint=\"detailed\"}"),
            "{sample}"
        );
    });
}

#[test]
fn openmetrics_ends_with_a_mark() {
    let (shard, catalog) = small();
    with_metrics(shard, catalog, async |metrics| {
        let text = metrics.render(Facts::default(), &Endpoint::Aggregated, Format::OpenMetrics).await.expect("an answer");
        assert!(text.content_type().starts_with("application/openmetrics-text; version=1.0.0"));
        let text: String = text.collect();
        assert!(text.ends_with("\n# EOF\n") && text.contains("# TYPE rabbitmq_connections_opened counter\n"), "{text}");
    });
}

#[test]
fn very_many_queues_come_in_chunks_and_soon() {
    const MANY: u32 = 50_000;
    let mut catalog = Catalog::new();
    let queue =
        |at| QueueFigures { id: catalog.with_queue(&format!("queue-of-some-length-{at}")).queue, ready: 1, ..QueueFigures::default() };
    let queues = (0..MANY).map(queue).collect();
    with_metrics(Shard { queues, ..Shard::default() }, catalog, async |metrics| {
        let started = std::time::Instant::now();
        let text = metrics.render(Facts::default(), &Endpoint::PerObject, Format::Text).await.expect("an answer");
        let (mut bytes, mut longest, mut ready) = (0, 0, 0);
        for chunk in text {
            bytes += chunk.len();
            longest = longest.max(chunk.len());
            ready += chunk.lines().filter(|line| line.starts_with("rabbitmq_queue_messages_ready{")).count();
        }
        let took = started.elapsed();
        assert_eq!(ready, MANY as usize);
        assert!(longest < 100_000 && bytes > 50_000_000, "{longest} of {bytes}");
        assert!(took.as_secs() < 10, "{took:?}"); // on a busy machine, without optimizations
        println!("{bytes} bytes in {took:?}");
        let sums = read(&fetch(metrics, "/metrics").await);
        assert_eq!(value(&sums, "rabbitmq_queue_messages_ready"), MANY.to_string());
    });
}

#[test]
fn sums_over_very_many_objects_are_not_taken_by_every_scrape() {
    for (connections, walks) in [(10, 3), (1_000_000, 1)] {
        let (shard, catalog) = small();
        let (walked, totals) = (shard.walks.clone(), Totals { connections, ..shard.totals });
        with_metrics(Shard { totals, ..shard }, catalog, async |metrics| {
            for _ in 0..3 {
                let told = read(&fetch(metrics, "/metrics").await);
                assert_eq!(value(&told, "rabbitmq_queue_messages_ready"), "7");
            }
        });
        assert_eq!(walked.load(Ordering::Relaxed), walks, "{connections} connections");
    }
}

/// What every answer has.
const ALWAYS: [(&str, &str); 4] = [
    ("rabbitmq_build_info", "untyped"),
    ("rabbitmq_identity_info", "untyped"),
    ("telemetry_scrape_duration_seconds", "summary"),
    ("telemetry_scrape_size_bytes", "summary"),
];

/// What RabbitMQ's overview dashboard (10991) and the alerts of its Kubernetes operator read.
const READ: &str = "build_info identity_info channels channels_opened_total channels_closed_total connections \
    connections_opened_total connections_closed_total queues queues_declared_total queues_created_total queues_deleted_total \
    global_publishers global_consumers global_messages_received_total global_messages_received_confirm_total \
    global_messages_routed_total global_messages_confirmed_total global_messages_unroutable_returned_total \
    global_messages_unroutable_dropped_total global_messages_delivered_total \
    global_messages_delivered_consume_auto_ack_total global_messages_delivered_consume_manual_ack_total \
    global_messages_delivered_get_auto_ack_total global_messages_delivered_get_manual_ack_total \
    global_messages_get_empty_total global_messages_redelivered_total global_messages_acknowledged_total \
    queue_messages_ready queue_messages_unacked message_size_bytes disk_space_available_bytes \
    disk_space_available_limit_bytes process_open_fds process_max_fds process_resident_memory_bytes \
    resident_memory_limit_bytes erlang_uptime_seconds alarms_memory_used_watermark alarms_free_disk_space_watermark \
    channel_messages_unroutable_dropped_total channel_messages_unroutable_returned_total detailed_queue_messages \
    detailed_queue_consumers";

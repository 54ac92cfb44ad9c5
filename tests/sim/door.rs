//! The door of operators: figures tell what clients did, wherever they and their queues live, and
//! interventions take effect.

use ringmq::base::ids::QueueId;
use ringmq::config::Config;
use ringmq::contract::{
    ChannelFigures, ConnectionFigures, ConnectionState, ConsumerFigures, Count, Counts, Demand, ExchangeFigures, Figures, Intervened,
    Intervention, PART, Part, Publication, Query, QueueFigures, Reply, Totals,
};

use crate::op::{Op, Publish, Saw, Settle};
use crate::operators::{join, say};
use crate::support::broker::Conn;
use crate::support::cluster::Cluster;

/// Returns a shard's answer.
fn ask(cluster: &mut Cluster, shard: usize, demand: impl Into<Demand>) -> Reply {
    let ticket = cluster.demand(shard, demand);
    cluster.settle();
    let (answered, reply) = cluster.next_reply(shard).expect("every demand is answered");
    assert_eq!(answered, ticket);
    reply
}

fn figures(cluster: &mut Cluster, shard: usize, query: Query) -> Figures {
    match ask(cluster, shard, query) {
        Reply::Figures(figures) => figures,
        other => panic!("{other:?} is no figures"),
    }
}

/// Lists something on all shards.
fn list<T>(cluster: &mut Cluster, query: impl Fn(u32) -> Query, part: impl Fn(Figures) -> Option<Part<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for shard in 0..cluster.shard_count() {
        let mut from = Some(0);
        while let Some(at) = from {
            let Part { items, next } = part(figures(cluster, shard, query(at))).expect("the kind that was asked for");
            all.extend(items);
            from = next;
        }
    }
    all
}

macro_rules! lists {
    ($($name:ident, $kind:ident, $figures:ident;)*) => {
        $(fn $name(cluster: &mut Cluster) -> Vec<$figures> {
            list(cluster, |from| Query::$kind { from }, |figures| if let Figures::$kind(part) = figures { Some(part) } else { None })
        })*
    };
}

lists! {
    queues, Queues, QueueFigures;
    exchanges, Exchanges, ExchangeFigures;
    connections, Connections, ConnectionFigures;
    channels, Channels, ChannelFigures;
    consumers, Consumers, ConsumerFigures;
}

/// Returns the sums of all shards.
fn totals(cluster: &mut Cluster) -> Totals {
    let mut sum = Totals::default();
    for shard in 0..cluster.shard_count() {
        let Figures::Totals(totals) = figures(cluster, shard, Query::Totals) else { panic!("totals were asked for") };
        sum.counts += &totals.counts;
        sum.connections += totals.connections;
        sum.channels += totals.channels;
        sum.consumers += totals.consumers;
        sum.churn.connection_closed += totals.churn.connection_closed;
        sum.churn.channel_closed += totals.churn.channel_closed;
        sum.churn.channel_created += totals.churn.channel_created;
        sum.churn.queue_declared += totals.churn.queue_declared;
        sum.churn.queue_created += totals.churn.queue_created;
    }
    sum
}

fn counts(counted: &[(Count, u64)]) -> Counts {
    let mut counts = Counts::default();
    counted.iter().for_each(|&(count, n)| counts[count] = n);
    counts
}

fn published(id: u32, key: &'static str, mandatory: bool) -> Publish {
    Publish { id, key, mandatory, ..Publish::default() }
}

/// A client that publishes, fetches, consumes and acknowledges on channel 1, and publishes on
/// channel 2.
fn act(cluster: &mut Cluster, publisher: Conn, consumer: Conn) {
    let publishes = vec![published(1, "q0", false), published(2, "q0", false), published(3, "q0", false)];
    let nowhere = vec![published(4, "nowhere", true), published(5, "nowhere", false)];
    let own = [(1, Op::Open), (1, Op::ConfirmSelect), (1, Op::DeclareQueue("q0")), (1, Op::Publish(publishes)), (1, Op::Publish(nowhere))];
    say(cluster, publisher, &own);
    say(cluster, consumer, &[(1, Op::Open), (2, Op::Open), (1, Op::Qos { prefetch: 7, global: false })]);
    let get = |no_ack| Op::Get { queue: "q0", no_ack };
    say(cluster, consumer, &[(1, get(true)), (1, get(false))]);
    say(cluster, consumer, &[(1, Op::Settle { how: Settle::Requeue, tag: 2, multiple: false })]);
    say(cluster, consumer, &[(1, Op::Consume { queue: "q0", tag: 1, no_ack: false, exclusive: false, priority: 0 })]);
    say(cluster, consumer, &[(1, Op::Settle { how: Settle::Ack, tag: 3, multiple: false }), (2, get(true))]);
}

#[test]
fn figures_tell_what_clients_did() {
    for shards in [1, 3] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        let [publisher, consumer] = [0, shards as usize - 1].map(|shard| join(&mut cluster, shard, "guest", "guest", "/"));
        act(&mut cluster, publisher, consumer);
        let of_queue =
            [(Count::Publish, 3), (Count::GetNoAck, 1), (Count::Get, 1), (Count::Deliver, 2), (Count::Redeliver, 1), (Count::Ack, 1)];
        let expected = counts(&[&of_queue[..], &[(Count::GetEmpty, 1)]].concat());
        let [queue]: [QueueFigures; 1] = queues(&mut cluster).try_into().expect("one queue");
        assert_eq!((queue.counts, queue.ready, queue.unacked, queue.consumers), (expected, 0, 1, 1));
        let by_id = |cluster: &mut Cluster, id: QueueId| {
            list(cluster, |_| Query::QueuesById(vec![id]), |figures| if let Figures::Queues(part) = figures { Some(part) } else { None })
        };
        assert_eq!(by_id(&mut cluster, queue.id), [queue]);
        let [exchange]: [ExchangeFigures; 1] = exchanges(&mut cluster).try_into().expect("one exchange was used");
        assert_eq!((exchange.counts[Count::PublishIn], exchange.counts[Count::PublishOut]), (5, 3));
        let all = channels(&mut cluster);
        let find = |confirm| all.iter().find(|channel| channel.confirm == confirm && channel.addr.channel == 1).expect("it is open");
        let of_publisher = [(Count::Publish, 5), (Count::Confirm, 5), (Count::ReturnUnroutable, 1), (Count::DropUnroutable, 1)];
        assert_eq!((all.len(), find(true).counts, find(true).unconfirmed), (3, counts(&of_publisher), 0));
        let of_consumer = find(false);
        let expected = [(Count::GetNoAck, 1), (Count::Get, 1), (Count::Deliver, 2), (Count::Redeliver, 1), (Count::Ack, 1)];
        assert_eq!((of_consumer.counts, of_consumer.prefetch, of_consumer.unacked, of_consumer.consumers), (counts(&expected), 7, 1, 1));
        let [found]: [ConsumerFigures; 1] = consumers(&mut cluster).try_into().expect("one consumer");
        assert_eq!((found.channel, found.prefetch, found.ack_required, &*found.user), (of_consumer.addr, 7, true, "guest"));
        let sum = totals(&mut cluster);
        let all = [(Count::Publish, 5), (Count::GetEmpty, 1)];
        assert_eq!(sum.counts, counts(&[&of_queue[1..], &of_publisher[1..], &all].concat()));
        assert_eq!((sum.connections, sum.channels, sum.consumers), (2, 3, 1));
        say(&mut cluster, consumer, &[(2, Op::Close)]);
        cluster.reset(consumer);
        cluster.settle();
        let sum = totals(&mut cluster);
        assert_eq!((sum.connections, sum.channels, sum.consumers), (1, 1, 0));
        assert_eq!((sum.churn.connection_closed, sum.churn.channel_closed, sum.churn.channel_created), (1, 2, 3));
        assert_eq!((sum.churn.queue_declared, sum.churn.queue_created), (1, 1));
        assert_eq!(queues(&mut cluster)[0].ready, 1);
    }
}

#[test]
fn a_channel_counts_right_whatever_the_order_of_acks() {
    for shards in [1, 3] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        let [publisher, consumer] = [0, shards as usize - 1].map(|shard| join(&mut cluster, shard, "guest", "guest", "/"));
        say(&mut cluster, publisher, &[(1, Op::Open), (1, Op::DeclareQueue("q0")), (1, Op::TxSelect)]);
        say(
            &mut cluster,
            consumer,
            &[(1, Op::Open), (1, Op::Consume { queue: "q0", tag: 1, no_ack: false, exclusive: false, priority: 0 })],
        );
        say(&mut cluster, publisher, &[(1, Op::Publish((1..=100).map(|id| published(id, "q0", false)).collect())), (1, Op::Commit)]);
        let acks: Vec<(u16, Op)> = (2..=60).map(|tag| (1, Op::Settle { how: Settle::Ack, tag, multiple: false })).collect();
        say(&mut cluster, consumer, &acks);
        let all = channels(&mut cluster);
        let of = |unacked| all.iter().find(|channel| channel.unacked == unacked).expect("it is open").counts;
        assert_eq!(of(41), counts(&[(Count::Deliver, 100), (Count::Ack, 59)]));
        assert_eq!(of(0), counts(&[(Count::Publish, 100)]));
        let [exchange]: [ExchangeFigures; 1] = exchanges(&mut cluster).try_into().expect("one exchange was used");
        assert_eq!((exchange.counts[Count::PublishIn], exchange.counts[Count::PublishOut]), (100, 100));
        assert_eq!(totals(&mut cluster).counts, counts(&[(Count::Publish, 100), (Count::Deliver, 100), (Count::Ack, 59)]));
    }
}

#[test]
fn a_long_list_comes_in_parts_without_gaps() {
    let mut cluster = Cluster::new(Config { shards: 2, ..Config::default() }, 1);
    let conns: Vec<Conn> = (0..2).map(|shard| join(&mut cluster, shard, "guest", "guest", "/")).collect();
    let most = 3 * PART as u32 / 2;
    let ops: Vec<(u16, Op)> = (0..most).map(|n| (1, Op::DeclareQueue(Box::leak(format!("q{n}").into_boxed_str())))).collect();
    conns.iter().for_each(|&conn| _ = say(&mut cluster, conn, &[(1, Op::Open)]));
    say(&mut cluster, conns[0], &ops[..ops.len() / 2]);
    say(&mut cluster, conns[1], &ops[ops.len() / 2..]);
    let mut ids: Vec<QueueId> = queues(&mut cluster).into_iter().map(|queue| queue.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), most as usize);
}

#[test]
fn an_operator_closes_purges_and_publishes() {
    for shards in [1, 3] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        let shard = shards as usize - 1;
        let conn = join(&mut cluster, shard, "guest", "guest", "/");
        say(&mut cluster, conn, &[(1, Op::Open), (1, Op::DeclareQueue("q0")), (1, Op::Publish(vec![published(1, "q0", false)]))]);
        let [exchange, vhost] = ["", "/"].map(Into::into);
        let publication = Publication { vhost, exchange, key: b"q0"[..].into(), properties: vec![0, 0], body: b"own".to_vec() };
        ask(&mut cluster, 0, Intervention::Publish(Box::new(publication)));
        let queue = queues(&mut cluster).remove(0);
        assert_eq!(queue.ready, 2);
        let purged = (0..shards.into())
            .map(|shard| ask(&mut cluster, shard, Intervention::Purge(queue.id)))
            .filter(|reply| *reply != Reply::Intervened(Intervened::Absent));
        assert_eq!(purged.collect::<Vec<_>>(), [Reply::Intervened(Intervened::Done { messages: 2 })]);
        assert_eq!(queues(&mut cluster)[0].ready, 0);
        let addr = connections(&mut cluster).remove(0).addr;
        let close = Intervention::CloseConnection { conn: addr, reason: "as you like it".into() };
        assert_eq!(ask(&mut cluster, shard, close.clone()), Reply::Intervened(Intervened::Done { messages: 0 }));
        let told = say(&mut cluster, conn, &[]);
        assert!(matches!(&told[..], [Saw::ConnectionClosed(text)] if text.contains("CONNECTION_FORCED - as you like it")), "{told:?}");
        let state = connections(&mut cluster).first().map(|conn| conn.state);
        assert_eq!(state, Some(ConnectionState::Closing), "it waits for close-ok");
        cluster.reset(conn);
        cluster.settle();
        assert_eq!(ask(&mut cluster, shard, close), Reply::Intervened(Intervened::Absent));
    }
}

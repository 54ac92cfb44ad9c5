//! Exchanges that remember, with publishers on all shards at once: the decisions of shard 0 for
//! them are exact, and cost no more than the limits allow.

use std::collections::BTreeMap;

use ringmq::base::limits::{MAIL_BYTES_MAX, PARKED_INPUT_MAX};
use ringmq::config::Config;

use crate::choice::Dice;
use crate::limits::{join, read_all, say};
use crate::op::{Op, Publish, Saw};
use crate::queues::PLAIN;
use crate::support::broker::Conn;
use crate::support::cluster::Cluster;
use crate::support::value::Value;
use crate::support::wire::{self, Method};

#[test]
fn a_value_passes_once_in_the_whole_broker() {
    for seed in 0..20 {
        let (mut cluster, clients, mut dice) = broker(seed);
        ask(
            &mut cluster,
            clients[0],
            "exchange.declare",
            &[("exchange", "e"), ("type", "fanout")],
            &[("x-message-deduplication", Value::Bool(true))],
        );
        say(&mut cluster, clients[1], &Op::DeclareQueue("q0"));
        ask(&mut cluster, clients[1], "queue.bind", &[("queue", "q0"), ("exchange", "e")], &[]);
        for (number, (client, value)) in (0..).zip(shuffled(&mut dice, &clients)) {
            let headers = vec![("x-deduplication-header", VALUES[value])];
            publish(&mut cluster, client, &Publish { headers, ..message(number) });
            cluster.turn(dice.index(usize::from(SHARDS)));
        }
        cluster.settle();
        assert_eq!(counts(&mut cluster, clients[2]).len(), VALUES.len(), "seed {seed}");
    }
}

#[test]
fn a_queue_that_is_bound_meanwhile_gets_every_message_once_and_in_order() {
    for seed in 0..20 {
        let (mut cluster, clients, mut dice) = broker(seed);
        let length = [("x-recent-history-length", Value::Number('I', 1000))];
        ask(&mut cluster, clients[0], "exchange.declare", &[("exchange", "e"), ("type", "x-recent-history")], &length);
        say(&mut cluster, clients[1], &Op::DeclareQueue("q0"));
        let binds_at = dice.below(90) as u32;
        for number in 0..90 {
            if number == binds_at {
                let bind = frame("queue.bind", &[("queue", "q0"), ("exchange", "e")], &[]);
                cluster.write(clients[1], &bind);
            }
            publish(&mut cluster, clients[number as usize % clients.len()], &message(number));
            cluster.turn(dice.index(usize::from(SHARDS)));
        }
        cluster.settle();
        let got = counts(&mut cluster, clients[2]);
        assert!(got.len() == 90 && got.values().all(|(count, _)| *count == 1), "seed {seed}: {got:?}");
        for publisher in 0..3 {
            let own: Vec<usize> = (0..30).map(|n| got[&message(3 * n + publisher).id].1).collect();
            assert!(own.is_sorted(), "seed {seed}: the messages of one publisher changed places");
        }
    }
}

#[test]
fn who_publishes_and_asks_finds_the_message() {
    let (mut cluster, clients, _) = broker(1);
    ask(&mut cluster, clients[0], "exchange.declare", &[("exchange", "e"), ("type", "x-recent-history")], &[]);
    say(&mut cluster, clients[1], &Op::DeclareQueue("q0"));
    ask(&mut cluster, clients[1], "queue.bind", &[("queue", "q0"), ("exchange", "e")], &[]);
    for client in clients {
        let bytes = [Op::Publish(vec![message(1)]).encode(1, FRAME), Op::Get { queue: "q0", no_ack: true }.encode(1, FRAME)].concat();
        cluster.write(client, &bytes);
        cluster.settle();
        assert!(matches!(read_all(&mut cluster, client)[..], [Saw::Got { .. }]), "the queue has it before the question comes");
    }
}

#[test]
fn a_late_queue_is_felt_by_publishers_behind_shard_0() {
    let (mut cluster, clients, _) = broker(1);
    ask(
        &mut cluster,
        clients[0],
        "exchange.declare",
        &[("exchange", "e"), ("type", "fanout")],
        &[("x-message-deduplication", Value::Bool(true))],
    );
    say(&mut cluster, clients[1], &Op::DeclareQueue("q0"));
    ask(&mut cluster, clients[1], "queue.bind", &[("queue", "q0"), ("exchange", "e")], &[]);
    let mut written = 0;
    // The queue's shard takes no turn.
    while !cluster.is_paused(clients[2]) {
        publish(&mut cluster, clients[2], &large(written));
        cluster.turn(2);
        cluster.turn(0);
        written += 1;
        let limit = 2 * MAIL_BYTES_MAX + PARKED_INPUT_MAX + 4 * LARGE;
        assert!(written as usize * LARGE <= limit, "a publisher may write {written} messages ahead of a shard that is late");
    }
    cluster.settle();
    assert!(!cluster.is_paused(clients[2]), "the queue's shard has caught up");
    assert_eq!(counts(&mut cluster, clients[0]).len(), written as usize);
}

#[test]
fn a_publisher_that_goes_takes_nothing_along() {
    for returns in [false, true] {
        let (mut cluster, clients, _) = broker(1);
        ask(&mut cluster, clients[0], "exchange.declare", &[("exchange", "e"), ("type", "x-recent-history")], &[]);
        say(&mut cluster, clients[2], &Op::ConfirmSelect);
        for number in 0..10 {
            publish(&mut cluster, clients[2], &Publish { mandatory: returns, ..message(number) });
        }
        cluster.turn(2);
        cluster.reset(clients[2]);
        cluster.settle();
        say(&mut cluster, clients[1], &Op::DeclareQueue("q0"));
        ask(&mut cluster, clients[1], "queue.bind", &[("queue", "q0"), ("exchange", "e")], &[]);
        assert_eq!(counts(&mut cluster, clients[1]).len(), 10);
    }
}

/// A broker, a client on each of its shards, and dice.
fn broker(seed: u64) -> (Cluster, [Conn; SHARDS as usize], Dice) {
    let mut cluster = Cluster::new(Config { shards: SHARDS, ..Config::default() }, seed);
    let clients = std::array::from_fn(|shard| join(&mut cluster, shard));
    (cluster, clients, Dice::new(seed, PLAIN))
}

/// Returns every client with every value, in random order.
fn shuffled(dice: &mut Dice, clients: &[Conn]) -> Vec<(Conn, usize)> {
    let mut left: Vec<(Conn, usize)> = clients.iter().flat_map(|&client| (0..VALUES.len()).map(move |value| (client, value))).collect();
    (0..left.len()).map(|_| left.swap_remove(dice.index(left.len()))).collect()
}

fn publish(cluster: &mut Cluster, client: Conn, message: &Publish) {
    cluster.write(client, &Op::Publish(vec![message.clone()]).encode(1, FRAME - 8));
}

fn frame(method: &str, names: &[(&str, &str)], arguments: &[(&str, Value)]) -> Vec<u8> {
    let arguments = arguments.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect();
    let names = names.iter().map(|(field, name)| (*field, Value::text(name)));
    let fields: Vec<_> = names.chain([("arguments", Value::Table(arguments))]).collect();
    wire::method_frame(1, &Method::new(method, &fields).expect("the list knows the method"))
}

/// Sends a request, and checks that it succeeds.
pub fn ask(cluster: &mut Cluster, client: Conn, method: &str, names: &[(&str, &str)], arguments: &[(&str, Value)]) {
    cluster.write(client, &frame(method, names, arguments));
    cluster.settle();
    let seen = read_all(cluster, client);
    assert!(matches!(&seen.last(), Some(Saw::Reply(reply)) if reply.starts_with(&format!("{method}-ok"))), "{seen:?}");
}

/// Returns how often each message is in the queue, and its position there.
fn counts(cluster: &mut Cluster, client: Conn) -> BTreeMap<u32, (usize, usize)> {
    read_all(cluster, client);
    say(cluster, client, &Op::Consume { queue: "q0", tag: 1, no_ack: true, exclusive: false, priority: 0 });
    let ids = read_all(cluster, client).into_iter().filter_map(|saw| if let Saw::Delivered { id, .. } = saw { Some(id) } else { None });
    let mut counts = BTreeMap::new();
    for (place, id) in ids.enumerate() {
        counts.entry(id).or_insert((0, place)).0 += 1;
    }
    counts
}

/// Makes a message of [`LARGE`] bytes.
fn large(number: u32) -> Publish {
    Publish { id: 5 + number * 97, ..message(0) }
}

/// Makes a small message.
fn message(number: u32) -> Publish {
    Publish { id: 6 + number * 97, exchange: "e", key: "k", ..Publish::default() }
}

const VALUES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
const SHARDS: u16 = 3;
const FRAME: usize = 131_072;
const LARGE: usize = 20_000;

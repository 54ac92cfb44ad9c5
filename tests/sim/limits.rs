//! Memory under pressure: a reader that stalls and a publisher that floods take no more than the
//! limits allow, and nothing is lost once they go on.

use ringmq::base::limits::{
    ARENA_CHUNK_SIZE, CREDIT_BYTES_MAX, MAIL_BYTES_MAX, OUTPUT_SIZE_MAX, OUTPUT_SIZE_MIN, PARKED_INPUT_MAX, TRANSACTION_SIZE_MIN,
};
use ringmq::config::Config;

use crate::exact::handshake;
use crate::op::{Op, Publish, Saw, saw};
use crate::support::broker::Conn;
use crate::support::client::Incoming;
use crate::support::cluster::Cluster;
use crate::support::value::Value;
use crate::support::wire::{self, Method};

#[test]
fn a_reader_that_stalls_holds_no_more_than_its_limit() {
    for (shards, no_ack) in [(1, true), (1, false), (2, true), (2, false)] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        let (home, away) = (0, usize::from(shards) - 1);
        let publisher = join(&mut cluster, home);
        let reader = join(&mut cluster, away);
        say(&mut cluster, publisher, &Op::DeclareQueue("q0"));
        read_all(&mut cluster, publisher);
        say(&mut cluster, reader, &Op::Consume { queue: "q0", tag: 1, no_ack, exclusive: false, priority: 0 });
        for number in 0..COUNT {
            say(&mut cluster, publisher, &Op::Publish(vec![message(number)]));
        }
        say(&mut cluster, publisher, &Op::CheckQueue("q0"));
        let seen = read_all(&mut cluster, publisher);
        let Some(Saw::Reply(reply)) = seen.last() else { panic!("no answer to declare: {seen:?}") };
        let ready: usize = reply.split(' ').nth(2).and_then(|count| count.parse().ok()).expect("queue.declare-ok has a count");
        let delivered = (COUNT as usize - ready) * BODY;
        // One send is under way while as much again may be written behind it; messages on their way
        // from another shard are added to that.
        let limit = 2 * OUTPUT_SIZE_MAX + if shards > 1 { CREDIT_BYTES_MAX } else { 0 } + 2 * BODY;
        assert!(delivered <= limit, "{shards} shards, no_ack {no_ack}: {delivered} bytes went to a reader that does not read");
        let got = read_all(&mut cluster, reader).into_iter().filter(|saw| matches!(saw, Saw::Delivered { .. })).count();
        assert_eq!(got, COUNT as usize, "{shards} shards, no_ack {no_ack}");
    }
}

#[test]
fn a_publisher_that_floods_is_paused() {
    let mut cluster = Cluster::new(Config { shards: 2, ..Config::default() }, 1);
    let (publisher, owner) = (join(&mut cluster, 0), join(&mut cluster, 1));
    say(&mut cluster, owner, &Op::DeclareQueue("q0"));
    let mut written = 0;
    // The queue's shard is late: it takes no turn.
    while !cluster.is_paused(publisher) {
        let bytes = Op::Publish(vec![message(written)]).encode(1, FRAME - 8);
        cluster.write(publisher, &bytes);
        cluster.turn(0);
        written += 1;
        let limit = MAIL_BYTES_MAX + PARKED_INPUT_MAX + 2 * BODY;
        assert!(written as usize * BODY <= limit, "a publisher may write {written} messages ahead of a shard that is late");
    }
    cluster.settle();
    assert!(!cluster.is_paused(publisher), "the queue's shard has caught up");
    say(&mut cluster, owner, &Op::CheckQueue("q0"));
    assert_eq!(read_all(&mut cluster, owner).last(), Some(&Saw::Reply(format!("queue.declare-ok q0 {written} 0"))));
}

#[test]
fn a_publisher_that_outruns_the_preparation_of_memory_waits() {
    let mut cluster = Cluster::new(Config::default(), 1);
    let (publisher, other) = (join(&mut cluster, 0), join(&mut cluster, 0));
    say(&mut cluster, other, &Op::DeclareQueue("q0"));
    read_all(&mut cluster, other);
    let mut written = 0;
    // The kernel is late: the shard takes no turn in which it could hear that memory is prepared.
    while !cluster.is_paused(publisher) {
        cluster.write(publisher, &Op::Publish(vec![message(written)]).encode(1, FRAME - 8));
        written += 1;
        let limit = ARENA_CHUNK_SIZE + PARKED_INPUT_MAX + 2 * BODY;
        assert!(written as usize * BODY <= limit, "a publisher may write {written} messages ahead of the memory for them");
        if written == 1 {
            cluster.turn(0); // the first chunk is in use: the shard asks for the next one
        }
    }
    say(&mut cluster, other, &Op::CheckQueue("q0"));
    assert!(!cluster.is_paused(publisher), "memory is prepared");
    say(&mut cluster, other, &Op::CheckQueue("q0"));
    assert_eq!(read_all(&mut cluster, other).last(), Some(&Saw::Reply(format!("queue.declare-ok q0 {written} 0"))));
}

#[test]
fn those_who_ask_and_never_read_share_one_budget() {
    // An eighth of the memory is for output.
    let mut cluster = Cluster::new(Config { memory_max: Some(8 * OUTPUT_BUDGET), ..Config::default() }, 1);
    let other = join(&mut cluster, 0);
    say(&mut cluster, other, &Op::DeclareQueue("q0"));
    say(&mut cluster, other, &Op::Publish((0..=ASKING as u32).map(message).collect()));
    read_all(&mut cluster, other);
    let asking: Vec<Conn> = (0..ASKING).map(|_| join(&mut cluster, 0)).collect();
    for &conn in &asking {
        (1..=GETS).for_each(|tag| cluster.write(conn, &[get("q0"), nack(tag)].concat()));
    }
    cluster.settle();
    let used = cluster.shard(0).budgets().output.used();
    // Each client may have a send under way and as much again behind it, and one message more.
    assert!(used <= OUTPUT_BUDGET + ASKING * (2 * OUTPUT_SIZE_MIN + 2 * BODY), "{used} bytes wait for clients that do not read");
    assert!(asking.iter().all(|&conn| cluster.is_paused(conn)), "none of them is read any more");
    // A client that reads is served beside them.
    for number in 0..20 {
        say(&mut cluster, other, &Op::Publish(vec![message(number)]));
        say(&mut cluster, other, &Op::CheckQueue("q0"));
        assert!(matches!(&read_all(&mut cluster, other)[..], [Saw::Reply(_)]));
    }
    for &conn in &asking {
        let got = method_names(&mut cluster, conn);
        assert_eq!(got.len(), GETS as usize, "they get what they asked for as soon as they read");
        assert!(got.iter().all(|name| name == "basic.get-ok"));
        assert!(!cluster.is_paused(conn));
    }
    assert_eq!(cluster.shard(0).budgets().output.used(), 0);
}

#[test]
fn transactions_are_counted_by_the_memory_that_they_take() {
    // A quarter of the memory is for them.
    let mut cluster = Cluster::new(Config { memory_max: Some(4 * TRANSACTIONS_BUDGET), ..Config::default() }, 1);
    let conns: Vec<Conn> = (0..8).map(|_| join(&mut cluster, 0)).collect();
    let small = Publish { id: 12, key: "nowhere", ..Publish::default() };
    let mut refused = 0;
    for &conn in &conns {
        cluster.write(conn, &method_frame(1, "tx.select", &[]));
        (0..2000).for_each(|_| cluster.write(conn, &Op::Publish(vec![small.clone()]).encode(1, FRAME - 8)));
        cluster.settle();
        let used = cluster.shard(0).budgets().uncommitted.used();
        assert!(used <= TRANSACTIONS_BUDGET + conns.len() * 2 * TRANSACTION_SIZE_MIN, "{used} bytes are not committed");
        assert!(refused > 0 || used >= 2000 * SMALL_MIN);
        refused += usize::from(method_names(&mut cluster, conn).contains(&"connection.close".to_owned()));
    }
    assert!(
        (1..conns.len()).contains(&refused),
        "all together are too much, one is not: {refused} are refused, {} are held",
        cluster.shard(0).budgets().uncommitted.used()
    );
    conns.iter().for_each(|&conn| cluster.reset(conn));
    assert_eq!(cluster.shard(0).budgets().uncommitted.used(), 0);
    let conn = join(&mut cluster, 0);
    for end in ["tx.commit", "tx.rollback"] {
        cluster.write(conn, &method_frame(1, "tx.select", &[]));
        (0..100).for_each(|_| cluster.write(conn, &Op::Publish(vec![small.clone()]).encode(1, FRAME - 8)));
        assert!(cluster.shard(0).budgets().uncommitted.used() >= 100 * SMALL_MIN);
        cluster.write(conn, &method_frame(1, end, &[]));
        cluster.settle();
        assert_eq!(method_names(&mut cluster, conn), ["tx.select-ok", &format!("{end}-ok")]);
        assert_eq!(cluster.shard(0).budgets().uncommitted.used(), 0);
    }
}

fn get(queue: &str) -> Vec<u8> {
    method_frame(1, "basic.get", &[("queue", Value::text(queue))])
}

fn nack(tag: u64) -> Vec<u8> {
    method_frame(1, "basic.nack", &[("delivery_tag", Value::number(tag)), ("requeue", Value::Bool(true))])
}

fn method_frame(channel: u16, name: &str, fields: &[(&str, Value)]) -> Vec<u8> {
    wire::method_frame(channel, &Method::new(name, fields).expect("the list knows it"))
}

/// Returns the methods that the client has to read.
fn method_names(cluster: &mut Cluster, conn: Conn) -> Vec<String> {
    let (mut incoming, mut names) = (Incoming::default(), Vec::new());
    while cluster.unread(conn) > 0 {
        let bytes = cluster.read(conn, usize::MAX);
        names.extend(incoming.feed(&bytes).into_iter().map(|(_, event)| event.name().to_owned()));
        cluster.settle();
    }
    names
}

/// Connects a client with a channel to this shard.
pub fn join(cluster: &mut Cluster, shard: usize) -> Conn {
    let conn = cluster.connect_to(shard).expect("there are few");
    cluster.write(conn, &handshake(FRAME));
    say(cluster, conn, &Op::Open);
    while cluster.unread(conn) > 0 {
        cluster.read(conn, usize::MAX);
        cluster.settle();
    }
    conn
}

/// Sends an operation, and takes turns until the broker is at rest.
pub fn say(cluster: &mut Cluster, conn: Conn, op: &Op) {
    cluster.write(conn, &op.encode(1, FRAME - 8));
    cluster.settle();
}

/// Returns the events that the client has to read.
pub fn read_all(cluster: &mut Cluster, conn: Conn) -> Vec<Saw> {
    let (mut incoming, mut seen) = (Incoming::default(), Vec::new());
    while cluster.unread(conn) > 0 {
        let bytes = cluster.read(conn, usize::MAX);
        seen.extend(incoming.feed(&bytes).into_iter().map(|(_, event)| saw(event)));
        cluster.settle();
    }
    seen
}

/// Makes a message of [`BODY`] bytes.
pub fn message(number: u32) -> Publish {
    Publish { id: 5 + number * 97, key: "q0", ..Publish::default() }
}

/// The number of clients that ask and do not read, and of the messages that each asks for.
const ASKING: usize = 50;
const GETS: u64 = 100;
const OUTPUT_BUDGET: usize = 8 << 20;
const TRANSACTIONS_BUDGET: usize = 2 << 20;
/// The least memory that a small message of a transaction takes, bytes.
const SMALL_MIN: usize = 150;
const COUNT: u32 = 1000;
pub const BODY: usize = 20_000;
pub const FRAME: usize = 131_072;

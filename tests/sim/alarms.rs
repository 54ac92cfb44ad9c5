//! Alarms: the memory that a blocked connection takes, and its end, which is like that of any
//! other.

use ringmq::base::alarms::Alarm;
use ringmq::config::Config;

use crate::exact::handshake;
use crate::op::{Op, Publish};
use crate::support::broker::{Broker, Conn};
use crate::support::client::{Event, Incoming};
use crate::support::cluster::Cluster;
use crate::support::value::Value;
use crate::support::wire::{self, Method};

#[test]
fn a_blocked_connection_is_not_read() {
    let (mut cluster, publisher) = blocked(1);
    for number in 0..100 {
        cluster.write(publisher, &message(number));
    }
    cluster.settle();
    assert!(cluster.is_paused(publisher) && cluster.held(publisher) > 100_000);
    assert_eq!(cluster.shard(0).messages().0, 0, "nothing is published");
    cluster.set_alarm(Alarm::Memory, false);
    assert_eq!(names(&mut cluster, publisher), ["connection.unblocked"]);
    assert_eq!((cluster.held(publisher), cluster.shard(0).messages().0), (0, 101), "and nothing is lost");
}

#[test]
fn an_alarm_that_is_over_at_once_blocks_nobody() {
    let mut cluster = Cluster::new(Config::default(), 1);
    let publisher = join(&mut cluster);
    cluster.set_alarm(Alarm::DiskFull, true);
    cluster.set_alarm(Alarm::DiskFull, false);
    cluster.send(publisher, &message(1));
    assert_eq!(names(&mut cluster, publisher), [""; 0]);
    assert_eq!(cluster.shard(0).messages().0, 1);
}

#[test]
fn a_blocked_connection_hears_of_the_brokers_end() {
    for shards in [1, 2] {
        let (mut cluster, publisher) = blocked(shards);
        cluster.shut_down();
        assert_eq!(names(&mut cluster, publisher), ["connection.close"]);
        let close_ok = Method::new("connection.close-ok", &[]).expect("the list knows it");
        cluster.send(publisher, &wire::method_frame(0, &close_ok));
        assert!(cluster.closed(publisher), "its answer is read");
    }
}

#[test]
fn a_blocked_connection_that_dies_is_noticed_and_gives_back_what_it_holds() {
    for shards in [1, 2] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        let (publisher, other) = (join(&mut cluster), join(&mut cluster));
        let fields = [("queue", Value::text("mine")), ("exclusive", Value::Bool(true))];
        cluster.send(publisher, &wire::method_frame(1, &Method::new("queue.declare", &fields).expect("the list knows it")));
        cluster.drain(publisher);
        cluster.set_alarm(Alarm::Memory, true);
        (0..10).for_each(|number| cluster.send(publisher, &message(number)));
        assert!(cluster.is_paused(publisher) && cluster.held(publisher) > 0, "data stand before the end");
        assert!(cluster.hang_up(publisher), "the shard wants to know");
        cluster.settle();
        cluster.send(other, &wire::method_frame(1, &Method::new("queue.declare", &fields).expect("the list knows it")));
        assert_eq!(names(&mut cluster, other), ["queue.declare-ok"], "it is free");
    }
}

#[test]
fn a_connection_that_is_paused_when_an_alarm_comes_is_watched_from_then_on() {
    let mut cluster = Cluster::new(Config { shards: 2, ..Config::default() }, 1);
    let (owner, publisher) = (cluster.connect_to(1).expect("there are few"), cluster.connect_to(0).expect("there are few"));
    for conn in [owner, publisher] {
        cluster.send(conn, &handshake(FRAME));
        cluster.send(conn, &Op::Open.encode(1, FRAME - 8));
    }
    cluster.send(owner, &Op::DeclareQueue("q0").encode(1, FRAME - 8));
    cluster.drain(publisher);
    while !cluster.is_paused(publisher) {
        cluster.write(publisher, &message(200)); // the queue's shard is late: it takes no turn
        cluster.turn(0);
    }
    assert!(!cluster.hang_up(publisher), "what it has sent is still wanted");
    cluster.raise(Alarm::Memory, true);
    cluster.turn(0);
    assert!(cluster.hang_up(publisher));
    cluster.settle();
}

#[test]
fn a_durable_declaration_on_a_full_disk_is_told_to_wait() {
    for shards in [1, 2] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        let conn = join(&mut cluster);
        cluster.set_full(true);
        cluster.write(conn, &Op::DeclareQueue("d1").encode(1, FRAME - 8));
        let early = some_turns(&mut cluster, conn);
        assert_eq!(early, ["connection.blocked"], "{shards} shards");
        cluster.write(conn, &Op::DeclareQueue("q0").encode(1, FRAME - 8));
        assert_eq!((some_turns(&mut cluster, conn), cluster.is_paused(conn)), (vec![], false), "it is read, and told once");
        cluster.set_full(false);
        assert_eq!(names(&mut cluster, conn), ["connection.unblocked", "queue.declare-ok", "queue.declare-ok"]);
        cluster.set_full(true);
        cluster.write(conn, &Op::DeclareQueue("q0").encode(1, FRAME - 8));
        assert_eq!(some_turns(&mut cluster, conn), ["queue.declare-ok"], "what is there need not wait");
    }
}

/// Returns the events of some turns. (With a full disk the shards never come to rest.)
fn some_turns(cluster: &mut Cluster, conn: Conn) -> Vec<String> {
    let mut bytes = Vec::new();
    for _ in 0..50 {
        (0..cluster.shard_count()).for_each(|shard| cluster.turn(shard));
        bytes.extend(cluster.read(conn, usize::MAX));
    }
    let events = Incoming::default().feed(&bytes);
    events.iter().map(|(_, event): &(u16, Event)| event.name().to_owned()).collect()
}

/// Makes a broker with an alarm, and a connection that has published a message, of which everything
/// but the header waits.
fn blocked(shards: u16) -> (Cluster, Conn) {
    let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
    let publisher = join(&mut cluster);
    cluster.set_alarm(Alarm::Memory, true);
    cluster.send(publisher, &message(0));
    assert_eq!(names(&mut cluster, publisher), ["connection.blocked"]);
    (cluster, publisher)
}

/// Opens a connection and declares a queue.
fn join(cluster: &mut Cluster) -> Conn {
    let conn = cluster.connect();
    cluster.send(conn, &handshake(FRAME));
    for op in [Op::Open, Op::DeclareQueue("q0")] {
        cluster.send(conn, &op.encode(1, FRAME - 8));
    }
    cluster.drain(conn);
    conn
}

/// Returns the methods that have arrived.
fn names(cluster: &mut Cluster, conn: Conn) -> Vec<String> {
    let events = Incoming::default().feed(&cluster.drain(conn));
    events.iter().map(|(_, event): &(u16, Event)| event.name().to_owned()).collect()
}

/// Bytes of a message.
fn message(number: u32) -> Vec<u8> {
    let message = Publish { id: 5 + number * 97, key: "q0", ..Publish::default() };
    Op::Publish(vec![message]).encode(1, FRAME - 8)
}

const FRAME: usize = 131_072;

//! Alarms: what a blocked connection costs, and that it ends like any other.

use ringmq::base::alarms::Alarm;
use ringmq::config::Config;

use crate::exact::handshake;
use crate::op::{Op, Publish};
use crate::support::broker::{Broker, Conn};
use crate::support::client::{Event, Incoming};
use crate::support::cluster::Cluster;
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

/// A broker with an alarm, and a connection that has published a message of which all but the header waits.
fn blocked(shards: u16) -> (Cluster, Conn) {
    let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
    let publisher = join(&mut cluster);
    cluster.set_alarm(Alarm::Memory, true);
    cluster.send(publisher, &message(0));
    assert_eq!(names(&mut cluster, publisher), ["connection.blocked"]);
    (cluster, publisher)
}

/// A connection that has declared a queue.
fn join(cluster: &mut Cluster) -> Conn {
    let conn = cluster.connect();
    cluster.send(conn, &handshake(FRAME));
    for op in [Op::Open, Op::DeclareQueue("q0")] {
        cluster.send(conn, &op.encode(1, FRAME - 8));
    }
    cluster.drain(conn);
    conn
}

/// The methods that have come.
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

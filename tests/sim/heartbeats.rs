//! Heartbeats of the broker: no client waits a whole interval for a sign of life, whatever else is
//! sent to it and when.

use ringmq::base::rng::Rng;
use ringmq::config::Config;

use crate::op::Op;
use crate::support::broker::{Broker, Conn};
use crate::support::client::{self, Event, Incoming};
use crate::support::cluster::Cluster;
use crate::support::value::Value;
use crate::support::wire::{self, Method};

#[test]
fn an_idle_client_gets_one_every_half_interval() {
    let (mut cluster, conn) = joined();
    for half in 1..=20 {
        cluster.pass_time(HALF_MS - 1);
        assert_eq!(cluster.drain(conn), b"", "half {half}");
        cluster.pass_time(1);
        assert_eq!(heard(&mut cluster, conn), [Event::Heartbeat], "half {half}");
        cluster.send(conn, HEARTBEAT);
    }
}

#[test]
fn a_client_that_is_answered_now_and_then_never_waits_a_whole_interval() {
    let (mut cluster, conn) = joined();
    let mut rng = Rng::seeded(7);
    let mut last = cluster.now();
    for step in 0..20_000 {
        cluster.pass_time(STEP_MS);
        if rng.below(HALF_MS / STEP_MS) == 0 {
            let end = Method::new("channel.close", &[]).expect("the list knows it");
            cluster.write(conn, &Op::Open.encode(1, FRAME));
            cluster.send(conn, &wire::method_frame(1, &end));
        } else if step % 10 == 0 {
            cluster.send(conn, HEARTBEAT);
        }
        if !cluster.drain(conn).is_empty() {
            last = cluster.now();
        }
        assert!(cluster.now() - last < 2 * HALF_MS, "silent from {last} to {}", cluster.now());
    }
}

fn heard(cluster: &mut Cluster, conn: Conn) -> Vec<Event> {
    Incoming::default().feed(&cluster.drain(conn)).into_iter().map(|(_, event)| event).collect()
}

/// Opens a connection with a heartbeat of two seconds.
fn joined() -> (Cluster, Conn) {
    let mut cluster = Cluster::new(Config::default(), 1);
    let conn = cluster.connect();
    let number = |name, number| (name, Value::number(number));
    let tune = [number("channel_max", 2047), number("frame_max", FRAME as u64), number("heartbeat", 2 * HALF_MS / 1000)];
    let methods = [
        client::start_ok(client::CAPABILITIES),
        Method::new("connection.tune-ok", &tune).expect("the list knows it"),
        Method::new("connection.open", &[("virtual_host", Value::text("/"))]).expect("the list knows it"),
    ];
    cluster.send(conn, client::PROTOCOL_HEADER);
    for method in methods {
        cluster.send(conn, &wire::method_frame(0, &method));
    }
    cluster.drain(conn);
    (cluster, conn)
}

const HALF_MS: u64 = 1000;
const STEP_MS: u64 = 10;
const FRAME: usize = 131_072;
const HEARTBEAT: &[u8] = b"\x08\x00\x00\x00\x00\x00\x00\xce";

//! A queue's levels when memory is short, and after a crash: each level goes to the log by itself,
//! and comes back in its order and its turn.

use std::cmp::Reverse;

use ringmq::base::limits::LOG_LAZY_MS;
use ringmq::config::Config;

use crate::limits::{join, read_all, say};
use crate::op::{Op, Publish, Saw};
use crate::queues::level;
use crate::support::broker::{Broker, Conn};
use crate::support::cluster::Cluster;

#[test]
fn levels_that_only_the_log_has_come_back_by_priority() {
    for (shards, persistent) in [(1, true), (1, false), (2, true), (2, false)] {
        let mut cluster = filled(shards, persistent);
        let reader = join(&mut cluster, 0);
        check_order(&mut cluster, reader);
    }
}

#[test]
fn levels_are_found_after_a_crash() {
    for shards in [1, 3] {
        let mut cluster = filled(shards, true);
        cluster.pass_time(20 * LOG_LAZY_MS);
        cluster.crash();
        cluster.start();
        let reader = join(&mut cluster, 0);
        check_order(&mut cluster, reader);
    }
}

#[test]
fn a_purge_takes_levels_that_only_the_log_has() {
    let mut cluster = filled(1, true);
    let client = join(&mut cluster, 0);
    let seen = ask(&mut cluster, client, &Op::Purge("p0"));
    assert_eq!(seen, [Saw::Reply(format!("queue.purge-ok {COUNT}"))]);
    say(&mut cluster, client, &Op::Publish(vec![message(COUNT, true)]));
    cluster.pass_time(20 * LOG_LAZY_MS);
    cluster.crash();
    cluster.start();
    let client = join(&mut cluster, 0);
    let seen = ask(&mut cluster, client, &Op::Get { queue: "p0", no_ack: true });
    assert!(matches!(seen[..], [Saw::Got { remaining: 0, id, .. }] if id == message(COUNT, true).id), "{seen:?}");
}

/// Makes a broker whose queue has messages of all kinds of levels, most of them in the log only.
fn filled(shards: u16, persistent: bool) -> Cluster {
    let mut cluster = Cluster::new(Config { shards, queue_memory: 64 << 10, ..Config::default() }, 1);
    let publisher = join(&mut cluster, usize::from(shards) - 1);
    say(&mut cluster, publisher, &Op::DeclareQueue("p0"));
    for from in (0..COUNT).step_by(50) {
        say(&mut cluster, publisher, &Op::Publish((from..from + 50).map(|number| message(number, persistent)).collect()));
    }
    read_all(&mut cluster, publisher);
    let in_memory: usize = (0..cluster.shard_count()).map(|shard| cluster.shard(shard).messages().0).sum();
    assert!(in_memory < COUNT as usize / 2, "{in_memory} messages are in memory");
    cluster
}

/// Gets some messages one by one, then consumes the rest.
fn check_order(cluster: &mut Cluster, reader: Conn) {
    let mut expected: Vec<Publish> = (0..COUNT).map(|number| message(number, true)).collect();
    expected.sort_by_key(|message| Reverse(level("p0", message))); // and by number, because the sort is stable
    let mut seen = Vec::new();
    for _ in 0..COUNT / 3 {
        seen.extend(ask(cluster, reader, &Op::Get { queue: "p0", no_ack: true }));
    }
    seen.extend(ask(cluster, reader, &Op::Consume { queue: "p0", tag: 1, no_ack: true, exclusive: false, priority: 0 }));
    let ids = seen.iter().filter_map(|saw| match saw {
        Saw::Got { id, .. } | Saw::Delivered { id, .. } => Some(*id),
        _ => None,
    });
    assert!(ids.eq(expected.iter().map(|message| message.id)), "messages are missing or out of order: {seen:?}");
}

fn ask(cluster: &mut Cluster, conn: Conn, op: &Op) -> Vec<Saw> {
    say(cluster, conn, op);
    read_all(cluster, conn)
}

/// Makes a small message of one of five levels.
fn message(number: u32, persistent: bool) -> Publish {
    let priority = [Some(7), None, Some(255), Some(64), Some(1)][number as usize % 5];
    Publish { id: 12 + number * 97, key: "p0", persistent, priority, ..Publish::default() }
}

const COUNT: u32 = 3000;

//! The work of one turn: a client that asks for very much with few bytes has its share of each
//! turn, and the others go on beside it.

use ringmq::base::limits::TURN_STEPS_MAX;
use ringmq::config::Config;

use crate::limits::{join, read_all, say};
use crate::op::{Binding, Name, Op, Publish, Saw};
use crate::support::broker::Conn;
use crate::support::cluster::Cluster;

#[test]
fn messages_for_very_many_queues_hold_nobody_up() {
    for shards in [1, 2] {
        let (mut cluster, names) = fanout(shards);
        let (flooder, quiet) = (join(&mut cluster, 0), join(&mut cluster, 0));
        say(&mut cluster, flooder, &Op::ConfirmSelect);
        read_all(&mut cluster, flooder);
        cluster.write(flooder, &flood().encode(1, FRAME));
        assert!(turns_until_answered(&mut cluster, quiet) <= 2, "{shards} shards: a quiet client waits for a flood");
        let mut turns = 0;
        while cluster.wants_turn(0) {
            (0..usize::from(shards)).for_each(|shard| cluster.turn(shard));
            turns += 1;
        }
        let here = QUEUES / usize::from(shards);
        assert!(turns >= MESSAGES as usize * here / (2 * TURN_STEPS_MAX), "{shards} shards: {turns} turns had all of the work");
        cluster.settle();
        assert!(read_all(&mut cluster, flooder).iter().any(|saw| matches!(saw, Saw::Confirmed { tag, .. } if *tag == u64::from(MESSAGES))));
        check(&mut cluster, &names);
    }
}

#[test]
fn what_a_client_has_sent_before_it_went_is_carried_out() {
    for shards in [1, 2] {
        let (mut cluster, names) = fanout(shards);
        let flooder = join(&mut cluster, 0);
        cluster.write(flooder, &flood().encode(1, FRAME));
        cluster.turn(0);
        cluster.reset(flooder);
        cluster.settle();
        check(&mut cluster, &names);
    }
}

/// Makes a broker with very many queues on all shards, bound to a fanout exchange.
fn fanout(shards: u16) -> (Cluster, Vec<Name>) {
    let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
    let owners: Vec<Conn> = (0..usize::from(shards)).map(|shard| join(&mut cluster, shard)).collect();
    let names: Vec<Name> = (0..QUEUES).map(|n| &*format!("v{n}").leak()).collect();
    for (n, name) in names.iter().enumerate() {
        let owner = owners[n % owners.len()];
        let bind = Binding { source: "amq.fanout", destination: name, to_queue: true, key: "", headers: None };
        say(&mut cluster, owner, &Op::DeclareQueue(name));
        say(&mut cluster, owner, &Op::Bind(bind));
        read_all(&mut cluster, owner);
    }
    (cluster, names)
}

fn flood() -> Op {
    Op::Publish((0..MESSAGES).map(|number| Publish { id: 1 + number * 97, exchange: "amq.fanout", ..Publish::default() }).collect())
}

/// Returns how many turns a client's request takes until its answer.
fn turns_until_answered(cluster: &mut Cluster, quiet: Conn) -> usize {
    cluster.write(quiet, &Op::CheckQueue("v0").encode(1, FRAME));
    for turns in 1.. {
        cluster.turn(0);
        if cluster.unread(quiet) > 0 {
            return turns;
        }
    }
    unreachable!("the loop ends with the answer")
}

/// Checks that every queue has every message, in order.
fn check(cluster: &mut Cluster, names: &[Name]) {
    let reader = join(cluster, 0);
    for name in names {
        say(cluster, reader, &Op::CheckQueue(name));
        let expected = format!("queue.declare-ok {name} {MESSAGES} 0");
        assert_eq!(read_all(cluster, reader).last(), Some(&Saw::Reply(expected)));
    }
    for name in names.iter().step_by(names.len() / 10) {
        for number in 0..MESSAGES {
            say(cluster, reader, &Op::Get { queue: name, no_ack: true });
            let got = read_all(cluster, reader);
            assert!(matches!(&got[..], [Saw::Got { id, .. }] if *id == 1 + number * 97), "{name}: {number}: {got:?}");
        }
    }
}

const QUEUES: usize = 3000;
const MESSAGES: u32 = 40;
const FRAME: usize = 131_064;

//! A confirm waits for the log of messages, and behind that for the catalog's log if the queue is not on the disk yet; for nothing else.

use ringmq::config::Config;

use crate::limits::{join, message, read_all, say};
use crate::op::{Op, Publish, Saw, saw};
use crate::support::broker::Conn;
use crate::support::client::Incoming;
use crate::support::cluster::Cluster;

#[test]
fn a_slow_catalog_delays_no_confirm_of_a_queue_on_the_disk() {
    let mut run = Run::new();
    say(&mut run.cluster, run.other, &Op::DeclareQueue("q0"));
    run.cluster.set_slowness(1, NEVER);
    run.write(run.other, &Op::DeclareQueue("q2"));
    assert_eq!(run.publish("q0"), 1);
    run.finish();
}

#[test]
fn a_confirm_waits_until_the_catalog_has_its_queue() {
    let mut run = Run::new();
    run.cluster.set_slowness(1, NEVER);
    run.write(run.other, &Op::DeclareQueue("q0"));
    assert_eq!(run.publish("q0"), 0);
    run.cluster.set_slowness(1, 1);
    run.work();
    assert_eq!(run.confirms(), 1);
    run.finish();
}

#[test]
fn a_message_that_is_not_confirmed_may_go_with_its_queue() {
    let mut run = Run::new();
    run.cluster.set_slowness(1, NEVER);
    run.write(run.other, &Op::DeclareQueue("q0"));
    assert_eq!(run.publish("q0"), 0);
    run.cluster.crash();
    run.cluster.start();
    run.finish();
}

/// One shard, a client that publishes and one that declares.
struct Run {
    cluster: Cluster,
    publisher: Conn,
    other: Conn,
}

impl Run {
    fn new() -> Run {
        let mut cluster = Cluster::new(Config { shards: 1, ..Config::default() }, 1);
        let (publisher, other) = (join(&mut cluster, 0), join(&mut cluster, 0));
        say(&mut cluster, publisher, &Op::ConfirmSelect);
        read_all(&mut cluster, publisher);
        Run { cluster, publisher, other }
    }

    fn write(&mut self, conn: Conn, op: &Op) {
        self.cluster.write(conn, &op.encode(1, 4096));
    }

    /// Publishes a persistent message to this queue. Returns the number of confirms.
    fn publish(&mut self, key: &'static str) -> usize {
        let message = Publish { key, persistent: true, ..message(1) };
        self.write(self.publisher, &Op::Publish(vec![message]));
        self.work();
        self.confirms()
    }

    /// More turns than all but a disk that never ends needs.
    fn work(&mut self) {
        (0..TURNS).for_each(|_| self.cluster.turn(0));
    }

    fn confirms(&mut self) -> usize {
        let is_confirm = |seen: &&Saw| matches!(seen, Saw::Confirmed { .. });
        let (mut incoming, mut count) = (Incoming::default(), 0);
        while self.cluster.unread(self.publisher) > 0 {
            let bytes = self.cluster.read(self.publisher, usize::MAX);
            let seen: Vec<Saw> = incoming.feed(&bytes).into_iter().map(|(_, event)| saw(event)).collect();
            count += seen.iter().filter(is_confirm).count();
            self.work();
        }
        count
    }

    fn finish(&mut self) {
        self.cluster.set_slowness(1, 1);
        self.cluster.settle();
    }
}

const TURNS: usize = 100;

/// So many turns that a disk takes for an operation.
const NEVER: u64 = 1 << 40;

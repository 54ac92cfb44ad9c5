//! Delayed messages leave their exchange for queues of several shards, and the machine stops
//! meanwhile, once or several times. Each message comes to each queue once. Only a message that a
//! client has taken before the crash may come to it again, and is flagged then.

use std::collections::{BTreeMap, BTreeSet};

use ringmq::config::Config;

use crate::choice::Dice;
use crate::limits::{join, read_all, say};
use crate::op::{Binding, MEMORY, Name, Op, Publish, Saw, Settle, saw};
use crate::queues::PLAIN;
use crate::support::broker::{Broker, Conn};
use crate::support::client::Incoming;
use crate::support::cluster::Cluster;

#[test]
fn each_queue_gets_each_message_once_over_crashes() {
    for seed in 0..120 {
        let mut run = Run::new(seed, if seed % 3 == 0 { &["q0"] } else { QUEUES }, "w0");
        run.publish();
        run.crash_while_they_leave();
        run.check_all();
    }
}

#[test]
fn what_a_client_has_taken_comes_again_only_as_redelivered() {
    for seed in 0..60 {
        let mut run = Run::new(seed, QUEUES, "w0");
        run.takes = true;
        run.publish();
        run.crash_while_they_leave();
        run.check_all();
    }
}

#[test]
fn so_it_is_on_the_way_through_an_exchange_that_remembers() {
    for seed in 0..60 {
        let mut run = Run::new(seed, &["q0"], MEMORY);
        run.publish();
        run.crash_while_they_leave();
        run.check_all();
    }
}

#[test]
fn a_deleted_exchange_leaves_nothing_behind() {
    for seed in 0..30 {
        let mut run = Run::new(seed, QUEUES, "w0");
        run.publish();
        run.crash_while_they_leave();
        say(&mut run.cluster, run.client, &Op::DeleteExchange { name: "w0", if_unused: false });
        run.finish();
    }
}

/// A broker, a client on its last shard, and queues on several.
struct Run {
    seed: u64,
    cluster: Cluster,
    dice: Dice,
    client: Conn,
    incoming: Incoming,
    queues: &'static [Name],
    /// Whether the client takes the messages of the first queue, and acknowledges most of them.
    takes: bool,
    /// The messages that it has taken.
    taken: BTreeSet<u32>,
}

impl Run {
    /// Makes the broker and its topology. `source` is the exchange to which the queues are bound;
    /// if it is not the one that delays, it is bound behind that one.
    fn new(seed: u64, queues: &'static [Name], source: Name) -> Run {
        let shards = 1 + (seed % 4) as u16;
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, seed);
        for (at, &queue) in queues.iter().enumerate() {
            let owner = join(&mut cluster, at % usize::from(shards));
            say(&mut cluster, owner, &Op::DeclareQueue(queue));
            cluster.reset(owner);
        }
        let client = join(&mut cluster, usize::from(shards) - 1);
        for name in [source, "w0"] {
            say(&mut cluster, client, &Op::DeclareExchange(name));
        }
        let mut bind = |source, destination, to_queue| {
            say(&mut cluster, client, &Op::Bind(Binding { source, destination, to_queue, key: "#", headers: None }));
        };
        if source != "w0" {
            bind("w0", source, false);
        }
        queues.iter().for_each(|queue| bind(source, queue, true));
        let dice = Dice::new(seed, PLAIN);
        Run { seed, cluster, dice, client, incoming: Incoming::default(), queues, takes: false, taken: BTreeSet::new() }
    }

    /// Publishes messages that are due soon, and waits until they are on the disk.
    fn publish(&mut self) {
        let delay = Some(2 * crate::LOGS_REST_MS);
        let message =
            |id| Publish { exchange: "w0", delay, persistent: true, id: 12 + 97 * id, key: "a", mandatory: true, ..Publish::default() };
        say(&mut self.cluster, self.client, &Op::Publish((0..COUNT).map(message).collect()));
        if self.takes {
            let queue = self.queues[0];
            say(&mut self.cluster, self.client, &Op::Consume { queue, tag: 1, no_ack: false, exclusive: false, priority: 0 });
        }
        self.cluster.pass_time(2 * crate::LOGS_REST_MS);
    }

    /// Lets shards and disks work at random, then stops and starts them; and repeats that.
    fn crash_while_they_leave(&mut self) {
        for _ in 0..1 + self.dice.below(3) {
            let slowness = self.dice.pick(&[1, 3, 10]);
            self.cluster.set_slowness(slowness, 1);
            for _ in 0..self.dice.below(150) {
                let (shard, passes) = (self.dice.index(self.cluster.shard_count()), self.dice.one_in(8));
                self.cluster.set_clock(self.cluster.now() + u64::from(passes));
                self.cluster.turn(shard);
                self.take();
            }
            self.cluster.crash();
            self.cluster.start();
            (self.client, self.incoming) = (join(&mut self.cluster, 0), Incoming::default());
        }
        self.cluster.set_slowness(1, 1);
    }

    fn take(&mut self) {
        let mut last = None;
        while self.takes && self.cluster.unread(self.client) > 0 {
            let bytes = self.cluster.read(self.client, usize::MAX);
            for (_, event) in self.incoming.feed(&bytes) {
                if let Saw::Delivered { id, tag, .. } = saw(event) {
                    self.taken.insert(id);
                    last = Some(tag);
                }
            }
        }
        if let Some(tag) = last.filter(|_| self.dice.one_in(2)) {
            self.cluster.write(self.client, &Op::Settle { how: Settle::Ack, tag, multiple: true }.encode(1, 4096));
        }
    }

    /// Checks that every queue has every message once, except for those that were taken.
    fn check_all(&mut self) {
        self.cluster.pass_time(1000);
        for (tag, &queue) in (1..).zip(self.queues) {
            say(&mut self.cluster, self.client, &Op::Consume { queue, tag, no_ack: true, exclusive: false, priority: 0 });
            let mut counts = BTreeMap::new();
            for saw in read_all(&mut self.cluster, self.client) {
                let Saw::Delivered { id, redelivered, .. } = saw else { continue };
                let was_taken = self.takes && tag == 1 && self.taken.contains(&id);
                assert!(redelivered || !was_taken, "seed {}: {queue} gives message {id} as if for the first time", self.seed);
                *counts.entry(id).or_insert(0) += 1;
            }
            assert!(counts.values().all(|&count| count == 1), "seed {}: {queue} has some twice", self.seed);
            if self.takes && tag == 1 {
                self.taken.iter().for_each(|&id| _ = counts.insert(id, 1));
            }
            assert_eq!(counts.len(), COUNT as usize, "seed {}: {queue} has lost some", self.seed);
        }
        self.finish();
    }

    /// Checks that nothing remains.
    fn finish(&mut self) {
        self.cluster.pass_time(1000);
        for &name in self.queues {
            say(&mut self.cluster, self.client, &Op::DeleteQueue { name, if_unused: false, if_empty: false });
        }
        self.cluster.reset(self.client);
        self.cluster.pass_time(crate::LOGS_REST_MS);
        crate::check_empty(&self.cluster);
    }
}

/// As many messages as are routed in some turns.
const COUNT: u32 = 600;

const QUEUES: &[Name] = &["q0", "q2", "p0", "s0"];

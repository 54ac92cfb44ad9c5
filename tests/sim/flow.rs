//! Flow control: a flood waits only for consumers that keep up.

use ringmq::base::limits::{FLOW_BYTES_MIN, FLOW_SLOW_WINDOWS, FLOW_WINDOW_MS, OUTPUT_SIZE_MAX};
use ringmq::config::Config;

use crate::limits::{BODY, FRAME, join, message, read_all, say};
use crate::op::{Op, Saw, saw};
use crate::support::broker::Conn;
use crate::support::client::Incoming;
use crate::support::cluster::Cluster;

#[test]
fn a_flood_is_read_no_faster_than_its_consumer_takes_it() {
    for (shards, home, away) in [(1, 0, 0), (2, 0, 1), (2, 1, 0)] {
        let mut flood = Flood::new(shards, home, away);
        for _ in 0..FLOW_WINDOW_MS * 3 {
            flood.pass_millisecond(FAST);
        }
        let before = flood.sent;
        for _ in 0..ROUNDS {
            flood.pass_millisecond(FAST);
            let behind = flood.behind();
            assert!(behind <= BEHIND_MAX, "{shards} shards, queue on {home}: {behind} bytes wait for a consumer that keeps up");
        }
        let sent = (flood.sent - before) * BODY;
        assert!(sent >= ROUNDS * FAST / 2, "{shards} shards, queue on {home}: {sent} bytes were read while the consumer took more");
    }
}

#[test]
fn a_backlog_becomes_shorter_beside_a_flood() {
    for (shards, home, away) in [(1, 0, 0), (2, 0, 1), (2, 1, 0)] {
        // As much as comes from another shard before it hears that the queue is pressed.
        let mut flood = Flood { per_write: 4 * PER_WRITE, ..Flood::new(shards, home, away) };
        (0..FLOW_WINDOW_MS * 3).for_each(|_| flood.pass_millisecond(SLOW));
        let (before, sent) = (flood.behind(), flood.sent);
        (0..10 * ROUNDS).for_each(|_| flood.pass_millisecond(FAST));
        let behind = flood.behind();
        assert!(behind < before / 8 * 7, "{shards} shards, queue on {home}: {before} bytes waited, and {behind} do after a while");
        let sent = (flood.sent - sent) * BODY;
        assert!(sent > 10 * ROUNDS * FAST / 4, "{shards} shards, queue on {home}: {sent} bytes were read meanwhile");
    }
}

#[test]
fn nobody_waits_for_a_slow_consumer() {
    for (shards, home, away) in [(1, 0, 0), (2, 0, 1), (2, 1, 0)] {
        let mut flood = Flood::new(shards, home, away);
        // Messages that fit into the outputs are delivered at any pace.
        (0..FLOW_WINDOW_MS * 3).for_each(|_| flood.pass_millisecond(SLOW));
        for _ in 0..ROUNDS {
            flood.pass_millisecond(SLOW);
            assert!(!flood.is_held(), "{shards} shards, queue on {home}: the publisher waits");
        }
    }
}

#[test]
fn a_consumer_that_stops_holds_nobody_for_long() {
    let mut flood = Flood::new(1, 0, 0);
    while !flood.is_held() {
        flood.pass_millisecond(FAST);
    }
    (0..(u64::from(FLOW_SLOW_WINDOWS) + 1) * FLOW_WINDOW_MS).for_each(|_| flood.pass_millisecond(0));
    for _ in 0..ROUNDS {
        flood.pass_millisecond(0);
        assert!(!flood.is_held(), "the publisher waits for a consumer that does not read");
    }
}

#[test]
fn who_consumes_over_the_same_connection_is_not_held() {
    let mut flood = Flood::new(1, 0, 0);
    say(&mut flood.cluster, flood.publisher, &Op::DeclareQueue("q1"));
    say(&mut flood.cluster, flood.publisher, &Op::Consume { queue: "q1", tag: 2, no_ack: false, exclusive: false, priority: 0 });
    for _ in 0..ROUNDS {
        flood.pass_millisecond(FAST);
        assert!(!flood.is_held(), "its acknowledgements would wait, too");
    }
}

/// A publisher that writes whenever it is read, and a consumer.
struct Flood {
    cluster: Cluster,
    publisher: Conn,
    consumer: Conn,
    incoming: Incoming,
    sent: usize,
    received: usize,
    /// Messages in one write.
    per_write: usize,
}

impl Flood {
    /// Makes them with the queue on shard `home`, where the publisher is, too, unless the consumer
    /// is; both are elsewhere if there are two shards.
    fn new(shards: u16, home: usize, publisher_at: usize) -> Flood {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        let (publisher, consumer) = (join(&mut cluster, publisher_at), join(&mut cluster, usize::from(shards) - 1 - publisher_at));
        let owner = join(&mut cluster, home);
        say(&mut cluster, owner, &Op::DeclareQueue("q0"));
        read_all(&mut cluster, owner);
        say(&mut cluster, consumer, &Op::Consume { queue: "q0", tag: 1, no_ack: true, exclusive: false, priority: 0 });
        read_all(&mut cluster, consumer);
        Flood { cluster, publisher, consumer, incoming: Incoming::default(), sent: 0, received: 0, per_write: PER_WRITE }
    }

    fn is_held(&self) -> bool {
        self.cluster.is_paused(self.publisher)
    }

    /// Bytes that were sent and not received.
    fn behind(&self) -> usize {
        (self.sent - self.received) * BODY
    }

    /// Writes more than any consumer reads, if the publisher is read; the consumer reads this many
    /// bytes.
    fn pass_millisecond(&mut self, reads: usize) {
        self.cluster.set_clock(self.cluster.now() + 1);
        if !self.is_held() {
            let messages = (0..self.per_write).map(|at| message((self.sent + at) as u32)).collect();
            self.cluster.write(self.publisher, &Op::Publish(messages).encode(1, FRAME - 8));
            self.sent += self.per_write;
        }
        self.cluster.settle();
        let mut left = reads;
        while left > 0 && self.cluster.unread(self.consumer) > 0 {
            let bytes = self.cluster.read(self.consumer, left);
            left -= bytes.len();
            let events = self.incoming.feed(&bytes).into_iter().map(|(_, event)| saw(event));
            self.received += events.filter(|saw| matches!(saw, Saw::Delivered { .. })).count();
            self.cluster.settle();
        }
    }
}

/// The usual number of messages in one write.
const PER_WRITE: usize = 10;
/// Bytes that a consumer takes in a millisecond: four times, and a tenth of, the pace at which a
/// queue counts as fast.
const FAST: usize = (4 * FLOW_BYTES_MIN / FLOW_WINDOW_MS) as usize;
const SLOW: usize = (FLOW_BYTES_MIN / FLOW_WINDOW_MS / 10) as usize;
const ROUNDS: usize = 60;
/// The most bytes that may be on their way: outputs, here and on the way from another shard, and
/// some writes of the publisher.
const BEHIND_MAX: usize = 4 * OUTPUT_SIZE_MAX + 4 * PER_WRITE * BODY;

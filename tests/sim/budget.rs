//! What one turn does: however much a client asks for with one write, others are served beside it.

use ringmq::base::limits::{BURY_QUEUES_BUDGET, COMMIT_SHARE};
use ringmq::config::Config;

use crate::exact::handshake;
use crate::support::broker::{Broker, Conn};
use crate::support::client::{self, Content, Event, Incoming};
use crate::support::cluster::Cluster;
use crate::support::value::{Table, Value};
use crate::support::wire::{self, Method};

#[test]
fn a_dead_letter_to_very_many_queues_goes_to_some_in_each_turn() {
    let mut run = Run::new();
    let queues: Vec<String> = (0..2 * BURY_QUEUES_BUDGET + 10).map(|number| format!("q{number}")).collect();
    run.tell("exchange.declare", &[("exchange", Value::text("e")), ("type", Value::text("fanout"))]);
    for queue in &queues {
        run.declare(queue, &[]);
        run.tell("queue.bind", &[("queue", Value::text(queue)), ("exchange", Value::text("e"))]);
    }
    run.declare("dying", &[("x-dead-letter-exchange", Value::text("e"))]);
    run.send(&publish("dying"));
    run.tell("basic.get", &[("queue", Value::text("dying"))]);
    run.cluster.settle();
    run.write(&method("basic.reject", &[("delivery_tag", Value::number(1))]));
    let mut turns = 0;
    while run.count_between_turns(queues.last().expect("many")) == 0 {
        turns += 1;
        assert!(turns < 10, "it has not come");
    }
    assert_eq!(turns, 2, "turns before the last queue had it");
    run.cluster.settle();
    for queue in [&queues[0], &queues[BURY_QUEUES_BUDGET - 1], &queues[BURY_QUEUES_BUDGET], &queues[2 * BURY_QUEUES_BUDGET]] {
        assert_eq!(run.count_between_turns(queue), 1, "{queue}");
    }
}

#[test]
fn a_large_transaction_is_committed_in_parts_and_a_small_one_at_once() {
    for (count, turns) in [(COMMIT_SHARE / 2, 0), (2 * COMMIT_SHARE, 3)] {
        let mut run = Run::new();
        run.declare("q", &[]);
        run.tell("tx.select", &[]);
        let messages: Vec<u8> = std::iter::repeat_n(publish("q"), count).flatten().collect();
        run.send(&messages);
        run.write(&method("tx.commit", &[]));
        let mut counts = Vec::new();
        while counts.last() != Some(&(count as i128)) {
            counts.push(run.count_between_turns("q"));
            assert!(counts.len() < 10, "{counts:?}");
        }
        assert_eq!(counts.len() - 1, turns, "{counts:?}");
        assert_eq!(run.read(run.conn).last().map(String::as_str), Some("tx.commit-ok"));
    }
}

#[test]
fn a_transaction_goes_on_when_its_connection_is_lost() {
    let mut run = Run::new();
    run.declare("q", &[]);
    run.tell("tx.select", &[]);
    let messages: Vec<u8> = std::iter::repeat_n(publish("q"), 3 * COMMIT_SHARE).flatten().collect();
    run.send(&messages);
    run.write(&method("tx.commit", &[]));
    run.cluster.turn(0);
    run.cluster.reset(run.conn);
    run.cluster.settle();
    assert_eq!(run.count_between_turns("q"), 3 * COMMIT_SHARE as i128);
    assert_eq!(run.cluster.shard(0).connections(), 1);
}

/// One shard, a client that asks for much, and another one.
struct Run {
    cluster: Cluster,
    conn: Conn,
    other: Conn,
}

impl Run {
    fn new() -> Run {
        let mut cluster = Cluster::new(Config::default(), 1);
        let [conn, other] = [0, 0].map(|shard| cluster.connect_to(shard).expect("there are few"));
        for conn in [conn, other] {
            cluster.send(conn, &handshake(FRAME));
            cluster.send(conn, &method("channel.open", &[]));
            cluster.drain(conn);
        }
        Run { cluster, conn, other }
    }

    /// Sends bytes, and has the broker do all that follows.
    fn send(&mut self, bytes: &[u8]) {
        self.cluster.send(self.conn, bytes);
        self.cluster.drain(self.conn);
    }

    fn tell(&mut self, name: &str, fields: &[(&str, Value)]) {
        self.send(&method(name, fields));
    }

    fn declare(&mut self, queue: &str, arguments: &[(&str, Value)]) {
        let arguments: Table = arguments.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect();
        self.tell("queue.declare", &[("queue", Value::text(queue)), ("arguments", Value::Table(arguments))]);
    }

    /// Sends bytes, and has the broker take one turn.
    fn write(&mut self, bytes: &[u8]) {
        self.cluster.write(self.conn, bytes);
        self.cluster.turn(0);
    }

    /// The other client asks how many messages are ready; the broker answers, and takes its next turn.
    fn count_between_turns(&mut self, queue: &str) -> i128 {
        let fields = [("queue", Value::text(queue)), ("passive", Value::Bool(true))];
        self.cluster.write(self.other, &method("queue.declare", &fields));
        self.cluster.turn(0);
        let bytes = self.cluster.read(self.other, usize::MAX);
        let events = Incoming::default().feed(&bytes);
        let count = events.iter().find_map(|(_, event)| match event {
            Event::Method(method, _) => method.field("message_count")?.as_number(),
            _ => None,
        });
        count.expect("it answers in the turn in which it was asked")
    }

    /// What has come.
    fn read(&mut self, conn: Conn) -> Vec<String> {
        let bytes = self.cluster.drain(conn);
        Incoming::default().feed(&bytes).iter().map(|(_, event)| event.name().to_owned()).collect()
    }
}

fn method(name: &str, fields: &[(&str, Value)]) -> Vec<u8> {
    wire::method_frame(1, &Method::new(name, fields).expect("the list knows it"))
}

fn publish(queue: &str) -> Vec<u8> {
    let method = Method::new("basic.publish", &[("routing_key", Value::text(queue))]).expect("the list knows it");
    client::publish(1, &method, &Content { body: b"1".to_vec(), ..Content::default() }, FRAME)
}

const FRAME: usize = 131_072;

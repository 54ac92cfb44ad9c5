//! The work of one turn: however much a client asks for with one write, others are served beside
//! it.

use ringmq::base::limits::{BURY_BUDGET, BURY_QUEUES_BUDGET, COMMIT_SHARE, PURGE_BUDGET, SETTLE_SHARE, TURN_STEPS_MAX};
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
    for (count, turns) in [(COMMIT_SHARE / 2, 0), (2 * TURN_STEPS_MAX + COMMIT_SHARE, 4)] {
        let mut run = Run::new();
        run.declare("q", &[]);
        run.tell("tx.select", &[]);
        let messages: Vec<u8> = std::iter::repeat_n(publish("q"), count).flatten().collect();
        run.send(&messages);
        run.write(&method("tx.commit", &[]));
        let counts = run.counts_until("q", count);
        assert_eq!(counts.len() - 1, turns, "{counts:?}");
        assert_eq!(run.read(run.conn).last().map(String::as_str), Some("tx.commit-ok"));
    }
}

#[test]
fn a_transaction_goes_on_when_its_connection_is_lost() {
    let mut run = Run::new();
    run.declare("q", &[]);
    run.tell("tx.select", &[]);
    let messages: Vec<u8> = std::iter::repeat_n(publish("q"), MANY).flatten().collect();
    run.send(&messages);
    run.write(&method("tx.commit", &[]));
    run.cluster.turn(0);
    run.cluster.reset(run.conn);
    run.cluster.settle();
    assert_eq!(run.count_between_turns("q"), MANY as i128);
    assert_eq!(run.cluster.shard(0).connections(), 1);
}

#[test]
fn very_many_messages_are_acknowledged_some_in_each_turn() {
    const COUNT: usize = 20 * TURN_STEPS_MAX;
    let mut run = Run::new();
    run.declare("q", &[]);
    run.take("q", COUNT);
    run.write(&[method("basic.ack", &[("multiple", Value::Bool(true))]), method("confirm.select", &[])].concat());
    let mut left = vec![run.cluster.shard(0).messages().0];
    assert!(left[0] > 0, "all at once");
    while left.last() != Some(&0) {
        assert_eq!(run.cluster.unread(run.conn), 0, "what is sent behind waits");
        run.cluster.turn(0);
        left.push(run.cluster.shard(0).messages().0);
        assert!(left.len() < 10, "{left:?}");
    }
    assert!(left.windows(2).all(|pair| pair[0] - pair[1] <= 8 * TURN_STEPS_MAX + SETTLE_SHARE), "{left:?}");
    assert_eq!(run.read(run.conn), ["confirm.select-ok"]);
}

#[test]
fn very_many_messages_go_back_some_in_each_turn() {
    type End = (&'static str, fn(&mut Run));
    let ends: [End; 4] = [
        ("basic.nack", |run| run.write(&method("basic.nack", &[("multiple", Value::Bool(true)), ("requeue", Value::Bool(true))]))),
        ("basic.recover", |run| run.write(&method("basic.recover", &[("requeue", Value::Bool(true))]))),
        ("channel.close", |run| run.write(&method("channel.close", &[]))),
        ("a lost connection", |run| {
            run.cluster.reset(run.conn);
            run.cluster.turn(0);
        }),
    ];
    for (what, end) in ends {
        let mut run = Run::new();
        run.declare("q", &[]);
        run.take("q", MANY);
        run.tell("basic.cancel", &[("consumer_tag", Value::text("c"))]);
        end(&mut run);
        let counts = run.counts_until("q", MANY);
        assert!(counts.windows(2).all(|pair| pair[1] - pair[0] <= TURN_STEPS_MAX as i128), "{what}: {counts:?}");
        assert!(counts.len() > 2, "{what}: {counts:?}");
        run.cluster.settle();
        let connections = run.cluster.shard(0).connections();
        assert_eq!(connections, if what == "a lost connection" { 1 } else { 2 }, "{what}");
    }
}

#[test]
fn what_a_late_consumer_has_goes_back_some_in_each_turn() {
    let mut run = Run::new();
    run.declare_durable("q", &[("x-queue-type", Value::text("quorum"))]);
    let timeout = Table::from([(b"x-consumer-timeout".to_vec(), Value::Number('I', 1000))]);
    run.tell("basic.consume", &[("queue", Value::text("q")), ("consumer_tag", Value::text("c")), ("arguments", Value::Table(timeout))]);
    run.publish("q", MANY);
    for _ in 0..4 {
        run.cluster.set_clock(run.cluster.now() + 500);
        run.cluster.turn(0);
    }
    let counts = run.counts_until("q", MANY);
    assert!(counts.windows(2).all(|pair| pair[1] - pair[0] <= TURN_STEPS_MAX as i128), "{counts:?}");
    assert!(counts.len() > 2, "{counts:?}");
    assert_eq!(run.read(run.conn).last().map(String::as_str), Some("basic.cancel"));
}

#[test]
fn a_channel_is_closed_when_all_that_it_had_is_back() {
    let mut run = Run::new();
    run.declare("q", &[]);
    run.take("q", MANY);
    run.write(&method("channel.close", &[]));
    let mut said = Vec::new();
    while said.is_empty() {
        assert!(run.count_between_turns("q") < MANY as i128);
        said = run.read_what_came(run.conn);
    }
    assert_eq!((said, run.count_between_turns("q")), (vec!["channel.close-ok".to_owned()], MANY as i128));
}

#[test]
fn messages_that_go_back_keep_their_order_for_others() {
    for shards in [1, 2] {
        let mut run = Run::on(shards);
        run.declare("q", &[]);
        run.take("q", MANY);
        run.send(&(MANY..MANY + 10).flat_map(|number| numbered("q", number)).collect::<Vec<u8>>());
        run.tell("basic.cancel", &[("consumer_tag", Value::text("c"))]);
        run.cluster.write(run.other, &consume("q"));
        run.cluster.write(run.other, &method("basic.nack", &[("multiple", Value::Bool(true)), ("requeue", Value::Bool(true))]));
        run.cluster.drain(run.other);
        run.cluster.write(run.conn, &method("channel.close", &[]));
        let bytes = run.cluster.drain(run.other);
        let numbers = Incoming::default().feed(&bytes).into_iter().filter_map(|(_, event)| number(&event));
        assert!(numbers.eq(0..MANY + 10), "{shards} shards");
    }
}

#[test]
fn a_deleted_queue_leaves_its_dead_to_the_turns_to_come() {
    let mut run = Run::new();
    run.declare("dead", &[]);
    run.declare("q", &[("x-dead-letter-exchange", Value::text("")), ("x-dead-letter-routing-key", Value::text("dead"))]);
    run.take("q", MANY);
    run.write(&method("basic.nack", &[("multiple", Value::Bool(true))]));
    while run.cluster.shard(0).messages().0 == MANY && run.count_between_turns("dead") == 0 {}
    run.write(&method("queue.delete", &[("queue", Value::text("q"))]));
    run.cluster.turn(0);
    assert!(run.read_what_came(run.conn).contains(&"queue.delete-ok".to_owned()));
    let counts = run.counts_until("dead", MANY);
    assert!(counts.windows(2).all(|pair| pair[1] - pair[0] <= 2 * BURY_BUDGET as i128), "{counts:?}");
}

#[test]
fn a_purged_quorum_queue_is_freed_in_the_turns_to_come() {
    let mut run = Run::new();
    run.declare_durable("q", &[("x-queue-type", Value::text("quorum"))]);
    run.take("q", MANY);
    run.tell("basic.cancel", &[("consumer_tag", Value::text("c"))]);
    run.tell("basic.nack", &[("multiple", Value::Bool(true)), ("requeue", Value::Bool(true))]);
    run.write(&method("queue.purge", &[("queue", Value::text("q"))]));
    let mut left = vec![run.cluster.shard(0).messages().0];
    assert!(left[0] >= MANY - 2 * PURGE_BUDGET, "{left:?}");
    assert_eq!(run.count_between_turns("q"), 0);
    left.extend(run.messages_until_none());
    assert!(left.windows(2).all(|pair| pair[0] - pair[1] <= 2 * PURGE_BUDGET), "{left:?}");
}

#[test]
fn very_many_queues_that_are_due_at_once_have_their_turns_one_after_the_other() {
    let mut run = Run::new();
    for number in 0..QUEUES {
        run.declare(&format!("q{number}"), &[]);
        run.send(&expiring(&format!("q{number}")));
    }
    run.cluster.set_clock(run.cluster.now() + 2000);
    let left = run.messages_until_none();
    assert!(left.windows(2).all(|pair| pair[0] - pair[1] <= TURN_STEPS_MAX / 8), "{left:?}");
}

#[test]
fn very_many_queues_with_messages_are_served_some_in_each_turn() {
    let mut run = Run::new();
    let conns: Vec<Conn> = (0..40).map(|_| run.connect()).collect();
    for (number, _) in conns.iter().enumerate() {
        run.declare(&format!("q{number}"), &[]);
        run.send(&publish(&format!("q{number}")).repeat(1000));
    }
    for (number, &conn) in conns.iter().enumerate() {
        let fields = [("queue", Value::text(format!("q{number}"))), ("no_ack", Value::Bool(true))];
        run.cluster.write(conn, &method("basic.consume", &fields));
    }
    let left = run.messages_until_none();
    assert!(left.windows(2).all(|pair| pair[0] - pair[1] <= 2 * TURN_STEPS_MAX + 1024), "{left:?}");
}

/// One shard, a client that asks for much, and another client.
struct Run {
    cluster: Cluster,
    conn: Conn,
    other: Conn,
}

impl Run {
    fn new() -> Run {
        Run::on(1)
    }

    /// Makes a broker of this many shards; the other client is on the last one.
    fn on(shards: u16) -> Run {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        let [conn, other] = [0, usize::from(shards) - 1].map(|shard| connect(&mut cluster, shard));
        Run { cluster, conn, other }
    }

    fn connect(&mut self) -> Conn {
        connect(&mut self.cluster, 0)
    }

    /// Returns how many messages there are, waiting or unsettled, after each turn until there are
    /// none.
    fn messages_until_none(&mut self) -> Vec<usize> {
        let mut left = vec![self.cluster.shard(0).messages().0];
        while left.last() != Some(&0) {
            self.cluster.turn(0);
            left.push(self.cluster.shard(0).messages().0);
            assert!(left.len() < 100, "{left:?}");
        }
        left
    }

    /// Sends bytes, and takes turns until the broker is at rest.
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

    fn declare_durable(&mut self, queue: &str, arguments: &[(&str, Value)]) {
        let arguments: Table = arguments.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect();
        let fields = [("queue", Value::text(queue)), ("durable", Value::Bool(true)), ("arguments", Value::Table(arguments))];
        self.tell("queue.declare", &fields);
    }

    /// Publishes this many messages, all of which the client receives.
    fn take(&mut self, queue: &str, count: usize) {
        self.send(&consume(queue));
        self.publish(queue, count);
    }

    fn publish(&mut self, queue: &str, count: usize) {
        for first in (0..count).step_by(TAKEN_AT_ONCE) {
            let numbers = first..count.min(first + TAKEN_AT_ONCE);
            self.send(&numbers.flat_map(|number| numbered(queue, number)).collect::<Vec<u8>>());
        }
        assert_eq!(self.cluster.shard(0).messages().0, count);
    }

    /// Returns how many messages are ready, asked in each turn until all are.
    fn counts_until(&mut self, queue: &str, count: usize) -> Vec<i128> {
        let mut counts = Vec::new();
        while counts.last() != Some(&(count as i128)) {
            counts.push(self.count_between_turns(queue));
            assert!(counts.len() < 1000, "{counts:?}");
        }
        counts
    }

    /// Returns the events that have arrived without another turn.
    fn read_what_came(&mut self, conn: Conn) -> Vec<String> {
        let bytes = self.cluster.read(conn, usize::MAX);
        Incoming::default().feed(&bytes).iter().map(|(_, event)| event.name().to_owned()).collect()
    }

    /// Sends bytes, and takes one turn of the broker.
    fn write(&mut self, bytes: &[u8]) {
        self.cluster.write(self.conn, bytes);
        self.cluster.turn(0);
    }

    /// Asks as the other client how many messages are ready; the broker answers, and takes its next
    /// turn.
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

    /// Returns the events that have arrived.
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

fn connect(cluster: &mut Cluster, shard: usize) -> Conn {
    let conn = cluster.connect_to(shard).expect("there are few");
    cluster.send(conn, &handshake(FRAME));
    cluster.send(conn, &method("channel.open", &[]));
    cluster.drain(conn);
    conn
}

fn consume(queue: &str) -> Vec<u8> {
    method("basic.consume", &[("queue", Value::text(queue)), ("consumer_tag", Value::text("c"))])
}

/// Makes a message that expires after a second.
fn expiring(queue: &str) -> Vec<u8> {
    let method = Method::new("basic.publish", &[("routing_key", Value::text(queue))]).expect("the list knows it");
    let properties = vec![("expiration".to_owned(), Value::text("1000"))];
    client::publish(1, &method, &Content { body: b"1".to_vec(), properties, ..Content::default() }, FRAME)
}

/// Makes a message that carries its number.
fn numbered(queue: &str, number: usize) -> Vec<u8> {
    let method = Method::new("basic.publish", &[("routing_key", Value::text(queue))]).expect("the list knows it");
    client::publish(1, &method, &Content { body: number.to_string().into_bytes(), ..Content::default() }, FRAME)
}

/// Returns the number that a delivered message carries.
fn number(event: &Event) -> Option<usize> {
    match event {
        Event::Method(method, Some(content)) if method.name == "basic.deliver" => std::str::from_utf8(&content.body).ok()?.parse().ok(),
        _ => None,
    }
}

/// More messages than some turns settle.
const MANY: usize = 5 * TURN_STEPS_MAX / 2;
/// More timers than fire in a turn.
const QUEUES: usize = 3000;
const TAKEN_AT_ONCE: usize = 1000;
const FRAME: usize = 131_072;

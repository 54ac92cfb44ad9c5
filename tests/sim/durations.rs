//! Durations: nothing ends before its time, and on an idle shard it ends at most a millisecond and
//! a bit later.
//!
//! A shard's time is rounded down to milliseconds. Something that begins at 7 may begin when 7 is
//! almost over: 10 ms later it is 17.9, so at 17 they are not over for certain.

use ringmq::config::Config;

use crate::exact::handshake;
use crate::support::broker::{Broker, Conn};
use crate::support::client::{self, Content, Event, Incoming};
use crate::support::cluster::Cluster;
use crate::support::value::Value;
use crate::support::wire::{self, Method};

#[test]
fn a_message_lives_for_its_own_time() {
    each(|run| {
        run.declare("q", &[]);
        run.publish("", "q", &[("expiration", Value::text("10"))]);
        run.ends(10, |run| run.count("q") == 0);
    });
}

#[test]
fn a_message_lives_for_the_time_of_its_queue() {
    each(|run| {
        run.declare("q", &[("x-message-ttl", number(10))]);
        run.publish("", "q", &[]);
        run.ends(10, |run| run.count("q") == 0);
    });
}

#[test]
fn a_dead_letter_lives_for_the_time_of_its_next_queue() {
    each(|run| {
        run.declare("p", &[("x-message-ttl", number(10))]);
        run.declare("q", &[("x-dead-letter-exchange", Value::text("")), ("x-dead-letter-routing-key", Value::text("p"))]);
        run.publish("", "q", &[]);
        let tag = run.get("q").expect("it is there");
        run.reject(tag, false);
        assert_eq!(run.count("p"), 1);
        run.ends(10, |run| run.count("p") == 0);
    });
}

#[test]
fn a_message_that_comes_back_lives_as_long_as_if_it_had_stayed() {
    each(|run| {
        run.declare("q", &[]);
        run.ask("basic.consume", &[("queue", Value::text("q")), ("consumer_tag", Value::text("c"))]);
        run.publish("", "q", &[("expiration", Value::text("10"))]);
        run.ask("basic.cancel", &[("consumer_tag", Value::text("c"))]);
        run.cluster.pass_time(4);
        run.reject(1, true);
        assert_eq!(run.count("q"), 1);
        run.ends(6, |run| run.count("q") == 0);
        assert_eq!(run.ask("queue.delete", &[("queue", Value::text("q"))]), "queue.delete-ok");
    });
}

#[test]
fn a_queue_lives_for_its_time() {
    each(|run| {
        run.declare("q", &[("x-expires", number(10))]);
        run.cluster.pass_time(10);
        assert_eq!(run.check("q"), "queue.declare-ok");
        // The passive declaration counts as a use of the queue.
        run.cluster.pass_time(12);
        assert_eq!(run.check("q"), "channel.close");
    });
}

#[test]
fn a_message_is_delayed_for_its_time() {
    each(|run| {
        let arguments = Value::Table(vec![(b"x-delayed-type".to_vec(), Value::text("fanout"))]);
        run.ask(
            "exchange.declare",
            &[("exchange", Value::text("e")), ("type", Value::text("x-delayed-message")), ("arguments", arguments)],
        );
        run.declare("q", &[]);
        run.ask("queue.bind", &[("queue", Value::text("q")), ("exchange", Value::text("e"))]);
        run.publish("e", "", &[("headers", Value::Table(vec![(b"x-delay".to_vec(), number(10))]))]);
        run.ends(10, |run| run.count("q") == 1);
    });
}

#[test]
fn what_comes_back_waits_for_its_time() {
    each(|run| {
        run.declare("q", &[("x-delayed-retry-type", Value::text("all")), ("x-delayed-retry-min", number(10))]);
        run.publish("", "q", &[]);
        let tag = run.get("q").expect("it is there");
        run.reject(tag, true);
        run.ends(10, |run| run.get("q").is_some());
    });
}

#[test]
fn duplicates_are_known_for_their_time() {
    each(|run| {
        run.declare("q", &[("x-message-deduplication", Value::Bool(true)), ("x-cache-ttl", number(10))]);
        let twin = [("headers", Value::Table(vec![(b"x-deduplication-header".to_vec(), Value::text("v"))]))];
        run.publish("", "q", &twin);
        run.cluster.pass_time(10);
        run.publish("", "q", &twin);
        assert_eq!(run.count("q"), 1);
        run.cluster.pass_time(2);
        run.publish("", "q", &twin);
        assert_eq!(run.count("q"), 2);
    });
}

/// A queue on the first shard, and a client on the last one.
struct Run {
    cluster: Cluster,
    conn: Conn,
    owner: Conn,
}

/// Runs a test on one shard and on two, at a time that is no round number.
fn each(what: impl Fn(&mut Run)) {
    for shards in [1, 2] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        cluster.pass_time(777);
        let [owner, conn] = [0, usize::from(shards) - 1].map(|shard| cluster.connect_to(shard).expect("there are few"));
        let open = wire::method_frame(1, &Method::new("channel.open", &[]).expect("the list knows it"));
        [owner, conn].into_iter().for_each(|conn| {
            cluster.send(conn, &handshake(FRAME));
            cluster.send(conn, &open);
            cluster.drain(conn);
        });
        what(&mut Run { cluster, conn, owner });
    }
}

impl Run {
    /// Checks that something is not so yet after `ms`, and is so two milliseconds later.
    fn ends(&mut self, ms: u64, is_over: impl Fn(&mut Run) -> bool) {
        self.cluster.pass_time(ms);
        assert!(!is_over(self), "it ended early");
        self.cluster.pass_time(2);
        assert!(is_over(self), "it has not ended");
    }

    fn ask(&mut self, method: &str, fields: &[(&str, Value)]) -> String {
        self.talk(self.conn, method, fields).0
    }

    fn talk(&mut self, conn: Conn, method: &str, fields: &[(&str, Value)]) -> (String, i128) {
        let method = Method::new(method, fields).expect("the list knows it");
        self.cluster.send(conn, &wire::method_frame(1, &method));
        let events = Incoming::default().feed(&self.cluster.drain(conn));
        let answer = events.iter().rev().find_map(|(_, event)| match event {
            Event::Method(method, _) if method.name != "basic.deliver" => Some(method),
            _ => None,
        });
        let Some(answer) = answer else { return (String::new(), 0) };
        let number = ["delivery_tag", "message_count"].iter().find_map(|field| answer.field(field)?.as_number());
        (answer.name.clone(), number.unwrap_or_default())
    }

    fn declare(&mut self, queue: &str, arguments: &[(&str, Value)]) {
        let arguments = arguments.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect();
        let fields = [("queue", Value::text(queue)), ("durable", Value::Bool(true)), ("arguments", Value::Table(arguments))];
        assert_eq!(self.talk(self.owner, "queue.declare", &fields).0, "queue.declare-ok");
    }

    fn check(&mut self, queue: &str) -> String {
        self.ask("queue.declare", &[("queue", Value::text(queue)), ("passive", Value::Bool(true))])
    }

    fn count(&mut self, queue: &str) -> i128 {
        self.talk(self.conn, "queue.declare", &[("queue", Value::text(queue)), ("passive", Value::Bool(true))]).1
    }

    fn get(&mut self, queue: &str) -> Option<i128> {
        let (name, tag) = self.talk(self.conn, "basic.get", &[("queue", Value::text(queue))]);
        (name == "basic.get-ok").then_some(tag)
    }

    fn reject(&mut self, tag: i128, requeue: bool) {
        self.ask("basic.reject", &[("delivery_tag", Value::number(tag)), ("requeue", Value::Bool(requeue))]);
    }

    fn publish(&mut self, exchange: &str, key: &str, properties: &[(&str, Value)]) {
        let fields = [("exchange", Value::text(exchange)), ("routing_key", Value::text(key))];
        let method = Method::new("basic.publish", &fields).expect("the list knows it");
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let content = Content { properties, body: b"1".to_vec(), parts: Vec::new() };
        self.cluster.send(self.conn, &client::publish(1, &method, &content, FRAME));
    }
}

/// Returns a number in a table.
fn number(n: i128) -> Value {
    Value::Number('l', n)
}

const FRAME: usize = 131_072;

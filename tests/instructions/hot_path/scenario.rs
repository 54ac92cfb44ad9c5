//! The scenarios: the topology that the broker is given beforehand, and the messages that are
//! published.

use crate::run::Run;
use crate::support::client::{self, Content};
use crate::support::value::Value;
use crate::support::wire::Method;
use crate::yard::{Yard, method};

/// A load on the broker.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name among the figures.
    pub name: &'static str,
    shards: u16,
    body: usize,
    exchange: Exchange,
    queues: usize,
    /// The consumers acknowledge every delivery, and have at most this many unacknowledged; `None`:
    /// they consume without acks.
    prefetch: Option<u16>,
    confirms: bool,
    /// Whether the queues have priorities; then no two messages in a row have the same one.
    priorities: bool,
}

/// The way from a message to its queues.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exchange {
    /// The default exchange: the routing key is the queue's name.
    Default,
    /// A fanout exchange: every message goes to every queue.
    Fanout,
    /// A topic exchange with this many bindings, a third each of plain words, `*` and `#`; a
    /// message matches one of them.
    Topic { bindings: usize },
}

const PLAIN: Scenario =
    Scenario { name: "", shards: 1, body: 100, exchange: Exchange::Default, queues: 1, prefetch: None, confirms: false, priorities: false };

/// All scenarios that are measured.
pub const SCENARIOS: [Scenario; 8] = [
    Scenario { name: "auto-ack-16-bytes", body: 16, ..PLAIN },
    Scenario { name: "auto-ack-100-bytes", ..PLAIN },
    Scenario { name: "ack-each-prefetch-1000", prefetch: Some(1000), ..PLAIN },
    Scenario { name: "confirm-and-ack-each", prefetch: Some(1000), confirms: true, ..PLAIN },
    Scenario { name: "fanout-10-queues", exchange: Exchange::Fanout, queues: 10, ..PLAIN },
    Scenario { name: "topic-1000-bindings-10-queues", exchange: Exchange::Topic { bindings: 1000 }, queues: 10, ..PLAIN },
    Scenario { name: "auto-ack-across-shards", shards: 2, ..PLAIN },
    Scenario { name: "ack-each-100-priorities", prefetch: Some(1000), priorities: true, ..PLAIN },
];

impl Scenario {
    /// Publishes and delivers this many messages.
    pub fn run(&self, messages: usize) {
        let publishes: Vec<_> = (0..).zip(&self.keys()).map(|(n, key)| self.publish(key, n)).collect();
        let mut yard = Yard::new(self.shards);
        // A queue lives on the shard where it is declared: with two shards, every message crosses.
        let consumer = yard.open(usize::from(self.shards) - 1, &self.consumer_methods());
        let publisher = yard.open(0, &self.publisher_methods());
        let mut run = Run::new(yard, publisher, consumer, &publishes, self.prefetch.is_some());
        let least = self.copies() * (self.body + DELIVERY_OVERHEAD_MIN);
        assert!((least..2 * least).contains(&run.delivered_size()), "a message did not reach its queues");
        run.publish(messages);
    }

    /// Returns the number of deliveries of one message.
    fn copies(&self) -> usize {
        if self.exchange == Exchange::Fanout { self.queues } else { 1 }
    }

    /// Returns the routing keys of a round of publishes. The bindings of a topic exchange that they
    /// match lead to all queues in turn.
    fn keys(&self) -> Vec<String> {
        let key = |n| match self.exchange {
            Exchange::Default | Exchange::Fanout => "q0".to_owned(),
            Exchange::Topic { bindings } => format!("word{:04}.middle.end", n * bindings / KEYS + n % self.queues),
        };
        (0..KEYS).map(key).collect()
    }

    fn exchange_name(&self) -> &'static str {
        match self.exchange {
            Exchange::Default => "",
            Exchange::Fanout => "amq.fanout",
            Exchange::Topic { .. } => "amq.topic",
        }
    }

    fn publish(&self, key: &str, number: u8) -> Vec<u8> {
        let fields = [("exchange", Value::text(self.exchange_name())), ("routing_key", Value::text(key))];
        let mut properties = vec![("delivery_mode".to_owned(), Value::number(1))];
        properties.extend(self.priorities.then(|| ("priority".to_owned(), Value::number(number))));
        let content = Content { properties, body: vec![b'x'; self.body], parts: vec![] };
        client::publish(1, &method("basic.publish", &fields), &content, usize::MAX)
    }

    fn publisher_methods(&self) -> Vec<Method> {
        if self.confirms { vec![method("confirm.select", &[])] } else { Vec::new() }
    }

    fn consumer_methods(&self) -> Vec<Method> {
        let queue = |n: usize| ("queue", Value::text(format!("q{}", n % self.queues)));
        let bind = |n: usize, key: String| {
            let exchange = Value::text(self.exchange_name());
            method("queue.bind", &[queue(n), ("exchange", exchange), ("routing_key", Value::text(key))])
        };
        let consume = |n| method("basic.consume", &[queue(n), ("no_ack", Value::Bool(self.prefetch.is_none()))]);
        let maximum = self.priorities.then(|| (b"x-max-priority".to_vec(), Value::Number('I', 255)));
        let arguments = ("arguments", Value::Table(maximum.into_iter().collect()));
        let mut methods: Vec<Method> = (0..self.queues).map(|n| method("queue.declare", &[queue(n), arguments.clone()])).collect();
        match self.exchange {
            Exchange::Default => {}
            Exchange::Fanout => methods.extend((0..self.queues).map(|n| bind(n, String::new()))),
            Exchange::Topic { bindings } => methods.extend((0..bindings).map(|n| bind(n, pattern(n)))),
        }
        methods.extend(self.prefetch.map(|count| method("basic.qos", &[("prefetch_count", Value::number(count))])));
        methods.extend((0..self.queues).map(consume));
        methods
    }
}

fn pattern(n: usize) -> String {
    format!("word{n:04}.{}", ["middle.end", "*.end", "#"][n % 3])
}

/// The number of messages after which a publisher repeats its first routing key.
const KEYS: usize = 100;

/// Bytes of a delivery without its names and its body: three frames, the method, and the content
/// header with delivery-mode.
const DELIVERY_OVERHEAD_MIN: usize = 3 * 8 + (4 + 1 + 8 + 1 + 1 + 1) + (14 + 1);

//! Measures how long a publisher waits for its confirms while policies change: `policy-stall
//! [QUEUES [SHARDS]]`.
//!
//! The shards have no sockets, so that only the broker's own part is measured. A publisher has 64
//! KiB of messages for every turn, which are consumed at once. Meanwhile an operator sets and
//! deletes policies that match all other queues: many with a few messages each, and one with a
//! million of them. With several shards every message crosses from the first shard to the last, and
//! the turns of all shards, one after the other, count.
//!
//! The program prints two times for each phase: one by the clock, and one without the time for
//! which the thread waited for a CPU that others had (the kernel's run delay). On a busy machine
//! only the second one describes the broker. Time that a hypervisor takes is in both.

#[path = "../../support/mod.rs"]
mod support;
#[path = "../hot_path/yard.rs"]
mod yard;

use std::time::{Duration, Instant};

use ringmq::contract::Command;

use support::client::{self, Content};
use support::ctl::Ctl;
use support::value::Value;
use support::wire;
use yard::{Client, Yard, method};

/// The broker's own allocator.
#[global_allocator]
static ALLOCATOR: ringmq::io::host::memory::Allocator = ringmq::io::host::memory::Allocator;

fn main() {
    let numbers: Vec<u16> = std::env::args().skip(1).map(|word| word.parse().expect("policy-stall [QUEUES [SHARDS]]")).collect();
    let (queues, shards) = (numbers.first().copied().unwrap_or(20_000), numbers.get(1).copied().unwrap_or(1));
    println!("{queues} queues with {MESSAGES} messages each, one with {DEEP}, {shards} shards: a turn's confirms come after");
    let mut load = Load::new(queues, shards);
    load.measure("nothing changes", "clear_policy none");
    for (what, line) in [
        ("TTL set", r#"set_policy p ^(?!amq\.)q '{"message-ttl":3600000}'"#),
        ("the same again", r#"set_policy p ^(?!amq\.)q '{"message-ttl":3600000}' priority=1"#),
        ("deleted", "clear_policy p"),
        ("length set", r#"set_policy p ^(?!amq\.)q '{"max-length":5}'"#),
        ("bytes set", r#"set_policy p ^(?!amq\.)q '{"max-length-bytes":200}'"#),
        ("deleted", "clear_policy p"),
        ("length of the deep queue set", r#"set_policy p ^deep '{"max-length":5}'"#),
    ] {
        load.measure(what, line);
    }
}

/// A broker whose first queue receives messages as fast as possible.
struct Load {
    yard: Yard,
    publisher: Client,
    publishes: Vec<u8>,
}

impl Load {
    fn new(queues: u16, shards: u16) -> Load {
        let mut yard = Yard::new(shards);
        let queue = |name: &str| [("queue", Value::text(name))];
        let consume = method("basic.consume", &[("queue", Value::text("hot")), ("no_ack", Value::Bool(true))]);
        yard.open(usize::from(shards) - 1, &[method("queue.declare", &queue("hot")), method("queue.declare", &queue("deep")), consume]);
        let publisher = yard.open(0, &[method("confirm.select", &[])]);
        let mut load = Load { yard, publisher, publishes: publish("hot").repeat(HAND / publish("hot").len()) };
        for shard in 0..shards {
            let names = (shard..queues).step_by(usize::from(shards)).map(|n| format!("q{n}"));
            load.fill(usize::from(shard), &names.collect::<Vec<_>>());
        }
        let deep = publish("deep").repeat(1000);
        (0..DEEP / 1000).for_each(|_| load.say(load.publisher, &deep));
        load
    }

    /// Declares queues on a shard, and publishes some messages to each of them.
    fn fill(&mut self, shard: usize, names: &[String]) {
        let owner = self.yard.open(shard, &[]);
        for names in names.chunks(100) {
            let declare = |name: &String| wire::method_frame(1, &method("queue.declare", &[("queue", Value::text(name))]));
            names.iter().for_each(|name| self.say(owner, &declare(name)));
            names.iter().for_each(|name| self.say(owner, &publish(name).repeat(MESSAGES)));
        }
    }

    fn say(&mut self, client: Client, bytes: &[u8]) {
        self.yard.hand_over(client, bytes);
        self.yard.settle();
    }

    /// Publishes for some time; soon after the start an operator's command is carried out.
    fn measure(&mut self, what: &str, line: &str) {
        let ctl = Ctl::parse(line).expect("a command");
        let [command]: [Command; 1] = ctl.commands().expect("a command").try_into().expect("one");
        let (mut waits, mut own) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
        let mut command = Some(command);
        for round in 0..ROUNDS {
            if round == ROUNDS / 10 {
                command.take().into_iter().for_each(|command| self.yard.shards[0].demand(0, command.into()));
            }
            let before = run_delay();
            let wait = self.publish();
            waits.push(wait);
            own.push(wait.saturating_sub(run_delay() - before));
        }
        self.yard.settle();
        println!("{what:30} {};  own {}; {} messages wait then", text(waits), text(own), self.yard.messages());
    }

    /// Publishes the messages of one turn. Returns the time until the first confirm, at which the
    /// publisher is not paused.
    fn publish(&mut self) -> Duration {
        let begin = Instant::now();
        let before = self.yard.received(self.publisher);
        self.publishes.chunks(BUFFER).for_each(|bytes| self.yard.hand_over(self.publisher, bytes));
        while self.yard.received(self.publisher) == before || self.yard.is_paused(self.publisher) {
            self.yard.turn();
        }
        begin.elapsed()
    }
}

/// Returns how long this thread has waited for a CPU so far.
fn run_delay() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux keeps it");
    Duration::from_nanos(text.split(' ').nth(1).and_then(|ns| ns.parse().ok()).expect("the second of three numbers"))
}

fn text(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let ms = |at: usize| times[at.min(times.len() - 1)].as_secs_f64() * 1000.0;
    format!("p50 {:.3} p99 {:.3} longest {:.3} ms", ms(ROUNDS / 2), ms(ROUNDS * 99 / 100), ms(ROUNDS))
}

fn publish(queue: &str) -> Vec<u8> {
    let content = Content { properties: Vec::new(), body: vec![b'x'; 100], parts: vec![] };
    client::publish(1, &method("basic.publish", &[("routing_key", Value::text(queue))]), &content, usize::MAX)
}

/// The number of messages in each queue, and in the deep one.
const MESSAGES: usize = 20;
const DEEP: usize = 1_000_000;
/// The number of turns of a measurement.
const ROUNDS: usize = 20_000;
/// Bytes that the publisher has ready for a turn, and bytes of a receive buffer.
const HAND: usize = 64 << 10;
const BUFFER: usize = 16 << 10;

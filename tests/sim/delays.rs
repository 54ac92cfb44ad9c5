//! Delayed messages, to the millisecond: none comes before it is due and none later, over restarts
//! and crashes at rest, and when memory is short. (A shard's time is rounded down, so a delay
//! counts from the next millisecond on.)

use std::collections::BTreeMap;

use ringmq::base::limits::{DELAY_REST_MS, LOG_READ_SIZE, MAIL_BYTES_MAX};
use ringmq::config::Config;

use crate::choice::Dice;
use crate::limits::{join, read_all, say};
use crate::op::{Binding, DELAY_MAX, Name, Op, Publish, Saw, is_durable};
use crate::queues::PLAIN;
use crate::support::broker::{Broker, Conn};
use crate::support::cluster::Cluster;

#[test]
fn they_come_on_time_and_once() {
    for seed in 0..12 {
        let mut run = Run::new(seed, Config::default().queue_memory, 0);
        for _ in 0..3 {
            run.publish(30);
            run.wait(6_000);
        }
        run.finish();
    }
}

#[test]
fn what_is_persistent_comes_on_time_after_restarts() {
    for seed in 0..16 {
        let mut run = Run::new(seed, Config::default().queue_memory, 0);
        for _ in 0..3 {
            run.publish(30);
            run.wait(3_000);
            run.restart(seed % 2 == 0);
        }
        run.finish();
    }
}

#[test]
fn short_of_memory_none_is_kept_and_all_come_a_little_late_at_most() {
    for seed in 0..8 {
        let mut run = Run::new(seed, 64 << 10, 2 * DELAY_REST_MS);
        run.press();
        let before = run.messages();
        run.publish(30);
        assert_eq!(run.messages(), before, "seed {seed}: some that wait are in memory");
        run.wait(12_000);
        run.restart(seed % 2 == 0);
        run.press();
        run.publish(30);
        run.finish();
    }
}

#[test]
fn those_of_a_deleted_exchange_are_gone() {
    for seed in 0..8 {
        let mut run = Run::new(seed, Config::default().queue_memory, 0);
        run.publish(30);
        run.wait(500);
        for name in ["w0", "vw0"] {
            run.ask(&Op::DeleteExchange { name, if_unused: false });
        }
        run.expected.clear();
        run.cluster.pass_time(crate::LOGS_REST_MS);
        assert_eq!(run.messages(), 0, "seed {seed}: some are still in memory");
        run.declare();
        run.publish(10);
        run.finish();
    }
}

#[test]
fn an_exchange_may_go_while_its_messages_leave_it() {
    for seed in 0..16 {
        let mut run = Run::new(seed, Config::default().queue_memory, 0);
        let messages: Vec<Publish> =
            (0..COUNT).map(|number| Publish { exchange: "w0", delay: Some(5), ..message(12 + 97 * number, "a") }).collect();
        say(&mut run.cluster, run.client, &Op::Publish(messages));
        run.cluster.set_clock(run.cluster.now() + 6);
        let left = run.messages();
        while run.messages() == left {
            (0..run.cluster.shard_count()).for_each(|shard| run.cluster.turn(shard));
        }
        run.cluster.write(run.client, &Op::DeleteExchange { name: "w0", if_unused: false }.encode(1, 4096));
        run.cluster.settle();
        let came = read_all(&mut run.cluster, run.client).iter().filter(|saw| matches!(saw, Saw::Delivered { .. })).count();
        assert!((1..COUNT as usize).contains(&came), "seed {seed}: {came} messages were due before the exchange was gone");
        run.finish();
    }
}

#[test]
fn a_crash_while_they_leave_loses_none_and_repeats_none() {
    for seed in 0..60 {
        let mut run = Run::new(seed, Config::default().queue_memory, 0);
        run.ask(&Op::Cancel(1));
        let delay = Some(2 * crate::LOGS_REST_MS);
        let messages: Vec<Publish> =
            (0..COUNT / 10).map(|number| Publish { exchange: "w0", delay, persistent: true, ..message(12 + 97 * number, "a") }).collect();
        say(&mut run.cluster, run.client, &Op::Publish(messages));
        run.cluster.pass_time(2 * crate::LOGS_REST_MS);
        let slowness = run.dice.pick(&[1, 3, 10]);
        run.cluster.set_slowness(slowness, 1);
        for _ in 0..run.dice.below(100) {
            let (shard, passes) = (run.dice.index(run.cluster.shard_count()), run.dice.one_in(8));
            run.cluster.set_clock(run.cluster.now() + u64::from(passes));
            run.cluster.turn(shard);
        }
        run.cluster.crash();
        run.cluster.start();
        run.client = join(&mut run.cluster, 0);
        run.cluster.pass_time(1000);
        say(&mut run.cluster, run.client, &Op::Consume { queue: "q0", tag: 1, no_ack: true, exclusive: false, priority: 0 });
        let mut counts = BTreeMap::new();
        for saw in read_all(&mut run.cluster, run.client) {
            if let Saw::Delivered { id, .. } = saw {
                *counts.entry(id).or_insert(0) += 1;
            }
        }
        assert_eq!(counts.len(), COUNT as usize / 10, "seed {seed}: some are lost");
        assert!(counts.values().all(|count| *count == 1), "seed {seed}: some come again");
        run.finish();
    }
}

#[test]
fn short_of_memory_what_cannot_leave_is_not_read() {
    let mut run = Run::new(1, 64 << 10, 0);
    let large = |number| Publish { exchange: "w0", delay: Some(1000), ..message(11 + 97 * number, "a") };
    for number in 0..COUNT {
        say(&mut run.cluster, run.client, &Op::Publish(vec![large(number)]));
    }
    run.cluster.pass_time(1000);
    run.cluster.set_clock(run.cluster.now() + 1);
    // The queue's shard is late: it takes no turn.
    for _ in 0..1000 {
        run.cluster.set_clock(run.cluster.now() + 1);
        run.cluster.turn(1);
    }
    let count = run.cluster.shard(1).messages().0;
    assert!(count * LARGE <= MAIL_BYTES_MAX + 2 * LOG_READ_SIZE, "{count} messages are in memory");
    run.cluster.pass_time(1000);
    let came = read_all(&mut run.cluster, run.client).iter().filter(|saw| matches!(saw, Saw::Delivered { .. })).count();
    assert_eq!(came, COUNT as usize);
    run.finish();
}

/// A broker, a client of it, and the expected messages.
struct Run {
    cluster: Cluster,
    dice: Dice,
    client: Conn,
    published: u32,
    /// The messages' numbers, each with the time of day at which it is due, and whether it survives
    /// a crash.
    expected: BTreeMap<u32, (u64, bool)>,
    /// How many milliseconds late a message may be.
    late: u64,
}

impl Run {
    fn new(seed: u64, queue_memory: usize, late: u64) -> Run {
        let shards = 1 + (seed % 4) as u16;
        let mut cluster = Cluster::new(Config { shards, queue_memory, ..Config::default() }, seed);
        let client = join(&mut cluster, usize::from(shards) - 1);
        let mut run = Run { cluster, dice: Dice::new(seed, PLAIN), client, published: 0, expected: BTreeMap::new(), late };
        run.declare();
        run.consume();
        run
    }

    /// Declares a durable and a transient exchange that delay, and a queue, mostly on another
    /// shard.
    fn declare(&mut self) {
        let other = join(&mut self.cluster, 0);
        say(&mut self.cluster, other, &Op::DeclareQueue("q0"));
        self.cluster.reset(other);
        self.cluster.settle();
        for (source, key) in [("w0", "#"), ("vw0", "a")] {
            self.ask(&Op::DeclareExchange(source));
            self.ask(&Op::Bind(Binding { source, destination: "q0", to_queue: true, key, headers: None }));
        }
    }

    fn consume(&mut self) {
        say(&mut self.cluster, self.client, &Op::Consume { queue: "q0", tag: 1, no_ack: true, exclusive: false, priority: 0 });
        self.look();
    }

    fn publish(&mut self, count: u32) {
        let now = self.cluster.time_of_day();
        for _ in 0..count {
            let id = 12 + 97 * self.published;
            let exchange: Name = self.dice.pick(&["w0", "w0", "vw0"]);
            let longest = self.dice.pick(&[100, 5_000, DELAY_MAX]);
            let (delay, persistent) = (1 + self.dice.below(longest), !self.dice.one_in(3));
            let message = Publish { delay: Some(delay), persistent, exchange, ..message(id, "a") };
            say(&mut self.cluster, self.client, &Op::Publish(vec![message]));
            self.expected.insert(id, (now + 1 + delay, persistent && is_durable(exchange)));
            self.published += 1;
        }
    }

    /// Lets time pass, and checks that the messages due then have come.
    fn wait(&mut self, ms: u64) {
        let end = self.cluster.time_of_day() + ms;
        while self.cluster.time_of_day() < end {
            self.look();
            let now = self.cluster.time_of_day();
            let times = self.expected.values().flat_map(|(due, _)| [due - 1, *due, due + self.late]);
            let next = times.filter(|&time| time > now).min().unwrap_or(end).min(end);
            self.cluster.pass_time(next - now);
        }
        self.look();
    }

    /// Checks that the messages that have come were due, and that all due messages have come.
    fn look(&mut self) {
        let now = self.cluster.time_of_day();
        let seen = read_all(&mut self.cluster, self.client);
        for saw in seen.into_iter().filter(|saw| !matches!(saw, Saw::Reply(_))) {
            let Saw::Delivered { id, redelivered: false, .. } = saw else { panic!("{saw:?}") };
            let (due, _) = self.expected.remove(&id).unwrap_or_else(|| panic!("message {id} is not expected"));
            assert!(due <= now, "message {id} comes {} ms before it is due", due - now);
        }
        let missing = self.expected.iter().find(|(_, (due, _))| due + self.late <= now);
        assert_eq!(missing, None, "it is {now}, and the message is not there");
    }

    /// Stops the broker, or crashes it when its disks have everything, and starts it again.
    fn restart(&mut self, crashes: bool) {
        self.wait(crate::LOGS_REST_MS);
        if crashes {
            self.cluster.crash();
        } else {
            self.cluster.reset(self.client);
            self.cluster.stop();
        }
        self.expected.retain(|_, (_, is_found)| *is_found);
        self.cluster.start();
        let shard = self.dice.index(self.cluster.shard_count());
        self.client = join(&mut self.cluster, shard);
        self.declare();
        self.consume();
    }

    /// Fills the memory with the messages of another queue.
    fn press(&mut self) {
        let messages: Vec<Publish> = (0..1000).map(|number| Publish { exchange: "", ..message(12 + 97 * number, "q2") }).collect();
        self.ask(&Op::DeclareQueue("q2"));
        say(&mut self.cluster, self.client, &Op::Publish(messages));
        self.wait(crate::LOGS_REST_MS);
    }

    /// Lets everything become due, and checks that nothing remains.
    fn finish(&mut self) {
        self.wait(DELAY_MAX + 1 + self.late);
        assert!(self.expected.is_empty(), "the last is due");
        for name in ["q0", "q2"] {
            say(&mut self.cluster, self.client, &Op::DeleteQueue { name, if_unused: false, if_empty: false });
        }
        self.cluster.reset(self.client);
        self.cluster.pass_time(crate::LOGS_REST_MS);
        crate::check_empty(&self.cluster);
    }

    fn ask(&mut self, op: &Op) {
        say(&mut self.cluster, self.client, op);
        let seen = read_all(&mut self.cluster, self.client);
        let is_answer = |saw: &Saw| matches!(saw, Saw::Reply(reply) if op.answers().iter().any(|answer| reply.starts_with(answer)));
        assert!(matches!(&seen[..], [saw] if is_answer(saw)), "{seen:?} answers {op:?}");
    }

    /// Returns how many messages are in memory.
    fn messages(&self) -> usize {
        (0..self.cluster.shard_count()).map(|shard| self.cluster.shard(shard).messages().0).sum()
    }
}

fn message(id: u32, key: Name) -> Publish {
    Publish { id, key, mandatory: true, ..Publish::default() }
}

/// More messages than are routed in a turn.
const COUNT: u32 = 2000;

/// The size of a large message.
const LARGE: usize = 9000;

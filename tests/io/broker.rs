//! A broker in this process: every way to receive, to send and to close.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringmq::base::limits::HANDSHAKES_MAX;
use ringmq::base::rng::Rng;
use ringmq::config::Config;
use ringmq::io::Broker;
use ringmq::io::door::Door;
use ringmq::shard::{self, Shard};

use crate::client::Client;
use crate::scratch::Scratch;
use crate::support::client::{Event, PROTOCOL_HEADER};
use crate::support::value::Value;

/// Gives each shard a door that nobody uses.
pub fn with_doors(shards: Vec<Shard>) -> Vec<(Shard, Door)> {
    shards.into_iter().map(|shard| (shard, Door::new(Arc::new(drop)).expect("there are descriptors"))).collect()
}

/// A running broker. At the end of its test it stops; then its data is removed.
struct Running {
    broker: Broker,
    _data: Scratch,
}

impl Running {
    fn start(config: Config) -> Running {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let data = Scratch::new();
        let config = Arc::new(Config { listen: vec![free], data_dir: data.0.clone(), ..config });
        let broker = Broker::start(&config, with_doors(shard::joined(&config, 7))).expect("a broker");
        Running { broker, _data: data }
    }

    fn address(&self) -> SocketAddr {
        self.broker.addresses()[0]
    }

    fn stop(self) -> Duration {
        let begin = Instant::now();
        self.broker.stop();
        begin.elapsed()
    }
}

fn small_pool() -> Config {
    Config { recv_buffers: 16, recv_buffer_size: 1024, bulk_buffers: 2, ring_entries: 64, spin_us: 0, ..Config::default() }
}

/// Publishes bodies of all sizes from one connection to another and compares them.
fn exchange(address: SocketAddr, queue: &str, seed: u64) {
    let mut rng = Rng::seeded(seed);
    let bodies: Vec<Vec<u8>> = SIZES.iter().map(|&size| random_bytes(&mut rng, size)).collect();
    let mut consumer = Client::open(address);
    consumer.consume(queue);
    let mut publisher = Client::open(address);
    thread::scope(|scope| {
        scope.spawn(|| bodies.iter().for_each(|body| publisher.publish(queue, body)));
        for body in &bodies {
            let got = consumer.delivery();
            assert!(got == *body, "{} bytes arrived instead of {}, or other ones", got.len(), body.len());
        }
    });
}

fn random_bytes(rng: &mut Rng, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rng.fill(&mut bytes);
    bytes
}

fn exchange_in_parallel(config: Config) {
    let broker = Running::start(config);
    let address = broker.address();
    thread::scope(|scope| {
        for n in 0..8 {
            scope.spawn(move || exchange(address, &format!("parallel-{n}"), n));
        }
    });
}

#[test]
fn bodies_of_all_sizes_arrive_as_they_were() {
    exchange_in_parallel(Config { shards: 2, ..Config::default() });
}

#[test]
fn connections_that_find_the_pool_empty_are_read_later() {
    exchange_in_parallel(small_pool());
    exchange_in_parallel(Config { shards: 2, ..small_pool() });
    exchange_in_parallel(Config { multishot: false, ..small_pool() });
}

#[test]
fn a_consumer_that_pauses_gets_everything() {
    let broker = Running::start(Config::default());
    let mut consumer = Client::open(broker.address());
    consumer.consume("slow");
    let mut publisher = Client::open(broker.address());
    let body = random_bytes(&mut Rng::seeded(1), 1 << 20);
    (0..12).for_each(|_| publisher.publish("slow", &body));
    thread::sleep(Duration::from_millis(200));
    (0..12).for_each(|_| assert!(consumer.delivery() == body));
}

#[test]
fn a_client_that_reads_nothing_is_let_go_and_what_it_held_comes_back() {
    let broker = Running::start(Config { send_timeout_ms: 400, ..Config::default() });
    let mut owner = Client::open(broker.address());
    owner.consume("other"); // a client that is only quiet stays connected
    let mut silent = Client::open(broker.address());
    silent.call(1, "queue.declare", &[("queue", Value::text("held")), ("exclusive", Value::Bool(true))]);
    silent.expect("queue.declare-ok");
    silent.call(1, "basic.consume", &[("queue", Value::text("held"))]);
    let body = random_bytes(&mut Rng::seeded(1), 1 << 20);
    (0..12).for_each(|_| owner.publish("held", &body));
    let end = Instant::now() + Duration::from_secs(5);
    while !owner.declares(&[("queue", Value::text("held"))]) {
        assert!(Instant::now() < end, "it still has its queue");
        thread::sleep(Duration::from_millis(50));
    }
    drop(silent);
}

#[test]
fn the_last_words_to_a_client_that_talks_on_are_not_lost_to_a_reset() {
    let broker = Running::start(Config::default());
    for _ in 0..50 {
        let mut client = Client::silent(broker.address());
        client.send(b"no AMQP ");
        // The broker may have closed already.
        let _ = client.stream().write_all(&[0; 20_000]);
        assert!(matches!(client.next(), Some(Event::ProtocolHeader(_))));
        assert_eq!(client.next(), None);
    }
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let broker = Running::start(small_pool());
    for n in 0..2000 {
        let client = Client::silent(broker.address());
        let _ = match n % 3 {
            0 => Ok(()),
            1 => client.stream().write_all(PROTOCOL_HEADER),
            _ => client.stream().shutdown(std::net::Shutdown::Write),
        };
    }
    exchange(broker.address(), "after-the-flood", 3);
}

#[test]
fn one_connection_too_many_is_told_so_and_the_others_live() {
    let broker = Running::start(Config { max_connections: 2, ..Config::default() });
    let mut first = Client::open(broker.address());
    let second = Client::open(broker.address());
    let close = Client::knock(broker.address()).expect("connection.close");
    let text = "NOT_ALLOWED - connection refused: node connection limit (2) is reached";
    assert_eq!(close.field("reply_text"), Some(&Value::text(text)));
    drop(second);
    wait_until(|| matches!(Client::knock(broker.address()).next(), Some(Event::Method(method, _)) if method.name == "connection.open-ok"));
    first.consume("still-here");
}

#[test]
fn sockets_that_only_wait_do_not_use_up_the_process() {
    let broker = Running::start(Config { max_connections: 1, ..Config::default() });
    let _silent: Vec<Client> = (0..=HANDSHAKES_MAX).map(|_| Client::silent(broker.address())).collect();
    assert!(matches!(Client::silent(broker.address()).stream().read(&mut [0; 8]), Ok(0) | Err(_)));
}

#[test]
fn clients_are_told_when_the_broker_ends() {
    let broker = Running::start(Config { shards: 2, ..Config::default() });
    let mut clients: Vec<_> = (0..10).map(|_| Client::open(broker.address())).collect();
    let stopping = thread::spawn(move || broker.stop());
    for client in &mut clients {
        let close = client.expect("connection.close");
        assert_eq!(close.field("reply_code"), Some(&Value::number(320)));
        client.call(0, "connection.close-ok", &[]);
        assert_eq!(client.next(), None);
    }
    drop(clients);
    assert!(stopping.join().expect("it stops") < Duration::from_secs(2));
}

#[test]
fn a_client_that_does_not_answer_holds_up_the_end_for_less_than_five_seconds() {
    let broker = Running::start(Config { shards: 2, ..Config::default() });
    let _silent = Client::open(broker.address());
    assert!(broker.stop() < Duration::from_secs(5));
}

fn wait_until(mut what: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < Duration::from_secs(5), "it did not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Body sizes around those of receive buffers, frames and sends, and around the size from which a
/// body is sent by reference.
const SIZES: [usize; 14] = [0, 1, 100, 1000, 4096, 16_383, 16_384, 16_385, 100_000, 131_064, 131_065, 262_144, 1_000_000, 5_000_000];

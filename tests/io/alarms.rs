//! Alarms: shards that sleep hear of them, and a socket that an alarm paused is read again
//! afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringmq::base::alarms::{Alarm, Alarms};
use ringmq::config::Config;
use ringmq::config::watermark::Watermark;
use ringmq::io::Broker;
use ringmq::shard;

use crate::broker::with_doors;
use crate::client::Client;
use crate::scratch::Scratch;
use crate::support::value::Value;

/// A broker of several shards whose alarms the test raises itself; the broker measures nothing.
fn start() -> (Broker, Arc<Alarms>, Scratch) {
    let data = Scratch::new();
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let memory_high_watermark = Watermark::Bytes(u64::MAX);
    let config = Arc::new(Config {
        listen,
        data_dir: data.0.clone(),
        shards: 3,
        memory_high_watermark,
        disk_free_limit: Watermark::Bytes(0),
        ..Config::default()
    });
    let shards = shard::joined(&config, 7);
    let alarms = shards[0].alarms().clone();
    (Broker::start(&config, with_doors(shards)).expect("a broker"), alarms, data)
}

/// Opens so many clients that every shard has some, and blocks them all.
fn blocked(broker: &Broker, alarms: &Alarms) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..12).map(|_| Client::open(broker.addresses()[0])).collect();
    (0..).zip(&mut clients).for_each(|(n, client)| client.consume(&format!("alarm-{n}")));
    alarms.set(Alarm::DiskFull, true);
    thread::sleep(NOTICED);
    for (n, client) in (0..).zip(&mut clients) {
        client.publish(&format!("alarm-{n}"), b"one");
        let blocked = client.expect("connection.blocked");
        assert_eq!(blocked.text("reason"), b"low on disk");
        client.publish(&format!("alarm-{n}"), &[7; 300_000]);
    }
    clients
}

#[test]
fn shards_that_sleep_hear_of_an_alarm_and_of_its_end() {
    let (broker, alarms, _data) = start();
    let mut clients = blocked(&broker, &alarms);
    alarms.set(Alarm::DiskFull, false);
    let begin = Instant::now();
    for client in &mut clients {
        client.expect("connection.unblocked");
        assert_eq!(client.delivery(), b"one");
        assert_eq!(client.delivery(), [7; 300_000]);
    }
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    drop(clients);
    broker.stop();
}

#[test]
fn blocked_clients_are_told_when_the_broker_ends() {
    let (broker, alarms, _data) = start();
    let mut clients = blocked(&broker, &alarms);
    let begin = Instant::now();
    let stopping = thread::spawn(move || broker.stop());
    for client in &mut clients {
        assert_eq!(client.expect("connection.close").field("reply_code"), Some(&Value::number(320)));
        client.call(0, "connection.close-ok", &[]);
        assert_eq!(client.next(), None);
    }
    drop(clients);
    stopping.join().expect("it stops");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn blocked_clients_that_die_behind_what_they_have_sent_are_noticed() {
    let (broker, alarms, _data) = start();
    let exclusive = |n: usize| [("queue", Value::text(format!("mine-{n}"))), ("exclusive", Value::Bool(true))];
    let mut clients: Vec<Client> = (0..12).map(|_| Client::open(broker.addresses()[0])).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.call(1, "queue.declare", &exclusive(n));
        client.expect("queue.declare-ok");
    }
    alarms.set(Alarm::DiskFull, true);
    thread::sleep(NOTICED);
    for (n, client) in clients.iter_mut().enumerate() {
        client.publish("nowhere", b"one");
        client.expect("connection.blocked");
        // The orderly end of a connection comes behind the bytes sent before it. These are more
        // than the receive window holds, so the end does not arrive; the next heartbeat then finds
        // the peer gone, because a reset answers it.
        client.publish("nowhere", if n % 2 == 0 { &[7; 300_000] } else { &[7; 20_000] });
    }
    for (n, client) in clients.into_iter().enumerate() {
        if n % 2 == 0 {
            client.reset();
        }
    }
    let mut heir = Client::open(broker.addresses()[0]);
    for n in 0..12 {
        let end = Instant::now() + Duration::from_secs(3);
        while !heir.declares(&exclusive(n)) {
            assert!(Instant::now() < end, "mine-{n} is still held by a client that is gone");
        }
    }
    drop(heir);
    broker.stop();
}

/// The time after which every shard knows of an alarm.
const NOTICED: Duration = Duration::from_millis(600);

//! The broker inside its process: it stops and starts again, and takes up the data directory of an
//! earlier release.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringmq::config::Config;
use ringmq::start::app::App;
use ringmq::start::definitions;

use crate::alone::{alone, threads};
use crate::client::Client;
use crate::scratch::Scratch;
use crate::support::client::Event;
use crate::support::value::Value;

fn config(data: &Scratch, listen: SocketAddr) -> Arc<Config> {
    Arc::new(Config { listen: vec![listen], data_dir: data.0.clone(), shards: 2, ..Config::default() })
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Returns the number of messages of a queue, or nothing if there is no such queue.
fn messages(app: &App, queue: &str) -> Option<u64> {
    let mut client = Client::open(app.addresses()[0]);
    client.call(1, "queue.declare", &[("queue", Value::text(queue)), ("passive", Value::Bool(true))]);
    match client.next() {
        Some(Event::Method(declared, _)) if declared.name == "queue.declare-ok" => match declared.field("message_count") {
            Some(Value::Number(_, count)) => Some(u64::try_from(*count).expect("a count")),
            other => panic!("no count but {other:?}"),
        },
        _ => None,
    }
}

#[test]
fn a_broker_stops_and_starts_again_in_its_process() {
    let data = Scratch::new();
    let mut app = App::start(&config(&data, any_port())).expect("a broker");
    let config = config(&data, app.addresses()[0]);
    for round in 1..=3 {
        assert!(App::start(&config).is_err(), "the data directory is in use");
        let mut client = Client::open(app.addresses()[0]);
        client.confirm_durable("q");
        client.publish_persistent("q", b"kept");
        client.await_confirms(1);
        drop(client);
        app.stop().expect("it notes its stop");
        app = App::start(&config).expect("the addresses and the data directory are free again");
        assert_eq!(messages(&app, "q"), Some(round));
    }
    app.stop().expect("it notes its stop");
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    alone("app::a_start_that_fails_leaves_nothing_behind", || {
        let data = Scratch::new();
        let config = config(&data, stopped_once(&data));
        for shard in 0..config.shards {
            // The shard writes a file of this name when it starts.
            let obstacle = data.0.join(format!("shard-{shard}/probe"));
            fs::create_dir(&obstacle).expect("the test's own");
            let error = App::start(&config).err().expect("a shard cannot start");
            assert!(error.0.contains("the log in"), "{error}");
            assert_eq!(threads(), NONE);
            fs::remove_dir(&obstacle).expect("the test's own");
            App::start(&config).expect("all is free again").stop().expect("it notes its stop");
        }
    });
}

#[test]
fn a_stop_that_waits_in_vain_for_a_client_leaves_nothing_behind() {
    alone("app::a_stop_that_waits_in_vain_for_a_client_leaves_nothing_behind", || {
        let data = Scratch::new();
        let config = config(&data, stopped_once(&data));
        let app = App::start(&config).expect("a broker");
        let mut silent = Client::open(app.addresses()[0]);
        silent.consume("much");
        let mut publisher = Client::open(app.addresses()[0]);
        (0..12).for_each(|_| publisher.publish("much", &[7; 1 << 20]));
        app.stop().expect("it notes its stop");
        assert_eq!(threads(), NONE);
        assert!(read_to_end(&silent) < 12 << 20, "the deliveries are cut off");
        read_to_end(&publisher);
        App::start(&config).expect("all is free again").stop().expect("it notes its stop");
    });
}

#[test]
fn a_broker_that_is_dropped_stops() {
    alone("app::a_broker_that_is_dropped_stops", || {
        let data = Scratch::new();
        let config = config(&data, stopped_once(&data));
        for _ in 0..2 {
            drop(App::start(&config).expect("all is free"));
            assert_eq!(threads(), NONE);
        }
    });
}

/// Reads until the broker's socket is closed. Returns the number of bytes.
fn read_to_end(client: &Client) -> usize {
    let mut bytes = Vec::new();
    let result = client.stream().read_to_end(&mut bytes);
    assert!(!result.is_err_and(|error| error.kind() != ErrorKind::ConnectionReset), "it is still open");
    bytes.len()
}

/// Starts and stops a broker with this data directory. Returns its address, which is free then.
fn stopped_once(data: &Scratch) -> SocketAddr {
    let app = App::start(&config(data, any_port())).expect("a broker");
    assert!(!threads().is_empty());
    let address = app.addresses()[0];
    app.stop().expect("it notes its stop");
    assert_eq!(threads(), NONE);
    address
}

/// The directory was left by a kill -9 of release 0.1.0: four queues with ten messages each, of
/// which three were acknowledged, one queue deleted, one transient, a message delayed for `q3`.
#[test]
fn a_data_directory_of_an_earlier_release_is_taken_up() {
    let data = Scratch::new();
    unpack("version-4.tar.gz", &data.0);
    let before = definitions::export(&data.0).expect("it can be read");
    for word in ["\"clerk\"", "\"shop\"", "\"short\"", "x-delayed-message", "x-max-priority", "quorum"] {
        assert!(before.contains(word), "{word} is missing: {before}");
    }
    let config = config(&data, any_port());
    for _ in 0..2 {
        let app = App::start(&config).expect("it is known");
        let begin = Instant::now();
        while messages(&app, "q3") != Some(8) {
            assert!(begin.elapsed() < Duration::from_secs(5), "the delayed message does not come");
        }
        assert_eq!(["q0", "q1", "q2", "gone", "passing"].map(|queue| messages(&app, queue)), [Some(7), Some(7), Some(7), None, None]);
        app.stop().expect("it notes its stop");
        assert_eq!(definitions::export(&data.0).expect("it can be read"), before);
    }
}

fn unpack(name: &str, to: &Path) {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/data").join(name);
    fs::create_dir_all(to).expect("the test's own");
    let status = Command::new("tar").arg("-xzf").arg(packed).arg("-C").arg(to).status().expect("tar is installed");
    assert!(status.success());
}

const NONE: [&str; 0] = [];

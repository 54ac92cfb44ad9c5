//! The process as an operator sees it: flags, ports, signals.

use std::process::{Output, Stdio};

use futures_lite::StreamExt;
use lapin::Event;

use super::broker::{self, Broker};
use super::lapin::{block_on, code, connect};

#[test]
fn help_explains_every_flag() {
    let help = String::from_utf8(run(&["--help"]).stdout).expect("help is text");
    for flag in FLAGS {
        let line = help.lines().position(|line| line.trim_start().starts_with(flag) || line.contains(&format!(", {flag}")));
        assert!(line.is_some(), "--help does not explain {flag}:\n{help}");
    }
}

#[test]
fn a_wrong_value_is_one_sentence_and_status_2() {
    for wrong in [
        ["--listen", "nowhere"],
        ["--shards", "0"],
        ["--shards", "many"],
        ["--cpus", "x"],
        ["--ring-entries", "0"],
        ["--recv-buffers", "3"],
        ["--recv-buffer-size", "0"],
        ["--send-buffer-size", "x"],
        ["--spin", "x"],
        ["--channel-max", "65536"],
        ["--frame-max", "100"],
        ["--heartbeat", "65536"],
        ["--max-message-size", "1000000000000"],
        ["--max-connections", "x"],
        ["--memory-high-watermark", "1.5"],
        ["--disk-free-limit", "little"],
        ["--handshake-timeout", "0"],
        ["--backlog", "many"],
        ["--log", "loudly"],
        ["--no-such-flag", "x"],
    ] {
        let output = run(&wrong);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{wrong:?} wrote {error}");
        assert!(error.contains(wrong[0]), "{wrong:?} must be named: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{wrong:?} takes one sentence, not: {error}");
    }
}

#[test]
fn a_taken_port_is_told() {
    if external() {
        return;
    }
    let first = Broker::start(&["--shards", "2"]);
    let address = address(&first);
    let output = run(&["--listen", &address, "--shards", "2", "--no-pin", "--data-dir", "second"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "two brokers on one port");
    assert!(error.contains(&address), "the sentence names the address: {error}");
    assert!(error.trim_end().lines().count() == 1 && !error.contains("panicked"), "one sentence, not: {error}");
    assert!(first.stop().expect("this one is ours").success());
}

#[test]
fn a_stopping_broker_says_so_to_its_clients() {
    if external() {
        return;
    }
    for (signal, shards) in [("TERM", "1"), ("INT", "2"), ("TERM", "4")] {
        let mut broker = Broker::start(&["--shards", shards]);
        block_on(async {
            let mut events = Vec::new();
            for _ in 0..6 {
                let connection = connect(broker.url()).await;
                events.push((connection.events_listener(), connection));
            }
            broker.send_signal(signal);
            for (listener, _) in &mut events {
                assert_eq!(forced_code(listener).await, 320, "CONNECTION_FORCED");
            }
        });
        assert!(broker.wait().success());
    }
}

#[test]
fn a_client_that_does_not_answer_cannot_hold_up_the_end() {
    if external() {
        return;
    }
    let broker = Broker::start(&["--shards", "2"]);
    let silent: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect(address(&broker)).expect("the broker accepts")).collect();
    assert!(broker.stop().expect("this one is ours").success());
    drop(silent);
}

/// Returns the code of the error that ends a connection.
async fn forced_code(events: &mut (impl futures_lite::Stream<Item = Event> + Unpin)) -> u16 {
    loop {
        let event = tokio::time::timeout(std::time::Duration::from_secs(5), events.next()).await;
        match event.expect("connection.close within five seconds") {
            Some(Event::Error(error)) => return code(error.kind()),
            Some(_) => {}
            None => panic!("the connection ended without an error"),
        }
    }
}

/// Whether the broker is already running: then the test cannot choose its flags or end its process.
pub fn external() -> bool {
    std::env::var_os("RINGMQ_E2E_URL").is_some()
}

/// Runs the binary, which must end by itself within some seconds.
fn run(flags: &[&str]) -> Output {
    let directory = broker::fresh_directory();
    let mut command = broker::command();
    command.args(flags).current_dir(&directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the broker's binary starts");
    if broker::wait(&mut child, std::time::Duration::from_secs(5)).is_none() {
        child.kill().expect("a running child can be killed");
        panic!("{flags:?} did not end by itself");
    }
    let output = child.wait_with_output().expect("a child's output can be read");
    std::fs::remove_dir_all(directory).expect("the directory is ours");
    output
}

fn address(broker: &Broker) -> String {
    let authority = broker.url().split(['@', '/']).nth(3).expect("the address stands between @ and /");
    authority.to_owned()
}

const FLAGS: [&str; 30] = [
    "--config",
    "--definitions",
    "--default-user",
    "--default-pass",
    "--default-user-tags",
    "--default-vhost",
    "--loopback-users",
    "--handshake-timeout",
    "--send-timeout",
    "--backlog",
    "--listen",
    "--shards",
    "--cpus",
    "--no-pin",
    "--data-dir",
    "--ring-entries",
    "--recv-buffers",
    "--recv-buffer-size",
    "--send-buffer-size",
    "--spin",
    "--channel-max",
    "--frame-max",
    "--heartbeat",
    "--max-message-size",
    "--max-connections",
    "--memory-high-watermark",
    "--disk-free-limit",
    "--product",
    "--product-version",
    "--log",
];

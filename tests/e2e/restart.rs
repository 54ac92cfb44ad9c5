//! State that outlives the process: `python/restart.py` reports before every restart that it is
//! ready, and checks the remaining state afterwards.
//!
//! Every case is restarted twice, because recovered state must be recovered again; by SIGTERM or
//! SIGKILL, with the same number of shards or another one. Delayed messages have a program of their
//! own, `python/delays.py`, because they take longer.

use super::broker::Broker;
use super::program::Program;

#[test]
fn terminated_with_one_shard() {
    over_restarts("restart.py", "TERM", ["1", "1", "1"]);
}

#[test]
fn terminated_with_two_shards() {
    over_restarts("restart.py", "TERM", ["2", "2", "2"]);
}

#[test]
fn terminated_and_started_with_other_shards() {
    over_restarts("restart.py", "TERM", ["1", "4", "2"]);
}

#[test]
fn killed_with_one_shard() {
    over_restarts("restart.py", "KILL", ["1", "1", "1"]);
}

#[test]
fn killed_with_two_shards() {
    over_restarts("restart.py", "KILL", ["2", "2", "2"]);
}

#[test]
fn killed_and_started_with_other_shards() {
    over_restarts("restart.py", "KILL", ["4", "1", "3"]);
}

#[test]
fn killed_while_messages_are_delayed() {
    over_restarts("delays.py", "KILL", ["4", "4", "2"]);
}

/// Runs the program over two restarts, with these numbers of shards before, between and after them.
fn over_restarts(program: &str, signal: &str, shards: [&str; 3]) {
    let [first, others @ ..] = shards;
    let Some(mut broker) = Broker::restartable(&["--shards", first]) else { return };
    let mut program = Program::start(&broker, &["python", &format!("python/{program}"), signal]);
    for (n, count) in others.into_iter().enumerate() {
        let ready = format!("ready {}", n + 1);
        program.wait_for(&ready, |written| written.contains(&ready));
        broker.restart(signal, &["--shards", count]);
    }
    program.finish();
    if let Some(status) = broker.stop() {
        assert!(status.success(), "the broker ended with {status}");
    }
}

//! The traces: conversations recorded from a real RabbitMQ, one rule each, played against a broker.
//!
//! The tests play them against shards in this process: one shard and three, and with every write
//! split into single bytes.
//!
//! `RINGMQ_TRACES_ADDR=127.0.0.1:5672 cargo test --test traces` plays them against the broker at
//! that address; with `RINGMQ_TRACES_SIDE=rabbitmq` that broker is a RabbitMQ, and RabbitMQ's
//! answers count where the two differ. Traces with operators (`ctl`) are left out unless
//! `RINGMQ_TRACES_MANAGEMENT=127.0.0.1:15672` is the address of the management API. Traces with
//! alarms are left out unless `RINGMQ_TRACES_ALARM` names a program that raises that broker's
//! alarms, those with restarts unless `RINGMQ_TRACES_RESTART` names one that restarts it (see
//! `record.rs`). `RINGMQ_TRACES=queue/` plays only the files whose path contains that.
//!
//! A file is a script with answers: see `support/script.rs` for the lines, and `record.rs` for the
//! recording. It begins with the rows of `BEHAVIOUR.md` that it shows.

mod answers;
mod clean;
mod names;
mod player;
mod replay;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::{env, fs};

use ringmq::config::Config;

use support::cluster::Cluster;
use support::script::{self, Line, Side};
use support::socket::{SocketBroker, alarm_program, restart_program};

#[test]
fn every_file_is_a_trace_of_one_rule() {
    let files = files();
    assert!(files.len() >= FILES_MIN, "{} traces are fewer than {FILES_MIN}", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("a trace can be read");
        let lines = script::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(lines.first().is_some_and(|line| line.text.starts_with("# ")), "{} does not say which rule it shows", file.display());
        assert!(lines.iter().any(|line| matches!(line.what, script::What::Do(..))), "{} does nothing", file.display());
    }
}

#[test]
fn one_shard_answers_as_recorded() {
    play_in_process(1, false);
}

#[test]
fn several_shards_answer_as_recorded() {
    [2, 3, 4].into_iter().for_each(|shards| play_in_process(shards, false));
}

#[test]
fn one_shard_answers_to_single_bytes_as_recorded() {
    play_in_process(1, true);
}

#[test]
fn three_shards_answer_to_single_bytes_as_recorded() {
    play_in_process(3, true);
}

fn play_in_process(shards: u16, byte_by_byte: bool) {
    let config = Config { shards, ..Config::default() };
    play_all(|lines| replay::replay(lines, Side::RingMq, &mut Cluster::new(config.clone(), 1), byte_by_byte));
}

/// Returns the broker at `RINGMQ_TRACES_ADDR`, if one is named: sockets, and the time to wait for
/// answers.
#[test]
fn a_broker_behind_an_address_answers_as_recorded() {
    let Ok(address) = env::var("RINGMQ_TRACES_ADDR") else { return };
    let management = env::var("RINGMQ_TRACES_MANAGEMENT").ok();
    let side = if env::var("RINGMQ_TRACES_SIDE").as_deref() == Ok("rabbitmq") { Side::RabbitMq } else { Side::RingMq };
    play_all(|lines| {
        let has = |is: fn(&script::What) -> bool| lines.iter().any(|line| is(&line.what));
        let (has_alarms, has_operator) =
            (has(|what| matches!(what, script::What::Alarm(..))), has(|what| matches!(what, script::What::Operate(_))));
        let cannot_restart = has(|what| matches!(what, script::What::Restart)) && restart_program().is_none();
        if has_alarms && alarm_program().is_none() || has_operator && management.is_none() || cannot_restart {
            return Ok(());
        }
        let connect = || SocketBroker::new(address.as_str()).managed_at(management.clone());
        let mut broker = connect();
        clean::clean(lines, &names::Names::default(), &mut broker)?;
        let result = replay::replay(lines, side, &mut broker, false);
        drop(broker);
        clean::clean(lines, &names::Names::default(), &mut connect())?;
        result
    });
}

fn play_all(mut play: impl FnMut(&[Line]) -> Result<(), String>) {
    let mut failures = Vec::new();
    let files = files();
    for file in &files {
        let text = fs::read_to_string(file).expect("a trace can be read");
        let lines = script::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Err(error) = play(&lines) {
            failures.push(format!("{}:{error}", file.display()));
        }
    }
    assert!(failures.is_empty(), "{} of {} traces failed\n{}", failures.len(), files.len(), failures.join("\n"));
}

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let chosen = env::var("RINGMQ_TRACES").unwrap_or_default();
    let areas = fs::read_dir(root).expect("the traces are there").flatten().filter(|entry| entry.path().is_dir());
    let mut files: Vec<PathBuf> =
        areas.flat_map(|area| fs::read_dir(area.path()).into_iter().flatten().flatten()).map(|file| file.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "trace") && file.to_string_lossy().contains(&chosen));
    files.sort();
    files
}

/// The least number of conversations that there must be.
const FILES_MIN: usize = 180;

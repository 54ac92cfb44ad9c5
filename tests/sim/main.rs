//! The simulator: the shards of a broker in one thread, clients that act by a seed, and oracles
//! that check the results.
//!
//! ```text
//! exact.rs   one operation at a time; a model of the broker (model.rs) predicts every answer
//! chaos.rs   everything at once, with faults and crashes; an oracle (oracle.rs) follows the
//!            operations and events of clients
//! ```
//!
//! `RINGMQ_SIM_SEED=7 cargo test --test sim` repeats seed 7, `RINGMQ_SIM_SEEDS=1000 …` runs a
//! thousand, over all cores; without either, it runs as many as fit into some seconds.
//! `RINGMQ_SIM_LINES=100000` prints more of a failed run's history. `RINGMQ_SIM_ADDR=host:port`
//! compares the model of the exact runs with a real broker: the model must agree with RabbitMQ.

mod alarms;
mod arrivals;
mod budget;
mod chaos;
mod choice;
mod counts;
mod credit;
mod delays;
mod door;
mod durations;
mod exact;
mod flow;
mod heartbeats;
mod history;
mod letters;
mod levels;
mod limits;
mod model;
mod op;
mod operators;
mod oracle;
mod policies;
mod queues;
mod remembered;
mod routing;
#[path = "../support/mod.rs"]
mod support;
mod topology;
mod trace;
mod turns;
mod waits;

use std::env;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringmq::base::limits::{BURY_AGAIN_MS, CYCLES_TOLD_MS, LOG_LAZY_MS};
use ringmq::config::Config;

use chaos::Chaos;
use exact::Exact;
use history::History;
use support::broker::Broker;
use support::cluster::Cluster;
use support::socket::SocketBroker;

/// A run returns the hash of its history; it panics if an oracle is contradicted.
type Run = fn(u64, &mut History);

#[test]
fn one_operation_at_a_time_is_answered_exactly() {
    run_seeds("one_operation", exact);
}

#[test]
fn whatever_happens_every_message_is_accounted_for() {
    run_seeds("whatever_happens", chaos);
}

#[test]
fn a_seed_tells_the_whole_story() {
    for run in [exact as Run, chaos] {
        let hash = |seed| {
            let mut history = History::new(0);
            run(seed, &mut history);
            history.hash()
        };
        assert_eq!(hash(3), hash(3));
        assert_ne!(hash(3), hash(4));
    }
}

/// Checks that the model of the exact runs agrees with the broker at `RINGMQ_SIM_ADDR`, which must
/// be free of all names that a run uses.
#[test]
fn a_broker_behind_an_address_agrees_with_the_model() {
    let Ok(address) = env::var("RINGMQ_SIM_ADDR") else { return };
    let seed = variable("RINGMQ_SIM_SEED").unwrap_or(1);
    checked("address", seed, |seed, history| {
        let mut broker = SocketBroker::new(address.as_str());
        exact::tidy(&mut broker);
        let mut run = Exact::new(&mut broker, history, seed, QUIET_STEPS);
        run.run(100);
        run.finish();
    });
}

fn exact(seed: u64, history: &mut History) {
    let shards = 1 + (seed % 4) as u16;
    let mut cluster = Cluster::new(Config { shards, ..Config::default() }, seed);
    let mut run = Exact::new(&mut cluster, history, seed, 0);
    run.run(400);
    run.finish();
    // By then dead letters have found that their queue is gone, and cycles have been logged.
    cluster.pass_time(BURY_AGAIN_MS + CYCLES_TOLD_MS);
    check_empty(&cluster);
}

fn chaos(seed: u64, history: &mut History) {
    Chaos::new(seed, history).run(4000);
}

/// Checks that nothing remains when all clients are gone and all queues are deleted.
fn check_empty(cluster: &Cluster) {
    for shard in 0..cluster.shard_count() {
        let (messages, connections) = (cluster.shard(shard).messages().0, cluster.shard(shard).connections());
        assert_eq!((messages, connections), (0, 0), "shard {shard} still has messages or connections");
        assert_eq!(cluster.shard(shard).arrivals(), 0, "shard {shard} still has notes of messages that came from others");
    }
    assert_eq!(cluster.next_due(), None, "a timer is still set");
}

/// Returns the seed that was asked for, or as many as were asked for, or as many as fit into some
/// seconds.
fn run_seeds(test: &str, run: Run) {
    if let Some(seed) = variable("RINGMQ_SIM_SEED") {
        return checked(test, seed, run);
    }
    let last = variable("RINGMQ_SIM_SEEDS");
    let deadline = Instant::now() + DEFAULT_TIME;
    let (next, failed) = (AtomicU64::new(1), AtomicBool::new(false));
    let work = || {
        while !failed.load(Ordering::Relaxed) && (last.is_some() || Instant::now() < deadline) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if last.is_some_and(|last| seed > last) {
                break;
            }
            if let Err(panic) = catch_unwind(|| checked(test, seed, run)) {
                failed.store(true, Ordering::Relaxed);
                std::panic::resume_unwind(panic);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    });
    println!("{} seeds", next.load(Ordering::Relaxed) - 1);
}

/// Runs a seed. If it fails, prints how to repeat it, and the last lines of its history.
fn checked(test: &str, seed: u64, run: impl Fn(u64, &mut History)) {
    let mut history = History::new(variable("RINGMQ_SIM_LINES").unwrap_or(LINES_KEPT));
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed, &mut history))) {
        println!("the end of the history:\n{}repeat: RINGMQ_SIM_SEED={seed} cargo test --test sim {test}", history.tail());
        std::panic::resume_unwind(panic);
    }
}

fn variable<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// The number of lines of history that a failure prints; `RINGMQ_SIM_LINES` overrides it.
const LINES_KEPT: usize = 60;

/// The duration of a test without a number of seeds.
const DEFAULT_TIME: Duration = Duration::from_secs(8);

/// Longer than logs delay anything.
const LOGS_REST_MS: u64 = 20 * LOG_LAZY_MS;

/// The number of steps of 2 ms without news after which a broker behind an address is taken to be
/// at rest.
const QUIET_STEPS: usize = 40;

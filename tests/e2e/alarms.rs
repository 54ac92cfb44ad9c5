//! Alarms of the real binary: it measures its memory and its disk, and tells its clients.

use super::broker::Broker;
use super::operation::external;
use super::program;

#[test]
fn publishers_are_blocked_while_the_disk_is_too_full() {
    if external() {
        return;
    }
    let log = log_of(&["--shards", "2", "--disk-free-limit", "1000000GiB"], "disk");
    assert!(log.contains("disk alarm: ") && log.contains("publishers are blocked"), "{log}");
}

#[test]
fn publishers_are_blocked_until_memory_is_free_again() {
    if external() {
        return;
    }
    for shards in ["1", "2"] {
        let log = log_of(&["--shards", shards, "--memory-high-watermark", "100MB"], "memory");
        assert!(log.contains("memory alarm: ") && log.contains("memory alarm is over: "), "{log}");
    }
}

/// Returns the log of a broker with these flags after a run of `pika_alarms.py`.
fn log_of(flags: &[&str], case: &str) -> String {
    let broker = Broker::start(flags);
    program::run(&broker, &["python", "python/pika_alarms.py", case]);
    let log = broker.log();
    assert!(broker.stop().expect("this one is ours").success());
    log
}

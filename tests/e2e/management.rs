//! Operators: the management API, metrics and the command line tool, against what clients do at the
//! same time.

use super::broker::Broker;
use super::operation::external;
use super::program::python;

#[test]
fn operators_see_and_act_with_one_shard() {
    operate("1");
}

#[test]
fn operators_see_and_act_with_three_shards() {
    operate("3");
}

fn operate(shards: &str) {
    if external() {
        return; // the command line tool needs the data directory
    }
    let broker = Broker::start(&["--shards", shards, "--statistics-interval", "1000"]);
    python(&broker, "management.py");
    let status = broker.stop().expect("it is ours");
    assert!(status.success(), "the broker ended with {status}");
}

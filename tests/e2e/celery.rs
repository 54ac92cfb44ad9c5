//! Celery with tasks that wait: it raises its prefetch with each of them by global basic.qos, but
//! only for a broker that claims to be RabbitMQ 3.

use super::broker::Broker;
use super::operation::external;
use super::program::python;

#[test]
fn waiting_tasks_with_one_shard() {
    wait_with("1");
}

#[test]
fn waiting_tasks_with_three_shards() {
    wait_with("3");
}

fn wait_with(shards: &str) {
    if external() {
        return; // the version of a broker that is already running cannot be set
    }
    let broker = Broker::start(&["--shards", shards, "--product", "RabbitMQ", "--product-version", "3.13.7"]);
    python(&broker, "celery_waiting.py");
    let status = broker.stop().expect("it is ours");
    assert!(status.success(), "the broker ended with {status}");
}

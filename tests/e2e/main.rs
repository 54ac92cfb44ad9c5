//! The real binary, real sockets, real clients.
//!
//! A test starts a broker on a free port with some number of shards, runs a client program against
//! it, and stops the broker with SIGTERM, which must end it in time and with status 0. Programs
//! (`python/`, `node/`, `java/`, `amqp_tools.sh`, `lapin/`) check what they see, and end with a
//! status other than 0 at the first mistake; they read the broker's address from `AMQP_URL`.
//!
//! `RINGMQ_E2E_BIN` names another binary to start, for example that of the release profile.
//! `RINGMQ_E2E_URL` names a broker that is already running, for example a RabbitMQ, to test the
//! client programs themselves; it must permit transient queues and global QoS. With it,
//! `RINGMQ_E2E_RESTART` may name a command that restarts that broker by the signal that is its last
//! argument, TERM or KILL.

mod alarms;
mod broker;
mod celery;
mod configuration;
mod kill_loop;
mod lapin;
mod management;
mod operation;
mod program;
mod restart;
mod tutorials;

use broker::Broker;
use program::{java, node, python, shell};

/// Defines a test of the same check for each number of shards.
macro_rules! against {
    ($name:ident, [$($shards:ident = $count:literal),+], $check:expr) => {
        mod $name {
            use super::*;
            $(#[test]
            fn $shards() {
                Broker::with_shards($count, $check);
            })+
        }
    };
}

against!(pika_queues, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| python(broker, "pika_queues.py"));
against!(pika_publishing, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| python(broker, "pika_publishing.py"));
against!(pika_connections, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| python(broker, "pika_connections.py"));
against!(pika_consumers, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| python(broker, "pika_consumers.py"));
against!(aio_pika, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| python(broker, "aio_pika_client.py"));
against!(kombu, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| python(broker, "kombu_client.py"));
against!(celery_flow, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| python(broker, "celery_flow.py"));
against!(event_stream, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| python(broker, "event_stream.py"));
against!(java_retry, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| java(broker, "DeadLetterRetry.java"));
against!(amqplib, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| node(broker, "client.js"));
against!(amqp_tools, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| shell(broker, "amqp_tools.sh"));
against!(lapin_client, [one_shard = 1, two_shards = 2, four_shards = 4], lapin::every_case);
against!(tutorials_python, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| tutorials::all(broker, tutorials::PYTHON));
against!(tutorials_node, [one_shard = 1, two_shards = 2, four_shards = 4], |broker| { tutorials::all(broker, tutorials::NODE) });

//! The counts of returns in a quorum queue: they outlive every crash, except for the last
//! milliseconds before it.

use ringmq::config::Config;

use crate::limits::{join, read_all, say};
use crate::op::{Counts, MessageId, Op, Publish, Saw, Settle};
use crate::queues::{BURYING, failures_max};
use crate::support::broker::{Broker, Conn};
use crate::support::cluster::Cluster;

/// As in RabbitMQ, a message that a consumer had when the broker was killed has failed once more,
/// and beyond the limit it does not come again; a message that no consumer had is unchanged.
#[test]
fn who_had_a_message_in_a_crash_has_failed() {
    for shards in 1..=3 {
        let mut run = Run::new(shards);
        for round in 0..=failures_max(BURYING).expect("it has a limit") {
            let counts = Counts { acquired: round, delivered: round };
            assert_eq!(run.take(HELD), (0..HELD).map(|number| (id(number), counts)).collect::<Vec<_>>(), "{shards} shards, round {round}");
            run.crash();
        }
        let others = (HELD..COUNT).map(|number| (id(number), Counts::default()));
        assert_eq!(run.take(0), others.collect::<Vec<_>>(), "those that failed too often are dead");
    }
}

/// After a crash, a message that was returned without failing is as before, and so is one that has
/// failed once and waits for its next try.
#[test]
fn counts_of_what_came_back_outlive_crashes() {
    let mut run = Run::new(2);
    run.take(2);
    run.settle(Settle::Requeue, 1, false);
    assert_eq!(run.take_more(), [(id(0), Counts { acquired: 1, delivered: 0 })]);
    run.settle(Settle::RejectRequeue, 2, false);
    run.crash();
    let seen = run.take(0);
    let counts = |number: u16| seen.iter().find(|(other, _)| *other == id(number)).expect("it is there").1;
    assert_eq!((seen.len(), counts(1)), (COUNT.into(), Counts { acquired: 1, delivered: 1 }), "it waited");
    assert_eq!(counts(0), Counts { acquired: 2, delivered: 1 }, "it was given back, and given out again");
    assert_eq!(counts(5), Counts::default());
}

/// An acknowledged message is not counted any more, and leaves nothing in the log.
#[test]
fn what_is_settled_is_forgotten() {
    let mut run = Run::new(1);
    for round in 0..30 {
        assert_eq!(run.take(0), (0..COUNT).map(|number| (id(number + round * COUNT), Counts::default())).collect::<Vec<_>>());
        run.cluster.pass_time(crate::LOGS_REST_MS);
        run.settle(Settle::Ack, u64::from(COUNT), true);
        run.cluster.reset(run.client);
        run.client = join(&mut run.cluster, 0);
        run.publish();
        run.crash();
    }
}

/// A broker whose queue has messages, and a client of it.
struct Run {
    cluster: Cluster,
    client: Conn,
    published: u16,
}

impl Run {
    fn new(shards: u16) -> Run {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 7);
        let other = join(&mut cluster, 0);
        say(&mut cluster, other, &Op::DeclareQueue(BURYING));
        let mut run = Run { client: other, cluster, published: 0 };
        run.publish();
        run
    }

    fn publish(&mut self) {
        let message = |number| Publish { id: id(number), key: BURYING, persistent: true, ..Publish::default() };
        let messages = (0..COUNT).map(|number| message(number + self.published)).collect();
        say(&mut self.cluster, self.client, &Op::Publish(messages));
        self.published += COUNT;
    }

    /// Takes this many of the messages, or all of them, with a new client.
    fn take(&mut self, count: u16) -> Vec<(MessageId, Counts)> {
        let shard = self.cluster.shard_count() - 1;
        self.client = join(&mut self.cluster, shard);
        say(&mut self.cluster, self.client, &Op::Qos { prefetch: count, global: false });
        say(&mut self.cluster, self.client, &Op::Consume { queue: BURYING, tag: 1, no_ack: false, exclusive: false, priority: 0 });
        self.take_more()
    }

    fn take_more(&mut self) -> Vec<(MessageId, Counts)> {
        let seen = read_all(&mut self.cluster, self.client).into_iter();
        seen.filter_map(|saw| if let Saw::Delivered { id, counts, .. } = saw { Some((id, counts)) } else { None }).collect()
    }

    fn settle(&mut self, how: Settle, tag: u64, multiple: bool) {
        say(&mut self.cluster, self.client, &Op::Settle { how, tag, multiple });
    }

    /// Stops and starts the machine, once the log has had time for all notes.
    fn crash(&mut self) {
        self.cluster.pass_time(crate::LOGS_REST_MS);
        self.cluster.crash();
        self.cluster.start();
    }
}

fn id(number: u16) -> MessageId {
    MessageId::from(number) + 1
}

const COUNT: u16 = 10;
const HELD: u16 = 3;

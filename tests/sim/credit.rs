//! Credit of consumers whose queues are on another shard: a channel's limit of unsettled deliveries
//! holds, and none of it is lost.

use ringmq::config::Config;

use crate::limits::{join, message, read_all, say};
use crate::op::{Op, Publish, Saw, Settle};
use crate::support::broker::Conn;
use crate::support::cluster::Cluster;

#[test]
fn queues_of_several_shards_share_the_limit_of_a_channel() {
    let mut stage = Stage::new();
    say(&mut stage.cluster, stage.reader, &Op::Qos { prefetch: 3, global: true });
    stage.consume("q0", 1);
    stage.consume("q1", 2);
    stage.publish("q0", 5);
    stage.publish("q1", 5);
    assert_eq!(stage.tags(), [1, 2, 3]);
    stage.ack(1, false);
    assert_eq!(stage.tags(), [4]);
    stage.ack(4, true);
    assert_eq!(stage.tags(), [5, 6, 7]);
}

#[test]
fn a_limit_that_comes_late_holds_for_what_is_sent_from_then_on() {
    let mut stage = Stage::new();
    stage.consume("q0", 1);
    stage.publish("q0", 4);
    assert_eq!(stage.tags(), [1, 2, 3, 4]);
    say(&mut stage.cluster, stage.reader, &Op::Qos { prefetch: 2, global: true });
    read_all(&mut stage.cluster, stage.reader);
    stage.publish("q0", 4);
    assert!(stage.tags().is_empty());
    stage.ack(3, true);
    assert_eq!(stage.tags(), [5]);
}

#[test]
fn room_that_a_queue_does_not_need_goes_to_another() {
    let mut stage = Stage::new();
    say(&mut stage.cluster, stage.reader, &Op::Qos { prefetch: 1, global: true });
    stage.consume("q0", 1);
    stage.consume("q1", 2);
    // Another consumer, of higher priority, takes all messages: the credit of the reader's channel
    // comes back.
    let rival = join(&mut stage.cluster, 0);
    say(&mut stage.cluster, rival, &Op::Consume { queue: "q0", tag: 3, no_ack: true, exclusive: false, priority: 1 });
    for _ in 0..20 {
        stage.publish("q0", 3);
    }
    read_all(&mut stage.cluster, rival);
    let tags = stage.tags();
    if let Some(&last) = tags.last() {
        stage.ack(last, true);
    }
    stage.publish("q1", 1);
    assert_eq!(stage.tags().len(), 1);
}

#[test]
fn a_consumer_that_is_cancelled_leaves_its_room_to_others() {
    let mut stage = Stage::new();
    say(&mut stage.cluster, stage.reader, &Op::Qos { prefetch: 2, global: true });
    stage.consume("q0", 1);
    stage.publish("q0", 5);
    assert_eq!(stage.tags(), [1, 2]);
    say(&mut stage.cluster, stage.reader, &Op::Cancel(1));
    read_all(&mut stage.cluster, stage.reader);
    stage.ack(2, true);
    stage.consume("q1", 2);
    stage.publish("q1", 5);
    assert_eq!(stage.tags(), [3, 4]);
}

/// Makes queue `q0` on shard 0, `q1` on shard 1, and a reader and a publisher on shard 1.
struct Stage {
    cluster: Cluster,
    reader: Conn,
    publisher: Conn,
    published: u32,
}

impl Stage {
    fn new() -> Stage {
        let mut cluster = Cluster::new(Config { shards: 2, ..Config::default() }, 1);
        for (shard, queue) in [(0, "q0"), (1, "q1")] {
            let owner = join(&mut cluster, shard);
            say(&mut cluster, owner, &Op::DeclareQueue(queue));
            read_all(&mut cluster, owner);
        }
        let (reader, publisher) = (join(&mut cluster, 1), join(&mut cluster, 1));
        Stage { cluster, reader, publisher, published: 0 }
    }

    fn consume(&mut self, queue: &'static str, tag: u32) {
        say(&mut self.cluster, self.reader, &Op::Consume { queue, tag, no_ack: false, exclusive: false, priority: 0 });
        read_all(&mut self.cluster, self.reader);
    }

    fn publish(&mut self, key: &'static str, count: u32) {
        let messages = (self.published..self.published + count).map(|number| Publish { key, ..message(number) }).collect();
        self.published += count;
        say(&mut self.cluster, self.publisher, &Op::Publish(messages));
    }

    fn ack(&mut self, tag: u64, multiple: bool) {
        say(&mut self.cluster, self.reader, &Op::Settle { how: Settle::Ack, tag, multiple });
    }

    /// Returns the tags of the reader's deliveries.
    fn tags(&mut self) -> Vec<u64> {
        let seen = read_all(&mut self.cluster, self.reader);
        seen.iter().filter_map(|saw| if let Saw::Delivered { tag, .. } = saw { Some(*tag) } else { None }).collect()
    }
}

//! Dead letters that a full queue refuses: they cost next to nothing while they wait, and come in
//! their order once there is room. Exchanges that remember them do so once.

use ringmq::base::limits::{BURY_AGAIN_MS, BURY_BUDGET};
use ringmq::config::Config;

use crate::choice::letter_binding;
use crate::limits::{join, read_all, say};
use crate::op::{LETTER, MessageId, Name, Op, Publish, Saw, Settle};
use crate::queues::{BURYING, LETTERS};
use crate::remembered::ask;
use crate::support::broker::{Broker, Conn};
use crate::support::cluster::Cluster;
use crate::support::value::Value;

#[test]
fn many_that_wait_cost_one_attempt_and_come_in_order() {
    for shards in [1, 2] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 3);
        let (owner, client) = (join(&mut cluster, 0), join(&mut cluster, usize::from(shards) - 1));
        let limit = [("x-max-length", Value::Number('I', COUNT.into())), ("x-overflow", Value::text("reject-publish"))];
        ask(&mut cluster, owner, "queue.declare", &[("queue", FULL)], &limit);
        (0..COUNT / 100)
            .for_each(|_| say(&mut cluster, owner, &Op::Publish(vec![Publish { id: 1, key: FULL, ..Publish::default() }; 100])));
        say(&mut cluster, client, &Op::DeclareQueue(BURYING));
        say(&mut cluster, client, &Op::DeclareExchange(LETTERS));
        say(&mut cluster, client, &Op::Bind(letter_binding(FULL)));
        say(&mut cluster, client, &Op::Consume { queue: BURYING, tag: 1, no_ack: false, exclusive: false, priority: 0 });
        let letters: Vec<MessageId> = (2..2 + COUNT).collect();
        for ids in letters.chunks(100) {
            let message = |&id| Publish { id, key: BURYING, persistent: true, ..Publish::default() };
            say(&mut cluster, client, &Op::Publish(ids.iter().map(message).collect()));
        }
        read_all(&mut cluster, client);
        say(&mut cluster, client, &Op::Settle { how: Settle::Nack, tag: COUNT.into(), multiple: true });
        cluster.pass_time(3 * BURY_AGAIN_MS / 2);
        for _ in 0..5 {
            let turns = turns(&mut cluster, BURY_AGAIN_MS);
            assert!(turns < COUNT as usize / BURY_BUDGET / 2, "{shards} shards: {turns} turns for letters that nobody takes");
        }
        say(&mut cluster, owner, &Op::Purge(FULL));
        cluster.pass_time(BURY_AGAIN_MS + 100);
        say(&mut cluster, owner, &Op::Consume { queue: FULL, tag: 1, no_ack: true, exclusive: false, priority: 0 });
        let came = read_all(&mut cluster, owner).into_iter();
        let came: Vec<MessageId> =
            came.filter_map(|saw| if let Saw::Delivered { id, .. } = saw { Some(id & !LETTER) } else { None }).collect();
        assert!(came == letters, "{shards} shards: {} of them came, or not in order", came.len());
        assert_eq!((0..cluster.shard_count()).map(|shard| cluster.shard(shard).messages().0).sum::<usize>(), 0);
    }
}

#[test]
fn a_letter_is_no_duplicate_of_itself() {
    for shards in [1, 2] {
        let dedup = [("x-message-deduplication", Value::Bool(true))];
        let (mut cluster, client) = refused(shards, "fanout", &dedup);
        assert_eq!(ready(&mut cluster, client, OTHER), 1, "{shards} shards: the others have it once");
        say(&mut cluster, client, &Op::Purge(FULL));
        cluster.pass_time(2 * BURY_AGAIN_MS);
        assert_eq!((ready(&mut cluster, client, FULL), ready(&mut cluster, client, OTHER)), (1, 1), "{shards} shards");
        cluster.pass_time(3 * BURY_AGAIN_MS);
        assert_eq!((ready(&mut cluster, client, FULL), ready(&mut cluster, client, OTHER)), (1, 1), "{shards} shards: it is over");
    }
}

#[test]
fn a_history_has_a_letter_once() {
    for shards in [1, 2] {
        let (mut cluster, client) = refused(shards, "x-recent-history", &[]);
        assert_eq!(ready(&mut cluster, client, OTHER), 1, "{shards} shards: the others have it once");
        say(&mut cluster, client, &Op::Purge(FULL));
        cluster.pass_time(2 * BURY_AGAIN_MS);
        say(&mut cluster, client, &Op::DeclareQueue(LATE));
        say(&mut cluster, client, &Op::Bind(letter_binding(LATE)));
        let all = [FULL, OTHER, LATE].map(|queue| ready(&mut cluster, client, queue));
        assert_eq!(all, [1, 1, 1], "{shards} shards");
    }
}

#[test]
fn a_letter_that_comes_later_comes_behind_those_that_wait() {
    let mut cluster = Cluster::new(Config { shards: 1, ..Config::default() }, 3);
    let client = join(&mut cluster, 0);
    full_queue(&mut cluster, client, 3);
    say(&mut cluster, client, &Op::DeclareExchange(LETTERS));
    bury_into(&mut cluster, client, FULL);
    for (number, id) in (1..).zip([2, 3]) {
        bury(&mut cluster, client, id, number);
        cluster.pass_time(BURY_AGAIN_MS / 2);
    }
    cluster.pass_time(BURY_AGAIN_MS / 4);
    say(&mut cluster, client, &Op::Purge(FULL));
    bury(&mut cluster, client, 4, 3); // there is room now, but the others have not tried again yet
    cluster.pass_time(2 * BURY_AGAIN_MS);
    assert_eq!(letters(&mut cluster, client), [2, 3, 4]);
    bury(&mut cluster, client, 5, 7); // behind the three that were fetched
    assert_eq!(letters(&mut cluster, client), [5], "nobody waits any more: neither does this one");
}

/// Makes a broker with a letter that has passed an exchange of this type: one queue has it, and a
/// full one has refused it for some time.
fn refused(shards: u16, kind: &str, arguments: &[(&str, Value)]) -> (Cluster, Conn) {
    let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 3);
    let (owner, client) = (join(&mut cluster, 0), join(&mut cluster, usize::from(shards) - 1));
    full_queue(&mut cluster, owner, 1);
    ask(&mut cluster, client, "exchange.declare", &[("exchange", LETTERS), ("type", kind)], arguments);
    say(&mut cluster, client, &Op::DeclareQueue(OTHER));
    say(&mut cluster, client, &Op::Bind(letter_binding(OTHER)));
    bury_into(&mut cluster, client, FULL);
    bury(&mut cluster, client, 2, 1);
    cluster.pass_time(5 * BURY_AGAIN_MS / 2);
    (cluster, client)
}

/// Declares a queue that refuses messages beyond a length.
fn full_queue(cluster: &mut Cluster, client: Conn, length: u32) {
    let limit = [("x-max-length", Value::Number('I', length.into())), ("x-overflow", Value::text("reject-publish"))];
    ask(cluster, client, "queue.declare", &[("queue", FULL)], &limit);
    let message = Publish { id: 1, key: FULL, ..Publish::default() };
    (0..length).for_each(|_| say(cluster, client, &Op::Publish(vec![message.clone()])));
}

/// Declares the queue whose dead letters go to this one, and consumes from it.
fn bury_into(cluster: &mut Cluster, client: Conn, queue: Name) {
    say(cluster, client, &Op::DeclareQueue(BURYING));
    say(cluster, client, &Op::Bind(letter_binding(queue)));
    say(cluster, client, &Op::Consume { queue: BURYING, tag: 1, no_ack: false, exclusive: false, priority: 0 });
}

/// Publishes a message to that queue; its consumer rejects it, which is the channel's delivery of
/// this number.
fn bury(cluster: &mut Cluster, client: Conn, id: MessageId, tag: u64) {
    let headers = vec![("x-deduplication-header", "v")];
    say(cluster, client, &Op::Publish(vec![Publish { id, key: BURYING, persistent: true, headers, ..Publish::default() }]));
    read_all(cluster, client);
    say(cluster, client, &Op::Settle { how: Settle::Nack, tag, multiple: false });
}

/// Returns how many messages a queue has.
fn ready(cluster: &mut Cluster, client: Conn, queue: Name) -> u64 {
    read_all(cluster, client);
    say(cluster, client, &Op::CheckQueue(queue));
    let seen = read_all(cluster, client);
    let Some(Saw::Reply(reply)) = seen.last() else { panic!("{seen:?}") };
    let mut fields = reply.split(' ').skip_while(|field| *field != queue);
    fields.nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{reply}"))
}

/// Takes the letters out of the queue that was full.
fn letters(cluster: &mut Cluster, client: Conn) -> Vec<MessageId> {
    let mut all = Vec::new();
    loop {
        read_all(cluster, client);
        say(cluster, client, &Op::Get { queue: FULL, no_ack: true });
        match read_all(cluster, client).last() {
            Some(Saw::Got { id, .. }) => all.push(id & !LETTER),
            _ => return all,
        }
    }
}

/// Returns how many turns the shards take after this much time has passed.
fn turns(cluster: &mut Cluster, ms: u64) -> usize {
    cluster.set_clock(cluster.now() + ms);
    let mut turns = 0;
    while let Some(shard) = (0..cluster.shard_count()).find(|&shard| cluster.wants_turn(shard)) {
        cluster.turn(shard);
        turns += 1;
    }
    turns
}

const FULL: Name = "full";
const OTHER: Name = "q0";
const LATE: Name = "q2";
const COUNT: u32 = 10_000;

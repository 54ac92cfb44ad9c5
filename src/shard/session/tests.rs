//! Clients of a second protocol on the shards of the simulator.

use crate::config::{Config, Protocol};
use crate::contract::{Administration, Command, VhostLimits};
use crate::shard::support::broker::{Broker, Conn};
use crate::shard::support::cluster::Cluster;

/// A broker of two shards.
fn broker() -> Cluster {
    Cluster::new(Config { shards: 2, ..Config::default() }, 1)
}

fn connect(broker: &mut Cluster, shard: usize) -> Conn {
    broker.connect_by(shard, Protocol::Line).expect("there is room for a few connections")
}

/// Sends lines and returns everything that came.
fn say(broker: &mut Cluster, conn: Conn, lines: &str) -> String {
    broker.send(conn, lines.as_bytes());
    heard(broker, conn)
}

fn heard(broker: &mut Cluster, conn: Conn) -> String {
    String::from_utf8(broker.drain(conn)).expect("lines are text")
}

#[test]
fn a_message_reaches_a_consumer_on_any_shard() {
    for (home, publishing, consuming) in [(0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 0), (1, 1, 0), (1, 0, 1), (1, 1, 1)] {
        let mut broker = broker();
        let owner = connect(&mut broker, home);
        assert_eq!(say(&mut broker, owner, "SUB q\n"), "OK\n");
        broker.hang_up(owner); // the queue stays where it was declared
        let (publisher, consumer) = (connect(&mut broker, publishing), connect(&mut broker, consuming));
        assert_eq!(say(&mut broker, publisher, "PUB q early\n"), "OK\n");
        assert_eq!(say(&mut broker, consumer, "SUB q\n"), "OK\nMSG 1 q early\n");
        assert_eq!(say(&mut broker, publisher, "PUB q one two\nPUB q \n"), "OK\nOK\n");
        assert_eq!(heard(&mut broker, consumer), "MSG 2 q one two\nMSG 3 q \n");
        assert_eq!(say(&mut broker, consumer, "ACK 1\nACK 3\nACK 2\n"), "OK\nOK\nOK\n");
    }
}

#[test]
fn unacknowledged_messages_come_back() {
    for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut broker = broker();
        let lost = connect(&mut broker, first);
        assert_eq!(say(&mut broker, lost, "SUB q\n"), "OK\n");
        assert_eq!(say(&mut broker, lost, "PUB q a\nPUB q b\nPUB q c\n"), "MSG 1 q a\nMSG 2 q b\nMSG 3 q c\nOK\nOK\nOK\n");
        assert_eq!(say(&mut broker, lost, "ACK 2\n"), "OK\n");
        broker.hang_up(lost);
        let next = connect(&mut broker, second);
        assert_eq!(say(&mut broker, next, "SUB q\n"), "OK\nMSG 1 q a\nMSG 2 q c\n");
    }
}

#[test]
fn credit_is_granted_again() {
    let mut broker = broker();
    let owner = connect(&mut broker, 0);
    assert_eq!(say(&mut broker, owner, "SUB q\n"), "OK\n");
    broker.hang_up(owner);
    let (publisher, consumer) = (connect(&mut broker, 0), connect(&mut broker, 1));
    assert_eq!(say(&mut broker, consumer, "SUB q\n"), "OK\n");
    let body = "x".repeat(4000);
    for tag in 1..=1000 {
        assert_eq!(say(&mut broker, publisher, &format!("PUB q {body}\n")), "OK\n");
        assert_eq!(heard(&mut broker, consumer), format!("MSG {tag} q {body}\n"));
        assert_eq!(say(&mut broker, consumer, &format!("ACK {tag}\n")), "OK\n");
    }
}

#[test]
fn a_prefetch_is_kept() {
    let mut broker = broker();
    let consumer = connect(&mut broker, 1);
    assert_eq!(say(&mut broker, consumer, "SUB q\n"), "OK\n");
    let came = say(&mut broker, consumer, &"PUB q x\n".repeat(101));
    assert_eq!((came.matches("MSG").count(), came.matches("OK").count()), (100, 101));
    assert_eq!(say(&mut broker, consumer, "ACK 7\n"), "OK\nMSG 101 q x\n");
}

#[test]
fn a_transaction_waits_for_its_commit() {
    for (publishing, consuming) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut broker = broker();
        let (publisher, consumer) = (connect(&mut broker, publishing), connect(&mut broker, consuming));
        assert_eq!(say(&mut broker, consumer, "SUB q\n"), "OK\n");
        assert_eq!(say(&mut broker, publisher, "BEGIN\nPUB q a\nPUB q b\n"), "OK\nOK\nOK\n");
        assert_eq!(heard(&mut broker, consumer), "");
        assert_eq!(say(&mut broker, publisher, "COMMIT\n"), "OK\n");
        assert_eq!(heard(&mut broker, consumer), "MSG 1 q a\nMSG 2 q b\n");
        assert_eq!(say(&mut broker, publisher, "BEGIN\nPUB q c\n"), "OK\nOK\n");
        assert_eq!(say(&mut broker, publisher, "ABORT\nPUB q d\n"), "OK\nOK\n");
        assert_eq!(heard(&mut broker, consumer), "MSG 3 q d\n");
    }
}

#[test]
fn acknowledgements_of_a_transaction_wait_for_its_commit() {
    let mut broker = broker();
    let client = connect(&mut broker, 0);
    assert_eq!(say(&mut broker, client, "SUB q\n"), "OK\n");
    assert_eq!(say(&mut broker, client, "PUB q a\nPUB q b\nPUB q c\n"), "MSG 1 q a\nMSG 2 q b\nMSG 3 q c\nOK\nOK\nOK\n");
    assert_eq!(say(&mut broker, client, "BEGIN\nACK 2\nACK 2\n"), "OK\nOK\nERR unknown tag\n");
    assert_eq!(say(&mut broker, client, "ABORT\n"), "OK\n");
    assert_eq!(say(&mut broker, client, "BEGIN\nACK 2\n"), "OK\nOK\n", "it is unsettled again");
    assert_eq!(say(&mut broker, client, "COMMIT\n"), "OK\n");
    assert_eq!(say(&mut broker, client, "BEGIN\nACK 1\n"), "OK\nOK\n");
    assert!(broker.shard(0).budgets().uncommitted.used() > 0);
    broker.hang_up(client);
    assert_eq!(broker.shard(0).budgets().uncommitted.used(), 0);
    let next = connect(&mut broker, 1);
    assert_eq!(say(&mut broker, next, "SUB q\n"), "OK\nMSG 1 q a\nMSG 2 q c\n", "what was not committed comes back");
}

#[test]
fn replies_find_their_name_on_any_shard() {
    for (asking, replying) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut broker = broker();
        let (requester, replier) = (connect(&mut broker, asking), connect(&mut broker, replying));
        let said = say(&mut broker, requester, "NAME\n");
        let name = said.strip_prefix("OK ").and_then(|rest| rest.strip_suffix('\n')).expect("a name").to_owned();
        assert_eq!(say(&mut broker, requester, "NAME\n"), "ERR PRECONDITION_FAILED - reply consumer already set\n");
        assert_eq!(say(&mut broker, replier, &format!("PUB {name} yes\n")), "OK\n");
        assert_eq!(say(&mut broker, replier, &format!("BEGIN\nPUB {name} later\nCOMMIT\n")), "OK\nOK\nOK\n");
        assert_eq!(heard(&mut broker, requester), format!("MSG 0 {name} yes\nMSG 0 {name} later\n"));
        assert_eq!(say(&mut broker, requester, "ACK 0\n"), "ERR unknown tag\n", "there is nothing to acknowledge");
        broker.hang_up(requester);
        assert_eq!(say(&mut broker, replier, &format!("PUB {name} too late\n")), "OK\n");
    }
}

#[test]
fn lines_may_arrive_in_pieces() {
    let mut broker = broker();
    let client = connect(&mut broker, 0);
    let came: String = "SUB q\nPUB q hello\n".chars().map(|letter| say(&mut broker, client, &letter.to_string())).collect();
    assert_eq!(came, "OK\nMSG 1 q hello\nOK\n");
}

#[test]
fn mistakes_are_answered() {
    let mut broker = broker();
    let client = connect(&mut broker, 0);
    assert_eq!(say(&mut broker, client, "GET q\n\n"), "ERR unknown verb\nERR unknown verb\n");
    assert_eq!(say(&mut broker, client, "SUB \n"), "ERR a name has 1 to 255 bytes\n");
    assert_eq!(say(&mut broker, client, "ACK x\nACK 1\n"), "ERR a tag is a number\nERR unknown tag\n");
    assert_eq!(say(&mut broker, client, "COMMIT\nABORT\n"), "ERR no transaction has begun\nERR no transaction has begun\n");
    assert_eq!(say(&mut broker, client, "BEGIN\nBEGIN\n"), "OK\nERR a transaction has begun\n");
    assert_eq!(say(&mut broker, client, "SUB q\n"), "OK\n");
    assert_eq!(say(&mut broker, client, &"x".repeat(5000)), "ERR the line is too long\n");
    assert!(broker.closed(client));
}

#[test]
fn refusals_of_the_broker_are_passed_on() {
    let mut broker = broker();
    let client = connect(&mut broker, 0);
    let limits = VhostLimits { max_connections: Some(1), max_queues: Some(1) };
    broker.demand(1, Command::from(Administration::SetVhostLimits { vhost: "/".into(), limits }));
    broker.settle();
    assert_eq!(say(&mut broker, client, "SUB q\n"), "OK\n");
    let came = say(&mut broker, client, "SUB r\nPUB q x\n");
    assert!(came.starts_with("ERR PRECONDITION_FAILED - ") && came.ends_with("\nMSG 1 q x\nOK\n"), "{came}");
    let other = connect(&mut broker, 1);
    let came = say(&mut broker, other, "SUB q\n");
    assert!(came.starts_with("ERR NOT_ALLOWED - ") && broker.closed(other), "{came}");
}

#[test]
fn a_broker_that_stops_says_so() {
    let mut broker = broker();
    let client = connect(&mut broker, 1);
    assert_eq!(say(&mut broker, client, "SUB q\n"), "OK\n");
    broker.shut_down();
    assert_eq!(heard(&mut broker, client), "ERR the broker stops\n");
    assert!(broker.closed(client));
}

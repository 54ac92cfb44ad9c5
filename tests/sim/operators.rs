//! Operators: the effects of their commands survive a crash, and their deletions interrupt running
//! clients, on all shards.

use ringmq::base::rng::Rng;
use ringmq::config::Config;
use ringmq::config::defaults::{DefaultLimits, DefaultUser, Defaults};
use ringmq::contract::{
    Administration, BindingSpec, Code, Command, Destination, ExchangeSpec, QueueSpec, Topology, VhostLimits, VhostSpec,
};
use ringmq::message::Table;

use crate::op::{Op, Publish, Saw, saw};
use crate::support::broker::{Broker, Conn};
use crate::support::client::{self, Incoming};
use crate::support::cluster::Cluster;
use crate::support::ctl::Ctl;
use crate::support::value::Value;
use crate::support::wire::{self, Method};

#[test]
fn what_an_operator_did_survives_a_crash() {
    for shards in [1, 3] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        for line in [
            "add_vhost v",
            "add_vhost w",
            "delete_vhost w",
            "add_user alice secret",
            "add_user bob secret",
            "set_permissions v alice ^q .* .*",
            "set_user_limits alice max-channels=1",
            "delete_user bob",
            r#"set_policy p ^q '{"max-length": 2}' vhost=v"#,
            r#"set_policy gone ^q '{"max-length": 1}' vhost=v priority=1"#,
            r#"set_operator_policy o ^q '{"max-length": 1}' vhost=v"#,
            "clear_policy gone vhost=v",
            "clear_operator_policy o vhost=v",
        ] {
            cluster.operate(&Ctl::parse(line).expect("a command")).expect("it is carried out");
        }
        decide(&mut cluster, Administration::DeleteUser { name: "guest".into() }.into()).expect("guest may be deleted");
        for _ in 0..2 {
            cluster.crash();
            cluster.start();
            assert_eq!(login(&mut cluster, "guest", "guest", "/"), "ACCESS_REFUSED");
            assert_eq!(login(&mut cluster, "bob", "secret", "v"), "ACCESS_REFUSED");
            assert_eq!(login(&mut cluster, "alice", "secret", "w"), "NOT_ALLOWED");
            assert_eq!(login(&mut cluster, "alice", "secret", "v"), "connection.open-ok");
        }
        let conn = join(&mut cluster, shards as usize - 1, "alice", "secret", "v");
        let seen = say(&mut cluster, conn, &[(1, Op::Open), (1, Op::DeclareQueue("q0")), (1, Op::DeclareQueue("v0")), (2, Op::Open)]);
        let heads: Vec<String> = seen.iter().map(|saw| head(saw, 2)).collect();
        assert_eq!(heads, ["channel.open-ok", "queue.declare-ok q0", "403", "NOT_ALLOWED"]);
        let conn = join(&mut cluster, 0, "alice", "secret", "v");
        let publish = |id| Publish { id, key: "q0", persistent: true, ..Publish::default() };
        let ops = [(1, Op::Open), (1, Op::Publish(vec![publish(1), publish(2), publish(3)])), (1, Op::CheckQueue("q0"))];
        let seen = say(&mut cluster, conn, &ops);
        assert_eq!(
            head(seen.last().expect("an answer"), 3),
            "queue.declare-ok q0 2",
            "the policy is there, those that were cleared are not"
        );
    }
}

#[test]
fn what_an_operator_declares_is_there_on_all_shards_and_stays() {
    let mut cluster = Cluster::new(Config { shards: 3, ..Config::default() }, 1);
    let queue = |name: &str, durable| {
        let spec = QueueSpec { name: name.into(), durable, exclusive: false, auto_delete: false, arguments: Table::empty() };
        Command::topology("/", Topology::DeclareQueue(spec))
    };
    let (name, kind, arguments) = ("d0".into(), "direct".into(), Table::empty());
    let exchange = ExchangeSpec { name, kind, durable: true, auto_delete: false, internal: false, arguments };
    let (source, destination, key, arguments) = ("d0".into(), "q1".into(), (*b"a").into(), Table::empty());
    let binding = BindingSpec { source, kind: Destination::Queue, destination, key, arguments };
    for _ in 0..2 {
        decide(&mut cluster, Command::topology("/", Topology::DeclareExchange(exchange.clone()))).expect("in order");
        ["q0", "q1", "q2"].into_iter().for_each(|name| decide(&mut cluster, queue(name, true)).expect("in order"));
        decide(&mut cluster, Command::topology("/", Topology::Bind(binding.clone()))).expect("in order");
        cluster.crash();
        cluster.start();
    }
    assert_eq!(decide(&mut cluster, queue("q0", false)).expect_err("it is durable").code, Code::PreconditionFailed);
    let absent = Command::topology("none", Topology::DeclareExchange(exchange));
    assert_eq!(decide(&mut cluster, absent).expect_err("there is no such place").text, "Virtual host 'none' does not exist");
    let conn = join(&mut cluster, 1, "guest", "guest", "/");
    let publish = Publish { id: 7, exchange: "d0", key: "a", mandatory: true, persistent: true, ..Publish::default() };
    let seen = say(&mut cluster, conn, &[(1, Op::Open), (1, Op::Publish(vec![publish])), (1, Op::Get { queue: "q1", no_ack: true })]);
    assert!(matches!(seen.last(), Some(Saw::Got { id: 7, .. })), "{seen:?}");
}

#[test]
fn what_an_operator_deletes_is_gone_on_all_shards_and_stays_so() {
    for shards in [1, 3] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        let delete =
            |name: &str, if_unused, if_empty| Command::topology("/", Topology::DeleteQueue { name: name.into(), if_unused, if_empty });
        let drop_exchange = |name: &str, if_unused| Command::topology("/", Topology::DeleteExchange { name: name.into(), if_unused });
        let arguments = Table::empty;
        for name in ["q0", "q1", "q2"] {
            let spec = QueueSpec { name: name.into(), durable: true, exclusive: false, auto_delete: false, arguments: arguments() };
            decide(&mut cluster, Command::topology("/", Topology::DeclareQueue(spec))).expect("in order");
        }
        let (name, kind) = ("d0".into(), "direct".into());
        let exchange = ExchangeSpec { name, kind, durable: true, auto_delete: false, internal: false, arguments: arguments() };
        decide(&mut cluster, Command::topology("/", Topology::DeclareExchange(exchange))).expect("in order");
        let (source, destination, key) = ("d0".into(), "q1".into(), (*b"a").into());
        let binding = BindingSpec { source, kind: Destination::Queue, destination, key, arguments: arguments() };
        decide(&mut cluster, Command::topology("/", Topology::Bind(binding.clone()))).expect("in order");
        let conn = join(&mut cluster, 0, "guest", "guest", "/");
        let (headers, copy, delay, priority) = (Vec::new(), None, None, None);
        let publish = Publish { id: 7, exchange: "", key: "q0", headers, copy, delay, mandatory: false, persistent: true, priority };
        let consume = Op::Consume { queue: "q1", tag: 1, no_ack: false, exclusive: false, priority: 0 };
        say(&mut cluster, conn, &[(1, Op::Open), (1, Op::Publish(vec![publish])), (1, consume)]);
        let mut refusal = |command| decide(&mut cluster, command).expect_err("it is refused").text;
        assert_eq!(refusal(delete("q0", false, true)), "queue 'q0' in vhost '/' not empty");
        assert_eq!(refusal(delete("q1", true, false)), "queue 'q1' in vhost '/' in use");
        assert_eq!(refusal(drop_exchange("d0", true)), "exchange 'd0' in vhost '/' in use");
        assert_eq!(refusal(drop_exchange("amq.topic", false)), "deletion of system exchange 'amq.topic' in vhost '/' not allowed");
        let unbind = || Command::topology("/", Topology::Unbind(binding.clone()));
        let all = [unbind(), unbind(), drop_exchange("d0", true), drop_exchange("d0", true), delete("q0", true, false)];
        all.into_iter().for_each(|command| decide(&mut cluster, command).expect("in order"));
        decide(&mut cluster, delete("q1", false, true)).expect("it is empty");
        let gone = read_all(&mut cluster, conn);
        assert_eq!(gone.iter().map(|saw| head(saw, 1)).collect::<Vec<_>>().len(), 1, "its consumer hears of it: {gone:?}");
        ["q2", "q2", "none"].into_iter().for_each(|name| decide(&mut cluster, delete(name, true, true)).expect("it may be gone"));
        for _ in 0..2 {
            let conn = join(&mut cluster, shards as usize - 1, "guest", "guest", "/");
            let checks = ["q0", "q1", "q2"].map(Op::CheckQueue);
            let mut ops: Vec<(u16, Op)> = Vec::new();
            (1..).zip(checks).for_each(|(channel, check)| ops.extend([(channel, Op::Open), (channel, check)]));
            let seen = say(&mut cluster, conn, &ops);
            assert_eq!(seen.iter().filter(|saw| head(saw, 1) == "404").count(), 3, "{seen:?}");
            cluster.crash();
            cluster.start();
        }
    }
}

#[test]
fn a_new_virtual_host_has_its_defaults_when_its_command_is_answered() {
    let limits = [("a".to_owned(), DefaultLimits { max_queues: Some(1), ..DefaultLimits::default() })].into();
    let user = DefaultUser { password: Some("secret".into()), ..DefaultUser::default() };
    let defaults = Defaults { limits, users: [("u".to_owned(), user)].into(), ..Defaults::default() };
    for shards in [1, 3] {
        let mut cluster = Cluster::new(Config { shards, defaults: defaults.clone(), ..Config::default() }, 1);
        decide(&mut cluster, put_vhost()).expect("in order");
        for _ in 0..2 {
            let conn = join(&mut cluster, shards as usize - 1, "u", "secret", "v");
            let seen = say(&mut cluster, conn, &[(1, Op::Open), (1, Op::DeclareQueue("q0")), (1, Op::DeclareQueue("q2"))]);
            assert_eq!(seen.iter().map(|saw| head(saw, 1)).collect::<Vec<_>>(), ["channel.open-ok", "queue.declare-ok", "406"]);
            cluster.crash();
            cluster.start();
        }
        let lifted = Administration::SetVhostLimits { vhost: "v".into(), limits: VhostLimits::default() }.into();
        decide(&mut cluster, lifted).expect("in order");
        decide(&mut cluster, put_vhost()).expect("it is there");
        let conn = join(&mut cluster, 0, "u", "secret", "v");
        let seen = say(&mut cluster, conn, &[(1, Op::Open), (1, Op::DeclareQueue("q0")), (1, Op::DeclareQueue("q2"))]);
        assert!(seen.iter().all(|saw| head(saw, 1) != "406"), "what an operator changed stays so: {seen:?}");
    }
}

#[test]
fn a_virtual_host_goes_in_the_middle_of_everything() {
    for seed in 0..60 {
        let mut rng = Rng::seeded(seed);
        let mut cluster = Cluster::new(Config { shards: 3, ..Config::default() }, seed);
        cluster.operate(&Ctl::parse("add_vhost v").expect("a command")).expect("it is carried out");
        let conns: Vec<Conn> = (0..6).map(|at| join(&mut cluster, at % 3, "guest", "guest", "v")).collect();
        let mut read = vec![Vec::new(); 6];
        for (&conn, channel) in conns.iter().flat_map(|conn| (1..=CHANNELS).map(move |channel| (conn, channel))) {
            cluster.write(conn, &Op::Open.encode(channel, FRAME_MAX - 8));
        }
        let other = join(&mut cluster, 1, "guest", "guest", "/");
        let end = 50 + rng.below(200);
        for step in 0..400 {
            let (at, channel) = (rng.below(6) as usize, 1 + rng.below(u64::from(CHANNELS)) as u16);
            match rng.below(8) {
                0..=4 => cluster.write(conns[at], &random_op(&mut rng, step).encode(channel, FRAME_MAX - 8)),
                5 => read[at].extend(cluster.read(conns[at], usize::MAX)),
                _ => cluster.turn(rng.below(3) as usize),
            }
            if u64::from(step) == end {
                cluster.demand(rng.below(3) as usize, Command::from(Administration::DeleteVhost { name: "v".into() }));
            }
        }
        cluster.settle();
        let answers: Vec<_> = (0..3).filter_map(|shard| cluster.next_decision(shard)).map(|(_, answer)| answer).collect();
        assert_eq!(answers, [Ok(())], "seed {seed}");
        for (conn, mut bytes) in conns.into_iter().zip(read) {
            bytes.extend(read_bytes(&mut cluster, conn));
            let seen: Vec<Saw> = Incoming::default().feed(&bytes).into_iter().map(|(_, event)| saw(event)).collect();
            assert_eq!(seen.last().map(|saw| head(saw, 2)), Some("CONNECTION_FORCED".into()), "seed {seed}: {seen:?}");
        }
        for shard in 0..3 {
            assert_eq!(cluster.shard(shard).messages().0, 0, "seed {seed}: shard {shard} has messages of a virtual host that is gone");
        }
        let seen = say(&mut cluster, other, &[(1, Op::Open), (1, Op::DeclareQueue("q0"))]);
        assert_eq!(head(seen.last().expect("it answers"), 2), "queue.declare-ok q0");
        decide(&mut cluster, put_vhost()).expect("it may come back");
        assert_eq!(login(&mut cluster, "guest", "guest", "v"), "NOT_ALLOWED", "what guest might do there was forgotten");
    }
}

fn random_op(rng: &mut Rng, id: u32) -> Op {
    let queue = ["q0", "q1", "v0", "x0", "a0"][rng.below(5) as usize];
    let publish = |key| Publish { id, key, persistent: id.is_multiple_of(2), ..Publish::default() };
    match rng.below(7) {
        0..=1 => Op::DeclareQueue(queue),
        2..=4 => Op::Publish(vec![publish(queue), publish(queue)]),
        5 => Op::Consume { queue, tag: id, no_ack: id.is_multiple_of(3), exclusive: false, priority: 0 },
        _ => Op::Get { queue, no_ack: false },
    }
}

/// Has a shard carry out a command.
fn decide(cluster: &mut Cluster, command: Command) -> Result<(), ringmq::contract::Fault> {
    let ticket = cluster.demand(cluster.shard_count() - 1, command);
    cluster.settle();
    let (decided, answer) = cluster.next_decision(cluster.shard_count() - 1).expect("every command is answered");
    assert_eq!(decided, ticket);
    answer
}

/// Returns the broker's last answer to a client that logs in.
fn login(cluster: &mut Cluster, user: &str, password: &str, vhost: &str) -> String {
    let conn = cluster.connect_to(0).expect("there are few");
    cluster.write(conn, &handshake(user, password, vhost));
    cluster.settle();
    let last = read_all(cluster, conn).last().map(|saw| head(saw, 2)).unwrap_or_default();
    cluster.reset(conn);
    cluster.settle();
    last
}

pub fn join(cluster: &mut Cluster, shard: usize, user: &str, password: &str, vhost: &str) -> Conn {
    let conn = cluster.connect_to(shard).expect("there are few");
    cluster.write(conn, &handshake(user, password, vhost));
    cluster.settle();
    let seen = read_all(cluster, conn);
    assert_eq!(seen.last().map(|saw| head(saw, 1)), Some("connection.open-ok".into()), "{seen:?}");
    conn
}

pub fn say(cluster: &mut Cluster, conn: Conn, ops: &[(u16, Op)]) -> Vec<Saw> {
    ops.iter().for_each(|(channel, op)| cluster.write(conn, &op.encode(*channel, FRAME_MAX - 8)));
    cluster.settle();
    read_all(cluster, conn)
}

fn read_all(cluster: &mut Cluster, conn: Conn) -> Vec<Saw> {
    let bytes = read_bytes(cluster, conn);
    Incoming::default().feed(&bytes).into_iter().map(|(_, event)| saw(event)).collect()
}

pub fn read_bytes(cluster: &mut Cluster, conn: Conn) -> Vec<u8> {
    let mut bytes = Vec::new();
    while cluster.unread(conn) > 0 {
        bytes.extend(cluster.read(conn, usize::MAX));
        cluster.settle();
    }
    bytes
}

/// Formats an answer: the first words of a method, the code that closed a channel, or the name of
/// the method that closed the connection.
fn head(saw: &Saw, words: usize) -> String {
    match saw {
        Saw::Reply(reply) => reply.split(' ').take(words).collect::<Vec<_>>().join(" ").trim().to_owned(),
        Saw::ChannelClosed(code) => code.to_string(),
        Saw::ConnectionClosed(text) => text.split(' ').next().unwrap_or_default().to_owned(),
        other => format!("{other:?}"),
    }
}

/// Encodes all methods of a client up to connection.open.
fn handshake(user: &str, password: &str, vhost: &str) -> Vec<u8> {
    let tune = [("channel_max", Value::number(2047)), ("frame_max", Value::number(FRAME_MAX as u64)), ("heartbeat", Value::number(0))];
    let methods = [
        client::start_ok_as(user, password, client::CAPABILITIES),
        Method::new("connection.tune-ok", &tune).expect("the list knows it"),
        Method::new("connection.open", &[("virtual_host", Value::text(vhost))]).expect("the list knows it"),
    ];
    let frames = methods.iter().flat_map(|method| wire::method_frame(0, method));
    client::PROTOCOL_HEADER.iter().copied().chain(frames).collect()
}

const FRAME_MAX: usize = 8192;
const CHANNELS: u16 = 4;

fn put_vhost() -> Command {
    Administration::PutVhost(VhostSpec { name: "v".into(), ..VhostSpec::default() }).into()
}

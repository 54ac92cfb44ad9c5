//! Everything at once: clients that do not wait; a network that tears writes and reads, stalls and
//! resets; shards that take their turns in any order; disks that are slow or full; crashes (see
//! [`restart`]); operators that set [`policies`]. After a while the faults [`end`], the clients
//! finish, everything is consumed, and nothing may remain.

mod end;
mod policies;
mod restart;

use std::collections::BTreeMap;

use ringmq::base::alarms::Alarm;
use ringmq::base::limits::{CREDIT_CHANNEL_BYTES, OUTPUT_SIZE_MAX};
use ringmq::config::Config;

use crate::choice::{Dice, hash_binding, letter_binding};
use crate::exact::handshake;
use crate::history::History;
use crate::op::{HASH, MessageId, Name, Op, Saw, Settle, delays, saw};
use crate::oracle::{ChannelId, Oracle};
use crate::queues::{BURYING, HASHED, LETTERS, QUEUES, STAYING};
use crate::support::broker::Conn;
use crate::support::client::{Event, Incoming};
use crate::support::cluster::Cluster;
use crate::support::wire::Method;

/// A run.
pub struct Chaos<'h> {
    cluster: Cluster,
    dice: Dice,
    oracle: Oracle,
    history: &'h mut History,
    clients: Vec<Client>,
    faults: Faults,
    /// The shards that have taken a turn in this round.
    turned: Vec<bool>,
    are_disks_full: bool,
    messages: MessageId,
    consumers: u32,
}

/// The faults of this run, and the features that clients use.
struct Faults {
    resets: bool,
    stalls: bool,
    deletes: bool,
    global_prefetch: bool,
    errors: bool,
    no_ack: bool,
    alarms: bool,
    crashes: bool,
    full_disks: bool,
    /// Queues grow, because clients consume little.
    hoards: bool,
    /// Most messages go to queues where returned messages wait, and clients mostly give back or
    /// discard.
    returns: bool,
}

struct Client {
    conn: Conn,
    incoming: Incoming,
    /// Bytes that the client has written and that have not reached the broker.
    outbox: Vec<u8>,
    piece: usize,
    stalled: bool,
    /// Whether the broker has told the client that it is blocked.
    blocked: bool,
    closing: bool,
    /// The oracle's number of each channel.
    channels: BTreeMap<u16, ChannelId>,
}

impl<'h> Chaos<'h> {
    /// Makes a broker, with the faults that the seed chooses.
    pub fn new(seed: u64, history: &'h mut History) -> Chaos<'h> {
        let mut dice = Dice::new(seed ^ 0xC4A0_5EED, QUEUES);
        let shards = 1 + (seed % 4) as u16;
        let faults = Faults {
            resets: dice.one_in(2),
            stalls: dice.one_in(2),
            deletes: dice.one_in(2),
            global_prefetch: dice.one_in(3),
            errors: dice.one_in(3),
            no_ack: dice.one_in(2),
            alarms: dice.one_in(3),
            crashes: !dice.one_in(3),
            full_disks: dice.one_in(4),
            hoards: dice.one_in(4),
            returns: dice.one_in(3),
        };
        let mut oracle = Oracle::new();
        (oracle.logs_all, oracle.is_alone) = (!faults.no_ack, shards == 1);
        let queue_memory = dice.pick(&[256 << 20, 1 << 20, 64 << 10]);
        let mut cluster = Cluster::new(Config { shards, queue_memory, ..Config::default() }, seed);
        cluster.set_slowness(dice.pick(&[1, 1, 5, 30]), dice.pick(&[1, 5, 200]));
        let turned = vec![false; cluster.shard_count()];
        Chaos { cluster, dice, oracle, history, clients: Vec::new(), faults, turned, are_disks_full: false, messages: 0, consumers: 0 }
    }

    /// Runs everything.
    pub fn run(&mut self, steps: usize) {
        (0..CLIENTS).for_each(|_| self.connect());
        if self.dice.one_in(2) {
            self.spread_by_hash();
        }
        if self.faults.returns {
            self.lead_letters();
        }
        for _ in 0..steps {
            match self.dice.weighted(&[30, 25, 40, 30, 1, 1, 1, 1, 1, 1]) {
                0 => self.act(),
                1 => self.deliver_some(),
                2 => self.read_some(),
                3 => self.turn_some(),
                4 => self.stall_or_go_on(),
                5 => self.reset_one(),
                6 => self.raise_or_clear_alarm(),
                7 => self.trouble_disks(),
                8 => self.set_or_clear_policy(),
                _ => self.let_time_pass(),
            }
        }
        self.finish();
    }

    /// Declares the exchange that hashes, with queues from the beginning.
    fn spread_by_hash(&mut self) {
        self.send(0, 1, Op::DeclareExchange(HASH));
        for (at, name) in HASHED.iter().enumerate() {
            self.send(0, 1, Op::DeclareQueue(name));
            self.send(0, 1, Op::Bind(hash_binding(at)));
        }
    }

    /// Declares the queues where returned messages wait, and perhaps a queue for their dead
    /// letters.
    fn lead_letters(&mut self) {
        ["r0", BURYING].into_iter().for_each(|name| self.send(0, 1, Op::DeclareQueue(name)));
        if self.dice.one_in(2) {
            self.send(0, 1, Op::DeclareExchange(LETTERS));
            self.send(0, 1, Op::DeclareQueue("q2"));
            self.send(0, 1, Op::Bind(letter_binding("q2")));
        }
    }

    fn connect(&mut self) {
        let shard = self.dice.index(self.cluster.shard_count());
        let conn = self.cluster.connect_to(shard).expect("there are few");
        let piece = self.dice.pick(&[4096, 8192, 131_072]) - 8;
        let outbox = handshake(piece + 8);
        let client = Client {
            conn,
            incoming: Incoming::default(),
            outbox,
            piece,
            stalled: false,
            blocked: false,
            closing: false,
            channels: BTreeMap::new(),
        };
        self.clients.push(client);
        self.history.note(format_args!("client {} connects to shard {shard}", self.clients.len() - 1));
        (1..=CHANNELS).for_each(|channel| self.open(self.clients.len() - 1, channel));
    }

    fn open(&mut self, client: usize, channel: u16) {
        let role = self.dice.below(4);
        let id = self.oracle.on_open(role == 1, role == 2);
        self.clients[client].channels.insert(channel, id);
        self.send(client, channel, Op::Open);
        match role {
            1 => self.send(client, channel, Op::ConfirmSelect),
            2 => self.send(client, channel, Op::TxSelect),
            _ => {}
        }
        if self.faults.global_prefetch && self.dice.one_in(2) {
            let prefetch = 1 + self.dice.below(4) as u16;
            self.send(client, channel, Op::Qos { prefetch, global: true });
        }
    }

    fn send(&mut self, client: usize, channel: u16, op: Op) {
        let at = self.clients[client].channels[&channel];
        self.history.note(format_args!("client {client}.{channel} (channel {at}) {op:?}"));
        self.oracle.now = self.cluster.time_of_day();
        self.oracle.on_sent(at, &op);
        let target = &mut self.clients[client];
        target.outbox.extend(op.encode(channel, target.piece));
    }

    /// Lets a random client do something.
    fn act(&mut self) {
        let client = self.dice.index(self.clients.len());
        let channel = 1 + self.dice.below(u64::from(CHANNELS)) as u16;
        let at = self.clients[client].channels[&channel];
        let busy =
            self.oracle.channels[at].ended || self.oracle.channels[at].pending.len() > 3 || self.clients[client].outbox.len() > OUTBOX_MAX;
        if !busy && let Some(op) = self.choose(at) {
            self.send(client, channel, op);
        }
    }

    fn choose(&mut self, at: ChannelId) -> Option<Op> {
        let channel = &self.oracle.channels[at];
        let (transacts, limited) = (channel.transacts, channel.prefetch_global > 0);
        Some(match self.dice.weighted(&[34, 26, 7, 4, 3, 6, 2, 1, 3, 6]) {
            0 => Op::Publish((0..1 + self.dice.below(4)).map(|_| self.message()).collect()),
            1 => return self.settle(at),
            2 if self.faults.hoards && !self.dice.one_in(4) => return None,
            2 => return Some(self.consume()).filter(|op| !limited || !matches!(op, Op::Consume { queue: BURYING, .. })),
            3 => Op::Get { queue: self.queue(), no_ack: self.dice.one_in(3) },
            4 => Op::Cancel(self.consumer_of(at)?),
            5 => self.topology(),
            6 if self.faults.deletes => Op::Purge(self.queue()),
            6 => Op::Recover,
            7 => Op::Close,
            8 if limited => return None,
            8 => Op::Qos { prefetch: self.dice.below(5) as u16, global: false },
            _ if !transacts => return self.settle(at),
            _ if self.dice.one_in(4) => Op::Rollback,
            _ => Op::Commit,
        })
    }

    fn message(&mut self) -> crate::op::Publish {
        self.messages += 1;
        let mut message = self.dice.publish(self.messages);
        let may_be_wrong = self.faults.errors && self.dice.one_in(20);
        if !may_be_wrong && !self.oracle.topology.has_exchange(message.exchange) {
            message.exchange = if self.dice.one_in(3) { "amq.fanout" } else { "" };
        }
        if self.oracle.topology.has_exchange(HASH) && self.dice.one_in(5) {
            (message.exchange, message.copy) = (HASH, None);
        } else if message.exchange.is_empty() {
            message.key = self.queue();
        }
        // A message that waits behind another exchange comes to a queue twice if that exchange
        // leads there, too.
        message.delay = self.dice.delay(message.exchange).filter(|_| delays(message.exchange));
        message
    }

    /// Chooses the settlement of a held delivery, if there is one.
    fn settle(&mut self, at: ChannelId) -> Option<Op> {
        let channel = &self.oracle.channels[at];
        let held: Vec<u64> = channel.held.keys().copied().filter(|tag| !channel.is_staged(*tag)).collect();
        if held.is_empty() || channel.pending.iter().any(|(op, _)| matches!(op, Op::Recover | Op::Rollback)) {
            return None;
        }
        let others = [Settle::Nack, Settle::Requeue, Settle::Reject, Settle::RejectRequeue];
        let acks = if self.faults.returns { 5 } else { 2 };
        let how = if self.dice.one_in(acks) { Settle::Ack } else { self.dice.pick(&others) };
        let multiple = !matches!(how, Settle::Reject | Settle::RejectRequeue) && self.dice.one_in(3);
        Some(Op::Settle { how, tag: self.dice.pick(&held), multiple })
    }

    fn consume(&mut self) -> Op {
        self.consumers += 1;
        let exclusive = self.faults.errors && self.dice.one_in(15);
        let priority = if self.dice.one_in(5) { self.dice.below(3) as i32 - 1 } else { 0 };
        Op::Consume { queue: self.queue(), tag: self.consumers, no_ack: self.faults.no_ack && self.dice.one_in(5), exclusive, priority }
    }

    fn consumer_of(&mut self, at: ChannelId) -> Option<u32> {
        let leaving: Vec<u32> = self.oracle.channels[at]
            .pending
            .iter()
            .filter_map(|(op, _)| if let Op::Cancel(tag) = op { Some(*tag) } else { None })
            .collect();
        let mine: Vec<u32> =
            self.oracle.consumers.iter().filter(|(tag, one)| one.channel == at && !leaving.contains(tag)).map(|(tag, _)| *tag).collect();
        (!mine.is_empty()).then(|| self.dice.pick(&mine))
    }

    fn topology(&mut self) -> Op {
        loop {
            let op = if self.dice.one_in(6) { self.dice.hash_topology() } else { self.dice.topology() };
            let is_delete = matches!(op, Op::DeleteExchange { .. } | Op::DeleteQueue { .. } | Op::Unbind(_));
            let may_fail =
                matches!(op, Op::Bind(_) | Op::CheckQueue(_) | Op::DeleteExchange { if_unused: true, .. } | Op::DeleteQueue { .. });
            if (!is_delete || self.faults.deletes) && (!may_fail || self.faults.errors || self.dice.one_in(3)) {
                return op;
            }
        }
    }

    fn queue(&mut self) -> Name {
        if self.faults.returns && !self.dice.one_in(3) {
            return self.dice.pick(&["r0", BURYING, BURYING]);
        }
        if self.faults.errors && self.dice.one_in(10) { self.dice.queue() } else { self.dice.pick(STAYING) }
    }

    /// Delivers some of the bytes that a client has written, torn anywhere.
    fn deliver_some(&mut self) {
        let client = self.dice.index(self.clients.len());
        let count = self.piece_size();
        self.deliver(client, count);
    }

    fn deliver(&mut self, client: usize, count: usize) {
        let client = &mut self.clients[client];
        if self.cluster.is_paused(client.conn) {
            return;
        }
        let piece: Vec<u8> = client.outbox.drain(..count.min(client.outbox.len())).collect();
        if !piece.is_empty() {
            self.history.note(format_args!("{} bytes arrive on {}", piece.len(), client.conn));
            self.cluster.write(client.conn, &piece);
        }
    }

    /// Lets a client read some of the bytes that the broker sent.
    fn read_some(&mut self) {
        let client = self.dice.index(self.clients.len());
        let count = self.piece_size();
        let most = self.cluster.unread(self.clients[client].conn);
        assert!(most <= OUTPUT_BOUND, "a send of {most} bytes is more than the limits allow");
        if !self.clients[client].stalled {
            self.read(client, count);
        }
    }

    fn read(&mut self, client: usize, count: usize) {
        let bytes = self.cluster.read(self.clients[client].conn, count);
        self.oracle.now = self.cluster.time_of_day();
        for (channel, event) in self.clients[client].incoming.feed(&bytes) {
            self.on_event(client, channel, event);
        }
    }

    fn on_event(&mut self, client: usize, channel: u16, event: Event) {
        if channel == 0 {
            let Event::Method(method, _) = event else { panic!("client {client} got {event:?}") };
            return self.on_connection_method(client, &method);
        }
        let saw = saw(event);
        let at = self.clients[client].channels[&channel];
        self.history.note(format_args!("client {client}.{channel} (channel {at}) < {saw:?}"));
        self.oracle.on_saw(at, &saw);
        match saw {
            Saw::ChannelClosed(_) => {
                self.send(client, channel, Op::CloseOk);
                // If both sides sent channel.close, the broker answers the client's, too.
                if self.oracle.channels[at].pending.is_empty() {
                    self.open(client, channel);
                }
            }
            Saw::Reply(reply) if reply.starts_with("channel.close-ok") && !self.clients[client].closing => self.open(client, channel),
            _ => {}
        }
    }

    /// Checks that a client is told once of an alarm, and once of its end.
    fn on_connection_method(&mut self, client: usize, method: &Method) {
        let blocked = &mut self.clients[client].blocked;
        let expected = match method.name.as_str() {
            "connection.start" | "connection.tune" | "connection.open-ok" | "connection.close-ok" => true,
            "connection.blocked" => !std::mem::replace(blocked, true),
            "connection.unblocked" => std::mem::replace(blocked, false),
            _ => false,
        };
        assert!(expected, "client {client} got {method:?}");
    }

    /// Lets one shard take a turn, if it wants to; the others are late.
    fn turn_some(&mut self) {
        let shard = self.dice.index(self.cluster.shard_count());
        if self.dice.one_in(20) {
            self.cluster.set_clock(self.cluster.now() + self.dice.below(20));
        }
        if self.cluster.wants_turn(shard) {
            self.history.note(format_args!("turn of shard {shard}"));
            self.cluster.turn(shard);
        }
        self.turned[shard] = true;
        if self.turned.iter().all(|turned| *turned) {
            self.turned.fill(false);
            self.oracle.rounds += 1;
        }
    }

    /// Lets some time pass at once, except during handshakes, which have a short time limit.
    fn let_time_pass(&mut self) {
        let introduced = |at: &ChannelId| !matches!(self.oracle.channels[*at].pending.front(), Some((Op::Open, _)));
        if self.clients.iter().all(|client| client.channels.values().all(introduced)) {
            let longest = self.dice.pick(&[100, 1000, 5000, 12_000]);
            let ms = self.dice.below(longest);
            self.history.note(format_args!("{ms} ms pass"));
            self.cluster.set_clock(self.cluster.now() + ms);
        }
    }

    fn stall_or_go_on(&mut self) {
        let client = self.dice.index(self.clients.len());
        self.clients[client].stalled = self.faults.stalls && !self.clients[client].stalled;
    }

    fn raise_or_clear_alarm(&mut self) {
        if self.faults.alarms {
            let (alarm, on) = (self.dice.pick(&ALARMS), self.dice.one_in(4));
            self.history.note(format_args!("alarm {alarm:?}: {on}"));
            self.cluster.raise(alarm, on);
        }
    }

    fn reset_one(&mut self) {
        if self.faults.resets {
            let client = self.dice.index(self.clients.len());
            self.history.note(format_args!("client {client} is cut off"));
            self.cluster.reset(self.clients[client].conn);
            let channels: Vec<ChannelId> = self.clients[client].channels.values().copied().collect();
            channels.into_iter().for_each(|at| self.oracle.on_reset(at));
            self.connect();
            self.clients.swap_remove(client);
        }
    }

    fn piece_size(&mut self) -> usize {
        let most = self.dice.pick(&[8, 100, 2000, 100_000]);
        1 + self.dice.index(most)
    }

    fn come_to_rest(&mut self) {
        for _ in 0..REST_MAX {
            let mut moved = false;
            for client in 0..self.clients.len() {
                moved |= !self.clients[client].outbox.is_empty() || self.cluster.unread(self.clients[client].conn) > 0;
                self.deliver(client, usize::MAX);
                self.read(client, usize::MAX);
            }
            self.cluster.settle();
            moved |= self.clients.iter().any(|client| self.cluster.unread(client.conn) > 0);
            if !moved {
                return;
            }
        }
        panic!("the clients never come to rest");
    }
}

const ALARMS: [Alarm; 3] = [Alarm::Memory, Alarm::DiskFree, Alarm::DiskFull];
const CLIENTS: usize = 5;
const CHANNELS: u16 = 2;
/// The number of bytes that a client writes ahead of the broker at most.
const OUTBOX_MAX: usize = 1 << 20;
/// The largest message of a run, with its frames.
const MESSAGE_MAX: usize = 160_000;
/// The most bytes of one send, including those that queues of other shards may send before they
/// hear that there is no room. (A consumer's share is determined when it comes.)
const OUTPUT_BOUND: usize = OUTPUT_SIZE_MAX + MESSAGE_MAX + CHANNELS as usize * 3 * CREDIT_CHANNEL_BYTES;
const REST_MAX: usize = 2_000;

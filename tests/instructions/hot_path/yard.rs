//! Shards in this process with the smallest possible driver, so that only the shards' instructions
//! are counted.
//!
//! ```text
//! hand_over ──▶ on_bytes ──▶ shard ──▶ Action::Send ──▶ counted, not read
//!                              ◀── on_sent before the next turn ──┘
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ringmq::base::ids::ConnId;
use ringmq::base::outgoing::Outgoing;
use ringmq::config::{Config, Protocol};
use ringmq::shard::{self, Action, Shard};

use crate::support::client;
use crate::support::value::Value;
use crate::support::wire::{self, Method};

/// A client, numbered from 0.
pub type Client = usize;

/// The shards of a broker and its clients.
pub struct Yard {
    /// All shards, by number.
    pub shards: Vec<Shard>,
    clients: Vec<Connection>,
    /// Sends that the sockets complete before the next turn.
    sent: Vec<(Client, Outgoing)>,
}

struct Connection {
    shard: usize,
    id: ConnId,
    received: usize,
    paused: bool,
}

impl Yard {
    /// Makes a broker of this many shards. Its clock stands still.
    pub fn new(shards: u16) -> Yard {
        let config = Arc::new(Config { shards, ..Config::default() });
        let mut shards = shard::joined(&config, SEED);
        shards.iter_mut().for_each(|shard| shard.start_clock(1));
        Yard { shards, clients: Vec::new(), sent: Vec::new() }
    }

    /// Connects a client to a shard.
    pub fn connect(&mut self, shard: usize) -> Client {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5672));
        let id = self.shards[shard].on_accepted(0, Protocol::Amqp, address, address).expect("there is room for a few connections");
        self.clients.push(Connection { shard, id, received: 0, paused: false });
        self.clients.len() - 1
    }

    /// Connects a client, opens channel 1 and sends the client's methods.
    pub fn open(&mut self, shard: usize, methods: &[Method]) -> Client {
        let tune = [("channel_max", Value::number(2047)), ("frame_max", Value::number(131_072)), ("heartbeat", Value::number(0))];
        let connection = [client::start_ok(client::CAPABILITIES), method("connection.tune-ok", &tune), {
            method("connection.open", &[("virtual_host", Value::text("/"))])
        }];
        let client = self.connect(shard);
        self.hand_over(client, client::PROTOCOL_HEADER);
        connection.iter().for_each(|method| self.hand_over(client, &wire::method_frame(0, method)));
        for method in [&method("channel.open", &[])].into_iter().chain(methods) {
            self.hand_over(client, &wire::method_frame(1, method));
            self.settle();
        }
        client
    }

    /// Gives a shard bytes from a client, at most one receive buffer of them.
    pub fn hand_over(&mut self, client: Client, bytes: &[u8]) {
        let client = &self.clients[client];
        self.shards[client.shard].on_bytes(client.id, bytes);
    }

    /// Whether the shard has paused this client.
    pub fn is_paused(&self, client: Client) -> bool {
        self.clients[client].paused
    }

    /// Returns the number of bytes that were sent to the client.
    pub fn received(&self, client: Client) -> usize {
        self.clients[client].received
    }

    /// Returns the number of messages that the shards still have.
    pub fn messages(&self) -> usize {
        self.shards.iter().map(|shard| shard.messages().0).sum()
    }

    /// Takes one turn of every shard. Returns whether there is more to do.
    pub fn turn(&mut self) -> bool {
        for (client, outgoing) in std::mem::take(&mut self.sent) {
            let client = &self.clients[client];
            self.shards[client.shard].on_sent(client.id, outgoing);
        }
        let mut busy = false;
        for shard in 0..self.shards.len() {
            busy |= self.shards[shard].turn(0).again;
            self.carry_out(shard);
        }
        busy || !self.sent.is_empty() || self.shards.iter_mut().any(Shard::has_mail)
    }

    /// Takes turns until there is nothing more to do.
    pub fn settle(&mut self) {
        let turns = (0..SETTLE_TURNS_MAX).take_while(|_| self.turn()).count();
        assert!(turns < SETTLE_TURNS_MAX, "the shards find no rest");
    }

    fn carry_out(&mut self, shard: usize) {
        while let Some(action) = self.shards[shard].next_action() {
            match action {
                Action::Send(id, outgoing) => {
                    let client = self.client(shard, id);
                    self.clients[client].received += outgoing.len();
                    self.sent.push((client, outgoing));
                }
                Action::Pause(id) => self.set_paused(shard, id, true),
                Action::Resume(id) => self.set_paused(shard, id, false),
                Action::Wake(_) | Action::Watch(_) => {}
                Action::Prepare(..) => self.shards[shard].on_prepared(),
                Action::Log(_) => {} // nothing durable is measured here
                Action::Catalog(_) => self.shards[shard].on_catalog_written(),
                Action::Report(_) => {} // no operator listens
                Action::Fail(sentence) => panic!("{sentence}"),
                Action::Close(_) => panic!("the broker closed a connection: a scenario does what it may not"),
            }
        }
    }

    fn set_paused(&mut self, shard: usize, id: ConnId, paused: bool) {
        let client = self.client(shard, id);
        self.clients[client].paused = paused;
    }

    fn client(&self, shard: usize, id: ConnId) -> Client {
        self.clients.iter().position(|client| client.shard == shard && client.id == id).expect("actions are for clients that are there")
    }
}

/// Encodes a method of the list.
pub fn method(name: &str, fields: &[(&str, Value)]) -> Method {
    Method::new(name, fields).expect("the list knows the methods of the scenarios")
}

/// The seed of the shards. Its value does not matter, as long as it does not change.
const SEED: u64 = 1;

/// More turns than any preparation takes.
const SETTLE_TURNS_MAX: usize = 10_000;

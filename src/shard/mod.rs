//! A shard: one machine per core, made of sessions, queues, a copy of the catalog, and links to the
//! other shards.
//!
//! A shard performs nothing. Its driver (`io::driver`, or the simulator) tells it what happened by
//! the `on_*` methods, lets it work with [`turn`](Shard::turn), and carries out the [`Action`]s
//! that it asks for. Everything that crosses to another shard is mail.
//!
//! ```text
//!           on_accepted on_bytes on_sent on_closed           Action::{Send, Pause, Close, Log, …}
//! driver ─────────────────────────────────────────▶ shard ────────────────────────────────▶ driver
//!              input ─▶ dispatch ─▶ router ─▶ queue ─▶ delivery ─▶ outbox
//!                │                              ▲
//!                └ request ─▶ ask / order ─ mail┘
//! ```
//!
//! Where to look:
//!
//! - [`session`]: the sessions of all protocols, behind one face;
//! - [`conns`]: connections, from the bytes that arrive to the output for their sockets;
//! - [`publish`]: the way of a message to its queues;
//! - [`queues`]: the way from a queue to its consumers and back; expiry, limits, dead letters;
//! - [`control`]: requests of clients and commands of operators;
//! - [`peers`]: the other shards, and the mail;
//! - [`durability`]: the part that the log has in all this, and [`restart`], how a shard goes on
//!   after a stop;
//! - [`tally`]: what is counted for operators;
//! - [`work`] and [`jobs`]: how much one turn may do;
//! - [`turn`]: the order of it all.
//!
//! [`Shard`] is a list of owners, one for each folder, and of the few things that all of them use:
//! the catalog, the arena, timers, the turn's budget, actions. An owner keeps its own state and
//! asserts its invariants in `check()`; what needs two owners is a method of the shard, in the
//! folder of the owner whose state it changes most.

mod conns;
mod control;
mod durability;
mod jobs;
mod peers;
mod publish;
mod queues;
mod restart;
mod session;
mod tally;
#[cfg(test)]
#[allow(dead_code, reason = "the tests of the whole broker use the rest")]
#[path = "../../tests/support"]
mod support {
    pub mod broker;
    pub mod cluster;
    pub mod ctl;
    pub mod disk;
    pub mod storage;
}
mod turn;
mod work;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::alarms::Alarms;
use crate::base::ids::{ConnAddr, ConnId, Key, QueueId, ShardId};
use crate::base::limits::HANDSHAKES_MAX;
use crate::base::outgoing::Outgoing;
use crate::base::rng::Rng;
use crate::base::timer_wheel::TimerWheel;
use crate::broker::arena::Arena;
use crate::broker::catalog::Catalog;
use crate::broker::queue::Queue;
use crate::config::{Config, Protocol};
use crate::contract::Report;
use crate::store::Op;
use crate::store::catalog_log::CatalogOp;

use conns::conn::Conn;
use conns::{BrokerQuotas, Conns};
use control::Control;
use durability::Durability;
use jobs::Job;
use peers::Peers;
use peers::link::Link;
use publish::Publishing;
use queues::Queues;
use queues::lifetime::Timer;
use tally::Tally;
use work::Work;

pub use control::order::Made;
pub use peers::block;
pub use restart::{Found, Stop, restore};
pub use turn::Turn;

/// One event loop's share of the broker.
pub struct Shard {
    id: ShardId,
    config: Arc<Config>,
    /// The broker's alarms.
    alarms: Arc<Alarms>,
    rng: Rng,
    now: u64,
    catalog: Catalog,
    conns: Conns,
    publishing: Publishing,
    queues: Queues,
    control: Control,
    peers: Peers,
    durability: Durability,
    tally: Tally,
    arena: Arena,
    timers: TimerWheel<Timer>,
    /// The time of day at which the shard's time is 0, milliseconds since 1970.
    epoch_ms: u64,
    /// Long operations (commits, settlements), of which each turn does a part.
    jobs: VecDeque<Job>,
    /// When the next part of the arena's excess memory is given back.
    trim_due: u64,
    work: Work,
    actions: VecDeque<Action>,
    stopping: bool,
}

/// A task for the driver.
#[derive(Debug)]
pub enum Action {
    /// Send all of it, then give the buffer back with [`Shard::on_sent`]. A connection has at most
    /// one send under way.
    Send(ConnId, Outgoing),
    /// Stop reading the socket. Bytes that still arrive are passed on.
    Pause(ConnId),
    /// Call [`Shard::on_closed`] when the peer of a paused connection has gone, even if bytes that
    /// it sent before are unread; until the next resume.
    Watch(ConnId),
    /// Read the socket again.
    Resume(ConnId),
    /// The connection is over and its id is free: let a send under way end, then close the socket.
    Close(ConnId),
    /// Wake the shard: it sleeps and has mail.
    Wake(ShardId),
    /// Have the kernel put memory behind these bytes (address, length), which will be used soon,
    /// and call [`Shard::on_prepared`]. One at a time; failure does no harm.
    Prepare(usize, usize),
    /// Carry out an operation of the log; its end is told by `on_log_created`, `on_log_written`,
    /// `on_log_read`, `on_log_indexed`, `on_log_compacted`.
    Log(Op),
    /// Write to the catalog's log; [`Shard::on_catalog_written`] follows.
    Catalog(CatalogOp),
    /// Pass this on to the operators' thread, if there is one.
    Report(Box<Report<Arc<Made>>>),
    /// End the process, with this sentence as the reason.
    Fail(String),
}

/// The state that the shards of one broker share.
struct Common {
    config: Arc<Config>,
    connection_count: Arc<AtomicUsize>,
    quotas: BrokerQuotas,
    alarms: Arc<Alarms>,
}

/// Makes the shards of one broker, joined to each other; `seed` makes names that others cannot
/// guess.
pub fn joined(config: &Arc<Config>, seed: u64) -> Vec<Shard> {
    let count = config.shards;
    let common =
        Common { config: config.clone(), connection_count: Arc::default(), quotas: BrokerQuotas::default(), alarms: Arc::default() };
    common.quotas.opened_connections.set_max(u32::try_from(config.max_connections).ok());
    common.quotas.channels.set_max(config.max_channels);
    let mut seeds = Rng::seeded(seed);
    let mut shards: Vec<Shard> = (0..count).map(|id| Shard::new(ShardId(id), &common, seeded(seeds.next_u64()))).collect();
    restart::share_quotas(&mut shards);
    for low in 0..count as usize {
        for high in low + 1..count as usize {
            let (from_low, from_high) = Link::pair([shards[low].peers.bell.clone(), shards[high].peers.bell.clone()]);
            shards[low].peers.links[high] = Some(from_low);
            shards[high].peers.links[low] = Some(from_high);
        }
    }
    shards
}

/// Gives each shard a key of its own. Without it, somebody could work it out from other names that
/// the shard makes.
pub fn keep_secrets(shards: &mut [Shard], random: impl Fn() -> [u8; 16]) {
    shards.iter_mut().for_each(|shard| shard.publishing.reply_key = random());
}

impl Shard {
    fn new(id: ShardId, common: &Common, (rng, reply_key): (Rng, [u8; 16])) -> Shard {
        let Common { config, connection_count, quotas, alarms } = common;
        Shard {
            id,
            alarms: alarms.clone(),
            rng,
            now: 0,
            conns: Conns::new(config, connection_count.clone(), quotas.clone()),
            catalog: Catalog::new(),
            publishing: Publishing::new(reply_key),
            queues: Queues::new(),
            control: Control::new(),
            peers: Peers::new(config.shards),
            durability: Durability::new(),
            tally: Tally::default(),
            arena: Arena::default(),
            timers: TimerWheel::new(0),
            epoch_ms: 0,
            jobs: VecDeque::new(),
            trim_due: 0,
            work: Work::default(),
            actions: VecDeque::new(),
            stopping: false,
            config: config.clone(),
        }
    }

    /// Sets the time of day, in milliseconds since 1970, at which the shard's time is 0. Called
    /// before the first turn.
    pub fn start_clock(&mut self, epoch_ms: u64) {
        self.epoch_ms = epoch_ms;
    }

    /// Sets the time to `now` milliseconds. Called before the shard is told what happened.
    pub fn tell_time(&mut self, now: u64) {
        self.now = now;
    }

    /// Asserts the invariants of all owners. The simulator calls it at rest; debug builds do after
    /// each turn of a small shard.
    pub fn check(&self) {
        self.conns.check();
        self.publishing.check();
        self.queues.check(&self.arena);
        self.control.check();
        self.peers.check(self.id);
        self.durability.check();
    }

    /// A connection was accepted. Returns its id, or `None` if the broker has too many: close it.
    pub fn on_accepted(&mut self, now: u64, protocol: Protocol, peer: SocketAddr, local: SocketAddr) -> Option<ConnId> {
        if self.stopping || self.conns.of_broker.fetch_add(1, Ordering::Relaxed) >= self.config.max_connections + HANDSHAKES_MAX {
            self.conns.of_broker.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let (shard, seed) = (self.id, self.rng.next_u64());
        let config = &self.config;
        let make = |conn, budgets: &_| Conn::new(protocol, config, budgets, ConnAddr { shard, conn }, [peer, local], seed, now);
        let conn = self.conns.insert_with(make);
        let timer = self.timers.set(now + self.config.handshake_ms, Timer::Conn(conn));
        let known_alarms = self.conns.known_alarms;
        self.tally.churn.connection_created += 1;
        let accepted = self.conns.get_mut(conn)?;
        accepted.timer = Some(timer);
        accepted.session.on_alarms(known_alarms);
        Some(conn)
    }

    /// The memory of the last [`Action::Prepare`] is prepared.
    pub fn on_prepared(&mut self) {
        self.arena.on_prepared();
    }

    /// Returns the next task for the driver. Called after each turn until there is none.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Number of connections of this shard.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Whether there are no connections, and no work that they have asked for.
    pub fn is_deserted(&self) -> bool {
        self.conns.len() == 0 && self.jobs.is_empty() && self.queues.rubbish.is_empty()
    }

    /// The shard's number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The alarms that all shards of the broker obey, each from its next turn on.
    pub fn alarms(&self) -> &Arc<Alarms> {
        &self.alarms
    }

    /// Number of messages that wait or are unsettled here, and the bytes of memory that hold them.
    pub fn messages(&self) -> (usize, usize) {
        (self.arena.messages(), self.arena.memory())
    }

    /// Declares the intention to sleep. Returns false if mail has come or can go: take another turn
    /// instead.
    pub fn prepare_sleep(&mut self) -> bool {
        self.peers.bell.prepare_sleep();
        let busy = self.peers.links.iter_mut().flatten().any(|link| link.available() > 0 || link.can_go_on());
        if busy {
            self.peers.bell.awake();
        }
        !busy
    }

    /// The driver slept and is awake again.
    pub fn awake(&mut self) {
        self.peers.bell.awake();
    }

    /// Whether a peer has sent something. Cheap: a look at each ring's tail.
    pub fn has_mail(&mut self) -> bool {
        self.peers.links.iter_mut().flatten().any(|link| link.available() > 0)
    }

    fn conn_addr(&self, conn: ConnId) -> ConnAddr {
        ConnAddr { shard: self.id, conn }
    }

    /// Returns a connection that is not ending, to be written to.
    fn live(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.touch(id).filter(|conn| !conn.ending)
    }

    fn link(&mut self, peer: ShardId) -> &mut Link {
        self.peers.links[peer.0 as usize].as_mut().expect("every other shard has a link")
    }

    fn queue_mut(&mut self, id: QueueId) -> Option<&mut Queue> {
        local_queue(&mut self.queues.slots, id)
    }

    fn mark_queue(&mut self, id: QueueId) {
        self.queues.dirty.push_back(Key::from(id).slot);
    }
}

/// Returns the queue `id`, if it lives here. A free function, so that other fields of the shard can
/// be borrowed beside it.
fn local_queue(queues: &mut [Option<Box<Queue>>], id: QueueId) -> Option<&mut Queue> {
    queues.get_mut(Key::from(id).slot as usize)?.as_deref_mut().filter(|queue| queue.id == id)
}

/// Makes a shard's random source, and draws the key of its reply names from it.
fn seeded(seed: u64) -> (Rng, [u8; 16]) {
    let (mut rng, mut key) = (Rng::seeded(seed), [0; 16]);
    rng.fill(&mut key);
    (rng, key)
}

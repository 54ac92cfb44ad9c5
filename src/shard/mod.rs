//! A shard: one machine per core, made of sessions, queues, a copy of the catalog, and links to the other shards.
//!
//! A shard performs nothing. Its driver (`io::driver`, or the simulator) tells it what happened by the `on_*` methods, lets it work with
//! [`turn`](Shard::turn), and carries out the [`Deed`]s that it asks for. Whatever crosses to another shard is [`mail`].
//!
//! ```text
//!              on_accepted on_bytes on_sent on_closed                     Deed::{Send, Pause, Resume, Close, Wake, …}
//! driver ───────────────────────────────────────────▶ shard ──────────────────────────────────────────────────▶ driver
//!            input ─▶ dispatch ─▶ router ─▶ queue ─▶ delivery ─▶ outbox
//!              │                              ▲
//!              └ request ─▶ ask / order ─ mail ┘
//! ```
//!
//! Where to look: [`conns`] connections, from what their bytes mean to what goes to their sockets; [`publish`] from
//! a message in somebody's hands to its queues; [`queues`] from a queue to its consumers and back, and what becomes of
//! messages that nobody takes; [`control`] what clients and operators ask; [`peers`] the other shards;
//! [`durability`] what the log has to do with it; [`restart`] how a shard goes on after a stop; [`work`] and [`jobs`] what one
//! turn may do; [`turn`] the order of it all.

mod conns;
mod control;
mod durability;
mod jobs;
mod peers;
mod publish;
mod queues;
mod restart;
mod session;
mod turn;
mod work;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use slab::Slab;

use crate::base::alarms::{AlarmSet, Alarms};
use crate::base::ids::{ChannelAddr, ConnAddr, ConnId, Key, QueueId, ShardId};
use crate::base::limits::HANDSHAKES_MAX;
use crate::base::outgoing::Outgoing;
use crate::base::quota::Quota;
use crate::base::ready_list::ReadyList;
use crate::base::rng::Rng;
use crate::base::spsc::Doorbell;
use crate::base::timer_wheel::TimerWheel;
use crate::broker::arena::Arena;
use crate::broker::catalog::{Catalog, Change};
use crate::broker::queue::Queue;
use crate::broker::routing::header_routes::RouteMemory;
use crate::config::{Config, Protocol};
use crate::contract::{Entry, Receipts, RouteSet};
use crate::message::MessageRef;
use crate::store::catalog_log::{CatalogLog, CatalogOp};
use crate::store::{Op, Store};

use conns::Conns;
use conns::conn::Conn;
use control::command::Commands;
use control::order::{Ledger, Pending, Waiter};
use durability::{LogWait, Logging};
use jobs::Job;
use peers::link::Link;
use peers::mailbox::Early;
use publish::flow::Flow;
use publish::relay::Relays;
use publish::transfer::Transfers;
use queues::lifetime::Timer;
use queues::policies::Sweep;
use queues::rubbish::Rubbish;
use queues::unburied::Unburied;
use work::Work;

pub use restart::{Found, Stop, restore};
pub use turn::Turn;

/// One event loop's share of the broker.
pub struct Shard {
    id: ShardId,
    config: Arc<Config>,
    /// Connections of the whole broker.
    connection_count: Arc<AtomicUsize>,
    quotas: BrokerQuotas,
    /// The broker's alarms, and those of them that the connections here know of.
    alarms: Arc<Alarms>,
    known_alarms: AlarmSet,
    rng: Rng,
    now: u64,
    conns: Conns,
    catalog: Catalog,
    /// The queues that live here, by slot of their id.
    queues: Vec<Option<Box<Queue>>>,
    known_routes: RouteMemory,
    arena: Arena,
    timers: TimerWheel<Timer>,
    /// The time of day when the shard's time was 0, milliseconds since 1970.
    epoch_ms: u64,
    /// Queues here that are not plain.
    special_queues: usize,
    /// Queues here that have levels.
    levelled_queues: usize,
    /// Messages that died and are to be published again.
    dead: Unburied,
    /// Delayed messages that are to be routed.
    due: VecDeque<(QueueId, Entry)>,
    transfers: Transfers,
    /// Transactions of which a part is still to be done.
    /// What is carried out some at a time.
    jobs: VecDeque<Job>,
    /// When some of the arena's excess memory goes back next.
    trim_due: u64,
    bell: Arc<Doorbell>,
    /// By shard number; none to itself.
    links: Vec<Option<Link>>,
    /// Whose mail is read first in the next turn.
    first_peer: u16,
    /// Mail for queues whose declaration has not arrived here yet.
    early: Vec<Early>,
    /// What waits for a decision of shard 0, by ticket.
    waiters: Slab<Waiter>,
    /// Shard 0 only: changes that not all shards have applied, oldest first.
    pending: VecDeque<Pending>,
    ledger: Ledger,
    /// Operators' commands that were given here, and those of them that are decided and whose answer was not taken yet.
    commands: Commands,
    /// Requests to try again in the next turn.
    retries: Vec<ChannelAddr>,
    /// Connections whose parked input may go on.
    resumed: VecDeque<ConnId>,
    work: Work,
    /// Connections parked because a link has no room.
    mail_waiters: Vec<ConnId>,
    /// Connections parked because memory is being prepared.
    memory_waiters: Vec<ConnId>,
    dirty_queues: ReadyList,
    flow: Flow,
    /// Queues whose next consumer is behind a link without room.
    blocked_queues: Vec<QueueId>,
    /// Queues here that have more messages than they may have.
    overfull: ReadyList,
    /// Where the walk through the queues here stands that find their policies anew.
    sweep: Sweep,
    rubbish: Rubbish,
    deeds: VecDeque<Deed>,
    /// Working memory of the publish, delivery and settle paths.
    routes: RouteSet,
    unfinished: Vec<u32>,
    receipts: Receipts,
    over: Vec<Entry>,
    stored: Vec<Option<MessageRef>>,
    /// Makes the names that replies are sent to.
    reply_key: [u8; 16],
    /// A queue has refused the message that is being published.
    refused: bool,
    /// Which messages of a mail their queue has refused.
    refusals: Vec<u32>,
    /// A publish staged more than its link should hold.
    link_full: bool,
    /// A publish let messages wait while memory for more is not prepared.
    memory_short: bool,
    /// A publish gave the log more than it should hold back.
    log_full: bool,
    store: Store,
    /// The catalog's log; used on shard 0.
    catalog_log: CatalogLog,
    /// When what has gathered for the log is written at the latest.
    log_due: Option<u64>,
    /// What waits for the disk, in the order of the log.
    log_waits: VecDeque<LogWait>,
    /// Connections parked because the disk must take what waits first.
    log_waiters: Vec<ConnId>,
    /// Who asked a queue for a message that is being read from the log; and whether it needs no settling.
    getters: Vec<(ChannelAddr, QueueId, bool)>,
    logging: Logging,
    /// How many queues that do not survive a restart had a name in the log.
    fleeting_numbers: u64,
    /// Shard 0: the number of the next durable queue.
    next_queue_number: u64,
    /// Shard 0: changes that the other shards hear of once the disk has the catalog's log up to there.
    unheard: VecDeque<(u64, Arc<Change>)>,
    /// Used on shard 0.
    relays: Relays,
    stopping: bool,
}

/// What the driver is asked to do.
#[derive(Debug)]
pub enum Deed {
    /// Send all of it, then give the buffer back with [`Shard::on_sent`]. At most one is under way per connection.
    Send(ConnId, Outgoing),
    /// Stop reading the socket. Bytes that still arrive are passed on.
    Pause(ConnId),
    /// Say [`Shard::on_closed`] when the peer of a paused connection has gone, whatever it has sent before; until the next resume.
    Watch(ConnId),
    /// Read it again.
    Resume(ConnId),
    /// The connection is over and its id is free: let a send under way end, then close the socket.
    Close(ConnId),
    /// The shard sleeps and has mail.
    Wake(ShardId),
    /// Have the kernel put memory behind these bytes (address, length) that will be used soon, and say [`Shard::on_prepared`] when it has. One at
    /// a time; it is no fault if it cannot.
    Prepare(usize, usize),
    /// An operation of the log; its end is told by `on_log_created`, `on_log_written`, `on_log_read`, `on_log_indexed`,
    /// `on_log_compacted`.
    Log(Op),
    /// A write of the catalog's log; [`Shard::on_catalog_written`] follows.
    Catalog(CatalogOp),
    /// End the process: this is why.
    Fail(String),
}

/// What the shards of one broker have together.
struct Common {
    config: Arc<Config>,
    connection_count: Arc<AtomicUsize>,
    quotas: BrokerQuotas,
    alarms: Arc<Alarms>,
    founding: [Change; 3],
}

/// How many connections that have opened a virtual host, and channels, the broker may have.
#[derive(Clone, Default)]
struct BrokerQuotas {
    opened_connections: Quota,
    channels: Quota,
}

/// The shards of one broker, joined to each other; `seed` makes names that others cannot guess.
pub fn cluster(config: &Arc<Config>, seed: u64) -> Vec<Shard> {
    let count = config.shards;
    let common = Common {
        config: config.clone(),
        connection_count: Arc::default(),
        quotas: BrokerQuotas::default(),
        alarms: Arc::default(),
        founding: Change::of_a_new_broker(),
    };
    common.quotas.opened_connections.set_max(u32::try_from(config.max_connections).ok());
    common.quotas.channels.set_max(config.max_channels);
    let mut seeds = Rng::seeded(seed);
    let mut shards: Vec<Shard> = (0..count).map(|id| Shard::new(ShardId(id), &common, seeded(seeds.next_u64()))).collect();
    for low in 0..count as usize {
        for high in low + 1..count as usize {
            let (from_low, from_high) = Link::pair([shards[low].bell.clone(), shards[high].bell.clone()]);
            shards[low].links[high] = Some(from_low);
            shards[high].links[low] = Some(from_high);
        }
    }
    shards
}

/// Gives each shard a key of its own that nobody can work out from the names that it makes otherwise.
pub fn keep_secrets(shards: &mut [Shard], random: impl Fn() -> [u8; 16]) {
    shards.iter_mut().for_each(|shard| shard.reply_key = random());
}

impl Shard {
    fn new(id: ShardId, common: &Common, (rng, reply_key): (Rng, [u8; 16])) -> Shard {
        let Common { config, connection_count, quotas, alarms, founding } = common;
        Shard {
            id,
            connection_count: connection_count.clone(),
            quotas: quotas.clone(),
            alarms: alarms.clone(),
            known_alarms: AlarmSet::default(),
            reply_key,
            rng,
            now: 0,
            conns: Conns::new(config),
            catalog: Catalog::made_by(founding),
            queues: Vec::new(),
            known_routes: RouteMemory::default(),
            arena: Arena::default(),
            timers: TimerWheel::new(0),
            epoch_ms: 0,
            special_queues: 0,
            levelled_queues: 0,
            dead: Unburied::default(),
            due: VecDeque::new(),
            transfers: Transfers::default(),
            jobs: VecDeque::new(),
            trim_due: 0,
            bell: Arc::default(),
            links: (0..config.shards).map(|_| None).collect(),
            first_peer: 0,
            early: Vec::new(),
            waiters: Slab::new(),
            pending: VecDeque::new(),
            ledger: Ledger::default(),
            commands: Commands::default(),
            retries: Vec::new(),
            resumed: VecDeque::new(),
            work: Work::default(),
            mail_waiters: Vec::new(),
            memory_waiters: Vec::new(),
            dirty_queues: ReadyList::default(),
            flow: Flow::default(),
            blocked_queues: Vec::new(),
            overfull: ReadyList::default(),
            sweep: Sweep::default(),
            rubbish: Rubbish::default(),
            deeds: VecDeque::new(),
            routes: RouteSet::new(),
            unfinished: Vec::new(),
            receipts: Receipts::default(),
            over: Vec::new(),
            stored: Vec::new(),
            refused: false,
            refusals: Vec::new(),
            link_full: false,
            memory_short: false,
            log_full: false,
            store: Store::new(1),
            catalog_log: CatalogLog::new(1, 0, 0),
            log_due: None,
            log_waits: VecDeque::new(),
            log_waiters: Vec::new(),
            getters: Vec::new(),
            logging: Logging::default(),
            fleeting_numbers: 0,
            next_queue_number: 1,
            unheard: VecDeque::new(),
            relays: Relays::default(),
            stopping: false,
            config: config.clone(),
        }
    }

    /// The shard's time is 0 at this time of day, milliseconds since 1970. Before the first turn.
    pub fn start_clock(&mut self, epoch_ms: u64) {
        self.epoch_ms = epoch_ms;
    }

    /// It is `now` milliseconds. Before anything that has happened is told.
    pub fn tell_time(&mut self, now: u64) {
        self.now = now;
    }

    /// A listener for `protocol` has accepted a connection. `None`: the broker has as many as it may
    /// have, close it.
    pub fn on_accepted(&mut self, now: u64, protocol: Protocol, peer: SocketAddr, local: SocketAddr) -> Option<ConnId> {
        if self.stopping || self.connection_count.fetch_add(1, Ordering::Relaxed) >= self.config.max_connections + HANDSHAKES_MAX {
            self.connection_count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let (shard, seed) = (self.id, self.rng.next_u64());
        let config = &self.config;
        let make = |conn, budgets: &_| Conn::new(protocol, config, budgets, ConnAddr { shard, conn }, [peer, local], seed, now);
        let conn = self.conns.insert_with(make);
        let timer = self.timers.set(now + self.config.handshake_ms, Timer::Conn(conn));
        let accepted = self.conns.get_mut(conn)?;
        accepted.timer = Some(timer);
        accepted.session.on_alarms(self.known_alarms);
        Some(conn)
    }

    /// The memory of the last [`Deed::Prepare`] is prepared.
    pub fn on_prepared(&mut self) {
        self.arena.on_prepared();
    }

    /// What the driver does next. Asked for until there is none, after each turn.
    pub fn next_deed(&mut self) -> Option<Deed> {
        self.deeds.pop_front()
    }

    /// Connections of this shard.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Whether nothing is left to be done for connections, nor of what they have asked for.
    pub fn is_deserted(&self) -> bool {
        self.conns.len() == 0 && self.jobs.is_empty() && self.rubbish.is_empty()
    }

    /// The shard's number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The alarms that all shards of the broker obey, each from its next turn on.
    pub fn alarms(&self) -> &Arc<Alarms> {
        &self.alarms
    }

    /// Messages that wait or are unsettled here, and the memory that holds them in bytes.
    pub fn messages(&self) -> (usize, usize) {
        (self.arena.messages(), self.arena.memory())
    }

    /// Declares the intention to sleep. False: mail has come or can go, take another turn instead.
    pub fn prepare_sleep(&mut self) -> bool {
        self.bell.prepare_sleep();
        let busy = self.links.iter_mut().flatten().any(|link| link.available() > 0 || link.can_go_on());
        if busy {
            self.bell.awake();
        }
        !busy
    }

    /// The driver slept and is awake again.
    pub fn awake(&mut self) {
        self.bell.awake();
    }

    /// Whether a peer has sent something. Cheap: a look at each ring's tail.
    pub fn has_mail(&mut self) -> bool {
        self.links.iter_mut().flatten().any(|link| link.available() > 0)
    }

    fn conn_addr(&self, conn: ConnId) -> ConnAddr {
        ConnAddr { shard: self.id, conn }
    }

    /// A connection that is not over yet, to be written to.
    fn live(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.touch(id).filter(|conn| !conn.ending)
    }

    fn link(&mut self, peer: ShardId) -> &mut Link {
        self.links[peer.0 as usize].as_mut().expect("every other shard has a link")
    }

    fn queue_mut(&mut self, id: QueueId) -> Option<&mut Queue> {
        local_queue(&mut self.queues, id)
    }

    fn mark_queue(&mut self, id: QueueId) {
        self.dirty_queues.push_back(Key::from(id).slot);
    }
}

/// The queue `id`, if it lives here. A free function, so that other fields of the shard can be borrowed beside it.
fn local_queue(queues: &mut [Option<Box<Queue>>], id: QueueId) -> Option<&mut Queue> {
    queues.get_mut(Key::from(id).slot as usize)?.as_deref_mut().filter(|queue| queue.id == id)
}

/// A shard's dice, and what they show first: the key of its reply names.
fn seeded(seed: u64) -> (Rng, [u8; 16]) {
    let (mut rng, mut key) = (Rng::seeded(seed), [0; 16]);
    rng.fill(&mut key);
    (rng, key)
}

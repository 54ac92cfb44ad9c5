//! Shards in this process, without sockets: the second driver of a shard (the first is
//! `io::driver`).
//!
//! A cluster does nothing by itself. Its user decides which shard takes a turn, which bytes arrive
//! and which are read, so that a seed can make these choices. [`Cluster::settle`] lets every shard
//! work until all of them sleep; an orderly test needs nothing else.
//!
//! ```text
//! write ──▶ on_bytes ──▶ shard ──▶ Action::Send ──▶ outgoing ──read──▶ client
//!                                 ◀── on_sent, once all of it is read ──┘
//! ```
//!
//! The cluster enforces the shard's contract: one send per connection at a time, no action for a
//! connection that is over, no sleep with mail.
//!
//! [`Cluster::crash`] ends it at any moment, [`Cluster::stop`] in an orderly way;
//! [`Cluster::start`] goes on from its disks.

mod orderly;

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ringmq::base::alarms::Alarm;
use ringmq::base::ids::ConnId;
use ringmq::base::outgoing::Outgoing;
use ringmq::base::rng::Rng;
use ringmq::config::{Config, Protocol};
use ringmq::contract::{Demand, Fault, Reply, Report};
use ringmq::shard::{self, Action, Shard, Stop};

use super::broker::Conn;
use super::disk::{Disk, Done};
use super::storage::{self, CatalogDisk};

/// The shards of one broker and the connections to them.
pub struct Cluster {
    config: Arc<Config>,
    shards: Vec<Node>,
    /// The disks, which outlive a crash: the log of each shard, and the catalog's.
    disks: Vec<Disk>,
    catalog: CatalogDisk,
    catalog_slowness: u64,
    /// The notes of the last orderly stop, which are valid once.
    stopped: Option<Stop>,
    connections: Vec<Connection>,
    by_id: HashMap<(usize, ConnId), Conn>,
    now: u64,
    /// The time of day at which the shards' time was 0, milliseconds since 1970.
    epoch: u64,
    /// Chooses the order of the disks' operations.
    rng: Rng,
    /// The shard of the next connection that [`Broker::connect`] makes.
    next_shard: usize,
    /// Whether the disks have raised the alarm that they are full.
    is_starved: bool,
    /// Number of operators' demands, which is the ticket of the last one.
    demands: u64,
}

struct Node {
    shard: Shard,
    due: Option<u64>,
    again: bool,
    asleep: bool,
    /// Turns until the memory that the shard asked for is prepared.
    preparing: Option<u32>,
    /// Answers to operators' demands that were not fetched yet.
    replies: VecDeque<(u64, Reply)>,
}

struct Connection {
    shard: usize,
    id: ConnId,
    /// Bytes that the client has written and the shard does not read yet.
    held: Vec<u8>,
    /// The send under way, and how much of it the client has read.
    outgoing: Option<(Outgoing, Vec<u8>, usize)>,
    paused: bool,
    /// Whether the shard wants to hear of the client's end while it does not read.
    watched: bool,
    /// Whether the shard has forgotten the connection.
    over: bool,
    /// Whether the client has hung up.
    gone: bool,
}

impl Cluster {
    /// Makes a broker of `config.shards` shards. The first orderly connection goes to the last
    /// shard, which is not the one that orders the catalog's changes.
    pub fn new(config: Config, seed: u64) -> Cluster {
        let disks: Vec<Disk> = (0..config.shards).map(|_| Disk::default()).collect();
        let next_shard = disks.len() - 1;
        let mut cluster = Cluster {
            config: Arc::new(config),
            shards: Vec::new(),
            disks,
            catalog: CatalogDisk::default(),
            catalog_slowness: 1,
            stopped: None,
            connections: Vec::new(),
            by_id: HashMap::new(),
            now: 0,
            epoch: EPOCH,
            rng: Rng::seeded(seed),
            next_shard,
            is_starved: false,
            demands: 0,
        };
        cluster.start();
        cluster
    }

    /// Crashes the machine at any moment: the connections are gone at once, and the disks lose what
    /// was not synced.
    pub fn crash(&mut self) {
        self.end();
        self.disks.iter_mut().for_each(|disk| disk.crash(&mut self.rng));
        self.catalog.crash(&mut self.rng);
    }

    /// Stops the broker, which has no connections, once its disks have everything. It notes what
    /// the next start needs.
    pub fn stop(&mut self) {
        self.shut_down();
        self.settle();
        let is_over = |node: &Node| node.shard.is_deserted() && node.shard.is_log_at_rest();
        assert!(self.shards.iter().all(is_over), "something is still under way");
        let mut stop = Stop::default();
        self.shards.iter().for_each(|node| node.shard.note_stop(&mut stop));
        self.stopped = Some(stop);
        self.end();
    }

    /// Ends the process, and its connections with it.
    fn end(&mut self) {
        for connection in &mut self.connections {
            (connection.over, connection.gone, connection.outgoing) = (true, true, None);
            connection.held.clear();
        }
        self.by_id.clear();
        self.shards.clear();
    }

    /// Starts the broker from its disks.
    pub fn start(&mut self) {
        assert!(self.shards.is_empty(), "it runs");
        let mut shards = shard::joined(&self.config, self.rng.next_u64());
        shard::restore(&mut shards, storage::find(self.disks.iter_mut(), &mut self.catalog, self.stopped.take()));
        self.epoch += self.now + 1; // a start takes some time
        shards.iter_mut().for_each(|shard| shard.start_clock(self.epoch));
        let node = |shard| Node { shard, due: None, again: true, asleep: false, preparing: None, replies: VecDeque::new() };
        self.shards = shards.into_iter().map(node).collect();
        (self.now, self.is_starved) = (0, false);
    }

    /// Makes the disks full, or no longer full.
    pub fn set_full(&mut self, is_full: bool) {
        self.disks.iter_mut().for_each(|disk| disk.is_full = is_full);
    }

    /// Sets how many turns the disks take for an operation of a log, and for one of the catalog's
    /// log.
    pub fn set_slowness(&mut self, log: u64, catalog: u64) {
        self.disks.iter_mut().for_each(|disk| disk.slowness = log);
        self.catalog_slowness = catalog;
    }

    /// Milliseconds since the start.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The time of day, milliseconds since 1970.
    pub fn time_of_day(&self) -> u64 {
        self.epoch + self.now
    }

    /// The number of shards.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Returns one shard, so that a test can ask it for its state.
    pub fn shard(&self, shard: usize) -> &Shard {
        &self.shards[shard].shard
    }

    /// Connects a client to a shard. Returns `None` if the shard refuses it.
    pub fn connect_to(&mut self, shard: usize) -> Option<Conn> {
        self.connect_by(shard, Protocol::Amqp)
    }

    /// Connects a client of this protocol to a shard. Returns `None` if the shard refuses it.
    pub fn connect_by(&mut self, shard: usize, protocol: Protocol) -> Option<Conn> {
        let port = 40_000 + u16::try_from(self.connections.len() % 20_000).expect("small");
        let (peer, local) = (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv4Addr::LOCALHOST, 5672)));
        self.touch(shard);
        let id = self.shards[shard].shard.on_accepted(self.now, protocol, peer, local)?;
        let conn = self.connections.len();
        assert_eq!(self.by_id.insert((shard, id), conn), None, "an id in use was given again");
        self.connections.push(Connection {
            shard,
            id,
            held: Vec::new(),
            outgoing: None,
            paused: false,
            watched: false,
            over: false,
            gone: false,
        });
        Some(conn)
    }

    /// Delivers bytes from the client. A shard that does not read the socket gets them when it
    /// reads again.
    pub fn write(&mut self, conn: Conn, bytes: &[u8]) {
        let connection = &mut self.connections[conn];
        if connection.over || connection.gone {
            return;
        }
        if connection.paused {
            connection.held.extend_from_slice(bytes);
            return;
        }
        let (shard, id) = (connection.shard, connection.id);
        self.touch(shard);
        self.shards[shard].shard.on_bytes(id, bytes);
        self.carry_out(shard);
    }

    /// Returns the bytes that the client has written and the shard does not read yet.
    pub fn held(&self, conn: Conn) -> usize {
        self.connections[conn].held.len()
    }

    /// Whether the shard reads this connection.
    pub fn is_paused(&self, conn: Conn) -> bool {
        self.connections[conn].paused
    }

    /// Bytes of the send under way that the client has not read.
    pub fn unread(&self, conn: Conn) -> usize {
        self.connections[conn].outgoing.as_ref().map_or(0, |(_, bytes, read)| bytes.len() - read)
    }

    /// Reads at most `count` bytes of the send under way, as the client.
    pub fn read(&mut self, conn: Conn, count: usize) -> Vec<u8> {
        let connection = &mut self.connections[conn];
        let Some((_, bytes, read)) = &mut connection.outgoing else { return Vec::new() };
        let end = read.saturating_add(count).min(bytes.len());
        let piece = bytes[*read..end].to_vec();
        *read = end;
        if end == bytes.len() {
            self.sent(conn);
        }
        piece
    }

    /// Resets the connection from the client's side: bytes under way are lost.
    pub fn reset(&mut self, conn: Conn) {
        let connection = &mut self.connections[conn];
        connection.gone = true;
        connection.held.clear();
        let (shard, id, over) = (connection.shard, connection.id, connection.over);
        self.sent(conn);
        if !over {
            self.touch(shard);
            self.shards[shard].shard.on_closed(id);
            self.carry_out(shard);
        }
    }

    /// Ends the client after everything that it has written. A shard that reads the connection
    /// comes to the end; a paused one hears of it only if it asked for that. Returns whether the
    /// shard has heard of it.
    pub fn hang_up(&mut self, conn: Conn) -> bool {
        let connection = &self.connections[conn];
        let is_heard = connection.over || connection.watched || !connection.paused;
        if is_heard {
            self.reset(conn);
        }
        is_heard
    }

    /// Whether the broker has closed this connection and the client has read everything.
    pub fn is_closed(&self, conn: Conn) -> bool {
        let connection = &self.connections[conn];
        connection.over && connection.outgoing.is_none()
    }

    /// Whether this shard is awake: it asked for another turn, was woken, has a timer due, or
    /// something has arrived.
    pub fn wants_turn(&self, shard: usize) -> bool {
        let node = &self.shards[shard];
        let is_served = node.preparing.is_none() && self.disks[shard].is_idle() && (shard > 0 || self.catalog.is_idle());
        !node.asleep || !is_served || node.due.is_some_and(|due| due <= self.now)
    }

    /// Takes one turn of this shard; afterwards the shard sleeps if it may.
    pub fn turn(&mut self, shard: usize) {
        self.touch(shard);
        self.prepare(shard);
        self.serve_disk(shard);
        let turn = self.shards[shard].shard.turn(self.now);
        let node = &mut self.shards[shard];
        (node.due, node.again) = (turn.due, turn.again);
        self.carry_out(shard);
        let node = &mut self.shards[shard];
        node.asleep = !node.again && node.due.is_none_or(|due| due > self.now) && node.shard.prepare_sleep();
    }

    /// Takes turns of all shards until none wants another.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let Some(_) = (0..self.shards.len()).find(|&shard| self.wants_turn(shard)) else { return self.check_rest() };
            for shard in 0..self.shards.len() {
                if self.wants_turn(shard) {
                    self.turn(shard);
                }
            }
        }
        panic!("the shards are still busy after {TURNS_MAX} turns without input");
    }

    /// Returns the next instant at which a timer is due.
    pub fn next_due(&self) -> Option<u64> {
        self.shards.iter().filter_map(|node| node.due).min()
    }

    /// Sets the clock forward.
    pub fn set_clock(&mut self, now: u64) {
        assert!(now >= self.now, "time does not go back");
        self.now = now;
        self.shards.iter_mut().for_each(|node| node.shard.tell_time(now));
    }

    /// Turns an alarm on or off; every shard is woken.
    pub fn raise(&mut self, alarm: Alarm, on: bool) {
        self.shards[0].shard.alarms().set(alarm, on);
        (0..self.shards.len()).for_each(|shard| self.touch(shard));
    }

    /// Gives a shard an operator's demand. Returns its ticket.
    pub fn demand(&mut self, shard: usize, demand: impl Into<Demand>) -> u64 {
        self.touch(shard);
        self.demands += 1;
        let ticket = self.demands;
        self.shards[shard].shard.demand(ticket, demand.into());
        self.carry_out(shard);
        ticket
    }

    /// Returns the next answer to a demand that this shard was given.
    pub fn next_reply(&mut self, shard: usize) -> Option<(u64, Reply)> {
        self.shards[shard].replies.pop_front()
    }

    /// Returns the next answer to an operator's command that this shard was given.
    pub fn next_decision(&mut self, shard: usize) -> Option<(u64, Result<(), Fault>)> {
        self.next_reply(shard).map(|(ticket, reply)| match reply {
            Reply::Decided(decision) => (ticket, decision),
            other => panic!("{other:?} decides nothing"),
        })
    }

    /// Tells every shard to stop.
    pub fn shut_down(&mut self) {
        for shard in 0..self.shards.len() {
            self.touch(shard);
            self.shards[shard].shard.shut_down(self.now);
            self.carry_out(shard);
        }
    }

    /// Asserts that no shard sleeps with mail in its inbox.
    pub fn check_rest(&mut self) {
        for (shard, node) in self.shards.iter_mut().enumerate() {
            assert!(!(node.asleep && node.shard.has_mail()), "shard {shard} sleeps and has mail: a wake was lost");
            node.shard.check();
        }
    }

    /// Notes that something has happened to this shard: it will take a turn.
    fn touch(&mut self, shard: usize) {
        let node = &mut self.shards[shard];
        node.again = true;
        if std::mem::take(&mut node.asleep) {
            node.shard.awake();
        }
    }

    fn carry_out(&mut self, shard: usize) {
        while let Some(action) = self.shards[shard].shard.next_action() {
            match action {
                Action::Send(id, outgoing) => self.on_send(shard, id, outgoing),
                Action::Pause(id) => self.set_paused(shard, id, true),
                Action::Watch(id) => self.watch(shard, id),
                Action::Resume(id) => self.set_paused(shard, id, false),
                Action::Close(id) => {
                    let conn = self.by_id.remove(&(shard, id)).expect("only a connection that is there is closed");
                    self.connections[conn].over = true;
                }
                Action::Wake(peer) => self.touch(usize::from(peer.0)),
                Action::Prepare(..) => self.shards[shard].preparing = Some(PREPARE_TURNS),
                Action::Log(op) => self.disks[shard].submit(op),
                Action::Catalog(op) => self.catalog.submit(op),
                Action::Report(report) => match *report {
                    Report::Reply(ticket, reply) => self.shards[shard].replies.push_back((ticket, reply)),
                    Report::Changed(_) => {}
                },
                Action::Fail(sentence) => panic!("{sentence}"),
            }
        }
    }

    /// Counts the turns that the kernel takes to prepare memory.
    fn prepare(&mut self, shard: usize) {
        let node = &mut self.shards[shard];
        node.preparing = node.preparing.and_then(|turns| turns.checked_sub(1));
        if node.preparing == Some(0) {
            node.preparing = None;
            node.shard.on_prepared();
        }
    }

    /// Carries out the next operation of the shard's disk.
    fn serve_disk(&mut self, number: usize) {
        let Cluster { shards, disks, rng, .. } = self;
        let (shard, disk) = (&mut shards[number].shard, &mut disks[number]);
        match disk.complete(rng) {
            Some(Done::Created(segment)) => shard.on_log_created(segment),
            Some(Done::Written(write)) => shard.on_log_written(write),
            Some(Done::Read(reader, bytes)) => shard.on_log_read(reader, &bytes),
            Some(Done::Indexed(indexed)) => shard.on_log_indexed(indexed),
            Some(Done::Compacted(compacted)) => shard.on_log_compacted(compacted),
            Some(Done::Deleted) | None => {}
        }
        let is_late = disk.is_full || rng.below(self.catalog_slowness) > 0;
        if number == 0 && !is_late && self.catalog.complete() {
            shard.on_catalog_written();
        }
        let is_starved = self.disks.iter().any(Disk::is_starved) || self.disks[0].is_full && !self.catalog.is_idle();
        if std::mem::replace(&mut self.is_starved, is_starved) != is_starved {
            self.raise(Alarm::DiskFull, is_starved);
        }
    }

    fn on_send(&mut self, shard: usize, id: ConnId, outgoing: Outgoing) {
        let conn = self.by_id[&(shard, id)];
        let connection = &mut self.connections[conn];
        assert!(connection.outgoing.is_none(), "two sends under way on one connection");
        assert!(!outgoing.is_empty(), "a send of nothing");
        let bytes: Vec<u8> = outgoing.slices().flatten().copied().collect();
        assert_eq!(bytes.len(), outgoing.len(), "the slices are all there is");
        connection.outgoing = Some((outgoing, bytes, 0));
    }

    /// Completes the send under way.
    fn sent(&mut self, conn: Conn) {
        let connection = &mut self.connections[conn];
        let (shard, id) = (connection.shard, connection.id);
        if let Some((outgoing, ..)) = connection.outgoing.take() {
            self.touch(shard);
            self.shards[shard].shard.on_sent(id, outgoing);
            self.carry_out(shard);
        }
    }

    fn watch(&mut self, shard: usize, id: ConnId) {
        if let Some(&conn) = self.by_id.get(&(shard, id)) {
            assert!(self.connections[conn].paused, "who is read needs no watch");
            self.connections[conn].watched = true;
        }
    }

    fn set_paused(&mut self, shard: usize, id: ConnId, paused: bool) {
        let Some(&conn) = self.by_id.get(&(shard, id)) else { return };
        assert_ne!(self.connections[conn].paused, paused, "asked twice for the same");
        (self.connections[conn].paused, self.connections[conn].watched) = (paused, false);
        if !paused {
            let held = std::mem::take(&mut self.connections[conn].held);
            self.write(conn, &held);
        }
    }
}

/// The number of turns that it takes to prepare memory.
const PREPARE_TURNS: u32 = 3;
/// More turns than any input can cause.
const TURNS_MAX: usize = 100_000;

/// A time of day in 2026.
const EPOCH: u64 = 1_790_000_000_000;

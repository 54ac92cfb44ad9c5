//! The loop of one shard: it tells the shard what happened, lets it work, carries out what the
//! shard asks for, and sleeps.
//!
//! ```text
//!  ┌▶ 1 completions   on_accepted, on_bytes, on_sent, on_closed   as many as TURN_COMPLETIONS_MAX
//!  │                  then operators' demands
//!  │  2 turn(now)     mail, timers, deliveries                    the clock is read before 1 and 2
//!  │  3 actions       sends, pauses, closes, wakes                staged in the ring
//!  │  4 receives      buffers that were read go back to the kernel; bulk receives begin
//!  └─ 5 enter         one system call submits everything and collects what is complete;
//!                     it sleeps if there is nothing to do
//! ```
//!
//! Batching needs no timer: all that arrives during a turn is the completions of the next turn, and
//! all that a turn sends to one connection is one send. Before a shard sleeps, it spins for a
//! moment (a wake-up costs 15 µs, a look costs nothing). Then it tells its peers that they must
//! wake it, looks once more, and only then waits in the kernel.
//!
//! When the broker is to end, the listeners close, the shard tells its clients, and the loop goes
//! on until no shard has a connection, or until SHUTDOWN_MS have passed. Then the connections that
//! are left are cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use io_uring::cqueue;

use super::disk::{Disk, Done};
use super::door::Door;
use super::ring::Ring;
use super::spin::Spin;
use super::statistics::Statistics;
use super::token::Token;
use super::wake::{Peers, Signal, Stop};
use crate::base::limits;
use crate::base::quota::Quota;
use crate::io::disk::worker::Finished;
use crate::io::host::clock::Clock;
use crate::io::host::memory::{self, Upkeep};
use crate::io::host::process;
use crate::io::net::admission::Admission;
use crate::io::net::direct::Brought;
use crate::io::net::listener::{Accepted, Listener, Listeners};
use crate::io::net::owner::{self, Owner};
use crate::io::net::receive::{Pace, Pools, Way};
use crate::io::net::socket::{Event, SocketId, Sockets};
use crate::shard::{Action, Shard, Turn};

/// The resources of a driver besides its shard and its ring.
pub struct Surroundings<'r> {
    /// The clock, the same for all shards.
    pub clock: Clock,
    /// The other shards, to be woken.
    pub peers: Peers,
    /// Tells when the broker is to end.
    pub stop: Arc<Stop>,
    /// Tells when an alarm was raised or cleared, or when `admission` has changed.
    pub alarm: Arc<Signal>,
    /// Whether connections are taken.
    pub admission: Arc<Admission>,
    /// The door for operators.
    pub door: Door,
    /// Receive buffers, registered with the ring.
    pub pools: &'r mut Pools,
    /// The listening sockets of the shard.
    pub listeners: Vec<Listener>,
    /// The limit of connections that descriptors allow.
    pub places: Quota,
    /// The files of the log.
    pub disk: Disk,
    /// How long a peer may take nothing of what is sent to it, milliseconds.
    pub send_timeout_ms: u64,
    /// How long to look for work before sleeping.
    pub spin: Duration,
}

/// One shard and its ring.
pub struct Driver<'r> {
    shard: Shard,
    ring: Ring<'r>,
    pools: &'r mut Pools,
    listeners: Listeners,
    sockets: Sockets,
    disk: Disk,
    peers: Peers,
    stop: Arc<Stop>,
    alarm: Arc<Signal>,
    admission: Arc<Admission>,
    door: Door,
    stopping: Option<Stopping>,
    clock: Clock,
    now: u64,
    pace: Pace,
    /// When the turn began, microseconds.
    turn_us: u64,
    /// Whether the last turn ended without waiting.
    busy: bool,
    /// How many times in this turn bytes came from another socket than before, and the last socket.
    heard: (usize, Option<SocketId>),
    spin: Spin,
    statistics: Statistics,
    upkeep: Upkeep,
}

/// The state of a driver while the broker ends.
struct Stopping {
    deadline: u64,
    /// Whether this shard has said that it has no connection left and that its log is on the disk.
    done: bool,
}

impl<'r> Driver<'r> {
    /// Makes a driver and starts to accept connections.
    pub fn new(shard: Shard, mut ring: Ring<'r>, around: Surroundings<'r>) -> Driver<'r> {
        let listeners = Listeners::open(around.listeners, around.places, &mut ring);
        around.stop.watch(&mut ring);
        around.disk.watch(&mut ring);
        around.alarm.watch(Token::Alarm, &mut ring);
        around.door.watch(&mut ring);
        Driver {
            statistics: Statistics::new(shard.id()),
            pace: Pace::new(around.pools.bulk.buffer_size()),
            shard,
            ring,
            pools: around.pools,
            listeners,
            sockets: Sockets::new(around.send_timeout_ms),
            disk: around.disk,
            peers: around.peers,
            stop: around.stop,
            alarm: around.alarm,
            admission: around.admission,
            door: around.door,
            stopping: None,
            now: around.clock.now_ms(),
            clock: around.clock,
            turn_us: 0,
            busy: false,
            heard: (0, None),
            spin: Spin::new(around.spin),
            upkeep: Upkeep::default(),
        }
    }

    /// Serves until the broker ends. Returns the shard if its log is completely on the disk.
    pub fn run(mut self) -> Option<Shard> {
        while !self.is_over() {
            self.statistics.turn_begins();
            let completions = self.ring.refresh().min(limits::TURN_COMPLETIONS_MAX);
            self.begin_turn();
            self.complete(completions);
            self.upkeep.count(completions, self.now);
            self.expire();
            if completions > 0 {
                self.now = self.clock.now_ms(); // mail may be newer than the turn
            }
            for (ticket, demand) in self.door.demands() {
                self.shard.demand(ticket, demand);
            }
            // After the demands were taken: an answer tells its asker that the shard has followed.
            self.listeners.admit(self.admission.is_open(), self.now, &mut self.ring);
            let turn = self.shard.turn(self.now);
            self.carry_out();
            let lend_body = |owner: Owner, most| owner.lend_body(&mut self.shard, most);
            self.sockets.receive_bulk(lend_body, &self.pace, self.pools, &mut self.ring);
            self.statistics.turn_ends(completions);
            self.enter(&turn);
        }
        self.statistics.log();
        self.let_go();
        self.shard.is_log_at_rest().then_some(self.shard)
    }

    /// Ends what is still under way at the deadline, and waits for that: until an operation is over,
    /// the kernel may use its memory. Sends and receives are cancelled; the disk's operations end by
    /// themselves.
    fn let_go(&mut self) {
        self.sockets.end(self.now, &mut self.ring);
        while !self.sockets.is_empty() || self.disk.is_busy() {
            self.ring.wait(None);
            let completions = self.ring.refresh();
            self.complete(completions);
        }
    }

    /// Begins a turn and reads the clock. It also tells how long the last turn took, including the
    /// system call; all that the shard is told in this turn happened before.
    fn begin_turn(&mut self) {
        let begin = self.clock.now_us();
        let heard = std::mem::take(&mut self.heard).0;
        if self.busy && heard > 0 {
            self.pace.turn_ended(begin, begin - self.turn_us, heard);
        }
        (self.turn_us, self.now) = (begin, begin / 1000);
        self.shard.tell_time(self.now);
    }

    /// Handles the first `count` completions, in the order in which they arrived.
    fn complete(&mut self, count: usize) {
        for _ in 0..count {
            let completion = self.ring.pop().expect("as many as were counted");
            self.on_completion(&completion);
        }
    }

    fn on_completion(&mut self, completion: &cqueue::Entry) {
        let (result, more) = (completion.result(), cqueue::more(completion.flags()));
        match Token::decode(completion.user_data()) {
            Token::Recv(way, key) => self.on_received(SocketId(key), way, completion),
            Token::Send(key) => {
                let event = self.sockets.on_send_ended(SocketId(key), result, self.now, &mut self.ring);
                self.tell(event);
            }
            Token::Accept(listener) => {
                if let Some(accepted) = self.listeners.on_accept(listener, result, more, self.now, &mut self.ring) {
                    self.on_connection(accepted);
                }
            }
            Token::HangUp(key) => {
                let event = self.sockets.on_hang_up(SocketId(key), result, self.now, &mut self.ring);
                self.tell(event);
            }
            Token::Stop => self.begin_to_stop(),
            // The shard's turn looks at the alarms, and the loop at the admission.
            Token::Alarm if more => {}
            Token::Alarm => self.alarm.watch(Token::Alarm, &mut self.ring),
            // The loop looks into the inbox.
            Token::Door if more => {}
            Token::Door => self.door.watch(&mut self.ring),
            // If memory could not be prepared, it is mapped when it is used.
            Token::Prepare => self.shard.on_prepared(),
            Token::Disk(number) => match self.disk.on_completion(number, result) {
                Done::Written(write) => self.shard.on_log_written(write),
                Done::Read(reader, bytes) => self.shard.on_log_read(reader, &bytes),
            },
            Token::Bell => self.on_bell(),
            Token::Wake | Token::Ignore => {}
        }
    }

    /// Tells the shard what its other threads have done.
    fn on_bell(&mut self) {
        for finished in self.disk.on_bell(&mut self.ring) {
            match finished {
                Finished::Created(segment) => self.shard.on_log_created(segment),
                Finished::Indexed(indexed) => self.shard.on_log_indexed(indexed),
                Finished::Compacted(compacted) => self.shard.on_log_compacted(compacted),
                Finished::Left => self.shard.on_log_left(),
                Finished::Catalog => self.shard.on_catalog_written(),
            }
        }
    }

    fn on_received(&mut self, id: SocketId, way: Way, completion: &cqueue::Entry) {
        if self.heard.1 != Some(id) {
            self.heard = (self.heard.0 + 1, Some(id));
        }
        let len = usize::try_from(completion.result()).unwrap_or(0);
        if way == Way::Direct {
            let mut direct = self.sockets.take_direct(id);
            let Brought { loan, gaps, tail } = direct.finish(len);
            if let Some(owner) = self.sockets.reader(id) {
                owner.return_body(&mut self.shard, loan, gaps, tail);
            }
        }
        if let Some(buffer) = cqueue::buffer_select(completion.flags()) {
            let pool = self.pools.of(way);
            if let Some(owner) = self.sockets.reader(id) {
                owner.on_bytes(&mut self.shard, pool.bytes(buffer, len));
            }
            pool.give_back(buffer);
        }
        if !cqueue::more(completion.flags()) {
            let next = self.pools.next_way(completion);
            let event = self.sockets.on_receive_ended(id, way, completion.result(), next, self.now, &mut self.ring);
            self.tell(event);
        }
    }

    /// Tells the shard of a connection. If it is refused, or its peer is gone already, it is closed
    /// by being dropped.
    fn on_connection(&mut self, accepted: Accepted) {
        if self.stopping.is_some() {
            return;
        }
        let Accepted { stream, place, protocol } = accepted;
        let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
            return;
        };
        // The shard may give it the id of a connection that it has just closed, whose socket must
        // be released before.
        self.carry_out();
        if let Some(owner) = Owner::accept(&mut self.shard, self.now, protocol, plain(peer), plain(local)) {
            self.sockets.open(stream, place, owner, self.now, &mut self.ring);
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Nothing => {}
            Event::Sent(owner, batch) => owner.on_sent(&mut self.shard, batch),
            Event::Closed(owner) => owner.on_closed(&mut self.shard),
        }
    }

    fn expire(&mut self) {
        self.sockets.expire(self.now, &mut self.ring);
        while let Some(event) = self.sockets.next_stuck(self.now, &mut self.ring) {
            self.tell(event);
        }
        self.listeners.expire(self.now, &mut self.ring);
        self.disk.expire(self.now, &mut self.ring);
        if self.upkeep.is_time(self.now, self.shard.alarms().get().low_on_memory()) {
            self.shard.give_memory_back();
            memory::give_back();
        }
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.shard.next_action() {
            match action {
                Action::Wake(shard) => self.peers.wake(shard, &mut self.ring),
                Action::Prepare(address, len) => memory::prepare(address, len, &mut self.ring),
                Action::Log(op) => self.disk.start(op, self.now, &mut self.ring),
                Action::Catalog(op) => self.disk.start_catalog(op),
                Action::Report(report) => self.door.report(*report),
                Action::Fail(sentence) => process::fail(&sentence),
                action => owner::carry_out(action, &mut self.sockets, self.now, &mut self.ring),
            }
        }
    }

    /// Submits what the turn has staged, and sleeps if there is nothing to do.
    fn enter(&mut self, turn: &Turn) {
        self.busy = turn.again || self.ring.refresh() > 0 || self.sockets.any_waiting();
        if self.busy || self.spin.is_on() {
            self.ring.submit();
            self.busy |= self.ring.refresh() > 0;
        }
        if self.busy || self.finds_work() || !self.shard.prepare_sleep() {
            return;
        }
        self.ring.wait(self.sleep(turn.due));
        self.shard.awake();
    }

    /// Looks for completions and mail, for as long as spinning is worth it.
    fn finds_work(&mut self) -> bool {
        let Driver { spin, ring, shard, disk, .. } = self;
        // While the disk works, the kernel may need this CPU to finish that: sleeping is faster.
        !disk.is_busy() && spin.finds(|| ring.has_completions() || shard.has_mail())
    }

    /// How long to sleep: until the next timer of the shard, of its sockets or of its disk; `None`
    /// if none is set.
    fn sleep(&self, shard_due: Option<u64>) -> Option<Duration> {
        let ending = self.stopping.as_ref().map(|_| self.now + STOPPING_LOOK_MS);
        let due = [shard_due, self.sockets.due(), self.listeners.due(), self.disk.due(), self.upkeep.due(), ending]
            .into_iter()
            .flatten()
            .min()?;
        Some(Duration::from_micros(due.saturating_mul(1000).saturating_sub(self.clock.now_us())))
    }

    fn begin_to_stop(&mut self) {
        self.listeners.close(&mut self.ring);
        self.shard.shut_down(self.now);
        self.stopping = Some(Stopping { deadline: self.now + limits::SHUTDOWN_MS, done: false });
    }

    fn is_over(&mut self) -> bool {
        let Some(stopping) = &mut self.stopping else {
            return false;
        };
        let is_quiet = self.shard.is_deserted() && self.sockets.is_empty() && self.shard.is_log_at_rest();
        if !stopping.done && is_quiet {
            stopping.done = true;
            self.stop.one_is_done();
        }
        self.stop.all_are_done() || self.now >= stopping.deadline
    }
}

/// Returns an IPv4 address as such, even if it came through an IPv6 socket.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// How often a shard without work checks, while the broker ends, whether the others are done,
/// milliseconds.
const STOPPING_LOOK_MS: u64 = 10;

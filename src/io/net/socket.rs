//! The sockets of a shard, from accept until the kernel has given everything back.
//!
//! ```text
//!        Action::Close        last send done          EOF, error, 1 s        nothing in flight
//!   Open ────────────▶ Flushing ────────────▶ Lingering ────────────▶ Ending ─────────────▶ closed
//!                        │      shutdown(WR)                            ▲
//!                        └──── error, 5 s, or the peer had finished ────┘
//! ```
//!
//! Closing takes three steps, because closing a socket with unread bytes sends a reset, which may
//! overtake the last frames, and because a buffer that the kernel still reads or fills must not be
//! freed. While a socket flushes or lingers, what arrives is discarded.
//!
//! A socket has at most three operations in flight: a receive (see
//! [`receive`](crate::io::net::receive)), a send, and a wait for the end of a peer that is not read
//! while an alarm is on. After each event, [`Sockets::settle`] does what follows from the state.
//! Nothing else changes a socket's phase or starts and stops its receive, except that
//! [`Sockets::receive_bulk`] begins bulk receives.
//!
//! A socket has an [`Owner`], which alone says what it sends and hears what it has received. The
//! shard forgets a connection with [`Action::Close`](crate::shard::Action), and its id may name the
//! next one while the socket still closes; so sockets have ids of their own.

use std::collections::VecDeque;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use io_uring::opcode;

use crate::base::ids::Key;
use crate::base::limits;
use crate::base::outgoing::Outgoing;
use crate::base::quota::Place;
use crate::base::slots::Slots;
use crate::contract::session::BodyLoan;
use crate::io::net::direct::Direct;
use crate::io::net::hang_up::{End, Watch};
use crate::io::net::owner::{Owner, SocketsByOwner};
use crate::io::net::patience::{Patience, Progress};
use crate::io::net::receive::{self, BULK_MIN, BULK_PER_TURN, Pace, Pools, Way};
use crate::io::net::send::{Gather, Sending};
use crate::io::ring::Ring;
use crate::io::token::Token;

/// All sockets of a shard.
pub struct Sockets {
    table: Slots<SocketId, Socket>,
    by_owner: SocketsByOwner,
    /// Sockets that are to be read in bulk, longest waiting first. Entries may be outdated.
    waiting: VecDeque<SocketId>,
    /// Bulk receives in flight.
    bulks: usize,
    /// When flushing ends, soonest first. Entries may be outdated.
    flushing: VecDeque<(u64, SocketId)>,
    /// When lingering ends, soonest first. Entries may be outdated.
    lingering: VecDeque<(u64, SocketId)>,
    patience: Patience,
    /// In boxes, because the kernel reads a gather in place while its send moves.
    #[expect(clippy::vec_box)]
    spare: Vec<Box<Gather>>,
}

/// A socket of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SocketId(pub Key);

/// What a completed operation means for the socket's owner.
pub enum Event {
    /// The shard need not know of it.
    Nothing,
    /// The batch is out.
    Sent(Owner, Outgoing),
    /// The peer is gone. Reported once.
    Closed(Owner),
}

struct Socket {
    stream: TcpStream,
    /// The socket's share of the limit of connections, given back after its descriptor is closed.
    _place: Place,
    owner: Owner,
    phase: Phase,
    peer: Peer,
    paused: bool,
    watch: Watch,
    /// The way in which it is read next.
    way: Way,
    /// Bytes that the last receive brought.
    brought: usize,
    receive: Receive,
    direct: Option<Box<Direct>>,
    send: Option<Sending>,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The socket has its owner.
    Open,
    /// The owner has closed it; a send is in flight.
    Flushing,
    /// Nothing is left to send; the peer's end has not come.
    Lingering,
    /// Only the kernel has to finish.
    Ending,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum Peer {
    /// It may send more.
    Here,
    /// It has sent its last byte, but may still read.
    Finished,
    /// The connection was reset or is otherwise broken.
    Lost,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Receive {
    Off,
    /// It waits for its turn for a bulk receive.
    Waiting,
    /// A receive is in flight.
    Armed(Way),
    /// It is being cancelled; its last completion has not come yet.
    Stopping,
}

impl Sockets {
    /// Makes an empty table. A peer that takes nothing for `send_timeout_ms` will be given up.
    pub fn new(send_timeout_ms: u64) -> Sockets {
        Sockets {
            table: Slots::default(),
            by_owner: SocketsByOwner::default(),
            waiting: VecDeque::new(),
            bulks: 0,
            flushing: VecDeque::new(),
            lingering: VecDeque::new(),
            patience: Patience::new(send_timeout_ms),
            spare: Vec::new(),
        }
    }

    /// Takes over an accepted socket and starts to read it.
    pub fn open(&mut self, stream: TcpStream, place: Place, owner: Owner, now: u64, ring: &mut Ring<'_>) {
        let (phase, peer, way, receive) = (Phase::Open, Peer::Here, Way::Trickle, Receive::Off);
        let id = self.table.insert(Socket {
            stream,
            _place: place,
            owner,
            phase,
            peer,
            paused: false,
            watch: Watch::default(),
            way,
            brought: 0,
            receive,
            direct: None,
            send: None,
            progress: Progress::default(),
        });
        self.by_owner.insert(owner, id);
        self.settle(id, now, ring);
    }

    /// Whether every socket is closed.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Starts to send a batch. One at a time per owner.
    pub fn send(&mut self, owner: Owner, batch: Outgoing, now: u64, ring: &mut Ring<'_>) {
        let id = self.id_of(owner);
        let socket = &mut self.table[id];
        assert!(socket.send.is_none(), "the shard sends one batch at a time");
        socket.send = Some(Sending::new(batch));
        self.patience.begin(id, &mut socket.progress, now);
        self.submit_send(id, ring);
    }

    /// Stops (`true`) or restarts reading a socket. Bytes on their way may still arrive.
    pub fn pause(&mut self, owner: Owner, paused: bool, now: u64, ring: &mut Ring<'_>) {
        let id = self.id_of(owner);
        let socket = &mut self.table[id];
        socket.paused = paused;
        socket.watch.is_wanted &= paused;
        self.settle(id, now, ring);
    }

    /// Waits for the peer's end, though a paused socket is not read. What the peer has sent before is
    /// given up then.
    pub fn watch(&mut self, owner: Owner, now: u64, ring: &mut Ring<'_>) {
        let id = self.id_of(owner);
        let socket = &mut self.table[id];
        socket.watch.is_wanted = socket.paused;
        self.settle(id, now, ring);
    }

    /// Notes that the wait for a peer's end is over.
    pub fn on_hang_up(&mut self, id: SocketId, result: i32, now: u64, ring: &mut Ring<'_>) -> Event {
        let socket = &mut self.table[id];
        let before = socket.peer;
        match socket.watch.on_ended(result) {
            Some(End::Lost) => socket.peer = Peer::Lost,
            Some(End::Finished) if before == Peer::Here => socket.peer = Peer::Finished,
            _ => {}
        }
        self.settle_and_report(id, before, now, ring)
    }

    /// Closes a socket in good order; its owner's id is free from now on.
    pub fn close(&mut self, owner: Owner, now: u64, ring: &mut Ring<'_>) {
        let id = self.id_of(owner);
        self.table[id].phase = Phase::Flushing;
        self.flushing.push_back((now + limits::SOCKET_FLUSH_MS, id));
        self.settle(id, now, ring);
    }

    /// Returns the owner that receives the socket's bytes; `None` if it has closed the socket.
    pub fn reader(&self, id: SocketId) -> Option<Owner> {
        let socket = self.table.get(id)?;
        (socket.phase == Phase::Open).then_some(socket.owner)
    }

    /// Notes that a receive has posted its last completion. `next` is the way to go on.
    pub fn on_receive_ended(&mut self, id: SocketId, way: Way, result: i32, next: Way, now: u64, ring: &mut Ring<'_>) -> Event {
        self.bulks -= usize::from(way == Way::Bulk);
        let socket = &mut self.table[id];
        (socket.receive, socket.way, socket.brought) = (Receive::Off, next, usize::try_from(result).unwrap_or(0));
        let before = socket.peer;
        match -result {
            // It received something, or the shard ended it.
            ..0 | libc::ECANCELED | libc::EINTR => {}
            0 => socket.peer = Peer::Finished,
            // No buffer was left: the socket waits for its turn.
            libc::ENOBUFS => socket.way = Way::Bulk,
            _ => socket.peer = Peer::Lost,
        }
        self.settle_and_report(id, before, now, ring)
    }

    /// Begins bulk receives for those that wait longest, as many as will bring what a turn may, if they bring as much as the last time; and
    /// lends buffers to all receives. `lend_body` asks an owner for room in a body that is arriving. Afterwards the ring is to be submitted.
    pub fn receive_bulk(
        &mut self,
        mut lend_body: impl FnMut(Owner, usize) -> Option<BodyLoan>,
        pace: &Pace,
        pools: &mut Pools,
        ring: &mut Ring<'_>,
    ) {
        let loan_max = if pace.is_unhurried() { limits::LOAN_MAX } else { pace.turn_bytes() };
        let (mut expected, mut begun) = (0, 0);
        while expected < pace.turn_bytes() && begun < BULK_PER_TURN {
            let Some(id) = self.waiting.pop_front() else { break };
            let Some(socket) = self.table.get_mut(id).filter(|socket| socket.receive == Receive::Waiting) else { continue };
            let lent = if socket.phase == Phase::Open { lend_body(socket.owner, loan_max) } else { None };
            begun += 1;
            expected += match lent {
                Some(loan) => socket.receive_direct(id, loan, ring),
                None => {
                    self.bulks += 1;
                    socket.receive_bulk(id, pace.turn_bytes(), ring)
                }
            };
        }
        pools.bulk.lend(self.bulks);
        pools.trickle.lend(usize::MAX);
    }

    /// Takes the receive into a body, which has ended.
    pub fn take_direct(&mut self, id: SocketId) -> Box<Direct> {
        self.table[id].direct.take().expect("a completed direct receive was in flight")
    }

    /// Whether there are sockets that [`Sockets::receive_bulk`] will read.
    pub fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Notes that a send has completed.
    pub fn on_send_ended(&mut self, id: SocketId, result: i32, now: u64, ring: &mut Ring<'_>) -> Event {
        let socket = &mut self.table[id];
        let before = socket.peer;
        let sending = socket.send.as_mut().expect("a completed send was in flight");
        let sent = usize::try_from(result).unwrap_or(0);
        if sent > 0 && socket.phase != Phase::Ending {
            return if sending.advance(sent) { self.finish_send(id, now, ring) } else { self.submit_send(id, ring) };
        }
        socket.send = None;
        socket.peer = Peer::Lost;
        self.settle_and_report(id, before, now, ring)
    }

    /// Gives up the next peer that has taken nothing for too long, if there is one.
    pub fn next_stuck(&mut self, now: u64, ring: &mut Ring<'_>) -> Option<Event> {
        while let Some(id) = self.patience.next(now) {
            let Some(socket) = self.table.get_mut(id).filter(|socket| socket.phase == Phase::Open) else { continue };
            let (fd, is_sending) = (socket.fd(), socket.send.is_some());
            if self.patience.is_over(id, &mut socket.progress, fd, is_sending, now) {
                let peer = socket.stream.peer_addr().map_or("a peer".into(), |peer| peer.to_string());
                log::warn!("{peer} does not read what is sent to it: the connection is closed");
                let before = std::mem::replace(&mut socket.peer, Peer::Lost);
                return Some(self.settle_and_report(id, before, now, ring));
            }
        }
        None
    }

    /// Gives up sockets whose time to flush or to linger is over.
    pub fn expire(&mut self, now: u64, ring: &mut Ring<'_>) {
        while let Some(id) = pop_due(&mut self.flushing, now) {
            self.give_up(id, Phase::Flushing, now, ring);
        }
        while let Some(id) = pop_due(&mut self.lingering, now) {
            self.give_up(id, Phase::Lingering, now, ring);
        }
    }

    /// Ends all sockets, whatever is left to send. Each is closed when its operations are over.
    pub fn end(&mut self, now: u64, ring: &mut Ring<'_>) {
        for id in self.table.iter().map(|(id, _)| id).collect::<Vec<_>>() {
            self.table[id].phase = Phase::Lingering;
            self.give_up(id, Phase::Lingering, now, ring);
        }
    }

    /// When [`Sockets::expire`] or [`Sockets::next_stuck`] has something to do next.
    pub fn due(&self) -> Option<u64> {
        let fronts = [self.flushing.front(), self.lingering.front()];
        fronts.into_iter().flatten().map(|&(due, _)| due).chain(self.patience.due()).min()
    }

    fn finish_send(&mut self, id: SocketId, now: u64, ring: &mut Ring<'_>) -> Event {
        let socket = &mut self.table[id];
        let batch = socket.send.take().expect("a completed send was in flight").finish(&mut self.spare);
        socket.progress.sends = socket.progress.sends.wrapping_add(1);
        let event = if socket.phase == Phase::Open { Event::Sent(socket.owner, batch) } else { Event::Nothing };
        self.settle(id, now, ring);
        event
    }

    fn submit_send(&mut self, id: SocketId, ring: &mut Ring<'_>) -> Event {
        let socket = &mut self.table[id];
        let fd = socket.fd();
        let sending = socket.send.as_mut().expect("there is a batch to send");
        let operation = sending.operation(fd, &mut self.spare).user_data(Token::Send(id.0).encode());
        // SAFETY: what the operation points to is on the heap and belongs to `socket.send`, which
        // is dropped only when the send has completed; the socket stays in the table until then.
        unsafe { ring.push(&operation) };
        Event::Nothing
    }

    fn give_up(&mut self, id: SocketId, phase: Phase, now: u64, ring: &mut Ring<'_>) {
        if let Some(socket) = self.table.get_mut(id).filter(|socket| socket.phase == phase) {
            socket.peer = Peer::Lost;
            self.settle(id, now, ring);
        }
    }

    fn settle_and_report(&mut self, id: SocketId, before: Peer, now: u64, ring: &mut Ring<'_>) -> Event {
        let socket = &self.table[id];
        let news = socket.phase == Phase::Open && before == Peer::Here && socket.peer != Peer::Here;
        let event = if news { Event::Closed(socket.owner) } else { Event::Nothing };
        self.settle(id, now, ring);
        event
    }

    /// Changes phase, receive and wait as the socket's state demands; removes it if it is closed.
    fn settle(&mut self, id: SocketId, now: u64, ring: &mut Ring<'_>) {
        let socket = &mut self.table[id];
        let next = socket.next_phase();
        if std::mem::replace(&mut socket.phase, next) != next {
            match next {
                Phase::Lingering => {
                    // If it fails, the connection is broken, and the receive says so.
                    let _ = socket.stream.shutdown(Shutdown::Write);
                    self.lingering.push_back((now + limits::SOCKET_LINGER_MS, id));
                }
                Phase::Ending if socket.send.is_some() => cancel(Token::Send(id.0), ring),
                _ => {}
            }
        }
        let may_end = socket.phase == Phase::Open && socket.peer == Peer::Here;
        socket.watch.steer(may_end, id, socket.fd(), ring);
        if socket.steer(id, ring) {
            self.waiting.push_back(id);
        }
        if socket.is_over() {
            self.table.remove(id);
        }
    }

    fn id_of(&self, owner: Owner) -> SocketId {
        let id = self.by_owner.get(owner);
        debug_assert!(self.reader(id) == Some(owner), "an owner names the socket that it has not closed");
        id
    }
}

impl Socket {
    fn next_phase(&self) -> Phase {
        match (self.phase, self.peer) {
            (Phase::Flushing, Peer::Lost) | (Phase::Lingering, Peer::Finished | Peer::Lost) => Phase::Ending,
            (Phase::Flushing, Peer::Finished) if self.send.is_none() => Phase::Ending,
            (Phase::Flushing, Peer::Here) if self.send.is_none() => Phase::Lingering,
            (phase, _) => phase,
        }
    }

    fn wants_bytes(&self) -> bool {
        let reads = match self.phase {
            Phase::Open => !self.paused,
            Phase::Flushing | Phase::Lingering => true,
            Phase::Ending => false,
        };
        reads && self.peer == Peer::Here
    }

    /// Starts or stops the receive, as the state demands. Returns true if the socket begins to wait
    /// for a bulk receive.
    fn steer(&mut self, id: SocketId, ring: &mut Ring<'_>) -> bool {
        match (self.receive, self.wants_bytes()) {
            (Receive::Off, true) if self.way == Way::Bulk => {
                self.receive = Receive::Waiting;
                return true;
            }
            (Receive::Off, true) => {
                let receive = receive::trickle(self.fd(), ring.limits_multishot());
                // SAFETY: it points to no memory of ours; the pool is registered as long as the
                // ring.
                unsafe { ring.push(&receive.user_data(Token::Recv(Way::Trickle, id.0).encode())) };
                self.receive = Receive::Armed(Way::Trickle);
            }
            (Receive::Armed(way), false) => {
                cancel(Token::Recv(way, id.0), ring);
                self.receive = Receive::Stopping;
            }
            (Receive::Waiting, false) => self.receive = Receive::Off,
            _ => {}
        }
        false
    }

    /// Begins to receive into a large buffer. Returns how many bytes are expected.
    fn receive_bulk(&mut self, id: SocketId, most: usize, ring: &mut Ring<'_>) -> usize {
        self.receive = Receive::Armed(Way::Bulk);
        let receive = receive::bulk(self.fd(), u32::try_from(most).expect("a buffer's size was a u32"));
        // SAFETY: it points to no memory of ours; the pool is registered as long as the ring.
        unsafe { ring.push(&receive.user_data(Token::Recv(Way::Bulk, id.0).encode())) };
        self.brought.max(BULK_MIN)
    }

    /// Begins to receive into a body. Returns how many bytes may come.
    fn receive_direct(&mut self, id: SocketId, loan: BodyLoan, ring: &mut Ring<'_>) -> usize {
        self.receive = Receive::Armed(Way::Direct);
        let fd = self.fd();
        let direct = self.direct.insert(Direct::new(loan));
        let receive = direct.operation(fd);
        // SAFETY: the operation points into the box `direct`, which is taken only when the receive
        // has ended; the socket stays in the table until then.
        unsafe { ring.push(&receive.user_data(Token::Recv(Way::Direct, id.0).encode())) };
        direct.room()
    }

    /// Whether no operation refers to the socket any more.
    fn is_over(&self) -> bool {
        self.phase == Phase::Ending && self.send.is_none() && self.receive == Receive::Off && self.watch.is_off()
    }

    fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl From<Key> for SocketId {
    fn from(key: Key) -> Self {
        SocketId(key)
    }
}

impl From<SocketId> for Key {
    fn from(id: SocketId) -> Key {
        id.0
    }
}

/// Asks the kernel to end an operation, whose own completion then says that it is over.
pub(in crate::io) fn cancel(token: Token, ring: &mut Ring<'_>) {
    let cancel = opcode::AsyncCancel::new(token.encode()).build().user_data(Token::Ignore.encode());
    // SAFETY: the operation points to nothing.
    unsafe { ring.push(&cancel.flags(io_uring::squeue::Flags::SKIP_SUCCESS)) };
}

fn pop_due(queue: &mut VecDeque<(u64, SocketId)>, now: u64) -> Option<SocketId> {
    queue.pop_front_if(|(due, _)| *due <= now).map(|(_, id)| id)
}

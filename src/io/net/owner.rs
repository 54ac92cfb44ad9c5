//! The owners of sockets, by kind. Only this file knows the kinds: it passes the events of a socket
//! to the shard's method for its kind of owner, and carries out the shard's actions on sockets.
//!
//! ```text
//! kernel ─ completion ─▶ Sockets ─ owner, event ─▶ Owner::on_* ─ id ─▶ Shard
//! kernel ◀─ operation ── Sockets ◀─ owner ──────── carry_out ◀─ Action ─ Shard
//! ```
//!
//! An owner has at most one socket, from accept until the action that closes it. After that the
//! socket ends by itself, and its events are not reported.

use std::net::SocketAddr;

use crate::base::ids::ConnId;
use crate::base::outgoing::Outgoing;
use crate::config::Protocol;
use crate::contract::session::BodyLoan;
use crate::io::net::socket::{SocketId, Sockets};
use crate::io::ring::Ring;
use crate::shard::{Action, Shard};

/// The owner of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A client's connection.
    Conn(ConnId),
}

impl Owner {
    /// Announces an accepted socket to the shard. Returns its owner, or `None` if the shard refuses
    /// the connection: close the socket.
    pub fn accept(shard: &mut Shard, now: u64, protocol: Protocol, peer: SocketAddr, local: SocketAddr) -> Option<Owner> {
        shard.on_accepted(now, protocol, peer, local).map(Owner::Conn)
    }

    /// Passes on bytes that the socket has received.
    #[inline]
    pub fn on_bytes(self, shard: &mut Shard, bytes: &[u8]) {
        match self {
            Owner::Conn(conn) => shard.on_bytes(conn, bytes),
        }
    }

    /// Asks for room for at most `most` bytes of a large body that is arriving.
    pub fn lend_body(self, shard: &mut Shard, most: usize) -> Option<BodyLoan> {
        match self {
            Owner::Conn(conn) => shard.lend_body(conn, most),
        }
    }

    /// Gives that room back, with the bytes that have arrived there, the gaps between its pieces,
    /// and the bytes behind.
    pub fn return_body(self, shard: &mut Shard, loan: BodyLoan, gaps: &[u8], tail: &[u8]) {
        match self {
            Owner::Conn(conn) => shard.return_body(conn, loan, gaps, tail),
        }
    }

    /// Reports that a batch is out.
    pub fn on_sent(self, shard: &mut Shard, batch: Outgoing) {
        match self {
            Owner::Conn(conn) => shard.on_sent(conn, batch),
        }
    }

    /// Reports that the peer is gone.
    pub fn on_closed(self, shard: &mut Shard) {
        match self {
            Owner::Conn(conn) => shard.on_closed(conn),
        }
    }
}

/// Carries out an action on a socket.
pub fn carry_out(action: Action, sockets: &mut Sockets, now: u64, ring: &mut Ring<'_>) {
    match action {
        Action::Send(conn, batch) => sockets.send(Owner::Conn(conn), batch, now, ring),
        Action::Pause(conn) => sockets.pause(Owner::Conn(conn), true, now, ring),
        Action::Watch(conn) => sockets.watch(Owner::Conn(conn), now, ring),
        Action::Resume(conn) => sockets.pause(Owner::Conn(conn), false, now, ring),
        Action::Close(conn) => sockets.close(Owner::Conn(conn), now, ring),
        Action::Wake(_) | Action::Prepare(..) | Action::Log(_) | Action::Catalog(_) | Action::Report(_) | Action::Fail(_) => {
            unreachable!("it is about no socket")
        }
    }
}

/// The socket of each owner.
#[derive(Debug, Default)]
pub struct SocketsByOwner {
    /// By slot of the connection's id.
    of_conns: Vec<SocketId>,
}

impl SocketsByOwner {
    /// Notes the socket of an owner, in place of the one that an earlier owner with the same slot
    /// had.
    pub fn insert(&mut self, owner: Owner, id: SocketId) {
        let (sockets, slot) = match owner {
            Owner::Conn(conn) => (&mut self.of_conns, conn.0.slot as usize),
        };
        if slot >= sockets.len() {
            sockets.resize(slot + 1, SocketId::default());
        }
        sockets[slot] = id;
    }

    /// Returns the socket of an owner that has not closed it.
    #[inline]
    pub fn get(&self, owner: Owner) -> SocketId {
        match owner {
            Owner::Conn(conn) => self.of_conns[conn.0.slot as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::base::ids::Key;
    use crate::base::quota::Quota;
    use crate::io::net::receive::{Pace, Pools, Way};
    use crate::io::net::socket::Event;
    use crate::io::ring::{self, Ring};
    use crate::io::token::Token;
    use io_uring::cqueue;

    /// Drives sockets whose owners send back what they receive. There is no shard.
    struct Echo<'r> {
        sockets: Sockets,
        ring: Ring<'r>,
        pools: &'r mut Pools,
        listener: TcpListener,
        /// Owners whose peer has gone.
        closed: Vec<Owner>,
    }

    impl Echo<'_> {
        /// Connects a client to a new socket of `owner`.
        fn connect(&mut self, owner: Owner) -> TcpStream {
            let client = TcpStream::connect(self.listener.local_addr().expect("a bound port")).expect("a listener");
            client.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
            let (stream, _) = self.listener.accept().expect("a client");
            self.sockets.open(stream, Quota::default().take().expect("there is no limit"), owner, 0, &mut self.ring);
            client
        }

        /// Handles completions until `is_done`.
        fn run_until(&mut self, is_done: impl Fn(&Self) -> bool) {
            while !is_done(self) {
                self.sockets.receive_bulk(|_, _| None, &Pace::new(4096), self.pools, &mut self.ring);
                self.ring.wait(Some(Duration::from_secs(5)));
                assert!(self.ring.refresh() > 0, "nothing happens any more");
                while let Some(completion) = self.ring.pop() {
                    self.on_completion(&completion);
                }
            }
        }

        fn on_completion(&mut self, completion: &cqueue::Entry) {
            let event = match Token::decode(completion.user_data()) {
                Token::Recv(way, key) => self.on_received(SocketId(key), way, completion),
                Token::Send(key) => self.sockets.on_send_ended(SocketId(key), completion.result(), 0, &mut self.ring),
                token => unreachable!("{token:?} was not asked for"),
            };
            if let Event::Closed(owner) = event {
                self.closed.push(owner);
            }
        }

        fn on_received(&mut self, id: SocketId, way: Way, completion: &cqueue::Entry) -> Event {
            if let Some(buffer) = cqueue::buffer_select(completion.flags()) {
                let bytes = self.pools.of(way).bytes(buffer, completion.result() as usize).to_vec();
                self.pools.of(way).give_back(buffer);
                let owner = self.sockets.reader(id).filter(|_| !bytes.is_empty());
                if let Some(owner) = owner {
                    self.sockets.send(owner, batch(&bytes), 0, &mut self.ring);
                }
            }
            if cqueue::more(completion.flags()) {
                return Event::Nothing;
            }
            self.sockets.on_receive_ended(id, way, completion.result(), Way::Trickle, 0, &mut self.ring)
        }

        /// Sends `text` from a client and expects it back.
        fn round(&mut self, client: &mut TcpStream, text: &[u8]) {
            client.write_all(text).expect("the socket is open");
            client.set_nonblocking(true).expect("a socket");
            self.run_until(|_| client.peek(&mut [0]).is_ok());
            client.set_nonblocking(false).expect("a socket");
            let mut echo = vec![0; text.len()];
            client.read_exact(&mut echo).expect("the echo");
            assert_eq!(echo, text);
        }
    }

    fn batch(bytes: &[u8]) -> Outgoing {
        let mut batch = Outgoing::default();
        batch.bytes_mut().extend_from_slice(bytes);
        batch
    }

    fn owner(slot: u32, generation: u32) -> Owner {
        Owner::Conn(ConnId(Key { slot, generation }))
    }

    fn with_echo(test: impl FnOnce(Echo<'_>)) {
        let mut pools = Pools::new(&crate::config::Config::default()).expect("memory");
        let mut io_uring = ring::open(64).expect("the kernel has what we need");
        let ring = Ring::new(&mut io_uring, true).expect("registered");
        for pool in [&pools.trickle, &pools.bulk] {
            // SAFETY: the pools are declared before the ring, so they are dropped after it.
            unsafe { pool.register(ring.submitter()) }.expect("a new ring has no pools");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        test(Echo { sockets: Sockets::new(10_000), ring, pools: &mut pools, listener, closed: Vec::new() });
    }

    #[test]
    fn each_owner_has_its_socket_without_a_shard() {
        with_echo(|mut echo| {
            let (first, second) = (owner(0, 0), owner(5, 0));
            let (mut one, mut other) = (echo.connect(first), echo.connect(second));
            echo.round(&mut one, b"one");
            echo.round(&mut other, b"other");
            echo.round(&mut one, b"one again");
            drop(other);
            echo.run_until(|echo| !echo.closed.is_empty());
            assert_eq!(echo.closed, [second]);
        });
    }

    #[test]
    fn an_id_may_name_its_next_owner_while_a_socket_closes() {
        with_echo(|mut echo| {
            let (before, after) = (owner(0, 0), owner(0, 1));
            let mut old = echo.connect(before);
            echo.round(&mut old, b"old");
            echo.sockets.close(before, 0, &mut echo.ring);
            let mut new = echo.connect(after);
            old.write_all(b"too late").expect("the socket lingers");
            echo.round(&mut new, b"new");
            assert_eq!(old.read(&mut [0; 8]).expect("an orderly end"), 0);
            drop(old);
            echo.sockets.close(after, 0, &mut echo.ring);
            drop(new);
            echo.run_until(|echo| echo.sockets.is_empty());
            assert!(echo.closed.is_empty(), "an owner that has closed its socket hears no more of it");
        });
    }
}

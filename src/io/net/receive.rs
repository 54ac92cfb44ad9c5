//! Receiving: a socket is read by the trickle, in bulk, or straight into a body.
//!
//! ```text
//!             limit reached, and more came than a small buffer takes
//!   trickle ────────────────────────────────────────────────────▶ waiting ─── its turn ─▶ bulk ─┐
//!      ▲                                                             ▲   more came              │
//!      └────────── less came than a small buffer takes ──────────────┴──────────────────────────┘
//! ```
//!
//! *Trickle*: one multishot receive into small buffers, which thousands of connections share, each
//! with a few bytes now and then. The receive ends by itself after [`TRICKLE_LIMIT`] bytes, so that
//! a connection that sends much is noticed.
//!
//! *Bulk*: one receive of all that has arrived, into one large buffer. Frames are in one piece, and
//! the same warm buffer is used over and over. A turn begins as many bulk receives as are expected
//! to bring what the [`Pace`] allows. In a flood this is one, so that all other connections have a
//! turn between two portions of the flood.
//!
//! *Direct*: in the middle of a large body, a bulk receive goes straight to where the body will
//! stay (see [`direct`](crate::io::net::direct)).

use std::io;
use std::os::fd::RawFd;

use io_uring::{cqueue, opcode, squeue, types};

use crate::config::Config;
use crate::io::net::buffers::Pool;

/// The ways to receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Into small buffers, again and again.
    Trickle,
    /// Once, into a large buffer.
    Bulk,
    /// Once, into the memory of the body that is arriving.
    Direct,
}

/// The receive buffers of a shard.
pub struct Pools {
    /// Small buffers, always lent.
    pub trickle: Pool,
    /// Large buffers, lent for the bulk receives in flight.
    pub bulk: Pool,
}

impl Pools {
    /// Makes the pools that the configuration asks for.
    ///
    /// # Errors
    /// The kernel's error, if there is no memory.
    pub fn new(config: &Config) -> io::Result<Pools> {
        let trickle = Pool::new(TRICKLE_GROUP, config.recv_buffers, config.recv_buffer_size)?;
        let bulk = Pool::new(BULK_GROUP, config.bulk_buffers, config.bulk_buffer_size)?;
        Ok(Pools { trickle, bulk })
    }

    /// The pool whose buffers a way uses.
    pub fn of(&mut self, way: Way) -> &mut Pool {
        match way {
            Way::Trickle => &mut self.trickle,
            Way::Bulk => &mut self.bulk,
            Way::Direct => unreachable!("it brings its own memory"),
        }
    }

    /// Decides how to go on after a receive has ended, by what its last completion brought and what
    /// it left in the socket.
    pub fn next_way(&self, completion: &cqueue::Entry) -> Way {
        let brought = usize::try_from(completion.result()).unwrap_or(0);
        let is_much = brought >= self.trickle.buffer_size() || cqueue::sock_nonempty(completion.flags());
        if is_much { Way::Bulk } else { Way::Trickle }
    }
}

/// How many bytes the bulk receives of a turn may bring: turns stay short, and other connections do
/// not wait long for the next turn.
#[derive(Debug)]
pub struct Pace {
    turn_bytes: usize,
    turn_bytes_max: usize,
    /// The time until which turns count as shared by several connections, microseconds.
    shared_until: u64,
}

impl Pace {
    /// Makes a pace that starts at `buffer_size` bytes per turn, as much as one receive may bring.
    /// It is never faster.
    pub fn new(buffer_size: usize) -> Pace {
        Pace { turn_bytes: buffer_size, turn_bytes_max: buffer_size, shared_until: 0 }
    }

    /// Whether turns are so short that they may bring the maximum.
    pub fn is_unhurried(&self) -> bool {
        self.turn_bytes == self.turn_bytes_max
    }

    /// The number of bytes that a turn may bring.
    pub fn turn_bytes(&self) -> usize {
        self.turn_bytes
    }

    /// Adapts the pace to a turn that took `micros` and ended at `now` (microseconds), and in which
    /// this many connections were heard. A byte may cost ten times as much as before (messages that
    /// must wait and use new memory, routing keys that match a thousand bindings), so the last turn
    /// decides how much the next one may bring.
    pub fn turn_ended(&mut self, now: u64, micros: u64, heard: usize) {
        if heard > 1 {
            self.shared_until = now + SHARED_MICROS;
        }
        let target = if now < self.shared_until { TURN_MICROS_SHARED } else { TURN_MICROS_ALONE };
        if micros > target {
            self.turn_bytes = (self.turn_bytes / 2).max(TURN_BYTES_MIN);
        } else if micros < target / 2 {
            self.turn_bytes = (self.turn_bytes * 2).min(self.turn_bytes_max);
        }
    }
}

/// Makes a receive into small buffers. It ends after one buffer if the kernel cannot limit a
/// multishot receive.
pub fn trickle(fd: RawFd, limits_multishot: bool) -> squeue::Entry {
    if limits_multishot { limited_multishot(fd) } else { once(fd, TRICKLE_GROUP, 0) }
}

/// Makes one receive of at most `len` bytes into a large buffer.
pub fn bulk(fd: RawFd, len: u32) -> squeue::Entry {
    once(fd, BULK_GROUP, len)
}

/// Makes a multishot receive that ends after [`TRICKLE_LIMIT`] bytes (Linux 6.17).
pub fn limited_multishot(fd: RawFd) -> squeue::Entry {
    let mut entry = opcode::RecvMulti::new(types::Fd(fd), TRICKLE_GROUP).build();
    // SAFETY: an entry is the kernel's 64 bytes of plain numbers; these four are `optlen`, which
    // the crate does not set.
    unsafe { (&raw mut entry).cast::<u8>().add(OPTLEN_AT).cast::<u32>().write(TRICKLE_LIMIT) };
    entry
}

fn once(fd: RawFd, group: u16, len: u32) -> squeue::Entry {
    let receive = opcode::Recv::new(types::Fd(fd), std::ptr::null_mut(), len).buf_group(group);
    receive.build().flags(squeue::Flags::BUFFER_SELECT)
}

/// The most bulk receives that a turn begins.
pub const BULK_PER_TURN: usize = 16;
/// The least that a bulk receive is expected to bring, bytes.
pub const BULK_MIN: usize = 4 << 10;
const TRICKLE_GROUP: u16 = 0;
const BULK_GROUP: u16 = 1;
/// Bytes after which a multishot receive ends: so many that a new receive costs nothing in
/// comparison, so few that a flood is soon read in bulk.
const TRICKLE_LIMIT: u32 = 16 << 10;
/// How long a turn may last while several connections send, microseconds.
const TURN_MICROS_SHARED: u64 = 100;
/// How long a turn may last while only one connection sends, microseconds.
const TURN_MICROS_ALONE: u64 = 400;
/// How long turns count as shared after several connections were heard, microseconds: a consumer
/// answers some turns after it was served.
const SHARED_MICROS: u64 = 2000;
/// The least that a turn may bring, bytes.
const TURN_BYTES_MIN: usize = 16 << 10;
/// Offset of `optlen` in the kernel's submission entry.
const OPTLEN_AT: usize = 44;
const _: () = assert!(size_of::<squeue::Entry>() == 64);

//! How a socket is read: by the trickle, in bulk, or straight into a body.
//!
//! ```text
//!             limit reached, and more has come than a small buffer holds
//!   trickle ──────────────────────────────────────────────────────────▶ waiting ─ its turn ─▶ bulk ─┐
//!      ▲                                                                   ▲   more has come       │
//!      └──────────── less has come than a small buffer holds ──────────────┴────────────────────────┘
//! ```
//!
//! *Trickle*: one multishot receive into small buffers, which thousands of connections share, each with a few bytes now and then. It ends by
//! itself after [`TRICKLE_LIMIT`] bytes, so that who sends a lot is noticed.
//!
//! *Bulk*: one receive of what has gathered, into one large buffer. Frames lie in one piece, and the same warm buffer is used over and over.
//! A turn begins as many bulk receives as will bring what the [`Pace`] allows: one, if it is of a flood, so that between two portions of it
//! everybody else has a turn.
//!
//! *Direct*: in the midst of a large body, a bulk receive goes straight to where the body will stay (see [`direct`](crate::io::net::direct)).

use std::io;
use std::os::fd::RawFd;

use io_uring::{cqueue, opcode, squeue, types};

use crate::config::Config;
use crate::io::net::buffers::Pool;

/// The two ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Into small buffers, until further notice.
    Trickle,
    /// Once, into a large buffer.
    Bulk,
    /// Once, into the body that is arriving.
    Direct,
}

/// The receive buffers of a shard.
pub struct Pools {
    /// Small ones, always lent.
    pub trickle: Pool,
    /// Large ones, lent to the receives that are for them.
    pub bulk: Pool,
}

impl Pools {
    /// The pools that the configuration asks for.
    ///
    /// # Errors
    /// The kernel's, if there is no memory.
    pub fn new(config: &Config) -> io::Result<Pools> {
        let trickle = Pool::new(TRICKLE_GROUP, config.recv_buffers, config.recv_buffer_size)?;
        let bulk = Pool::new(BULK_GROUP, config.bulk_buffers, config.bulk_buffer_size)?;
        Ok(Pools { trickle, bulk })
    }

    /// The pool that a way takes buffers from.
    pub fn of(&mut self, way: Way) -> &mut Pool {
        match way {
            Way::Trickle => &mut self.trickle,
            Way::Bulk => &mut self.bulk,
            Way::Direct => unreachable!("it brings its own memory"),
        }
    }

    /// How to go on after a receive has ended: by what its last completion brought and left behind.
    pub fn next_way(&self, completion: &cqueue::Entry) -> Way {
        let brought = usize::try_from(completion.result()).unwrap_or(0);
        let is_much = brought >= self.trickle.buffer_size() || cqueue::sock_nonempty(completion.flags());
        if is_much { Way::Bulk } else { Way::Trickle }
    }
}

/// How much the bulk receives of a turn bring, so that no turn lasts long for those who wait for the next.
#[derive(Debug)]
pub struct Pace {
    turn_bytes: usize,
    turn_bytes_max: usize,
    /// Until when a turn is shared, because several connections were heard, microseconds.
    shared_until: u64,
}

impl Pace {
    /// At most `buffer_size` bytes a turn, which is as much as one receive may bring.
    pub fn new(buffer_size: usize) -> Pace {
        Pace { turn_bytes: buffer_size, turn_bytes_max: buffer_size, shared_until: 0 }
    }

    /// Whether turns are so short that they may bring as much as ever.
    pub fn is_unhurried(&self) -> bool {
        self.turn_bytes == self.turn_bytes_max
    }

    /// What a turn may bring, bytes.
    pub fn turn_bytes(&self) -> usize {
        self.turn_bytes
    }

    /// A turn of `micros` has ended at `now` (microseconds) in which so many connections were heard. A byte may cost ten times as much as
    /// before (messages that must wait and touch new memory, routing keys that match a thousand bindings), so the next turn is paced by what
    /// the last one took.
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

/// Receives into small buffers; once only, if the kernel does not know how to limit a multishot receive.
pub fn trickle(fd: RawFd, limits_multishot: bool) -> squeue::Entry {
    if limits_multishot { limited_multishot(fd) } else { once(fd, TRICKLE_GROUP, 0) }
}

/// Receives once, at most `len` bytes.
pub fn bulk(fd: RawFd, len: u32) -> squeue::Entry {
    once(fd, BULK_GROUP, len)
}

/// A multishot receive that ends after [`TRICKLE_LIMIT`] bytes (Linux 6.17).
pub fn limited_multishot(fd: RawFd) -> squeue::Entry {
    let mut entry = opcode::RecvMulti::new(types::Fd(fd), TRICKLE_GROUP).build();
    // SAFETY: an entry is the kernel's 64 bytes of plain numbers; these four are `optlen`, which the crate does not set.
    unsafe { (&raw mut entry).cast::<u8>().add(OPTLEN_AT).cast::<u32>().write(TRICKLE_LIMIT) };
    entry
}

fn once(fd: RawFd, group: u16, len: u32) -> squeue::Entry {
    let receive = opcode::Recv::new(types::Fd(fd), std::ptr::null_mut(), len).buf_group(group);
    receive.build().flags(squeue::Flags::BUFFER_SELECT)
}

/// The most bulk receives that are begun in one turn.
pub const BULK_PER_TURN: usize = 16;
/// What a bulk receive is expected to bring at least, bytes.
pub const BULK_MIN: usize = 4 << 10;
const TRICKLE_GROUP: u16 = 0;
const BULK_GROUP: u16 = 1;
/// Bytes after which a multishot receive is begun anew: so rarely that it costs nothing, so often that a flood is soon read in bulk.
const TRICKLE_LIMIT: u32 = 16 << 10;
/// How long a turn may last while several connections send, microseconds.
const TURN_MICROS_SHARED: u64 = 100;
/// The same for one that sends alone.
const TURN_MICROS_ALONE: u64 = 400;
/// How long it is remembered that there are several, microseconds: a consumer answers some turns after it was served.
const SHARED_MICROS: u64 = 2000;
/// The least that a turn brings, bytes.
const TURN_BYTES_MIN: usize = 16 << 10;
/// Offset of `optlen` in the kernel's submission entry.
const OPTLEN_AT: usize = 44;
const _: () = assert!(size_of::<squeue::Entry>() == 64);

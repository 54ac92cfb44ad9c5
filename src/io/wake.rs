//! Wake-ups of a sleeping shard: by another shard through its ring, by threads without a ring
//! through eventfds.
//!
//! A shard that has mail for a sleeping peer posts a completion directly into the peer's ring
//! (MSG_RING), with its normal submit at the end of the turn. The main thread has no ring: to end
//! the broker, it writes once into an eventfd that every ring polls and none reads, so that it
//! stays readable. The monitor writes into another eventfd each time that an alarm was raised or
//! cleared, as does whatever closes or opens the listeners ([admission](super::net::admission)),
//! and operators' threads into that of a shard's [door](super::door): a multishot poll
//! completes at every write.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use io_uring::{opcode, squeue, types};

use super::ring::Ring;
use super::token::Token;
use crate::base::ids::ShardId;

/// The rings of all shards, by shard.
#[derive(Clone, Debug)]
pub struct Peers {
    rings: Arc<[RawFd]>,
}

impl Peers {
    /// Takes the rings' descriptors, shard 0 first.
    pub fn new(rings: Vec<RawFd>) -> Peers {
        Peers { rings: rings.into() }
    }

    /// Stages a wake-up. A peer whose thread has ended cannot be woken and need not be.
    pub fn wake(&self, shard: ShardId, ring: &mut Ring<'_>) {
        let peer = types::Fd(self.rings[usize::from(shard.0)]);
        let wake = opcode::MsgRingData::new(peer, 0, Token::Wake.encode(), None).build();
        let entry = wake.user_data(Token::Ignore.encode()).flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: the operation points to nothing.
        unsafe { ring.push(&entry) };
    }
}

/// The bell by which another thread of a shard, which has no ring, tells the shard that it has done
/// something.
#[derive(Debug)]
pub struct Bell {
    event: OwnedFd,
    /// The memory into which the ring reads how often the bell rang.
    count: Box<AtomicU64>,
}

impl Bell {
    /// Makes a bell.
    ///
    /// # Errors
    /// The kernel's error, if there is no descriptor left.
    pub fn new() -> io::Result<Bell> {
        Ok(Bell { event: eventfd(0)?, count: Box::default() })
    }

    /// Rings.
    pub fn ring(&self) {
        write(&self.event);
    }

    /// Stages the operation that completes when the bell rings. One at a time.
    pub fn watch(&self, ring: &mut Ring<'_>) {
        let read = opcode::Read::new(types::Fd(self.event.as_raw_fd()), self.count.as_ptr().cast(), 8).build();
        // SAFETY: the kernel writes 8 bytes into a box of their own, which lives as long as the
        // bell; nothing else reads or writes them. It writes only while the ring's thread enters
        // the ring, and that thread drops the bell after it has entered for the last time.
        unsafe { ring.push(&read.user_data(Token::Bell.encode())) };
    }
}

/// The request to end the broker, and the number of shards that still have work because of it.
#[derive(Debug)]
pub struct Stop {
    event: OwnedFd,
    busy_shards: AtomicUsize,
}

impl Stop {
    /// Makes a request that is not raised; `shards` will have work.
    ///
    /// # Errors
    /// The kernel's error, if there is no descriptor left.
    pub fn new(shards: usize) -> io::Result<Stop> {
        Ok(Stop { event: eventfd(libc::EFD_NONBLOCK)?, busy_shards: AtomicUsize::new(shards) })
    }

    /// Raises the request, for good: every shard is told.
    pub fn raise(&self) {
        write(&self.event);
    }

    /// Stages the operation that completes once [`Stop::raise`] was called.
    pub fn watch(&self, ring: &mut Ring<'_>) {
        let poll = opcode::PollAdd::new(types::Fd(self.event.as_raw_fd()), libc::POLLIN as u32).build();
        // SAFETY: the operation points to nothing.
        unsafe { ring.push(&poll.user_data(Token::Stop.encode())) };
    }

    /// Notes that a shard has no connection left and nothing to write to the disk. Called once by
    /// each shard.
    pub fn one_is_done(&self) {
        self.busy_shards.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether no shard has a connection left or anything to write to the disk: until then, peers
    /// may need each other's answers.
    pub fn all_are_done(&self) -> bool {
        self.busy_shards.load(Ordering::Acquire) == 0
    }
}

/// A signal on which the shards that watch it take a turn, because something has changed that they
/// look at.
#[derive(Debug)]
pub struct Signal {
    event: OwnedFd,
}

impl Signal {
    /// Makes a signal that was not given.
    ///
    /// # Errors
    /// The kernel's error, if there is no descriptor left.
    pub fn new() -> io::Result<Signal> {
        Ok(Signal { event: eventfd(libc::EFD_NONBLOCK)? })
    }

    /// Gives the signal.
    pub fn wake(&self) {
        write(&self.event);
    }

    /// Whether the signal was ever given.
    #[cfg(test)]
    pub fn was_called(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.event.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the kernel reads and writes one pollfd, which lives through the call.
        unsafe { libc::poll(&mut poll, 1, 0) > 0 }
    }

    /// Stages the operation that completes, with this token, at every [`Signal::wake`], until a completion says
    /// that it is the last.
    pub fn watch(&self, token: Token, ring: &mut Ring<'_>) {
        let poll = opcode::PollAdd::new(types::Fd(self.event.as_raw_fd()), libc::POLLIN as u32).multi(true).build();
        // SAFETY: the operation points to nothing.
        unsafe { ring.push(&poll.user_data(token.encode())) };
    }
}

fn eventfd(flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds one to an eventfd.
fn write(event: &OwnedFd) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the kernel reads 8 bytes from an array of 8.
    let written = unsafe { libc::write(event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    assert_eq!(written, 8, "an eventfd counts to 2^64 - 2: {}", io::Error::last_os_error());
}

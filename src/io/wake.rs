//! How a sleeping shard is woken: by another shard through its ring, by threads without one through eventfds.
//!
//! A shard that has mail for a sleeping peer posts a completion straight into the peer's ring (MSG_RING), with its normal submit at the
//! end of the turn. The main thread has no ring; it writes once into an eventfd that every ring polls and nobody reads, so that it stays
//! readable: the eventfd *is* the fact that the broker is to end. The monitor writes into another one each time that an alarm has come or gone:
//! a poll that goes on completes at every write.

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
    /// The rings' descriptors, shard 0 first.
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

/// How a thread beside a shard, which has no ring, tells the shard that it has done something.
#[derive(Debug)]
pub struct Bell {
    event: OwnedFd,
    /// Where the ring reads how often it rang.
    count: Box<AtomicU64>,
}

impl Bell {
    /// A bell that did not ring.
    ///
    /// # Errors
    /// The kernel's, if there is no descriptor left.
    pub fn new() -> io::Result<Bell> {
        Ok(Bell { event: eventfd(0)?, count: Box::default() })
    }

    /// Rings.
    pub fn ring(&self) {
        write(&self.event);
    }

    /// Stages the operation that completes once it rings. One at a time.
    pub fn watch(&self, ring: &mut Ring<'_>) {
        let read = opcode::Read::new(types::Fd(self.event.as_raw_fd()), self.count.as_ptr().cast(), 8).build();
        // SAFETY: the kernel writes 8 bytes, which stand in a box of their own as long as the bell; nobody else reads or writes them.
        unsafe { ring.push(&read.user_data(Token::Bell.encode())) };
    }
}

/// The wish that the broker ends, and how many shards still have work left because of it.
#[derive(Debug)]
pub struct Stop {
    event: OwnedFd,
    busy_shards: AtomicUsize,
}

impl Stop {
    /// Not wished yet; `shards` will have work.
    ///
    /// # Errors
    /// The kernel's, if there is no descriptor left.
    pub fn new(shards: usize) -> io::Result<Stop> {
        Ok(Stop { event: eventfd(libc::EFD_NONBLOCK)?, busy_shards: AtomicUsize::new(shards) })
    }

    /// Tells every shard. For good.
    pub fn raise(&self) {
        write(&self.event);
    }

    /// Stages the operation that completes once [`Stop::raise`] was called.
    pub fn watch(&self, ring: &mut Ring<'_>) {
        let poll = opcode::PollAdd::new(types::Fd(self.event.as_raw_fd()), libc::POLLIN as u32).build();
        // SAFETY: the operation points to nothing.
        unsafe { ring.push(&poll.user_data(Token::Stop.encode())) };
    }

    /// A shard has no connection left, and nothing for the disk (said once by each).
    pub fn one_is_done(&self) {
        self.busy_shards.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether no shard has a connection left, or anything for the disk: only then does nobody need a peer's answers any more.
    pub fn all_are_done(&self) -> bool {
        self.busy_shards.load(Ordering::Acquire) == 0
    }
}

/// Has every shard take a turn, because something has changed that all of them look at.
#[derive(Debug)]
pub struct Broadcast {
    event: OwnedFd,
}

impl Broadcast {
    /// Nothing has changed yet.
    ///
    /// # Errors
    /// The kernel's, if there is no descriptor left.
    pub fn new() -> io::Result<Broadcast> {
        Ok(Broadcast { event: eventfd(libc::EFD_NONBLOCK)? })
    }

    /// Something has.
    pub fn wake(&self) {
        write(&self.event);
    }

    /// Whether it ever did.
    #[cfg(test)]
    pub fn was_called(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.event.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the kernel reads and writes one pollfd, which lives through the call.
        unsafe { libc::poll(&mut poll, 1, 0) > 0 }
    }

    /// Stages the operation that completes at every [`Broadcast::wake`], until a completion says that it is the last.
    pub fn watch(&self, ring: &mut Ring<'_>) {
        let poll = opcode::PollAdd::new(types::Fd(self.event.as_raw_fd()), libc::POLLIN as u32).multi(true).build();
        // SAFETY: the operation points to nothing.
        unsafe { ring.push(&poll.user_data(Token::Alarm.encode())) };
    }
}

fn eventfd(flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds one to an eventfd.
fn write(event: &OwnedFd) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the kernel reads 8 bytes from an array of 8.
    let written = unsafe { libc::write(event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    assert_eq!(written, 8, "an eventfd counts to 2^64 - 2: {}", io::Error::last_os_error());
}

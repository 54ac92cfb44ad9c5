//! A pool of receive buffers, lent to the kernel through a ring in shared memory.
//!
//! ```text
//! idle         a stack: the buffer that was read last is lent first, its memory is in the cache
//! ring slots   … 6:[7]  7:[3]  8:[9]      a slot names a buffer; lending appends at the tail
//!                 ^ the kernel takes from its head on, one buffer for each receive
//! completion   "buffer 7, 2000 bytes": it is being read, then it is idle
//! ```
//!
//! Invariant: a buffer is idle, or lent (in the ring, or taken by the kernel for a completion that
//! the shard has not seen), or being read. No more buffers are lent than there are, so a slot is
//! overwritten only after the kernel has taken the buffer that the slot named. The pool's memory
//! becomes resident when it is first used.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The pool and its ring.
pub struct Pool {
    group: u16,
    memory: Mapping,
    ring: Mapping,
    size: usize,
    count: u16,
    idle: Vec<u16>,
    /// Number of buffers lent so far; it wraps around, as the kernel expects.
    tail: u16,
}

impl Pool {
    /// Makes a pool of `count` buffers (a power of two up to 32768) of `size` bytes each, as buffer
    /// group `group`. None is lent.
    ///
    /// # Errors
    /// The kernel's error, if there is no memory.
    pub fn new(group: u16, count: u16, size: u32) -> io::Result<Pool> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "the configuration is checked");
        let size = size as usize;
        let ring = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(count) * size)?;
        Ok(Pool { group, memory, ring, size, count, idle: (0..count).rev().collect(), tail: 0 })
    }

    /// Registers the pool with the ring behind `submitter`.
    ///
    /// # Errors
    /// The kernel's error.
    ///
    /// # Safety
    /// The pool must outlive the ring.
    pub unsafe fn register(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.ring.base.as_ptr() as u64;
        // SAFETY: the ring has as many entries as are registered; the caller keeps it alive.
        unsafe { submitter.register_buf_ring_with_flags(address, self.count, self.group, 0) }
    }

    /// The pool's buffer group, by which receives name it.
    pub fn group(&self) -> u16 {
        self.group
    }

    /// Size of a buffer, bytes.
    pub fn buffer_size(&self) -> usize {
        self.size
    }

    /// Lends idle buffers until the kernel has `wanted` buffers, or none is idle.
    pub fn lend(&mut self, wanted: usize) {
        let lent = usize::from(self.count) - self.idle.len();
        let more = wanted.saturating_sub(lent).min(self.idle.len());
        if more > 0 {
            (0..more).for_each(|_| self.put_idle());
            self.publish();
        }
    }

    /// The bytes that a completion put into `buffer`. [`give_back`](Self::give_back) follows.
    pub fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        assert!(len <= self.size, "the kernel fills at most the buffer that it took");
        // SAFETY: the bytes are inside the mapping. Their buffer was taken by a completion and is
        // not in the ring, so the kernel does not write to them; pages never written read as zero.
        unsafe { std::slice::from_raw_parts(self.address(buffer), len) }
    }

    /// Takes back the buffer of a completion that has been read.
    pub fn give_back(&mut self, buffer: u16) {
        debug_assert!(!self.idle.contains(&buffer), "a completion names a buffer that was lent");
        self.idle.push(buffer);
    }

    fn put_idle(&mut self) {
        let buffer = self.idle.pop().expect("counted");
        let slot = usize::from(self.tail & (self.count - 1));
        self.tail = self.tail.wrapping_add(1);
        let address = self.address(buffer) as u64;
        // SAFETY: `slot` is below the number of entries. The kernel does not look at this entry
        // before the tail is published, and no other reference to it exists.
        let entry = unsafe { &mut *self.ring.base.cast::<BufRingEntry>().as_ptr().add(slot) };
        entry.set_addr(address);
        entry.set_len(u32::try_from(self.size).expect("a buffer's size was a u32"));
        entry.set_bid(buffer);
    }

    /// Makes the buffers that were put in the ring visible to the kernel.
    fn publish(&mut self) {
        let entries = self.ring.base.cast::<BufRingEntry>().as_ptr();
        // SAFETY: the mapping starts with an initialized entry, whose last field is the ring's
        // tail: two aligned bytes that only this function writes, and that the kernel only reads.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn address(&self, buffer: u16) -> *const u8 {
        assert!(buffer < self.count, "the kernel names buffers of the pool");
        // SAFETY: the buffer is one of the pool's, so the offset is inside the mapping.
        unsafe { self.memory.base.as_ptr().add(usize::from(buffer) * self.size) }
    }
}

/// Zeroed, page-aligned memory that becomes resident only where it is written.
struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Mapping> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping touches no memory that exists.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { base: NonNull::new(base.cast()).expect("a mapping is not at address 0"), len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to `self`, and no slice of it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::new(0, 8, 4096).expect("memory")
    }

    /// The buffers that the kernel would take next: those in the ring from slot `head` on.
    fn lent(pool: &Pool, head: u16) -> Vec<u16> {
        let slots = (head..pool.tail).map(|slot| usize::from(slot & (pool.count - 1)));
        // SAFETY: the slots are inside the mapping, which no kernel knows.
        slots.map(|slot| unsafe { (*pool.ring.base.cast::<BufRingEntry>().as_ptr().add(slot)).bid() }).collect()
    }

    #[test]
    fn the_buffer_that_was_read_last_is_lent_first() {
        let mut pool = pool();
        pool.lend(2);
        assert_eq!(lent(&pool, 0), [0, 1]);
        pool.give_back(0);
        pool.lend(2);
        assert_eq!(lent(&pool, 1), [1, 0]);
        pool.give_back(1);
        pool.give_back(0);
        pool.lend(1);
        assert_eq!(lent(&pool, 3), [0]);
    }

    #[test]
    fn no_more_are_lent_than_there_are() {
        let mut pool = pool();
        pool.lend(100);
        assert_eq!(lent(&pool, 0), [0, 1, 2, 3, 4, 5, 6, 7]);
        pool.lend(100);
        assert_eq!(pool.tail, 8);
    }

    #[test]
    fn bytes_are_those_of_the_buffer() {
        let mut pool = pool();
        pool.lend(8);
        for buffer in 0..8_u8 {
            // SAFETY: the buffer is inside the mapping, which no kernel knows.
            unsafe { pool.address(buffer.into()).cast_mut().write_bytes(buffer, 4096) };
        }
        assert_eq!((pool.bytes(7, 10), pool.bytes(2, 4096)), (&[7; 10][..], &[2; 4096][..]));
        assert!(pool.bytes(3, 0).is_empty());
    }

    #[test]
    fn slots_count_on_beyond_sixteen_bits() {
        let mut pool = pool();
        for _ in 0..70_000 {
            pool.lend(1);
            pool.give_back(0);
        }
        pool.lend(8);
        assert_eq!(pool.tail, (70_000_u32 + 8) as u16);
    }
}

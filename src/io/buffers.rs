//! The receive buffers of a shard: one pool for all its sockets, lent to the kernel through a ring in shared memory.
//!
//! ```text
//! ring slots    … 254:[7]  255:[3]  256:[8]  257:[9]  258:[4] …     a slot names a buffer; puts append at the tail
//!                          ^ the kernel takes from its head on          ^ tail
//! completion    "buffer 3, 40000 bytes": a bundle. It covers slots 255, 256, 257: buffers 3, 8, 9; the last one in part
//! shard         on_bytes(3's 16 KiB), on_bytes(8's and 9's 23616 bytes: neighbours in memory, so one slice)
//! ```
//!
//! A bundle covers consecutive *slots*, not consecutive buffers, so each buffer's slot and each slot's buffer are remembered here.
//! The shard takes all bytes at once, and the buffers go back right after: between two turns the kernel has the whole pool.
//!
//! Invariant: a buffer is either in the ring (or taken by the kernel for a completion that we have not seen), or being read in
//! [`Buffers::take`]. So a slot is overwritten only after the completion that named it. The pool's memory is touched when it is first used.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The pool and its ring.
pub struct Buffers {
    memory: Mapping,
    ring: Mapping,
    size: usize,
    /// Slots ever filled, as the kernel counts them.
    tail: u16,
    /// Per slot (modulo the ring): the buffer put there last.
    buffer_at: Vec<u16>,
    /// Per buffer: the slot it was put in last.
    slot_of: Vec<u16>,
}

impl Buffers {
    /// A pool of `count` buffers (a power of two up to 32768) of `size` bytes each.
    ///
    /// # Errors
    /// The kernel's, if there is no memory.
    pub fn new(count: u16, size: u32) -> io::Result<Buffers> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "the configuration is checked");
        let size = size as usize;
        let ring = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(count) * size)?;
        let mut buffers = Buffers { memory, ring, size, tail: 0, buffer_at: vec![0; count.into()], slot_of: vec![0; count.into()] };
        (0..count).for_each(|buffer| buffers.put(buffer));
        buffers.publish();
        Ok(buffers)
    }

    /// Lends the pool to the ring behind `submitter`, as buffer group [`GROUP`].
    ///
    /// # Errors
    /// The kernel's.
    ///
    /// # Safety
    /// The pool must outlive the ring.
    pub unsafe fn register(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.ring.base.as_ptr() as u64;
        // SAFETY: the ring has as many entries as are registered; the caller keeps it alive.
        unsafe { submitter.register_buf_ring_with_flags(address, self.count(), GROUP, 0) }
    }

    /// Reads the `len` bytes of a completion that names `first` as its first buffer, in pieces that are as long as possible, and puts
    /// its buffers back. They are the kernel's again after [`Buffers::publish`].
    pub fn take(&mut self, first: u16, len: usize, mut read: impl FnMut(&[u8])) {
        let mut slot = self.slot_of[usize::from(first)];
        let mut left = len;
        loop {
            let run = self.run(slot, left);
            let bytes = left.min(usize::from(run) * self.size);
            if bytes > 0 {
                read(self.bytes(self.buffer(slot), bytes));
            }
            (0..run).for_each(|n| self.put(self.buffer(slot.wrapping_add(n))));
            slot = slot.wrapping_add(run);
            left -= bytes;
            if left == 0 {
                return;
            }
        }
    }

    /// Makes the buffers that were put back visible to the kernel.
    pub fn publish(&mut self) {
        let entries = self.ring.base.cast::<BufRingEntry>().as_ptr();
        // SAFETY: the mapping starts with an initialized entry, whose last field is the ring's tail: two aligned bytes that we write only
        // here, and that the kernel only reads.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// How many slots from `slot` on hold neighbours in memory, as far as `len` bytes reach; at least one.
    fn run(&self, slot: u16, len: usize) -> u16 {
        let buffers = len.div_ceil(self.size).max(1);
        let first = self.buffer(slot);
        let follows = |n: &u16| self.buffer(slot.wrapping_add(*n)).checked_sub(*n) == Some(first);
        let run = (1..self.count()).take(buffers - 1).take_while(follows).count();
        u16::try_from(1 + run).expect("a run is part of the ring")
    }

    fn put(&mut self, buffer: u16) {
        let slot = self.tail;
        let at = usize::from(slot & (self.count() - 1));
        self.buffer_at[at] = buffer;
        self.slot_of[usize::from(buffer)] = slot;
        self.tail = slot.wrapping_add(1);
        let address = self.address(buffer) as u64;
        // SAFETY: `at` is below the number of entries. The kernel does not look at this entry before the tail is published, and no other
        // reference to it exists.
        let entry = unsafe { &mut *self.ring.base.cast::<BufRingEntry>().as_ptr().add(at) };
        entry.set_addr(address);
        entry.set_len(u32::try_from(self.size).expect("a buffer's size was a u32"));
        entry.set_bid(buffer);
    }

    fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        assert!(usize::from(buffer) * self.size + len <= self.memory.len, "the kernel fills buffers of the pool");
        // SAFETY: the bytes are inside the mapping. Their buffers were taken by a completion and are not back in the ring, so the kernel
        // does not write to them; pages never written read as zero.
        unsafe { std::slice::from_raw_parts(self.address(buffer), len) }
    }

    fn address(&self, buffer: u16) -> *const u8 {
        assert!(buffer < self.count(), "the kernel names buffers of the pool");
        // SAFETY: the buffer is one of the pool's, so the offset is inside the mapping.
        unsafe { self.memory.base.as_ptr().add(usize::from(buffer) * self.size) }
    }

    fn buffer(&self, slot: u16) -> u16 {
        self.buffer_at[usize::from(slot & (self.count() - 1))]
    }

    fn count(&self) -> u16 {
        u16::try_from(self.buffer_at.len()).expect("the pool has at most 2^15 buffers")
    }
}

/// Zeroed, page-aligned memory of its own that takes room only where it is written.
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
        // SAFETY: the mapping is ours, and no slice of it outlives its owner.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// The buffer group's number on each ring.
pub const GROUP: u16 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Buffers {
        Buffers::new(8, 4096).expect("memory")
    }

    fn fill(pool: &mut Buffers) {
        for buffer in 0..8_u8 {
            // SAFETY: the buffer is inside the mapping, and no ring knows it.
            unsafe { pool.address(buffer.into()).cast_mut().write_bytes(buffer, 4096) };
        }
    }

    /// (first byte, length) of each piece.
    fn take(pool: &mut Buffers, first: u16, len: usize) -> Vec<(u8, usize)> {
        let mut pieces = Vec::new();
        pool.take(first, len, |bytes| pieces.push((bytes[0], bytes.len())));
        pieces
    }

    #[test]
    fn neighbours_are_read_as_one_piece() {
        let mut pool = pool();
        fill(&mut pool);
        assert_eq!(take(&mut pool, 0, 10_000), [(0, 10_000)]);
        assert_eq!(take(&mut pool, 3, 4096), [(3, 4096)]);
        assert_eq!(take(&mut pool, 4, 4097), [(4, 4097)]);
    }

    #[test]
    fn a_bundle_follows_the_order_of_the_puts() {
        let mut pool = pool();
        fill(&mut pool);
        [4, 1, 2].into_iter().for_each(|first| drop(take(&mut pool, first, 1)));
        // Slots 8, 9, 10 now hold 4, 1, 2.
        assert_eq!(take(&mut pool, 4, 3 * 4096 - 1), [(4, 4096), (1, 8191)]);
        assert_eq!(pool.tail, 8 + 3 + 3);
    }

    #[test]
    fn a_run_ends_at_the_end_of_the_memory() {
        let mut pool = pool();
        fill(&mut pool);
        assert_eq!(take(&mut pool, 0, 8 * 4096), [(0, 8 * 4096)]);
        assert_eq!(take(&mut pool, 0, 2 * 4096), [(0, 2 * 4096)]);
        assert_eq!(take(&mut pool, 7, 4096 + 10), [(7, 4096), (0, 10)]);
    }

    #[test]
    fn a_completion_without_bytes_gives_its_buffer_back() {
        let mut pool = pool();
        assert_eq!(take(&mut pool, 2, 0), []);
        assert_eq!((pool.tail, pool.buffer(8)), (9, 2));
    }

    #[test]
    fn slots_count_on_beyond_sixteen_bits() {
        let mut pool = pool();
        fill(&mut pool);
        for round in 0..70_000_u32 {
            let buffer = u16::try_from(round % 8).expect("below 8");
            assert_eq!(take(&mut pool, buffer, 1).len(), 1);
        }
    }
}

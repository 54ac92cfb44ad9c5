//! Receive buffers that the kernel picks from a shared ring.
//!
//! ```text
//! memory  │ headroom │ buffer 0 │ headroom │ buffer 1 │ …
//! order   3 0 1 2 …   the ring's slots, in the order in which buffers were put there
//! ```
//!
//! The rest of the last buffer that was not parsed is copied into the headroom, so that a parser
//! always sees whole messages.
//!
//! Invariant: a bundle covers consecutive slots of the ring, not consecutive buffers, and the
//! kernel takes slots in the order in which they were filled, which `order` mirrors.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The ring of buffers, which is never freed.
pub struct Buffers {
    entries: *mut BufRingEntry,
    memory: *mut u8,
    count: u16,
    len: usize,
    tail: u16,
    order: VecDeque<u16>,
}

impl Buffers {
    /// Allocates `count` buffers (a power of two) of `len` bytes and registers them as `group`.
    pub fn new(submitter: &Submitter<'_>, group: u16, count: u16, len: usize) -> io::Result<Buffers> {
        let entries = allocate(usize::from(count) * size_of::<BufRingEntry>(), 4096).cast::<BufRingEntry>();
        let memory = allocate(usize::from(count) * (HEADROOM + len), 2 << 20);
        // SAFETY: the range was just allocated; the advice changes no contents.
        unsafe { libc::madvise(memory.cast(), usize::from(count) * (HEADROOM + len), libc::MADV_HUGEPAGE) };
        // SAFETY: `entries` is page-aligned, has space for `count` entries and is never freed.
        unsafe { submitter.register_buf_ring_with_flags(entries as u64, count, group, 0)? };
        let mut buffers = Buffers { entries, memory, count, len, tail: 0, order: VecDeque::with_capacity(usize::from(count)) };
        (0..count).for_each(|id| buffers.put(id));
        Ok(buffers)
    }

    /// Returns the buffer that the kernel has filled next.
    pub fn take(&mut self) -> u16 {
        self.order.pop_front().expect("the kernel fills only what was put")
    }

    /// Gives a buffer to the kernel.
    pub fn put(&mut self, id: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        // SAFETY: `slot` is below `count`; the kernel does not read an entry after the tail.
        let entry = unsafe { &mut *self.entries.add(slot) };
        entry.set_addr(self.at(id) as u64);
        entry.set_len(u32::try_from(self.len).expect("buffers are small"));
        entry.set_bid(id);
        self.order.push_back(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is inside the first entry and is only written here; the kernel reads it
        // with acquire.
        unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()).store(self.tail, Ordering::Release) };
    }

    /// Returns the buffer's bytes, with `carry` before them.
    pub fn filled(&mut self, id: u16, carry: &[u8], len: usize) -> &mut [u8] {
        assert!(carry.len() <= HEADROOM && len <= self.len);
        // SAFETY: headroom and buffer `id` are inside the allocation; the kernel has returned the
        // buffer.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.at(id).sub(carry.len()), carry.len() + len) };
        bytes[..carry.len()].copy_from_slice(carry);
        bytes
    }

    /// Size of a buffer, bytes.
    pub fn buffer_len(&self) -> usize {
        self.len
    }

    fn at(&self, id: u16) -> *mut u8 {
        assert!(id < self.count);
        // SAFETY: `id` is below `count`, so the result is inside the allocation.
        unsafe { self.memory.add(usize::from(id) * (HEADROOM + self.len) + HEADROOM) }
    }
}

/// Allocates zeroed memory that is never freed.
pub fn allocate(len: usize, align: usize) -> *mut u8 {
    let layout = Layout::from_size_align(len, align).expect("a small constant");
    // SAFETY: the layout has a size above 0.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    memory
}

/// Size of the headroom, bytes: the longest rest that is carried over. Longer messages are
/// collected separately.
pub const HEADROOM: usize = 32 << 10;

//! The memory of the process: an allocator that gives huge pages to who asks for them, their preparation beside a shard's work, and the return
//! of what is not used any more.
//!
//! mimalloc keeps what was freed for the next allocation, and looks for memory to return only when it allocates. After a burst that would be never,
//! and the memory alarm, which goes by what the process has, would stay on with nothing in the broker. So a shard that has become quiet returns
//! what its thread does not use, and while memory is short every shard does, once per second ([`Upkeep`]).

use std::alloc::{GlobalAlloc, Layout};

use io_uring::opcode;
use mimalloc::MiMalloc;

use crate::base::limits::{UPKEEP_MS, UPKEEP_QUIET_MAX};
use crate::io::ring::Ring;
use crate::io::token::Token;

/// The program's allocator: mimalloc, except for what is aligned like a huge page. That is mapped by itself, is one if the system has any, and
/// goes back to the system at once.
pub struct Allocator;

// SAFETY: every block comes from mimalloc or from `map`, which of the two only depends on its layout, and both keep the rules.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() < HUGE_PAGE {
            // SAFETY: the caller's promise.
            return unsafe { MiMalloc.alloc(layout) };
        }
        map(layout)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() < HUGE_PAGE {
            // SAFETY: the caller's promise.
            return unsafe { MiMalloc.alloc_zeroed(layout) };
        }
        map(layout)
    }

    #[inline]
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        if layout.align() < HUGE_PAGE {
            // SAFETY: the caller's promise: the block came from `alloc` with this layout, so from mimalloc.
            return unsafe { MiMalloc.dealloc(address, layout) };
        }
        // SAFETY: the same, so it is a mapping of this size.
        unsafe { libc::munmap(address.cast(), layout.size()) };
    }

    #[inline]
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() < HUGE_PAGE {
            // SAFETY: the caller's promise: the block came from `alloc` with this layout, so from mimalloc.
            return unsafe { MiMalloc.realloc(address, layout, size) };
        }
        // SAFETY: the caller's promise: such a layout exists, and `address` is a block of the old one.
        unsafe { move_block(address, layout, Layout::from_size_align_unchecked(size, layout.align())) }
    }
}

/// Maps zeroed memory that takes room only where it is touched. Null, if there is none.
#[cold]
fn map(layout: Layout) -> *mut u8 {
    let (size, align) = (layout.size(), layout.align());
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new anonymous mapping touches no memory that exists.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), size + align, access, kind, -1, 0) };
    if base == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    let before = base.addr().next_multiple_of(align) - base.addr();
    let block = base.wrapping_byte_add(before);
    // SAFETY: the block lies inside the mapping; what is unmapped lies in front of it and behind, and nobody knows of it.
    unsafe {
        if before > 0 {
            libc::munmap(base, before);
        }
        libc::munmap(block.wrapping_byte_add(size), align - before);
        libc::madvise(block, size, libc::MADV_HUGEPAGE);
    }
    block.cast()
}

/// Moves what a mapped block holds to one of another size. Null, and the block stays, if there is no memory.
///
/// # Safety
/// `block` is a mapped block of the layout `from`, and is not used any more if it was moved.
#[cold]
unsafe fn move_block(block: *mut u8, from: Layout, to: Layout) -> *mut u8 {
    let moved = map(to);
    if !moved.is_null() {
        // SAFETY: both blocks hold that many bytes and do not overlap; the old one is unmapped once.
        unsafe {
            moved.copy_from_nonoverlapping(block, from.size().min(to.size()));
            libc::munmap(block.cast(), from.size());
        }
    }
    moved
}

/// Stages that the kernel touches memory that will be used soon. It does so on a thread of its own, and what the memory holds does not change.
pub fn prepare(address: usize, len: usize, ring: &mut Ring<'_>) {
    let start = std::ptr::without_provenance::<libc::c_void>(address);
    let prepare = opcode::Madvise::new(start, libc::off_t::try_from(len).expect("a chunk is small"), libc::MADV_POPULATE_WRITE);
    // SAFETY: the operation reads and writes nothing: memory that is no more there by then is an error, and other memory there is unharmed.
    unsafe { ring.push(&prepare.build().user_data(Token::Prepare.encode())) };
}

/// Returns all memory to the system that this thread has freed, and what others have returned to the allocator.
pub fn give_back() {
    // SAFETY: the function may be called by any thread at any time.
    unsafe { mi_collect(true) };
}

unsafe extern "C" {
    /// mimalloc's: frees what the calling thread holds on to; if `force`, returns all free memory to the system.
    fn mi_collect(force: bool);
}

/// Decides when a shard gives back memory that it does not use: when it has become quiet, and all the time while memory is short.
#[derive(Debug, Default)]
pub struct Upkeep {
    /// The next look; none: nothing has happened since it was quiet.
    due: Option<u64>,
    /// Completions since the last look.
    completions: usize,
    /// It was quiet at the last look.
    quiet: bool,
}

impl Upkeep {
    /// So much was complete in a turn.
    #[inline]
    pub fn count(&mut self, completions: usize, now: u64) {
        self.completions += completions;
        if completions > 0 && self.due.is_none() {
            self.due = Some(now + UPKEEP_MS);
        }
    }

    /// When to look next.
    pub fn due(&self) -> Option<u64> {
        self.due
    }

    /// Whether memory is to be given back now.
    pub fn is_time(&mut self, now: u64, is_short: bool) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        let quiet = std::mem::take(&mut self.completions) <= UPKEEP_QUIET_MAX;
        let is_at_rest = std::mem::replace(&mut self.quiet, quiet) && quiet;
        self.due = (!is_at_rest || is_short).then_some(now + UPKEEP_MS);
        is_at_rest || is_short
    }
}

/// The size of a huge page.
const HUGE_PAGE: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_zero_and_aligned_and_go_back() {
        let layout = layout(HUGE_PAGE);
        for _ in 0..3 {
            // SAFETY: the layout has a size; the block is used within it and given back once.
            unsafe {
                let block = Allocator.alloc_zeroed(layout);
                assert!(!block.is_null() && block.addr().is_multiple_of(HUGE_PAGE));
                let bytes = std::slice::from_raw_parts_mut(block, HUGE_PAGE);
                assert!(bytes.iter().all(|&byte| byte == 0));
                bytes.fill(7);
                Allocator.dealloc(block, layout);
            }
        }
    }

    #[test]
    fn huge_pages_grow_and_keep_what_they_hold() {
        let (one, two) = (layout(HUGE_PAGE), layout(2 * HUGE_PAGE));
        // SAFETY: the blocks are used within their layouts and given back once.
        unsafe {
            let block = Allocator.alloc(one);
            block.write_bytes(7, HUGE_PAGE);
            let block = Allocator.realloc(block, one, two.size());
            assert!(block.addr().is_multiple_of(HUGE_PAGE));
            let bytes = std::slice::from_raw_parts(block, two.size());
            assert!(bytes[..HUGE_PAGE].iter().all(|&byte| byte == 7) && bytes[HUGE_PAGE..].iter().all(|&byte| byte == 0));
            Allocator.dealloc(block, two);
        }
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, HUGE_PAGE).expect("a layout")
    }

    #[test]
    fn a_shard_that_has_become_quiet_gives_back_once() {
        let mut upkeep = Upkeep::default();
        assert!(upkeep.due().is_none() && !upkeep.is_time(0, true));
        upkeep.count(1000, 5);
        let times: Vec<u64> = (0..20_000).filter(|&now| upkeep.is_time(now, false)).collect();
        assert_eq!((times, upkeep.due()), (vec![5 + 3 * UPKEEP_MS], None));
    }

    #[test]
    fn while_memory_is_short_it_is_given_back_again_and_again() {
        let mut upkeep = Upkeep::default();
        let times = (0..10 * UPKEEP_MS).filter(|&now| {
            upkeep.count(10, now);
            upkeep.is_time(now, true)
        });
        assert_eq!(times.count(), 9);
    }

    #[test]
    fn small_blocks_come_from_the_allocator_below() {
        let layout = Layout::from_size_align(100, 8).expect("a layout");
        // SAFETY: the blocks are used within their layouts and given back once.
        unsafe {
            let block = Allocator.alloc_zeroed(layout);
            block.write_bytes(7, 100);
            let block = Allocator.realloc(block, layout, 200);
            assert_eq!(std::slice::from_raw_parts(block, 100), [7; 100]);
            Allocator.dealloc(block, Layout::from_size_align(200, 8).expect("a layout"));
            let block = Allocator.alloc(layout);
            Allocator.dealloc(block, layout);
        }
    }
}

//! The memory of the process: an allocator that gives huge pages on request, their preparation in
//! parallel to a shard's work, and the return of unused memory to the system.
//!
//! mimalloc keeps freed memory for the next allocation, and looks for memory to return only when it
//! allocates. After a burst that might be never, and the memory alarm, which goes by the memory of
//! the process, would stay on although the broker is empty. So a shard that has become quiet
//! returns the memory that its thread does not use, and while memory is short, every shard does so
//! once per second ([`Upkeep`]).

use std::alloc::{GlobalAlloc, Layout};

use io_uring::opcode;
use mimalloc::MiMalloc;

use crate::base::limits::{UPKEEP_MS, UPKEEP_QUIET_MAX};
use crate::io::ring::Ring;
use crate::io::token::Token;

/// The program's allocator: mimalloc, except for blocks with the alignment of a huge page. Such a
/// block is a mapping of its own, is made of huge pages if the system has any, and is returned to
/// the system at once.
pub struct Allocator;

// SAFETY: every block comes from mimalloc or from `map`, depending only on its layout, and both
// keep the rules.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() < HUGE_PAGE {
            // SAFETY: as the caller guarantees.
            return unsafe { MiMalloc.alloc(layout) };
        }
        map(layout)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() < HUGE_PAGE {
            // SAFETY: as the caller guarantees.
            return unsafe { MiMalloc.alloc_zeroed(layout) };
        }
        map(layout)
    }

    #[inline]
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        if layout.align() < HUGE_PAGE {
            // SAFETY: as the caller guarantees, the block came from `alloc` with this layout, so
            // from mimalloc.
            return unsafe { MiMalloc.dealloc(address, layout) };
        }
        // SAFETY: for the same reason, it is a mapping of this size.
        unsafe { libc::munmap(address.cast(), layout.size()) };
    }

    #[inline]
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() < HUGE_PAGE {
            // SAFETY: as the caller guarantees, the block came from `alloc` with this layout, so
            // from mimalloc.
            return unsafe { MiMalloc.realloc(address, layout, size) };
        }
        // SAFETY: as the caller guarantees, such a layout exists, and `address` is a block of the
        // old one.
        unsafe { move_block(address, layout, Layout::from_size_align_unchecked(size, layout.align())) }
    }
}

/// Maps zeroed memory that becomes resident only where it is touched. Returns null if there is
/// none.
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
    // SAFETY: the block is inside the mapping; the parts before and after it are unmapped, and
    // nothing refers to them.
    unsafe {
        if before > 0 {
            libc::munmap(base, before);
        }
        libc::munmap(block.wrapping_byte_add(size), align - before);
        libc::madvise(block, size, libc::MADV_HUGEPAGE);
    }
    block.cast()
}

/// Moves the content of a mapped block to one of another size. If there is no memory, returns null,
/// and the block stays.
///
/// # Safety
/// `block` is a mapped block of the layout `from`, and is not used any more if it was moved.
#[cold]
unsafe fn move_block(block: *mut u8, from: Layout, to: Layout) -> *mut u8 {
    let moved = map(to);
    if !moved.is_null() {
        // SAFETY: both blocks have that many bytes and do not overlap; the old one is unmapped
        // once.
        unsafe {
            moved.copy_from_nonoverlapping(block, from.size().min(to.size()));
            libc::munmap(block.cast(), from.size());
        }
    }
    moved
}

/// Lets the kernel map memory that will be used soon. A thread of the kernel does it, and the
/// memory's content does not change.
pub fn prepare(address: usize, len: usize, ring: &mut Ring<'_>) {
    let start = std::ptr::without_provenance::<libc::c_void>(address);
    let prepare = opcode::Madvise::new(start, libc::off_t::try_from(len).expect("a chunk is small"), libc::MADV_POPULATE_WRITE);
    // SAFETY: the operation reads and writes nothing. If the memory is unmapped by then, the result
    // is an error; if other memory is there, that is unharmed.
    unsafe { ring.push(&prepare.build().user_data(Token::Prepare.encode())) };
}

/// Returns to the system all memory that this thread has freed, and that other threads have
/// returned to the allocator.
pub fn give_back() {
    // SAFETY: the function may be called by any thread at any time.
    unsafe { mi_collect(true) };
}

unsafe extern "C" {
    /// mimalloc's function: frees memory that the calling thread keeps; if `force`, returns all
    /// free memory to the system.
    fn mi_collect(force: bool);
}

/// Decides when a shard gives back unused memory: when it has become quiet, and repeatedly while
/// memory is short.
#[derive(Debug, Default)]
pub struct Upkeep {
    /// When to look next; `None` if nothing has happened since the shard was quiet.
    due: Option<u64>,
    /// Completions since the last look.
    completions: usize,
    /// Whether the shard was quiet at the last look.
    quiet: bool,
}

impl Upkeep {
    /// Counts the completions of a turn.
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
            // SAFETY: the layout has a size; the block is used within it and freed once.
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
        // SAFETY: the blocks are used within their layouts and freed once.
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
        // SAFETY: the blocks are used within their layouts and freed once.
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

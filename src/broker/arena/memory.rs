//! The memory of the arena: chunks of one huge page each, prepared before they are needed.
//!
//! ```text
//!               wish                      on_prepared                 take
//! (untouched) ───────▶ being prepared ──────────────▶ ready ─────────────────▶ in use
//!                                            trim ◀───── ▲                         │ give
//!                                                         └─────────────────────────┘
//! ```
//!
//! When new memory is touched for the first time, the kernel finds and clears a page. That takes
//! 200 µs for a huge page, and ten milliseconds if a hypervisor has to find it first. A shard that
//! did this itself would delay all its connections. So it says in time which memory it is going to
//! use, and its driver has the kernel prepare that memory in parallel. If a publisher is faster
//! than memory can be prepared, it waits ([`Memory::is_short`]); all other work goes on.
//!
//! For the same reason, used memory is given back to the system little by little: after one deep
//! queue another is likely. When the shard is quiet or memory is short, all of it is given back,
//! and soon ([`Memory::give_back`]).

use std::ops::{Deref, DerefMut};

use bytemuck::Zeroable;

use crate::base::limits::{ARENA_CHUNK_SIZE, ARENA_CHUNKS_AHEAD, ARENA_CHUNKS_KEPT};

/// A huge page, aligned like one.
#[derive(Zeroable)]
#[repr(C, align(2_097_152))]
pub struct Chunk([u8; ARENA_CHUNK_SIZE]);

/// Memory in use: a chunk, or a separate block for a record that is larger than a segment.
pub enum Block {
    /// A chunk.
    Chunk(Box<Chunk>),
    /// A separate block.
    Own(Box<[u8]>),
}

/// Memory that the shard is going to use: its address, and its length in bytes.
pub type Wish = (usize, usize);

/// The chunks that are not in use, and the number of those that are.
pub struct Memory {
    /// Chunks that were prepared, or used before.
    ready: Vec<Box<Chunk>>,
    /// The chunk that is being prepared.
    preparing: Option<Box<Chunk>>,
    /// The wish for that chunk, until the driver gets it.
    wish: Option<Wish>,
    in_use: usize,
    /// Number of ready chunks that are not excess, until the next burst.
    kept: usize,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { ready: Vec::new(), preparing: None, wish: None, in_use: 0, kept: ARENA_CHUNKS_KEPT }
    }
}

impl Memory {
    /// Takes a chunk for use: one that is ready, or else one whose pages are made on first use.
    pub fn take(&mut self) -> Box<Chunk> {
        self.in_use += 1;
        self.kept = ARENA_CHUNKS_KEPT;
        let chunk = self.ready.pop().unwrap_or_else(bytemuck::allocation::zeroed_box);
        self.prepare_ahead();
        chunk
    }

    /// Takes back a chunk that is not used any more.
    pub fn give(&mut self, chunk: Box<Chunk>) {
        self.in_use -= 1;
        self.ready.push(chunk);
    }

    /// Whether there is excess memory: then [`Memory::trim`] should be called some times per
    /// second.
    pub fn has_excess(&self) -> bool {
        self.ready.len() > self.kept
    }

    /// Gives a part of the excess memory back to the system.
    pub fn trim(&mut self) {
        let excess = self.ready.len().saturating_sub(self.kept);
        let share = if self.kept == 0 { TRIM_SHARE_QUIET } else { TRIM_SHARE };
        self.ready.truncate(self.ready.len() - excess.div_ceil(share));
    }

    /// Makes all ready memory excess, because no burst is expected.
    pub fn give_back(&mut self) {
        self.kept = 0;
    }

    /// Returns the memory to be prepared, if that is new; [`Memory::on_prepared`] follows.
    pub fn wish(&mut self) -> Option<Wish> {
        self.wish.take()
    }

    /// Notes that the memory of the last wish is prepared.
    pub fn on_prepared(&mut self) {
        self.ready.extend(self.preparing.take());
        self.prepare_ahead();
    }

    /// Whether no chunk is ready, but one is being prepared.
    pub fn is_short(&self) -> bool {
        self.ready.is_empty() && self.preparing.is_some()
    }

    /// Number of chunks in use.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Bytes of the chunks that are ready or being prepared.
    pub fn kept(&self) -> usize {
        (self.ready.len() + usize::from(self.preparing.is_some())) * ARENA_CHUNK_SIZE
    }

    /// Begins to prepare a chunk if too few are ready: the more chunks are in use, the more will be
    /// needed.
    fn prepare_ahead(&mut self) {
        if self.preparing.is_none() && self.ready.len() < self.in_use.min(ARENA_CHUNKS_AHEAD) {
            let chunk = self.preparing.insert(bytemuck::allocation::zeroed_box());
            self.wish = Some((chunk.0.as_ptr().addr(), ARENA_CHUNK_SIZE));
        }
    }
}

impl Deref for Block {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Block::Chunk(chunk) => &chunk.0,
            Block::Own(bytes) => bytes,
        }
    }
}

impl DerefMut for Block {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Block::Chunk(chunk) => &mut chunk.0,
            Block::Own(bytes) => bytes,
        }
    }
}

/// The excess divided by this is given back at a time. (With a trim every 50 ms, half of it is
/// given back after nine seconds.)
const TRIM_SHARE: usize = 256;
/// The same if all ready memory is excess: half of it is given back after 300 ms.
const TRIM_SHARE_QUIET: usize = 8;

const _: () = assert!(align_of::<Chunk>() == ARENA_CHUNK_SIZE && size_of::<Chunk>() == ARENA_CHUNK_SIZE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_prepared_ahead_of_their_use() {
        let mut memory = Memory::default();
        assert!(memory.wish().is_none() && !memory.is_short());
        let first = memory.take();
        let (address, len) = memory.wish().expect("the next one is prepared");
        assert!(address % ARENA_CHUNK_SIZE == 0 && len == ARENA_CHUNK_SIZE && memory.wish().is_none());
        assert!(memory.is_short());
        memory.on_prepared();
        assert!(!memory.is_short() && memory.wish().is_none());
        let second = memory.take();
        assert_eq!(Block::Chunk(second).as_ptr().addr(), address);
        assert!(memory.wish().is_some());
        memory.on_prepared();
        assert!(memory.wish().is_some(), "with two in use, two are prepared ahead");
        memory.give(first);
        assert_eq!(memory.kept(), 3 * ARENA_CHUNK_SIZE);
    }

    #[test]
    fn who_cannot_wait_gets_one_that_is_not_prepared() {
        let mut memory = Memory::default();
        let chunks: Vec<_> = (0..3).map(|_| memory.take()).collect();
        assert!(memory.is_short());
        chunks.into_iter().for_each(|chunk| memory.give(chunk));
        assert!(!memory.is_short());
    }

    #[test]
    fn what_was_used_goes_back_little_by_little() {
        let mut memory = Memory::default();
        let chunks: Vec<_> = (0..300).map(|_| memory.take()).collect();
        chunks.into_iter().for_each(|chunk| memory.give(chunk));
        memory.on_prepared();
        while memory.has_excess() {
            let before = memory.kept();
            memory.trim();
            assert!((1..=2).contains(&((before - memory.kept()) / ARENA_CHUNK_SIZE)));
        }
        assert_eq!(memory.kept(), ARENA_CHUNKS_KEPT * ARENA_CHUNK_SIZE);
        memory.trim();
        assert_eq!(memory.kept(), ARENA_CHUNKS_KEPT * ARENA_CHUNK_SIZE);
    }

    #[test]
    fn all_goes_back_soon_if_it_is_to() {
        let mut memory = Memory::default();
        let chunks: Vec<_> = (0..300).map(|_| memory.take()).collect();
        chunks.into_iter().for_each(|chunk| memory.give(chunk));
        memory.on_prepared();
        memory.give_back();
        let trims = std::iter::from_fn(|| memory.has_excess().then(|| memory.trim())).count();
        assert!(memory.kept() == 0 && trims < 60, "{trims} trims");
        let chunk = memory.take();
        memory.give(chunk);
        assert!(!memory.has_excess(), "it is kept for the next time");
    }
}

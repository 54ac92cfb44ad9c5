//! Memory that a disk can use directly (O_DIRECT): it begins at a multiple of the block size and is
//! a whole number of blocks long.

use std::fmt;

use bytemuck::{Pod, Zeroable};

/// Size of a block, bytes: the least that is written to the disk, and the alignment of memory and
/// of offsets in a file.
pub const BLOCK: usize = 4096;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK]);

/// A growing run of bytes in aligned memory. Bytes that were never written are zero.
#[derive(Default)]
pub struct Aligned {
    blocks: Vec<Block>,
    len: usize,
}

impl fmt::Debug for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

impl Aligned {
    /// Makes a run of `len` zeros.
    pub fn zeroed(len: usize) -> Aligned {
        Aligned { blocks: bytemuck::zeroed_vec(len.div_ceil(BLOCK)), len }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, and those after them up to the end of the last block.
    pub fn blocks(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len.next_multiple_of(BLOCK)]
    }

    /// The same as [`blocks`](Self::blocks), to be written to.
    pub fn blocks_mut(&mut self) -> &mut [u8] {
        let len = self.len.next_multiple_of(BLOCK);
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..len]
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }

    /// Adds `len` bytes at the end and returns them, to be filled.
    #[inline]
    pub fn extend(&mut self, len: usize) -> &mut [u8] {
        let begin = self.len;
        self.len += len;
        if self.len > self.blocks.len() * BLOCK {
            self.grow();
        }
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[begin..begin + len]
    }

    /// Adds zeros up to the end of the last block.
    pub fn pad(&mut self) {
        let missing = self.len.next_multiple_of(BLOCK) - self.len;
        self.extend(missing).fill(0);
    }

    /// Removes all bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Bytes of memory that are allocated.
    pub fn capacity(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    #[cold]
    fn grow(&mut self) {
        let blocks = self.len.div_ceil(BLOCK).max(2 * self.blocks.len()).max(BLOCKS_MIN);
        self.blocks.resize(blocks, Block([0; BLOCK]));
    }
}

/// The least number of blocks that is allocated.
const BLOCKS_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_grow_in_aligned_blocks() {
        let mut buffer = Aligned::default();
        buffer.extend(5).copy_from_slice(b"hello");
        buffer.extend(BLOCK * 40).fill(1);
        assert_eq!((buffer.len(), buffer.blocks().len()), (5 + BLOCK * 40, BLOCK * 41));
        assert!(buffer.bytes().starts_with(b"hello\x01") && buffer.blocks().as_ptr().addr().is_multiple_of(BLOCK));
        buffer.pad();
        assert!(buffer.len() == BLOCK * 41 && buffer.bytes()[BLOCK * 40..][4..6] == [1, 0]);
        buffer.clear();
        assert!(buffer.is_empty() && buffer.capacity() >= BLOCK * 41);
        assert!(Aligned::zeroed(10).bytes().iter().all(|&byte| byte == 0));
    }
}

//! Memory that a disk takes as it is: it begins at a block's boundary and is whole blocks long (what O_DIRECT asks for).

use std::fmt;

use bytemuck::{Pod, Zeroable};

/// Bytes of a block: what the disk writes at least, and the alignment of memory and of places in a file.
pub const BLOCK: usize = 4096;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK]);

/// A growing run of bytes in aligned memory. What was never written is zero.
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
    /// Zeros, `len` of them.
    pub fn zeroed(len: usize) -> Aligned {
        Aligned { blocks: bytemuck::zeroed_vec(len.div_ceil(BLOCK)), len }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, and behind them those up to the end of the last block.
    pub fn blocks(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len.next_multiple_of(BLOCK)]
    }

    /// The same, to be written to.
    pub fn blocks_mut(&mut self) -> &mut [u8] {
        let len = self.len.next_multiple_of(BLOCK);
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..len]
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }

    /// Room for `len` more bytes at the end, to be filled.
    #[inline]
    pub fn extend(&mut self, len: usize) -> &mut [u8] {
        let begin = self.len;
        self.len += len;
        if self.len > self.blocks.len() * BLOCK {
            self.grow();
        }
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[begin..begin + len]
    }

    /// Fills up with zeros to a block's end.
    pub fn pad(&mut self) {
        let missing = self.len.next_multiple_of(BLOCK) - self.len;
        self.extend(missing).fill(0);
    }

    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Bytes of memory.
    pub fn capacity(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    #[cold]
    fn grow(&mut self) {
        let blocks = self.len.div_ceil(BLOCK).max(2 * self.blocks.len()).max(BLOCKS_MIN);
        self.blocks.resize(blocks, Block([0; BLOCK]));
    }
}

/// Blocks that a buffer has once it has any.
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

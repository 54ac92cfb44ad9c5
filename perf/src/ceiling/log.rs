//! The log of the durable variant: every message is copied into a buffer, and one O_DIRECT|O_DSYNC
//! write takes all that has come since the last one began. It needs no timer: while a write is
//! under way, the next batch fills.
//!
//! ```text
//! record   │ length u32 │ route length u32 │ sequence u64 │ route │ content │
//!          padded to a block at the end of a batch
//! file     written with zeros once, then overwritten in a circle
//! ```

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use super::buffers::allocate;
use crate::disk;

/// The log.
pub struct Log {
    file: File,
    file_bytes: u64,
    offset: u64,
    /// One buffer fills while the other is written.
    buffers: [&'static mut [u8]; 2],
    filling: usize,
    filled: usize,
    /// Whether a write is under way.
    pub writing: bool,
    sequence: u64,
}

impl Log {
    /// Makes the file.
    pub fn open(path: &Path, file_bytes: u64) -> io::Result<Log> {
        let file = disk::prepared(path, file_bytes)?;
        // SAFETY: each allocation has BUFFER_BYTES bytes, is never freed, and is only referred to
        // here.
        let buffers = [(); 2].map(|()| unsafe { std::slice::from_raw_parts_mut(allocate(BUFFER_BYTES, 2 << 20), BUFFER_BYTES) });
        Ok(Log { file, file_bytes, offset: 0, buffers, filling: 0, filled: 0, writing: false, sequence: 0 })
    }

    /// Appends a message.
    #[inline]
    pub fn append(&mut self, route: &[u8], content: &[u8]) {
        let len = RECORD_HEADER + route.len() + content.len();
        let record = &mut self.buffers[self.filling][self.filled..self.filled + len];
        self.sequence += 1;
        record[..4].copy_from_slice(&(len as u32).to_le_bytes());
        record[4..8].copy_from_slice(&(route.len() as u32).to_le_bytes());
        record[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        record[16..16 + route.len()].copy_from_slice(route);
        record[16 + route.len()..].copy_from_slice(content);
        self.filled += len;
    }

    /// Whether the messages that one turn may bring still fit.
    pub fn has_room(&self) -> bool {
        BUFFER_BYTES - self.filled >= TURN_BYTES_MAX
    }

    /// Takes the batch for a write. Returns the file, the bytes, and their offset in it.
    pub fn seal(&mut self) -> Option<(RawFd, &[u8], u64)> {
        if self.writing || self.filled == 0 {
            return None;
        }
        let len = self.filled.next_multiple_of(BLOCK);
        self.buffers[self.filling][self.filled..len].fill(0);
        if self.offset + len as u64 > self.file_bytes {
            self.offset = 0;
        }
        let (sealed, offset) = (self.filling, self.offset);
        self.offset += len as u64;
        (self.filling, self.filled, self.writing) = (1 - sealed, 0, true);
        Some((self.file.as_raw_fd(), &self.buffers[sealed][..len], offset))
    }
}

const RECORD_HEADER: usize = 16;
const BLOCK: usize = 4096;
const BUFFER_BYTES: usize = 32 << 20;
/// All that one turn may bring: all receive buffers once, and a long message that they complete.
const TURN_BYTES_MAX: usize = 16 << 20;

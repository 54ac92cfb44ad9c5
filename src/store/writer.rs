//! Batches on their way to the disk.
//!
//! ```text
//! extend ─▶ [batch that fills] ─ close ─▶ closed, oldest first ─ next ─▶ under way ─▶ on_written
//! ```
//!
//! A batch belongs to one segment and has its offset there from the beginning. It is closed when it
//! is full, when its segment is full, or when the disk is free.

use std::collections::VecDeque;

use super::format::{self, BATCH};
use super::segment::Segments;
use crate::base::aligned::Aligned;
use crate::base::limits::LOG_BATCH_SIZE;

/// One write.
#[derive(Debug)]
pub struct Write {
    /// The segment.
    pub segment: u32,
    /// The offset, in whole blocks.
    pub place: u64,
    /// The bytes, in whole blocks.
    pub buffer: Aligned,
    /// The number of the batch.
    pub batch: u64,
    /// The highest number of a queue whose first message in the segment is in this batch; the
    /// catalog's files must have the queue before.
    pub newest_queue: u64,
}

/// The writes of a log.
pub struct Writer {
    /// The segment of the batch that fills.
    segment: u32,
    /// Its offset there.
    place: u64,
    /// Its bytes; empty if no batch was begun.
    buffer: Aligned,
    /// Its number.
    number: u64,
    newest_queue: u64,
    closed: VecDeque<Write>,
    closed_bytes: usize,
    writing: bool,
    durable: u64,
    spare: Vec<Aligned>,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer {
            segment: 0,
            place: 0,
            buffer: Aligned::default(),
            number: 1,
            newest_queue: 0,
            closed: VecDeque::new(),
            closed_bytes: 0,
            writing: false,
            durable: 0,
            spare: Vec::new(),
        }
    }
}

impl Writer {
    /// Makes a writer that goes on after batch `last`, which is on the disk.
    pub fn after(last: u64) -> Writer {
        Writer { number: last + 1, durable: last, ..Writer::default() }
    }

    /// The number of the batch that fills, or of the next one.
    pub fn filling(&self) -> u64 {
        self.number
    }

    /// The last batch on the disk.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Number of bytes that were not given to the disk yet.
    pub fn staged(&self) -> usize {
        self.closed_bytes + self.buffer.len()
    }

    /// Whether a write is under way.
    pub fn is_writing(&self) -> bool {
        self.writing
    }

    /// Whether a closed batch waits to be written.
    pub fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// The end of the batch that fills in its segment; 0 if there is none.
    pub fn end(&self) -> u64 {
        if self.buffer.is_empty() { 0 } else { self.place + self.buffer.len() as u64 }
    }

    /// Whether the batch that fills has any records.
    pub fn has_records(&self) -> bool {
        self.buffer.len() > BATCH
    }

    /// Whether the batch that fills should be closed before a record of `len` bytes.
    pub fn is_full(&self, len: usize) -> bool {
        !self.buffer.is_empty() && self.buffer.len() + len > LOG_BATCH_SIZE
    }

    /// Begins a batch if there is none. Returns whether it did.
    pub fn begin(&mut self, segments: &mut Segments) -> bool {
        if !self.buffer.is_empty() {
            return false;
        }
        (self.segment, self.place) = segments.current();
        self.buffer = self.spare.pop().unwrap_or_default();
        self.buffer.extend(BATCH).fill(0);
        true
    }

    /// Adds `len` bytes for a record to the batch that fills. Returns its segment, their offset
    /// there, and the bytes.
    #[inline]
    pub fn extend(&mut self, len: usize) -> (u32, u32, &mut [u8]) {
        let at = u32::try_from(self.place + self.buffer.len() as u64).expect("a segment is shorter than 4 GiB");
        (self.segment, at, self.buffer.extend(len))
    }

    /// Notes that the batch that fills has messages of a queue that had none in the segment.
    pub fn has_queue(&mut self, number: u64) {
        self.newest_queue = self.newest_queue.max(number);
    }

    /// Closes the batch that fills, if there is one.
    pub fn close(&mut self, segments: &mut Segments) {
        if self.buffer.is_empty() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.pad();
        format::write_batch(buffer.blocks_mut(), self.segment, self.number);
        segments.grow(buffer.len() as u64);
        self.closed_bytes += buffer.len();
        let newest_queue = std::mem::take(&mut self.newest_queue);
        self.closed.push_back(Write { segment: self.segment, place: self.place, buffer, batch: self.number, newest_queue });
        self.number += 1;
    }

    /// Returns the next write, if it is allowed already. There is no other until it is on the disk.
    pub fn next(&mut self, may_be_done: impl Fn(&Write) -> bool) -> Option<Write> {
        let write = self.closed.pop_front_if(|write| may_be_done(write))?;
        self.writing = true;
        Some(write)
    }

    /// Frees the buffers that are kept for the next batches.
    pub fn give_back(&mut self) {
        self.spare = Vec::new();
    }

    /// Notes that the write is on the disk.
    pub fn on_written(&mut self, write: Write) {
        assert!(self.writing, "a write ends that was begun");
        self.writing = false;
        self.closed_bytes -= write.buffer.len();
        self.durable = write.batch;
        let mut buffer = write.buffer;
        if self.spare.len() < SPARE_BUFFERS && buffer.capacity() <= 2 * LOG_BATCH_SIZE {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// Number of buffers that are kept for the next batches: one fills while another is written.
const SPARE_BUFFERS: usize = 2;

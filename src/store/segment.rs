//! The segments of a log: their files, their live messages, and which of them should be deleted or
//! compacted.
//!
//! ```text
//! wanted ─ Op::Create ─▶ ready ─▶ current ─ full: sealed ─▶ index written ─┬▶ half dead: compacted
//!                                                                          └▶ dead: deleted
//! ```
//!
//! One segment is always made ahead, as soon as the current one has its first batch on the disk. So
//! if a segment is empty although the next one exists, its content was lost. If the disk has no
//! free space for the next segment, the current one is the reserve that still takes
//! acknowledgements while publishers wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::format::{Placement, RETURNED, Range, Returned, SETTLED};
use super::index::{DIRECTORY, Entry, Index, Indexing, Words};
use super::writer::Write;
use crate::base::aligned::BLOCK;
use crate::base::limits::LOG_SEGMENT_SIZE;

/// All segments of a log.
pub struct Segments {
    list: BTreeMap<u32, Segment>,
    current: u32,
    /// The index of the current segment.
    index: Index,
    /// The last segment whose file was asked for.
    asked: u32,
    /// The last segment whose file is ready.
    ready: u32,
    size: u64,
    live_bytes: u64,
}

/// One segment.
#[derive(Debug, Default)]
pub struct Segment {
    /// The end of the closed batches, bytes.
    end: u64,
    /// The end of the batches that are on the disk, bytes.
    pub written: u64,
    /// Number of live messages, counted once per queue.
    pub live: u64,
    /// Bytes of live messages.
    pub live_bytes: u64,
    /// Size of the file, bytes.
    pub size: u64,
    /// The index, as long as it is not on the disk.
    pub index: Option<Arc<Index>>,
    /// Whether the index is on the disk.
    pub sealed: bool,
    /// Slots of queues that have an extent here.
    pub queues: Vec<u32>,
    /// The settled ranges that its records say.
    pub words: Words,
    /// Whether it is being deleted or compacted.
    pub retiring: bool,
    /// Whether other segments need its settled ranges though it has no live messages.
    is_needed: bool,
}

impl Segments {
    /// Makes an empty list; the first segment will be number `first`.
    pub fn new(first: u32) -> Segments {
        Segments {
            list: BTreeMap::new(),
            current: first,
            index: Index::default(),
            asked: first - 1,
            ready: first - 1,
            size: 0,
            live_bytes: 0,
        }
    }

    /// Adds a segment that a restart has found; its number is below that of the first new one.
    pub fn found(&mut self, number: u32, segment: Segment) {
        self.size += segment.size;
        self.live_bytes += segment.live_bytes;
        self.list.insert(number, segment);
    }

    /// The current segment, and the offset of its next batch.
    pub fn current(&mut self) -> (u32, u64) {
        let size = LOG_SEGMENT_SIZE as u64;
        let segment = self.list.entry(self.current).or_insert_with(|| {
            self.size += size;
            Segment { size, end: HEAD_SIZE, written: HEAD_SIZE, ..Segment::default() }
        });
        (self.current, segment.end)
    }

    /// The segments whose files are to be made now: the current one, and the next one once
    /// something of the current one is on the disk.
    pub fn wanted(&mut self) -> impl Iterator<Item = u32> + use<> {
        let from = self.asked + 1;
        let is_begun = self.written(self.current) > HEAD_SIZE;
        self.asked = self.asked.max(self.current + u32::from(is_begun));
        from..=self.asked
    }

    /// Whether the file of a segment is ready to be written.
    pub fn is_ready(&self, number: u32) -> bool {
        number <= self.ready
    }

    /// Notes that a file is ready.
    pub fn on_created(&mut self, number: u32) {
        self.ready = self.ready.max(number);
    }

    /// Whether the next segment's file is ready. (If not, the current segment is reserved for
    /// acknowledgements.)
    pub fn is_next_ready(&self) -> bool {
        self.is_ready(self.current + 1)
    }

    /// Whether a record of `len` bytes, and this number of settled ranges, should go to the next
    /// segment. `filling` is the end of the batch that fills, or 0.
    pub fn is_full(&self, filling: u64, len: usize, settled: usize) -> bool {
        let end = filling.max(self.list.get(&self.current).map_or(0, |segment| segment.end));
        let queues = self.list.get(&self.current).map_or(0, |segment| segment.queues.len());
        let words = (self.index.settled.len() + settled) * SETTLED + self.index.returns.len() * RETURNED;
        let index = self.index.entries.len() * ENTRY_GUESS + words + queues * DIRECTORY;
        end > HEAD_SIZE && end + (len + settled * SETTLED + index) as u64 + INDEX_GUESS > LOG_SEGMENT_SIZE as u64
    }

    /// Notes that a batch of the current segment was closed.
    pub fn grow(&mut self, len: u64) {
        self.of(self.current).end += len;
    }

    /// Notes a record of messages in the current segment: its offset and length, and by how much
    /// the bytes of live messages have grown.
    pub fn added(&mut self, placements: &[Placement], count: u32, transient: bool, (at, len): (u32, u32), gained: u64) {
        self.index.place(placements, count, transient, at, len);
        let segment = self.list.get_mut(&self.current).expect("a batch was begun");
        segment.live += placements.len() as u64 * u64::from(count);
        segment.live_bytes += gained;
        self.live_bytes += gained;
    }

    /// Notes that a record in the current segment settles a range.
    pub fn settled(&mut self, range: Range) {
        self.index.settle(range);
    }

    /// Notes that a record in the current segment says how often messages came back.
    pub fn returned(&mut self, returned: Returned) {
        self.index.returns.push(returned);
    }

    /// Notes that a queue has an extent in this segment.
    pub fn has_queue(&mut self, number: u32, slot: u32) {
        self.of(number).queues.push(slot);
    }

    /// Ends the current segment, whose last batch is number `batch`, and begins the next one.
    /// Returns the index to be written.
    pub fn seal(&mut self, batch: u64) -> Option<Indexing> {
        let number = self.current;
        let index = Arc::new(std::mem::take(&mut self.index));
        let segment = self.list.get_mut(&number).filter(|segment| segment.end > HEAD_SIZE)?;
        let end = u32::try_from(segment.end).expect("a segment is shorter than 4 GiB");
        segment.index = Some(index.clone());
        self.current += 1;
        Some(Indexing { segment: number, index, end, batch, size: LOG_SEGMENT_SIZE as u64 })
    }

    /// Notes that a batch is on the disk.
    pub fn on_written(&mut self, write: &Write) {
        self.of(write.segment).written = write.place + write.buffer.len() as u64;
    }

    /// Notes that the index of a segment is on the disk.
    pub fn on_indexed(&mut self, number: u32, size: u64, words: Words) {
        let segment = self.list.get_mut(&number).expect("it is not retired before");
        self.size = self.size - segment.size + size;
        (segment.size, segment.words) = (size, words);
        (segment.sealed, segment.index) = (true, None);
    }

    /// Notes that messages of a segment are settled.
    pub fn lose(&mut self, number: u32, count: u32, bytes: u64) {
        let segment = self.of(number);
        segment.live -= u64::from(count);
        segment.live_bytes -= bytes;
        self.live_bytes -= bytes;
    }

    /// The entries of a queue in a segment whose index is in memory.
    pub fn entries(&self, number: u32, queue: u64) -> Option<Vec<Entry>> {
        if number == self.current {
            Some(self.index.of(queue))
        } else {
            self.list.get(&number)?.index.as_ref().map(|index| index.of(queue))
        }
    }

    /// The end of the batches of a segment that are on the disk.
    pub fn written(&self, number: u32) -> u64 {
        self.list.get(&number).map_or(0, |segment| segment.written)
    }

    /// Size of all files, bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of live messages.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// The next segment without live messages, unless it is known that other segments need its
    /// settled ranges.
    pub fn next_dead(&self) -> Option<u32> {
        let is_dead = |segment: &Segment| segment.is_idle() && segment.live == 0 && !segment.is_needed;
        self.list.iter().find(|(_, segment)| is_dead(segment)).map(|(&number, _)| number)
    }

    /// Notes that other segments need the settled ranges of a dead segment, until one of them is
    /// deleted or rewritten.
    pub fn keep_words(&mut self, number: u32) {
        self.of(number).is_needed = true;
    }

    /// Notes that dead segments may not be needed any more.
    pub fn look_again(&mut self) {
        self.list.values_mut().for_each(|segment| segment.is_needed = false);
    }

    /// The segment with the most dead bytes, if the files take too much space and at least half of
    /// the segment is dead.
    pub fn next_sparse(&self) -> Option<u32> {
        if self.size <= 2 * self.live_bytes + 2 * LOG_SEGMENT_SIZE as u64 {
            return None;
        }
        let is_sparse = |segment: &Segment| segment.is_idle() && segment.dead_bytes() > segment.live_bytes;
        let sparse = self.list.iter().filter(|(_, segment)| is_sparse(segment));
        sparse.max_by_key(|(_, segment)| segment.dead_bytes()).map(|(&number, _)| number)
    }

    /// Begins to delete or compact a segment.
    pub fn retire(&mut self, number: u32) -> &Segment {
        let segment = self.of(number);
        segment.retiring = true;
        segment
    }

    /// The queues of which a segment says that messages are settled, with a range around these.
    pub fn words(&self, number: u32) -> &[Range] {
        self.list.get(&number).map_or(&[], |segment| &segment.words.hulls)
    }

    /// The slots of the queues with an extent in a segment.
    pub fn queues(&self, number: u32) -> Vec<u32> {
        let mut queues = self.list.get(&number).map(|segment| segment.queues.clone()).unwrap_or_default();
        queues.sort_unstable();
        queues.dedup(); // a slot may have been used by two queues
        queues
    }

    /// Notes that the file of a segment was rewritten: its size and its content.
    pub fn compacted(&mut self, number: u32, size: u64, queues: Vec<u32>, live_bytes: u64, words: Words) {
        let segment = self.list.get_mut(&number).expect("it is being compacted");
        self.size = self.size - segment.size + size;
        self.live_bytes = self.live_bytes - segment.live_bytes + live_bytes;
        (segment.size, segment.queues, segment.live_bytes) = (size, queues, live_bytes);
        (segment.retiring, segment.words) = (false, words);
        self.look_again();
    }

    /// Removes a segment that is deleted.
    pub fn remove(&mut self, number: u32) {
        if let Some(segment) = self.list.remove(&number) {
            self.size -= segment.size;
            self.live_bytes -= segment.live_bytes;
            self.look_again();
        }
    }

    fn of(&mut self, number: u32) -> &mut Segment {
        self.list.get_mut(&number).expect("named segments are in the list")
    }
}

impl Segment {
    /// Makes a segment that a restart has found sealed.
    pub fn sealed(end: u64, size: u64, words: Words) -> Segment {
        Segment { end, written: end, size, sealed: true, words, ..Segment::default() }
    }

    fn is_idle(&self) -> bool {
        self.sealed && !self.retiring
    }

    /// Bytes that compacting the segment would save, approximately.
    fn dead_bytes(&self) -> u64 {
        self.size.saturating_sub(self.live_bytes + self.words.bytes + OVERHEAD_GUESS)
    }
}

/// Size of a file before its first batch, bytes.
const HEAD_SIZE: u64 = BLOCK as u64;
/// Size of a file without its messages and settled ranges, approximately, bytes.
const OVERHEAD_GUESS: u64 = 64 << 10;
/// Size of an index without its entries, bytes, for which space is left in a segment. It may be too
/// small without harm.
const INDEX_GUESS: u64 = 16 << 10;
/// Size of an entry of an index, bytes, for the same purpose.
const ENTRY_GUESS: usize = 8;

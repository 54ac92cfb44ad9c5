//! The segments of a log: which there are, what lives in each, and which are worth to be deleted or put in order.
//!
//! ```text
//! wanted ─ Op::Create ─▶ ready ──▶ the current one ── full: sealed ──▶ index on the disk ──▶ half dead: compacted ──▶ dead: deleted
//! ```
//!
//! One segment is always made ready ahead, as soon as the current one has its first batch on the disk: so one that holds nothing though the next one
//! is there has lost what it held. If there is no room on the disk for that, the current one is the reserve in which acknowledgements still find room
//! while publishers wait.

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
    /// What the current one holds.
    index: Index,
    /// The last one whose file was asked for, and the last one whose file is ready.
    asked: u32,
    ready: u32,
    size: u64,
    live_bytes: u64,
}

/// One segment.
#[derive(Debug, Default)]
pub struct Segment {
    /// Where closed batches end, and those that are on the disk.
    end: u64,
    pub written: u64,
    /// Messages that live, counted once per queue, and their bytes.
    pub live: u64,
    pub live_bytes: u64,
    /// Bytes of the file.
    pub size: u64,
    /// What it holds, as long as that is not on the disk.
    pub index: Option<Arc<Index>>,
    /// The index is on the disk.
    pub sealed: bool,
    /// Slots of queues that have an extent here.
    pub queues: Vec<u32>,
    /// What is settled here.
    pub words: Words,
    /// It is being deleted or compacted.
    pub retiring: bool,
    /// Nothing lives here, but others need its words.
    is_needed: bool,
}

impl Segments {
    /// No segment yet; the first will be number `first`.
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

    /// A segment that a restart has found; it is below the first new one.
    pub fn found(&mut self, number: u32, segment: Segment) {
        self.size += segment.size;
        self.live_bytes += segment.live_bytes;
        self.list.insert(number, segment);
    }

    /// The segment that fills, and where the next batch goes there.
    pub fn current(&mut self) -> (u32, u64) {
        let size = LOG_SEGMENT_SIZE as u64;
        let segment = self.list.entry(self.current).or_insert_with(|| {
            self.size += size;
            Segment { size, end: HEAD_SIZE, written: HEAD_SIZE, ..Segment::default() }
        });
        (self.current, segment.end)
    }

    /// The segments whose files are to be made now: the current one, and the one behind it once something of the current one is on the disk.
    pub fn wanted(&mut self) -> impl Iterator<Item = u32> + use<> {
        let from = self.asked + 1;
        let is_begun = self.written(self.current) > HEAD_SIZE;
        self.asked = self.asked.max(self.current + u32::from(is_begun));
        from..=self.asked
    }

    /// Whether the file of a segment can be written to.
    pub fn is_ready(&self, number: u32) -> bool {
        number <= self.ready
    }

    /// The file is ready.
    pub fn on_created(&mut self, number: u32) {
        self.ready = self.ready.max(number);
    }

    /// Whether the next segment can be written to as soon as this one is full. (If not, acknowledgements have this one to themselves.)
    pub fn is_next_ready(&self) -> bool {
        self.is_ready(self.current + 1)
    }

    /// Whether a record of `len` bytes, and so many settled ranges, should go to the next segment. `filling` is where the batch that fills ends, or 0.
    pub fn is_full(&self, filling: u64, len: usize, settled: usize) -> bool {
        let end = filling.max(self.list.get(&self.current).map_or(0, |segment| segment.end));
        let queues = self.list.get(&self.current).map_or(0, |segment| segment.queues.len());
        let words = (self.index.settled.len() + settled) * SETTLED + self.index.returns.len() * RETURNED;
        let index = self.index.entries.len() * ENTRY_GUESS + words + queues * DIRECTORY;
        end > HEAD_SIZE && end + (len + settled * SETTLED + index) as u64 + INDEX_GUESS > LOG_SEGMENT_SIZE as u64
    }

    /// A batch of the current segment was closed.
    pub fn grow(&mut self, len: u64) {
        self.of(self.current).end += len;
    }

    /// A record of messages went to the current segment: its place and length, and by how much the bytes of what lives have grown.
    pub fn added(&mut self, placements: &[Placement], count: u32, transient: bool, (at, len): (u32, u32), gained: u64) {
        self.index.place(placements, count, transient, at, len);
        let segment = self.list.get_mut(&self.current).expect("a batch was begun");
        segment.live += placements.len() as u64 * u64::from(count);
        segment.live_bytes += gained;
        self.live_bytes += gained;
    }

    /// A record in the current segment says so.
    pub fn settled(&mut self, range: Range) {
        self.index.settle(range);
    }

    /// A record in the current segment says how often messages came back.
    pub fn returned(&mut self, returned: Returned) {
        self.index.returns.push(returned);
    }

    /// A queue has an extent in this segment.
    pub fn has_queue(&mut self, number: u32, slot: u32) {
        self.of(number).queues.push(slot);
    }

    /// The current segment is full, its last batch being number `batch`: its index is to be written, and the next one begins.
    pub fn seal(&mut self, batch: u64) -> Option<Indexing> {
        let number = self.current;
        let index = Arc::new(std::mem::take(&mut self.index));
        let segment = self.list.get_mut(&number).filter(|segment| segment.end > HEAD_SIZE)?;
        let end = u32::try_from(segment.end).expect("a segment is shorter than 4 GiB");
        segment.index = Some(index.clone());
        self.current += 1;
        Some(Indexing { segment: number, index, end, batch, size: LOG_SEGMENT_SIZE as u64 })
    }

    /// A batch is on the disk.
    pub fn on_written(&mut self, write: &Write) {
        self.of(write.segment).written = write.place + write.buffer.len() as u64;
    }

    /// The index of a segment is on the disk.
    pub fn on_indexed(&mut self, number: u32, size: u64, words: Words) {
        let segment = self.list.get_mut(&number).expect("it is not retired before");
        self.size = self.size - segment.size + size;
        (segment.size, segment.words) = (size, words);
        (segment.sealed, segment.index) = (true, None);
    }

    /// Messages of a segment are gone.
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

    /// How much of a segment is on the disk.
    pub fn written(&self, number: u32) -> u64 {
        self.list.get(&number).map_or(0, |segment| segment.written)
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of what lives.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// The next segment in which nothing lives, and of which it is not known that others need its words.
    pub fn next_dead(&self) -> Option<u32> {
        let is_dead = |segment: &Segment| segment.is_idle() && segment.live == 0 && !segment.is_needed;
        self.list.iter().find(|(_, segment)| is_dead(segment)).map(|(&number, _)| number)
    }

    /// Others need what a dead segment says, until one of them goes or is rewritten.
    pub fn keep_words(&mut self, number: u32) {
        self.of(number).is_needed = true;
    }

    /// Dead segments may not be needed any more.
    pub fn look_again(&mut self) {
        self.list.values_mut().for_each(|segment| segment.is_needed = false);
    }

    /// The segment with the most bytes of dead messages, if the files take more than they may and these are at least half of it.
    pub fn next_sparse(&self) -> Option<u32> {
        if self.size <= 2 * self.live_bytes + 2 * LOG_SEGMENT_SIZE as u64 {
            return None;
        }
        let is_sparse = |segment: &Segment| segment.is_idle() && segment.dead_bytes() > segment.live_bytes;
        let sparse = self.list.iter().filter(|(_, segment)| is_sparse(segment));
        sparse.max_by_key(|(_, segment)| segment.dead_bytes()).map(|(&number, _)| number)
    }

    /// A segment begins to be deleted or compacted.
    pub fn retire(&mut self, number: u32) -> &Segment {
        let segment = self.of(number);
        segment.retiring = true;
        segment
    }

    /// What a segment says to be settled: of which queues, and from which message to which.
    pub fn words(&self, number: u32) -> &[Range] {
        self.list.get(&number).map_or(&[], |segment| &segment.words.hulls)
    }

    /// The slots of the queues that have something in a segment.
    pub fn queues(&self, number: u32) -> Vec<u32> {
        let mut queues = self.list.get(&number).map(|segment| segment.queues.clone()).unwrap_or_default();
        queues.sort_unstable();
        queues.dedup(); // a slot that was given twice meanwhile
        queues
    }

    /// The file of a segment was rewritten: its size, and what it holds.
    pub fn compacted(&mut self, number: u32, size: u64, queues: Vec<u32>, live_bytes: u64, words: Words) {
        let segment = self.list.get_mut(&number).expect("it is being compacted");
        self.size = self.size - segment.size + size;
        self.live_bytes = self.live_bytes - segment.live_bytes + live_bytes;
        (segment.size, segment.queues, segment.live_bytes) = (size, queues, live_bytes);
        (segment.retiring, segment.words) = (false, words);
        self.look_again();
    }

    /// The segment is gone.
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
    /// A segment that a restart has found sealed.
    pub fn sealed(end: u64, size: u64, words: Words) -> Segment {
        Segment { end, written: end, size, sealed: true, words, ..Segment::default() }
    }

    fn is_idle(&self) -> bool {
        self.sealed && !self.retiring
    }

    /// Bytes that would be won if it was rewritten, about.
    fn dead_bytes(&self) -> u64 {
        self.size.saturating_sub(self.live_bytes + self.words.bytes + OVERHEAD_GUESS)
    }
}

/// Bytes of a file before its first batch.
const HEAD_SIZE: u64 = BLOCK as u64;
/// Bytes of a file without its messages and its words.
const OVERHEAD_GUESS: u64 = 64 << 10;
/// Bytes that an index may take beside its entries, and bytes of one entry: so much of a segment is left for them. It is no harm if that is too few.
const INDEX_GUESS: u64 = 16 << 10;
const ENTRY_GUESS: usize = 8;

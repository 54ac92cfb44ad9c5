//! The log of one shard: messages that must survive a restart, or for which memory is short. It
//! performs nothing; its driver carries out the [`Op`]s.
//!
//! ```text
//! append, settle ─▶ batch that fills ─▶ closed batches ─▶ Op::Write ─▶ on_written: the durable
//!                         │                               watermark moves, confirms can be sent
//!                         └─ a full segment: the next one (Op::Create, one ahead), and Op::Index
//! load ─▶ Op::Read: entries of an extent, then records ─▶ on_read: messages back in memory
//! ```
//!
//! One write is under way at a time, and all that arrives in the meantime is the next one: group
//! commit, without a timer. A caller that waits for the disk remembers [`Store::position`] and
//! waits until [`Store::durable`] reaches it.
//!
//! The parts: [`format`] of the files; [`writer`] of batches; [`segment`] files and their live
//! messages; [`queue_log`], the part of a queue; [`loader`], which reads messages back;
//! [`returns`], how often they came back; [`arrivals`] from other shards; [`compact`], which
//! reclaims space; [`recover`], which restores a log by a [`scan`] or the [`index`] of a segment;
//! [`catalog_log`], the log of the catalog, on shard 0.

pub mod arrivals;
pub mod catalog_log;
pub mod compact;
pub mod format;
pub mod index;
mod loader;
mod queue_log;
pub mod recover;
mod returns;
mod scan;
mod segment;
mod writer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use slab::Slab;

use crate::base::hash::Map;
use crate::base::ids::LevelAddr;
use crate::base::limits::{LOG_LAZY_SIZE, LOG_RECORD_SIZE, LOG_STAGED_MAX};
use crate::base::pieces::Pieces;
use crate::message::{Content, MessageView, Route, Stamp};

use arrivals::Arrivals;
use compact::{Compaction, Retiring};
use format::{Placement, Range, TRANSIENT};
use index::{Indexed, Indexing};
use queue_log::QueueLog;
use segment::Segments;
use writer::Writer;

pub use loader::{Damage, Loaded, Past, Reader};
pub use returns::Counts;
pub use writer::Write;

/// The log of one shard.
pub struct Store {
    segments: Segments,
    writer: Writer,
    /// Ranges settled since the last batch was closed.
    settled: Vec<Range>,
    /// Messages that have come from other shards.
    arrivals: Arrivals,
    /// By slot: how often messages came back, as far as that is not in a record yet.
    noted: BTreeMap<u32, Pieces<Counts>>,
    /// Numbers of queues with records of how often messages came back.
    counting: BTreeSet<u64>,
    /// The open queues, by slot.
    queues: Slab<Box<QueueLog>>,
    /// Queue number → slot.
    slots: Map<u64, u32>,
    /// The parts of queues that a restart has found and that are not open yet.
    found: Map<u64, QueueLog>,
    /// Slots and numbers of queues whose reads wait for the next write.
    waiting: Vec<(u32, u64)>,
    /// Full segments that wait until their last batch is on the disk.
    full: VecDeque<Indexing>,
    /// Number of segments whose index is being written.
    indexing: usize,
    /// Number of found segments that must get an index before anything is written.
    mending: usize,
    /// Whether a segment is being rewritten.
    compacting: bool,
    retiring: Retiring,
    ops: VecDeque<Op>,
    /// Whether damaged parts are left out instead of refused.
    accept_loss: bool,
    /// Whether the last closed batch has messages and nothing follows it.
    unmarked: bool,
    /// The catalog's files have all queues below this number: others are not written.
    known: u64,
    /// Whether something was written or dropped, so that there may be dead segments.
    has_news: bool,
    /// Working memory of `append`.
    placements: Vec<Placement>,
}

/// An operation for the driver.
#[derive(Debug)]
pub enum Op {
    /// Make the file of this segment, LOG_SEGMENT_SIZE zeros; [`Store::on_created`] follows.
    Create(u32),
    /// Write and sync; [`Store::on_written`] follows. One at a time.
    Write(Write),
    /// Read a number of bytes of a segment from an offset, both in whole blocks; the file may end
    /// before. [`Store::on_read`] follows.
    Read(Reader, u32, u64, usize),
    /// Make the index of a full segment on another thread, see [`Indexing::run`], and write it;
    /// [`Store::on_indexed`] follows.
    Index(Box<Indexing>),
    /// Rewrite a segment's file on another thread, see [`Compaction::run`]; [`Store::on_compacted`]
    /// follows, or [`Store::on_left`].
    Compact(Box<Compaction>),
    /// Delete a segment's file.
    Delete(u32),
}

/// A queue that gets messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The queue.
    pub slot: u32,
    /// The first message's sequence number.
    pub first: u64,
}

/// A queue that was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// The slot by which the log knows the queue from now on.
    pub slot: u32,
    /// The first free sequence number.
    pub next: u64,
    /// Number of messages that a restart has found, none of them in memory.
    pub count: u64,
}

impl Store {
    /// Makes an empty log, whose first segment has this number.
    pub fn new(first_segment: u32) -> Store {
        Store {
            segments: Segments::new(first_segment),
            writer: Writer::default(),
            settled: Vec::new(),
            arrivals: Arrivals::default(),
            noted: BTreeMap::new(),
            counting: BTreeSet::new(),
            queues: Slab::new(),
            slots: Map::default(),
            found: Map::default(),
            waiting: Vec::new(),
            full: VecDeque::new(),
            indexing: 0,
            mending: 0,
            compacting: false,
            retiring: Retiring::default(),
            ops: VecDeque::new(),
            accept_loss: false,
            unmarked: false,
            known: u64::MAX,
            has_news: true,
            placements: Vec::new(),
        }
    }

    /// The queue or level of this number, if it is open.
    pub fn level(&self, number: u64) -> Option<LevelAddr> {
        self.slots.get(&number).map(|&slot| self.queues[slot as usize].level)
    }

    /// The number of a queue.
    pub fn number(&self, slot: u32) -> Option<u64> {
        self.queues.get(slot as usize).map(|log| log.number)
    }

    /// Opens a queue, or a level of one, which is a queue of its own here.
    pub fn open_queue(&mut self, number: u64, level: LevelAddr) -> Opened {
        let mut log = self.found.remove(&number).unwrap_or_default();
        (log.number, log.level) = (number, level);
        let entry = self.queues.vacant_entry();
        let slot = entry.key() as u32;
        let last = log.extents.back().map(|extent| extent.last).max(log.settled.last()).max(log.stated.last());
        let next = last.map_or(0, |last| last + 1);
        let count = log.extents.iter().map(|extent| u64::from(extent.live)).sum();
        for extent in &log.extents {
            self.segments.has_queue(extent.segment, slot);
        }
        entry.insert(Box::new(log));
        self.slots.insert(number, slot);
        Opened { slot, next, count }
    }

    /// Closes a queue whose slot another queue may get. The log keeps its messages.
    pub fn leave_queue(&mut self, slot: u32) {
        if let Some(log) = self.queues.try_remove(slot as usize) {
            self.noted.remove(&slot);
            self.slots.remove(&log.number);
            self.found.insert(log.number, *log);
        }
    }

    /// Closes a queue that is deleted, and drops its messages.
    pub fn close_queue(&mut self, slot: u32) {
        if let Some(log) = self.queues.try_remove(slot as usize) {
            self.noted.remove(&slot);
            self.slots.remove(&log.number);
            self.drop_log(&log);
            self.has_news = true;
        }
    }

    /// The numbers of queues that a restart has found and that are not open yet.
    pub fn found(&self) -> impl Iterator<Item = u64> {
        self.found.keys().copied()
    }

    /// Those queues from `number` on that have live messages: number, a segment, count.
    pub fn found_from(&self, number: u64) -> impl Iterator<Item = (u64, u32, u64)> {
        let is_asked_for = move |queue: u64| !format::is_fleeting(queue) && format::split_number(queue).0 >= number;
        self.found.iter().filter(move |(queue, _)| is_asked_for(**queue)).filter_map(|(&queue, log)| {
            let living = log.extents.iter().filter(|extent| extent.live > 0);
            let count = living.clone().map(|extent| u64::from(extent.live)).sum();
            Some((queue, living.into_iter().next()?.segment, count))
        })
    }

    /// Whether a restart has found the queue of this number, and it is not open yet.
    pub fn has_found(&self, number: u64) -> bool {
        self.found.contains_key(&number)
    }

    /// Drops what a restart has found of queues that are still not open: they do not exist.
    pub fn close_unknown(&mut self) {
        self.open_arrivals();
        for (_, log) in std::mem::take(&mut self.found) {
            self.drop_log(&log);
        }
        self.has_news = true;
    }

    /// Appends messages that were published in a row with one route, for the queues that have them.
    pub fn append(&mut self, placed: &[Placed], route: Route<'_>, stamp: Stamp, contents: &[Content<'_>], transient: bool) {
        let mut done = 0;
        while done < contents.len() {
            let count = run_len(placed.len(), route, &contents[done..]);
            let head = MessageView { stamp, ..contents[done].sent_to(route) };
            self.append_run(placed, done as u64, &head, &contents[done..done + count], if transient { TRANSIENT } else { 0 });
            done += count;
        }
    }

    fn append_run(&mut self, placed: &[Placed], skipped: u64, head: &MessageView<'_>, contents: &[Content<'_>], flags: u8) {
        let len = format::messages_len(placed.len(), head.route, contents);
        self.make_room(len);
        self.append_to_batch(placed, (skipped, len), head, contents, flags);
    }

    /// Appends messages as a record of `len` bytes to the batch that fills, full or not.
    fn append_to_batch(
        &mut self,
        placed: &[Placed],
        (skipped, len): (u64, usize),
        head: &MessageView<'_>,
        contents: &[Content<'_>],
        flags: u8,
    ) {
        self.placements.clear();
        let number = |placed: &Placed| self.queues[placed.slot as usize].number;
        self.placements.extend(placed.iter().map(|placed| (number(placed), placed.first + skipped)));
        let (segment, at, space) = self.writer.extend(len);
        format::write_messages(space, segment, flags, &self.placements, head, contents);
        let (bytes, mut gained) = ((len / placed.len()) as u64, 0);
        for placed in placed {
            let log = &mut self.queues[placed.slot as usize];
            let (is_new, more) = log.append(segment, placed.first + skipped, contents.len() as u32, bytes);
            gained += more;
            if is_new {
                self.segments.has_queue(segment, placed.slot);
                self.writer.has_queue(if format::is_fleeting(log.number) { 0 } else { format::split_number(log.number).0 });
            }
        }
        self.segments.added(&self.placements, contents.len() as u32, flags & TRANSIENT != 0, (at, len as u32), gained);
    }

    /// Notes that messages of a queue, all of them in the log, are settled.
    pub fn settle(&mut self, slot: u32, first: u64, last: u64) {
        let Some(log) = self.queues.get_mut(slot as usize) else { return };
        log.settle(first, last, |segment, count, bytes| self.segments.lose(segment, count, bytes));
        let range = (log.number, first, last);
        self.note_settled(range);
    }

    /// Notes that the `count` messages of a queue that are not in memory are settled.
    pub fn settle_spilled(&mut self, slot: u32, count: u64) {
        let Some(log) = self.queues.get_mut(slot as usize) else { return };
        let number = log.number;
        if let Some((first, last)) = log.settle_spilled(count, |segment, count, bytes| self.segments.lose(segment, count, bytes)) {
            self.note_settled((number, first, last));
        }
    }

    fn note_settled(&mut self, range: Range) {
        match self.settled.last_mut() {
            Some((queue, _, last)) if *queue == range.0 && *last + 1 == range.1 => *last = range.2,
            _ => self.settled.push(range),
        }
    }

    /// The last batch with anything that was appended, settled or counted.
    pub fn position(&self) -> u64 {
        let fills = self.writer.end() > 0 || !self.settled.is_empty() || !self.noted.is_empty();
        if fills { self.writer.filling() } else { self.writer.filling() - 1 }
    }

    /// The last batch that is on the disk, with all batches before it.
    pub fn durable(&self) -> u64 {
        self.writer.durable()
    }

    /// Frees the memory that is kept for the next writes.
    pub fn give_back(&mut self) {
        self.writer.give_back();
    }

    /// Whether anything that was appended or settled is not on the disk yet.
    pub fn is_dirty(&self) -> bool {
        self.writer.staged() > 0 || !self.settled.is_empty() || !self.noted.is_empty() || self.arrivals.fresh() > 0
    }

    /// Whether a write is wanted, if only for the mark after messages (see `recover`).
    pub fn wants_write(&self) -> bool {
        self.unmarked || self.is_dirty()
    }

    /// Whether nothing is to be written, and nothing else to be done.
    #[inline]
    pub fn is_at_rest(&self) -> bool {
        !self.wants_write() && self.ops.is_empty() && !self.has_news && self.full.is_empty() && self.indexing == 0
    }

    /// Whether callers should append nothing more until the disk has taken some.
    pub fn is_congested(&self) -> bool {
        self.writer.staged() > LOG_STAGED_MAX
    }

    /// Bytes of all segments, and of their live messages.
    pub fn size(&self) -> (u64, u64) {
        (self.segments.size(), self.segments.live_bytes())
    }

    /// Leaves damaged parts out from now on, instead of refusing them.
    pub fn accept_loss(&mut self) {
        self.accept_loss = true;
    }

    /// Notes that the catalog's files have all queues below this number (all, by default).
    pub fn know_below(&mut self, number: u64) {
        self.known = number;
    }

    /// Whether a write is under way.
    pub fn is_writing(&self) -> bool {
        self.writer.is_writing()
    }

    /// Whether a write should begin though nothing waits for it: it is large, or a read needs it.
    pub fn is_pressing(&self) -> bool {
        self.writer.staged() >= LOG_LAZY_SIZE || !self.waiting.is_empty()
    }

    /// Ends a turn: what was appended becomes the next write, if none is under way.
    pub fn seal(&mut self) {
        if std::mem::take(&mut self.has_news) {
            self.reclaim();
        }
        while let Some(indexing) = self.full.pop_front_if(|full| full.batch <= self.writer.durable()) {
            self.indexing += 1;
            self.ops.push_back(Op::Index(Box::new(indexing)));
        }
        if self.writer.is_writing() || self.mending > 0 {
            return;
        }
        if !self.writer.has_closed() && self.wants_write() {
            if self.writer.end() == 0 && self.segments.is_next_ready() {
                self.make_room(0);
            }
            self.begin_batch();
            self.close_batch();
        }
        if let Some(write) = self.writer.next(|write| self.segments.is_ready(write.segment) && write.newest_queue < self.known) {
            self.ops.push_back(Op::Write(write));
        }
    }

    /// Returns the next operation for the driver.
    pub fn next_op(&mut self) -> Option<Op> {
        self.ops.pop_front()
    }

    /// Notes that the file of a segment is ready to be written.
    pub fn on_created(&mut self, segment: u32) {
        self.segments.on_created(segment);
    }

    /// Notes that a write is on the disk.
    pub fn on_written(&mut self, write: Write) {
        self.segments.on_written(&write);
        self.ops.extend(self.segments.wanted().map(Op::Create));
        self.writer.on_written(write);
        self.has_news = true;
        for (slot, number) in std::mem::take(&mut self.waiting) {
            if self.number(slot) == Some(number) {
                self.resume_load(slot);
            }
        }
    }

    /// Notes that the index of a segment is on the disk.
    pub fn on_indexed(&mut self, indexed: Indexed) {
        let Indexed { segment, size, sections, words } = indexed;
        (self.indexing, self.mending, self.has_news) = (self.indexing - 1, self.mending.saturating_sub(1), true);
        self.segments.on_indexed(segment, size, words);
        for section in &sections {
            if let Some(log) = self.log_mut(section.queue) {
                log.sealed(segment, section);
            }
        }
    }

    /// The part of the queue of this number.
    fn log(&self, number: u64) -> Option<&QueueLog> {
        self.slots.get(&number).map(|&slot| &*self.queues[slot as usize]).or_else(|| self.found.get(&number))
    }

    fn log_mut(&mut self, number: u64) -> Option<&mut QueueLog> {
        match self.slots.get(&number) {
            Some(&slot) => Some(&mut *self.queues[slot as usize]),
            None => self.found.get_mut(&number),
        }
    }

    /// Ensures that a record of `len` bytes fits into the batch that fills, and into the segment.
    fn make_room(&mut self, len: usize) {
        if self.writer.is_full(len) {
            self.close_batch();
        }
        if self.segments.is_full(self.writer.end(), len, self.settled.len() + 2 * self.arrivals.fresh()) {
            self.close_batch();
            self.full.extend(self.segments.seal(self.writer.filling() - 1));
        }
        self.begin_batch();
    }

    fn begin_batch(&mut self) {
        if self.writer.begin(&mut self.segments) {
            self.ops.extend(self.segments.wanted().map(Op::Create));
        }
    }

    /// Closes the batch that fills, if there is one, with what arrived and was settled or counted.
    fn close_batch(&mut self) {
        if self.writer.end() == 0 {
            return;
        }
        self.write_arrivals();
        self.unmarked = self.writer.has_records();
        for ranges in std::mem::take(&mut self.settled).chunks(LOG_RECORD_SIZE / format::SETTLED) {
            let (segment, _, space) = self.writer.extend(format::HEADER + ranges.len() * format::SETTLED);
            format::write_ranges(&mut space[format::HEADER..], ranges);
            format::seal(space, segment, format::Kind::Settled, 0, 0);
            ranges.iter().for_each(|&range| self.segments.settled(range));
        }
        if !self.noted.is_empty() {
            self.write_returns();
        }
        self.writer.close(&mut self.segments);
    }

    fn drop_log(&mut self, log: &QueueLog) {
        for extent in &log.extents {
            self.segments.lose(extent.segment, extent.live, extent.live_bytes());
        }
        self.segments.look_again();
    }
}

/// How many of the messages fit into one record: all with the properties of the first one.
fn run_len(placed: usize, route: Route<'_>, contents: &[Content<'_>]) -> usize {
    let properties = contents[0].properties;
    let mut len = format::messages_len(placed, route, &contents[..1]);
    let fits = |content: &&Content<'_>| {
        len += 4 + content.body.bytes().len();
        let is_alike = std::ptr::eq(content.properties, properties) || content.properties == properties;
        is_alike && len <= LOG_RECORD_SIZE
    };
    1 + contents[1..].iter().take_while(fits).count()
}

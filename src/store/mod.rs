//! The log of one shard: what must survive a restart, and what finds no room in memory. A pure machine; its driver performs the [`Op`]s.
//!
//! ```text
//! append, settle ─▶ batch that fills ─▶ closed batches ─▶ Op::Write ─▶ disk ─▶ on_written: the durable watermark moves
//!                        │                                                       and with it confirms, decisions, reads of what is new
//!                        └─ a full segment: the next one (made ready one ahead: Op::Create), and beside, Op::Index
//! load ─▶ Op::Read: entries of an extent, then records ─▶ on_read: messages back in memory
//! ```
//!
//! One write is under way at a time, and whatever gathers meanwhile is the next one: that is the group commit, without a timer. Who must wait for
//! the disk remembers the number of the batch that fills ([`Store::position`]) and waits until [`Store::durable`] reaches it.
//!
//! Where to look: [`format`] what stands in the files; [`writer`] batches on their way to the disk; [`segment`] files and what lives in them;
//! [`queue_log`] what the log holds of a queue; [`loader`] how it comes back; [`returns`] how often it did; [`arrivals`] what came from other shards; [`compact`] how dead messages go; [`recover`] what a restart finds.

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
    /// What is settled since the last batch was closed.
    settled: Vec<Range>,
    /// What has come over from other shards.
    arrivals: Arrivals,
    /// By slot: how often messages came back, as far as no record says it yet.
    noted: BTreeMap<u32, Pieces<Counts>>,
    /// Numbers of queues of which a record says how often messages came back.
    counting: BTreeSet<u64>,
    /// By slot.
    queues: Slab<Box<QueueLog>>,
    /// Queue number → slot.
    slots: Map<u64, u32>,
    /// What a restart has found of queues that are not declared yet.
    found: Map<u64, QueueLog>,
    /// Slots and numbers of queues that are to be read once more is written.
    waiting: Vec<(u32, u64)>,
    /// Full segments that wait until their last batch is on the disk.
    full: VecDeque<Indexing>,
    /// How many are getting their index.
    indexing: usize,
    /// How many a restart has found that must have it before anything is written.
    mending: usize,
    /// A segment is being rewritten.
    compacting: bool,
    retiring: Retiring,
    ops: VecDeque<Op>,
    /// What is damaged is left out instead of refused.
    accept_loss: bool,
    /// The last batch that was closed has messages, so that nothing is behind them.
    unmarked: bool,
    /// The catalog's files have every queue of a lower number: nothing is written of others.
    known: u64,
    /// Something came to the disk or was dropped: dead segments may be found.
    has_news: bool,
    /// Working memory of `append`.
    placements: Vec<Placement>,
}

/// What the driver is asked to do.
#[derive(Debug)]
pub enum Op {
    /// Make the file of this segment, LOG_SEGMENT_SIZE zeros; [`Store::on_created`] follows.
    Create(u32),
    /// Write; [`Store::on_written`] follows when it is on the disk. One at a time.
    Write(Write),
    /// Read so many bytes of a segment from a place, both in whole blocks; [`Store::on_read`] follows. The file may end before.
    Read(Reader, u32, u64, usize),
    /// Write the index of a full segment, which is made off the shard's thread, see [`Indexing::run`]; [`Store::on_indexed`] follows.
    Index(Box<Indexing>),
    /// Put a segment's file in order off the shard's thread, see [`Compaction::run`]; [`Store::on_compacted`] follows, or [`Store::on_left`].
    Compact(Box<Compaction>),
    /// Delete a segment's file.
    Delete(u32),
}

/// A queue that gets messages: its slot, and the sequence number of the first one there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The queue.
    pub slot: u32,
    /// The first message's sequence number.
    pub first: u64,
}

/// A queue that was taken up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// By what the store knows it from now on.
    pub slot: u32,
    /// The first sequence number that is free.
    pub next: u64,
    /// How many messages a restart has found, none of them in memory.
    pub count: u64,
}

impl Store {
    /// An empty log, whose first segment has this number.
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

    /// The queue or level of this number, if it is taken up.
    pub fn level(&self, number: u64) -> Option<LevelAddr> {
        self.slots.get(&number).map(|&slot| self.queues[slot as usize].level)
    }

    /// The number of a queue.
    pub fn number(&self, slot: u32) -> Option<u64> {
        self.queues.get(slot as usize).map(|log| log.number)
    }

    /// Takes a queue up, or a level of one, which is a queue of its own here: `level` to the shard, in the files by `number`.
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

    /// A queue is put down: another may have the slot. What the log has of it stays.
    pub fn leave_queue(&mut self, slot: u32) {
        if let Some(log) = self.queues.try_remove(slot as usize) {
            self.noted.remove(&slot);
            self.slots.remove(&log.number);
            self.found.insert(log.number, *log);
        }
    }

    /// A queue is gone: so is all that the log has of it.
    pub fn close_queue(&mut self, slot: u32) {
        if let Some(log) = self.queues.try_remove(slot as usize) {
            self.noted.remove(&slot);
            self.slots.remove(&log.number);
            self.drop_log(&log);
            self.has_news = true;
        }
    }

    /// The numbers of queues that a restart has found anything of.
    pub fn found(&self) -> impl Iterator<Item = u64> {
        self.found.keys().copied()
    }

    /// Queues of this number or a higher one of which a restart has found messages that live: number, a segment that has some, and how many.
    pub fn found_from(&self, number: u64) -> impl Iterator<Item = (u64, u32, u64)> {
        let is_asked_for = move |queue: u64| !format::is_fleeting(queue) && format::split_number(queue).0 >= number;
        self.found.iter().filter(move |(queue, _)| is_asked_for(**queue)).filter_map(|(&queue, log)| {
            let living = log.extents.iter().filter(|extent| extent.live > 0);
            let count = living.clone().map(|extent| u64::from(extent.live)).sum();
            Some((queue, living.into_iter().next()?.segment, count))
        })
    }

    /// Whether a restart has found anything of the queue of this number.
    pub fn has_found(&self, number: u64) -> bool {
        self.found.contains_key(&number)
    }

    /// All queues that there are have been taken up: what a restart has found of others is dead.
    pub fn close_unknown(&mut self) {
        self.open_arrivals();
        for (_, log) in std::mem::take(&mut self.found) {
            self.drop_log(&log);
        }
        self.has_news = true;
    }

    /// Appends messages that were published in a row to the same place (and of which is known `stamp`), for the queues that have them.
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

    /// The same, as a record of `len` bytes in the batch that fills, full or not.
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

    /// Messages of a queue, which the log has all, are gone.
    pub fn settle(&mut self, slot: u32, first: u64, last: u64) {
        let Some(log) = self.queues.get_mut(slot as usize) else { return };
        log.settle(first, last, |segment, count, bytes| self.segments.lose(segment, count, bytes));
        let range = (log.number, first, last);
        self.note_settled(range);
    }

    /// All messages of a queue that are not in memory, `count` of them, are gone.
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

    /// The batch that what was appended, settled and counted last goes with. (Not one that is still empty: it may never be written.)
    pub fn position(&self) -> u64 {
        let fills = self.writer.end() > 0 || !self.settled.is_empty() || !self.noted.is_empty();
        if fills { self.writer.filling() } else { self.writer.filling() - 1 }
    }

    /// The last batch that is on the disk, with all before it.
    pub fn durable(&self) -> u64 {
        self.writer.durable()
    }

    /// Gives back the memory that is kept for the next writes.
    pub fn give_back(&mut self) {
        self.writer.give_back();
    }

    /// Whether anything that was appended or settled is not on the disk yet.
    pub fn is_dirty(&self) -> bool {
        self.writer.staged() > 0 || !self.settled.is_empty() || !self.noted.is_empty() || self.arrivals.fresh() > 0
    }

    /// Whether a write is wanted, if only for the mark behind messages, which shows that they were on the disk.
    pub fn wants_write(&self) -> bool {
        self.unmarked || self.is_dirty()
    }

    /// Whether there is nothing to be written, and nothing else to be done.
    #[inline]
    pub fn is_at_rest(&self) -> bool {
        !self.wants_write() && self.ops.is_empty() && !self.has_news && self.full.is_empty() && self.indexing == 0
    }

    /// Whether nobody should append more until the disk has taken some.
    pub fn is_congested(&self) -> bool {
        self.writer.staged() > LOG_STAGED_MAX
    }

    /// Bytes of all segments, and of what lives in them.
    pub fn size(&self) -> (u64, u64) {
        (self.segments.size(), self.segments.live_bytes())
    }

    /// From now on what turns out to be damaged is left out instead of refused.
    pub fn accept_loss(&mut self) {
        self.accept_loss = true;
    }

    /// The catalog's files have, from now on, every queue of a lower number than this; before this is said, all that there are.
    pub fn know_below(&mut self, number: u64) {
        self.known = number;
    }

    /// Whether a write is under way.
    pub fn is_writing(&self) -> bool {
        self.writer.is_writing()
    }

    /// Whether what has gathered should be written though nobody waits for it: it is much, or a queue is to be read there.
    pub fn is_pressing(&self) -> bool {
        self.writer.staged() >= LOG_LAZY_SIZE || !self.waiting.is_empty()
    }

    /// The end of a turn: what has gathered becomes the next write, if none is under way.
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

    /// What the driver does next.
    pub fn next_op(&mut self) -> Option<Op> {
        self.ops.pop_front()
    }

    /// The file of a segment is ready to be written.
    pub fn on_created(&mut self, segment: u32) {
        self.segments.on_created(segment);
    }

    /// The write is on the disk.
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

    /// The index of a segment is on the disk.
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

    /// What the log holds of the queue of this number.
    fn log(&self, number: u64) -> Option<&QueueLog> {
        self.slots.get(&number).map(|&slot| &*self.queues[slot as usize]).or_else(|| self.found.get(&number))
    }

    fn log_mut(&mut self, number: u64) -> Option<&mut QueueLog> {
        match self.slots.get(&number) {
            Some(&slot) => Some(&mut *self.queues[slot as usize]),
            None => self.found.get_mut(&number),
        }
    }

    /// Makes sure that a record of `len` bytes fits into the batch that fills, and that, with what is settled, into the segment.
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

    /// Closes the batch that fills, if there is one; what arrived, was settled and counted meanwhile goes with it.
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

/// How many of the messages go into one record: they share the properties, and there is a limit to its length.
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

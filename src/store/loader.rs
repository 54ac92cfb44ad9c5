//! Reads the messages of a deep queue back into memory: extent by extent, a piece at a time.
//!
//! ```text
//! load ─▶ which extent is next? ─▶ its entries: in memory, or Op::Read of its section
//!                               ─▶ Op::Read of records that are close together
//!                               ─▶ on_read: the messages, in order
//! ```
//!
//! Records that are not on the disk yet are not read: the load waits for the write. The queue asks
//! for more before it is empty, so the next piece is being read while consumers take the last one.

use super::format::{self, Messages, Range};
use super::index::{self, Entry};
use super::queue_log::{Cursor, QueueLog};
use super::returns::Counts;
use super::{Op, Store};
use crate::base::aligned::{Aligned, BLOCK};
use crate::base::ascending::Ascending;
use crate::base::ids::LevelAddr;
use crate::base::limits::LOG_READ_GAP;
use crate::message::MessageView;

/// The purpose of a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reader {
    slot: u32,
    level: LevelAddr,
    /// The queue's number: by the end of the read, the slot may be that of another queue.
    queue: u64,
    /// The queue's generation: by the end of the read, its messages may have moved.
    generation: u32,
    segment: u32,
    /// Number of bytes read before the first one that was asked for.
    before: usize,
    len: usize,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// The entries of an extent.
    Section,
    /// The records of this many entries.
    Records(usize),
}

/// The past of a message that comes back into memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Past {
    /// Whether it may have been delivered before a restart.
    pub was_delivered: bool,
    /// How often it came back before, if returns are counted.
    pub returned: Option<Counts>,
}

/// The result of a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// Whether the queue has got messages.
    pub is_served: bool,
    /// Number of its messages that were damaged, and are lost.
    pub lost: u64,
}

impl Reader {
    /// The queue's level on the shard, if it still exists.
    pub fn level(&self) -> LevelAddr {
        self.level
    }

    /// The segment that is read.
    pub fn segment(&self) -> u32 {
        self.segment
    }
}

/// The damage because of which the log cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The segment.
    pub segment: u32,
    /// The offset in its file, bytes.
    pub place: u64,
}

impl Store {
    /// Notes which messages were delivered before the restart: those in `stopped`, if the broker
    /// stopped in an orderly way; otherwise any may have been. Called before queues are opened.
    pub fn found_delivered(&mut self, stopped: Option<&[Range]>) {
        for (number, log) in &mut self.found {
            match stopped {
                None => log.delivered.insert(0, log.extents.back().map_or(0, |extent| extent.last)),
                Some(ranges) => {
                    let own = ranges.iter().filter(|(queue, ..)| queue == number);
                    own.for_each(|&(_, first, last)| log.delivered.insert(first, last));
                }
            }
        }
    }

    /// The messages of a queue that are not in memory and may have been delivered before a restart.
    pub fn delivered(&self, slot: u32) -> impl Iterator<Item = Range> {
        let log = self.queues.get(slot as usize);
        log.into_iter().flat_map(|log| log.delivered.within(log.next, u64::MAX).into_iter().map(|(first, last)| (log.number, first, last)))
    }

    /// Sets the sequence number from which on the messages of a queue are not in memory.
    pub fn spill_from(&mut self, slot: u32, next: u64) {
        if let Some(log) = self.queues.get_mut(slot as usize) {
            log.go_on_from(next);
        }
    }

    /// Reads about `piece` bytes of the next messages of a queue, of which some are not in memory.
    /// It does nothing if a read is under way, or if more messages are `ready` than the last read
    /// has brought.
    pub fn load(&mut self, slot: u32, ready: usize, piece: usize) {
        let log = self.queues.get_mut(slot as usize);
        if let Some(log) = log.filter(|log| !log.busy && ready <= log.brought) {
            (log.busy, log.piece) = (true, piece);
            self.resume_load(slot);
        }
    }

    /// Reads about `piece` bytes of the messages of a queue with the sequence numbers `more`, or,
    /// without `more`, of those that remain. (A queue is read in this way or in order, not both at
    /// a time.)
    pub fn fetch(&mut self, slot: u32, more: Option<Ascending>, piece: usize) {
        let Some(log) = self.queues.get_mut(slot as usize).filter(|log| !log.busy) else { return };
        if more.is_some() {
            (log.wanted, log.cursor) = (more, None);
        }
        if log.wanted.is_some() {
            (log.busy, log.piece) = (true, piece);
            self.resume_load(slot);
        }
    }

    /// Whether some of the fetched messages have not been read yet.
    pub fn is_fetching(&self, slot: u32) -> bool {
        self.queues.get(slot as usize).is_some_and(|log| log.wanted.is_some())
    }

    pub(super) fn resume_load(&mut self, slot: u32) {
        let Some(log) = self.queues.get_mut(slot as usize).filter(|log| log.busy) else { return };
        let goal = log.goal();
        log.cursor.take_if(|cursor| cursor.at == cursor.entries.len());
        if log.cursor.is_none() {
            let Some(&extent) = goal.and_then(|goal| log.extent_from(goal)) else {
                (log.busy, log.wanted) = (false, None);
                return;
            };
            if let Some(entries) = self.segments.entries(extent.segment, log.number) {
                log.cursor = Some(Cursor { segment: extent.segment, at: 0, entries });
            } else {
                let (place, len) = extent.section.expect("a sealed segment has sections");
                let what = (extent.segment, len as usize, What::Section);
                return self.read(slot, what, place);
            }
        }
        let cursor = log.cursor.as_mut().expect("just made");
        let segment = cursor.segment;
        let extent = log.extents.iter().find(|extent| extent.segment == segment);
        let last = extent.expect("a cursor goes when its extent does").last;
        cursor.at += cursor.entries[cursor.at..].partition_point(|entry| goal.is_none_or(|goal| entry.last() < goal));
        let (place, len, count) = cursor.piece(self.segments.written(segment), log.piece, log.wanted.as_mut());
        match (count, cursor.at == cursor.entries.len()) {
            (0, true) => {
                log.pass(last);
                self.resume_load(slot);
            }
            (0, false) => self.waiting.push((slot, log.number)),
            _ => self.read(slot, (segment, len, What::Records(count)), place),
        }
    }

    fn read(&mut self, slot: u32, (segment, len, what): (u32, usize, What), place: u64) {
        let log = &self.queues[slot as usize];
        let (from, before, blocks) = around(place, len);
        let reader = Reader { slot, level: log.level, queue: log.number, generation: log.generation, segment, before, len, what };
        self.ops.push_back(Op::Read(reader, segment, from, blocks));
    }

    /// Takes the result of a read. The messages are passed to `take`, in order, with their sequence
    /// numbers and their past.
    ///
    /// # Errors
    /// The log is damaged.
    pub fn on_read(
        &mut self,
        reader: Reader,
        bytes: &Aligned,
        mut take: impl FnMut(u64, Past, &MessageView<'_>),
    ) -> Result<Loaded, Damage> {
        let Reader { slot, queue, generation, segment, before, len, what, .. } = reader;
        let Some(log) = self.queues.get_mut(slot as usize).filter(|log| log.number == queue) else {
            return Ok(Loaded::default());
        };
        if log.generation != generation {
            self.resume_load(slot);
            return Ok(Loaded::default());
        }
        let damage = |place| Damage { segment, place };
        let bytes = part(bytes, before, len).ok_or(damage(0))?;
        let count = match what {
            What::Section => {
                let entries = index::read_entries(queue, bytes).ok_or(damage(0))?;
                log.cursor = Some(Cursor { segment, at: 0, entries });
                self.resume_load(slot);
                return Ok(Loaded::default());
            }
            What::Records(count) => count,
        };
        let QueueLog { cursor, wanted, next, settled, delivered, stated, .. } = &mut **log;
        let returned = |sequence| stated.find(sequence).map(|(counts, _)| counts);
        let past = |sequence| Past { was_delivered: delivered.contains(sequence), returned: returned(sequence) };
        let cursor = cursor.as_mut().expect("it stays as long as the generation");
        let entries = &cursor.entries[cursor.at..cursor.at + count];
        let (first, last) = (entries[0].at, entries[count - 1].last());
        let (mut brought, mut lost) = (0, Vec::new());
        for entry in entries {
            if wanted.as_mut().is_some_and(|wanted| wanted.first().is_none_or(|goal| goal > entry.last())) {
                continue;
            }
            let record = bytes.get((entry.at - first) as usize..).and_then(|bytes| format::open(bytes, segment));
            let all_live = settled.count_in(entry.first, entry.last()) == 0;
            let mut lives = |sequence| {
                let is_asked_for = match wanted {
                    Some(wanted) => {
                        wanted.skip_to(sequence);
                        wanted.take(sequence)
                    }
                    None => sequence >= *next,
                };
                is_asked_for && (all_live || !settled.contains(sequence))
            };
            match record.and_then(Messages::read) {
                Some(messages) => {
                    for (sequence, content) in (entry.first..).zip(messages.contents()).filter(|&(sequence, _)| lives(sequence)) {
                        take(sequence, past(sequence), &MessageView { body: content.body, ..messages.head });
                        brought += 1;
                    }
                }
                None if self.accept_loss => lost.extend((entry.first..=entry.last()).filter(|&sequence| lives(sequence))),
                None => return Err(damage(entry.at.into())),
            }
        }
        cursor.at += count;
        log.pass(last);
        lost.iter().for_each(|&sequence| self.settle(slot, sequence, sequence));
        if brought == 0 {
            self.resume_load(slot);
        } else if let Some(log) = self.queues.get_mut(slot as usize) {
            (log.busy, log.brought) = (false, brought);
        }
        Ok(Loaded { is_served: brought > 0, lost: lost.len() as u64 })
    }
}

impl Cursor {
    /// The next records that are close together and among the `written` bytes of the segment on the
    /// disk, about `most` bytes: offset, length, number. If only some messages are `wanted`, the
    /// last record has some of them.
    fn piece(&self, written: u64, most: usize, wanted: Option<&mut Ascending>) -> (u64, usize, usize) {
        let entries = &self.entries[self.at..];
        let Some(first) = entries.first() else { return (0, 0, 0) };
        let end = |entry: &Entry| u64::from(entry.at) + u64::from(entry.len);
        let is_picking = wanted.is_some();
        let mut goals = wanted.map(Ascending::first_ones);
        let mut goal = goals.as_mut().and_then(Iterator::next);
        let (from, mut to, mut count) = (u64::from(first.at), u64::from(first.at), 0);
        for (at, entry) in entries.iter().enumerate() {
            let is_near = u64::from(entry.at) <= to + LOG_READ_GAP as u64 && (count == 0 || end(entry) - from <= most as u64);
            if !is_near || end(entry) > written || is_picking && goal.is_none() {
                break;
            }
            let is_wanted = goal.is_none_or(|goal| goal <= entry.last());
            while goal.is_some_and(|goal| goal <= entry.last()) {
                goal = goals.as_mut().and_then(Iterator::next);
            }
            if is_wanted {
                (to, count) = (end(entry), at + 1);
            }
        }
        (from, (to - from) as usize, count)
    }
}

/// Rounds an offset and a length to whole blocks around them.
fn around(place: u64, len: usize) -> (u64, usize, usize) {
    let block = BLOCK as u64;
    let from = place / block * block;
    let before = (place - from) as usize;
    (from, before, (before + len).next_multiple_of(block as usize))
}

/// The bytes of a read after its first `before` bytes, if it has brought `len` of them.
fn part(bytes: &Aligned, before: usize, len: usize) -> Option<&[u8]> {
    bytes.bytes().get(before..before + len)
}

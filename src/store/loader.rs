//! How the messages of a deep queue come back into memory: extent by extent, a piece at a time.
//!
//! ```text
//! load ─▶ which extent is next? ─▶ its entries: in memory, or Op::Read of its section ─▶ Op::Read of as many records as stand close together
//!                                                                                         └▶ on_read: the messages, in order
//! ```
//!
//! What is not on the disk yet is not read: the load waits for the write. The queue says when it runs low, so the next piece is under way while
//! consumers take the last one.

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

/// Whom a read is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reader {
    slot: u32,
    level: LevelAddr,
    /// The queue's number: the slot may be another's by then.
    queue: u64,
    /// What is known of places may be another by then, too.
    generation: u32,
    segment: u32,
    /// Bytes before what was asked for.
    before: usize,
    len: usize,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// The entries of an extent.
    Section,
    /// The records of so many entries.
    Records(usize),
}

/// What is known of a message that comes back into memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Past {
    /// It may have been delivered before a restart.
    pub was_delivered: bool,
    /// How often it came back before, if that is counted.
    pub returned: Option<Counts>,
}

/// What a read has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// The queue has got messages.
    pub is_served: bool,
    /// How many of its messages were damaged, and are gone.
    pub lost: u64,
}

impl Reader {
    /// Whom the shard knows it by, if it is still there.
    pub fn level(&self) -> LevelAddr {
        self.level
    }

    /// The segment that is read.
    pub fn segment(&self) -> u32 {
        self.segment
    }
}

/// Why the log cannot be read: it is damaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The segment.
    pub segment: u32,
    /// The place in its file.
    pub place: u64,
}

impl Store {
    /// What is known of deliveries before the restart: those that had come back to their queues when the broker stopped, or, if it did not stop in
    /// an orderly way, nothing, so that any may have been. (Before queues are taken up.)
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

    /// Which messages of a queue that are not in memory may have been delivered before a restart.
    pub fn delivered(&self, slot: u32) -> impl Iterator<Item = Range> {
        let log = self.queues.get(slot as usize);
        log.into_iter().flat_map(|log| log.delivered.within(log.next, u64::MAX).into_iter().map(|(first, last)| (log.number, first, last)))
    }

    /// From which sequence number on the messages of a queue are not in memory.
    pub fn spill_from(&mut self, slot: u32, next: u64) {
        if let Some(log) = self.queues.get_mut(slot as usize) {
            log.go_on_from(next);
        }
    }

    /// Reads about `piece` bytes of the next messages of a queue that has some that are not in memory, unless that is under way, or those that are
    /// `ready` are more than the last read has brought.
    pub fn load(&mut self, slot: u32, ready: usize, piece: usize) {
        let log = self.queues.get_mut(slot as usize);
        if let Some(log) = log.filter(|log| !log.busy && ready <= log.brought) {
            (log.busy, log.piece) = (true, piece);
            self.resume_load(slot);
        }
    }

    /// Reads messages of a queue here and there: about `piece` bytes of those with the sequence numbers `more`, or, without more, of those asked
    /// for before. (A queue is read in this way or in order, not both at a time.)
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

    /// Whether some of the messages that were asked for are not read yet.
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

    /// What a read has brought. The messages go to `take`, in order, with their sequence numbers and their past.
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
    /// The next records that stand close together and are on the disk, `written` bytes of the segment, about `most` bytes: place, length, how many.
    /// If only some messages are `wanted`, the last one of the records has such.
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

/// A place or a length, in whole blocks around it.
fn around(place: u64, len: usize) -> (u64, usize, usize) {
    let block = BLOCK as u64;
    let from = place / block * block;
    let before = (place - from) as usize;
    (from, before, (before + len).next_multiple_of(block as usize))
}

/// The bytes of a read that begin `before` bytes behind its front, if it has brought so many.
fn part(bytes: &Aligned, before: usize, len: usize) -> Option<&[u8]> {
    bytes.bytes().get(before..before + len)
}

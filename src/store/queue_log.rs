//! The part of one queue in the log.
//!
//! ```text
//! sequence   0 ................ 900 ................. 2000 ................. 3100
//! extents    [ segment 4, 900  ][ segment 5, 1100    ][ segment 7, 1100     ]    first, last, live
//! settled     ####### ## ####                                                    as ranges
//! spilled                           next ─▶ not in memory ................       see `loader`
//! ```
//!
//! An extent is the part of the queue in one segment. Sequence numbers grow along the log, so
//! extents are in the order of both. An extent without live messages stays as long as its segment
//! contains the settled ones: a restart finds them there, and must find that they are settled.

use std::collections::VecDeque;

use super::index::{Entry, Section};
use super::returns::Counts;
use crate::base::ascending::Ascending;
use crate::base::ids::LevelAddr;
use crate::base::intervals::Intervals;
use crate::base::pieces::Pieces;

/// The part of one queue in the log.
#[derive(Debug, Default)]
pub struct QueueLog {
    /// The queue's number in the log.
    pub number: u64,
    /// The queue's level on the shard.
    pub level: LevelAddr,
    /// The extents, by sequence number.
    pub extents: VecDeque<Extent>,
    /// The settled sequence numbers, as far as there are extents with them.
    pub settled: Intervals,
    /// How often unsettled messages came back, and the segments whose records say it.
    pub stated: Pieces<(Counts, u32)>,
    /// Sequence numbers of messages that a restart has found and that may have been delivered
    /// before.
    pub delivered: Intervals,
    /// The sequence number of the first message that is not in memory. [`NONE`] after a purge:
    /// later messages may stay in memory, and a read that was under way must not bring them.
    pub next: u64,
    /// If single messages are fetched, the sequence numbers of those not read yet.
    pub wanted: Option<Ascending>,
    /// Entries that are being read, all of one extent.
    pub cursor: Option<Cursor>,
    /// Whether a read is under way, or waits for a write.
    pub busy: bool,
    /// Increases when messages have moved, so that reads under way are useless.
    pub generation: u32,
    /// How many bytes are read at a time.
    pub piece: usize,
    /// Number of messages that the last read has brought.
    pub brought: usize,
}

/// The part of a queue in one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The segment.
    pub segment: u32,
    /// The first sequence number.
    pub first: u64,
    /// The last sequence number; the log need not have all numbers between the two.
    pub last: u64,
    /// Number of messages.
    pub count: u32,
    /// Number of messages that are not settled.
    pub live: u32,
    /// Bytes of the records of its messages.
    pub bytes: u64,
    /// Offset and length of its entries in the segment's file, once that is sealed.
    pub section: Option<(u64, u32)>,
}

/// A position in the entries of an extent.
#[derive(Debug)]
pub struct Cursor {
    /// The segment.
    pub segment: u32,
    /// The entries of the extent.
    pub entries: Vec<Entry>,
    /// The index of the next entry to be read.
    pub at: usize,
}

/// A sequence number that no message has.
const NONE: u64 = u64::MAX;

impl QueueLog {
    /// Adds messages at the end. Returns whether they begin an extent, and by how much the bytes of
    /// live messages have grown.
    pub fn append(&mut self, segment: u32, first: u64, count: u32, bytes: u64) -> (bool, u64) {
        let last = first + u64::from(count) - 1;
        match self.extents.back_mut() {
            Some(extent) if extent.segment == segment => {
                let before = extent.live_bytes();
                (extent.last, extent.count, extent.live) = (last, extent.count + count, extent.live + count);
                extent.bytes += bytes;
                (false, extent.live_bytes() - before)
            }
            _ => {
                self.extents.push_back(Extent { segment, first, last, count, live: count, bytes, section: None });
                (true, bytes)
            }
        }
    }

    /// Settles the messages `first` to `last`, which must be in the log and unsettled. `lost` is
    /// told what each segment loses: messages, bytes.
    pub fn settle(&mut self, first: u64, last: u64, mut lost: impl FnMut(u32, u32, u64)) {
        self.settled.insert(first, last);
        if !self.stated.is_empty() {
            self.stated.remove(first, last);
        }
        let from = self.extents.partition_point(|extent| extent.last < first);
        for extent in self.extents.iter_mut().skip(from).take_while(|extent| extent.first <= last) {
            let count = u32::try_from(last.min(extent.last) - first.max(extent.first) + 1).expect("an extent counts its messages so");
            extent.lose(count, &mut lost);
        }
    }

    /// Settles all `count` messages from `next` on. Returns their range, if there are any.
    pub fn settle_spilled(&mut self, count: u64, mut lost: impl FnMut(u32, u32, u64)) -> Option<(u64, u64)> {
        let (first, last) = (self.next, self.extents.back()?.last);
        let mut left = count;
        for extent in self.extents.iter_mut().rev().take_while(|extent| extent.last >= first) {
            let gone = u64::from(extent.live).min(left);
            left -= gone;
            extent.lose(gone as u32, &mut lost);
        }
        (count > 0).then(|| {
            self.settled.insert(first, last);
            self.stated.remove(first, last);
            self.go_on_from(NONE);
            (first, last)
        })
    }

    /// The sequence number from which on messages are to be read; `None` if all fetched messages
    /// have been read.
    pub fn goal(&mut self) -> Option<u64> {
        self.wanted.as_mut().map_or(Some(self.next), Ascending::first)
    }

    /// Notes that no message up to `last` needs to be read any more.
    pub fn pass(&mut self, last: u64) {
        match &mut self.wanted {
            None => self.next = self.next.max(last + 1),
            Some(wanted) => wanted.skip_to(last + 1),
        }
    }

    /// The extent with the first message that has the number `sequence` or a higher one.
    pub fn extent_from(&self, sequence: u64) -> Option<&Extent> {
        self.extents.get(self.extents.partition_point(|extent| extent.last < sequence))
    }

    /// Notes where a segment that was sealed has its entries of this queue.
    pub fn sealed(&mut self, segment: u32, section: &Section) {
        if let Some(extent) = self.extents.iter_mut().rev().find(|extent| extent.segment == segment) {
            extent.section = Some((section.place, section.len));
        }
    }

    /// Forgets a segment that was deleted.
    pub fn forget(&mut self, segment: u32) {
        self.extents.retain(|extent| extent.segment != segment);
        self.start_over();
        let first = self.extents.front().map_or(u64::MAX, |extent| extent.first);
        self.settled.forget_below(first);
    }

    /// The extents in other segments than `segment` with settled messages from `first` to `last`,
    /// as ranges of sequence numbers.
    pub fn settled_beside(&self, segment: u32, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
        let from = self.extents.partition_point(|extent| extent.last < first);
        let extents = self.extents.iter().skip(from).take_while(move |extent| extent.first <= last);
        let settled = extents.filter(move |extent| extent.segment != segment && extent.live < extent.count);
        settled.map(|extent| (extent.first, extent.last))
    }

    /// Notes the queue's part of a segment that was rewritten. Returns the bytes of its live
    /// messages.
    pub fn rewritten(&mut self, segment: u32, section: &Section, bytes: u64) -> u64 {
        self.start_over();
        let Some(extent) = self.extents.iter_mut().find(|extent| extent.segment == segment) else { return 0 };
        (extent.first, extent.last, extent.count) = (section.first, section.last, section.count);
        (extent.bytes, extent.section) = (bytes, Some((section.place, section.len)));
        extent.live_bytes()
    }

    /// Notes that messages from this sequence number on are not in memory.
    pub fn go_on_from(&mut self, next: u64) {
        self.next = next;
        self.start_over();
    }

    /// Forgets the cursor, and makes reads under way useless.
    fn start_over(&mut self) {
        self.cursor = None;
        self.generation = self.generation.wrapping_add(1);
    }

    /// The unsettled ranges of an extent.
    pub fn living(&self, extent: &Extent) -> Vec<(u64, u64)> {
        self.gaps(extent.first, extent.last)
    }

    /// The ranges from `first` to `last` that are in the log and unsettled.
    pub fn unsettled(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
        let from = self.extents.partition_point(|extent| extent.last < first);
        let extents = self.extents.iter().skip(from).take_while(move |extent| extent.first <= last);
        extents.flat_map(move |extent| self.gaps(first.max(extent.first), last.min(extent.last)))
    }

    /// The ranges from `first` to `last` that are not settled.
    fn gaps(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let (mut living, mut from) = (Vec::new(), first);
        for (first, last) in self.settled.within(first, last) {
            if first > from {
                living.push((from, first - 1));
            }
            from = last + 1;
        }
        if from <= last {
            living.push((from, last));
        }
        living
    }
}

impl Extent {
    /// Bytes of the live messages, as if all messages had the same size.
    pub fn live_bytes(&self) -> u64 {
        self.bytes * u64::from(self.live) / u64::from(self.count.max(1))
    }

    fn lose(&mut self, count: u32, lost: &mut impl FnMut(u32, u32, u64)) {
        let before = self.live_bytes();
        self.live = self.live.checked_sub(count).expect("a message is settled once");
        lost(self.segment, count, before - self.live_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> QueueLog {
        let mut log = QueueLog::default();
        assert_eq!((log.append(1, 0, 100, 1000), log.append(1, 100, 50, 500)), ((true, 1000), (false, 500)));
        assert_eq!((log.append(2, 150, 50, 500), log.append(5, 300, 10, 100)), ((true, 500), (true, 100)));
        log
    }

    fn settle(log: &mut QueueLog, first: u64, last: u64) -> Vec<(u32, u32, u64)> {
        let mut lost = Vec::new();
        log.settle(first, last, |segment, count, bytes| lost.push((segment, count, bytes)));
        lost
    }

    #[test]
    fn segments_lose_what_is_settled() {
        let mut log = filled();
        assert_eq!(settle(&mut log, 140, 159), [(1, 10, 100), (2, 10, 100)]);
        assert_eq!(settle(&mut log, 300, 300), [(5, 1, 10)]);
        assert_eq!(log.living(&log.extents[1]), [(160, 199)]);
        assert_eq!(log.extent_from(200).map(|extent| extent.segment), Some(5));
        assert!(log.settled_beside(5, 0, 200).eq([(0, 149), (150, 199)]));
        assert!(log.settled_beside(5, 150, 299).eq([(150, 199)]) && log.settled_beside(2, 150, 299).next().is_none());
    }

    #[test]
    fn what_is_spilled_is_settled_at_once() {
        let mut log = filled();
        log.next = 170;
        let mut lost = Vec::new();
        assert_eq!(log.settle_spilled(40, |segment, count, _| lost.push((segment, count))), Some((170, 309)));
        assert_eq!(lost, [(5, 10), (2, 30)]);
        assert_eq!(log.settle_spilled(0, |_, _, _| panic!("nothing is left")), None);
    }

    #[test]
    fn what_is_settled_is_forgotten_with_the_segment() {
        let mut log = filled();
        settle(&mut log, 0, 149);
        log.forget(1);
        assert!(log.extents.len() == 2 && log.settled.last().is_none());
    }
}

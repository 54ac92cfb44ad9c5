//! How dead messages leave the disk.
//!
//! A segment in which nothing lives is deleted. One that is half dead is rewritten without the dead, under the same number, as soon as the files
//! take more than twice what lives and two segments: so each message is moved fewer times than it has halves, and what lives long is left alone.
//!
//! **Settled elsewhere.** What a segment says to be settled may still stand in another one, and would be back after a restart if the word went.
//! So before a segment goes or is rewritten, what others still hold of its queues is said once more at the end of the log.

use std::collections::VecDeque;

use super::format::{self, BATCH, Messages, Range, TRANSIENT};
use super::index::{self, Index, Section};
use super::loader::Damage;
use super::{Op, Store, scan};
use crate::base::aligned::{Aligned, BLOCK};
use crate::base::hash::Map;
use crate::message::Content;

/// A segment to be rewritten.
#[derive(Debug)]
pub struct Compaction {
    /// The segment.
    pub segment: u32,
    /// The queues' numbers, and the ranges of sequence numbers that live.
    keep: Map<u64, Vec<(u64, u64)>>,
    /// If the segment turns out to be damaged, it is left as it is.
    pub accept_loss: bool,
}

/// A segment that was rewritten.
#[derive(Debug)]
pub struct Compacted {
    /// The segment.
    pub segment: u32,
    /// Bytes of its file now.
    pub size: u64,
    /// What it holds of each queue, and how many bytes that is.
    pub sections: Vec<(Section, u64)>,
}

/// Segments that are to be deleted or rewritten once the log has batch so-and-so on the disk.
#[derive(Default)]
pub struct Retiring(VecDeque<(u64, Op)>);

impl Store {
    /// Finds what is dead, and carries out what has waited for the disk.
    pub(super) fn reclaim(&mut self) {
        while let Some(segment) = self.segments.next_dead() {
            let slots = self.retire(segment);
            slots.into_iter().for_each(|slot| self.forget(slot, segment));
            self.retiring.0.push_back((self.position(), Op::Delete(segment)));
        }
        if !self.compacting
            && let Some(segment) = self.segments.next_sparse()
        {
            self.compacting = true;
            let slots = self.retire(segment);
            let compaction = Compaction { segment, keep: self.living(segment, &slots), accept_loss: self.accept_loss };
            self.retiring.0.push_back((self.position(), Op::Compact(Box::new(compaction))));
        }
        let is_clean = !self.is_dirty();
        while let Some((_, op)) = self.retiring.0.pop_front_if(|(position, _)| is_clean || *position <= self.writer.durable()) {
            if let Op::Delete(segment) = op {
                self.segments.remove(segment);
            }
            self.ops.push_back(op);
        }
    }

    /// A segment goes or changes: what is settled there and stands elsewhere is said again. The answer is the slots of its queues.
    fn retire(&mut self, number: u32) -> Vec<u32> {
        let segment = self.segments.retire(number);
        let (slots, settles) = (segment.queues.clone(), segment.settles.clone());
        let mut again: Vec<Range> = Vec::new();
        for queue in settles {
            let log = self.slots.get(&queue).map(|&slot| &self.queues[slot as usize]);
            again.extend(log.into_iter().flat_map(|log| log.settled_beside(number)).map(|(first, last)| (queue, first, last)));
        }
        again.into_iter().for_each(|range| self.note_settled(range));
        slots
    }

    fn forget(&mut self, slot: u32, segment: u32) {
        if let Some(log) = self.queues.get_mut(slot as usize) {
            log.forget(segment);
        }
    }

    fn living(&self, segment: u32, slots: &[u32]) -> Map<u64, Vec<(u64, u64)>> {
        let logs = slots.iter().filter_map(|&slot| self.queues.get(slot as usize));
        let extents = logs.flat_map(|log| log.extents.iter().filter(|extent| extent.segment == segment).map(move |extent| (log, extent)));
        extents.filter(|(_, extent)| extent.live > 0).map(|(log, extent)| (log.number, log.living(extent))).collect()
    }

    /// A segment is left as it is, for good.
    pub fn on_left(&mut self) {
        (self.compacting, self.has_news) = (false, true);
    }

    /// A segment was rewritten.
    pub fn on_compacted(&mut self, compacted: Compacted) {
        let Compacted { segment, size, sections } = compacted;
        (self.compacting, self.has_news) = (false, true);
        let (mut queues, mut live_bytes) = (Vec::new(), 0);
        let sections: Map<u64, (Section, u64)> = sections.into_iter().map(|section| (section.0.queue, section)).collect();
        for slot in self.segments.queues(segment) {
            let Some(log) = self.queues.get_mut(slot as usize) else { continue };
            match sections.get(&log.number) {
                Some((section, bytes)) => {
                    live_bytes += log.rewritten(segment, section, *bytes);
                    queues.push(slot);
                }
                None => log.forget(segment),
            }
        }
        self.segments.compacted(segment, size, queues, live_bytes);
    }
}

impl Compaction {
    /// Makes the new content of the segment's file from the old one.
    ///
    /// # Errors
    /// The old one is damaged.
    pub fn run(&self, old: &[u8]) -> Result<(Aligned, Compacted), Damage> {
        let segment = self.segment;
        let damage = |place| Damage { segment, place };
        let trailer = old.len().checked_sub(format::TRAILER).ok_or(damage(0))?;
        let place = index::read_trailer(&old[trailer..], segment).ok_or(damage(trailer as u64))?;
        let record = old.get(place as usize..).and_then(|bytes| format::open(bytes, segment)).ok_or(damage(place))?;
        let sealed = index::read(record, place).ok_or(damage(place))?;
        let mut file = Aligned::default();
        file.extend(BATCH).fill(0);
        let mut index = Index::default();
        let mut bytes: Map<u64, u64> = Map::default();
        let take = |record| {
            if let Some(messages) = Messages::read(record) {
                self.copy(&messages, &mut file, &mut index, &mut bytes);
            }
        };
        scan::for_each_record(old, segment, sealed.end as usize, take).map_err(damage)?;
        file.pad();
        format::write_batch(file.blocks_mut(), segment, sealed.batch);
        let (place, tail, sections) = index.seal(segment, file.len() as u32, sealed.batch, 0);
        debug_assert_eq!(place, file.len() as u64);
        file.extend(tail.len()).copy_from_slice(tail.bytes());
        let size = file.len() as u64;
        let sections = sections.into_iter().map(|section| (section, bytes[&section.queue])).collect();
        Ok((file, Compacted { segment, size, sections }))
    }

    /// Copies what lives of a record: messages in a row that the same queues still hold stay together.
    fn copy(&self, messages: &Messages<'_>, file: &mut Aligned, index: &mut Index, bytes: &mut Map<u64, u64>) {
        let mut run: (Vec<format::Placement>, Vec<Content<'_>>) = Default::default();
        let mut write = |(placements, contents): &(Vec<format::Placement>, Vec<Content<'_>>)| {
            if placements.is_empty() {
                return;
            }
            let (len, at) = (format::messages_len(placements.len(), messages.head.route, contents), file.len() as u32);
            let flags = if messages.transient { TRANSIENT } else { 0 };
            format::write_messages(file.extend(len), self.segment, flags, placements, &messages.head, contents);
            index.place(placements, contents.len() as u32, messages.transient, at, len as u32);
            placements.iter().for_each(|(queue, _)| *bytes.entry(*queue).or_default() += (len / placements.len()) as u64);
        };
        for (behind, content) in (0..).zip(messages.contents()) {
            let placed = messages.placements().map(|(queue, first)| (queue, first + behind));
            let living: Vec<_> = placed.filter(|&(queue, sequence)| self.keeps(queue, sequence)).collect();
            let count = run.1.len() as u64;
            if !living.iter().map(|&(queue, sequence)| (queue, sequence.wrapping_sub(count))).eq(run.0.iter().copied()) {
                write(&run);
                run = (living, Vec::new());
            }
            run.1.push(content);
        }
        write(&run);
    }

    fn keeps(&self, queue: u64, sequence: u64) -> bool {
        self.keep.get(&queue).is_some_and(|ranges| {
            let at = ranges.partition_point(|&(_, last)| last < sequence);
            ranges.get(at).is_some_and(|&(first, _)| first <= sequence)
        })
    }
}

const _: () = assert!(BATCH < BLOCK);

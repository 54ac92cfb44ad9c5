//! Reclaims the disk space of settled messages.
//!
//! A segment without live messages is deleted. A segment of which at least half is dead is
//! rewritten without the dead part, under the same number, as soon as the files take more than
//! twice the size of the live messages and two segments. So a message is moved seldom, and
//! long-lived messages are left alone.
//!
//! **Settled elsewhere.** A segment may say that messages of another segment are settled; they
//! would be back after a restart if that was lost. So a segment that is rewritten keeps the settled
//! ranges that other segments need. A segment without live messages stays until no other segment
//! needs its ranges, and is rewritten like others if it takes too much space. The same applies to
//! its counts of returned messages, as long as they are current.

use std::collections::VecDeque;

use super::format::{self, BATCH, Head, Kind, Messages, RETURNED, Range, Returned, SETTLED, TRANSIENT};
use super::index::{self, Index, Section, Words};
use super::loader::Damage;
use super::{Op, Store, scan};
use crate::base::aligned::{Aligned, BLOCK};
use crate::base::hash::Map;
use crate::base::limits::LOG_RECORD_SIZE;
use crate::message::Content;

/// A segment to be rewritten.
#[derive(Debug)]
pub struct Compaction {
    /// The segment.
    pub segment: u32,
    /// The live messages of each queue: its number, and ranges of sequence numbers.
    keep: Map<u64, Vec<(u64, u64)>>,
    /// The same for messages in other segments that may be settled by this segment.
    needed: Map<u64, Vec<(u64, u64)>>,
    /// The segment's counts of returns that are current.
    returns: Vec<Returned>,
    /// Whether a damaged segment is left as it is.
    pub accept_loss: bool,
}

/// A segment that was rewritten.
#[derive(Debug)]
pub struct Compacted {
    /// The segment.
    pub segment: u32,
    /// Size of its file now, bytes.
    pub size: u64,
    /// Its section of each queue, and the bytes of its messages.
    pub sections: Vec<(Section, u64)>,
    /// The settled ranges that it says.
    pub words: Words,
}

/// Segments to be deleted or rewritten, each once the batch of this number is on the disk.
#[derive(Default)]
pub struct Retiring(VecDeque<(u64, Op)>);

impl Store {
    /// Finds segments to be deleted or rewritten, and begins what has waited for the disk.
    pub(super) fn reclaim(&mut self) {
        while let Some(segment) = self.segments.next_dead() {
            if self.needed(segment).next().is_some() || !self.stated(segment).is_empty() {
                self.segments.keep_words(segment);
                continue;
            }
            let slots = self.segments.retire(segment).queues.clone();
            slots.into_iter().for_each(|slot| self.forget(slot, segment));
            self.forget_found(segment);
            self.retiring.0.push_back((self.position(), Op::Delete(segment)));
        }
        if !self.compacting
            && let Some(segment) = self.segments.next_sparse()
        {
            self.compacting = true;
            let slots = self.segments.retire(segment).queues.clone();
            let mut needed: Map<u64, Vec<(u64, u64)>> = Map::default();
            self.needed(segment).for_each(|(queue, first, last)| needed.entry(queue).or_default().push((first, last)));
            let (keep, returns) = (self.living(segment, &slots), self.stated(segment));
            let compaction = Compaction { segment, keep, needed, returns, accept_loss: self.accept_loss };
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

    /// The settled messages of other segments that a segment may say to be settled, in order for
    /// each queue: a restart would find those messages.
    fn needed(&self, number: u32) -> impl Iterator<Item = Range> {
        let lasting = self.segments.words(number).iter().filter(|(queue, ..)| !format::is_fleeting(*queue));
        lasting.flat_map(move |&(queue, first, last)| {
            let log = self.log(queue).into_iter();
            log.flat_map(move |log| log.settled_beside(number, first, last)).map(move |(first, last)| (queue, first, last))
        })
    }

    fn forget(&mut self, slot: u32, segment: u32) {
        if let Some(log) = self.queues.get_mut(slot as usize) {
            log.forget(segment);
        }
    }

    /// Forgets a deleted segment in queues that are not open yet. Their sequence numbers go on
    /// after those of its messages.
    fn forget_found(&mut self, segment: u32) {
        for log in self.found.values_mut().filter(|log| log.extents.iter().any(|extent| extent.segment == segment)) {
            let last = log.extents.back().map(|extent| extent.last).max(log.settled.last());
            log.forget(segment);
            last.inspect(|&last| log.settled.insert(last, last));
        }
    }

    fn living(&self, segment: u32, slots: &[u32]) -> Map<u64, Vec<(u64, u64)>> {
        let logs = slots.iter().filter_map(|&slot| self.queues.get(slot as usize));
        let extents = logs.flat_map(|log| log.extents.iter().filter(|extent| extent.segment == segment).map(move |extent| (log, extent)));
        extents.filter(|(_, extent)| extent.live > 0).map(|(log, extent)| (log.number, log.living(extent))).collect()
    }

    /// Notes that a segment is left as it is, for good.
    pub fn on_left(&mut self) {
        (self.compacting, self.has_news) = (false, true);
    }

    /// Notes that a segment was rewritten.
    pub fn on_compacted(&mut self, compacted: Compacted) {
        let Compacted { segment, size, sections, words } = compacted;
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
        self.segments.compacted(segment, size, queues, live_bytes, words);
    }
}

impl Compaction {
    /// Makes the new content of a segment's file of this shard from the old content.
    ///
    /// # Errors
    /// The old content is damaged.
    pub fn run(&self, old: &[u8], shard: u16) -> Result<(Aligned, Compacted), Damage> {
        let segment = self.segment;
        let damage = |place| Damage { segment, place };
        let trailer = old.len().checked_sub(format::TRAILER).ok_or(damage(0))?;
        let place = index::read_trailer(&old[trailer..], segment).ok_or(damage(trailer as u64))?;
        let tail = old.get(place as usize..).and_then(|bytes| index::read_tail(bytes, segment, place));
        let sealed = tail.ok_or(damage(place))?;
        let mut file = begin(Head { shard, first_batch: scan::first_number(old, segment) }, segment);
        let mut index = Index::default();
        let mut bytes: Map<u64, u64> = Map::default();
        let mut words: Vec<Range> = Vec::new();
        let take = |record: format::Record<'_>| {
            if record.kind == Kind::Settled {
                words.extend(format::read_ranges(record.payload).filter(|&range| self.needs(range)));
            } else if let Some(messages) = Messages::read(record) {
                self.copy(&messages, &mut file, &mut index, &mut bytes);
            }
        };
        scan::for_each_record(old, segment, sealed.end as usize, take).map_err(damage)?;
        self.say_again(words, &mut file, &mut index);
        self.count_again(&mut file, &mut index);
        file.pad();
        format::write_batch(&mut file.blocks_mut()[BLOCK..], segment, sealed.batch);
        let (place, tail, sections) = index.seal(segment, file.len() as u32, sealed.batch, 0);
        debug_assert_eq!(place, file.len() as u64);
        file.extend(tail.len()).copy_from_slice(tail.bytes());
        let size = file.len() as u64;
        let sections = sections.into_iter().map(|section| (section, bytes[&section.queue])).collect();
        Ok((file, Compacted { segment, size, sections, words: Words::of(&index) }))
    }

    /// Copies the live messages of a record. Successive messages that are live in the same queues
    /// stay together.
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

    /// Writes the settled ranges that other segments need, joined to as few as possible.
    fn say_again(&self, mut words: Vec<Range>, file: &mut Aligned, index: &mut Index) {
        words.sort_unstable();
        words.into_iter().for_each(|range| index.settle(range));
        for ranges in index.settled.chunks(LOG_RECORD_SIZE / SETTLED) {
            let space = file.extend(format::HEADER + ranges.len() * SETTLED);
            format::write_ranges(&mut space[format::HEADER..], ranges);
            format::seal(space, self.segment, Kind::Settled, 0, 0);
        }
    }

    /// Writes the current counts of returns.
    fn count_again(&self, file: &mut Aligned, index: &mut Index) {
        for returns in self.returns.chunks(LOG_RECORD_SIZE / RETURNED) {
            let space = file.extend(format::HEADER + returns.len() * RETURNED);
            format::write_returns(&mut space[format::HEADER..], returns);
            format::seal(space, self.segment, Kind::Returns, 0, 0);
        }
        index.returns.clone_from(&self.returns);
    }

    fn keeps(&self, queue: u64, sequence: u64) -> bool {
        meets(&self.keep, (queue, sequence, sequence))
    }

    fn needs(&self, range: Range) -> bool {
        meets(&self.needed, range)
    }
}

/// Makes a new segment of the whole records of a damaged segment of this shard, if there are any.
/// The next segment, if it exists, begins with the batch `next_batch`.
pub fn salvage(damaged: &[u8], segment: u32, shard: u16, next_batch: Option<u64>) -> Option<Aligned> {
    let mut file = begin(Head { shard, first_batch: scan::first_number(damaged, segment) }, segment);
    let mut index = Index::default();
    let (_, last) = scan::for_each_whole_record(damaged, segment, |bytes, record| {
        let at = file.len() as u32;
        file.extend(bytes.len()).copy_from_slice(bytes);
        index.take(at, record);
    })?;
    let batch = next_batch.map_or(last, |next| next - 1);
    file.pad();
    format::write_batch(&mut file.blocks_mut()[BLOCK..], segment, batch);
    let (_, tail, _) = index.seal(segment, file.len() as u32, batch, 0);
    file.extend(tail.len()).copy_from_slice(tail.bytes());
    Some(file)
}

/// Begins a file of one batch.
fn begin(head: Head, segment: u32) -> Aligned {
    let mut file = Aligned::default();
    file.extend(BLOCK).copy_from_slice(&head.block(segment));
    file.extend(BATCH).fill(0);
    file
}

/// Whether any message of a range is in those ranges, which are in order.
fn meets(ranges: &Map<u64, Vec<(u64, u64)>>, (queue, first, last): Range) -> bool {
    ranges.get(&queue).is_some_and(|ranges| {
        let at = ranges.partition_point(|&(_, end)| end < first);
        ranges.get(at).is_some_and(|&(begin, _)| begin <= last)
    })
}

const _: () = assert!(BATCH < BLOCK);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::LevelAddr;
    use crate::store::Opened;
    use crate::store::queue_log::QueueLog;
    use crate::store::segment::Segment;

    #[test]
    fn a_queue_that_is_not_taken_up_yet_outlives_a_segment_that_goes() {
        let (mut store, mut log) = (Store::new(5), QueueLog::default());
        log.append(1, 0, 10, 100);
        log.settle(0, 9, |_, _, _| {});
        store.segments.found(1, Segment::sealed(4096, 8192, Words::default()));
        store.found.insert(9, log);
        store.seal();
        assert!(matches!(store.next_op(), Some(Op::Delete(1))));
        assert_eq!(store.open_queue(9, LevelAddr::default()), Opened { slot: 0, next: 10, count: 0 });
    }
}

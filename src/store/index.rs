//! The index of a segment: for each queue, where its messages are. It is written to the end of the
//! segment when the segment is full and on the disk.
//!
//! ```text
//! payload   [end u32][last batch u64][queues u32][ranges u32]
//!           queues × [queue u64][first u64][last u64][messages u32][of them durable u32]
//!                    [section u32][section len u32]
//!           ranges × [queue u64][first u64][last u64]    the segment's records of kind `settled`
//!           sections: for each record with messages of the queue, in order, four numbers of 7 bits
//!                     a byte: offset from the record before, length, 2 × messages (+ 1 if
//!                     transient), sequence numbers that are left out before it
//! ```
//!
//! The content of the segment's records of kind `returns`, if there are any, follows the index in a
//! record of that kind.
//!
//! `section` is the offset of a queue's section in the index record. So a restart reads some
//! kilobytes of a segment instead of all of it, and a queue that is mostly in the log is restored
//! section by section, without work for each message.

use std::sync::Arc;

use smallvec::SmallVec;

use super::format::{self, HEADER, Kind, Messages, Placement, RETURNED, Range, Record, Returned, SETTLED, TRAILER, u32_at, u64_at};
use crate::base::aligned::{Aligned, BLOCK};
use crate::base::hash::Map;

/// The messages of one queue in one record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The queue's number.
    pub queue: u64,
    /// The sequence number of the first one.
    pub first: u64,
    /// Number of messages.
    pub count: u32,
    /// Whether they do not survive a restart.
    pub transient: bool,
    /// The record's offset in the segment, bytes.
    pub at: u32,
    /// The record's length, bytes.
    pub len: u32,
}

impl Entry {
    /// The sequence number of the last message.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }
}

/// The index of a segment that is being written.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// The entries, in the order of the records.
    pub entries: Vec<Entry>,
    /// Settled ranges; ranges that touch are joined.
    pub settled: Vec<Range>,
    /// How often messages came back.
    pub returns: Vec<Returned>,
}

/// The section of one queue in the index of a sealed segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Section {
    /// The queue's number.
    pub queue: u64,
    /// The first sequence number.
    pub first: u64,
    /// The last sequence number.
    pub last: u64,
    /// Number of messages of the queue in the segment.
    pub count: u32,
    /// Number of those that survive a restart.
    pub durable: u32,
    /// Offset of the queue's entries in the file, bytes.
    pub place: u64,
    /// Length of the queue's entries, bytes.
    pub len: u32,
}

impl Index {
    /// Adds the messages of one record.
    pub fn add(&mut self, messages: &Messages<'_>, at: u32, len: u32) {
        let placements: SmallVec<[Placement; 4]> = messages.placements().collect();
        self.place(&placements, messages.count, messages.transient, at, len);
    }

    /// Adds a record of `count` messages for these queues.
    pub fn place(&mut self, placements: &[Placement], count: u32, transient: bool, at: u32, len: u32) {
        self.entries.extend(placements.iter().map(|&(queue, first)| Entry { queue, first, count, transient, at, len }));
    }

    /// Adds a settled range.
    pub fn settle(&mut self, (queue, first, last): Range) {
        match self.settled.last_mut() {
            Some((before, _, end)) if *before == queue && *end + 1 == first => *end = last,
            _ => self.settled.push((queue, first, last)),
        }
    }

    /// Returns the entries of one queue.
    pub fn of(&self, queue: u64) -> Vec<Entry> {
        self.entries.iter().filter(|entry| entry.queue == queue).copied().collect()
    }

    /// Encodes the end of the segment's file, which has `end` bytes of records, the last batch
    /// being number `batch`. Returns its offset, its bytes, and the sections. The file has `size`
    /// bytes, or more if these are too few.
    pub fn seal(&self, segment: u32, end: u32, batch: u64, size: u64) -> (u64, Aligned, Vec<Section>) {
        let (mut directory, bodies) = self.sections();
        let fixed = FIXED + directory.len() * DIRECTORY + self.settled.len() * SETTLED;
        let len = HEADER + fixed + bodies.len();
        let returns = if self.returns.is_empty() { 0 } else { HEADER + self.returns.len() * RETURNED };
        let mut buffer = Aligned::zeroed((len + returns + TRAILER).next_multiple_of(BLOCK));
        let place = u64::from(end).next_multiple_of(BLOCK as u64).max(size.saturating_sub(buffer.len() as u64));
        let bytes = buffer.blocks_mut();
        let payload = &mut bytes[HEADER..len];
        payload[..4].copy_from_slice(&end.to_le_bytes());
        payload[4..12].copy_from_slice(&batch.to_le_bytes());
        payload[12..16].copy_from_slice(&(directory.len() as u32).to_le_bytes());
        payload[16..FIXED].copy_from_slice(&(self.settled.len() as u32).to_le_bytes());
        for (section, space) in directory.iter_mut().zip(payload[FIXED..].chunks_exact_mut(DIRECTORY)) {
            let within = (HEADER + fixed) as u64 + section.place;
            write_section(section, within as u32, space);
            section.place = place + within;
        }
        format::write_ranges(&mut payload[fixed - self.settled.len() * SETTLED..fixed], &self.settled);
        payload[fixed..].copy_from_slice(&bodies);
        format::seal(&mut bytes[..len], segment, Kind::Index, 0, 0);
        if returns > 0 {
            format::write_returns(&mut bytes[len + HEADER..len + returns], &self.returns);
            format::seal(&mut bytes[len..len + returns], segment, Kind::Returns, 0, 0);
        }
        let trailer = bytes.len() - TRAILER;
        bytes[trailer + HEADER..].copy_from_slice(&place.to_le_bytes());
        format::seal(&mut bytes[trailer..], segment, Kind::Trailer, 0, 0);
        (place, buffer, directory)
    }

    /// Makes the directory, whose offsets count from the first section on, and the sections.
    pub fn sections(&self) -> (Vec<Section>, Vec<u8>) {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.queue);
        let (mut directory, mut bodies) = (Vec::new(), Vec::new());
        for entries in entries.chunk_by(|one, other| one.queue == other.queue) {
            let begin = bodies.len();
            let (mut at, mut next, mut durable, mut count) = (0, 0, 0, 0);
            for entry in entries {
                let kinds = u64::from(entry.count) << 1 | u64::from(entry.transient);
                for number in [u64::from(entry.at - at), entry.len.into(), kinds, entry.first - next] {
                    write_number(number, &mut bodies);
                }
                (at, next) = (entry.at, entry.last() + 1);
                count += entry.count;
                durable += if entry.transient { 0 } else { entry.count };
            }
            let (queue, first, last) = (entries[0].queue, entries[0].first, next - 1);
            let (place, len) = (begin as u64, (bodies.len() - begin) as u32);
            directory.push(Section { queue, first, last, count, durable, place, len });
        }
        (directory, bodies)
    }
}

/// A full segment whose index is to be written.
#[derive(Debug)]
pub struct Indexing {
    /// The segment.
    pub segment: u32,
    /// Its index.
    pub index: Arc<Index>,
    /// Size of its records, bytes.
    pub end: u32,
    /// Number of the last batch.
    pub batch: u64,
    /// Size of its file, bytes; more if that is too small.
    pub size: u64,
}

/// A segment whose index is on the disk.
#[derive(Debug)]
pub struct Indexed {
    /// The segment.
    pub segment: u32,
    /// Size of its file now, bytes.
    pub size: u64,
    /// Its section of each queue.
    pub sections: Vec<Section>,
    /// The settled ranges that it says.
    pub words: Words,
}

impl Indexing {
    /// Returns what is to be written to the segment's file and synced there (offset and bytes), and
    /// the result for the log. (For a million messages it takes long, so another thread does it.)
    pub fn run(&self) -> (u64, Aligned, Indexed) {
        let (place, buffer, sections) = self.index.seal(self.segment, self.end, self.batch, self.size);
        let size = place + buffer.len() as u64;
        (place, buffer, Indexed { segment: self.segment, size, sections, words: Words::of(&self.index) })
    }
}

/// A summary of the settled ranges that a segment says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Words {
    /// For each queue, one range around all of its settled messages.
    pub hulls: Vec<Range>,
    /// Size of all ranges and counts in the file, bytes.
    pub bytes: u64,
}

impl Words {
    /// The summary for a segment with this index.
    pub fn of(index: &Index) -> Words {
        Words::new(&index.settled, index.returns.len())
    }

    /// The summary of these settled ranges and this number of counted ranges.
    pub fn new(settled: &[Range], returns: usize) -> Words {
        let mut hulls: Map<u64, (u64, u64)> = Map::default();
        for ranges in settled.chunk_by(|one, other| one.0 == other.0) {
            let hull = hulls.entry(ranges[0].0).or_insert((u64::MAX, 0));
            ranges.iter().for_each(|&(_, first, last)| *hull = (hull.0.min(first), hull.1.max(last)));
        }
        let hulls = hulls.into_iter().map(|(queue, (first, last))| (queue, first, last)).collect();
        Words { hulls, bytes: 2 * (settled.len() * SETTLED + returns * RETURNED) as u64 } // in the records, and in the index
    }
}

/// The index of a sealed segment, as it was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sealed {
    /// Size of the records, bytes.
    pub end: u32,
    /// Number of the last batch.
    pub batch: u64,
    /// The section of each queue.
    pub sections: Vec<Section>,
    /// The settled ranges.
    pub settled: Vec<Range>,
    /// How often messages came back.
    pub returns: Vec<Returned>,
}

/// Reads the offset of the index from the last [`TRAILER`] bytes of the segment's file.
pub fn read_trailer(bytes: &[u8], segment: u32) -> Option<u64> {
    let record = format::open(bytes, segment).filter(|record| record.kind == Kind::Trailer)?;
    (record.payload.len() == TRAILER - HEADER).then(|| u64_at(record.payload, 0))
}

/// Reads the bytes of a segment's file from the index on, which is at the offset `place`.
pub fn read_tail(bytes: &[u8], segment: u32, place: u64) -> Option<Sealed> {
    let record = format::open(bytes, segment)?;
    let behind = format::open(&bytes[record.size()..], segment).filter(|record| record.kind == Kind::Returns);
    let returns = behind.into_iter().flat_map(|record| format::read_returns(record.payload)).collect();
    read(record, place).map(|sealed| Sealed { returns, ..sealed })
}

/// Reads an index record, which is at the offset `place` of its file.
fn read(record: Record<'_>, place: u64) -> Option<Sealed> {
    let payload = Some(record.payload).filter(|payload| record.kind == Kind::Index && payload.len() >= FIXED)?;
    let (queues, ranges) = (u32_at(payload, 12) as usize, u32_at(payload, 16) as usize);
    let directory = payload.get(FIXED..FIXED + queues * DIRECTORY)?;
    let settled = payload.get(FIXED + directory.len()..)?.get(..ranges * SETTLED)?;
    let sections = directory.chunks_exact(DIRECTORY).map(|bytes| read_section(bytes, place)).collect();
    let settled = format::read_ranges(settled).collect();
    Some(Sealed { end: u32_at(payload, 0), batch: u64_at(payload, 4), sections, settled, returns: Vec::new() })
}

/// Reads the entries of a queue's section.
pub fn read_entries(queue: u64, mut bytes: &[u8]) -> Option<Vec<Entry>> {
    let (mut entries, mut at, mut next) = (Vec::new(), 0_u64, 0_u64);
    while !bytes.is_empty() {
        let mut number = || read_number(&mut bytes);
        let (behind, len, kinds, skipped) = (number()?, number()?, number()?, number()?);
        at = at.checked_add(behind)?;
        let (first, count) = (next.checked_add(skipped)?, kinds >> 1);
        next = first.checked_add(count)?;
        let entry = Entry {
            queue,
            first,
            count: u32::try_from(count).ok().filter(|&count| count > 0)?,
            transient: kinds & 1 == 1,
            at: u32::try_from(at).ok()?,
            len: u32::try_from(len).ok()?,
        };
        entries.push(entry);
    }
    Some(entries)
}

fn write_section(section: &Section, within: u32, space: &mut [u8]) {
    for (number, space) in [section.queue, section.first, section.last].into_iter().zip(space.chunks_exact_mut(8)) {
        space.copy_from_slice(&number.to_le_bytes());
    }
    for (number, space) in [section.count, section.durable, within, section.len].into_iter().zip(space[24..].chunks_exact_mut(4)) {
        space.copy_from_slice(&number.to_le_bytes());
    }
}

fn read_section(bytes: &[u8], place: u64) -> Section {
    Section {
        queue: u64_at(bytes, 0),
        first: u64_at(bytes, 8),
        last: u64_at(bytes, 16),
        count: u32_at(bytes, 24),
        durable: u32_at(bytes, 28),
        place: place + u64::from(u32_at(bytes, 32)),
        len: u32_at(bytes, 36),
    }
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let (&byte, rest) = bytes.split_first().filter(|_| shift < 64)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

/// Size of the payload before the directory, bytes.
const FIXED: usize = 20;
/// Size of one queue in the directory, bytes.
pub const DIRECTORY: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn random_index(rng: &mut Rng) -> Index {
        let mut index = Index::default();
        let (mut at, mut next) = (28, [0, 1 << 40, 5]);
        for _ in 0..rng.below(200) {
            let queue = rng.below(3);
            let first = next[queue as usize] + rng.below(2) * rng.below(100);
            let (count, len) = (1 + rng.below(40) as u32, 50 + rng.below(100_000) as u32);
            index.entries.push(Entry { queue, first, count, transient: rng.below(4) == 0, at, len });
            next[queue as usize] = first + u64::from(count);
            at += len + rng.below(4096) as u32;
            index.settle((queue, rng.below(100), 100 + rng.below(100)));
            if rng.below(3) == 0 {
                index.returns.push((queue, first, first, (1, rng.below(2) as u32)));
            }
        }
        index
    }

    #[test]
    fn an_index_is_found_from_the_end_of_the_file() {
        let mut rng = Rng::seeded(4);
        for round in 0..200 {
            let index = random_index(&mut rng);
            let end = index.entries.last().map_or(28, |last| last.at + last.len);
            let (place, buffer, directory) = index.seal(9, end, 1234, if round % 2 == 0 { 0 } else { 64 << 20 });
            let bytes = buffer.bytes();
            assert!(place >= u64::from(end) && place.is_multiple_of(BLOCK as u64) && bytes.len().is_multiple_of(BLOCK));
            assert!(round % 2 == 0 || place + bytes.len() as u64 == 64 << 20);
            assert_eq!(read_trailer(&bytes[bytes.len() - TRAILER..], 9), Some(place));
            let sealed = read_tail(bytes, 9, place).expect("an index");
            assert_eq!((sealed.end, sealed.batch, &sealed.settled, &sealed.returns), (end, 1234, &index.settled, &index.returns));
            assert_eq!(sealed.sections, directory);
            for section in directory {
                let from = (section.place - place) as usize;
                let entries = read_entries(section.queue, &bytes[from..from + section.len as usize]).expect("entries");
                assert_eq!(entries, index.of(section.queue));
                assert_eq!((section.first, section.last), (entries[0].first, entries[entries.len() - 1].last()));
                assert_eq!(section.count, entries.iter().map(|entry| entry.count).sum::<u32>());
                assert!(section.durable <= section.count);
            }
        }
    }

    #[test]
    fn a_broken_section_is_refused_not_believed() {
        let mut rng = Rng::seeded(5);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.below(30)).map(|_| rng.next_u64() as u8).collect();
            read_entries(1, &bytes);
        }
        assert_eq!(read_entries(1, &[0x80]), None);
        assert_eq!(read_entries(1, &[]), Some(Vec::new()));
    }

    #[test]
    fn what_is_settled_in_a_row_is_one_range() {
        let mut index = Index::default();
        [(1, 0, 4), (1, 5, 5), (2, 6, 6), (1, 6, 9)].into_iter().for_each(|range| index.settle(range));
        assert_eq!(index.settled, [(1, 0, 5), (2, 6, 6), (1, 6, 9)]);
    }
}

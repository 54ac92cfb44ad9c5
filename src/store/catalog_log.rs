//! The catalog's own log: its changes in the order in which they were made. It has two files with
//! the same bytes, which are written anew when most of their content is obsolete.
//!
//! It is separate from the logs of the shards because it is small and needed first: the broker
//! serves as soon as it is read. Shard 0, which orders the changes, writes it: files `catalog-G.a`
//! and `catalog-G.b` (G: the generation), records of kind `catalog` (see
//! [`format`](super::format)).
//!
//! ```text
//! a   [write 0: the whole catalog when the file was begun][write 1][write 2]
//! b   [write 0                                           ][write 1][wri
//!     a write ends when both copies have it; then the next one begins
//! ```
//!
//! **Reading** ([`read`]): each record is taken from a copy in which it is whole, so damage loses
//! nothing that the other copy has. If a record is whole in neither, it may be the tail of a write
//! that a crash tore. That is possible if nothing of a later write follows, if write 0 has ended
//! (it is written under another name and then renamed), and if both copies are whole up to there.
//! Anything else is damage.

use super::format::{self, HEADER, Kind, LAST, LISTED};

/// The log of the catalog, on shard 0.
pub struct CatalogLog {
    generation: u32,
    /// The records that wait for the disk.
    staged: Vec<u8>,
    /// Where the last of them begins.
    last_at: usize,
    /// The number of the next write of the file.
    write: u16,
    /// Number of records that were made.
    made: u64,
    /// Number of records that are on the disk.
    durable: u64,
    /// The number of records after the write that is under way.
    writing: Option<u64>,
    /// Size of the file, bytes.
    size: u64,
    /// Size of the file when it was begun, bytes.
    begun_with: u64,
}

/// An operation on both copies, for the driver, one at a time. [`CatalogLog::on_written`] follows
/// when both copies are done.
#[derive(PartialEq, Eq, Debug)]
pub enum CatalogOp {
    /// Append to the files of this generation, and sync them.
    Append(u32, Vec<u8>),
    /// Write and sync the files of this generation, then delete those of the generation before.
    Replace(u32, Vec<u8>),
}

impl CatalogLog {
    /// Goes on with files of this generation and size, with this number of the next write.
    pub fn new(generation: u32, size: u64, write: u16) -> CatalogLog {
        CatalogLog { generation, staged: Vec::new(), last_at: 0, write, made: 0, durable: 0, writing: None, size, begun_with: size }
    }

    /// Adds a record.
    pub fn append(&mut self, payload: &[u8]) {
        self.last_at = self.staged.len();
        put(&mut self.staged, (self.generation, self.write), 0, payload);
        self.made += 1;
    }

    /// Number of records that were made.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Number of records that are on the disk.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether nothing is to be written.
    pub fn is_at_rest(&self) -> bool {
        self.staged.is_empty() && self.writing.is_none()
    }

    /// Whether most of the file is obsolete.
    pub fn is_long(&self) -> bool {
        self.writing.is_none() && self.size > HISTORY_MIN.max(2 * self.begun_with)
    }

    /// Begins new files with these records, which must describe the whole catalog, including
    /// changes that are not on the disk yet.
    pub fn replace(&mut self, records: &[Vec<u8>]) -> CatalogOp {
        self.generation += 1;
        self.staged.clear();
        let bytes = self::records(self.generation, 0, records.iter().map(Vec::as_slice));
        (self.writing, self.write) = (Some(self.made), 1);
        (self.size, self.begun_with) = (bytes.len() as u64, bytes.len() as u64);
        CatalogOp::Replace(self.generation, bytes)
    }

    /// Returns the next operation, if none is under way.
    pub fn next_op(&mut self) -> Option<CatalogOp> {
        if self.writing.is_some() || self.staged.is_empty() {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.staged);
        format::seal(&mut bytes[self.last_at..], self.generation, Kind::Catalog, LAST | LISTED, self.write);
        (self.writing, self.write) = (Some(self.made), self.write.wrapping_add(1));
        self.size += bytes.len() as u64;
        Some(CatalogOp::Append(self.generation, bytes))
    }

    /// Notes that the write is on the disk.
    pub fn on_written(&mut self) {
        self.durable = self.writing.take().expect("a write ends that was begun");
    }
}

/// The content that the copies of a generation have together.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Read<'a> {
    /// The payloads of the records, in order.
    pub payloads: Vec<&'a [u8]>,
    /// The first fault of each copy that exists.
    pub faults: [Option<Fault>; 2],
    /// The offsets at which records are lost, because they are whole in no copy.
    pub lost: Vec<u64>,
    /// Size of the files up to there, bytes.
    pub size: u64,
    /// The number of the next write.
    pub next_write: u16,
    /// Whether the files are of a version that lists the segments of logs.
    pub is_listed: bool,
}

/// The first offset at which a copy is not whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The offset in the file, bytes.
    pub place: u64,
    /// Whether it is in the last write, so that a crash may have caused it.
    pub may_be_torn: bool,
}

/// A whole record.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry<'a> {
    write: u16,
    is_last: bool,
    is_listed: bool,
    payload: &'a [u8],
}

/// Reads the copies of a generation; `None` for a copy that does not exist or cannot be read.
pub fn read(copies: [Option<&[u8]>; 2], generation: u32) -> Read<'_> {
    Reading { copies, generation, at: 0, before: None, is_begun: false, faults: [None; 2] }.run()
}

/// The progress of reading both copies.
struct Reading<'a> {
    copies: [Option<&'a [u8]>; 2],
    generation: u32,
    at: usize,
    /// The record before this offset.
    before: Option<Entry<'a>>,
    /// Whether the first write has ended.
    is_begun: bool,
    /// The first fault of each copy: its offset, and the write that it is in.
    faults: [Option<(usize, u16)>; 2],
}

impl<'a> Reading<'a> {
    fn run(mut self) -> Read<'a> {
        let mut read = Read::default();
        loop {
            if let Some(entry) = self.entry() {
                read.payloads.push(entry.payload);
                self.at += HEADER + entry.payload.len();
                self.is_begun |= entry.is_last;
                read.is_listed |= entry.is_listed;
                self.before = Some(entry);
                continue;
            }
            if self.copies.iter().flatten().all(|copy| copy.len() <= self.at) && self.is_begun {
                break;
            }
            let is_torn = self.may_be_torn();
            self.note_fault();
            if is_torn {
                break;
            }
            read.lost.push(self.at as u64);
            let Some(next) = self.places_behind().next() else { break };
            self.at = next;
        }
        let last = self.before.map_or(0, |before| before.write);
        let fault = |(place, write)| Fault { place: place as u64, may_be_torn: write == last || write == self.filling() };
        read.faults = self.faults.map(|first| first.map(fault));
        (read.size, read.next_write) = (self.at as u64, last.wrapping_add(1));
        read
    }

    /// The record at this offset, from a copy in which it is whole.
    fn entry(&mut self) -> Option<Entry<'a>> {
        let found = self.copies.map(|copy| open(copy?, self.at, self.generation));
        let entry = match found {
            [Some(one), Some(other)] if one != other => None,
            [one, other] => one.or(other),
        }?;
        let at = self.at;
        let lacking = self.faults.iter_mut().zip(self.copies).zip(found).filter(|((_, copy), found)| copy.is_some() && found.is_none());
        lacking.for_each(|((fault, _), _)| _ = fault.get_or_insert((at, entry.write)));
        Some(entry)
    }

    /// The write of which the next record here would be a part.
    fn filling(&self) -> u16 {
        self.before.map_or(0, |before| before.write.wrapping_add(before.is_last.into()))
    }

    /// Whether the bytes here can be the tail of a write that a crash tore.
    fn may_be_torn(&self) -> bool {
        let filling = self.filling();
        let was_whole_before = |fault: &Option<(usize, u16)>| fault.is_none_or(|(_, write)| write == filling);
        let were_whole = self.copies.iter().all(Option::is_some) && self.faults.iter().all(was_whole_before);
        let is_later = |place| {
            let behind = self.copies.iter().flatten().filter_map(|copy| open(copy, place, self.generation));
            behind.into_iter().any(|entry| entry.write.wrapping_sub(filling).cast_signed() > 0)
        };
        self.is_begun && were_whole && !self.places_behind().any(is_later)
    }

    /// Notes that the bytes here are whole in no copy.
    fn note_fault(&mut self) {
        let (at, write) = (self.at, self.filling());
        let longer = self.faults.iter_mut().zip(self.copies).filter(|(_, copy)| copy.is_some_and(|copy| copy.len() > at));
        longer.for_each(|(fault, _)| _ = fault.get_or_insert((at, write)));
    }

    /// The offsets of whole records after this one.
    fn places_behind(&self) -> impl Iterator<Item = usize> {
        let end = self.copies.iter().flatten().map(|copy| copy.len()).max().unwrap_or(0);
        let is_entry = |place: &usize| self.copies.iter().flatten().any(|copy| open(copy, *place, self.generation).is_some());
        (self.at + 1..end).filter(is_entry)
    }
}

fn open(copy: &[u8], at: usize, generation: u32) -> Option<Entry<'_>> {
    let record = format::open(copy.get(at..)?, generation).filter(|record| record.kind == Kind::Catalog)?;
    let (is_last, is_listed) = (record.flags & LAST != 0, record.flags & LISTED != 0);
    Some(Entry { write: record.extra, is_last, is_listed, payload: record.payload })
}

/// Reads a file of version 2: one copy, whose writes are not numbered. If its last bytes are not
/// whole, they are a torn tail. It lists no segments.
pub fn read_one(bytes: &[u8], generation: u32) -> Read<'_> {
    let (mut read, mut at) = (Read::default(), 0);
    while at < bytes.len() || read.payloads.is_empty() {
        if let Some(entry) = open(bytes, at, generation) {
            read.payloads.push(entry.payload);
            at += HEADER + entry.payload.len();
            continue;
        }
        let next = (at + 1..bytes.len()).find(|&place| open(bytes, place, generation).is_some());
        read.faults[0].get_or_insert(Fault { place: at as u64, may_be_torn: next.is_none() && at > 0 });
        if next.is_some() || at == 0 {
            read.lost.push(at as u64);
        }
        let Some(next) = next else { break };
        at = next;
    }
    read.size = at as u64;
    read
}

/// Encodes records for a file of this generation, as one write.
pub fn records<'a>(generation: u32, write: u16, payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut payloads = payloads.peekable();
    while let Some(payload) = payloads.next() {
        let flags = if payloads.peek().is_none() { LAST } else { 0 };
        put(&mut bytes, (generation, write), flags, payload);
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, (generation, write): (u32, u16), flags: u8, payload: &[u8]) {
    let begin = bytes.len();
    bytes.resize(begin + HEADER, 0);
    bytes.extend_from_slice(payload);
    format::seal(&mut bytes[begin..], generation, Kind::Catalog, flags | LISTED, write);
}

/// A smaller file is not written anew, bytes.
const HISTORY_MIN: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const NO_FAULTS: [Option<Fault>; 2] = [None; 2];

    #[test]
    fn records_are_durable_once_their_write_is() {
        let mut log = CatalogLog::new(3, 0, 0);
        assert_eq!(log.next_op(), None);
        log.append(b"one");
        let Some(CatalogOp::Append(3, first)) = log.next_op() else { panic!("something is staged") };
        log.append(b"two");
        assert_eq!((log.next_op(), log.made(), log.durable()), (None, 2, 0));
        log.on_written();
        assert_eq!(log.durable(), 1);
        log.append(b"three");
        let Some(CatalogOp::Append(3, second)) = log.next_op() else { panic!("something is staged") };
        let file = [first, second].concat();
        let whole = read([Some(&file), Some(&file)], 3);
        assert_eq!((&whole.payloads, whole.faults, whole.size, whole.next_write), (&PAYLOADS.to_vec(), NO_FAULTS, file.len() as u64, 2));
        assert!(whole.lost.is_empty() && read([Some(&file), Some(&file)], 4).lost == [0]);
    }

    const PAYLOADS: [&[u8]; 3] = [b"one", b"two", b"three"];

    /// Makes three writes; the last one has two records.
    fn file() -> (Vec<u8>, Vec<&'static [u8]>, usize) {
        let writes: [&[&[u8]]; 3] = [&[b"all", b"there was"], &[b"second"], &[b"third", b"and last"]];
        let file =
            |writes: &[&[&[u8]]]| (0..).zip(writes).flat_map(|(at, write)| records(7, at, write.iter().copied())).collect::<Vec<_>>();
        (file(&writes), writes.concat(), file(&writes[..2]).len())
    }

    #[test]
    fn what_one_copy_has_outlives_any_damage_of_the_other() {
        let (whole, payloads, last_write) = file();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            let mut cases = vec![flipped.clone(), whole[..at].to_vec(), [&whole[..at], &vec![0; whole.len() - at]].concat()];
            flipped.truncate(at + 1);
            cases.push(flipped);
            for damaged in cases.iter().filter(|&damaged| *damaged != whole) {
                for copies in [[damaged, &whole], [&whole, damaged]] {
                    let read = read(copies.map(|copy| Some(&**copy)), 7);
                    assert_eq!((&read.payloads, read.lost.len(), read.next_write), (&payloads, 0, 3), "byte {at}");
                    let fault = read.faults.into_iter().flatten().next().expect("a fault");
                    assert!(fault.place <= at as u64 && (fault.place < last_write as u64 || fault.may_be_torn));
                }
            }
        }
        let alone = read([None, Some(&whole)], 7);
        assert_eq!((alone.payloads, alone.faults, alone.lost.len()), (payloads, NO_FAULTS, 0));
    }

    #[test]
    fn a_torn_write_is_told_from_damage_of_both_copies() {
        let (whole, payloads, last_write) = file();
        for at in 0..whole.len() {
            let zeros = [&whole[..at], &vec![0; whole.len() - at]].concat();
            let read = read([Some(&zeros), Some(&zeros[..at.max(last_write)])], 7);
            assert!(payloads.starts_with(&read.payloads));
            // Write 0 is never torn. After it, nothing tells how many writes there were.
            assert_eq!(read.lost.is_empty(), at >= 2 * HEADER + payloads[..2].concat().len(), "byte {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            let read = self::read([Some(&flipped), Some(&flipped)], 7);
            assert_eq!(read.lost.is_empty(), at >= last_write, "byte {at}");
            assert!(at >= last_write || read.payloads.ends_with(&payloads[3..]), "what is behind is found");
            assert!(!self::read([None, Some(&flipped)], 7).lost.is_empty(), "one copy alone may not be cut");
        }
    }

    #[test]
    fn a_write_may_be_torn_in_the_middle() {
        let (whole, payloads, last_write) = file();
        let mut torn = whole.clone();
        torn[last_write..last_write + HEADER].fill(0);
        let read = read([Some(&torn), Some(&whole[..last_write])], 7);
        assert_eq!((read.payloads, read.lost.len(), read.size), (payloads[..3].to_vec(), 0, last_write as u64));
    }

    #[test]
    fn a_file_of_the_version_before_is_read() {
        let mut file: Vec<u8> = Vec::new();
        let places = PAYLOADS.map(|payload| {
            put(&mut file, (7, 0), 0, payload);
            file.len()
        });
        assert_eq!((read_one(&file, 7).payloads, read_one(&file, 7).faults), (PAYLOADS.to_vec(), NO_FAULTS));
        let torn = read_one(&file[..file.len() - 1], 7);
        assert_eq!((torn.payloads.len(), torn.lost.len(), torn.size), (2, 0, places[1] as u64));
        file[places[0] + HEADER] ^= 1;
        assert_eq!(read_one(&file, 7).lost, [places[0] as u64]);
        assert_eq!(read_one(&file, 7).payloads, [PAYLOADS[0], PAYLOADS[2]]);
        assert_eq!(read_one(b"", 7).lost, [0]);
    }

    #[test]
    fn history_is_left_behind() {
        let mut log = CatalogLog::new(1, 0, 0);
        let record = vec![7; 100_000];
        for _ in 0..20 {
            log.append(&record);
            assert!(log.next_op().is_some());
            log.on_written();
        }
        assert!(log.is_long());
        log.append(b"part of the new file");
        let CatalogOp::Replace(2, bytes) = log.replace(&[b"all".to_vec()]) else { panic!("the next generation") };
        assert_eq!(read([Some(&bytes), None], 2).payloads, [b"all"]);
        assert!(log.next_op().is_none() && !log.is_long());
        log.on_written();
        assert_eq!(log.durable(), log.made());
    }
}

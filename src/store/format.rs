//! The log's file format, version 4. All numbers are little-endian.
//!
//! ```text
//! segment   [head block][batch][batch][batch]…  …zeros…  [index][trailer]
//!           files shard-S/NNNNNNNNNN.log, in the order of their numbers
//! head      [head record][zeros to the end of the block]
//! batch     [batch record][record][record]…[zeros to the end of the block]
//!           one write; begins at a block of 4,096 bytes
//! record    0          4          8              12       13        14          16
//!           [crc u32]  [len u32]  [segment u32]  [kind]   [flags]   [extra u16] [payload]
//! list      [list record]           file shard-S/segments: the segments that must exist
//! catalog   [record][record]…       files catalog-G.a, catalog-G.b: two copies (see `catalog_log`)
//! ```
//!
//! `len` is the size of the whole record, `crc` the CRC-32C of everything after it, `segment` the
//! number of the file, so that the old content of a recycled file is refused. Payloads:
//!
//! ```text
//! 1 batch      [number u64][len u32]       len: of the whole batch, in whole blocks
//! 2 messages   `extra` × [queue u64][sequence u64]      for each queue with the messages:
//!                                                       its number, the first sequence number
//!              [count u32][head]           what they share: route, properties, time
//!              count × [len u32][body]     (see `message::record`)
//!              flag 1: only here because memory is short; they do not survive a restart
//! 3 settled    n × [queue u64][first u64][last u64]     messages acknowledged, dropped, purged
//! 4 index      the content of the segment (see `index`)
//! 5 trailer    [offset of the index u64]   the last TRAILER bytes of a sealed segment's file
//! 6 catalog    a change of the catalog, in the catalog's own files (`segment`: their generation,
//!              `extra`: the number of the write in the file, from 0)
//!              flag 1: the last record of its write; flag 2: logs have lists of their segments
//! 7 counts     n × [queue u64][sequence u64][acquired u32][delivered u32]
//!              how often messages came back, noted by an orderly stop; a record of kind 3 beside
//!              it names those that were delivered
//! 8 returns    n × [queue u64][first u64][last u64][acquired u32][delivered u32]
//!              how often each of these messages will have come back at the next start, if it is
//!              not settled before; a later record about a message replaces an earlier one
//! 16 head      [shard u32][first batch u64]
//!              the owner; the first batch that a compacted segment's only batch stands for
//!              (all ones: unknown), otherwise 0
//! 17 list      n × [segment u32]           in order; `segment`: the number of the shard
//! ```
//!
//! Batches of a log are numbered from 1 without gaps, across segments. A batch is written when the
//! batch before it is on the disk; `recover` says what that means for damage.
//!
//! **Queues** are identified by numbers that are never used twice, nor is a sequence number of a
//! queue while the log knows of it. So the order of records does not matter for what is settled.
//! Messages of a queue are written after the catalog's files have its declaration: the catalog has
//! lost each number in a log that it does not know. No queue has number 0: messages of that number
//! note what came from other shards (see `arrivals`).
//!
//! **Levels** of a queue, one per priority, are queues of their own here: bits 48 to 55 of the
//! number are the level. Bit 63 says that the queue does not survive a restart.

use crate::base::aligned::BLOCK;
use crate::message::{Body, Content, MessageView, Route, head_len, read_head, write_head};

/// The version of the format, which heads and batches carry in `extra`.
pub const VERSION: u16 = 4;
/// Size of a record without its payload, bytes.
pub const HEADER: usize = 16;
/// Size of a batch record, bytes.
pub const BATCH: usize = HEADER + 12;
/// Size of a trailer record, bytes.
pub const TRAILER: usize = HEADER + 8;
/// Size of a settled range, bytes.
pub const SETTLED: usize = 24;
/// Size of the counts of one message, bytes.
pub const COUNTED: usize = 24;
/// Size of the counts of a range of messages, bytes.
pub const RETURNED: usize = 32;

/// The kind of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "the format above says it")]
pub enum Kind {
    Batch = 1,
    Messages = 2,
    Settled = 3,
    Index = 4,
    Trailer = 5,
    Catalog = 6,
    Counts = 7,
    Returns = 8,
    Head = 16,
    List = 17,
}

/// Flag of messages that do not survive a restart.
pub const TRANSIENT: u8 = 1;
/// Flag of the last record of a write.
pub const LAST: u8 = 1;
/// Flag of catalog records of versions that list the segments of logs.
pub const LISTED: u8 = 2;

/// A record whose checksum is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Flags, by kind.
    pub flags: u8,
    /// A number, by kind.
    pub extra: u16,
    /// The payload.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// Size of the whole record, bytes.
    pub fn size(&self) -> usize {
        HEADER + self.payload.len()
    }
}

/// Completes a record whose payload is in `record` from byte [`HEADER`] on.
pub fn seal(record: &mut [u8], segment: u32, kind: Kind, flags: u8, extra: u16) {
    let len = u32::try_from(record.len()).expect("a record is shorter than 4 GiB");
    record[4..8].copy_from_slice(&len.to_le_bytes());
    record[8..12].copy_from_slice(&segment.to_le_bytes());
    (record[12], record[13]) = (kind as u8, flags);
    record[14..16].copy_from_slice(&extra.to_le_bytes());
    let crc = crc32c::crc32c(&record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the record at the front of `bytes`, if it is whole and of this segment.
pub fn open(bytes: &[u8], segment: u32) -> Option<Record<'_>> {
    let header = bytes.first_chunk::<HEADER>()?;
    let record = bytes.get(..u32_at(header, 4) as usize).filter(|record| record.len() >= HEADER)?;
    let kind = kind(header[12]).filter(|_| u32_at(header, 8) == segment)?;
    let is_right = crc32c::crc32c(&record[4..]) == u32_at(header, 0);
    is_right.then(|| Record { kind, flags: header[13], extra: u16::from_le_bytes([header[14], header[15]]), payload: &record[HEADER..] })
}

/// Reads the record at the front of `bytes`, if it is whole, and the number of its segment.
pub fn open_any(bytes: &[u8]) -> Option<(u32, Record<'_>)> {
    let segment = u32_at(bytes.first_chunk::<HEADER>()?, 8);
    open(bytes, segment).map(|record| (segment, record))
}

fn kind(byte: u8) -> Option<Kind> {
    [
        Kind::Batch,
        Kind::Messages,
        Kind::Settled,
        Kind::Index,
        Kind::Trailer,
        Kind::Catalog,
        Kind::Counts,
        Kind::Returns,
        Kind::Head,
        Kind::List,
    ]
    .into_iter()
    .find(|&kind| kind as u8 == byte)
}

/// Reads a batch record: the batch's number and its length in bytes.
pub fn read_batch(record: Record<'_>) -> Option<(u64, u32)> {
    let is_known = (OLDEST..=VERSION).contains(&record.extra);
    let is_batch = record.kind == Kind::Batch && is_known && record.payload.len() == BATCH - HEADER;
    is_batch.then(|| (u64_at(record.payload, 0), u32_at(record.payload, 8)))
}

/// The first batch of a compacted segment, if it is not known any more.
pub const UNKNOWN: u64 = u64::MAX;

/// The owner of a segment, as its head says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The number of the shard.
    pub shard: u16,
    /// For a compacted segment, the first batch that its only batch stands for, or [`UNKNOWN`];
    /// otherwise 0.
    pub first_batch: u64,
}

impl Head {
    /// Makes the head of a segment that was not compacted.
    pub fn of(shard: u16) -> Head {
        Head { shard, first_batch: 0 }
    }

    /// Encodes the first block of a segment's file.
    pub fn block(self, segment: u32) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[HEADER..HEADER + 4].copy_from_slice(&u32::from(self.shard).to_le_bytes());
        block[HEADER + 4..HEAD].copy_from_slice(&self.first_batch.to_le_bytes());
        seal(&mut block[..HEAD], segment, Kind::Head, 0, VERSION);
        block
    }

    /// Reads a head record.
    pub fn read(record: Record<'_>) -> Option<Head> {
        let is_head = record.kind == Kind::Head && record.extra == VERSION && record.payload.len() == HEAD - HEADER;
        let shard = is_head.then(|| u16::try_from(u32_at(record.payload, 0)).ok())??;
        Some(Head { shard, first_batch: u64_at(record.payload, 4) })
    }
}

/// Encodes the file that lists the segments of a shard.
pub fn list(shard: u16, segments: impl Iterator<Item = u32>) -> Vec<u8> {
    let mut file = vec![0; HEADER];
    segments.for_each(|segment| file.extend_from_slice(&segment.to_le_bytes()));
    seal(&mut file, shard.into(), Kind::List, 0, VERSION);
    file
}

/// Reads the segments from such a file, if it is whole and of this shard.
pub fn read_list(file: &[u8], shard: u16) -> Option<Vec<u32>> {
    let record = open(file, shard.into()).filter(|record| record.kind == Kind::List && record.size() == file.len())?;
    record.payload.len().is_multiple_of(4).then(|| record.payload.chunks_exact(4).map(|number| u32_at(number, 0)).collect())
}

/// Writes the batch record to the front of its batch.
pub fn write_batch(batch: &mut [u8], segment: u32, number: u64) {
    let len = u32::try_from(batch.len()).expect("a batch is shorter than 4 GiB");
    batch[HEADER..HEADER + 8].copy_from_slice(&number.to_le_bytes());
    batch[HEADER + 8..BATCH].copy_from_slice(&len.to_le_bytes());
    seal(&mut batch[..BATCH], segment, Kind::Batch, 0, VERSION);
}

/// The number in the log of a level of queue number `queue`.
pub fn level_number(queue: u64, level: u8) -> u64 {
    queue | u64::from(level) << LEVEL_AT
}

/// The queue's number and the level in a result of [`level_number`].
pub fn split_number(number: u64) -> (u64, u8) {
    (number & !(0xff << LEVEL_AT), (number >> LEVEL_AT) as u8)
}

/// The number of a queue that does not survive a restart.
pub fn fleeting_number(number: u64) -> u64 {
    FLEETING | number
}

/// Whether a queue or level of this number does not survive a restart.
pub fn is_fleeting(number: u64) -> bool {
    number & FLEETING != 0
}

/// A position in the log: a queue's number, and the first message's sequence number there.
pub type Placement = (u64, u64);

/// Size of a record of messages, which have the properties of the first one, bytes.
pub fn messages_len(placements: usize, route: Route<'_>, contents: &[Content<'_>]) -> usize {
    let bodies: usize = contents.iter().map(|content| 4 + content.body.bytes().len()).sum();
    HEADER + placements * 16 + 4 + head_len(&contents[0].sent_to(route)) + bodies
}

/// Writes a record of messages to `space`, which has its size. All have the `head` in common.
pub fn write_messages(
    space: &mut [u8],
    segment: u32,
    flags: u8,
    placements: &[Placement],
    head: &MessageView<'_>,
    contents: &[Content<'_>],
) {
    let mut at = HEADER;
    for (queue, first) in placements {
        space[at..at + 8].copy_from_slice(&queue.to_le_bytes());
        space[at + 8..at + 16].copy_from_slice(&first.to_le_bytes());
        at += 16;
    }
    space[at..at + 4].copy_from_slice(&(contents.len() as u32).to_le_bytes());
    at += 4;
    write_head(head, &mut space[at..]);
    at += head_len(head);
    for content in contents {
        let body = content.body.bytes();
        space[at..at + 4].copy_from_slice(&(body.len() as u32).to_le_bytes());
        space[at + 4..at + 4 + body.len()].copy_from_slice(body);
        at += 4 + body.len();
    }
    let extra = u16::try_from(placements.len()).expect("the caller divides what goes to more queues");
    seal(space, segment, Kind::Messages, flags, extra);
}

/// Messages of one record.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a> {
    placements: &'a [u8],
    /// Number of messages.
    pub count: u32,
    /// The part that they share: a message without a body.
    pub head: MessageView<'a>,
    /// Whether they do not survive a restart.
    pub transient: bool,
    bodies: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads a record, if it has messages.
    pub fn read(record: Record<'a>) -> Option<Messages<'a>> {
        let (placements, rest) = record.payload.split_at_checked(usize::from(record.extra) * 16)?;
        let (count, rest) = rest.split_first_chunk::<4>().filter(|_| record.kind == Kind::Messages)?;
        let head = read_head(rest);
        let transient = record.flags & TRANSIENT != 0;
        Some(Messages { placements, count: u32::from_le_bytes(*count), head, transient, bodies: &rest[head_len(&head)..] })
    }

    /// The positions of the first message.
    pub fn placements(self) -> impl Iterator<Item = Placement> {
        self.placements.chunks_exact(16).map(|placement| (u64_at(placement, 0), u64_at(placement, 8)))
    }

    /// The messages, in the order of their sequence numbers.
    pub fn contents(self) -> impl Iterator<Item = Content<'a>> {
        let mut rest = self.bodies;
        (0..self.count).map_while(move |_| {
            let (len, behind) = rest.split_first_chunk::<4>()?;
            let (body, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = behind;
            Some(Content { properties: self.head.properties, body: Body::Slice(body) })
        })
    }
}

/// Messages of a queue: its number, the first and the last sequence number.
pub type Range = (u64, u64, u64);

/// Writes ranges to `space`, [`SETTLED`] bytes each.
pub fn write_ranges(space: &mut [u8], ranges: &[Range]) {
    for (space, (queue, first, last)) in space.chunks_exact_mut(SETTLED).zip(ranges) {
        space[..8].copy_from_slice(&queue.to_le_bytes());
        space[8..16].copy_from_slice(&first.to_le_bytes());
        space[16..].copy_from_slice(&last.to_le_bytes());
    }
}

/// Reads ranges.
pub fn read_ranges(bytes: &[u8]) -> impl Iterator<Item = Range> {
    bytes.chunks_exact(SETTLED).map(|range| (u64_at(range, 0), u64_at(range, 8), u64_at(range, 16)))
}

/// How often a message came back: its queue and sequence number; for any reason, by a failed
/// delivery.
pub type Counted = (u64, u64, u32, u32);

/// Writes counts to `space`, [`COUNTED`] bytes each.
pub fn write_counts(space: &mut [u8], counts: &[Counted]) {
    for (space, (queue, sequence, acquired, delivered)) in space.chunks_exact_mut(COUNTED).zip(counts) {
        space[..8].copy_from_slice(&queue.to_le_bytes());
        space[8..16].copy_from_slice(&sequence.to_le_bytes());
        space[16..20].copy_from_slice(&acquired.to_le_bytes());
        space[20..].copy_from_slice(&delivered.to_le_bytes());
    }
}

/// Reads counts.
pub fn read_counts(bytes: &[u8]) -> impl Iterator<Item = Counted> {
    bytes.chunks_exact(COUNTED).map(|one| (u64_at(one, 0), u64_at(one, 8), u32_at(one, 16), u32_at(one, 20)))
}

/// How often messages came back: their queue, the first and the last sequence number, the two
/// counts.
pub type Returned = (u64, u64, u64, (u32, u32));

/// Writes such counts to `space`, [`RETURNED`] bytes each.
pub fn write_returns(space: &mut [u8], returns: &[Returned]) {
    for (space, &(queue, first, last, (acquired, delivered))) in space.chunks_exact_mut(RETURNED).zip(returns) {
        write_ranges(&mut space[..SETTLED], &[(queue, first, last)]);
        space[SETTLED..SETTLED + 4].copy_from_slice(&acquired.to_le_bytes());
        space[SETTLED + 4..].copy_from_slice(&delivered.to_le_bytes());
    }
}

/// Reads counts that [`write_returns`] has written.
pub fn read_returns(bytes: &[u8]) -> impl Iterator<Item = Returned> {
    let counts = |one: &[u8]| (u32_at(one, SETTLED), u32_at(one, SETTLED + 4));
    bytes.chunks_exact(RETURNED).map(move |one| (u64_at(one, 0), u64_at(one, 8), u64_at(one, 16), counts(one)))
}

/// Reads the number at byte `at`, which must exist.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller has looked"))
}

/// Reads the number at byte `at`, which must exist.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the caller has looked"))
}

/// The lowest bit of the level in a number.
const LEVEL_AT: u32 = 48;
/// The oldest version that can be read.
const OLDEST: u16 = 2;
/// Size of a head record, bytes.
const HEAD: usize = HEADER + 12;
/// The bit in the numbers of queues that do not survive a restart.
const FLEETING: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route<'static> {
        Route::new(b"\x01x\x02ab")
    }

    fn contents<'a>(bodies: &'a [&'a [u8]]) -> Vec<Content<'a>> {
        bodies.iter().map(|&body| Content { properties: &[0x10, 0, 2], body: Body::Slice(body) }).collect()
    }

    fn messages() -> Vec<u8> {
        let contents = contents(&[b"one", b"", b"three"]);
        let mut space = vec![0xff; messages_len(2, route(), &contents)];
        write_messages(&mut space, 7, TRANSIENT, &[(5, 100), (6, 0)], &contents[0].sent_to(route()), &contents);
        space
    }

    #[test]
    fn messages_come_back() {
        let bytes = messages();
        let record = open(&bytes, 7).expect("it is whole");
        assert_eq!(record.size(), bytes.len());
        let read = Messages::read(record).expect("messages");
        assert_eq!((read.count, read.head.route, read.head.properties, read.transient), (3, route(), &[0x10, 0, 2][..], true));
        assert!(read.placements().eq([(5, 100), (6, 0)]));
        assert!(read.contents().map(|content| content.body.bytes()).eq([&b"one"[..], b"", b"three"]));
    }

    #[test]
    fn what_is_not_whole_or_of_another_segment_is_refused() {
        let bytes = messages();
        assert!(open(&bytes, 8).is_none());
        assert!((0..bytes.len()).all(|len| open(&bytes[..len], 7).is_none()));
        for at in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(open(&bytes, 7).is_none(), "bit {at}");
        }
        assert!(open(&[0; 64], 0).is_none());
    }

    #[test]
    fn a_batch_says_its_number_and_length() {
        let mut batch = vec![0; 8192];
        write_batch(&mut batch, 3, 77);
        assert_eq!(read_batch(open(&batch, 3).expect("it is whole")), Some((77, 8192)));
        assert_eq!(read_batch(open(&messages(), 7).expect("it is whole")), None);
    }

    #[test]
    fn a_head_and_a_list_say_whose_they_are() {
        let head = Head { shard: 3, first_batch: 1 << 40 };
        let block = head.block(9);
        assert_eq!((block.len(), open_any(&block).map(|(segment, record)| (segment, Head::read(record)))), (BLOCK, Some((9, Some(head)))));
        let file = list(3, [4, 5, 9].into_iter());
        assert_eq!((read_list(&file, 3), read_list(&file, 2)), (Some(vec![4, 5, 9]), None));
        assert!((0..file.len()).all(|len| read_list(&file[..len], 3).is_none()));
        assert_eq!(read_list(&list(0, std::iter::empty()), 0), Some(Vec::new()));
    }

    #[test]
    fn a_number_has_queue_and_level() {
        for queue in [1, 1 << 40, fleeting_number(7)] {
            assert_eq!(split_number(level_number(queue, 255)), (queue, 255));
            assert_eq!(level_number(queue, 0), queue);
            assert_eq!(is_fleeting(level_number(queue, 3)), is_fleeting(queue));
        }
    }

    #[test]
    fn ranges_come_back() {
        let ranges = [(1, 2, 3), (4, 5, u64::MAX)];
        let mut space = [0; 2 * SETTLED];
        write_ranges(&mut space, &ranges);
        assert!(read_ranges(&space).eq(ranges));
    }

    #[test]
    fn counts_come_back() {
        let counts = [(1, 2, 3, 0), (u64::MAX, 5, 7, u32::MAX)];
        let mut space = [0; 2 * COUNTED];
        write_counts(&mut space, &counts);
        assert!(read_counts(&space).eq(counts));
        let returns = [(1, 2, 3, (4, 0)), (u64::MAX, 5, 7, (8, u32::MAX))];
        let mut space = [0; 2 * RETURNED];
        write_returns(&mut space, &returns);
        assert!(read_returns(&space).eq(returns));
    }
}

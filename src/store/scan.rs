//! Reads a segment from its first byte, batch by batch.

use super::format::{self, BATCH, HEADER, Head, Kind, Record, UNKNOWN, read_batch, u32_at};
use super::index::Index;
use crate::base::aligned::BLOCK;

/// The content of a segment, as far as its records are whole.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Its messages and settled ranges.
    pub index: Index,
    /// Size of the whole batches, bytes.
    pub end: u64,
    /// Number of the first batch, if there is any.
    pub first: Option<u64>,
    /// Number of the last batch, if there is any.
    pub batch: Option<u64>,
    /// The first offset that is not whole, if no whole batch follows it.
    pub torn: Option<u64>,
    /// The offsets that are not whole although whole batches follow them: damage.
    pub damaged: Vec<u64>,
}

/// A whole batch.
struct Batch<'a> {
    number: u64,
    len: usize,
    records: Vec<(usize, Record<'a>)>,
}

/// Offset of the first batch of a segment.
fn first_batch(bytes: &[u8], segment: u32) -> usize {
    let has_head = format::open(bytes, segment).is_some_and(|record| record.kind == Kind::Head);
    if has_head { BLOCK } else { 0 }
}

/// Reads all of a segment.
pub fn scan(bytes: &[u8], segment: u32) -> Scanned {
    let (mut scanned, mut at) = (Scanned::default(), first_batch(bytes, segment));
    while at < bytes.len() {
        match read(bytes, at, segment) {
            Ok(batch) => {
                batch.records.iter().for_each(|&(place, record)| scanned.index.take(place as u32, record));
                at += batch.len;
                scanned.first = scanned.first.or(Some(batch.number));
                (scanned.end, scanned.batch) = (at as u64, Some(batch.number));
            }
            Err(place) => match next_batch(bytes, at, segment, scanned.batch.map_or(0, |last| last + 2)) {
                Some(next) => {
                    scanned.damaged.push(place as u64);
                    at = next;
                }
                None => {
                    scanned.torn = bytes[at..].chunks(BLOCK).any(|block| block != &ZEROS[..block.len()]).then_some(place as u64);
                    break;
                }
            },
        }
    }
    scanned
}

/// Passes all records of whole batches up to `end` to `take`.
///
/// # Errors
/// The first offset that is not whole.
pub fn for_each_record<'a>(bytes: &'a [u8], segment: u32, end: usize, mut take: impl FnMut(Record<'a>)) -> Result<(), u64> {
    let mut at = first_batch(bytes, segment);
    while at < end {
        let batch = read(bytes, at, segment).map_err(|place| place as u64)?;
        batch.records.into_iter().for_each(|(_, record)| take(record));
        at += batch.len;
    }
    Ok(())
}

/// Reads the batch at `at`. The error is the first offset that is not whole.
fn read(bytes: &[u8], at: usize, segment: u32) -> Result<Batch<'_>, usize> {
    let (number, len) = format::open(&bytes[at..], segment).and_then(read_batch).ok_or(at)?;
    let len = len as usize;
    let batch = bytes.get(at..at + len).filter(|batch| batch.len() >= BATCH).ok_or(at)?;
    let (mut records, mut within) = (Vec::new(), BATCH);
    while within < len && batch[within..].iter().take(format::HEADER).any(|&byte| byte != 0) {
        let record = format::open(&batch[within..], segment).ok_or(at + within)?;
        records.push((at + within, record));
        within += record.size();
    }
    let is_padded = within <= len && len - within < BLOCK && batch[within.min(len)..].iter().all(|&byte| byte == 0);
    if is_padded { Ok(Batch { number, len, records }) } else { Err(at + within) }
}

/// Offset of the next batch that has number `least` or a higher one, after the block at `at`.
fn next_batch(bytes: &[u8], at: usize, segment: u32, least: u64) -> Option<usize> {
    let is_batch = |at: &usize| format::open(&bytes[*at..], segment).and_then(read_batch).is_some_and(|(number, _)| number >= least);
    (at + BLOCK..bytes.len()).step_by(BLOCK).find(is_batch)
}

/// The number of the first batch of a segment that is to be rewritten, for its new head.
pub fn first_number(bytes: &[u8], segment: u32) -> u64 {
    let head = format::open(bytes, segment).and_then(Head::read);
    let first = || format::open(bytes.get(BLOCK..)?, segment).and_then(read_batch).map(|(number, _)| number);
    head.and_then(|head| if head.first_batch > 0 { Some(head.first_batch) } else { first() }).unwrap_or(UNKNOWN)
}

/// Passes all whole records of a damaged segment to `take`: the bytes of each record, and its
/// content. Returns the numbers of the first and the last batch that still has a batch record.
pub fn for_each_whole_record<'a>(bytes: &'a [u8], segment: u32, mut take: impl FnMut(&'a [u8], Record<'a>)) -> Option<(u64, u64)> {
    let (mut numbers, mut at) = (None, first_batch(bytes, segment));
    while at + BATCH < bytes.len() {
        let batch = format::open(&bytes[at..], segment).and_then(read_batch);
        let end = batch.map_or(bytes.len(), |(_, len)| bytes.len().min(at + len as usize));
        numbers = batch.map_or(numbers, |(number, _)| Some((numbers.map_or(number, |(first, _)| first), number)));
        let mut within = at + BATCH;
        while let Some(begin) = whole_record(&bytes[..end], within, segment) {
            let record = format::open(&bytes[begin..end], segment).expect("just seen");
            within = begin + record.size();
            take(&bytes[begin..within], record);
        }
        let is_known = batch.is_some_and(|(_, len)| len > 0);
        let behind = if is_known { end } else { within - usize::from(within == at + BATCH) * BATCH };
        at = behind.next_multiple_of(BLOCK).max(at + BLOCK);
    }
    numbers
}

/// Offset of the next whole record: at `at`, or after the record there if only its length is
/// readable.
fn whole_record(bytes: &[u8], at: usize, segment: u32) -> Option<usize> {
    let is_record =
        |at: &usize| bytes.get(*at..).and_then(|bytes| format::open(bytes, segment)).is_some_and(|record| record.kind != Kind::Batch);
    let behind = bytes.get(at..at + HEADER).map(|header| at + u32_at(header, 4) as usize);
    Some(at).filter(is_record).or(behind.filter(|&behind| behind > at).filter(is_record))
}

impl Index {
    /// Adds the content of a record at the offset `place`.
    pub(super) fn take(&mut self, place: u32, record: Record<'_>) {
        match record.kind {
            Kind::Messages => {
                if let Some(messages) = format::Messages::read(record) {
                    self.add(&messages, place, record.size() as u32);
                }
            }
            Kind::Settled => format::read_ranges(record.payload).for_each(|range| self.settle(range)),
            Kind::Returns => self.returns.extend(format::read_returns(record.payload)),
            Kind::Batch | Kind::Index | Kind::Trailer | Kind::Catalog | Kind::Counts | Kind::Head | Kind::List => {}
        }
    }
}

const ZEROS: [u8; BLOCK] = [0; BLOCK];

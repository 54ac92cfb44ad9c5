//! Reads a segment from its first byte on, batch by batch.

use super::format::{self, BATCH, Kind, Record, read_batch};
use super::index::Index;
use crate::base::aligned::BLOCK;

/// What a segment holds, as far as its records are whole.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Its messages and what it settles.
    pub index: Index,
    /// Bytes of whole batches.
    pub end: u64,
    /// Numbers of the first and the last one, if there is any.
    pub first: Option<u64>,
    pub batch: Option<u64>,
    /// Where the first thing stands that is not whole, though no batch behind it is.
    pub torn: Option<u64>,
    /// Where things stand that are not whole although batches behind them are: damage.
    pub damaged: Vec<u64>,
}

/// A whole batch.
struct Batch<'a> {
    number: u64,
    len: usize,
    records: Vec<(usize, Record<'a>)>,
}

/// Reads all of a segment.
pub fn scan(bytes: &[u8], segment: u32) -> Scanned {
    let (mut scanned, mut at) = (Scanned::default(), 0);
    while at < bytes.len() {
        match read(bytes, at, segment) {
            Ok(batch) => {
                batch.records.iter().for_each(|&(place, record)| scanned.index.take(place as u32, record));
                at += batch.len;
                scanned.first = scanned.first.or(Some(batch.number));
                (scanned.end, scanned.batch) = (at as u64, Some(batch.number));
            }
            Err(place) => match next_batch(bytes, at, segment, scanned.batch.unwrap_or(0)) {
                Some(next) => {
                    scanned.damaged.push(place as u64);
                    at = next;
                }
                None => {
                    scanned.torn = bytes[at..].iter().any(|&byte| byte != 0).then_some(place as u64);
                    break;
                }
            },
        }
    }
    scanned
}

/// Hands all records of whole batches up to `end` to `take`, with their places.
///
/// # Errors
/// The place of what is not whole.
pub fn for_each_record<'a>(bytes: &'a [u8], segment: u32, end: usize, mut take: impl FnMut(Record<'a>)) -> Result<(), u64> {
    let mut at = 0;
    while at < end {
        let batch = read(bytes, at, segment).map_err(|place| place as u64)?;
        batch.records.into_iter().for_each(|(_, record)| take(record));
        at += batch.len;
    }
    Ok(())
}

/// The batch at `at`, or the place of what is not whole there.
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

/// Where the next batch of a number above `last` begins, behind the block at `at`.
fn next_batch(bytes: &[u8], at: usize, segment: u32, last: u64) -> Option<usize> {
    let is_batch = |at: &usize| format::open(&bytes[*at..], segment).and_then(read_batch).is_some_and(|(number, _)| number > last + 1);
    (at + BLOCK..bytes.len()).step_by(BLOCK).find(is_batch)
}

impl Index {
    fn take(&mut self, place: u32, record: Record<'_>) {
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

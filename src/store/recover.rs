//! What a restart finds: the segments, and of each queue which messages live, without a look at the messages themselves.
//!
//! ```text
//! each segment, in order: sealed ─▶ its index          not sealed ─▶ all of its records
//! all of it together:     extents of each queue, less what is settled          torn tail: cut; damage: the start is refused
//! ```
//!
//! The newest segments are checked record by record (VERIFIED_MAX of them: so much is read in the blink of an eye), those before when they are read.
//! A segment that a crash left without an index gets it before anything else is written: its torn tail must not be taken for damage the next time.

use std::fmt;
use std::sync::Arc;

use super::format::{Range, Returned, TRAILER};
use super::index::{self, Entry, Index, Indexing, Sealed, Section, Words};
use super::queue_log::{Extent, QueueLog};
use super::segment::Segment;
use super::writer::Writer;
use super::{Store, returns, scan};
use crate::base::aligned::BLOCK;
use crate::base::hash::Map;
use crate::base::intervals::Intervals;

/// Reads so many bytes of a segment from a place, fewer at the end of the file.
pub type Read<'r> = &'r mut dyn FnMut(u32, u64, usize) -> std::io::Result<Vec<u8>>;

/// Why a log cannot be taken up.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be read.
    Unreadable(u32, std::io::Error),
    /// It is damaged: the segment, and the place in it.
    Damaged(u32, u64),
}

/// What a restart has found.
pub struct Recovered {
    /// The log, ready to go on.
    pub store: Store,
    /// Segments that hold nothing: their files may be deleted.
    pub empty: Vec<u32>,
    /// Where a tail was cut off.
    pub torn: Vec<(u32, u64)>,
    /// Damage that was accepted.
    pub damaged: Vec<(u32, u64)>,
}

/// What one segment holds.
struct Held {
    number: u32,
    size: u64,
    end: u64,
    batch: u64,
    settled: Vec<Range>,
    returns: Vec<Returned>,
    sections: Vec<Section>,
    /// Its entries, if it was not sealed.
    index: Option<Index>,
}

struct Recovery<'r> {
    read: Read<'r>,
    accept_loss: bool,
    held: Vec<Held>,
    empty: Vec<u32>,
    torn: Vec<(u32, u64)>,
    damaged: Vec<(u32, u64)>,
}

/// Takes a log up from its files: number and size in bytes, in the order of the numbers. With `accept_loss`, what is damaged is left out.
///
/// # Errors
/// What is in the way.
pub fn recover(files: &[(u32, u64)], accept_loss: bool, read: Read<'_>) -> Result<Recovered, Trouble> {
    let mut recovery = Recovery { read, accept_loss, held: Vec::new(), empty: Vec::new(), torn: Vec::new(), damaged: Vec::new() };
    for (at, &(number, size)) in files.iter().enumerate() {
        recovery.look_at(number, size, at + VERIFIED_MAX >= files.len())?;
    }
    let next = files.last().map_or(1, |&(number, _)| number + 1);
    recovery.finish(next)
}

impl Recovery<'_> {
    /// Finds out what a segment holds; `verify`: by looking at every record.
    fn look_at(&mut self, number: u32, size: u64, verify: bool) -> Result<(), Trouble> {
        let sealed = self.sealed(number, size)?;
        if let (Some(sealed), false) = (&sealed, verify) {
            self.hold(number, size, sealed.clone(), None);
            return Ok(());
        }
        let bytes = self.read(number, 0, sealed.as_ref().map_or(size, |sealed| sealed.end.into()) as usize)?;
        let scanned = scan::scan(&bytes, number);
        let damaged = scanned.damaged.iter().copied().chain(scanned.torn.filter(|_| sealed.is_some()));
        for place in damaged.collect::<Vec<_>>() {
            self.damage(number, place)?;
        }
        let Some(batch) = scanned.batch else {
            if sealed.is_none() {
                self.empty.push(number);
            }
            return Ok(());
        };
        if let Some((torn, place)) = self.torn.last().copied().filter(|&(torn, _)| torn < number) {
            // The segment behind could only be begun when that batch was whole: if none is missing, it is the index that the crash tore.
            let last = self.held.last().map(|held| held.batch);
            if scanned.first != last.map(|last| last + 1) {
                self.damage(torn, place)?;
            }
            self.torn.pop();
        }
        match sealed {
            Some(sealed) if scanned.damaged.is_empty() && scanned.torn.is_none() => self.hold(number, size, sealed, None),
            _ => {
                self.torn.extend(scanned.torn.map(|place| (number, place)));
                let (settled, returns) = (scanned.index.settled.clone(), scanned.index.returns.clone());
                let found = Sealed { end: scanned.end as u32, batch, sections: Vec::new(), settled, returns };
                self.hold(number, size, found, Some(scanned.index));
            }
        }
        Ok(())
    }

    /// The segment's index, if it has one.
    fn sealed(&mut self, number: u32, size: u64) -> Result<Option<Sealed>, Trouble> {
        if size < BLOCK as u64 {
            return Ok(None);
        }
        let trailer = self.read(number, size - TRAILER as u64, TRAILER)?;
        let Some(place) = index::read_trailer(&trailer, number).filter(|&place| place < size) else { return Ok(None) };
        let bytes = self.read(number, place, (size - place) as usize)?;
        Ok(index::read_tail(&bytes, number, place))
    }

    fn hold(&mut self, number: u32, size: u64, found: Sealed, index: Option<Index>) {
        let Sealed { end, batch, sections, settled, returns } = found;
        self.held.push(Held { number, size, end: end.into(), batch, settled, returns, sections, index });
    }

    fn damage(&mut self, number: u32, place: u64) -> Result<(), Trouble> {
        if !self.accept_loss {
            return Err(Trouble::Damaged(number, place));
        }
        self.damaged.push((number, place));
        Ok(())
    }

    fn read(&mut self, number: u32, place: u64, len: usize) -> Result<Vec<u8>, Trouble> {
        (self.read)(number, place, len).map_err(|error| Trouble::Unreadable(number, error))
    }

    /// Puts together what the segments hold.
    fn finish(mut self, next: u32) -> Result<Recovered, Trouble> {
        let mut store = Store { accept_loss: self.accept_loss, ..Store::new(next) };
        let mut logs: Map<u64, QueueLog> = Map::default();
        for (queue, first, last) in self.held.iter().flat_map(|held| &held.settled).copied() {
            logs.entry(queue).or_default().settled.insert(first, last);
        }
        store.writer = Writer::after(self.held.iter().map(|held| held.batch).max().unwrap_or(0));
        let said = self.held.iter().map(|held| (held.number, held.returns.clone()));
        let said: Vec<_> = said.flat_map(|(segment, returns)| returns.into_iter().map(move |returned| (segment, returned))).collect();
        for held in std::mem::take(&mut self.held) {
            self.take_up(held, &mut store, &mut logs)?;
        }
        store.counting.extend(returns::find(&mut logs, said.into_iter()));
        logs.retain(|_, log| {
            let first = log.extents.front().map_or(u64::MAX, |extent| extent.first);
            let last = log.settled.last();
            log.settled.forget_below(first);
            last.inspect(|&last| log.settled.insert(last, last)); // no sequence number is given twice
            !log.extents.is_empty() || last.is_some()
        });
        store.found = logs;
        Ok(Recovered { store, empty: self.empty, torn: self.torn, damaged: self.damaged })
    }

    fn take_up(&mut self, held: Held, store: &mut Store, logs: &mut Map<u64, QueueLog>) -> Result<(), Trouble> {
        let Held { number, size, end, batch, settled, returns, mut sections, index } = held;
        let mut segment = Segment::sealed(end, size, Words::new(&settled, returns.len()));
        if let Some(index) = index {
            let index = Arc::new(index);
            sections = index.sections().0;
            store.mending += 1;
            store.full.push_back(Indexing { segment: number, index: index.clone(), end: end as u32, batch, size });
            (segment.sealed, segment.index) = (false, Some(index));
        }
        let total: u64 = sections.iter().map(|section| u64::from(section.count)).sum();
        for section in sections {
            let bytes = end * u64::from(section.count) / total.max(1);
            let log = logs.entry(section.queue).or_default();
            let live = self.count_living(number, &section, &mut log.settled, segment.index.as_deref())?;
            let Section { first, last, count, place, len, .. } = section;
            let section = segment.sealed.then_some((place, len));
            let extent = Extent { segment: number, first, last, count, live, bytes, section };
            segment.live += u64::from(live);
            segment.live_bytes += extent.live_bytes();
            log.extents.push_back(extent);
        }
        store.segments.found(number, segment);
        Ok(())
    }

    /// How many messages of a section live. Those that do not survive a restart are settled by it.
    fn count_living(&mut self, number: u32, section: &Section, settled: &mut Intervals, index: Option<&Index>) -> Result<u32, Trouble> {
        let gone = settled.count_in(section.first, section.last);
        if gone == section.last - section.first + 1 {
            return Ok(0);
        }
        if gone == 0 && section.durable == section.count {
            return Ok(section.count);
        }
        let entries = match index {
            Some(index) => index.of(section.queue),
            None => {
                let bytes = self.read(number, section.place, section.len as usize)?;
                index::read_entries(section.queue, &bytes).ok_or(Trouble::Damaged(number, section.place))?
            }
        };
        let transient = entries.iter().filter(|entry| entry.transient);
        transient.for_each(|entry| settled.insert(entry.first, entry.last()));
        let living = |entry: &Entry| u64::from(entry.count) - settled.count_in(entry.first, entry.last());
        Ok(entries.iter().map(living).sum::<u64>() as u32)
    }
}

impl Trouble {
    /// The segment that is in the way.
    pub fn segment(&self) -> u32 {
        match self {
            Trouble::Unreadable(segment, _) | Trouble::Damaged(segment, _) => *segment,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreadable(_, error) => write!(f, "cannot be read: {error}"),
            Trouble::Damaged(_, place) => write!(f, "damaged at byte {place}"),
        }
    }
}

/// Segments that are checked record by record.
const VERIFIED_MAX: usize = 4;

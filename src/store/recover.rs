//! What a restart finds: the segments, and of each queue which messages live, without a look at the messages themselves.
//!
//! ```text
//! the list:               each segment on it is there
//! each segment, in order: its head is its own; sealed ─▶ its index          not sealed ─▶ all of its records
//! all of it together:     extents of each queue, less what is settled       torn tail: cut; anything else: the start is refused
//! ```
//!
//! The newest segments are checked record by record (VERIFIED_MAX of them: so much is read in the blink of an eye), those before when they are read,
//! or if what is damaged is to be accepted now.
//! A segment that a crash left without an index gets it before anything else is written: its torn tail must not be taken for damage the next time.
//!
//! Nothing is passed over here. A driver that may go on with less than was there takes what is in the way out of it ([`salvage`](super::compact::salvage)
//! writes what is whole of a segment) and tries again.

use std::fmt;
use std::sync::Arc;

use super::format::{self, Head, Kind, Range, Returned, TRAILER, UNKNOWN, VERSION};
use super::index::{self, Entry, Index, Indexing, Sealed, Section, Words};
use super::queue_log::{Extent, QueueLog};
use super::segment::Segment;
use super::writer::Writer;
use super::{Store, returns, scan};
use crate::base::aligned::BLOCK;
use crate::base::hash::Map;
use crate::base::intervals::Intervals;
use crate::base::limits::LOG_SEGMENT_SIZE;

/// Reads so many bytes of a segment from a place, fewer at the end of the file.
pub type Read<'r> = &'r mut dyn FnMut(u32, u64, usize) -> std::io::Result<Vec<u8>>;

/// The files of a log.
#[derive(Clone, Copy, Debug)]
pub struct Files<'f> {
    /// The number of the shard.
    pub shard: u16,
    /// Those that are there: number and size in bytes, in the order of the numbers.
    pub there: &'f [(u32, u64)],
    /// Those that must be there, in order. None: they are of a version that has no list.
    pub listed: Option<&'f [u32]>,
    /// All of them are checked record by record, not only the newest ones.
    pub check_all: bool,
}

/// Why a log cannot be taken up.
#[derive(Debug)]
pub enum Trouble {
    /// A segment cannot be read.
    Unreadable(u32, std::io::Error),
    /// A segment is damaged: the place in its file.
    Damaged(u32, u64),
    /// A segment is not there.
    Missing(u32),
    /// The file holds another segment: of this number, and of this shard, if that is known.
    Swapped(u32, u32, Option<u16>),
    /// A segment holds something and is not on the list.
    Unlisted(u32),
    /// A segment is of a newer version than this one.
    Newer(u32),
}

/// What a restart has found.
pub struct Recovered {
    /// The log, ready to go on.
    pub store: Store,
    /// The segments that hold something: those to be listed.
    pub segments: Vec<u32>,
    /// Segments that hold nothing: their files may be deleted.
    pub empty: Vec<u32>,
    /// Where a tail was cut off.
    pub torn: Vec<(u32, u64)>,
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

/// What the first blocks of a file say.
enum Front {
    /// It is the segment of this log that it should be, with a head; the number of its first batch, if that is known, and whether it was compacted.
    Own { first: Option<u64>, is_compacted: bool },
    /// The same, of a version without heads; the number of its first batch. (Once it was compacted, its only one has the number of what was the last.)
    OwnBefore { first: u64 },
    /// It is another segment, of a shard if it has a head.
    Another(u32, Option<u16>),
    /// It was written by a newer version.
    Newer,
    /// Nothing that is known.
    Nothing,
}

struct Recovery<'r> {
    files: Files<'r>,
    read: Read<'r>,
    held: Vec<Held>,
    empty: Vec<u32>,
    torn: Vec<(u32, u64)>,
}

/// Takes a log up from its files.
///
/// # Errors
/// What is in the way.
pub fn recover(files: Files<'_>, read: Read<'_>) -> Result<Recovered, Trouble> {
    if let Some(&missing) = files.listed.unwrap_or_default().iter().find(|number| !files.has(**number)) {
        return Err(Trouble::Missing(missing));
    }
    let mut recovery = Recovery { files, read, held: Vec::new(), empty: Vec::new(), torn: Vec::new() };
    for (at, &(number, size)) in files.there.iter().enumerate() {
        recovery.look_at(number, size, files.check_all || at + VERIFIED_MAX >= files.there.len())?;
    }
    let next = files.there.last().map_or(1, |&(number, _)| number + 1);
    recovery.finish(next)
}

impl Files<'_> {
    fn has(&self, number: u32) -> bool {
        self.there.binary_search_by_key(&number, |(there, _)| *there).is_ok()
    }

    fn lists(&self, number: u32) -> bool {
        self.listed.is_some_and(|listed| listed.binary_search(&number).is_ok())
    }
}

/// The number of the first batch of a segment, if it is known, from the first blocks of its file.
pub fn first_batch(front: &[u8], number: u32, shard: u16) -> Option<u64> {
    match Front::of(front, number, shard) {
        Front::Own { first, .. } => first,
        _ => None,
    }
}

impl Front {
    fn of(front: &[u8], number: u32, shard: u16) -> Front {
        let Some((segment, record)) = format::open_any(front) else { return Front::Nothing };
        if matches!(record.kind, Kind::Head | Kind::Batch) && record.extra > VERSION {
            return Front::Newer;
        }
        match (Head::read(record), format::read_batch(record)) {
            (Some(head), _) if (segment, head.shard) == (number, shard) => {
                let batch = || format::open(front.get(BLOCK..)?, number).and_then(format::read_batch).map(|(batch, _)| batch);
                let first = Some(head.first_batch).filter(|&first| first > 0).or_else(batch).filter(|&first| first != UNKNOWN);
                Front::Own { first, is_compacted: head.first_batch > 0 }
            }
            (Some(head), _) => Front::Another(segment, Some(head.shard)),
            (None, Some((first, _))) if segment == number => Front::OwnBefore { first },
            (None, Some(_)) => Front::Another(segment, None),
            (None, None) => Front::Nothing,
        }
    }

    /// What is wrong with a file that begins so, and is listed if there is a list. (Without lists, a file that was used again held, until something was
    /// written to it, what an older segment had left there that was deleted.)
    fn trouble(&self, number: u32, files: Files<'_>) -> Option<Trouble> {
        let has_list = files.listed.is_some();
        match *self {
            Front::Another(segment, None) if !has_list && segment < number && !files.has(segment) => None,
            Front::Another(segment, shard) => Some(Trouble::Swapped(number, segment, shard)),
            Front::Nothing if has_list => Some(Trouble::Damaged(number, 0)),
            _ => None,
        }
    }

    fn first(&self) -> Option<u64> {
        match self {
            Front::Own { first, .. } => *first,
            Front::OwnBefore { first } => Some(*first),
            Front::Another(..) | Front::Newer | Front::Nothing => None,
        }
    }
}

impl Recovery<'_> {
    /// Finds out what a segment holds; `verify`: by looking at every record.
    fn look_at(&mut self, number: u32, size: u64, verify: bool) -> Result<(), Trouble> {
        let front = Front::of(&self.read(number, 0, 2 * BLOCK)?, number, self.files.shard);
        if matches!(front, Front::Newer) {
            return Err(Trouble::Newer(number));
        }
        if self.files.listed.is_some() && !self.files.lists(number) {
            return self.look_at_unlisted(number, size, &front);
        }
        if let Some(trouble) = front.trouble(number, self.files) {
            return Err(trouble);
        }
        let sealed = self.sealed(number, size)?;
        if let (Some(sealed), false) = (&sealed, verify) {
            self.follow(number, &front)?;
            self.hold(number, size, sealed.clone(), None);
            return Ok(());
        }
        let bytes = self.read(number, 0, sealed.as_ref().map_or(size, |sealed| sealed.end.into()) as usize)?;
        let scanned = scan::scan(&bytes, number);
        if let Some(place) = self.damage(&front, size, sealed.as_ref(), &scanned) {
            return Err(Trouble::Damaged(number, place));
        }
        let Some(batch) = scanned.batch else {
            self.empty.push(number);
            return if self.files.lists(number + 1) { Err(Trouble::Damaged(number, BLOCK as u64)) } else { Ok(()) };
        };
        self.follow(number, &front)?;
        if let Some(sealed) = sealed {
            self.hold(number, size, sealed, None);
            return Ok(());
        }
        self.torn.extend(scanned.torn.map(|place| (number, place)));
        let (settled, returns) = (scanned.index.settled.clone(), scanned.index.returns.clone());
        let found = Sealed { end: scanned.end as u32, batch, sections: Vec::new(), settled, returns };
        self.hold(number, size, found, Some(scanned.index));
        Ok(())
    }

    /// A crash came before it was listed, or after it was made and before anything was written to it. Or it does not belong there.
    fn look_at_unlisted(&mut self, number: u32, size: u64, front: &Front) -> Result<(), Trouble> {
        let bytes = self.read(number, 0, size as usize)?;
        if !matches!(front, Front::Own { .. }) || scan::scan(&bytes, number).batch.is_some() {
            return Err(Trouble::Unlisted(number));
        }
        self.empty.push(number);
        Ok(())
    }

    /// The first place where a segment is not what it should be.
    fn damage(&self, front: &Front, size: u64, sealed: Option<&Sealed>, scanned: &scan::Scanned) -> Option<u64> {
        let within = scanned.damaged.first().copied();
        let holds_all = |sealed: &Sealed| (scanned.batch, scanned.end) == (Some(sealed.batch), sealed.end.into());
        // Its file is made whole before it is listed; without lists, before anything was written.
        let is_full = size >= LOG_SEGMENT_SIZE as u64 || matches!(front, Front::Own { is_compacted: true, .. }) && scanned.batch.is_some();
        let may_be_short = self.files.listed.is_none() && scanned.batch.is_none();
        within.or(match sealed {
            Some(sealed) => (!holds_all(sealed)).then(|| scanned.torn.unwrap_or(scanned.end)),
            None => (!is_full && !may_be_short).then_some(size),
        })
    }

    /// A segment holds something and begins so: those before are whole. (It could only be begun when the last batch before it was: if no batch is
    /// missing between them, a tail that is torn is an index that a crash tore.)
    fn follow(&mut self, number: u32, front: &Front) -> Result<(), Trouble> {
        let must_hold = |empty: &&u32| self.files.listed.is_none() || self.files.lists(**empty);
        if let Some(&hollow) = self.empty.iter().find(must_hold) {
            return Err(Trouble::Damaged(hollow, 0));
        }
        let Some(before) = self.held.last() else { return Ok(()) };
        let torn = self.torn.pop_if(|(torn, _)| *torn == before.number);
        let place = torn.map_or(before.end, |(_, place)| place);
        let must_touch = torn.is_some() || matches!(front, Front::Own { first: Some(_), .. }) && before.number + 1 == number;
        let touches = front.first() == Some(before.batch + 1);
        if must_touch && !touches { Err(Trouble::Damaged(before.number, place)) } else { Ok(()) }
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

    fn read(&mut self, number: u32, place: u64, len: usize) -> Result<Vec<u8>, Trouble> {
        (self.read)(number, place, len).map_err(|error| Trouble::Unreadable(number, error))
    }

    /// Puts together what the segments hold.
    fn finish(mut self, next: u32) -> Result<Recovered, Trouble> {
        let mut store = Store::new(next);
        let mut logs: Map<u64, QueueLog> = Map::default();
        for (queue, first, last) in self.held.iter().flat_map(|held| &held.settled).copied() {
            logs.entry(queue).or_default().settled.insert(first, last);
        }
        store.writer = Writer::after(self.held.iter().map(|held| held.batch).max().unwrap_or(0));
        let said = self.held.iter().map(|held| (held.number, held.returns.clone()));
        let said: Vec<_> = said.flat_map(|(segment, returns)| returns.into_iter().map(move |returned| (segment, returned))).collect();
        let segments = self.held.iter().map(|held| held.number).collect();
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
        store.find_arrivals(self.read)?;
        Ok(Recovered { store, segments, empty: self.empty, torn: self.torn })
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
        match *self {
            Trouble::Unreadable(segment, _) | Trouble::Damaged(segment, _) | Trouble::Swapped(segment, ..) => segment,
            Trouble::Missing(segment) | Trouble::Unlisted(segment) | Trouble::Newer(segment) => segment,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreadable(_, error) => write!(f, "cannot be read: {error}"),
            Trouble::Damaged(_, place) => write!(f, "damaged at byte {place}"),
            Trouble::Missing(_) => write!(f, "missing"),
            Trouble::Swapped(_, segment, None) => write!(f, "holds segment {segment} at byte 0"),
            Trouble::Swapped(_, segment, Some(shard)) => write!(f, "holds segment {segment} of shard {shard} at byte 0"),
            Trouble::Newer(_) => write!(f, "written by a newer version of RingMQ; start that version"),
            Trouble::Unlisted(_) => write!(f, "holds messages, but is not in the list of the segments (file segments)"),
        }
    }
}

/// Segments that are checked record by record.
const VERIFIED_MAX: usize = 4;

//! Restores a log after a restart: its segments, and the live messages of each queue, without
//! reading the messages.
//!
//! ```text
//! the list:               each segment on it exists
//! each segment, in order: its head is right; sealed ─▶ its index    not sealed ─▶ all its records
//! all of it together:     extents of each queue without what is settled
//! ```
//!
//! The newest segments are checked record by record (`VERIFIED_MAX` of them: as much as is read in
//! a moment), older ones when they are read, or if damage is to be accepted now. A segment that a
//! crash left without an index gets it before anything else is written, so that its torn tail is
//! not taken for damage at the next start.
//!
//! If anything is missing or damaged, the log is refused. A driver that may accept the loss moves
//! the file out of the way ([`salvage`](super::compact::salvage) makes a segment of its whole
//! records) and tries again.
//!
//! **Torn tail.** A batch is written when the batch before it is on the disk. So bytes that are not
//! whole can only be in the last batch: there they are the tail of a write that a crash tore. It
//! was not confirmed, and is cut off with the rest of that batch. If a whole batch of a higher
//! number follows in the segment, they are damage. The last batch of a segment was whole before the
//! next segment was begun. So if the next segment begins with the next number, they are the
//! segment's index, torn by a crash; otherwise they are damage.
//!
//! **The mark.** If nothing follows a batch that has messages, an empty batch is written after it,
//! once, after a moment ([`LOG_LAZY_MS`](crate::base::limits::LOG_LAZY_MS)). So damage in the last
//! messages has a whole batch after it, unless the broker was killed within that moment.
//!
//! **Missing segments.** The list says which segments must exist, and each one's head says to which
//! shard it belongs. The list is written when a segment is made or deleted, so twice for each
//! segment and never for a message (see `io::segment_files`). A segment is made when the one before
//! it has a batch on the disk, so an empty segment before another one is damaged.
//!
//! **What is not noticed**: if the last segment in use was overwritten from the end of one of its
//! batches to the end of the file, it looks as if nothing was ever written there, or torn.
//!
//! **Older versions.** Version 3 had no heads, lists and marks; its catalog records have no flag 2.
//! Version 2 also had one copy of the catalog, `catalog-G`. Their batches differ only in the
//! version. Their directories are upgraded: the existing segments are listed, if each of them
//! begins with a batch of its own number. Their segments stay as they are until they are compacted.

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

/// Reads this many bytes of a segment from an offset, fewer at the end of the file.
pub type Read<'r> = &'r mut dyn FnMut(u32, u64, usize) -> std::io::Result<Vec<u8>>;

/// The files of a log.
#[derive(Clone, Copy, Debug)]
pub struct Files<'f> {
    /// The number of the shard.
    pub shard: u16,
    /// The files that exist: number and size in bytes, by number.
    pub there: &'f [(u32, u64)],
    /// The segments that must exist, by number. `None` if the version has no list.
    pub listed: Option<&'f [u32]>,
    /// Whether all segments are checked record by record, not only the newest ones.
    pub check_all: bool,
}

/// The reason why a log cannot be restored.
#[derive(Debug)]
pub enum Trouble {
    /// A segment cannot be read.
    Unreadable(u32, std::io::Error),
    /// A segment is damaged at this offset in its file.
    Damaged(u32, u64),
    /// A segment does not exist.
    Missing(u32),
    /// The file has another segment: its number, and its shard if that is known.
    Swapped(u32, u32, Option<u16>),
    /// A segment has messages and is not on the list.
    Unlisted(u32),
    /// A segment is of a newer version than this one.
    Newer(u32),
}

/// A restored log.
pub struct Recovered {
    /// The log, ready for use.
    pub store: Store,
    /// The segments that have content, which are to be listed.
    pub segments: Vec<u32>,
    /// The segments without content, whose files may be deleted.
    pub empty: Vec<u32>,
    /// The segments and offsets where a torn tail was cut off.
    pub torn: Vec<(u32, u64)>,
}

/// The content of one segment.
struct Held {
    number: u32,
    size: u64,
    end: u64,
    batch: u64,
    settled: Vec<Range>,
    returns: Vec<Returned>,
    sections: Vec<Section>,
    /// Its entries, if it is not sealed.
    index: Option<Index>,
}

/// The meaning of the first blocks of a file.
enum Front {
    /// The right segment, with a head: the number of its first batch, if that is known, and whether
    /// it was compacted.
    Own { first: Option<u64>, is_compacted: bool },
    /// The right segment, of a version without heads: the number of its first batch. (After a
    /// compaction, it has only one, with the number of the last batch before.)
    OwnBefore { first: u64 },
    /// Another segment: its number, and its shard if it has a head.
    Another(u32, Option<u16>),
    /// A segment of a newer version.
    Newer,
    /// Something unknown.
    Nothing,
}

struct Recovery<'r> {
    files: Files<'r>,
    read: Read<'r>,
    held: Vec<Held>,
    empty: Vec<u32>,
    torn: Vec<(u32, u64)>,
}

/// Restores a log from its files.
///
/// # Errors
/// The reason why it cannot be restored.
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

/// Reads the number of a segment's first batch, if it is known, from the first blocks of its file.
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

    /// Returns what is wrong with a listed file that begins like this. (Without a list, a recycled
    /// file may still have the content of an older segment that was deleted, until something was
    /// written to it.)
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
    /// Finds out what a segment contains; with `verify`, by reading every record.
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

    /// Accepts a segment that is not on the list if it is empty: a crash came before it was listed,
    /// or before anything was written to it. Otherwise it does not belong there.
    fn look_at_unlisted(&mut self, number: u32, size: u64, front: &Front) -> Result<(), Trouble> {
        let bytes = self.read(number, 0, size as usize)?;
        if !matches!(front, Front::Own { .. }) || scan::scan(&bytes, number).batch.is_some() {
            return Err(Trouble::Unlisted(number));
        }
        self.empty.push(number);
        Ok(())
    }

    /// The first offset at which a segment is damaged.
    fn damage(&self, front: &Front, size: u64, sealed: Option<&Sealed>, scanned: &scan::Scanned) -> Option<u64> {
        let within = scanned.damaged.first().copied();
        let holds_all = |sealed: &Sealed| (scanned.batch, scanned.end) == (Some(sealed.batch), sealed.end.into());
        // The file gets its full size before it is listed; without lists, before anything is
        // written.
        let is_full = size >= LOG_SEGMENT_SIZE as u64 || matches!(front, Front::Own { is_compacted: true, .. }) && scanned.batch.is_some();
        let may_be_short = self.files.listed.is_none() && scanned.batch.is_none();
        within.or(match sealed {
            Some(sealed) => (!holds_all(sealed)).then(|| scanned.torn.unwrap_or(scanned.end)),
            None => (!is_full && !may_be_short).then_some(size),
        })
    }

    /// Checks that the segments before one that has content are whole: it could only be begun when
    /// their last batch was on the disk. So if no batch is missing between them, a torn tail is an
    /// index that a crash tore.
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

    /// Reads the segment's index, if it has one.
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

    /// Combines the content of all segments.
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
            last.inspect(|&last| log.settled.insert(last, last)); // no sequence number is used twice
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

    /// Counts the live messages of a section. Messages that do not survive a restart become
    /// settled.
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
    /// The segment that causes the trouble.
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

/// Number of segments that are checked record by record.
const VERIFIED_MAX: usize = 4;

//! Arrivals: which messages have come from queues of other shards, as long as their originals may
//! be found again. So a crash between the two logs duplicates no message.
//!
//! ```text
//! here      [copy][arrival]            one batch: both or none          [the arrival is settled]
//! there                 ... accepted ─▶ [the original is settled] ─▶ on the disk ─┘
//! ```
//!
//! An arrival is a message in the log, of a queue that has no name, only the number [`ARRIVALS`].
//! Its body says which queue has the copy, and where the original is. So the rules for messages
//! apply to it: a segment that contains it stays, or is rewritten with it, until it is settled. A
//! restart matches the arrivals that it finds with the originals (see `shard::restart`).

use std::collections::BTreeMap;

use super::format::{self, Messages, Placement, SETTLED, split_number, u32_at, u64_at};
use super::index;
use super::queue_log::{Extent, QueueLog};
use super::recover::{Read, Trouble};
use super::{Placed, Store};
use crate::base::ids::LevelAddr;
use crate::base::limits::LOG_RECORD_SIZE;
use crate::message::{Body, Content, MessageView, Route, Stamp};

/// A message that leaves its queue for other queues, on several shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Its position in the log of its shard: the number of its queue, or of its level, and its
    /// sequence number there.
    pub place: Placement,
    /// The number of queues that are to get it.
    pub copies: u32,
}

/// The fact that a queue has a copy of a message of another shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The original.
    pub origin: Origin,
    /// The number of the queue that has the copy.
    pub queue: u64,
}

/// The arrivals of one log.
#[derive(Default)]
pub struct Arrivals {
    /// The slot of the queue of arrivals, once it is open.
    slot: Option<u32>,
    /// The next sequence number in that queue.
    next: u64,
    /// The latest arrivals, which will be written with the batch that fills.
    fresh: Vec<Arrival>,
    /// All arrivals, by the position of the original and their own sequence number.
    all: BTreeMap<(Placement, u64), (u64, u32)>,
}

impl Arrivals {
    /// Number of arrivals that wait for the batch that fills.
    pub fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Reads the unsettled arrivals of a record; the first arrival has the sequence number `first`.
    fn take_up(&mut self, first: u64, messages: &Messages<'_>, log: &QueueLog) {
        for (sequence, content) in (first..).zip(messages.contents()).filter(|(sequence, _)| !log.settled.contains(*sequence)) {
            if let Some(Arrival { origin, queue }) = Arrival::read(content.body.bytes()) {
                self.all.insert((origin.place, sequence), (queue, origin.copies));
            }
        }
    }
}

impl Store {
    /// Notes that the messages appended last, to these queues, have come from another shard.
    pub fn note_arrivals(&mut self, placed: &[Placed], origin: Origin) {
        for placed in placed {
            let queue = split_number(self.queues[placed.slot as usize].number).0;
            self.note_arrival(Arrival { origin, queue });
        }
    }

    /// Notes that a message has come from another shard.
    pub fn note_arrival(&mut self, arrival: Arrival) {
        self.open_arrivals();
        let Arrivals { next, fresh, all, .. } = &mut self.arrivals;
        all.insert((arrival.origin.place, *next), (arrival.queue, arrival.origin.copies));
        *next += 1;
        fresh.push(arrival);
    }

    /// All arrivals whose originals may still exist.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival> {
        let arrival = |(&(place, _), &(queue, copies)): (&(Placement, u64), &_)| Arrival { origin: Origin { place, copies }, queue };
        self.arrivals.all.iter().map(arrival)
    }

    /// Forgets the arrivals of the original at this position, which is gone for good.
    pub fn forget_arrivals(&mut self, place: Placement) {
        while let Some((&key, _)) = self.arrivals.all.range((place, 0)..=(place, u64::MAX)).next() {
            self.arrivals.all.remove(&key);
            let slot = self.open_arrivals();
            self.settle(slot, key.1, key.1);
        }
    }

    /// Whether the log may have this message. If not, its sequence number will not be used. Called
    /// before queues are opened.
    pub fn expects(&mut self, (queue, sequence): Placement) -> bool {
        let log = self.found.entry(queue).or_default();
        let is_there = log.unsettled(sequence, sequence).next().is_some();
        if !is_there {
            log.settled.insert(sequence, sequence);
        }
        is_there
    }

    /// Writes the arrivals since the last batch was closed to the one that is being closed.
    pub(super) fn write_arrivals(&mut self) {
        let fresh = std::mem::take(&mut self.arrivals.fresh);
        let mut first = self.arrivals.next - fresh.len() as u64;
        for arrivals in fresh.chunks(LOG_RECORD_SIZE / ARRIVAL) {
            let bodies: Vec<[u8; ARRIVAL]> = arrivals.iter().map(|arrival| arrival.write()).collect();
            let contents: Vec<Content<'_>> =
                bodies.iter().map(|body| Content { properties: NO_PROPERTIES, body: Body::Slice(body) }).collect();
            let placed = [Placed { slot: self.arrivals.slot.expect("it was opened for the first"), first }];
            let head = MessageView { stamp: Stamp::NONE, ..contents[0].sent_to(Route::new(NOWHERE)) };
            let len = format::messages_len(placed.len(), head.route, &contents);
            self.append_to_batch(&placed, (0, len), &head, &contents, 0);
            first += arrivals.len() as u64;
        }
    }

    /// Opens the queue of arrivals, if it is not open. It goes on where a restart has found it.
    pub(super) fn open_arrivals(&mut self) -> u32 {
        if let Some(slot) = self.arrivals.slot {
            return slot;
        }
        let opened = self.open_queue(ARRIVALS, LevelAddr::default());
        (self.arrivals.slot, self.arrivals.next) = (Some(opened.slot), opened.next);
        opened.slot
    }

    /// Reads the arrivals that a restart has found.
    pub(super) fn find_arrivals(&mut self, read: Read<'_>) -> Result<(), Trouble> {
        let Some(log) = self.found.get(&ARRIVALS) else { return Ok(()) };
        for &Extent { segment, section, .. } in log.extents.iter().filter(|extent| extent.live > 0) {
            let mut read = |place, len| read(segment, place, len).map_err(|error| Trouble::Unreadable(segment, error));
            let entries = match (self.segments.entries(segment, ARRIVALS), section) {
                (None, Some((place, len))) => {
                    index::read_entries(ARRIVALS, &read(place, len as usize)?).ok_or(Trouble::Damaged(segment, place))?
                }
                (entries, _) => entries.unwrap_or_default(),
            };
            for entry in entries.iter().filter(|entry| log.unsettled(entry.first, entry.last()).next().is_some()) {
                let bytes = read(entry.at.into(), entry.len as usize)?;
                match format::open(&bytes, segment).and_then(Messages::read) {
                    Some(messages) => self.arrivals.take_up(entry.first, &messages, log),
                    None => return Err(Trouble::Damaged(segment, entry.at.into())),
                }
            }
        }
        Ok(())
    }
}

impl Arrival {
    /// Encodes the body of its message: the number of the queue, position and copies of the
    /// original.
    fn write(self) -> [u8; ARRIVAL] {
        let Arrival { origin: Origin { place, copies }, queue } = self;
        let mut body = [0; ARRIVAL];
        format::write_ranges(&mut body[..SETTLED], &[(queue, place.0, place.1)]);
        body[SETTLED..].copy_from_slice(&copies.to_le_bytes());
        body
    }

    fn read(body: &[u8]) -> Option<Arrival> {
        let body: &[u8; ARRIVAL] = body.try_into().ok()?;
        let (queue, place) = (u64_at(body, 0), (u64_at(body, 8), u64_at(body, 16)));
        Some(Arrival { origin: Origin { place, copies: u32_at(body, SETTLED) }, queue })
    }
}

/// The number of the queue of arrivals. Other queues are numbered from 1.
pub const ARRIVALS: u64 = 0;
/// Size of an encoded arrival, bytes.
const ARRIVAL: usize = SETTLED + 4;
/// The route of messages that were not published.
const NOWHERE: &[u8] = &[0, 0];
const NO_PROPERTIES: &[u8] = &[0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_comes_back_from_its_body() {
        let arrival = Arrival { origin: Origin { place: (u64::MAX, 1 << 40), copies: u32::MAX }, queue: 7 };
        assert_eq!(Arrival::read(&arrival.write()), Some(arrival));
        assert_eq!(Arrival::read(&arrival.write()[1..]), None);
    }

    #[test]
    fn no_other_message_gets_the_number_of_one_whose_copy_arrived() {
        let mut store = Store::new(1);
        assert!(!store.expects((9, 41)) && !store.expects((9, 5)));
        assert_eq!(store.open_queue(9, LevelAddr::default()).next, 42);
    }
}

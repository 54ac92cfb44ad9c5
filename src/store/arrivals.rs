//! Which messages have come over from queues of other shards, as long as their originals may be found again: so a crash between the two logs
//! repeats none.
//!
//! ```text
//! here      [copy][arrival]            one batch: both or none          [the arrival is settled]
//! there                      ... accepted ─▶ [the original is settled] ─▶ on the disk ─┘
//! ```
//!
//! An arrival is a message in the log, of a queue of its own that has no other name than [`ARRIVALS`]: its body says which queue has the copy, and
//! where the original is. So what holds for messages holds for it: segments that have it stay, or are rewritten with it, until it is settled. A
//! restart matches those that it finds with the originals (see `shard::restart`).

use std::collections::BTreeMap;

use super::format::{self, Messages, Placement, SETTLED, split_number, u32_at, u64_at};
use super::index;
use super::queue_log::{Extent, QueueLog};
use super::recover::{Read, Trouble};
use super::{Placed, Store};
use crate::base::ids::LevelAddr;
use crate::base::limits::LOG_RECORD_SIZE;
use crate::message::{Body, Content, MessageView, Route, Stamp};

/// A message that leaves its queue for others, on several shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Its place in the log of its shard: the number of the queue, or of its level, and the sequence number there.
    pub place: Placement,
    /// How many queues are to have it.
    pub copies: u32,
}

/// The queue of this number has a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// What it is a copy of.
    pub origin: Origin,
    /// The number of the queue.
    pub queue: u64,
}

/// What has arrived.
#[derive(Default)]
pub struct Arrivals {
    /// By what the store knows the queue that holds them, and the next sequence number there.
    slot: Option<u32>,
    next: u64,
    /// The last ones, which go with the batch that fills.
    fresh: Vec<Arrival>,
    /// All of them, by the place of the original and by their own sequence number.
    all: BTreeMap<(Placement, u64), (u64, u32)>,
}

impl Arrivals {
    /// How many wait for the batch that fills.
    pub fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Those of a record that are not settled; the first one has number `first`.
    fn take_up(&mut self, first: u64, messages: &Messages<'_>, log: &QueueLog) {
        for (sequence, content) in (first..).zip(messages.contents()).filter(|(sequence, _)| !log.settled.contains(*sequence)) {
            if let Some(Arrival { origin, queue }) = Arrival::read(content.body.bytes()) {
                self.all.insert((origin.place, sequence), (queue, origin.copies));
            }
        }
    }
}

impl Store {
    /// What was appended last, for these queues, has come from another shard.
    pub fn note_arrivals(&mut self, placed: &[Placed], origin: Origin) {
        for placed in placed {
            let queue = split_number(self.queues[placed.slot as usize].number).0;
            self.note_arrival(Arrival { origin, queue });
        }
    }

    /// Something has come from another shard.
    pub fn note_arrival(&mut self, arrival: Arrival) {
        self.open_arrivals();
        let Arrivals { next, fresh, all, .. } = &mut self.arrivals;
        all.insert((arrival.origin.place, *next), (arrival.queue, arrival.origin.copies));
        *next += 1;
        fresh.push(arrival);
    }

    /// All that has arrived, and whose originals may still be there.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival> {
        let arrival = |(&(place, _), &(queue, copies)): (&(Placement, u64), &_)| Arrival { origin: Origin { place, copies }, queue };
        self.arrivals.all.iter().map(arrival)
    }

    /// The original at this place is gone for good.
    pub fn forget_arrivals(&mut self, place: Placement) {
        while let Some((&key, _)) = self.arrivals.all.range((place, 0)..=(place, u64::MAX)).next() {
            self.arrivals.all.remove(&key);
            let slot = self.open_arrivals();
            self.settle(slot, key.1, key.1);
        }
    }

    /// Before queues are taken up: whether the log may have this message. It gives its number to no other.
    pub fn expects(&mut self, (queue, sequence): Placement) -> bool {
        let log = self.found.entry(queue).or_default();
        let is_there = log.unsettled(sequence, sequence).next().is_some();
        if !is_there {
            log.settled.insert(sequence, sequence);
        }
        is_there
    }

    /// What has arrived since the last batch was closed goes with the one that is being closed.
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

    /// The queue that holds them, which goes on where a restart has found it.
    pub(super) fn open_arrivals(&mut self) -> u32 {
        if let Some(slot) = self.arrivals.slot {
            return slot;
        }
        let opened = self.open_queue(ARRIVALS, LevelAddr::default());
        (self.arrivals.slot, self.arrivals.next) = (Some(opened.slot), opened.next);
        opened.slot
    }

    /// Reads those that a restart has found.
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
    /// The body of its message: the number of the queue, place and copies of the original.
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

/// The number of the queue that holds arrivals: no other has it, for they are numbered from 1.
pub const ARRIVALS: u64 = 0;
/// Bytes of an arrival.
const ARRIVAL: usize = SETTLED + 4;
/// What messages are published with that nobody has published.
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

//! One level of a queue: messages of one priority, first in, first out.
//!
//! ```text
//!                    returned  {3, 7}            came back; each at its own place
//!   push ──▶ ready [12 11 10 9 8 5 4] ──▶ pop    the smaller of both fronts
//! ```
//!
//! **Spilled.** When memory is short, new messages are kept in the log alone. All of these are
//! behind those in `ready`, and as long as there are any, new messages join them. The shard loads
//! them again when `ready` runs low. The level keeps only their number.
//!
//! Invariants: sequence numbers grow from the front to the back of `ready`, and none is used twice;
//! no number is in both `ready` and `returned`.

use std::collections::BTreeMap;

use crate::base::long_queue::LongQueue;
use crate::contract::{Entry, place};

/// One level of a queue.
pub struct Level {
    number: u8,
    slot: u32,
    /// The place of the next message.
    next: u64,
    ready: LongQueue<Entry>,
    /// Messages that came back, by place.
    returned: BTreeMap<u64, Entry>,
    /// Number of messages that are only in the log.
    spilled: u64,
    /// The first place whose message can only have arrived after the last restart.
    first_new: u64,
}

impl Level {
    /// Makes level `number` as it is in the log: its slot there, its next sequence number, and the
    /// number of its messages.
    pub fn new(number: u8, slot: u32, next_sequence: u64, spilled: u64) -> Level {
        let next = place(number, next_sequence);
        Level { number, slot, next, ready: LongQueue::new(), returned: BTreeMap::new(), spilled, first_new: next }
    }

    /// The level's number.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The level's slot in the log.
    #[inline]
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// The place that the next message gets.
    #[inline]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether a message at this place was there before the last restart.
    pub fn is_found(&self, place: u64) -> bool {
        place < self.first_new
    }

    /// Number of messages that have come since the last restart.
    pub fn arrived(&self) -> u64 {
        self.next - self.first_new
    }

    /// Skips the places of `count` messages that are delivered at once and do not wait.
    #[inline]
    pub fn pass(&mut self, count: usize) {
        self.next += count as u64;
    }

    /// Counts `count` messages at the tail that are only in the log.
    pub fn spill(&mut self, count: usize) {
        self.next += count as u64;
        self.spilled += count as u64;
    }

    /// Takes the next spilled message into memory.
    pub fn load(&mut self, entry: Entry) {
        self.ready.push_back(entry);
        self.spilled -= 1;
    }

    /// Counts spilled messages as gone: they cannot be read any more, or wait elsewhere.
    pub fn lose(&mut self, count: u64) {
        self.spilled -= count;
    }

    /// Number of messages that are only in the log.
    #[inline]
    pub fn spilled(&self) -> u64 {
        self.spilled
    }

    /// Messages in memory that are ready for delivery, in any order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.ready.iter().chain(self.returned.values()).copied()
    }

    /// Number of messages in memory that are ready for delivery.
    #[inline]
    pub fn loaded(&self) -> usize {
        self.ready.len() + self.returned.len()
    }

    /// Appends a message, which must be at the [`next`](Self::next) place.
    #[inline]
    pub fn push(&mut self, entry: Entry) {
        debug_assert_eq!(entry.place(), self.next);
        self.next += 1;
        self.ready.push_back(entry);
    }

    /// Takes the message at the head.
    #[inline]
    pub fn pop(&mut self) -> Option<Entry> {
        if !self.returned.is_empty() && self.returned_is_first() {
            return self.returned.pop_first().map(|(_, entry)| entry);
        }
        self.ready.pop_front()
    }

    /// Puts an entry back at its place.
    pub fn requeue(&mut self, entry: Entry) {
        self.returned.insert(entry.place(), entry);
    }

    /// Removes the message at a place, if it waits there in memory.
    pub fn take(&mut self, place: u64) -> Option<Entry> {
        if let Some(entry) = self.returned.remove(&place) {
            return Some(entry);
        }
        let at = self.ready.find(|entry| entry.place().cmp(&place))?;
        Some(self.ready.remove(at))
    }

    /// Whether a message waits in memory at this place.
    pub fn has(&self, place: u64) -> bool {
        self.returned.contains_key(&place) || self.ready.find(|entry| entry.place().cmp(&place)).is_some()
    }

    /// Removes all messages that are ready for delivery.
    pub fn purge(&mut self) -> Purged {
        let spilled = std::mem::take(&mut self.spilled);
        Purged { slot: self.slot, ready: std::mem::take(&mut self.ready), returned: std::mem::take(&mut self.returned), spilled }
    }

    /// Makes messages that waited elsewhere in the queue look as if they were purged from this
    /// level.
    pub fn purge_others(&self, others: BTreeMap<u64, Entry>) -> Purged {
        Purged { slot: self.slot, ready: LongQueue::new(), returned: others, spilled: 0 }
    }

    /// Number of messages ready for delivery.
    pub fn len(&self) -> usize {
        self.loaded() + self.spilled as usize
    }

    /// Whether no message is ready for delivery.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.loaded() == 0 && self.spilled == 0
    }

    /// Frees the memory of an empty level, except that for a few messages: a queue that is empty
    /// again and again needs no new memory.
    pub(super) fn trim(&mut self) {
        if self.ready.capacity() > KEPT {
            self.ready = LongQueue::new();
        }
    }

    fn returned_is_first(&self) -> bool {
        match (self.returned.first_key_value(), self.ready.front()) {
            (Some((&returned, _)), Some(ready)) => returned < ready.place(),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// Messages of a level that were purged and are still in the arena. There may be many millions.
pub struct Purged {
    /// The level's slot in the log.
    pub slot: u32,
    ready: LongQueue<Entry>,
    /// Messages that came back, in any order.
    returned: BTreeMap<u64, Entry>,
    /// Number of messages that were only in the log.
    pub spilled: u64,
}

impl Purged {
    /// Number of all messages, in memory or not.
    pub fn count(&self) -> usize {
        self.ready.len() + self.returned.len() + self.spilled as usize
    }

    /// Whether no message is in memory any more.
    pub fn is_freed(&self) -> bool {
        self.ready.is_empty() && self.returned.is_empty()
    }

    /// The messages in memory.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.ready.iter().chain(self.returned.values()).copied()
    }

    /// Removes a message in memory, in any order.
    pub fn pop(&mut self) -> Option<Entry> {
        self.ready.pop_front().or_else(|| self.returned.pop_first().map(|(_, entry)| entry))
    }
}

/// For this many messages an empty level keeps memory.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageRef;

    fn message(offset: u32) -> MessageRef {
        MessageRef::new(0, offset as usize, false)
    }

    fn filled(count: u32) -> Level {
        let mut level = Level::new(0, 0, 0, 0);
        (0..count).for_each(|n| append(&mut level, n));
        level
    }

    fn append(level: &mut Level, n: u32) {
        level.push(Entry::at(level.next(), message(n)));
    }

    fn order(level: &mut Level) -> Vec<u32> {
        std::iter::from_fn(|| level.pop()).map(|entry| entry.message.offset() as u32).collect()
    }

    #[test]
    fn first_in_first_out() {
        let mut level = filled(3);
        assert_eq!(level.len(), 3);
        assert_eq!(order(&mut level), [0, 1, 2]);
        assert!(level.is_empty());
    }

    #[test]
    fn purged_messages_are_all_that_were_ready() {
        let mut level = filled(5);
        let taken = level.pop().expect("five were pushed");
        level.requeue(taken.returned());
        level.pop();
        level.requeue(taken.returned());
        let mut purged = level.purge();
        assert_eq!((level.len(), purged.count()), (0, 5));
        let mut places: Vec<_> = std::iter::from_fn(|| purged.pop()).map(|entry| entry.sequence()).collect();
        places.sort_unstable();
        assert_eq!((places, purged.is_freed()), (vec![0, 1, 2, 3, 4], true));
    }

    #[test]
    fn a_returned_message_has_its_old_place() {
        let mut level = filled(6);
        let taken: Vec<_> = (0..4).filter_map(|_| level.pop()).collect();
        level.requeue(taken[2].returned());
        level.requeue(taken[0].returned());
        append(&mut level, 6);
        assert_eq!(level.len(), 5);
        let first = level.pop().expect("two came back");
        assert!(first.redelivered() && first.message == message(0));
        assert_eq!(order(&mut level), [2, 4, 5, 6]);
    }

    #[test]
    fn a_message_is_taken_out_wherever_it_waits() {
        let mut level = Level::new(7, 0, 0, 0);
        (0..5).for_each(|n| append(&mut level, n));
        let taken = level.pop().expect("five were pushed");
        level.requeue(taken.returned());
        for (sequence, is_there) in [(3, true), (0, true), (3, false), (9, false)] {
            let place = place(7, sequence);
            assert_eq!((level.has(place), level.take(place).map(Entry::sequence)), (is_there, is_there.then_some(sequence)));
        }
        assert_eq!(order(&mut level), [1, 2, 4]);
    }

    #[test]
    fn an_empty_level_gives_its_memory_back() {
        let mut level = filled(KEPT as u32 + 1);
        order(&mut level);
        assert!(level.ready.capacity() > KEPT);
        level.trim();
        assert_eq!(level.ready.capacity(), 0);
        append(&mut level, 0);
        let before = level.ready.capacity();
        level.pop();
        level.trim();
        assert_eq!(level.ready.capacity(), before);
    }
}

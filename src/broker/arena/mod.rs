//! The arena: the memory of a shard for messages that wait, without an allocation per message.
//!
//! ```text
//! chunk 0   segment 0   [head][record][record][dead  ][record]   full; freed with its last record
//!           segment 1   [head][record][head][record]..........   the current one, for new records
//!           segment 2   (free, for reuse)              …
//! ```
//!
//! A message is stored once per shard, however many queues have it. Each queue entry and each
//! unsettled delivery of a queue is one reference. Nearly every message has one reference all its
//! life; for these, only the segment counts its records. A message that may get several references,
//! or whose body is shared, says so in its reference and counts references in its record. Counting
//! needs no atomics, because a shard is one thread. Bodies of
//! [`SHARED_BODY_MIN`](crate::base::limits::SHARED_BODY_MIN) bytes and more stay in the shared
//! buffer in which they arrived.
//!
//! Segments are small, so that one message that waits for long does not keep much memory from being
//! used again. They are parts of chunks, each of one huge page, which are prepared ahead (see
//! [`memory`](crate::broker::arena::memory)).
//!
//! Invariants: a segment's `live` is the number of its records with references; a record's head is
//! in its own segment; a segment is in `spare` if it is free and not the current one; a chunk's
//! `used` is the number of its segments that are not in `spare`.

pub mod memory;

use bytes::Bytes;
use slab::Slab;

use crate::base::limits::{ARENA_CHUNK_SIZE, ARENA_SEGMENT_SIZE};
use crate::message::{Body, MessageRef, MessageView, Record, Route, head_len, read_head, set_holders, write_head};
use memory::{Block, Memory, Wish};

/// The arena of one shard.
#[derive(Default)]
pub struct Arena {
    /// The chunks in use. A segment's number is that of its chunk times [`SEGMENTS`], plus its
    /// index in the chunk.
    chunks: Slab<Place>,
    memory: Memory,
    /// Free segments; the one used last is used again first.
    spare: Vec<u32>,
    current: Option<u32>,
    shared: Slab<Bytes>,
    shared_bytes: usize,
    /// Bytes of records in separate blocks.
    own_bytes: usize,
    messages: usize,
}

/// A chunk in use.
struct Place {
    block: Block,
    /// The segments. A record that is too large for a segment has a separate block with one
    /// segment.
    segments: [Segment; SEGMENTS],
    used: usize,
}

#[derive(Clone, Copy, Default)]
struct Segment {
    used: u32,
    live: u32,
    /// One more than the offset of the last record's head; 0 if there is none.
    head: u32,
}

/// How many references a message may get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holders {
    /// One: that of the caller that inserts it.
    One,
    /// More than one ([`Arena::hold`]).
    Several,
}

/// An insertion of several messages in a row. Those of one publisher mostly have the same head, in
/// the same memory.
pub struct Run<'a, 'm> {
    arena: &'a mut Arena,
    holders: Holders,
    /// Route and properties of the last message. They are borrowed, so slices at the same address
    /// are the same.
    last: Option<(Route<'m>, &'m [u8])>,
}

impl<'m> Run<'_, 'm> {
    /// Stores `message` with one reference.
    #[inline]
    pub fn insert(&mut self, message: &MessageView<'m>) -> MessageRef {
        let repeats = self.last.is_some_and(|(route, properties)| message.shares_head(route, properties));
        self.last = Some((message.route, message.properties));
        self.arena.put(message, repeats, self.holders)
    }

    /// Adds a reference to a message that was inserted for several.
    pub fn hold(&mut self, message: MessageRef) {
        self.arena.hold(message);
    }
}

impl Arena {
    /// Begins to insert messages in a row.
    pub fn run<'m>(&mut self, holders: Holders) -> Run<'_, 'm> {
        Run { arena: self, holders, last: None }
    }

    /// Stores `message` with one reference.
    pub fn insert(&mut self, message: &MessageView<'_>, holders: Holders) -> MessageRef {
        self.put(message, false, holders)
    }

    /// Returns the message, which stays as long as there is a reference to it.
    #[inline]
    pub fn view(&self, message: MessageRef) -> MessageView<'_> {
        let segment = self.segment_bytes(message.segment);
        let bytes = &segment[message.offset()..];
        let record = Record::read(bytes);
        let shared = record.is_shared().then(|| &self.shared[record.shared_key(bytes) as usize]);
        record.view(&segment[record.head as usize..], bytes, shared)
    }

    /// Adds a reference to a message that was inserted for several.
    pub fn hold(&mut self, message: MessageRef) {
        assert!(message.is_counted(), "only what was inserted for several has another holder");
        let bytes = &mut self.segment_bytes_mut(message.segment)[message.offset()..];
        set_holders(bytes, Record::read(bytes).holders + 1);
    }

    /// Removes a reference; the last one frees the message.
    #[inline]
    pub fn release(&mut self, message: MessageRef) {
        if message.is_counted() && !self.release_counted(message) {
            return;
        }
        let segment = self.segment_mut(message.segment);
        assert!(segment.live > 0, "a message was released more often than it was held");
        segment.live -= 1;
        let is_free = segment.live == 0;
        self.messages -= 1;
        if is_free {
            self.free_segment(message.segment);
        }
    }

    /// Number of messages with references.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Bytes of memory: chunks in use, other chunks, separate blocks, and shared bodies.
    pub fn memory(&self) -> usize {
        self.shared_bytes + self.memory.kept() + self.chunks.iter().map(|(_, place)| place.block.len()).sum::<usize>()
    }

    /// Bytes of the chunks in use, of separate blocks, and of shared bodies.
    #[inline]
    pub fn in_use(&self) -> usize {
        self.memory.in_use() * ARENA_CHUNK_SIZE + self.own_bytes + self.shared_bytes
    }

    /// Returns memory that will be used soon and should be prepared, if that is new.
    /// [`Arena::on_prepared`] follows.
    pub fn wish(&mut self) -> Option<Wish> {
        self.memory.wish()
    }

    /// Notes that the memory of the last wish is prepared.
    pub fn on_prepared(&mut self) {
        self.memory.on_prepared();
    }

    /// Whether there is excess memory: then [`Arena::trim`] should be called some times per second.
    pub fn has_excess(&self) -> bool {
        self.memory.has_excess()
    }

    /// Gives a small part of the excess memory back to the system.
    pub fn trim(&mut self) {
        self.memory.trim();
    }

    /// Makes all unused memory excess, until the next burst.
    pub fn give_back(&mut self) {
        self.memory.give_back();
    }

    /// Whether no more messages should be stored until memory is prepared.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.spare.len() < SEGMENTS_IN_HAND && self.memory.is_short()
    }

    /// Stores a message. `repeats`: it has the head of the message before it.
    #[inline]
    fn put(&mut self, message: &MessageView<'_>, repeats: bool, holders: Holders) -> MessageRef {
        let record = Record::of(message, 1);
        let len = record.size();
        let (segment, head) = match self.known_head(message, repeats, len) {
            Some(found) => found,
            None => self.new_head(message, len),
        };
        let (shared_key, is_counted) = match message.body {
            Body::Slice(_) => (0, holders == Holders::Several),
            Body::Shared(body) => (self.keep_shared(body), true),
        };
        let home = self.segment_mut(segment);
        let offset = home.used as usize;
        home.used += len as u32;
        home.live += 1;
        self.messages += 1;
        record.with_head(head).write(message, shared_key, &mut self.segment_bytes_mut(segment)[offset..offset + len]);
        MessageRef::new(segment, offset, is_counted)
    }

    /// Returns the current segment and the offset of its last head, if that is the message's head
    /// and the segment has room for the record.
    #[inline]
    fn known_head(&self, message: &MessageView<'_>, repeats: bool, record_len: usize) -> Option<(u32, u32)> {
        let current = self.current?;
        let segment = self.segment(current);
        let head = segment.head.checked_sub(1)?;
        let is_same = || read_head(&self.segment_bytes(current)[head as usize..]).has_head_of(message);
        (segment.room() >= record_len && (repeats || is_same())).then_some((current, head))
    }

    /// Writes the head to a segment that has room for it and for the record after it.
    fn new_head(&mut self, message: &MessageView<'_>, record_len: usize) -> (u32, u32) {
        let len = head_len(message);
        let slot = self.segment_with_room(len + record_len);
        let segment = self.segment_mut(slot);
        let at = segment.used;
        (segment.used, segment.head) = (at + len as u32, at + 1);
        write_head(message, &mut self.segment_bytes_mut(slot)[at as usize..at as usize + len]);
        (slot, at)
    }

    /// Removes a reference to a counted message. Returns whether it was the last one.
    fn release_counted(&mut self, message: MessageRef) -> bool {
        let bytes = &mut self.segment_bytes_mut(message.segment)[message.offset()..];
        let record = Record::read(bytes);
        assert!(record.holders > 0, "a message was released more often than it was held");
        set_holders(bytes, record.holders - 1);
        if record.holders > 1 {
            return false;
        }
        if record.is_shared() {
            let key = record.shared_key(bytes);
            self.shared_bytes -= self.shared.remove(key as usize).len();
        }
        true
    }

    fn keep_shared(&mut self, body: &Bytes) -> u32 {
        self.shared_bytes += body.len();
        self.shared.insert(body.clone()) as u32
    }

    fn segment_with_room(&mut self, len: usize) -> u32 {
        match self.current {
            Some(current) if self.segment(current).room() >= len => current,
            _ => self.next_segment(len),
        }
    }

    /// Makes a free segment the current one. A record that is too large for a segment gets a
    /// separate block; then the current segment's last head is no longer that of the last message.
    #[cold]
    fn next_segment(&mut self, len: usize) -> u32 {
        if len > ARENA_SEGMENT_SIZE {
            if let Some(current) = self.current {
                self.segment_mut(current).head = 0;
            }
            self.own_bytes += len;
            return self.place(Block::Own(vec![0; len].into_boxed_slice()), 1);
        }
        let segment = self.spare.pop().unwrap_or_else(|| self.next_chunk());
        self.place_mut(segment).used += 1;
        self.current = Some(segment);
        segment
    }

    /// Takes a chunk into use: returns its first segment, and makes the others spare.
    fn next_chunk(&mut self) -> u32 {
        let chunk = self.memory.take();
        let first = self.place(Block::Chunk(chunk), 0);
        self.spare.extend((first + 1..first + SEGMENTS as u32).rev());
        first
    }

    fn place(&mut self, block: Block, used: usize) -> u32 {
        let place = Place { block, segments: [Segment::default(); SEGMENTS], used };
        (self.chunks.insert(place) * SEGMENTS) as u32
    }

    /// Frees a segment whose last record is gone. The current segment is used again from its start
    /// (its bytes are in the cache), other segments become spare, and a chunk whose segments are
    /// all free is given back.
    fn free_segment(&mut self, slot: u32) {
        let segment = self.segment_mut(slot);
        (segment.used, segment.head) = (0, 0);
        if self.current == Some(slot) {
            return;
        }
        let place = self.place_mut(slot);
        place.used -= 1;
        if matches!(place.block, Block::Chunk(_)) {
            self.spare.push(slot);
        }
        if self.place_mut(slot).used == 0 {
            self.free_chunk(slot as usize / SEGMENTS);
        }
    }

    #[cold]
    fn free_chunk(&mut self, number: usize) {
        match self.chunks.remove(number).block {
            Block::Chunk(chunk) => {
                self.spare.retain(|&slot| slot as usize / SEGMENTS != number);
                self.memory.give(chunk);
            }
            Block::Own(bytes) => self.own_bytes -= bytes.len(),
        }
    }

    #[inline]
    fn place_mut(&mut self, slot: u32) -> &mut Place {
        &mut self.chunks[slot as usize / SEGMENTS]
    }

    #[inline]
    fn segment(&self, slot: u32) -> &Segment {
        &self.chunks[slot as usize / SEGMENTS].segments[slot as usize % SEGMENTS]
    }

    #[inline]
    fn segment_mut(&mut self, slot: u32) -> &mut Segment {
        &mut self.chunks[slot as usize / SEGMENTS].segments[slot as usize % SEGMENTS]
    }

    /// The bytes of a segment, and those after it in its block.
    #[inline]
    fn segment_bytes(&self, slot: u32) -> &[u8] {
        &self.chunks[slot as usize / SEGMENTS].block[slot as usize % SEGMENTS * ARENA_SEGMENT_SIZE..]
    }

    #[inline]
    fn segment_bytes_mut(&mut self, slot: u32) -> &mut [u8] {
        &mut self.chunks[slot as usize / SEGMENTS].block[slot as usize % SEGMENTS * ARENA_SEGMENT_SIZE..]
    }
}

impl Segment {
    fn room(&self) -> usize {
        ARENA_SEGMENT_SIZE.saturating_sub(self.used as usize)
    }
}

/// Number of segments in a chunk.
const SEGMENTS: usize = ARENA_CHUNK_SIZE / ARENA_SEGMENT_SIZE;
/// Number of spare segments that the input of one turn may need.
const SEGMENTS_IN_HAND: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::ARENA_CHUNKS_KEPT;
    use crate::message::Stamp;

    fn message(body: &[u8]) -> MessageView<'_> {
        MessageView { route: Route::new(b"\x00\x01q"), properties: &[0, 0], stamp: Stamp::NONE, body: Body::Slice(body) }
    }

    fn trim_all(arena: &mut Arena) {
        while arena.has_excess() {
            arena.trim();
        }
        assert!(arena.memory() <= (ARENA_CHUNKS_KEPT + 2) * ARENA_CHUNK_SIZE);
    }

    #[test]
    fn a_message_lives_as_long_as_it_is_held() {
        let mut arena = Arena::default();
        let a = arena.insert(&message(b"first"), Holders::Several);
        let b = arena.insert(&message(b"second"), Holders::One);
        arena.hold(a);
        arena.release(a);
        assert_eq!(arena.view(a).body.bytes(), b"first");
        assert_eq!(arena.view(b).body.bytes(), b"second");
        arena.release(a);
        arena.release(b);
        assert_eq!(arena.messages(), 0);
    }

    #[test]
    fn memory_follows_what_lives() {
        let mut arena = Arena::default();
        let body = vec![7; 1000];
        let held: Vec<_> = (0..10_000).map(|_| arena.insert(&message(&body), Holders::One)).collect();
        assert!((10_000_000..10_500_000 + 2 * ARENA_CHUNK_SIZE).contains(&arena.memory()));
        held.into_iter().for_each(|message| arena.release(message));
        trim_all(&mut arena);
        let again = arena.insert(&message(&body), Holders::One);
        assert_eq!(arena.view(again).body.bytes(), body);
    }

    #[test]
    fn a_shared_body_is_counted_not_copied() {
        let mut arena = Arena::default();
        let body = Bytes::from(vec![1; 100_000]);
        let kept = arena.insert(&MessageView { body: Body::Shared(&body), ..message(b"") }, Holders::One);
        match arena.view(kept).body {
            Body::Shared(held) => assert_eq!(held.as_ptr(), body.as_ptr()),
            Body::Slice(_) => panic!("the body was copied"),
        }
        assert!(!body.is_unique());
        arena.release(kept);
        assert!(body.is_unique() && arena.memory() <= 2 * ARENA_CHUNK_SIZE);
    }

    #[test]
    fn a_record_larger_than_a_segment_has_its_own() {
        let mut arena = Arena::default();
        let properties = vec![0; ARENA_SEGMENT_SIZE];
        let small = arena.insert(&message(b"x"), Holders::One);
        let large = arena.insert(&MessageView { properties: &properties, ..message(b"y") }, Holders::One);
        let next = arena.insert(&message(b"z"), Holders::One);
        assert_eq!((arena.view(small).properties, arena.view(next).properties), (&[0, 0][..], &[0, 0][..]));
        assert_eq!(arena.view(large).properties.len(), ARENA_SEGMENT_SIZE);
        assert_eq!((small.segment, next.segment), (next.segment, small.segment));
        arena.release(large);
        assert!(arena.memory() <= 2 * ARENA_CHUNK_SIZE);
    }

    #[test]
    fn one_message_that_waits_keeps_its_segment_and_no_more() {
        let mut arena = Arena::default();
        let body = vec![7; 1000];
        let old = arena.insert(&message(b"old"), Holders::One);
        for _ in 0..20 {
            let held: Vec<_> = (0..2000).map(|_| arena.insert(&message(&body), Holders::One)).collect();
            held.into_iter().for_each(|message| arena.release(message));
        }
        assert!(arena.memory() <= 4 * ARENA_CHUNK_SIZE);
        assert_eq!(arena.view(old).body.bytes(), b"old");
    }

    #[test]
    fn it_keeps_messages_like_a_map() {
        let mut rng = crate::base::rng::Rng::seeded(4);
        let (mut arena, mut model) = (Arena::default(), Vec::new());
        for round in 0..30_000_u32 {
            if model.len() < 100 || (rng.below(2) == 0 && round < 25_000) {
                let body = vec![round as u8; rng.below(3000) as usize];
                let holders = 1 + rng.below(3);
                let place = arena.insert(&message(&body), if holders == 1 { Holders::One } else { Holders::Several });
                (1..holders).for_each(|_| arena.hold(place));
                model.push((place, body, holders));
            }
            let at = rng.below(model.len() as u64) as usize;
            assert_eq!(arena.view(model[at].0).body.bytes(), model[at].1);
            arena.release(model[at].0);
            model[at].2 -= 1;
            if model[at].2 == 0 {
                model.swap_remove(at);
            }
        }
        assert_eq!(arena.messages(), model.len());
        model.into_iter().for_each(|(place, _, holders)| (0..holders).for_each(|_| arena.release(place)));
        assert_eq!(arena.messages(), 0);
        trim_all(&mut arena);
    }
}

//! The arena: where a shard keeps the messages that wait, without an allocation per message.
//!
//! ```text
//! segment 0   [head][record][record][dead  ][record]      full; freed when its last record dies
//! segment 1   [head][record][head][record]............... the current one; new records go here
//! segment 2   (free, kept for reuse)
//! ```
//!
//! A message is stored once per shard, however many queues hold it: each queue entry and each unsettled delivery of a queue is one holder.
//! Nearly every message has one holder all its life; for these nothing is counted but the segment's records. Those that several queues may
//! hold, or whose body stands elsewhere, say so in their reference, and count their holders in their record. Counting is plain arithmetic,
//! for a shard is one thread. Bodies of [`SHARED_BODY_MIN`](crate::base::limits::SHARED_BODY_MIN) bytes and more stay in the counted
//! buffer that they arrived in.
//!
//! Invariants: a segment's `live` is the number of its records with holders; a record's head stands in its own segment.

use bytes::Bytes;
use slab::Slab;

use crate::base::limits::{ARENA_SEGMENT_SIZE, ARENA_SPARE_SEGMENTS};
use crate::message::{Body, MessageRef, MessageView, Record, Route, head_len, read_head, set_holders, write_head};

/// The messages that wait on one shard.
#[derive(Default)]
pub struct Arena {
    segments: Vec<Segment>,
    /// Segments without records, memory kept.
    spare: Vec<u32>,
    /// Segments whose memory was given back.
    vacant: Vec<u32>,
    current: Option<u32>,
    shared: Slab<Bytes>,
    shared_bytes: usize,
    messages: usize,
}

#[derive(Default)]
struct Segment {
    bytes: Vec<u8>,
    used: usize,
    live: u32,
    /// Where the head of the last record stands.
    head: Option<u32>,
}

/// How many may hold a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holders {
    /// The one who has it inserted.
    One,
    /// Others too ([`Arena::hold`]).
    Several,
}

/// Messages inserted one after the other: those of one publisher mostly have the same head, in the same place.
pub struct Run<'a, 'm> {
    arena: &'a mut Arena,
    holders: Holders,
    /// Route and properties of the last message. They are borrowed, so another with the same address is the same.
    last: Option<(Route<'m>, &'m [u8])>,
}

impl<'m> Run<'_, 'm> {
    /// Keeps `message` with one holder.
    #[inline]
    pub fn insert(&mut self, message: &MessageView<'m>) -> MessageRef {
        let repeats = self.last.is_some_and(|(route, properties)| message.shares_head(route, properties));
        self.last = Some((message.route, message.properties));
        self.arena.put(message, repeats, self.holders)
    }

    /// One more holder of a message that was inserted for several.
    pub fn hold(&mut self, message: MessageRef) {
        self.arena.hold(message);
    }
}

impl Arena {
    /// Begins to insert messages in a row.
    pub fn run<'m>(&mut self, holders: Holders) -> Run<'_, 'm> {
        Run { arena: self, holders, last: None }
    }

    /// Keeps `message` with one holder.
    pub fn insert(&mut self, message: &MessageView<'_>, holders: Holders) -> MessageRef {
        self.put(message, false, holders)
    }

    /// The message; it stays as long as it has a holder.
    #[inline]
    pub fn view(&self, message: MessageRef) -> MessageView<'_> {
        let segment = &self.segments[message.segment as usize].bytes[..];
        let bytes = &segment[message.offset()..];
        let record = Record::read(bytes);
        let shared = record.is_shared().then(|| &self.shared[record.shared_key(bytes) as usize]);
        record.view(&segment[record.head as usize..], bytes, shared)
    }

    /// One more holder of a message that was inserted for several.
    pub fn hold(&mut self, message: MessageRef) {
        assert!(message.is_counted(), "only what was inserted for several has another holder");
        let bytes = &mut self.segments[message.segment as usize].bytes[message.offset()..];
        set_holders(bytes, Record::read(bytes).holders + 1);
    }

    /// One holder less; the last one frees the message.
    #[inline]
    pub fn release(&mut self, message: MessageRef) {
        if message.is_counted() && !self.release_counted(message) {
            return;
        }
        let segment = &mut self.segments[message.segment as usize];
        assert!(segment.live > 0, "a message was released more often than it was held");
        segment.live -= 1;
        self.messages -= 1;
        if segment.live == 0 {
            self.free_segment(message.segment);
        }
    }

    /// Messages with holders.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Memory of the segments and of the shared bodies, bytes.
    pub fn memory(&self) -> usize {
        self.shared_bytes + self.segments.iter().map(|segment| segment.bytes.len()).sum::<usize>()
    }

    /// Stores a message. `repeats`: its head is that of the one before.
    #[inline]
    fn put(&mut self, message: &MessageView<'_>, repeats: bool, holders: Holders) -> MessageRef {
        let record = Record::of(message, 1);
        let len = record.len();
        let (segment, head) = match self.known_head(message, repeats, len) {
            Some(found) => found,
            None => self.new_head(message, len),
        };
        let (shared_key, is_counted) = match message.body {
            Body::Slice(_) => (0, holders == Holders::Several),
            Body::Shared(body) => (self.keep_shared(body), true),
        };
        let home = &mut self.segments[segment as usize];
        let offset = home.used;
        record.with_head(head).write(message, shared_key, &mut home.bytes[offset..offset + len]);
        home.used += len;
        home.live += 1;
        self.messages += 1;
        MessageRef::new(segment, offset, is_counted)
    }

    /// The current segment, if it has room for the record and the last head there is that of the message.
    #[inline]
    fn known_head(&self, message: &MessageView<'_>, repeats: bool, record_len: usize) -> Option<(u32, u32)> {
        let current = self.current?;
        let segment = &self.segments[current as usize];
        let head = segment.head?;
        let is_same = || read_head(&segment.bytes[head as usize..]) == (message.route, message.properties);
        (segment.room() >= record_len && (repeats || is_same())).then_some((current, head))
    }

    /// Writes the head into a segment that has room for it and for the record behind it.
    fn new_head(&mut self, message: &MessageView<'_>, record_len: usize) -> (u32, u32) {
        let len = head_len(message);
        let slot = self.segment_with_room(len + record_len);
        let segment = &mut self.segments[slot as usize];
        let at = segment.used;
        write_head(message, &mut segment.bytes[at..at + len]);
        segment.used += len;
        segment.head = Some(at as u32);
        (slot, at as u32)
    }

    /// One holder less of a counted message; true: it was the last one.
    fn release_counted(&mut self, message: MessageRef) -> bool {
        let bytes = &mut self.segments[message.segment as usize].bytes[message.offset()..];
        let record = Record::read(bytes);
        assert!(record.holders > 0, "a message was released more often than it was held");
        set_holders(bytes, record.holders - 1);
        if record.holders > 1 {
            return false;
        }
        if record.is_shared() {
            let body = self.shared.remove(record.shared_key(bytes) as usize);
            self.shared_bytes -= body.len();
        }
        true
    }

    fn keep_shared(&mut self, body: &Bytes) -> u32 {
        self.shared_bytes += body.len();
        self.shared.insert(body.clone()) as u32
    }

    fn segment_with_room(&mut self, len: usize) -> u32 {
        match self.current {
            Some(current) if self.segments[current as usize].room() >= len => current,
            _ => self.next_segment(len),
        }
    }

    /// A fresh segment becomes the current one; a record that no ordinary segment can hold gets one of its own size, and then the current
    /// one's last head is no more that of the last message.
    #[cold]
    fn next_segment(&mut self, len: usize) -> u32 {
        if len > ARENA_SEGMENT_SIZE {
            if let Some(current) = self.current {
                self.segments[current as usize].head = None;
            }
            return self.place_segment(len);
        }
        let segment = self.spare.pop().unwrap_or_else(|| self.place_segment(ARENA_SEGMENT_SIZE));
        self.current = Some(segment);
        segment
    }

    fn place_segment(&mut self, size: usize) -> u32 {
        let segment = Segment { bytes: vec![0; size], ..Segment::default() };
        match self.vacant.pop() {
            Some(slot) => {
                self.segments[slot as usize] = segment;
                slot
            }
            None => {
                self.segments.push(segment);
                (self.segments.len() - 1) as u32
            }
        }
    }

    /// The last record is gone: the current segment starts over (its bytes are warm), others are kept for reuse or given back.
    fn free_segment(&mut self, slot: u32) {
        let segment = &mut self.segments[slot as usize];
        (segment.used, segment.head) = (0, None);
        if self.current == Some(slot) {
            return;
        }
        if segment.bytes.len() == ARENA_SEGMENT_SIZE && self.spare.len() < ARENA_SPARE_SEGMENTS {
            self.spare.push(slot);
        } else {
            segment.bytes = Vec::new();
            self.vacant.push(slot);
        }
    }
}

impl Segment {
    fn room(&self) -> usize {
        self.bytes.len() - self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Route;

    fn message(body: &[u8]) -> MessageView<'_> {
        MessageView { route: Route::new(b"\x00\x01q"), properties: &[0, 0], body: Body::Slice(body) }
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
        assert!(arena.memory() >= 10_000_000 && arena.memory() < 11_000_000);
        held.into_iter().for_each(|message| arena.release(message));
        assert!(arena.memory() <= (ARENA_SPARE_SEGMENTS + 1) * ARENA_SEGMENT_SIZE);
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
        assert!(body.is_unique() && arena.memory() <= ARENA_SEGMENT_SIZE);
    }

    #[test]
    fn a_record_larger_than_a_segment_has_its_own() {
        let mut arena = Arena::default();
        let properties = vec![0; ARENA_SEGMENT_SIZE];
        let small = arena.insert(&message(b"x"), Holders::One);
        let large = arena.insert(&MessageView { properties: &properties, ..message(b"y") }, Holders::One);
        let next = arena.insert(&message(b"z"), Holders::One);
        assert_eq!(arena.view(large).properties.len(), ARENA_SEGMENT_SIZE);
        assert_eq!((small.segment, next.segment), (next.segment, small.segment));
        arena.release(large);
        assert!(arena.memory() <= ARENA_SEGMENT_SIZE);
    }
}

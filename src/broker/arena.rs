//! The arena: where a shard keeps the messages that wait, counted by holders, without an allocation per message.
//!
//! ```text
//! segment 0   [record][record][dead  ][record]            full; freed when its last record dies
//! segment 1   [record][record]............................ the current one; new records go here
//! segment 2   (free, kept for reuse)
//! ```
//!
//! Invariant: a segment's `live` is the number of its records with holders. A message is stored once per shard, however many queues hold
//! it: each queue entry and each unsettled delivery of a queue is one holder. Counting is plain arithmetic, for a shard is one thread.
//! Bodies of [`SHARED_BODY_MIN`](crate::base::limits::SHARED_BODY_MIN) bytes and more stay in the counted buffer that they arrived in.

use bytes::Bytes;
use slab::Slab;

use crate::base::limits::{ARENA_SEGMENT_SIZE, ARENA_SPARE_SEGMENTS};
use crate::message::{Body, MessageRef, MessageView, RecordHeader, set_refs, write_record};

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
}

impl Arena {
    /// Keeps `message` with one holder.
    pub fn insert(&mut self, message: &MessageView<'_>) -> MessageRef {
        let shared_key = match message.body {
            Body::Slice(_) => 0,
            Body::Shared(body) => self.keep_shared(body),
        };
        let header = RecordHeader::of(message, 1);
        let len = header.record_len();
        let segment = self.segment_with_room(len);
        let home = &mut self.segments[segment as usize];
        let offset = home.used;
        write_record(header, message, shared_key, &mut home.bytes[offset..offset + len]);
        home.used += len;
        home.live += 1;
        self.messages += 1;
        MessageRef { segment, offset: offset as u32 }
    }

    /// The message; it stays as long as it has a holder.
    pub fn view(&self, message: MessageRef) -> MessageView<'_> {
        let record = self.record(message);
        let header = RecordHeader::read(record);
        let shared = header.is_shared().then(|| &self.shared[header.shared_key(record) as usize]);
        header.view(record, shared)
    }

    /// One more holder.
    pub fn hold(&mut self, message: MessageRef) {
        let record = &mut self.segments[message.segment as usize].bytes[message.offset as usize..];
        let refs = RecordHeader::read(record).refs;
        set_refs(record, refs + 1);
    }

    /// One holder less; the last one frees the message.
    pub fn release(&mut self, message: MessageRef) {
        let segment = &mut self.segments[message.segment as usize];
        let record = &mut segment.bytes[message.offset as usize..];
        let header = RecordHeader::read(record);
        assert!(header.refs > 0, "a message was released more often than it was held");
        set_refs(record, header.refs - 1);
        if header.refs > 1 {
            return;
        }
        if header.is_shared() {
            let body = self.shared.remove(header.shared_key(record) as usize);
            self.shared_bytes -= body.len();
        }
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

    fn record(&self, message: MessageRef) -> &[u8] {
        &self.segments[message.segment as usize].bytes[message.offset as usize..]
    }

    fn keep_shared(&mut self, body: &Bytes) -> u32 {
        self.shared_bytes += body.len();
        self.shared.insert(body.clone()) as u32
    }

    fn segment_with_room(&mut self, len: usize) -> u32 {
        match self.current {
            Some(current) if self.segments[current as usize].has_room(len) => current,
            _ => self.next_segment(len),
        }
    }

    /// A fresh segment becomes the current one; a record that no ordinary segment can hold gets one of its own size.
    #[cold]
    fn next_segment(&mut self, len: usize) -> u32 {
        if len > ARENA_SEGMENT_SIZE {
            return self.place_segment(len);
        }
        let segment = self.spare.pop().unwrap_or_else(|| self.place_segment(ARENA_SEGMENT_SIZE));
        self.current = Some(segment);
        segment
    }

    fn place_segment(&mut self, size: usize) -> u32 {
        let segment = Segment { bytes: vec![0; size], used: 0, live: 0 };
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
        segment.used = 0;
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
    fn has_room(&self, len: usize) -> bool {
        self.bytes.len() - self.used >= len
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
        let a = arena.insert(&message(b"first"));
        let b = arena.insert(&message(b"second"));
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
        let held: Vec<_> = (0..10_000).map(|_| arena.insert(&message(&body))).collect();
        assert!(arena.memory() >= 10_000_000 && arena.memory() < 11_000_000);
        held.into_iter().for_each(|message| arena.release(message));
        assert!(arena.memory() <= (ARENA_SPARE_SEGMENTS + 1) * ARENA_SEGMENT_SIZE);
        let again = arena.insert(&message(&body));
        assert_eq!(arena.view(again).body.bytes(), body);
    }

    #[test]
    fn a_shared_body_is_counted_not_copied() {
        let mut arena = Arena::default();
        let body = Bytes::from(vec![1; 100_000]);
        let kept = arena.insert(&MessageView { body: Body::Shared(&body), ..message(b"") });
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
        let small = arena.insert(&message(b"x"));
        let large = arena.insert(&MessageView { properties: &properties, ..message(b"y") });
        let next = arena.insert(&message(b"z"));
        assert_eq!(arena.view(large).properties.len(), ARENA_SEGMENT_SIZE);
        assert_eq!((small.segment, next.segment), (next.segment, small.segment));
        arena.release(large);
        assert!(arena.memory() <= ARENA_SEGMENT_SIZE);
    }
}

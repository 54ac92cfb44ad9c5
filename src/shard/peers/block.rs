//! Blocks: the messages of one turn on their way to another shard, written once and read in place.
//!
//! ```text
//! block    [record][record][record]…      mail has the offset of its first record, and the count
//! record   [entry, 16 bytes] [head u32][body len u32] [the head, if it is here] [body]
//!           deliveries only    └ offset of the head: in this record, or in one before
//! ```
//!
//! A head is route and properties, as in the arena; most messages in a row share one. A shared body
//! is not in the record: it is a mail of its own before the record's mail, and the highest bit of
//! the length says so.

use bytes::Bytes;

use crate::contract::Entry;
use crate::message::{Body, Content, MessageRef, MessageView, Route, Stamp, head_len, read_head, write_head};

/// A block that is being filled.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    /// Offset of the head of the last record.
    head: usize,
    /// Offset behind the last written run that may be continued; 0 if there is none.
    run_end: usize,
    /// Length of the last block: the next one will probably be about as long.
    last_len: usize,
}

/// The place of a written record or run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Its offset.
    pub at: u32,
    /// Whether it continues the run before.
    pub continues_run: bool,
}

impl Block {
    /// Bytes written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Begins a block with room for `len` bytes, or for as many as the last block had.
    pub fn begin(&mut self, len: usize) {
        self.bytes.reserve(len.max(self.last_len));
    }

    /// Takes the written bytes; the block is empty again.
    pub fn take(&mut self) -> Bytes {
        (self.head, self.run_end, self.last_len) = (0, 0, self.bytes.len());
        Bytes::from(std::mem::take(&mut self.bytes))
    }

    /// The most bytes that a record of `message` takes.
    #[inline]
    pub fn len_max(message: &MessageView<'_>) -> usize {
        ENTRY_LEN + RECORD_FIXED + head_len(message) + body_len(message)
    }

    /// Writes messages in a row with the head of the record before, as far as they share it and fit
    /// into `len_max` bytes of block. Returns how many.
    #[inline]
    pub fn write_alike(&mut self, properties: &[u8], contents: &[Content<'_>], len_max: usize) -> usize {
        let fixed = self.head as u64;
        let mut count = 0;
        for content in contents {
            let Body::Slice(body) = content.body else { break };
            if !std::ptr::eq(content.properties, properties) || self.bytes.len() + RECORD_FIXED + body.len() > len_max {
                break;
            }
            self.bytes.reserve(RECORD_FIXED + body.len());
            self.bytes.extend_from_slice(&((body.len() as u64) << 32 | fixed).to_le_bytes());
            self.bytes.extend_from_slice(body);
            count += 1;
        }
        self.run_end = self.bytes.len();
        count
    }

    /// Writes a record, behind its entry if it has one. `repeats`: it has the head of the record
    /// before.
    #[inline]
    pub fn write(&mut self, entry: Option<Entry>, message: &MessageView<'_>, repeats: bool) -> Written {
        let at = self.bytes.len();
        entry.inspect(|entry| self.bytes.extend_from_slice(&entry.to_bytes()));
        let is_same = || self.head > 0 && read_head(&self.bytes[self.head..]).has_head_of(message);
        let has_head = self.head > 0 && repeats || is_same();
        if !has_head {
            self.head = self.bytes.len() + RECORD_FIXED;
        }
        let shared = matches!(message.body, Body::Shared(_));
        let len = message.body.bytes().len() as u32 | if shared { SHARED } else { 0 };
        self.bytes.extend_from_slice(&(u64::from(len) << 32 | self.head as u64).to_le_bytes());
        if !has_head {
            self.bytes.resize(self.head + head_len(message), 0);
            write_head(message, &mut self.bytes[self.head..]);
        }
        if let Body::Slice(body) = message.body {
            self.bytes.extend_from_slice(body);
        }
        self.written(at, !shared)
    }

    /// Writes the entries of settled deliveries.
    pub fn write_entries(&mut self, entries: &[Entry]) -> Written {
        let at = self.bytes.len();
        entries.iter().for_each(|entry| self.bytes.extend_from_slice(&entry.to_bytes()));
        self.written(at, true)
    }

    fn written(&mut self, at: usize, may_be_continued: bool) -> Written {
        let continues_run = may_be_continued && self.run_end == at && at > 0;
        self.run_end = if may_be_continued { self.bytes.len() } else { 0 };
        Written { at: at as u32, continues_run }
    }
}

/// Reads a run of records.
#[derive(Clone)]
pub struct Records<'a> {
    block: &'a [u8],
    at: usize,
    left: u32,
    with_entry: bool,
    shared: Option<&'a Bytes>,
    head_at: usize,
    head: MessageView<'a>,
}

impl<'a> Records<'a> {
    /// Reads the messages of a mail: `count` records from `at` on, each behind its entry if
    /// `with_entry`. `shared` is the body that came before.
    pub fn new(block: &'a [u8], at: u32, count: u32, with_entry: bool, shared: Option<&'a Bytes>) -> Records<'a> {
        Records { block, at: at as usize, left: count, with_entry, shared, head_at: 0, head: NO_HEAD }
    }

    fn entry(&mut self) -> Entry {
        if !self.with_entry {
            return Entry::new(0, 0, MessageRef::default());
        }
        let bytes = self.block[self.at..].first_chunk::<ENTRY_LEN>().expect("an entry was written");
        self.at += ENTRY_LEN;
        Entry::from_bytes(*bytes)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (Entry, MessageView<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.entry();
        let fixed = u64::from_le_bytes(*self.block[self.at..].first_chunk().expect("a record was written"));
        let (head_at, len) = (fixed as u32 as usize, (fixed >> 32) as u32);
        self.at += RECORD_FIXED;
        if head_at != self.head_at {
            (self.head_at, self.head) = (head_at, read_head(&self.block[head_at..]));
        }
        if head_at == self.at {
            self.at += head_len(&self.head);
        }
        let body = match self.shared {
            Some(body) if len & SHARED != 0 => Body::Shared(body),
            _ => Body::Slice(&self.block[self.at..self.at + len as usize]),
        };
        let message = MessageView { body, ..self.head };
        self.at += body_len(&message);
        Some((entry, message))
    }
}

/// Reads the entries of settled deliveries: `count` from `at` on.
pub fn settled_entries(block: &[u8], at: u32, count: u32) -> impl ExactSizeIterator<Item = Entry> {
    let bytes = &block[at as usize..][..count as usize * ENTRY_LEN];
    let (entries, _) = bytes.as_chunks::<ENTRY_LEN>();
    entries.iter().map(|entry| Entry::from_bytes(*entry))
}

/// Bytes of a body in its record.
fn body_len(message: &MessageView<'_>) -> usize {
    match message.body {
        Body::Slice(body) => body.len(),
        Body::Shared(_) => 0,
    }
}

/// Bytes of an [`Entry`].
pub const ENTRY_LEN: usize = 16;
/// Bytes of a record's fixed part.
const RECORD_FIXED: usize = 8;
const NO_HEAD: MessageView<'static> = MessageView { route: Route::EMPTY, properties: &[], stamp: Stamp::NONE, body: Body::Slice(&[]) };
const SHARED: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    fn message<'a>(route: &'a [u8], properties: &'a [u8], body: Body<'a>) -> MessageView<'a> {
        MessageView { route: Route::new(route), properties, stamp: Stamp::NONE, body }
    }

    #[test]
    fn what_is_written_is_read() {
        let large = Bytes::from_static(b"large");
        let messages = [
            message(b"\x00\x01q", &[0, 0], Body::Slice(b"one")),
            message(b"\x00\x01q", &[0, 0], Body::Slice(b"")),
            message(b"\x00\x01q", &[0x10, 0, 2], Body::Slice(b"two")),
            message(b"\x01x\x01q", &[0x10, 0, 2], Body::Slice(b"three")),
            message(b"\x01x\x01q", &[0x10, 0, 2], Body::Shared(&large)),
        ];
        for with_entry in [false, true] {
            let mut block = Block::default();
            for (n, message) in (0..).zip(&messages) {
                let entry = with_entry.then(|| Entry::new(0, n, MessageRef::default()));
                assert_eq!(block.write(entry, message, false).continues_run, (1..4).contains(&n));
            }
            let len = block.len();
            let bytes = block.take();
            assert_eq!((bytes.len(), block.len()), (len, 0));
            let read = Records::new(&bytes, 0, 5, with_entry, Some(&large));
            for ((entry, read), (n, written)) in read.zip((0..).zip(&messages)) {
                assert!(!with_entry || entry.sequence() == n);
                let parts =
                    |message: &MessageView<'_>| (message.route.wire().to_vec(), message.properties.to_vec(), message.body.bytes().to_vec());
                assert_eq!(parts(&read), parts(written));
            }
        }
    }

    #[test]
    fn messages_in_a_row_share_their_head() {
        let mut block = Block::default();
        let message = message(b"\x00\x01q", &[0, 0], Body::Slice(b"body"));
        let first = block.write(None, &message, false);
        let after_one = block.len();
        block.write(None, &message, true);
        assert_eq!((first.at, block.len() - after_one), (0, RECORD_FIXED + 4));
        let bytes = block.take();
        let read: Vec<_> = Records::new(&bytes, 0, 2, false, None).map(|(_, message)| message).collect();
        assert!(read[1].shares_head(read[0].route, read[0].properties));
    }

    #[test]
    fn entries_stand_behind_one_another() {
        let mut block = Block::default();
        let entries: Vec<Entry> = (0..5).map(|n| Entry::new(0, n, MessageRef::new(n as u32, 7, true))).collect();
        let first = block.write_entries(&entries[..2]);
        let second = block.write_entries(&entries[2..]);
        assert_eq!((first.continues_run, second.continues_run), (false, true));
        assert_eq!(settled_entries(&block.take(), first.at, 5).collect::<Vec<_>>(), entries);
    }
}

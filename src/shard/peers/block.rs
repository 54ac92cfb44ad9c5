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
//!
//! Blocks are read without checks, because the writer is trusted. [`Records::check`] and
//! [`check_entries`] check a block against its mail; whatever the bytes are, they do not panic, and
//! what they have passed can be read. Both ways share the code that reads.

use bytes::Bytes;

use crate::contract::Entry;
use crate::message::{Body, Content, MessageRef, MessageView, Route, Stamp, head_len, parse_head, read_head, write_head};

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
    pub(in crate::shard) fn len(&self) -> usize {
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

    /// Checks that the block holds these records: that they end inside it, and that entries, heads
    /// and shared bodies have their form.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BlockError> {
        let mut records = self.clone();
        let prefix = RECORD_FIXED + if self.with_entry { ENTRY_LEN } else { 0 };
        for _ in 0..self.left {
            let start = records.at;
            records.read(parse_head)?;
            let (head_at, head_end) = (records.head_at, records.head_at + head_len(&records.head));
            let is_before = (RECORD_FIXED..start).contains(&head_at) && head_end <= start;
            if head_at != start + prefix && !is_before {
                return Err(BlockError::Head);
            }
        }
        Ok(())
    }

    /// Reads the next record, and its head with `read_head` if it is another one than before.
    #[inline]
    fn read(&mut self, read_head: impl Fn(&'a [u8]) -> Option<MessageView<'a>>) -> Result<(Entry, MessageView<'a>), BlockError> {
        let entry = if self.with_entry { entry(self.take()?)? } else { Entry::new(0, 0, MessageRef::default()) };
        let fixed = u64::from_le_bytes(*self.take()?);
        let (head_at, len) = (fixed as u32 as usize, (fixed >> 32) as u32);
        if head_at != self.head_at {
            let head = self.block.get(head_at..).and_then(read_head).ok_or(BlockError::Head)?;
            (self.head_at, self.head) = (head_at, head);
        }
        if head_at == self.at {
            self.at += head_len(&self.head);
        }
        let body = match self.shared {
            Some(body) if len == SHARED | body.len() as u32 => Body::Shared(body),
            _ => Body::Slice(bytes_at(self.block, self.at, len as usize)?),
        };
        let message = MessageView { body, ..self.head };
        self.at += body_len(&message);
        Ok((entry, message))
    }

    /// Takes the next `N` bytes.
    #[inline]
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], BlockError> {
        let bytes = self.block.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(BlockError::Truncated)?;
        self.at += N;
        Ok(bytes)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (Entry, MessageView<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.read(|bytes| Some(read_head(bytes))).expect("the writer wrote whole records"))
    }
}

/// Reads the entries of settled deliveries: `count` from `at` on.
pub fn settled_entries(block: &[u8], at: u32, count: u32) -> impl ExactSizeIterator<Item = Entry> {
    let entries = entries_at(block, at, count).expect("the writer wrote all entries");
    entries.iter().map(|bytes| entry(bytes).expect("the writer wrote entries"))
}

/// Checks that the block holds the entries of settled deliveries: `count` from `at` on.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_entries(block: &[u8], at: u32, count: u32) -> Result<(), BlockError> {
    entries_at(block, at, count)?.iter().try_for_each(|bytes| entry(bytes).map(|_| ()))
}

/// The reason why a block cannot be what its mail says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockError {
    /// It ends before its records do, or the shared body is missing or has another length.
    Truncated,
    /// An entry has no place.
    Entry,
    /// A head is neither in its record nor before it, or is no head.
    Head,
}

fn entries_at(block: &[u8], at: u32, count: u32) -> Result<&[[u8; ENTRY_LEN]], BlockError> {
    let bytes = bytes_at(block, at as usize, count as usize * ENTRY_LEN)?;
    Ok(bytes.as_chunks().0)
}

#[inline]
fn entry(bytes: &[u8; ENTRY_LEN]) -> Result<Entry, BlockError> {
    Entry::from_bytes(*bytes).ok_or(BlockError::Entry)
}

#[inline]
fn bytes_at(block: &[u8], at: usize, len: usize) -> Result<&[u8], BlockError> {
    block.get(at..at + len).ok_or(BlockError::Truncated)
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
        let bytes = block.take();
        assert_eq!(settled_entries(&bytes, first.at, 5).collect::<Vec<_>>(), entries);
        assert_eq!(check_entries(&bytes, first.at, 5), Ok(()));
        for (at, count) in [(first.at, 6), (1, 5), (u32::MAX, 1), (0, u32::MAX)] {
            assert_eq!(check_entries(&bytes, at, count), Err(BlockError::Truncated));
        }
        assert_eq!(check_entries(&[0; ENTRY_LEN], 0, 1), Err(BlockError::Entry));
    }

    /// Writes two messages with one head, and the second one's shared body.
    fn two_records(with_entry: bool) -> (Vec<u8>, Bytes) {
        let (mut block, large) = (Block::default(), Bytes::from_static(b"large"));
        for (n, body) in [Body::Slice(b"body"), Body::Shared(&large)].into_iter().enumerate() {
            let entry = with_entry.then(|| Entry::new(0, n as u64, MessageRef::default()));
            block.write(entry, &message(b"\x00\x01q", &[0, 0], body), false);
        }
        (block.take().to_vec(), large)
    }

    #[test]
    fn what_is_written_passes_the_check() {
        for with_entry in [false, true] {
            let (bytes, large) = two_records(with_entry);
            let check = |bytes: &[u8], at, count, shared| Records::new(bytes, at, count, with_entry, shared).check();
            assert_eq!(check(&bytes, 0, 2, Some(&large)), Ok(()));
            assert!((0..bytes.len()).all(|len| check(&bytes[..len], 0, 2, Some(&large)).is_err()));
            assert_eq!(check(&bytes, 0, 3, Some(&large)), Err(BlockError::Truncated));
            assert_eq!(check(&bytes, 0, u32::MAX, Some(&large)), Err(BlockError::Truncated));
            assert_eq!(check(&bytes, u32::MAX, 1, Some(&large)), Err(BlockError::Truncated));
            assert_eq!(check(&bytes, 0, 2, None), Err(BlockError::Truncated));
            assert_eq!(check(&bytes, 0, 2, Some(&large.slice(1..))), Err(BlockError::Truncated));
        }
    }

    #[test]
    fn a_head_stands_in_its_record_or_before() {
        let (bytes, large) = two_records(false);
        let second = bytes.len() - RECORD_FIXED;
        let with_head_at = |record: usize, head: usize| {
            let mut bytes = bytes.clone();
            bytes[record..record + 4].copy_from_slice(&(head as u32).to_le_bytes());
            Records::new(&bytes, 0, 2, false, Some(&large)).check()
        };
        assert_eq!(with_head_at(second, RECORD_FIXED), Ok(()));
        for (record, head) in [(0, 0), (0, 1), (0, second), (second, 0), (second, RECORD_FIXED + 1), (second, second), (second, 1 << 31)] {
            assert_eq!(with_head_at(record, head), Err(BlockError::Head), "the record at {record} has its head at {head}");
        }
    }

    #[test]
    fn an_entry_without_a_place_is_refused() {
        let (mut bytes, large) = two_records(true);
        bytes[..ENTRY_LEN].fill(0);
        assert_eq!(Records::new(&bytes, 0, 2, true, Some(&large)).check(), Err(BlockError::Entry));
    }
}

//! The output of a connection: chunks, of which the last one is being filled and the first one may
//! be on its way.

use std::collections::VecDeque;

/// Bytes that are sent together.
#[derive(Default)]
pub struct Chunk {
    bytes: Box<[u8]>,
    len: usize,
}

impl Chunk {
    /// Makes an empty chunk.
    pub fn with_capacity(capacity: usize) -> Chunk {
        Chunk { bytes: vec![0; capacity].into_boxed_slice(), len: 0 }
    }

    /// The bytes that were filled in.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The bytes that were filled in, to be changed.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// Number of bytes that were filled in.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends `bytes` as far as they fit below `until`. Returns how many.
    pub fn fill_until(&mut self, until: usize, bytes: &[u8]) -> usize {
        let n = (until - self.len).min(bytes.len());
        self.bytes[self.len..self.len + n].copy_from_slice(&bytes[..n]);
        self.len += n;
        n
    }

    /// Grows the memory to `until` bytes.
    pub fn grow(&mut self, until: usize) {
        if until > self.bytes.len() {
            let mut larger = vec![0; until.next_power_of_two()].into_boxed_slice();
            larger[..self.len].copy_from_slice(&self.bytes[..self.len]);
            self.bytes = larger;
        }
    }
}

/// Chunks to be used again: the pages of new memory would have to be mapped first.
#[derive(Default)]
pub struct Pool {
    small: Vec<Chunk>,
    large: Vec<Chunk>,
}

impl Pool {
    /// Takes a chunk.
    pub fn take(&mut self) -> Chunk {
        self.small.pop().unwrap_or_else(|| Chunk::with_capacity(CHUNK_BYTES))
    }

    /// Makes a chunk for a long message.
    pub fn take_large(&mut self) -> Chunk {
        self.large.pop().unwrap_or_else(|| self.take())
    }

    /// Takes a chunk back.
    pub fn give(&mut self, mut chunk: Chunk) {
        chunk.len = 0;
        match chunk.bytes.len() {
            0 => {}
            CHUNK_BYTES => self.small.push(chunk),
            _ => self.large.push(chunk),
        }
    }
}

/// The output of a connection.
#[derive(Default)]
pub struct Output {
    /// The chunk that the kernel is sending.
    sending: Option<Chunk>,
    /// Full chunks that wait.
    waiting: VecDeque<Chunk>,
    /// The chunk to which deliveries are appended.
    filling: Chunk,
    /// Whether the connection is in the list for the end of the turn.
    pub dirty: bool,
    /// The tag of the last delivery.
    pub tag: u64,
}

impl Output {
    /// Adds `len` bytes at the end, which the caller fills.
    #[inline]
    pub fn room(&mut self, len: usize, pool: &mut Pool) -> &mut [u8] {
        if self.filling.bytes.len() - self.filling.len < len {
            self.next_chunk(len, pool);
        }
        let start = self.filling.len;
        self.filling.len += len;
        &mut self.filling.bytes[start..start + len]
    }

    #[cold]
    fn next_chunk(&mut self, len: usize, pool: &mut Pool) {
        let full = std::mem::replace(&mut self.filling, pool.take());
        if full.len > 0 {
            self.waiting.push_back(full);
        }
        self.filling.grow(len);
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8], pool: &mut Pool) {
        self.room(bytes.len(), pool).copy_from_slice(bytes);
    }

    /// Appends a chunk that was filled elsewhere.
    pub fn push(&mut self, chunk: Chunk) {
        self.waiting.push_back(std::mem::take(&mut self.filling));
        self.waiting.push_back(chunk);
    }

    /// Returns the bytes to send now, which do not move until `sent`; `None` if there are none, or
    /// if a send is under way.
    pub fn send(&mut self) -> Option<&[u8]> {
        if self.sending.is_some() || self.is_empty() {
            return None;
        }
        let next = self.waiting.pop_front().unwrap_or_else(|| std::mem::take(&mut self.filling));
        Some(self.sending.insert(next).filled())
    }

    /// Notes that the bytes were sent.
    pub fn sent(&mut self, pool: &mut Pool) {
        if let Some(chunk) = self.sending.take() {
            pool.give(chunk);
        }
    }

    /// Whether a send is under way.
    pub fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.filling.len == 0
    }

    /// Discards everything.
    pub fn clear(&mut self, pool: &mut Pool) {
        let all = std::mem::take(self);
        all.waiting.into_iter().chain(all.sending).chain([all.filling]).for_each(|chunk| pool.give(chunk));
    }
}

/// Copies a few bytes; `to` and `from` must have the same length. Two overlapping words replace a
/// call.
#[inline]
pub fn copy_short(to: &mut [u8], from: &[u8]) {
    fn overlapping<const N: usize>(to: &mut [u8], from: &[u8]) -> Option<()> {
        let (first, last) = (from.first_chunk::<N>()?, from.last_chunk::<N>()?);
        *to.first_chunk_mut::<N>()? = *first;
        *to.last_chunk_mut::<N>()? = *last;
        Some(())
    }
    let done = match from.len() {
        8..=16 => overlapping::<8>(to, from),
        17..=32 => overlapping::<16>(to, from),
        33..=64 => overlapping::<32>(to, from),
        _ => None,
    };
    if done.is_none() {
        to.copy_from_slice(from);
    }
}

/// Size of a chunk: large enough that a send is worth its system call, small enough that the bytes
/// stay in the cache.
const CHUNK_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_copies_of_every_length() {
        for len in 0..80 {
            let from: Vec<u8> = (0..len).collect();
            let mut to = vec![0xFF; from.len()];
            copy_short(&mut to, &from);
            assert_eq!(to, from);
        }
    }

    #[test]
    fn what_is_being_sent_is_not_appended_to() {
        let (mut output, mut pool) = (Output::default(), Pool::default());
        output.extend(b"ab", &mut pool);
        output.extend(b"c", &mut pool);
        assert_eq!(output.send(), Some(&b"abc"[..]));
        output.extend(b"d", &mut pool);
        assert_eq!(output.send(), None);
        output.sent(&mut pool);
        assert_eq!(output.send(), Some(&b"d"[..]));
    }
}

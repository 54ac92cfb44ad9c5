//! What a connection has to be sent: chunks, the last of which is still being filled, the first of which may be on its way.

use std::collections::VecDeque;

/// Bytes that are sent at once.
pub struct Chunk {
    bytes: Box<[u8]>,
    len: usize,
}

impl Chunk {
    pub fn with_capacity(capacity: usize) -> Chunk {
        Chunk { bytes: vec![0; capacity].into_boxed_slice(), len: 0 }
    }

    pub fn filled(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends as much of `bytes` as `until` leaves room for; returns how much.
    pub fn fill_until(&mut self, until: usize, bytes: &[u8]) -> usize {
        let n = (until - self.len).min(bytes.len());
        self.bytes[self.len..self.len + n].copy_from_slice(&bytes[..n]);
        self.len += n;
        n
    }

    /// Makes room for `until` bytes in all.
    pub fn grow(&mut self, until: usize) {
        if until > self.bytes.len() {
            let mut larger = vec![0; until.next_power_of_two()].into_boxed_slice();
            larger[..self.len].copy_from_slice(&self.bytes[..self.len]);
            self.bytes = larger;
        }
    }
}

/// Chunks to use again: fresh memory would have to be faulted in.
#[derive(Default)]
pub struct Pool {
    small: Vec<Chunk>,
    large: Vec<Chunk>,
}

impl Pool {
    pub fn take(&mut self) -> Chunk {
        self.small.pop().unwrap_or_else(|| Chunk::with_capacity(CHUNK_BYTES))
    }

    /// A chunk for a long message.
    pub fn take_large(&mut self) -> Chunk {
        self.large.pop().unwrap_or_else(|| self.take())
    }

    pub fn give(&mut self, mut chunk: Chunk) {
        chunk.len = 0;
        if chunk.bytes.len() == CHUNK_BYTES { self.small.push(chunk) } else { self.large.push(chunk) }
    }
}

/// A connection's outgoing side.
#[derive(Default)]
pub struct Output {
    chunks: VecDeque<Chunk>,
    /// The first chunk is with the kernel.
    pub sending: bool,
    /// Already noted for the end of the turn.
    pub dirty: bool,
    /// Number of the last delivery.
    pub tag: u64,
}

impl Output {
    /// Room for `len` bytes at the end, which the caller fills.
    #[inline]
    pub fn room(&mut self, len: usize, pool: &mut Pool) -> &mut [u8] {
        let busy = usize::from(self.sending);
        let fits = self.chunks.len() > busy && self.chunks.back().is_some_and(|c| c.bytes.len() - c.len >= len);
        if !fits {
            let mut chunk = pool.take();
            chunk.grow(len);
            self.chunks.push_back(chunk);
        }
        let chunk = self.chunks.back_mut().expect("one was just made sure of");
        let start = chunk.len;
        chunk.len += len;
        &mut chunk.bytes[start..start + len]
    }

    pub fn extend(&mut self, bytes: &[u8], pool: &mut Pool) {
        self.room(bytes.len(), pool).copy_from_slice(bytes);
    }

    /// Appends a chunk that was filled elsewhere.
    pub fn push(&mut self, chunk: Chunk) {
        self.chunks.push_back(chunk);
    }

    /// The bytes to send next.
    pub fn first(&self) -> Option<&[u8]> {
        self.chunks.front().map(Chunk::filled)
    }

    /// The first chunk has gone.
    pub fn sent(&mut self, pool: &mut Pool) {
        self.sending = false;
        if let Some(chunk) = self.chunks.pop_front() {
            pool.give(chunk);
        }
    }

    pub fn clear(&mut self, pool: &mut Pool) {
        self.chunks.drain(..).for_each(|chunk| pool.give(chunk));
        *self = Output::default();
    }
}

/// A send that pays for its system call and still leaves the bytes in the cache.
const CHUNK_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_sent_is_not_appended_to() {
        let (mut output, mut pool) = (Output::default(), Pool::default());
        output.extend(b"ab", &mut pool);
        output.extend(b"c", &mut pool);
        output.sending = true;
        output.extend(b"d", &mut pool);
        assert_eq!(output.first(), Some(&b"abc"[..]));
        output.sent(&mut pool);
        assert_eq!(output.first(), Some(&b"d"[..]));
    }
}

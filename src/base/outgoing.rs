//! Bytes on their way to a socket: small parts copied into one buffer, large bodies by reference.
//!
//! ```text
//! bytes    [..frames..][..deliver + header..|..frames..]
//! inserts                                   ^ at byte n: a shared body, not copied
//! ```

use bytes::Bytes;

/// The bytes that a connection will send next.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    /// (offset in `bytes`, the body that is inserted there), in ascending order.
    inserts: Vec<(usize, Bytes)>,
    inserted: usize,
}

impl Outgoing {
    /// The buffer to append frames to.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a shared buffer without copying it.
    pub fn push_shared(&mut self, body: Bytes) {
        self.inserted += body.len();
        self.inserts.push((self.bytes.len(), body));
    }

    /// Number of bytes, copied and inserted.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.inserted
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.inserts.clear();
        self.inserted = 0;
    }

    /// Bytes of memory that the buffer keeps when it is empty.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The bytes as slices, in the order in which they are sent.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.inserts.iter().map(|&(at, _)| at).chain([self.bytes.len()]);
        let starts = [0].into_iter().chain(self.inserts.iter().map(|&(at, _)| at));
        let copied = starts.zip(ends).map(|(start, end)| &self.bytes[start..end]);
        let inserted = self.inserts.iter().map(|(_, body)| &body[..]).chain([&[][..]]);
        copied.zip(inserted).flat_map(|(copied, inserted)| [copied, inserted]).filter(|slice| !slice.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_come_in_order() {
        let mut out = Outgoing::default();
        assert!(out.is_empty() && out.slices().next().is_none());
        out.push_shared(Bytes::from_static(b"0"));
        out.bytes_mut().extend_from_slice(b"12");
        out.push_shared(Bytes::from_static(b"34"));
        out.push_shared(Bytes::from_static(b"5"));
        out.bytes_mut().extend_from_slice(b"6");
        assert_eq!(out.slices().collect::<Vec<_>>().concat(), b"0123456");
        assert_eq!(out.len(), 7);
        out.clear();
        assert!(out.is_empty());
    }
}

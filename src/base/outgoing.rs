//! Bytes on their way to a socket: copied ones in one buffer, large bodies between them by reference.
//!
//! ```text
//! bytes    [..frames..][..deliver + header..|..frames..]
//! inserts                                   ^ at byte n: a counted body, not copied
//! ```

use bytes::Bytes;

/// What a connection will send next.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    /// (position in `bytes`, what stands before the byte there), positions ascending.
    inserts: Vec<(usize, Bytes)>,
    inserted: usize,
}

impl Outgoing {
    /// The buffer that frames are written to.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a counted buffer without copying it.
    pub fn push_shared(&mut self, body: Bytes) {
        self.inserted += body.len();
        self.inserts.push((self.bytes.len(), body));
    }

    /// All bytes, copied and inserted ones.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.inserted
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.inserts.clear();
        self.inserted = 0;
    }

    /// Bytes of memory that the empty buffer would keep.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The slices in the order in which they go out.
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

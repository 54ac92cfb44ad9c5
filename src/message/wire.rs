//! The primitives of AMQP's encoding: a reader over a slice, and functions that append to a buffer.
//! All numbers are big-endian.
//!
//! If bytes are missing, the reader returns `None` and does not move; no bytes that a peer sends
//! make it panic.

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the slice's first byte.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// The bytes that have not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Whether all bytes have been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads the next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// Reads an octet.
    pub fn u8(&mut self) -> Option<u8> {
        let (&octet, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(octet)
    }

    /// Reads AMQP's short.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads AMQP's long.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads AMQP's longlong.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Reads a short string: one octet of length, up to 255 bytes.
    pub fn shortstr(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let len = usize::from(ahead.u8()?);
        let text = ahead.take(len)?;
        *self = ahead;
        Some(text)
    }

    /// Reads a long string: four octets of length. Tables and arrays have the same form.
    pub fn longstr(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let len = usize::try_from(ahead.u32()?).ok()?;
        let text = ahead.take(len)?;
        *self = ahead;
        Some(text)
    }
}

/// Writes an octet.
pub fn put_u8(out: &mut Vec<u8>, value: u8) {
    out.push(value);
}

/// Writes AMQP's short.
pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes AMQP's long.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes AMQP's longlong.
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes a short string. The caller ensures that it has at most 255 bytes.
pub fn put_shortstr(out: &mut Vec<u8>, text: &[u8]) {
    put_u8(out, u8::try_from(text.len()).expect("a short string has at most 255 bytes"));
    out.extend_from_slice(text);
}

/// Writes a long string, or an encoded table or array.
pub fn put_longstr(out: &mut Vec<u8>, text: &[u8]) {
    put_u32(out, u32::try_from(text.len()).expect("a long string has less than 4 GiB"));
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian() {
        let mut out = Vec::new();
        put_u8(&mut out, 1);
        put_u16(&mut out, 0x0203);
        put_u32(&mut out, 0x0405_0607);
        put_u64(&mut out, 0x0809_0a0b_0c0d_0e0f);
        assert_eq!(out, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        let mut reader = Reader::new(&out);
        assert_eq!((reader.u8(), reader.u16()), (Some(1), Some(0x0203)));
        assert_eq!((reader.u32(), reader.u64()), (Some(0x0405_0607), Some(0x0809_0a0b_0c0d_0e0f)));
        assert!(reader.is_empty() && reader.u8().is_none());
    }

    #[test]
    fn a_string_that_is_cut_short_is_not_read() {
        let mut reader = Reader::new(&[3, b'a', b'b']);
        assert_eq!(reader.shortstr(), None);
        assert_eq!(reader.rest(), [3, b'a', b'b']);
        let mut reader = Reader::new(&[0, 0, 0, 2, b'a', b'b', b'c']);
        assert_eq!(reader.longstr(), Some(&b"ab"[..]));
        assert_eq!(reader.rest(), b"c");
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff]).longstr(), None);
    }
}

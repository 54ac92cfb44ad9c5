//! A message in the memory of a shard, or in mail to another shard: a head, which successive
//! messages share, and a record for each message.
//!
//! ```text
//! head      0                2                    6            14
//!           [route len u16]  [properties len u32] [stamp u64]  [route][properties]
//! record    0            4                8
//!           [head u32]   [body len u32]   [holders u32] [body, or the key of a shared body u32]
//! ```
//!
//! Successive messages mostly have the same route and the same properties. A record refers to its
//! head by the head's offset in the same piece of memory. A shared body (see [`Body::Shared`]) is
//! not copied into the record: its buffer is kept elsewhere, and the highest bit of the length says
//! so.

use bytes::Bytes;

use super::{Body, MessageView, Properties, Route, Stamp};

/// Size of the head of `message`, bytes.
#[inline]
pub fn head_len(message: &MessageView<'_>) -> usize {
    HEAD_FIXED + message.route.wire().len() + message.properties.len()
}

/// Writes the head of `message` to the front of `space`. A route has at most 512 bytes; properties
/// fit into a frame.
#[inline]
pub fn write_head(message: &MessageView<'_>, space: &mut [u8]) {
    let (route, properties) = (message.route.wire(), message.properties);
    let properties_at = HEAD_FIXED + route.len();
    space[..2].copy_from_slice(&(route.len() as u16).to_le_bytes());
    space[2..6].copy_from_slice(&(properties.len() as u32).to_le_bytes());
    space[6..HEAD_FIXED].copy_from_slice(&message.stamp.to_bits().to_le_bytes());
    space[HEAD_FIXED..properties_at].copy_from_slice(route);
    space[properties_at..properties_at + properties.len()].copy_from_slice(properties);
}

/// Reads the head at the front of `bytes`, as a message without a body.
#[inline]
pub fn read_head(bytes: &[u8]) -> MessageView<'_> {
    let (route, properties, stamp) = split_head(bytes).expect("a head was written");
    MessageView { route: Route::new(route), properties, stamp, body: Body::Slice(&[]) }
}

/// The same for bytes that anybody may have written. Returns `None` if they do not begin with a
/// head whose route and properties have their form.
pub fn parse_head(bytes: &[u8]) -> Option<MessageView<'_>> {
    let (route, properties, stamp) = split_head(bytes)?;
    Properties::parse(properties).ok()?;
    Some(MessageView { route: Route::parse(route)?, properties, stamp, body: Body::Slice(&[]) })
}

/// The route, the properties and the stamp of the head at the front of `bytes`.
#[inline]
fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8], Stamp)> {
    let (fixed, rest) = bytes.split_first_chunk::<HEAD_FIXED>()?;
    let &[r0, r1, p0, p1, p2, p3, ref stamp @ ..] = fixed;
    let (route, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([r0, r1])))?;
    let properties = rest.get(..u32::from_le_bytes([p0, p1, p2, p3]) as usize)?;
    Some((route, properties, Stamp::from_bits(u64::from_le_bytes(*stamp))))
}

/// The fixed part of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Offset of its head.
    pub head: u32,
    /// Number of references to the message, if they are counted.
    pub holders: u32,
    body_len: u32,
}

impl Record {
    /// Makes the record of `message`, whose head's offset is not set yet. Bodies are below 2 GiB.
    #[inline]
    pub fn of(message: &MessageView<'_>, holders: u32) -> Record {
        let len = message.body.bytes().len() as u32;
        Record { head: 0, holders, body_len: if matches!(message.body, Body::Shared(_)) { len | SHARED } else { len } }
    }

    /// Returns the record with the offset of its head.
    #[inline]
    pub fn with_head(self, head: u32) -> Record {
        Record { head, ..self }
    }

    /// Reads the record at the front of `bytes`.
    #[inline]
    pub fn read(bytes: &[u8]) -> Record {
        let fixed: &[u8; RECORD_FIXED] = bytes.first_chunk().expect("a record was written");
        let &[h0, h1, h2, h3, b0, b1, b2, b3, c0, c1, c2, c3] = fixed;
        let [head, body_len, holders] = [[h0, h1, h2, h3], [b0, b1, b2, b3], [c0, c1, c2, c3]].map(u32::from_le_bytes);
        Record { head, body_len, holders }
    }

    /// Writes the record to the front of `space`, followed by the body of `message`, or by
    /// `shared_key` for a shared body.
    #[inline]
    pub fn write(self, message: &MessageView<'_>, shared_key: u32, space: &mut [u8]) {
        space[..4].copy_from_slice(&self.head.to_le_bytes());
        space[4..8].copy_from_slice(&self.body_len.to_le_bytes());
        space[8..RECORD_FIXED].copy_from_slice(&self.holders.to_le_bytes());
        let space = &mut space[RECORD_FIXED..];
        match message.body {
            Body::Slice(body) => space[..body.len()].copy_from_slice(body),
            Body::Shared(_) => space[..4].copy_from_slice(&shared_key.to_le_bytes()),
        }
    }

    /// Whether the body is kept elsewhere, as a shared buffer.
    #[inline]
    pub fn is_shared(self) -> bool {
        self.body_len & SHARED != 0
    }

    /// Size of the record with its body, bytes.
    #[inline]
    pub fn size(self) -> usize {
        RECORD_FIXED + if self.is_shared() { 4 } else { self.body_len as usize }
    }

    /// The key of the shared body in the table of its owner.
    pub fn shared_key(self, record: &[u8]) -> u32 {
        u32::from_le_bytes(*record[RECORD_FIXED..].first_chunk().expect("a shared body has a key"))
    }

    /// Returns the message of the record at the front of `record`, whose head is at the front of
    /// `head`. `shared` is its body if the record [`is_shared`](Self::is_shared).
    #[inline]
    pub fn view<'a>(self, head: &'a [u8], record: &'a [u8], shared: Option<&'a Bytes>) -> MessageView<'a> {
        let body = match shared {
            Some(body) => Body::Shared(body),
            None => Body::Slice(&record[RECORD_FIXED..self.size()]),
        };
        MessageView { body, ..read_head(head) }
    }
}

/// Overwrites the number of references in a record.
pub fn set_holders(record: &mut [u8], holders: u32) {
    record[8..RECORD_FIXED].copy_from_slice(&holders.to_le_bytes());
}

/// Size of a head without its route and properties, bytes.
const HEAD_FIXED: usize = 14;
/// Size of a record without its body, bytes.
const RECORD_FIXED: usize = 12;
const SHARED: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let shared = Bytes::from_static(b"shared body");
        for body in [Body::Slice(b""), Body::Slice(b"hello"), Body::Shared(&shared)] {
            let message = MessageView { route: Route::new(b"\x02ex\x03key"), properties: &[0x80, 0, 1, b'x'], stamp: Stamp::at(77), body };
            let mut head = vec![0; head_len(&message)];
            write_head(&message, &mut head);
            let written = Record::of(&message, 3).with_head(55);
            let mut record = vec![0; written.size()];
            written.write(&message, 77, &mut record);
            let read = Record::read(&record);
            assert_eq!((read, read.head, read.holders), (written, 55, 3));
            assert!(!read.is_shared() || read.shared_key(&record) == 77);
            assert!(parse_head(&head).is_some_and(|read| read.has_head_of(&message)));
            assert!((0..head.len()).all(|len| parse_head(&head[..len]).is_none()));
            let view = read.view(&head, &record, read.is_shared().then_some(&shared));
            assert!(view.has_head_of(&message) && view.body.bytes() == body.bytes());
            set_holders(&mut record, 9);
            assert_eq!(Record::read(&record), Record { holders: 9, ..written });
        }
    }

    #[test]
    fn a_head_with_a_bad_route_or_bad_properties_is_none() {
        for (route, properties) in [(&b"\x02ex\x03key"[..], &[0, 0, 1][..]), (b"\x00\x01qq", &[0, 0])] {
            let mut head = [&[route.len() as u8, 0, properties.len() as u8, 0, 0, 0], &[0; 8][..], route, properties].concat();
            assert!(parse_head(&head).is_none());
            let well_formed = b"\x00\x00\x00\x00";
            head.splice(HEAD_FIXED.., well_formed.iter().copied());
            (head[0], head[2]) = (2, 2);
            assert!(parse_head(&head).is_some());
        }
    }
}

//! A message as one contiguous record: how the arena keeps it and how mail carries it to another shard.
//!
//! ```text
//! 0         4            6       8                12          16
//! [refs u32][route len u16][flags u16][properties len u32][body len u32][route][properties][body, or the key of a shared body u32]
//! ```
//!
//! A shared body (see [`Body::Shared`]) is not copied into the record: its holder keeps the counted buffer elsewhere and the record says so.

use bytes::Bytes;

use super::{Body, MessageView, Route};

/// Bytes in front of a record's variable part.
pub const RECORD_HEADER: usize = 16;

const FLAG_SHARED: u16 = 1;

/// The fixed part of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordHeader {
    /// Who counts on the record. Used by the arena only.
    pub refs: u32,
    route_len: u16,
    flags: u16,
    properties_len: u32,
    body_len: u32,
}

impl RecordHeader {
    /// The header of `message` with `refs` holders.
    ///
    /// Lengths are those of a checked message: a route is at most 512 bytes, properties fit a frame, bodies are below 4 GiB.
    pub fn of(message: &MessageView<'_>, refs: u32) -> RecordHeader {
        RecordHeader {
            refs,
            route_len: message.route.wire().len() as u16,
            flags: if matches!(message.body, Body::Shared(_)) { FLAG_SHARED } else { 0 },
            properties_len: message.properties.len() as u32,
            body_len: message.body.bytes().len() as u32,
        }
    }

    /// Reads the header at the start of `record`.
    pub fn read(record: &[u8]) -> RecordHeader {
        let head: &[u8; RECORD_HEADER] = record[..RECORD_HEADER].try_into().expect("a record begins with its header");
        let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        RecordHeader {
            refs: u32_at(0),
            route_len: u16::from_le_bytes([head[4], head[5]]),
            flags: u16::from_le_bytes([head[6], head[7]]),
            properties_len: u32_at(8),
            body_len: u32_at(12),
        }
    }

    fn bytes(self) -> [u8; RECORD_HEADER] {
        let mut head = [0; RECORD_HEADER];
        head[0..4].copy_from_slice(&self.refs.to_le_bytes());
        head[4..6].copy_from_slice(&self.route_len.to_le_bytes());
        head[6..8].copy_from_slice(&self.flags.to_le_bytes());
        head[8..12].copy_from_slice(&self.properties_len.to_le_bytes());
        head[12..16].copy_from_slice(&self.body_len.to_le_bytes());
        head
    }

    /// Whether the body stands elsewhere, as a counted buffer.
    pub fn is_shared(self) -> bool {
        self.flags & FLAG_SHARED != 0
    }

    /// Bytes of the whole record.
    pub fn record_len(self) -> usize {
        let body = if self.is_shared() { 4 } else { self.body_len as usize };
        RECORD_HEADER + self.route_len as usize + self.properties_len as usize + body
    }

    fn properties_at(self) -> usize {
        RECORD_HEADER + self.route_len as usize
    }

    fn body_at(self) -> usize {
        self.properties_at() + self.properties_len as usize
    }

    /// The key of the shared body in its holder's table.
    pub fn shared_key(self, record: &[u8]) -> u32 {
        let at = self.body_at();
        u32::from_le_bytes(record[at..at + 4].try_into().expect("four bytes"))
    }

    /// The message that `record` holds; `shared` is its body if [`is_shared`](Self::is_shared).
    pub fn view<'a>(self, record: &'a [u8], shared: Option<&'a Bytes>) -> MessageView<'a> {
        let (properties_at, body_at) = (self.properties_at(), self.body_at());
        MessageView {
            route: Route::new(&record[RECORD_HEADER..properties_at]),
            properties: &record[properties_at..body_at],
            body: match shared {
                Some(body) => Body::Shared(body),
                None => Body::Slice(&record[body_at..body_at + self.body_len as usize]),
            },
        }
    }
}

/// Writes `message` as a record into `space`, which is exactly [`RecordHeader::record_len`] long; `shared_key` names a shared body.
pub fn write_record(header: RecordHeader, message: &MessageView<'_>, shared_key: u32, space: &mut [u8]) {
    let (properties_at, body_at) = (header.properties_at(), header.body_at());
    space[..RECORD_HEADER].copy_from_slice(&header.bytes());
    space[RECORD_HEADER..properties_at].copy_from_slice(message.route.wire());
    space[properties_at..body_at].copy_from_slice(message.properties);
    match message.body {
        Body::Slice(body) => space[body_at..].copy_from_slice(body),
        Body::Shared(_) => space[body_at..].copy_from_slice(&shared_key.to_le_bytes()),
    }
}

/// Overwrites the count of holders in a record.
pub fn set_refs(record: &mut [u8], refs: u32) {
    record[..4].copy_from_slice(&refs.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let shared = Bytes::from_static(b"shared body");
        for body in [Body::Slice(b""), Body::Slice(b"hello"), Body::Shared(&shared)] {
            let message = MessageView { route: Route::new(b"\x02ex\x03key"), properties: &[0x80, 0, 1, b'x'], body };
            let header = RecordHeader::of(&message, 3);
            let mut record = vec![0; header.record_len()];
            write_record(header, &message, 77, &mut record);
            let read = RecordHeader::read(&record);
            assert_eq!(read, header);
            let held = read.is_shared().then_some(&shared);
            assert!(!read.is_shared() || read.shared_key(&record) == 77);
            let view = read.view(&record, held);
            assert_eq!((view.route, view.properties, view.body.bytes()), (message.route, message.properties, body.bytes()));
            set_refs(&mut record, 9);
            assert_eq!(RecordHeader::read(&record).refs, 9);
        }
    }
}

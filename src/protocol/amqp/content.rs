//! Content: the header frame and the body frames after a method with content.
//!
//! ```text
//! header payload   [class u16][weight u16 = 0][body size u64][property list]
//! body             cut into frames of at most frame_max - 8 bytes; no frame for an empty body
//! ```

use bytes::Bytes;

use super::frame::{FRAME_END, FRAME_HEADER_SIZE, FrameHeader, Kind, payload_max};
use crate::base::outgoing::Outgoing;
use crate::message::Body;

/// The class of every method with content.
pub const CLASS: u16 = 60;

/// A content header, borrowed from its frame's payload. The session checks class and weight, and
/// the properties are unchecked ([`crate::message::Properties::parse`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentHeader<'a> {
    /// The class, which must be 60.
    pub class: u16,
    /// The weight, which must be 0.
    pub weight: u16,
    /// Size of the body, octets.
    pub body_size: u64,
    /// The property list in wire form.
    pub properties: &'a [u8],
}

impl<'a> ContentHeader<'a> {
    /// Reads a header frame's payload. Returns `None` if it is shorter than any header.
    pub fn parse(payload: &'a [u8]) -> Option<ContentHeader<'a>> {
        let (&[c0, c1, w0, w1, ref size @ ..], properties) = payload.split_first_chunk::<12>()?;
        let size: [u8; 8] = *size;
        Some(ContentHeader {
            class: u16::from_be_bytes([c0, c1]),
            weight: u16::from_be_bytes([w0, w1]),
            body_size: u64::from_be_bytes(size),
            properties,
        })
    }
}

/// Writes a message's header frame and body frames. `frame_max` is the receiver's (0 for none).
///
/// A shared body is not copied: its slices are inserted between the frame headers.
pub fn write_content(channel: u16, frame_max: u32, properties: &[u8], body: Body<'_>, out: &mut Outgoing) {
    let payload_max = payload_max(frame_max);
    match body {
        Body::Slice(bytes) if bytes.len() <= payload_max => write_small(channel, properties, bytes, out.bytes_mut()),
        Body::Slice(bytes) => {
            write_header(channel, properties, bytes.len(), out.bytes_mut());
            bytes.chunks(payload_max).for_each(|piece| write_body_frame(channel, piece, out.bytes_mut()));
        }
        Body::Shared(bytes) => {
            write_header(channel, properties, bytes.len(), out.bytes_mut());
            push_body_frames(channel, payload_max, bytes, out);
        }
    }
}

/// Writes the usual case, a body that fits into one frame: memory is reserved once, and all bytes
/// between properties and body are copied together.
fn write_small(channel: u16, properties: &[u8], body: &[u8], out: &mut Vec<u8>) {
    out.reserve(HEADER_FRAME_OVERHEAD + properties.len() + FRAME_HEADER_SIZE + body.len() + 1);
    write_open_header(channel, properties, body.len(), out);
    if !body.is_empty() {
        let mut between = [FRAME_END; 1 + FRAME_HEADER_SIZE];
        between[1..].copy_from_slice(&FrameHeader { kind: Kind::Body, channel, size: size32(body.len()) }.octets());
        out.extend_from_slice(&between);
        out.extend_from_slice(body);
    }
    out.push(FRAME_END);
}

fn write_header(channel: u16, properties: &[u8], body_size: usize, out: &mut Vec<u8>) {
    write_open_header(channel, properties, body_size, out);
    out.push(FRAME_END);
}

/// Writes the header frame without its end octet.
fn write_open_header(channel: u16, properties: &[u8], body_size: usize, out: &mut Vec<u8>) {
    let size = size32(HEADER_PAYLOAD_MIN + properties.len());
    let mut start = [0; FRAME_HEADER_SIZE + HEADER_PAYLOAD_MIN];
    start[..7].copy_from_slice(&FrameHeader { kind: Kind::Header, channel, size }.octets());
    start[7..9].copy_from_slice(&CLASS.to_be_bytes());
    start[11..].copy_from_slice(&(body_size as u64).to_be_bytes());
    out.extend_from_slice(&start);
    out.extend_from_slice(properties);
}

fn write_body_frame(channel: u16, piece: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&FrameHeader { kind: Kind::Body, channel, size: size32(piece.len()) }.octets());
    out.extend_from_slice(piece);
    out.push(FRAME_END);
}

fn push_body_frames(channel: u16, payload_max: usize, body: &Bytes, out: &mut Outgoing) {
    for start in (0..body.len()).step_by(payload_max) {
        let piece = body.slice(start..body.len().min(start + payload_max));
        out.bytes_mut().extend_from_slice(&FrameHeader { kind: Kind::Body, channel, size: size32(piece.len()) }.octets());
        out.push_shared(piece);
        out.bytes_mut().push(FRAME_END);
    }
}

fn size32(size: usize) -> u32 {
    u32::try_from(size).expect("the broker writes no frame of 4 GiB")
}

/// Size of a header payload without its properties, octets.
pub const HEADER_PAYLOAD_MIN: usize = 12;
/// Size of a header frame without its properties, octets.
const HEADER_FRAME_OVERHEAD: usize = FRAME_HEADER_SIZE + HEADER_PAYLOAD_MIN + 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(frame_max: u32, body: Body<'_>) -> Vec<u8> {
        let mut out = Outgoing::default();
        write_content(1, frame_max, &[0x10, 0, 2], body, &mut out);
        out.slices().collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_small_body_takes_one_frame() {
        let expected = b"\x02\x00\x01\x00\x00\x00\x0f\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x10\x00\x02\xCE\x03\x00\x01\x00\x00\x00\x02hi\xCE";
        assert_eq!(written(4096, Body::Slice(b"hi")), expected);
        assert_eq!(written(4096, Body::Shared(&Bytes::from_static(b"hi"))), expected);
        let header = ContentHeader::parse(&expected[7..22]).unwrap();
        assert_eq!(header, ContentHeader { class: 60, weight: 0, body_size: 2, properties: &[0x10, 0, 2] });
        assert_eq!(ContentHeader::parse(&expected[7..18]), None);
    }

    #[test]
    fn an_empty_body_takes_no_frame() {
        assert_eq!(written(4096, Body::Slice(b"")).len(), 23);
        assert_eq!(written(4096, Body::Shared(&Bytes::new())).len(), 23);
    }

    #[test]
    fn a_large_body_is_cut_at_frame_max() {
        let body: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
        let copied = written(4096, Body::Slice(&body));
        assert_eq!(copied.len(), 23 + 10_000 + 3 * 8);
        assert_eq!(copied[23..30], [3, 0, 1, 0, 0, 0x0f, 0xf8]);
        assert_eq!(copied[23 + 2 * 4096..][..7], [3, 0, 1, 0, 0, 0x07, 0x20]);
        assert_eq!(written(4096, Body::Shared(&Bytes::from(body.clone()))), copied);
        assert_eq!(written(0, Body::Slice(&body)).len(), 23 + 10_000 + 8);
        assert_eq!(written(4096, Body::Slice(&body[..4088])).len(), 23 + 4096);
        assert_eq!(written(4096, Body::Slice(&body[..4089])).len(), 23 + 4089 + 16);
    }
}

//! Frames: the envelope of all bytes after the protocol header.
//!
//! ```text
//! [kind u8][channel u16][size u32][payload: size bytes][0xCE]
//! ```
//!
//! The deframer takes a contiguous input and returns one frame at a time, borrowed. It keeps no
//! state, so the same bytes result in the same frames, however they were split on their way.

use std::fmt;

use crate::base::limits::{FRAME_SIZE_MAX, FRAME_SIZE_SLACK};
use crate::message::ErlangBinary;

/// The first bytes that a client must send, and the answer if it sends others.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
/// The octet after every payload.
pub const FRAME_END: u8 = 0xCE;
/// Size of a frame before its payload, octets.
pub const FRAME_HEADER_SIZE: usize = 7;
/// Size of a frame without its payload, octets: frame_max includes it.
pub const FRAME_OVERHEAD: usize = FRAME_HEADER_SIZE + 1;
/// A heartbeat, ready to send.
pub const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, FRAME_END];

/// The kind of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A method and its arguments.
    Method,
    /// A content header.
    Header,
    /// A piece of a body.
    Body,
    /// A heartbeat: the peer is alive.
    Heartbeat,
    /// No kind of AMQP. Its meaning depends on the connection's state, so it is returned like any
    /// other frame.
    Unknown(u8),
}

impl From<u8> for Kind {
    fn from(octet: u8) -> Kind {
        match octet {
            1 => Kind::Method,
            2 => Kind::Header,
            3 => Kind::Body,
            8 => Kind::Heartbeat,
            other => Kind::Unknown(other),
        }
    }
}

impl Kind {
    /// The kind's octet on the wire.
    pub fn octet(self) -> u8 {
        match self {
            Kind::Method => 1,
            Kind::Header => 2,
            Kind::Body => 3,
            Kind::Heartbeat => 8,
            Kind::Unknown(other) => other,
        }
    }
}

/// The seven octets before a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// The kind of the frame.
    pub kind: Kind,
    /// The channel; 0 is the connection itself.
    pub channel: u16,
    /// Size of the payload, octets.
    pub size: u32,
}

impl FrameHeader {
    /// Reads the header at the front of the input. Returns `None` if it is incomplete.
    pub fn parse(input: &[u8]) -> Option<FrameHeader> {
        let &[kind, c0, c1, s0, s1, s2, s3] = input.first_chunk()?;
        Some(FrameHeader { kind: kind.into(), channel: u16::from_be_bytes([c0, c1]), size: u32::from_be_bytes([s0, s1, s2, s3]) })
    }

    /// Encodes the header.
    pub fn octets(self) -> [u8; FRAME_HEADER_SIZE] {
        let [c0, c1] = self.channel.to_be_bytes();
        let [s0, s1, s2, s3] = self.size.to_be_bytes();
        [self.kind.octet(), c0, c1, s0, s1, s2, s3]
    }
}

/// The result of [`deframe`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deframed<'a> {
    /// There is no whole frame yet: call again when the input has at least `needed` bytes.
    Incomplete {
        /// Size of the input that is needed, bytes.
        needed: usize,
    },
    /// A frame.
    Frame(Frame<'a>),
}

/// A whole frame, borrowed from the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// The kind of the frame.
    pub kind: Kind,
    /// The channel; 0 is the connection itself.
    pub channel: u16,
    /// The bytes between header and end octet.
    pub payload: &'a [u8],
    /// Size of the whole frame, bytes.
    pub consumed: usize,
}

/// Takes the first frame of `input`. `frame_max` is the negotiated one; 0 means none, and then
/// [`FRAME_SIZE_MAX`] applies.
///
/// A frame may exceed frame_max by [`FRAME_SIZE_SLACK`] bytes. If it is larger, its header is
/// enough to refuse it.
pub fn deframe(input: &[u8], frame_max: u32) -> Result<Deframed<'_>, FrameError<'_>> {
    let Some(header) = FrameHeader::parse(input) else {
        return Ok(Deframed::Incomplete { needed: FRAME_HEADER_SIZE });
    };
    let size = header.size as usize;
    if size > payload_max(frame_max) + FRAME_SIZE_SLACK {
        return Err(FrameError::TooLarge { header, max: payload_max(frame_max) });
    }
    let consumed = size + FRAME_OVERHEAD;
    let Some(&end) = input.get(consumed - 1) else {
        return Ok(Deframed::Incomplete { needed: consumed });
    };
    let payload = &input[FRAME_HEADER_SIZE..consumed - 1];
    if end != FRAME_END {
        return Err(FrameError::BadEnd { kind: header.kind, payload, end });
    }
    Ok(Deframed::Frame(Frame { kind: header.kind, channel: header.channel, payload, consumed }))
}

/// The largest payload of a frame, octets.
pub fn payload_max(frame_max: u32) -> usize {
    match frame_max {
        0 => FRAME_SIZE_MAX - FRAME_OVERHEAD,
        max => (max as usize).saturating_sub(FRAME_OVERHEAD),
    }
}

/// The reason why the input is no frame; the bytes after it cannot be read any more. The text is
/// RabbitMQ's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError<'a> {
    /// The frame is larger than negotiated.
    TooLarge {
        /// The frame's header.
        header: FrameHeader,
        /// The largest payload allowed, octets.
        max: usize,
    },
    /// The frame does not end with the right octet.
    BadEnd {
        /// The frame's kind.
        kind: Kind,
        /// Its payload.
        payload: &'a [u8],
        /// The octet at its end.
        end: u8,
    },
}

impl fmt::Display for FrameError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            FrameError::TooLarge { header, max } => {
                write!(f, "{}: {{frame_too_large,{},{max}}}", describe(header.kind, &[]), header.size)
            }
            FrameError::BadEnd { kind, payload, end } => write!(f, "{}: {{invalid_frame_end_marker,{end}}}", describe(kind, payload)),
        }
    }
}

/// Returns RabbitMQ's description of a frame that is not expected (505), or not known (501, with `:
/// unknown_frame` appended).
pub fn describe(kind: Kind, payload: &[u8]) -> String {
    let (which, shown) = payload.get(..16).filter(|_| payload.len() > 16).map_or(("all", payload), |first| ("first 16", first));
    format!("type {}, {which} octets = {}", kind.octet(), ErlangBinary(shown))
}

/// Begins a frame. The result is to be passed to [`end_frame`].
pub fn begin_frame(kind: Kind, channel: u16, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&FrameHeader { kind, channel, size: 0 }.octets());
    start
}

/// Ends the frame that begins at `start`: writes its size and the end octet.
pub fn end_frame(start: usize, out: &mut Vec<u8>) {
    let size = u32::try_from(out.len() - start - FRAME_HEADER_SIZE).expect("the broker writes no frame of 4 GiB");
    out[start + 3..start + FRAME_HEADER_SIZE].copy_from_slice(&size.to_be_bytes());
    out.push(FRAME_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_from_the_front() {
        let input = b"\x03\x00\x07\x00\x00\x00\x02hi\xCErest";
        let frame = Frame { kind: Kind::Body, channel: 7, payload: b"hi", consumed: 10 };
        assert_eq!(deframe(input, 4096), Ok(Deframed::Frame(frame)));
        for end in 0..10 {
            let needed = if end < 7 { 7 } else { 10 };
            assert_eq!(deframe(&input[..end], 4096), Ok(Deframed::Incomplete { needed }), "{end}");
        }
        assert!(matches!(
            deframe(&HEARTBEAT, 0),
            Ok(Deframed::Frame(Frame { kind: Kind::Heartbeat, channel: 0, payload: &[], consumed: 8 }))
        ));
    }

    #[test]
    fn a_frame_may_be_eight_bytes_too_large() {
        let header = |size: u32| FrameHeader { kind: Kind::Body, channel: 1, size }.octets();
        assert_eq!(deframe(&header(131_072), 131_072), Ok(Deframed::Incomplete { needed: 131_080 }));
        let error = deframe(&header(131_073), 131_072).unwrap_err().to_string();
        assert_eq!(error, "type 3, all octets = <<>>: {frame_too_large,131073,131064}");
        assert!(deframe(&header(u32::MAX), 0).is_err());
    }

    #[test]
    fn errors_read_as_in_rabbitmq() {
        let error = deframe(b"\x01\x00\x01\x00\x00\x00\x03abc\x00", 4096).unwrap_err();
        assert_eq!(error.to_string(), r#"type 1, all octets = <<"abc">>: {invalid_frame_end_marker,0}"#);
        assert_eq!(describe(Kind::Unknown(9), &[0; 17]), "type 9, first 16 octets = <<0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0>>");
    }

    #[test]
    fn a_written_frame_has_its_size() {
        let mut out = vec![9];
        let start = begin_frame(Kind::Method, 0x0102, &mut out);
        out.extend_from_slice(b"abc");
        end_frame(start, &mut out);
        assert_eq!(out, b"\x09\x01\x01\x02\x00\x00\x00\x03abc\xCE");
    }
}

//! Frames: the envelope of everything behind the protocol header.
//!
//! ```text
//! [kind u8][channel u16][size u32][payload: size bytes][0xCE]
//! ```
//!
//! The deframer takes a contiguous input and hands out one frame at a time, borrowed; it keeps no state, so that the same bytes give
//! the same frames however they were split on their way.

use std::fmt;

use crate::base::limits::{FRAME_SIZE_MAX, FRAME_SIZE_SLACK};
use crate::message::ErlangBinary;

/// What a client sends first, and what it is answered if it sent something else.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
/// The octet behind every payload.
pub const FRAME_END: u8 = 0xCE;
/// Octets in front of a payload.
pub const FRAME_HEADER_SIZE: usize = 7;
/// Octets of a frame beside its payload: what frame_max counts and a payload cannot use.
pub const FRAME_OVERHEAD: usize = FRAME_HEADER_SIZE + 1;
/// A heartbeat, ready to send.
pub const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, FRAME_END];

/// What a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A method and its arguments.
    Method,
    /// A content header.
    Header,
    /// A piece of a body.
    Body,
    /// Nothing: the peer is alive.
    Heartbeat,
    /// No frame of AMQP. What it means depends on the connection's state, so it is handed out like any other.
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
    /// Its octet on the wire.
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

/// The seven octets in front of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// What the payload is.
    pub kind: Kind,
    /// The channel; 0 is the connection itself.
    pub channel: u16,
    /// Octets of the payload.
    pub size: u32,
}

impl FrameHeader {
    /// Reads the header at the input's first byte, or `None` if there is not all of it.
    pub fn parse(input: &[u8]) -> Option<FrameHeader> {
        let &[kind, c0, c1, s0, s1, s2, s3] = input.first_chunk()?;
        Some(FrameHeader { kind: kind.into(), channel: u16::from_be_bytes([c0, c1]), size: u32::from_be_bytes([s0, s1, s2, s3]) })
    }

    /// The header in wire form.
    pub fn octets(self) -> [u8; FRAME_HEADER_SIZE] {
        let [c0, c1] = self.channel.to_be_bytes();
        let [s0, s1, s2, s3] = self.size.to_be_bytes();
        [self.kind.octet(), c0, c1, s0, s1, s2, s3]
    }
}

/// What [`deframe`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deframed<'a> {
    /// No whole frame yet: ask again when the input has at least `needed` bytes.
    Incomplete {
        /// Bytes from the input's first one.
        needed: usize,
    },
    /// A frame.
    Frame(Frame<'a>),
}

/// A whole frame, borrowed from the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// The channel; 0 is the connection itself.
    pub channel: u16,
    /// What stands between header and end octet.
    pub payload: &'a [u8],
    /// Bytes of the input that the frame takes, all in all.
    pub consumed: usize,
}

/// Takes the first frame of `input`. `frame_max` is the negotiated one; 0 means none, and then [`FRAME_SIZE_MAX`] holds.
///
/// A frame may exceed frame_max by [`FRAME_SIZE_SLACK`] bytes, and what is too large is told by its header, before it has arrived.
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

/// Octets of payload that fit in a frame.
pub fn payload_max(frame_max: u32) -> usize {
    match frame_max {
        0 => FRAME_SIZE_MAX - FRAME_OVERHEAD,
        max => (max as usize).saturating_sub(FRAME_OVERHEAD),
    }
}

/// Why the input holds no frame; nothing behind it can be read any more. The text is RabbitMQ's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError<'a> {
    /// Larger than was negotiated.
    TooLarge {
        /// The frame's header.
        header: FrameHeader,
        /// Octets of payload that would have been allowed.
        max: usize,
    },
    /// Another octet stands where the frame should end.
    BadEnd {
        /// The frame's kind.
        kind: Kind,
        /// Its payload.
        payload: &'a [u8],
        /// The octet.
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

/// RabbitMQ's description of a frame that it did not expect (505), or cannot make sense of (501, with `: unknown_frame` behind it).
pub fn describe(kind: Kind, payload: &[u8]) -> String {
    let (which, shown) = payload.get(..16).filter(|_| payload.len() > 16).map_or(("all", payload), |first| ("first 16", first));
    format!("type {}, {which} octets = {}", kind.octet(), ErlangBinary(shown))
}

/// Starts a frame; the answer goes to [`end_frame`].
pub fn begin_frame(kind: Kind, channel: u16, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&FrameHeader { kind, channel, size: 0 }.octets());
    start
}

/// Ends the frame that started at `start`: enters its size and closes it.
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

//! The fast path of publishes: a whole basic.publish with its content is recognized at once.
//!
//! ```text
//! method frame   [1][channel][size] [60][40] [ticket u16] [len][exchange] [len][key] [bits]
//! header frame   [2][channel][size] [60][0] [body size u64] [properties…]
//! body frame     [3][channel][size] [body]                                  (if there is a body)
//!                each ends with [0xCE]
//! ```
//!
//! Only the usual form is taken. Any other form, valid or not, is left to the general path, which
//! alone decides what is an error.

use super::content::HEADER_PAYLOAD_MIN;
use super::frame::{FRAME_END, FRAME_HEADER_SIZE, FRAME_OVERHEAD, payload_max};
use crate::base::limits::FRAME_SIZE_SLACK;
use crate::message::{Body, Content};

/// A publish, borrowed from the input.
#[derive(Clone, Copy, Debug)]
pub struct FastPublish<'a> {
    /// The whole method frame. A later publish with the same bytes has the same exchange and
    /// routing key, see [`peek_next`].
    pub method_frame: &'a [u8],
    /// The channel of all its frames.
    pub channel: u16,
    /// Whether to return the message if it finds no queue.
    pub mandatory: bool,
    /// Whether to return the message if it finds no consumer.
    pub immediate: bool,
    /// Exchange and routing key: two short strings in wire form.
    pub route: &'a [u8],
    /// Properties, unchecked, and the whole body.
    pub content: Content<'a>,
    /// All bytes before the body. A later publish with the same bytes has the same properties and a
    /// body of the same size, see [`peek_alike`]. Empty if the body is empty.
    pub head: &'a [u8],
}

/// Takes a publish from the front of `input`, if it is complete and has the usual form. Returns its
/// size in bytes, too. `frame_max` as in [`super::frame::deframe`].
#[inline]
pub fn peek_publish(input: &[u8], frame_max: u32) -> Option<(usize, FastPublish<'_>)> {
    let start: &[u8; ROUTE_AT] = input.first_chunk()?;
    if start[0] != 1 || start[7..11] != PUBLISH {
        return None;
    }
    let exchange = usize::from(*input.get(ROUTE_AT)?);
    let key = usize::from(*input.get(ROUTE_AT + 1 + exchange)?);
    let bits_at = ROUTE_AT + 2 + exchange + key;
    let header = input.get(bits_at + 2..)?;
    if input[bits_at + 1] != FRAME_END || be32(start, 3) != bits_at + 1 - FRAME_HEADER_SIZE {
        return None;
    }
    let (size, content) = peek_content(header, start, frame_max)?;
    let bits = input[bits_at];
    let consumed = bits_at + 2 + size;
    let body_len = content.body.bytes().len();
    let head_len = if body_len == 0 { 0 } else { consumed - body_len - 1 };
    let publish = FastPublish {
        method_frame: &input[..bits_at + 2],
        channel: u16::from_be_bytes([start[1], start[2]]),
        mandatory: bits & 1 != 0,
        immediate: bits & 2 != 0,
        route: &input[ROUTE_AT..bits_at],
        content,
        head: &input[..head_len],
    };
    Some((consumed, publish))
}

/// Takes another publish that differs from the one before only in the bytes of its body. Returns
/// its size and its body.
#[inline]
pub fn peek_alike<'a>(input: &'a [u8], before: &FastPublish<'_>) -> Option<(usize, &'a [u8])> {
    let body_size = before.content.body.bytes().len();
    let (body, end) = input.strip_prefix(before.head)?.split_at_checked(body_size)?;
    (end.first() == Some(&FRAME_END) && body_size > 0).then_some((before.head.len() + body_size + 1, body))
}

/// Takes another publish with the same method frame as the one before. Returns its size and its
/// content.
#[inline]
pub fn peek_next<'a>(input: &'a [u8], method_frame: &[u8], frame_max: u32) -> Option<(usize, Content<'a>)> {
    let content = input.strip_prefix(method_frame)?;
    let (size, content) = peek_content(content, method_frame.first_chunk()?, frame_max)?;
    Some((method_frame.len() + size, content))
}

/// Takes the header frame and the body frame of a publish. Returns their size, and the content.
#[inline]
fn peek_content<'a>(input: &'a [u8], publish: &[u8; ROUTE_AT], frame_max: u32) -> Option<(usize, Content<'a>)> {
    let (header_size, properties, body_size) = peek_header(input, publish, frame_max)?;
    let body = peek_body(&input[header_size..], publish, body_size, frame_max)?;
    let size = header_size + if body.is_empty() { 0 } else { body.len() + FRAME_OVERHEAD };
    Some((size, Content { properties, body: Body::Slice(body) }))
}

/// Takes the header frame. Returns its size, the properties, and the body's size.
#[inline]
fn peek_header<'a>(input: &'a [u8], publish: &[u8; ROUTE_AT], frame_max: u32) -> Option<(usize, &'a [u8], u64)> {
    let start: &[u8; FRAME_HEADER_SIZE + HEADER_PAYLOAD_MIN] = input.first_chunk()?;
    let size = be32(start, 3);
    if start[0] != 2 || start[1..3] != publish[1..3] || start[7..11] != CONTENT || too_large(size, frame_max) {
        return None;
    }
    let properties = input.get(start.len()..FRAME_HEADER_SIZE + size)?;
    let &[_, _, _, _, _, _, _, _, _, _, _, ref body_size @ ..] = start;
    (input.get(FRAME_HEADER_SIZE + size) == Some(&FRAME_END)).then_some((size + FRAME_OVERHEAD, properties, u64::from_be_bytes(*body_size)))
}

/// Takes the body frame, if there is a body. Returns its payload.
#[inline]
fn peek_body<'a>(input: &'a [u8], publish: &[u8; ROUTE_AT], body_size: u64, frame_max: u32) -> Option<&'a [u8]> {
    if body_size == 0 {
        return Some(&[]);
    }
    let start: &[u8; FRAME_HEADER_SIZE] = input.first_chunk()?;
    let size = be32(start, 3);
    if start[0] != 3 || start[1..3] != publish[1..3] || size as u64 != body_size || too_large(size, frame_max) {
        return None;
    }
    let (body, end) = input[FRAME_HEADER_SIZE..].split_at_checked(size)?;
    (end.first() == Some(&FRAME_END)).then_some(body)
}

#[inline]
fn be32<const N: usize>(octets: &[u8; N], at: usize) -> usize {
    u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]) as usize
}

#[inline]
fn too_large(size: usize, frame_max: u32) -> bool {
    size > payload_max(frame_max) + FRAME_SIZE_SLACK
}

/// Offset of exchange and routing key: after frame header, class, method and ticket.
const ROUTE_AT: usize = FRAME_HEADER_SIZE + 6;
/// Class and method of basic.publish.
const PUBLISH: [u8; 4] = [0, 60, 0, 40];
/// Class and weight of its content header.
const CONTENT: [u8; 4] = [0, 60, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &[u8] = b"\x01\x00\x05\x00\x00\x00\x0d\x00\x3c\x00\x28\x00\x00\x01x\x03key\x01\xCE\
        \x02\x00\x05\x00\x00\x00\x0f\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x10\x00\x02\xCE\
        \x03\x00\x05\x00\x00\x00\x02hi\xCE";

    #[test]
    fn a_usual_publish_is_taken() {
        for input in [INPUT, &[INPUT, b"more"].concat()] {
            let (size, publish) = peek_publish(input, 4096).expect("a publish");
            assert_eq!((size, publish.channel, publish.mandatory, publish.immediate), (INPUT.len(), 5, true, false));
            assert_eq!(
                (publish.method_frame, publish.route, publish.head),
                (&INPUT[..21], &b"\x01x\x03key"[..], &INPUT[..INPUT.len() - 3])
            );
            assert_eq!(parts(publish.content), (&[0x10, 0, 2][..], &b"hi"[..]));
        }
        for end in 0..INPUT.len() {
            assert!(peek_publish(&INPUT[..end], 4096).is_none(), "{end}");
        }
    }

    #[test]
    fn another_to_the_same_place_is_taken_by_its_method_frame() {
        let next = |input| peek_next(input, &INPUT[..21], 4096).map(|(size, content)| (size, parts(content)));
        assert_eq!(next(INPUT), Some((INPUT.len(), (&[0x10, 0, 2][..], &b"hi"[..]))));
        assert_eq!(next(&INPUT[..INPUT.len() - 1]), None);
        let (_, first) = peek_publish(INPUT, 4096).unwrap();
        assert_eq!(peek_alike(INPUT, &first), Some((INPUT.len(), &b"hi"[..])));
        assert_eq!(peek_alike(&INPUT[..INPUT.len() - 1], &first), None);
        let mut other = INPUT.to_vec();
        other[18] ^= 1;
        assert_eq!(peek_alike(&other, &first), None);
        assert!(peek_next(&other, &INPUT[..21], 4096).is_none());
    }

    fn parts(content: Content<'_>) -> (&[u8], &[u8]) {
        (content.properties, content.body.bytes())
    }

    #[test]
    fn an_empty_body_has_no_frame() {
        let mut input = INPUT[..INPUT.len() - 10].to_vec();
        input[21 + 18] = 0;
        assert_eq!(
            peek_publish(&input, 4096).map(|(consumed, publish)| (consumed, publish.content.body.bytes())),
            Some((input.len(), &b""[..]))
        );
    }

    #[test]
    fn anything_else_is_left_alone() {
        let taken_without_bit_2 = |at: usize| {
            let mut input = INPUT.to_vec();
            input[at] ^= 4;
            peek_publish(&input, 4096).is_some()
        };
        let taken: Vec<usize> = (0..INPUT.len()).filter(|&at| taken_without_bit_2(at)).collect();
        assert_eq!(taken, [11, 12, 14, 16, 17, 18, 19, 40, 41, 42, 51, 52], "only ticket, names, bits, properties and body may differ");
    }

    #[test]
    fn frames_are_as_large_as_was_negotiated() {
        assert!(peek_publish(INPUT, 15).is_some());
        assert!(peek_publish(INPUT, 14).is_none());
    }
}

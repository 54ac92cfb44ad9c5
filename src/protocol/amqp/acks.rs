//! The fast path of acks: successive basic.ack frames are recognized at once.
//!
//! ```text
//! frame   [1][channel][13] [60][80] [tag u64] [multiple] [0xCE]
//!         \_______ the same _____/   + 1      \__ the same __/
//! ```
//!
//! A client that acknowledges each delivery sends many such frames in a row, with ascending tags.

use super::frame::FRAME_END;
use crate::contract::Tags;

/// Takes acks from the front of `input`. Returns their size, their channel, and their tags. `None`
/// for anything else, which the general path handles.
#[inline]
pub fn peek_acks(input: &[u8]) -> Option<(usize, u16, Tags)> {
    let first: &[u8; ACK_SIZE] = input.first_chunk()?;
    let (&[kind, c0, c1, ref method @ ..], tag, end) = parts(first);
    if kind != 1 || *method != ACK || end[1] != FRAME_END {
        return None;
    }
    let channel = u16::from_be_bytes([c0, c1]);
    match end[0] {
        0 => {
            let last = tag + row(&input[ACK_SIZE..], first);
            Some((ACK_SIZE * (1 + (last - tag) as usize), channel, Tags::Each { first: tag, last }))
        }
        1 => Some((ACK_SIZE, channel, Tags::UpTo(tag))),
        _ => None,
    }
}

/// Counts the acks that follow and differ from `first` only in their tags, which count up.
#[inline]
fn row(input: &[u8], first: &[u8; ACK_SIZE]) -> u64 {
    let (start, tag, end) = parts(first);
    let (frames, _) = input.as_chunks::<ACK_SIZE>();
    let follows = |&(frame, expected): &(&[u8; ACK_SIZE], u64)| parts(frame) == (start, expected, end);
    frames.iter().zip(tag.saturating_add(1)..u64::MAX).take_while(follows).count() as u64
}

/// Splits a frame into the bytes before the tag, the tag, and the bytes after it.
#[inline]
fn parts(frame: &[u8; ACK_SIZE]) -> (&[u8; 11], u64, &[u8; 2]) {
    let (start, rest) = frame.split_first_chunk().expect("the size is fixed");
    let (tag, end) = rest.split_first_chunk().expect("the size is fixed");
    (start, u64::from_be_bytes(*tag), end.try_into().expect("the size is fixed"))
}

/// Size of a basic.ack frame, bytes.
const ACK_SIZE: usize = 21;
/// Payload size, class and method.
const ACK: [u8; 8] = [0, 0, 0, 13, 0, 60, 0, 80];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::amqp::method::basic;

    fn acks(acks: &[(u16, u64, bool)]) -> Vec<u8> {
        let mut out = Vec::new();
        acks.iter().for_each(|&(channel, delivery_tag, multiple)| basic::Ack { delivery_tag, multiple }.write(channel, &mut out));
        out
    }

    #[test]
    fn a_row_counts_up_on_one_channel() {
        let input = acks(&[(3, 7, false), (3, 8, false), (3, 9, false), (3, 11, false)]);
        assert_eq!(peek_acks(&input), Some((63, 3, Tags::Each { first: 7, last: 9 })));
        assert_eq!(peek_acks(&input[..62]), Some((42, 3, Tags::Each { first: 7, last: 8 })));
        assert_eq!(peek_acks(&input[63..]), Some((21, 3, Tags::Each { first: 11, last: 11 })));
        assert_eq!(peek_acks(&input[..20]), None);
        let input = acks(&[(3, 7, false), (4, 8, false)]);
        assert_eq!(peek_acks(&input), Some((21, 3, Tags::Each { first: 7, last: 7 })));
    }

    #[test]
    fn multiple_stands_alone() {
        let input = acks(&[(1, 7, true), (1, 8, true)]);
        assert_eq!(peek_acks(&input), Some((21, 1, Tags::UpTo(7))));
        let input = acks(&[(1, 7, false), (1, 8, true)]);
        assert_eq!(peek_acks(&input), Some((21, 1, Tags::Each { first: 7, last: 7 })));
    }

    #[test]
    fn the_last_tag_of_all_is_followed_by_none() {
        let input = acks(&[(1, u64::MAX, false), (1, 0, false)]);
        assert_eq!(peek_acks(&input), Some((21, 1, Tags::Each { first: u64::MAX, last: u64::MAX })));
    }

    #[test]
    fn anything_else_is_left_alone() {
        let ack = acks(&[(1, 7, false)]);
        for at in [0, 3, 6, 7, 8, 9, 10, 19, 20] {
            let mut other = ack.clone();
            other[at] ^= 4;
            assert_eq!(peek_acks(&other), None, "{at}");
        }
    }
}

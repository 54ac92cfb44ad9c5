//! Reads received bytes frame by frame, without copying them and without waiting for a whole body.
//!
//! ```text
//! method, header   passed on whole; an incomplete one stays in the buffer for the next read
//! body             passed on in the pieces in which it arrives; its first BODY_HEAD bytes must
//!                  arrive together
//! ```
//!
//! Invariant: `feed` consumes every byte that it can, so the rest is shorter than a method or
//! header frame, and a reader can use one buffer with little space at its front for all its
//! connections.

use super::{FRAME_BODY, FRAME_HEADER, FRAME_METHOD};

/// A receiver of the parts of frames.
pub trait Sink {
    /// Takes a method with its id (see [`super::id`]) and its arguments.
    fn method(&mut self, channel: u16, id: u32, args: &[u8]);
    /// Takes a content header: the size of the body that follows.
    fn header(&mut self, channel: u16, body_size: u64);
    /// Takes the next piece of a body.
    fn body(&mut self, channel: u16, piece: &[u8]);
}

/// The position of a connection's reader in its frames.
#[derive(Default)]
pub struct Scanner {
    /// Number of bytes of the current body frame that are still to come, without its end octet.
    body_left: usize,
    /// The channel of that frame.
    channel: u16,
    /// Whether the end octet of a body frame is still to come.
    end_due: bool,
}

impl Scanner {
    /// Reads `bytes` and passes their parts to `sink`. Returns how many bytes were consumed.
    #[inline]
    pub fn feed<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> usize {
        let mut at = self.finish_body(bytes, sink);
        while let Some(head) = bytes.get(at..at + HEAD) {
            let channel = u16::from_be_bytes([head[1], head[2]]);
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            let rest = &bytes[at + HEAD..];
            if head[0] == FRAME_BODY {
                if rest.len() < size.min(BODY_HEAD) {
                    break;
                }
                if rest.len() <= size {
                    (self.body_left, self.channel, self.end_due) = (size, channel, true);
                    return at + HEAD + self.finish_body(rest, sink);
                }
                sink.body(channel, &rest[..size]);
            } else if rest.len() <= size {
                break;
            } else {
                control(head[0], channel, &rest[..size], sink);
            }
            at += HEAD + size + 1;
        }
        at
    }

    /// Continues a body frame in which the last read ended.
    fn finish_body<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> usize {
        if !self.end_due {
            return 0;
        }
        let piece = self.body_left.min(bytes.len());
        if piece > 0 {
            sink.body(self.channel, &bytes[..piece]);
            self.body_left -= piece;
        }
        if self.body_left > 0 || bytes.len() == piece {
            return piece;
        }
        self.end_due = false;
        piece + 1
    }

    /// Number of bytes that can be discarded unread, because they belong to a body whose beginning
    /// was passed on.
    pub fn body_left(&self) -> usize {
        self.body_left
    }

    /// Notes that `len` of them were discarded.
    pub fn skip(&mut self, len: usize) {
        self.body_left -= len;
    }
}

#[inline]
fn control<S: Sink>(kind: u8, channel: u16, payload: &[u8], sink: &mut S) {
    match (kind, payload) {
        (FRAME_METHOD, [a, b, c, d, args @ ..]) => sink.method(channel, u32::from_be_bytes([*a, *b, *c, *d]), args),
        (FRAME_HEADER, [_, _, _, _, a, b, c, d, e, f, g, h, ..]) => {
            sink.header(channel, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]));
        }
        _ => {}
    }
}

/// The first bytes of a body frame that are passed on in one piece, however the stream is cut.
pub const BODY_HEAD: usize = 16;
/// Size of type, channel and size, bytes.
const HEAD: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::encode::{Encoder, Publish, Table};

    #[derive(Default, PartialEq, Debug)]
    struct Seen {
        methods: Vec<(u16, u32)>,
        bodies: Vec<u8>,
        sizes: Vec<u64>,
    }

    impl Sink for Seen {
        fn method(&mut self, channel: u16, id: u32, _: &[u8]) {
            self.methods.push((channel, id));
        }
        fn header(&mut self, _: u16, size: u64) {
            self.sizes.push(size);
        }
        fn body(&mut self, _: u16, piece: &[u8]) {
            self.bodies.extend_from_slice(piece);
        }
    }

    fn sample() -> Vec<u8> {
        let mut e = Encoder::default();
        let body: Vec<u8> = (0..90).collect();
        for _ in 0..3 {
            e.publish(
                2,
                &Publish {
                    exchange: "x",
                    key: "k",
                    headers: &Table::new(),
                    persistent: true,
                    priority: None,
                    mandatory: false,
                    expiration: "",
                    body: &body,
                },
                40,
            );
        }
        e.out
    }

    #[test]
    fn the_same_whatever_the_split() {
        let bytes = sample();
        let mut whole = Seen::default();
        assert_eq!(Scanner::default().feed(&bytes, &mut whole), bytes.len());
        assert_eq!((whole.methods.len(), whole.sizes.as_slice(), whole.bodies.len()), (3, &[90, 90, 90][..], 270));
        for cut in 1..bytes.len() {
            let (mut scanner, mut seen) = (Scanner::default(), Seen::default());
            let used = scanner.feed(&bytes[..cut], &mut seen);
            assert_eq!(used + scanner.feed(&bytes[used..], &mut seen), bytes.len());
            assert_eq!(seen, whole, "split at {cut}");
        }
    }
}

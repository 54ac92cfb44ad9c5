//! The input of a connection: finds whole messages in the receive buffer and passes them on without
//! having read their bytes.
//!
//! Invariant: the rest that `feed` leaves is shorter than the buffers' headroom. A message that
//! would not fit there is collected in a chunk of its own, from its header on.

use super::buffers::HEADROOM;
use super::control;
use super::output::Chunk;
use super::router::Broker;
use crate::amqp::{FRAME_BODY, FRAME_HEADER, FRAME_METHOD, FRAME_OVERHEAD, PROTOCOL_HEADER, id};

/// The position of a connection's reader in its input.
#[derive(Default)]
pub struct Session {
    /// Whether the protocol header was read.
    pub greeted: bool,
    /// The channel in confirm mode, and the number of its publishes.
    pub confirms: Option<(u16, u64)>,
    /// Number of those that are confirmed.
    pub confirmed: u64,
    /// Whether the client asked to close: nothing more is read.
    pub closing: bool,
    large: Option<Large>,
}

/// A long message that is being collected.
struct Large {
    route: Box<[u8]>,
    chunk: Chunk,
    /// Offset of the next frame in the chunk.
    frame_at: usize,
    body_left: u64,
}

impl Session {
    /// Handles `bytes`. Returns how many were consumed.
    #[inline]
    pub fn feed(&mut self, link: usize, bytes: &[u8], broker: &mut Broker) -> usize {
        let mut at = if self.greeted { 0 } else { self.greet(link, bytes, broker) };
        at += self.collect(&bytes[at..], broker);
        while self.greeted && self.large.is_none() {
            let Some(frame) = frame_at(bytes, at) else { break };
            if frame.kind != FRAME_METHOD || frame.payload.first_chunk() != Some(&PUBLISH) {
                if frame.kind == FRAME_METHOD {
                    control::method(self, link, frame.channel, frame.payload, broker);
                }
                at = frame.end;
                continue;
            }
            let Some(route) = route_of(frame.payload) else { return bytes.len() };
            let Some(end) = content_end(bytes, frame.end) else {
                at += self.begin_large(route, bytes, frame.end).map_or(0, |end| end - at);
                break;
            };
            broker.publish(route, &bytes[frame.end..end]);
            if let Some((_, published)) = &mut self.confirms {
                *published += 1;
            }
            at = end;
        }
        at + self.collect(&bytes[at..], broker)
    }

    fn greet(&mut self, link: usize, bytes: &[u8], broker: &mut Broker) -> usize {
        if bytes.len() < PROTOCOL_HEADER.len() {
            return 0;
        }
        self.greeted = true;
        broker.reply(link, &control::start());
        PROTOCOL_HEADER.len()
    }

    /// Begins to collect a long message whose header has arrived. Returns the offset of the header.
    fn begin_large(&mut self, route: &[u8], bytes: &[u8], header_at: usize) -> Option<usize> {
        let header = frame_at(bytes, header_at)?;
        let body_size = body_size(&header)?;
        if body_size < LARGE_BODY {
            return None;
        }
        let chunk = Chunk::with_capacity(0);
        self.large = Some(Large { route: route.into(), chunk, frame_at: 0, body_left: body_size });
        Some(header_at)
    }

    /// Goes on collecting. Returns how many bytes were consumed.
    fn collect(&mut self, bytes: &[u8], broker: &mut Broker) -> usize {
        let Some(large) = &mut self.large else { return 0 };
        if large.chunk.len() == 0 {
            large.chunk = broker.pool.take_large();
            large.chunk.grow(large.body_left as usize + (large.body_left as usize / FRAME_MIN + 2) * FRAME_OVERHEAD + HEADROOM);
        }
        let mut used = 0;
        loop {
            used += large.chunk.fill_until(large.frame_at.max(large.chunk.len()), &bytes[used..]);
            if large.chunk.len() < large.frame_at {
                return used;
            }
            if large.body_left == 0 {
                break;
            }
            used += large.chunk.fill_until(large.frame_at + 7, &bytes[used..]);
            let Some(head) = large.chunk.filled().get(large.frame_at..large.frame_at + 7) else { return used };
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
            if head[0] == FRAME_BODY {
                large.body_left = large.body_left.saturating_sub(u64::from(size));
            }
            large.frame_at += FRAME_OVERHEAD + size as usize;
        }
        let large = self.large.take().expect("checked above");
        broker.publish_chunk(&large.route, large.chunk);
        if let Some((_, published)) = &mut self.confirms {
            *published += 1;
        }
        used
    }
}

/// A frame in a buffer.
struct Frame<'a> {
    kind: u8,
    channel: u16,
    payload: &'a [u8],
    end: usize,
}

#[inline]
fn frame_at(bytes: &[u8], at: usize) -> Option<Frame<'_>> {
    let head = bytes.get(at..at + 7)?;
    let end = at + FRAME_OVERHEAD + u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    let payload = bytes.get(at + 7..end)?;
    let channel = u16::from_be_bytes([head[1], head[2]]);
    Some(Frame { kind: head[0], channel, payload: &payload[..payload.len() - 1], end })
}

/// The exchange and routing key of a publish.
#[inline]
fn route_of(payload: &[u8]) -> Option<&[u8]> {
    let exchange = usize::from(*payload.get(6)?);
    let key = usize::from(*payload.get(7 + exchange)?);
    payload.get(6..8 + exchange + key)
}

#[inline]
fn body_size(header: &Frame<'_>) -> Option<u64> {
    let size = header.payload.get(4..12).filter(|_| header.kind == FRAME_HEADER)?;
    size.try_into().ok().map(u64::from_be_bytes)
}

/// The end of the content that begins at `at`, if all of it has arrived.
#[inline]
fn content_end(bytes: &[u8], at: usize) -> Option<usize> {
    let header = frame_at(bytes, at)?;
    let mut left = body_size(&header)?;
    let mut end = header.end;
    while left > 0 {
        let body = frame_at(bytes, end)?;
        left = left.saturating_sub(body.payload.len() as u64);
        end = body.end;
    }
    Some(end)
}

const PUBLISH: [u8; 4] = id::BASIC_PUBLISH.to_be_bytes();
/// The smallest frame that a publisher may cut bodies into.
const FRAME_MIN: usize = 4096 - FRAME_OVERHEAD;
/// A body of this size might not fit into the headroom, with its method, header and frames.
const LARGE_BODY: u64 = HEADROOM as u64 - (8 << 10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::encode::{Encoder, Publish, Table};
    use crate::amqp::scan::{Scanner, Sink};

    /// Makes a broker with queue `q`, which link 1 consumes.
    fn broker() -> Broker {
        let mut broker = Broker::new(None);
        broker.outputs.resize_with(2, Default::default);
        broker.declare(b"perf-0");
        broker.consume(b"perf-0", 1, 2, b"0");
        broker.outputs[1].clear(&mut broker.pool);
        broker
    }

    fn publishes(count: u8, body_len: usize) -> Vec<u8> {
        let mut e = Encoder::default();
        for i in 0..count {
            let body = vec![i; body_len];
            let message = Publish {
                exchange: "",
                key: "perf-0",
                headers: &Table::new(),
                persistent: false,
                priority: None,
                mandatory: false,
                expiration: "",
                body: &body,
            };
            e.publish(1, &message, 4096);
        }
        e.out
    }

    #[derive(Default)]
    struct Bodies(Vec<u8>);

    impl Sink for Bodies {
        fn method(&mut self, channel: u16, id: u32, _: &[u8]) {
            assert_eq!((channel, id), (2, id::BASIC_DELIVER));
        }
        fn header(&mut self, channel: u16, _: u64) {
            assert_eq!(channel, 2);
        }
        fn body(&mut self, channel: u16, piece: &[u8]) {
            assert_eq!(channel, 2);
            self.0.extend_from_slice(piece);
        }
    }

    fn delivered(broker: &mut Broker) -> Vec<u8> {
        let (mut scanner, mut bodies) = (Scanner::default(), Bodies::default());
        while let Some(bytes) = broker.outputs[1].send() {
            assert_eq!(scanner.feed(bytes, &mut bodies), bytes.len());
            broker.outputs[1].sent(&mut broker.pool);
        }
        bodies.0
    }

    #[test]
    fn the_same_whatever_the_split() {
        for (count, body_len) in [(3, 100), (2, 60_000)] {
            let bytes = publishes(count, body_len);
            let expected: Vec<u8> = (0..count).flat_map(|i| vec![i; body_len]).collect();
            for cut in (1..bytes.len()).step_by(1 + body_len / 100) {
                let (mut session, mut broker) = (Session { greeted: true, ..Session::default() }, broker());
                let used = session.feed(0, &bytes[..cut], &mut broker);
                assert!(cut - used <= HEADROOM);
                assert_eq!(used + session.feed(0, &bytes[used..], &mut broker), bytes.len());
                assert_eq!(delivered(&mut broker), expected, "split at {cut}");
            }
        }
    }
}

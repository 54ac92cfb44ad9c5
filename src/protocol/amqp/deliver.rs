//! The fast path of deliveries: writes the method frames before a message without a `Method`.
//!
//! ```text
//! basic.deliver   [1][channel][size][60][60][len][consumer tag] | prefix, built once per consumer
//!                 [delivery tag u64][redelivered] [len][exchange] [len][routing key] [0xCE]
//! ```

use super::frame::{self, FRAME_HEADER_SIZE, Kind};
use crate::message::wire;

/// The bytes with which all deliver frames of a consumer begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliverPrefix(Box<[u8]>);

impl DeliverPrefix {
    /// Makes the prefix of a consumer of a channel. The tag is a short string, at most 255 bytes.
    pub fn new(channel: u16, consumer_tag: &str) -> DeliverPrefix {
        let mut out = Vec::with_capacity(FRAME_HEADER_SIZE + 5 + consumer_tag.len());
        frame::begin_frame(Kind::Method, channel, &mut out);
        out.extend_from_slice(&DELIVER);
        wire::put_shortstr(&mut out, consumer_tag.as_bytes());
        DeliverPrefix(out.into_boxed_slice())
    }

    /// The prefix, for [`write_deliver`].
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Writes a basic.deliver frame. `route` is the exchange and the routing key in wire form.
#[inline]
pub fn write_deliver(prefix: &[u8], delivery_tag: u64, redelivered: bool, route: &[u8], out: &mut Vec<u8>) {
    out.reserve(prefix.len() + TAG_AND_FLAG + route.len() + 1);
    let start = out.len();
    out.extend_from_slice(prefix);
    put_tag_and_flag(delivery_tag, redelivered, out);
    out.extend_from_slice(route);
    frame::end_frame(start, out);
}

/// Writes a basic.get-ok frame.
pub fn write_get_ok(channel: u16, delivery_tag: u64, redelivered: bool, route: &[u8], message_count: u32, out: &mut Vec<u8>) {
    let start = frame::begin_frame(Kind::Method, channel, out);
    out.extend_from_slice(&GET_OK);
    put_tag_and_flag(delivery_tag, redelivered, out);
    out.extend_from_slice(route);
    wire::put_u32(out, message_count);
    frame::end_frame(start, out);
}

/// Writes a basic.return frame. The text has at most 255 bytes.
pub fn write_return(channel: u16, reply_code: u16, reply_text: &str, route: &[u8], out: &mut Vec<u8>) {
    let start = frame::begin_frame(Kind::Method, channel, out);
    out.extend_from_slice(&RETURN);
    wire::put_u16(out, reply_code);
    wire::put_shortstr(out, reply_text.as_bytes());
    out.extend_from_slice(route);
    frame::end_frame(start, out);
}

fn put_tag_and_flag(delivery_tag: u64, redelivered: bool, out: &mut Vec<u8>) {
    let mut octets = [0; TAG_AND_FLAG];
    octets[..8].copy_from_slice(&delivery_tag.to_be_bytes());
    octets[8] = redelivered.into();
    out.extend_from_slice(&octets);
}

const DELIVER: [u8; 4] = [0, 60, 0, 60];
const GET_OK: [u8; 4] = [0, 60, 0, 71];
const RETURN: [u8; 4] = [0, 60, 0, 50];
const TAG_AND_FLAG: usize = 9;

#[cfg(test)]
mod tests {
    use super::super::frame::{Deframed, deframe};
    use super::super::method::argument::Octets;
    use super::super::method::{Method, basic};
    use super::*;

    const ROUTE: &[u8] = b"\x02ex\x03key";
    const EXCHANGE: Octets<'static> = Octets(b"ex");
    const KEY: Octets<'static> = Octets(b"key");

    fn read(out: &[u8]) -> (u16, Method<'_>) {
        let Ok(Deframed::Frame(frame)) = deframe(out, 4096) else { panic!("no frame: {out:?}") };
        assert_eq!((frame.kind, frame.consumed), (Kind::Method, out.len()));
        (frame.channel, Method::parse(frame.payload).unwrap())
    }

    #[test]
    fn a_delivery_has_the_expected_bytes() {
        let mut out = Vec::new();
        write_deliver(DeliverPrefix::new(3, "tag").bytes(), 0x0102, true, ROUTE, &mut out);
        assert_eq!(out, b"\x01\0\x03\0\0\0\x18\0\x3c\0\x3c\x03tag\0\0\0\0\0\0\x01\x02\x01\x02ex\x03key\xCE");
        let expected =
            basic::Deliver { consumer_tag: Octets(b"tag"), delivery_tag: 0x0102, redelivered: true, exchange: EXCHANGE, routing_key: KEY };
        assert_eq!(read(&out), (3, Method::BasicDeliver(expected)));
    }

    #[test]
    fn the_other_messages_to_clients_are_readable() {
        let mut out = Vec::new();
        write_get_ok(4, 9, false, ROUTE, 7, &mut out);
        let expected = basic::GetOk { delivery_tag: 9, redelivered: false, exchange: EXCHANGE, routing_key: KEY, message_count: 7 };
        assert_eq!(read(&out), (4, Method::BasicGetOk(expected)));
        out.clear();
        write_return(5, 312, "NO_ROUTE", ROUTE, &mut out);
        let expected = basic::Return { reply_code: 312, reply_text: Octets(b"NO_ROUTE"), exchange: EXCHANGE, routing_key: KEY };
        assert_eq!(read(&out), (5, Method::BasicReturn(expected)));
    }
}

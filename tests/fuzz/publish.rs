//! The publisher's fast path agrees with the general parser: it reads the same values from every
//! publish that it takes, and it takes every publish of the usual shape.

use ringmq::base::outgoing::Outgoing;
use ringmq::message::Body;
use ringmq::protocol::amqp::content::{ContentHeader, write_content};
use ringmq::protocol::amqp::frame::{Deframed, Frame, Kind, deframe};
use ringmq::protocol::amqp::method::argument::Octets;
use ringmq::protocol::amqp::method::{Method, basic};
use ringmq::protocol::amqp::publish::{peek_alike, peek_next, peek_publish};

use crate::dice::Dice;
use crate::fuzz;
use crate::values::random_properties;

#[test]
fn publishes() {
    fuzz(|dice| {
        let mut input = random_publish(dice);
        if dice.one_in(2) {
            dice.mutate(&mut input);
        }
        input.extend(dice.bytes(3));
        let frame_max = [0, 64, 4096][dice.below(3)];
        assert_eq!(peeked(&input, frame_max), generic(&input, frame_max), "{input:?}");
    });
}

/// All fields of a publish.
#[derive(PartialEq, Debug)]
struct Seen {
    consumed: usize,
    channel: u16,
    bits: (bool, bool),
    exchange: Vec<u8>,
    key: Vec<u8>,
    properties: Vec<u8>,
    body: Vec<u8>,
}

fn peeked(input: &[u8], frame_max: u32) -> Option<Seen> {
    let (consumed, publish) = peek_publish(input, frame_max)?;
    let (exchange, key) = publish.route[1..].split_at(publish.route[0].into());
    assert_eq!(usize::from(key[0]), key.len() - 1);
    let (properties, body) = (publish.content.properties, publish.content.body.bytes());
    let next = peek_next(input, publish.method_frame, frame_max).map(|(size, content)| (size, content.properties, content.body.bytes()));
    assert_eq!(next, Some((consumed, properties, body)), "it follows itself");
    assert_eq!(peek_alike(input, &publish), (!body.is_empty()).then_some((consumed, body)), "it is like itself");
    Some(Seen {
        consumed,
        channel: publish.channel,
        bits: (publish.mandatory, publish.immediate),
        exchange: exchange.to_vec(),
        key: key[1..].to_vec(),
        properties: properties.to_vec(),
        body: body.to_vec(),
    })
}

fn generic(input: &[u8], frame_max: u32) -> Option<Seen> {
    let mut rest = input;
    let mut next = |kind: Kind| -> Option<Frame<'_>> {
        let Ok(Deframed::Frame(frame)) = deframe(rest, frame_max) else {
            return None;
        };
        rest = &rest[frame.consumed..];
        (frame.kind == kind).then_some(frame)
    };
    let method = next(Kind::Method)?;
    let Ok(Method::BasicPublish(publish)) = Method::parse(method.payload) else {
        return None;
    };
    let header = next(Kind::Header)?;
    let content = ContentHeader::parse(header.payload).filter(|content| (content.class, content.weight) == (60, 0))?;
    let body = if content.body_size == 0 { None } else { Some(next(Kind::Body)?) };
    let same_channel = header.channel == method.channel && body.is_none_or(|body| body.channel == method.channel);
    let bytes = body.map_or(&[][..], |body| body.payload);
    (same_channel && bytes.len() as u64 == content.body_size).then(|| Seen {
        consumed: input.len() - rest.len(),
        channel: method.channel,
        bits: (publish.mandatory, publish.immediate),
        exchange: publish.exchange.to_vec(),
        key: publish.routing_key.to_vec(),
        properties: content.properties.to_vec(),
        body: bytes.to_vec(),
    })
}

fn random_publish(dice: &mut Dice) -> Vec<u8> {
    let (exchange, key, body) = (dice.bytes(5), dice.bytes(20), dice.bytes(80));
    let bits = dice.next();
    let publish = basic::Publish {
        ticket: bits as u16,
        exchange: Octets(&exchange),
        routing_key: Octets(&key),
        mandatory: bits >> 16 & 1 == 1,
        immediate: bits >> 17 & 1 == 1,
    };
    let channel = 1 + dice.below(3) as u16;
    let mut out = Outgoing::default();
    publish.write(channel, out.bytes_mut());
    let content_channel = if dice.one_in(8) { 1 } else { channel };
    write_content(content_channel, [0, 40, 4096][dice.below(3)], &random_properties(dice), Body::Slice(&body), &mut out);
    out.slices().collect::<Vec<_>>().concat()
}

//! Frames, methods and content: written values are read back, and spoiled input is refused without
//! a panic.

use bytes::Bytes;
use ringmq::base::outgoing::Outgoing;
use ringmq::message::Body;
use ringmq::protocol::amqp::content::{ContentHeader, write_content};
use ringmq::protocol::amqp::frame::{Deframed, FrameError, Kind, begin_frame, deframe, end_frame};
use ringmq::protocol::amqp::method::argument::Octets;
use ringmq::protocol::amqp::method::{Method, basic, connection, exchange, queue};

use crate::dice::Dice;
use crate::fuzz;
use crate::values::{random_properties, random_table};

#[test]
fn frames() {
    fuzz(|dice| {
        let mut stream = Vec::new();
        for _ in 0..dice.below(4) {
            let start = begin_frame(Kind::from([1, 2, 3, 8, 9][dice.below(5)]), dice.next() as u16, &mut stream);
            stream.extend(dice.bytes(30));
            end_frame(start, &mut stream);
        }
        if dice.one_in(2) {
            dice.mutate(&mut stream);
        }
        let frame_max = [0, 16, 32, 4096][dice.below(4)];
        let mut rest = &stream[..];
        while let Some(consumed) = check_deframe(rest, frame_max) {
            rest = &rest[consumed..];
        }
    });
}

/// Deframes every prefix of the input. Returns the size of the first frame, if there is one.
fn check_deframe(input: &[u8], frame_max: u32) -> Option<usize> {
    let limit = if frame_max == 0 { 16 << 20 } else { frame_max as usize };
    let at = |index: usize| input.get(index).map(|&octet| usize::from(octet));
    let size = (3..7).try_fold(0, |sum, index| Some(sum << 8 | at(index)?));
    match deframe(input, frame_max) {
        Ok(Deframed::Incomplete { needed }) => {
            assert!(needed > input.len() && needed == size.map_or(7, |size| size + 8));
            None
        }
        Ok(Deframed::Frame(frame)) => {
            let size = size.expect("a frame has a header");
            assert!(size <= limit && frame.payload == &input[7..7 + size] && frame.consumed == size + 8);
            assert_eq!((usize::from(frame.kind.octet()), at(7 + size)), (at(0).expect("a frame has a kind"), Some(0xce)));
            assert!(
                (7..frame.consumed).all(|end| deframe(&input[..end], frame_max) == Ok(Deframed::Incomplete { needed: frame.consumed }))
            );
            Some(frame.consumed)
        }
        Err(FrameError::TooLarge { header, .. }) => {
            assert!(header.size as usize > limit && size == Some(header.size as usize));
            None
        }
        Err(error @ FrameError::BadEnd { payload, end, .. }) => {
            assert!(end != 0xce && at(7 + payload.len()) == Some(end.into()) && !error.to_string().is_empty());
            None
        }
    }
}

#[test]
fn methods() {
    fuzz(|dice| {
        let mut frame = random_method(dice);
        let written = frame[7..frame.len() - 1].to_vec();
        let method = Method::parse(&written).expect("what is written can be read");
        assert_eq!(rewritten(&method), written, "{method:?}");
        frame = written;
        dice.mutate(&mut frame);
        if dice.one_in(4) {
            frame = [&[0, dice.below(100) as u8, 0, dice.below(130) as u8], &dice.bytes(30)[..]].concat();
        }
        match Method::parse(&frame) {
            Ok(method) => assert_eq!(Method::parse(&rewritten(&method)), Ok(method)),
            Err(error) => assert!(error.fault().reply_text().len() <= 255),
        }
    });
}

fn rewritten(method: &Method<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    method.write(1, &mut out);
    out[7..out.len() - 1].to_vec()
}

/// Makes a frame with one of the methods whose arguments have the most shapes.
fn random_method(dice: &mut Dice) -> Vec<u8> {
    let table = random_table(dice, 2);
    let (arguments, long) = (table.view(), dice.bytes(20));
    let (a, b, c) = (dice.word(9), dice.word(9), dice.word(255));
    let bits = dice.next();
    let bit = |index: u32| bits >> index & 1 == 1;
    let (octets, ticket) = (Octets(&long), bits as u16);
    let method: Method<'_> = match dice.below(9) {
        0 => connection::StartOk { client_properties: arguments, mechanism: &a, response: &long, locale: &b }.into(),
        1 => connection::Close { reply_code: ticket, reply_text: &c, class_id: 1, method_id: 2 }.into(),
        2 => exchange::Declare {
            ticket,
            exchange: &a,
            kind: &b,
            passive: bit(0),
            durable: bit(1),
            auto_delete: bit(2),
            internal: bit(3),
            nowait: bit(4),
            arguments,
        }
        .into(),
        3 => queue::Bind { ticket, queue: &a, exchange: &b, routing_key: &c, nowait: bit(0), arguments }.into(),
        4 => queue::DeclareOk { queue: &c, message_count: bits as u32, consumer_count: 1 }.into(),
        5 => basic::Consume {
            ticket,
            queue: &a,
            consumer_tag: &b,
            no_local: bit(0),
            no_ack: bit(1),
            exclusive: bit(2),
            nowait: bit(3),
            arguments,
        }
        .into(),
        6 => basic::Deliver { consumer_tag: octets, delivery_tag: bits, redelivered: bit(0), exchange: octets, routing_key: octets }.into(),
        7 => basic::Publish { ticket, exchange: octets, routing_key: octets, mandatory: bit(0), immediate: bit(1) }.into(),
        _ => basic::Nack { delivery_tag: bits, multiple: bit(0), requeue: bit(1) }.into(),
    };
    let mut out = Vec::new();
    method.write(1, &mut out);
    out
}

#[test]
fn content() {
    fuzz(|dice| {
        let properties = random_properties(dice);
        let body = Bytes::from(dice.bytes(300));
        let frame_max = [0, 9, 16, 100, 4096][dice.below(5)];
        let channel = dice.next() as u16;
        let written = |body: Body<'_>| {
            let mut out = Outgoing::default();
            write_content(channel, frame_max, &properties, body, &mut out);
            out.slices().collect::<Vec<_>>().concat()
        };
        let bytes = written(Body::Slice(&body));
        assert_eq!(bytes, written(Body::Shared(&body)));
        check_content(&bytes, channel, frame_max, &properties, &body);
    });
}

fn check_content(mut input: &[u8], channel: u16, frame_max: u32, properties: &[u8], body: &[u8]) {
    let mut payloads = Vec::new();
    while !input.is_empty() {
        let Ok(Deframed::Frame(frame)) = deframe(input, 0) else { panic!("no frame in {input:?}") };
        assert_eq!((frame.channel, frame.kind), (channel, if payloads.is_empty() { Kind::Header } else { Kind::Body }));
        payloads.push(frame.payload);
        input = &input[frame.consumed..];
    }
    let expected = ContentHeader { class: 60, weight: 0, body_size: body.len() as u64, properties };
    assert_eq!(ContentHeader::parse(payloads[0]), Some(expected));
    assert_eq!(payloads[1..].concat(), body);
    let fits = |payload: &&[u8]| !payload.is_empty() && (frame_max == 0 || payload.len() + 8 <= frame_max as usize);
    assert!(payloads[1..].iter().all(fits));
}

//! Literal bytes of one method of every form, and round trips of all methods.

use super::argument::Octets;
use super::*;
use crate::message::{Table, TableBuilder};

fn written<'a>(method: impl Into<Method<'a>>) -> Vec<u8> {
    let mut out = Vec::new();
    method.into().write(1, &mut out);
    out
}

/// The payload of a frame that `write` made, on channel 1.
fn payload(frame: &[u8]) -> &[u8] {
    assert_eq!((&frame[..3], frame.last()), (&[1, 0, 1][..], Some(&0xCE)));
    assert_eq!(u32::from_be_bytes(frame[3..7].try_into().unwrap()) as usize, frame.len() - 8);
    &frame[7..frame.len() - 1]
}

#[test]
fn methods_have_the_expected_bytes() {
    assert_eq!(written(basic::Ack { delivery_tag: 258, multiple: true }), b"\x01\0\x01\0\0\0\x0d\0\x3c\0\x50\0\0\0\0\0\0\x01\x02\x01\xCE");
    assert_eq!(written(tx::Select {}), b"\x01\0\x01\0\0\0\x04\0\x5a\0\x0a\xCE");
    let arguments = TableBuilder::new().int("x-max-length", 5).build();
    let declare = queue::Declare { queue: "q", durable: true, nowait: true, arguments: arguments.view(), ..Default::default() };
    let expected = b"\x01\0\x01\0\0\0\x1f\0\x32\0\x0a\0\0\x01q\x12\0\0\0\x12\x0cx-max-lengthI\0\0\0\x05\xCE";
    assert_eq!(written(declare), expected);
    assert_eq!(Method::parse(payload(&written(declare))), Ok(Method::QueueDeclare(declare)));
    let start = connection::Start { version_minor: 9, mechanisms: b"PLAIN", locales: b"en_US", ..Default::default() };
    assert_eq!(payload(&written(start)), b"\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US");
    assert_eq!(
        payload(&written(connection::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 })),
        b"\0\x0a\0\x1e\x07\xff\0\x02\0\0\0\x3c"
    );
    assert_eq!(payload(&written(exchange::UnbindOk {})), b"\0\x28\0\x33");
    assert_eq!(payload(&written(channel::OpenOk::default())), b"\0\x14\0\x0b\0\0\0\0");
}

#[test]
fn every_method_survives_a_round_trip() {
    for (ids, name) in ALL {
        let mut bytes = [ids.0.to_be_bytes(), ids.1.to_be_bytes()].concat();
        // Zeros are valid arguments of any method; the loop finds the right number of them.
        while Method::parse(&bytes).is_err() {
            assert!(bytes.len() < 64, "{name} is unknown");
            bytes.push(0);
        }
        let method = Method::parse(&bytes).unwrap();
        assert_eq!((method.ids(), method.name()), (*ids, *name));
        assert_eq!(payload(&written(method)), bytes, "{name}");
    }
    let count = (0..=100u16).flat_map(|class| (0..=130u16).map(move |method| (class, method))).filter(|&(class, method)| {
        let payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
        !matches!(Method::parse(&payload), Err(MethodError::Unknown { .. }))
    });
    assert_eq!(count.count(), ALL.len());
}

#[test]
fn content_methods_take_any_bytes_as_names() {
    let publish = basic::Publish { exchange: Octets(b"\xff"), routing_key: Octets(b"k"), mandatory: true, ..Default::default() };
    let frame = written(publish);
    let method = Method::parse(payload(&frame)).unwrap();
    assert!(method == Method::BasicPublish(publish) && method.has_content());
    assert_eq!(Method::parse(b"\0\x32\0\x1e\0\0\x01\xff\0"), Err(MethodError::Utf8));
}

#[test]
fn errors_read_as_in_rabbitmq() {
    let fault = |payload: &'static [u8]| {
        let error = Method::parse(payload).unwrap_err();
        (error.ids(), error.fault().reply_text())
    };
    let trailing = b"\0\x32\0\x0a\0\0\x02q1\x08\0\0\0\0z";
    assert_eq!(fault(trailing), ((50, 10), "FRAME_ERROR - cannot decode <<0,0,2,113,49,8,0,0,0,0,122>>".into()));
    assert_eq!(fault(&trailing[..9]), ((50, 10), "FRAME_ERROR - cannot decode <<0,0,2,113,49>>".into()));
    assert_eq!(fault(b"\0\x32"), ((0, 0), "FRAME_ERROR - type 1, all octets = <<0,50>>: unknown_frame".into()));
    assert_eq!(fault(b"\0\x32\0\x0a\0\0\x01\xff\x08\0\0\0\0"), ((0, 0), "FRAME_ERROR - Malformed UTF-8 in shortstr".into()));
    assert_eq!(fault(b"\0\x32\0\x63"), ((50, 99), "NOT_IMPLEMENTED - unknown method 99 of class 50".into()));
    assert!(fault(b"\0\x32\0\x0a\0\0\x01q\x08\0\0\0\x01a").1.starts_with("SYNTAX_ERROR - cannot decode a table"));
    assert_eq!(Table::empty().view(), queue::Declare::default().arguments);
}

const ALL: &[((u16, u16), &str)] = &[
    ((10, 10), "connection.start"),
    ((10, 11), "connection.start-ok"),
    ((10, 20), "connection.secure"),
    ((10, 21), "connection.secure-ok"),
    ((10, 30), "connection.tune"),
    ((10, 31), "connection.tune-ok"),
    ((10, 40), "connection.open"),
    ((10, 41), "connection.open-ok"),
    ((10, 50), "connection.close"),
    ((10, 51), "connection.close-ok"),
    ((10, 60), "connection.blocked"),
    ((10, 61), "connection.unblocked"),
    ((10, 70), "connection.update-secret"),
    ((10, 71), "connection.update-secret-ok"),
    ((20, 10), "channel.open"),
    ((20, 11), "channel.open-ok"),
    ((20, 20), "channel.flow"),
    ((20, 21), "channel.flow-ok"),
    ((20, 40), "channel.close"),
    ((20, 41), "channel.close-ok"),
    ((30, 10), "access.request"),
    ((30, 11), "access.request-ok"),
    ((40, 10), "exchange.declare"),
    ((40, 11), "exchange.declare-ok"),
    ((40, 20), "exchange.delete"),
    ((40, 21), "exchange.delete-ok"),
    ((40, 30), "exchange.bind"),
    ((40, 31), "exchange.bind-ok"),
    ((40, 40), "exchange.unbind"),
    ((40, 51), "exchange.unbind-ok"),
    ((50, 10), "queue.declare"),
    ((50, 11), "queue.declare-ok"),
    ((50, 20), "queue.bind"),
    ((50, 21), "queue.bind-ok"),
    ((50, 30), "queue.purge"),
    ((50, 31), "queue.purge-ok"),
    ((50, 40), "queue.delete"),
    ((50, 41), "queue.delete-ok"),
    ((50, 50), "queue.unbind"),
    ((50, 51), "queue.unbind-ok"),
    ((60, 10), "basic.qos"),
    ((60, 11), "basic.qos-ok"),
    ((60, 20), "basic.consume"),
    ((60, 21), "basic.consume-ok"),
    ((60, 30), "basic.cancel"),
    ((60, 31), "basic.cancel-ok"),
    ((60, 40), "basic.publish"),
    ((60, 50), "basic.return"),
    ((60, 60), "basic.deliver"),
    ((60, 70), "basic.get"),
    ((60, 71), "basic.get-ok"),
    ((60, 72), "basic.get-empty"),
    ((60, 80), "basic.ack"),
    ((60, 90), "basic.reject"),
    ((60, 100), "basic.recover-async"),
    ((60, 110), "basic.recover"),
    ((60, 111), "basic.recover-ok"),
    ((60, 120), "basic.nack"),
    ((85, 10), "confirm.select"),
    ((85, 11), "confirm.select-ok"),
    ((90, 10), "tx.select"),
    ((90, 11), "tx.select-ok"),
    ((90, 20), "tx.commit"),
    ((90, 21), "tx.commit-ok"),
    ((90, 30), "tx.rollback"),
    ((90, 31), "tx.rollback-ok"),
];

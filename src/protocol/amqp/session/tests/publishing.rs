//! Publishing: whole and in pieces, refused, confirmed, returned, in transactions.

use super::*;
use crate::base::limits::SETTLE_SHARE;

#[test]
fn a_message_arrives_the_same_however_it_is_split() {
    let small = publish(1, true, b"hello");
    let large = publish(1, false, &vec![7; 300_000]);
    for piece in [1, 3, 8, 21, 1000, usize::MAX] {
        let mut peer = Peer::open();
        peer.piece = piece;
        peer.feed(&[&small[..], &publish(1, false, b""), &large].concat());
        assert_eq!(peer.happened(), ["publish 1 x/k mandatory hello", "publish 1 x/k ", "publish 1 x/k 300000 bytes"], "{piece}");
    }
}

#[test]
fn a_large_body_becomes_a_counted_buffer() {
    let mut peer = Peer::open();
    let input = publish(1, false, &vec![7; 140_000]);
    let (consumed, event) = peer.session.poll(&input, &mut Contents::new());
    assert!(matches!(event, Event::Assembled { channel: 1 }) && consumed == input.len());
    let message = peer.session.take_assembled();
    assert!(matches!(message.view().body, Body::Shared(bytes) if bytes.len() == 140_000));
    const { assert!(SHARED_BODY_MIN < 140_000) };
}

#[test]
fn channels_may_interleave_their_content() {
    let mut peer = Peer::open();
    peer.send(2, channel::Open::default());
    let (one, two) = (publish(1, false, b"one"), publish(2, false, b"two"));
    peer.feed(&one[..one.len() - 11]);
    peer.feed(&two);
    peer.feed(&one[one.len() - 11..]);
    assert_eq!(peer.happened(), ["publish 2 x/k two", "publish 1 x/k one"]);
}

#[test]
fn content_that_does_not_fit_closes_the_connection() {
    let method = &publish(1, false, b"")[..19];
    let header = |class: u16, weight: u16, size: u64, flags: &[u8]| {
        frame(Kind::Header, 1, &[&class.to_be_bytes()[..], &weight.to_be_bytes(), &size.to_be_bytes(), flags].concat())
    };
    let three = header(60, 0, 3, &[0, 0]);
    let cases = [
        (
            frame(Kind::Body, 1, b"abc"),
            "505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead (60, 40)",
        ),
        (
            header(60, 1, 3, &[0, 0]),
            "505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead (60, 40)",
        ),
        (header(50, 0, 3, &[0, 0]), "505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead (60, 40)"),
        (
            header(60, 0, 1 << 40, &[0, 0]),
            "501 FRAME_ERROR - content body size 1099511627776 exceeds maximum allowed size 536870912 (60, 40)",
        ),
        (header(60, 0, 0, &[0x80, 0]), "541 INTERNAL_ERROR (0, 0)"),
        (
            [&three[..], &frame(Kind::Body, 1, b"abcd")].concat(),
            "501 FRAME_ERROR - content body frame exceeds remaining content size (60, 40)",
        ),
        ([&three[..], method].concat(), "505 UNEXPECTED_FRAME - expected content body, got non content body frame instead (60, 40)"),
    ];
    for (input, text) in cases {
        let mut peer = Peer::open();
        peer.feed(method);
        peer.feed(&input);
        assert_eq!(peer.said(), [format!("0 connection.close {text}")]);
    }
}

#[test]
fn a_body_frame_that_ends_in_the_wrong_place_is_shown() {
    for piece in [1, usize::MAX] {
        let mut peer = Peer::open();
        peer.piece = piece;
        let mut input = publish(1, false, b"hello");
        *input.last_mut().expect("a frame") = 1;
        peer.feed(&input);
        let text = "501 FRAME_ERROR - type 3, all octets = <<\"hello\">>: {invalid_frame_end_marker,1} (0, 0)";
        assert_eq!(peer.said(), [format!("0 connection.close {text}")]);
    }
}

#[test]
fn a_message_may_be_too_large() {
    let mut peer = Peer::with(Config { max_message_size: 1000, ..Config::default() }, usize::MAX);
    peer.handshake();
    peer.send(1, channel::Open::default());
    peer.said();
    peer.feed(&publish(1, false, &[7; 1001]));
    let text = "1 channel.close 406 PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000 (60, 40)";
    assert_eq!(peer.said(), [text]);
    peer.send(1, channel::CloseOk {});
    peer.send(1, channel::Open::default());
    peer.happened();
    peer.feed(&publish(1, false, &[7; 1000]));
    assert_eq!(peer.happened(), ["publish 1 x/k 1000 bytes"]);
}

#[test]
fn publishes_to_the_same_place_come_in_runs() {
    let mut peer = Peer::open();
    let [a, b] = [publish(1, false, b"a"), publish(1, false, b"b")];
    let input = [&a.repeat(PUBLISH_RUN_MAX + 1)[..], &publish(1, true, b"c"), &b, &b[..b.len() - 1]].concat();
    let (mut at, mut runs) = (0, Vec::new());
    let mut contents = Contents::new();
    while let (consumed, Event::Publish(_)) = peer.session.poll(&input[at..], &mut contents) {
        at += consumed;
        runs.push(contents.iter().map(|content| content.body.bytes()[0]).collect::<Vec<u8>>());
    }
    assert_eq!(runs, [&[b'a'; PUBLISH_RUN_MAX][..], b"a", b"c", b"b"]);
    assert_eq!(at, input.len() - b.len() + 1);
}

#[test]
fn immediate_is_not_implemented() {
    let mut peer = Peer::open();
    let mut input = publish(1, false, b"x");
    input[17] = 2;
    peer.feed(&input);
    assert_eq!(peer.said(), ["0 connection.close 540 NOT_IMPLEMENTED - immediate=true (60, 40)"]);
}

#[test]
fn a_publish_can_fail_its_channel() {
    let mut peer = Peer::open();
    let input = publish(1, false, b"x");
    let (consumed, event) = peer.session.poll(&input, &mut Contents::new());
    assert!(matches!(event, Event::Publish(_)) && consumed == input.len());
    peer.session.fault(1, Fault::new(Code::NotFound, "no exchange 'x' in vhost '/'"));
    peer.feed(&input);
    assert_eq!(peer.said(), ["1 channel.close 404 NOT_FOUND - no exchange 'x' in vhost '/' (60, 40)"]);
    assert_eq!(peer.happened(), ["channel 1 ended: 0 consumers, 0 receipts"]);
}

#[test]
fn confirms_are_coalesced_behind_what_is_returned() {
    let mut peer = Peer::open();
    peer.send(1, confirm::Select::default());
    for n in 1..=4 {
        peer.feed(&publish(1, true, b"x"));
        match n {
            2 => peer.session.return_message(1, &message(b"x")),
            3 => peer.session.hold(1, 3, 1, 2),
            _ => {}
        }
    }
    assert!(peer.session.is_confirm_dirty());
    peer.session.flush_confirms();
    assert_eq!(peer.said()[1..], ["1 basic.return 312 NO_ROUTE", "1 header 1", "1 body x", "1 basic.ack 2 multiple", "1 basic.ack 4"]);
    let generation = peer.session.generation(1);
    peer.session.accepted(1, generation, 3, 1);
    assert!(!peer.session.is_confirm_dirty());
    peer.session.accepted(1, generation, 3, 1);
    peer.session.flush_confirms();
    assert_eq!(peer.said(), ["1 basic.ack 3"]);
    assert_eq!(peer.happened().last().map(String::as_str), Some("publish 1 x/k mandatory #4 x"));
    peer.session.accepted(1, generation + 1, 1, 1);
    peer.session.accepted(9, generation, 1, 1);
}

#[test]
fn a_transaction_holds_everything_back() {
    let mut peer = Peer::open();
    peer.send(1, tx::Select {});
    peer.said();
    let index = peer.consume("c", false);
    (0..3).for_each(|_| peer.deliver(index, b"m"));
    peer.said();
    peer.feed(&publish(1, false, b"one"));
    peer.send(1, basic::Ack { delivery_tag: 2, multiple: true });
    assert_eq!(peer.happened(), ["publish 1 x/k one at commit", "Acked 2 at commit"]);
    peer.send(1, tx::Rollback {});
    peer.feed(&publish(1, false, b"two"));
    peer.send(1, basic::Ack { delivery_tag: 2, multiple: true });
    peer.send(1, basic::Nack { delivery_tag: 3, requeue: true, ..Default::default() });
    peer.send(1, tx::Commit {});
    let happened = ["publish 1 x/k two at commit", "Acked 2 at commit", "Requeued 3 at commit", "commit 1: [Acked, Acked, Requeued]"];
    assert_eq!(peer.happened(), happened);
    peer.answer(Notice::Done);
    assert_eq!(peer.said(), ["1 tx.rollback-ok", "1 tx.commit-ok"]);
}

#[test]
fn a_rollback_loses_nothing_when_the_connection_is_closed_meanwhile() {
    const COUNT: usize = 3 * SETTLE_SHARE;
    let mut peer = Peer::open();
    peer.send(1, tx::Select {});
    peer.said();
    let index = peer.consume("c", false);
    (0..COUNT).for_each(|_| peer.deliver(index, b"m"));
    peer.said();
    peer.send(1, basic::Ack { delivery_tag: 0, multiple: true });
    let settles = peer.settles.remove(&1).expect("all are settled");
    peer.session.begin_rollback(1, settles);
    assert!(peer.session.roll_back(), "all at once");
    peer.session.force_close("the user is deleted");
    while peer.session.roll_back() {}
    peer.run();
    assert_eq!(peer.happened().last(), Some(&format!("closing ConnectionForced: 1 consumers, {COUNT} receipts")));
    assert!(!peer.said().iter().any(|said| said.contains("rollback-ok")));
}

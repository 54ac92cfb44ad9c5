//! Channels: opening, closing, requests, modes.

use super::*;

#[test]
fn a_channel_is_opened_before_it_is_used() {
    let mut peer = Peer::open();
    peer.send(2, channel::Close::default());
    assert_eq!(peer.said(), ["0 connection.close 504 CHANNEL_ERROR - expected 'channel.open' (20, 40)"]);
}

#[test]
fn there_are_as_many_channels_as_were_negotiated() {
    let mut peer = Peer::with(Config { channel_max: 2, ..Config::default() }, usize::MAX);
    peer.feed(&PROTOCOL_HEADER);
    peer.send(0, start_ok("PLAIN", b"\0guest\0guest"));
    peer.send(0, conn::TuneOk { channel_max: 2, frame_max: 131_072, heartbeat: 0 });
    peer.send(0, conn::Open { virtual_host: "/", ..Default::default() });
    for number in [65535, 2, 7] {
        peer.send(number, channel::Open::default());
    }
    let close = "0 connection.close 530 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2) (0, 0)";
    assert_eq!(peer.said()[3..], ["65535 channel.open-ok", "2 channel.open-ok", close]);
}

#[test]
fn a_closed_channel_can_be_opened_again() {
    let mut peer = Peer::open();
    peer.send(1, channel::Close::default());
    peer.send(1, channel::Open::default());
    assert_eq!(peer.said(), ["1 channel.close-ok", "1 channel.open-ok"]);
    assert_eq!(peer.happened(), ["channel 1 ended: 0 consumers, 0 receipts"]);
}

#[test]
fn a_failed_channel_waits_for_close_ok() {
    let mut peer = Peer::open();
    peer.send(1, basic::Ack { delivery_tag: 77, multiple: false });
    assert_eq!(peer.said(), ["1 channel.close 406 PRECONDITION_FAILED - unknown delivery tag 77 (60, 80)"]);
    assert_eq!(peer.happened(), ["Acked 0", "channel 1 ended: 0 consumers, 0 receipts"]);
    peer.send(1, basic::Qos::default());
    peer.feed(&publish(1, false, b"too late"));
    peer.send(1, channel::Close::default());
    assert_eq!(peer.said(), ["1 channel.close-ok"]);
    peer.send(1, channel::CloseOk {});
    peer.send(1, channel::Open::default());
    assert_eq!((peer.said(), peer.happened()), (vec!["1 channel.open-ok".to_owned()], vec![]));
}

#[test]
fn frames_of_a_failed_channel_must_still_make_sense() {
    let mut peer = Peer::open();
    peer.send(1, basic::Ack { delivery_tag: 77, multiple: false });
    peer.said();
    peer.feed(&frame(Kind::Body, 1, b"abc"));
    let close = "0 connection.close 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0, 0)";
    assert_eq!(peer.said(), [close]);
    let mut peer = Peer::open();
    peer.send(1, basic::Ack { delivery_tag: 77, multiple: false });
    peer.send(1, channel::Open::default());
    assert_eq!(peer.said()[1], "0 connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20, 10)");
}

#[test]
fn the_broker_is_asked_and_its_answer_is_passed_on() {
    let mut peer = Peer::open();
    peer.send(1, queue::Declare { queue: "a\r\nb", durable: true, ..Default::default() });
    assert!(matches!(&peer.request, Some(Request::Topology(Topology::DeclareQueue(spec))) if &*spec.name == "ab" && spec.durable));
    assert!(peer.session.pending.is_some());
    peer.answer(Notice::QueueDeclared { name: "ab".into(), messages: 3, consumers: 1 });
    assert_eq!(peer.said(), ["1 queue.declare-ok ab 3 1"]);
    peer.send(1, queue::Purge { nowait: true, ..Default::default() });
    assert_eq!(peer.request, Some(Request::PurgeQueue { name: "ab".into() }));
    peer.answer(Notice::MessagesGone { messages: 3 });
    assert!(peer.said().is_empty());
    peer.send(1, queue::Bind { exchange: "amq.direct", ..Default::default() });
    assert!(
        matches!(&peer.request, Some(Request::Topology(Topology::Bind(binding))) if *binding.key == *b"ab" && &*binding.destination == "ab")
    );
    peer.answer(Notice::Failed(Fault::new(Code::NotFound, "no such thing")));
    assert_eq!(peer.said(), ["1 channel.close 404 NOT_FOUND - no such thing (50, 20)"]);
}

#[test]
fn names_are_given_and_reserved() {
    let mut peer = Peer::open();
    peer.send(1, queue::Declare::default());
    let Some(Request::Topology(Topology::DeclareQueue(spec))) = &peer.request else { panic!("{:?}", peer.request) };
    assert!(spec.name.starts_with("amq.gen-") && spec.name.len() == 30);
    let name = spec.name.clone();
    peer.answer(Notice::QueueDeclared { name, messages: 0, consumers: 0 });
    peer.said();
    peer.send(1, queue::Declare { queue: "amq.x", ..Default::default() });
    let text = "1 channel.close 403 ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*' (50, 10)";
    assert_eq!(peer.said(), [text]);
    let mut peer = Peer::open();
    peer.send(1, basic::Get::default());
    assert_eq!(peer.said(), ["1 channel.close 404 NOT_FOUND - no previously declared queue (60, 70)"]);
}

#[test]
fn flow_cannot_be_stopped() {
    let mut peer = Peer::open();
    peer.send(1, channel::Flow { active: true });
    peer.send(1, channel::Flow { active: false });
    assert_eq!(peer.said(), ["1 channel.flow-ok", "0 connection.close 540 NOT_IMPLEMENTED - active=false (20, 20)"]);
}

#[test]
fn a_channel_confirms_or_is_transactional() {
    let cases: [(&[Method<'_>], &str); 5] = [
        (&[confirm::Select::default().into(), tx::Select {}.into()], "cannot switch from confirm to tx mode (90, 10)"),
        (&[tx::Select {}.into(), confirm::Select::default().into()], "cannot switch from tx to confirm mode (85, 10)"),
        (&[tx::Commit {}.into()], "channel is not transactional (90, 20)"),
        (&[tx::Rollback {}.into()], "channel is not transactional (90, 30)"),
        (&[basic::Nack { delivery_tag: 0, ..Default::default() }.into()], "unknown delivery tag 0 (60, 120)"),
    ];
    for (methods, text) in cases {
        let mut peer = Peer::open();
        methods.iter().for_each(|&method| peer.send(1, method));
        assert_eq!(peer.said().pop(), Some(format!("1 channel.close 406 PRECONDITION_FAILED - {text}")));
    }
}

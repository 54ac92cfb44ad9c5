//! Alarms: which publishes block a connection, and what happens to a publish under way.

use super::*;
use crate::base::alarms::{Alarm, AlarmSet, Alarms};

fn memory() -> AlarmSet {
    let alarms = Alarms::default();
    alarms.set(Alarm::Memory, true);
    alarms.get()
}

/// Ends all alarms.
fn clear(peer: &mut Peer) {
    assert!(peer.session.on_alarms(AlarmSet::default()), "it was blocked");
    peer.run();
}

#[test]
fn the_body_of_a_publish_waits_for_the_end_of_the_alarm() {
    for piece in [1, usize::MAX] {
        let mut peer = Peer::open();
        peer.piece = piece;
        assert!(!peer.session.on_alarms(memory()));
        peer.feed(&[publish(1, false, b"one"), publish(1, false, b"two")].concat());
        assert_eq!((peer.happened(), peer.said()), (vec!["blocked".into()], vec!["0 connection.blocked".into()]));
        clear(&mut peer);
        assert_eq!(
            (peer.happened(), peer.said()),
            (vec!["publish 1 x/k one".into(), "publish 1 x/k two".into()], vec!["0 connection.unblocked".into()])
        );
    }
}

#[test]
fn a_message_without_a_body_is_complete_with_its_header() {
    let mut peer = Peer::open();
    peer.session.on_alarms(memory());
    peer.feed(&publish(1, false, b""));
    assert_eq!(peer.happened(), ["publish 1 x/k ", "blocked"]);
}

#[test]
fn an_alarm_that_ends_before_the_client_is_told_of_it_is_none() {
    let mut peer = Peer::open();
    peer.session.on_alarms(memory());
    let input = publish(1, false, b"");
    let (consumed, event) = peer.session.poll(&input, &mut Contents::new());
    assert!(matches!(event, Event::Assembled { .. }) && consumed == input.len());
    peer.session.take_assembled();
    assert!(!peer.session.on_alarms(AlarmSet::default()));
    peer.run();
    assert_eq!((peer.happened(), peer.said()), (vec![], vec![]));
}

#[test]
fn acks_and_requests_are_taken_as_ever() {
    let mut peer = Peer::open();
    let index = peer.consume("c", false);
    peer.deliver(index, b"x");
    peer.said();
    peer.session.on_alarms(memory());
    peer.send(1, basic::Ack { delivery_tag: 1, multiple: false });
    peer.send(1, basic::Get { queue: "q", ..Default::default() });
    assert_eq!(peer.happened(), ["Acked 1"]);
    assert!(peer.request.is_some() && !peer.session.is_blocked());
}

#[test]
fn who_is_blocked_need_not_be_heard() {
    let mut peer = Peer::open();
    peer.session.on_alarms(memory());
    peer.feed(&publish(1, false, b"one"));
    peer.pass(600_000);
    assert_eq!(peer.happened(), ["blocked"]);
    clear(&mut peer);
    peer.happened();
    peer.pass(200_000);
    assert_eq!(peer.happened(), ["finished"]);
}

#[test]
fn a_blocked_connection_can_be_closed() {
    let mut peer = Peer::open();
    peer.session.on_alarms(memory());
    peer.feed(&publish(1, false, b"one"));
    peer.said();
    peer.session.shut_down();
    assert!(!peer.session.is_blocked());
    peer.send(0, conn::CloseOk {});
    assert_eq!(peer.happened(), ["blocked", "closing ConnectionForced: 0 consumers, 0 receipts", "finished"]);
    assert!(!peer.session.on_alarms(AlarmSet::default()));
    assert_eq!(peer.said().len(), 1, "connection.close and nothing of the alarm");
}

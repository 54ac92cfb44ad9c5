//! Consumers, deliveries, prefetch, settling.

use super::*;

#[test]
fn a_consumer_is_served_and_its_deliveries_are_settled() {
    let mut peer = Peer::open();
    let index = peer.consume("c", false);
    assert_eq!(peer.session.consumer(1, index), Some((queue_addr(), ConsumerId::default())));
    (0..3).for_each(|_| peer.deliver(index, b"m"));
    let entry = Entry::new(0, 1, MessageRef::default()).returned();
    peer.session.delivery(1, index).deliver(entry, &message(b""));
    let expected = ["1 basic.deliver c 1", "1 header 1", "1 body m", "1 basic.deliver c 2", "1 header 1", "1 body m"];
    let said = peer.said();
    assert_eq!(
        (&said[..6], &said[9..]),
        (&expected.map(String::from)[..], &["1 basic.deliver c 4 again", "1 header 0"].map(String::from)[..])
    );
    peer.send(1, basic::Ack { delivery_tag: 2, multiple: true });
    peer.send(1, basic::Reject { delivery_tag: 4, requeue: false });
    peer.send(1, basic::Recover { requeue: true });
    assert_eq!(peer.happened(), ["Acked 2", "Discarded 1", "recover 1"]);
    assert_eq!(peer.said(), ["1 basic.recover-ok"]);
}

#[test]
fn a_channel_has_a_prefetch_of_its_own() {
    let mut peer = Peer::open();
    peer.send(1, basic::Qos { prefetch_count: 2, global: true, ..Default::default() });
    peer.said();
    let (acking, free) = (peer.consume("a", false), peer.consume("f", true));
    peer.deliver(acking, b"1");
    peer.deliver(free, b"2");
    peer.deliver(acking, b"3");
    assert_eq!(peer.session.can_take(1, acking), Room::ChannelFull);
    peer.deliver(free, b"4");
    peer.send(1, basic::Ack { delivery_tag: 2, multiple: false });
    assert_eq!(peer.said().pop(), Some("1 channel.close 406 PRECONDITION_FAILED - unknown delivery tag 2 (60, 80)".into()));
    assert_eq!(peer.happened(), ["Acked 0", "channel 1 ended: 2 consumers, 2 receipts"]);
    assert_eq!(peer.session.can_take(1, acking), Room::Gone);
}

#[test]
fn a_full_channel_tells_when_it_has_room() {
    let mut peer = Peer::open();
    peer.send(1, basic::Qos { prefetch_count: 1, global: true, ..Default::default() });
    peer.said();
    let index = peer.consume("a", false);
    peer.deliver(index, b"1");
    peer.send(1, basic::Ack { delivery_tag: 1, multiple: false });
    assert_eq!(peer.happened(), ["Acked 1", "relieved 1"]);
    peer.deliver(index, b"2");
    peer.send(1, basic::Qos { prefetch_count: 5, ..Default::default() });
    assert_eq!(peer.happened(), ["relieved 1"]);
    peer.send(1, basic::Qos { prefetch_size: 5, ..Default::default() });
    assert_eq!(peer.said().pop(), Some("0 connection.close 540 NOT_IMPLEMENTED - prefetch_size!=0 (5) (60, 10)".into()));
}

#[test]
fn a_prefetch_is_for_consumers_to_come() {
    let mut peer = Peer::open();
    peer.send(1, basic::Qos { prefetch_count: 7, ..Default::default() });
    peer.said();
    for (no_ack, expected) in [(false, 7), (true, 0)] {
        peer.send(1, basic::Consume { queue: "q", no_ack, ..Default::default() });
        assert!(matches!(peer.request, Some(Request::Consume { prefetch, .. }) if prefetch == expected));
        peer.answer(Notice::Consuming { queue: queue_addr(), consumer: ConsumerId::default(), timeout_ms: None });
    }
}

#[test]
fn consumers_come_and_go() {
    let mut peer = Peer::open();
    let first = peer.consume("a", true);
    peer.send(1, basic::Cancel { consumer_tag: "unknown", nowait: false });
    peer.send(1, basic::Cancel { consumer_tag: "a", nowait: false });
    assert_eq!(peer.request, Some(Request::Cancel { index: first }));
    peer.deliver(first, b"just in time");
    peer.answer(Notice::Done);
    assert_eq!(peer.said()[4..], ["1 basic.cancel-ok"]);
    let second = peer.consume("a", true);
    assert_eq!(peer.session.can_take(1, first), Room::Gone);
    peer.session.consumer_gone(1, first);
    peer.session.consumer_gone(1, second);
    peer.send(1, basic::CancelOk { consumer_tag: "a" });
    assert_eq!(peer.said(), ["1 basic.cancel a"]);
    peer.consume("a", true);
    peer.send(1, basic::Consume { queue: "q", consumer_tag: "a", ..Default::default() });
    assert_eq!(peer.said(), ["0 connection.close 530 NOT_ALLOWED - attempt to reuse consumer tag 'a' (60, 20)"]);
}

#[test]
fn a_consumer_that_is_refused_leaves_nothing() {
    let mut peer = Peer::open();
    peer.send(1, basic::Consume { queue: "q", consumer_tag: "a", ..Default::default() });
    let fault = Fault::new(Code::AccessRefused, "queue 'q' in vhost '/' in exclusive use");
    peer.answer(Notice::Failed(fault));
    assert_eq!(peer.said(), ["1 channel.close 403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use (60, 20)"]);
    assert_eq!(peer.happened(), ["channel 1 ended: 0 consumers, 0 receipts"]);
}

#[test]
fn a_message_can_be_fetched() {
    let mut peer = Peer::open();
    for no_ack in [false, true] {
        peer.send(1, basic::Get { queue: "q", no_ack, ..Default::default() });
        assert_eq!(peer.request, Some(Request::Get { queue: "q".into(), no_ack }));
        peer.session.deliver_get(queue_addr(), Entry::new(0, 1, MessageRef::default()), 4, None, &message(b"m"));
    }
    peer.send(1, basic::Get { queue: "q", ..Default::default() });
    peer.answer(Notice::Empty);
    let expected = ["1 basic.get-ok 1 4", "1 header 1", "1 body m", "1 basic.get-ok 2 4", "1 header 1", "1 body m", "1 basic.get-empty"];
    assert_eq!(peer.said(), expected);
    peer.send(1, basic::Ack { delivery_tag: 1, multiple: false });
    assert_eq!(peer.happened(), ["Acked 1"]);
}

#[test]
fn a_consumer_added_while_the_connection_closes_is_given_back() {
    let mut peer = Peer::open();
    peer.send(1, basic::Consume { queue: "q", ..Default::default() });
    peer.session.shut_down();
    peer.said();
    peer.answer(Notice::Consuming { queue: queue_addr(), consumer: ConsumerId::default(), timeout_ms: None });
    assert!(peer.said().is_empty());
    assert_eq!(peer.happened(), ["closing ConnectionForced: 1 consumers, 0 receipts"]);
}

#[test]
fn output_has_a_limit() {
    let mut peer = Peer::open();
    let index = peer.consume("a", true);
    let body = vec![0; 100_000];
    let taken = (0..100).take_while(|_| {
        let room = peer.session.can_take(1, index);
        if room == Room::Yes {
            peer.deliver(index, &body);
        }
        room == Room::Yes
    });
    assert_eq!(taken.count(), OUTPUT_SIZE_MAX / body.len() + 1);
    assert_eq!(peer.session.can_take(1, index), Room::OutputFull);
}

#[test]
fn a_consumer_whose_queue_goes_while_it_cancels_gets_its_answer() {
    let mut peer = Peer::open();
    let index = peer.consume("a", true);
    peer.send(1, basic::Cancel { consumer_tag: "a", nowait: false });
    peer.session.consumer_gone(1, index);
    peer.answer(Notice::Done);
    assert_eq!(peer.said(), ["1 basic.cancel-ok"]);
}

#[test]
fn who_asks_and_never_reads_is_stalled() {
    let mut peer = Peer::open();
    let body = vec![0; 1 << 20];
    for _ in 0..40 {
        peer.send(1, basic::Get { queue: "q", no_ack: true, ..Default::default() });
        if peer.session.pending.is_some() {
            peer.session.deliver_get(queue_addr(), Entry::new(0, 1, MessageRef::default()), 1, None, &message(&body));
        }
    }
    assert!(peer.session.is_stalled());
    let gets = |peer: &mut Peer| peer.said().iter().filter(|said| said.contains("get-ok")).count();
    assert_eq!(gets(&mut peer), 32);
    peer.run();
    peer.session.deliver_get(queue_addr(), Entry::new(0, 1, MessageRef::default()), 1, None, &message(&body));
    assert_eq!(gets(&mut peer), 1);
}

#[test]
fn an_idle_session_is_small() {
    let peer = Peer::open();
    let fixed = size_of::<Session>() + size_of::<Channel>();
    assert!(fixed < 2048, "{fixed}");
    assert!(peer.session.channels.len() == 1);
}

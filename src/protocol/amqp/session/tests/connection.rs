//! Negotiation, channel 0, time limits, and the end of connections.

use super::*;

fn greeted() -> Peer {
    let mut peer = Peer::with(Config::default(), usize::MAX);
    peer.feed(&PROTOCOL_HEADER);
    assert_eq!(peer.said(), ["0 connection.start"]);
    peer
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let mut peer = Peer::with(Config::default(), 1);
    peer.handshake();
    assert!(peer.session.is_running());
    assert_eq!((peer.session.user(), peer.session.client_name()), (&b"guest"[..], &b"tester"[..]));
}

#[test]
fn other_protocols_are_refused_politely() {
    for (greeting, answer, what) in [
        (b"AMQP\x00\x00\x09\x02", "header [0, 0, 9, 1]", "bad protocol header <<65,77,81,80,0,0,9,2>>"),
        (b"AMQP\x00\x00\x0a\x00", "header [0, 0, 9, 1]", "bad protocol header <<65,77,81,80,0,0,10,0>>"),
        (b"AMQP\x01\x01\x08\x00", "header [3, 1, 0, 0]", "bad protocol header <<65,77,81,80,1,1,8,0>>"),
        (b"AMQP\x00\x01\x00\x00", "header [3, 1, 0, 0]", "bad protocol header <<65,77,81,80,0,1,0,0>>"),
        (b"GET / HT", "header [3, 1, 0, 0]", "HTTP GET request detected on AMQP port"),
        (b"\x16\x03\x01\x00\x50\x01ab", "header [3, 1, 0, 0]", "TLS client detected on non-TLS AMQP port"),
    ] {
        let mut peer = Peer::with(Config::default(), usize::MAX);
        peer.feed(greeting);
        assert_eq!((peer.said(), peer.happened()), (vec![answer.to_owned()], vec![format!("no AMQP: {what}"), "finished".to_owned()]));
    }
    let mut peer = Peer::with(Config::default(), usize::MAX);
    peer.feed(b"AMQP\x01\x01\x00\x09");
    assert_eq!(peer.said(), ["0 connection.start"]);
}

#[test]
fn a_refused_login_is_told_to_who_wants_to_know() {
    let mut peer = greeted();
    peer.send(0, start_ok("PLAIN", b"\0guest\0wrong"));
    let text = "0 connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker \
                logfile. (0, 0)";
    assert_eq!(peer.said(), [text]);
    assert_eq!(peer.happened(), ["login guest/wrong", "closing AccessRefused: 0 consumers, 0 receipts"]);
    peer.send(0, conn::CloseOk {});
    assert_eq!(peer.happened(), ["finished"]);
}

#[test]
fn errors_before_the_connection_is_open_are_silent() {
    let tune_ok = |channel_max, frame_max| Method::from(conn::TuneOk { channel_max, frame_max, heartbeat: 60 });
    let logged_in = start_ok("PLAIN", b"\0guest\0guest");
    let silent: [&[Method<'_>]; 9] = [
        &[start_ok("plain", b"\0guest\0guest").into()],
        &[start_ok("PLAIN", b"guest").into()],
        &[start_ok("AMQPLAIN", b"\x05LOG").into()],
        &[conn::Open { virtual_host: "/", ..Default::default() }.into()],
        &[conn::Close::default().into()],
        &[logged_in.into(), tune_ok(0, 131_072)],
        &[logged_in.into(), tune_ok(2048, 131_072)],
        &[logged_in.into(), tune_ok(2047, 4095)],
        &[logged_in.into(), tune_ok(2047, 131_073)],
    ];
    for methods in silent {
        let mut peer = greeted();
        methods.iter().for_each(|&method| peer.send(0, method));
        assert!(peer.said().iter().all(|said| said == "0 connection.tune"), "{methods:?}");
        peer.pass(3000);
        assert_eq!(peer.happened().pop(), Some("finished".into()));
    }
}

#[test]
fn an_unknown_virtual_host_is_refused() {
    let mut peer = greeted();
    peer.send(0, start_ok("AMQPLAIN", b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest"));
    peer.send(0, conn::TuneOk { channel_max: 2047, frame_max: 4096, heartbeat: 0 });
    peer.send(0, conn::Open { virtual_host: "nope", ..Default::default() });
    let close = "0 connection.close 530 NOT_ALLOWED - vhost nope not found (10, 40)";
    assert_eq!(peer.said(), ["0 connection.tune", close]);
    peer.send(0, conn::CloseOk {});
    assert_eq!(peer.happened().pop(), Some("finished".into()));
}

#[test]
fn channel_0_has_rules() {
    let unexpected = "0 connection.close 504 CHANNEL_ERROR - unexpected method in connection state running";
    let cases = [
        (frame(Kind::Body, 0, b"x"), "0 connection.close 505 UNEXPECTED_FRAME - type 3, all octets = <<\"x\">> (0, 0)".to_owned()),
        (frame(Kind::Heartbeat, 1, b""), "0 connection.close 505 UNEXPECTED_FRAME - type 8, all octets = <<>> (0, 0)".to_owned()),
        (
            frame(Kind::Heartbeat, 0, b"x"),
            "0 connection.close 501 FRAME_ERROR - type 8, all octets = <<\"x\">>: unknown_frame (0, 0)".to_owned(),
        ),
        (
            frame(Kind::Unknown(7), 1, b"abc"),
            "0 connection.close 501 FRAME_ERROR - type 7, all octets = <<\"abc\">>: unknown_frame (0, 0)".to_owned(),
        ),
        (frame(Kind::Method, 0, b"\0\x3c\0\x50\0\0\0\0\0\0\0\x01\0"), format!("{unexpected} (60, 80)")),
        (frame(Kind::Method, 0, b"\0\x0a\0\x33"), format!("{unexpected} (10, 51)")),
        (frame(Kind::Method, 1, b"\0\x0a\0\x33"), "0 connection.close 503 COMMAND_INVALID - unimplemented method (10, 51)".to_owned()),
        (frame(Kind::Method, 1, b"\0\x3c\0\x50\0"), "0 connection.close 501 FRAME_ERROR - cannot decode <<0>> (60, 80)".to_owned()),
    ];
    for (input, close) in cases {
        let mut peer = Peer::open();
        peer.feed(&input);
        assert_eq!(peer.said(), [close]);
    }
}

#[test]
fn who_cannot_frame_is_given_time_to_read_the_reason() {
    let mut bad_end = frame(Kind::Method, 1, b"\0\x14\0\x0a\0");
    *bad_end.last_mut().expect("a frame") = 0;
    let too_large = FrameHeader { kind: Kind::Body, channel: 1, size: 200_000 }.octets().to_vec();
    for (input, text) in [
        (bad_end, "type 1, all octets = <<0,20,0,10,0>>: {invalid_frame_end_marker,0}"),
        (too_large, "type 3, all octets = <<>>: {frame_too_large,200000,131064}"),
    ] {
        let mut peer = Peer::open();
        peer.feed(&input);
        assert_eq!(peer.said(), [format!("0 connection.close 501 FRAME_ERROR - {text} (0, 0)")]);
        peer.feed(b"whatever comes");
        peer.send(0, conn::CloseOk {});
        assert_eq!(peer.happened(), ["closing FrameError: 0 consumers, 0 receipts"]);
        peer.pass(3000);
        assert_eq!(peer.happened(), ["finished"]);
    }
}

#[test]
fn a_client_may_close() {
    let mut peer = Peer::open();
    peer.send(0, conn::Close::default());
    assert_eq!(peer.said(), ["0 connection.close-ok"]);
    assert_eq!(peer.happened(), ["closing as asked: 0 consumers, 0 receipts"]);
    peer.send(1, basic::Get { queue: "q", ..Default::default() });
    peer.feed(&publish(1, true, &[7; 100_000]));
    peer.send(0, conn::Close::default());
    assert_eq!(peer.said(), ["0 connection.close-ok"]);
    peer.pass(30_000);
    assert_eq!(peer.happened(), ["finished"]);
}

#[test]
fn while_close_ok_is_awaited_nothing_else_counts() {
    let mut peer = Peer::open();
    peer.send(1, channel::Open::default());
    assert_eq!(peer.said(), ["0 connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20, 10)"]);
    peer.send(2, channel::Open::default());
    peer.feed(&publish(1, true, b"x"));
    assert!(peer.said().is_empty());
    peer.send(0, conn::CloseOk {});
    assert_eq!(peer.happened(), ["closing ChannelError: 0 consumers, 0 receipts", "finished"]);
}

#[test]
fn the_secret_may_be_updated() {
    let mut peer = Peer::open();
    peer.send(0, conn::UpdateSecret { new_secret: b"new", reason: "old" });
    assert_eq!(peer.said(), ["0 connection.update-secret-ok"]);
}

#[test]
fn a_shutdown_is_announced() {
    let mut peer = Peer::open();
    peer.session.shut_down();
    peer.run();
    let text = "0 connection.close 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' (0, 0)";
    assert_eq!(peer.said(), [text]);
    assert_eq!(peer.happened(), ["closing ConnectionForced: 0 consumers, 0 receipts"]);
    let mut peer = greeted();
    peer.session.shut_down();
    peer.run();
    assert_eq!(peer.happened(), ["finished"]);
}

#[test]
fn a_handshake_has_ten_seconds() {
    let mut peer = greeted();
    peer.pass(9999);
    assert!(peer.happened().is_empty());
    peer.pass(1);
    assert_eq!(peer.happened(), ["finished"]);
}

#[test]
fn heartbeats_go_both_ways() {
    let mut peer = Peer::open();
    assert!(peer.session.wants_timer());
    peer.pass(60_000);
    assert_eq!(peer.said(), ["0 Heartbeat", "0 Heartbeat"], "one each half");
    peer.feed(&frame(Kind::Heartbeat, 0, b""));
    peer.pass(119_000);
    assert!(peer.happened().is_empty());
    peer.feed(&[8]);
    peer.pass(60_000);
    peer.feed(&[0, 0, 0, 0, 0, 0, 0xCE]);
    assert!(peer.happened().is_empty(), "any octet counts");
    peer.pass(180_000);
    assert_eq!(peer.happened(), ["finished"]);
}

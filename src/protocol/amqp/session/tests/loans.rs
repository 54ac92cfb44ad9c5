//! Large bodies that are received in place, from a sender that cuts them at any size.

use super::*;
use crate::contract::session::BodyLoan;

/// Parses all input. Returns the bodies of the messages.
fn take_messages(peer: &mut Peer) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    loop {
        let input = std::mem::take(&mut peer.input);
        let mut contents = Contents::new();
        let (consumed, event) = peer.session.poll(&input, &mut contents);
        peer.input = input[consumed..].to_vec();
        match event {
            Event::Starved => return bodies,
            Event::Assembled { .. } => bodies.push(peer.session.take_assembled().view().body.bytes().to_vec()),
            Event::Publish(_) => bodies.extend(contents.iter().map(|content| content.body.bytes().to_vec())),
            other => panic!("{other:?}"),
        }
    }
}

/// Plays the kernel: scatters at most `len` bytes of the stream over a loan and `tail` bytes after
/// it. Returns the bytes of the gaps, those after the loan, and the number of all.
fn scatter(loan: &mut BodyLoan, stream: &[u8], len: usize, tail: usize) -> (Vec<u8>, Vec<u8>, usize) {
    let mut rest = &stream[..len.min(stream.len())];
    let before = rest.len();
    let mut take = |most: usize| {
        let (taken, behind) = rest.split_at(most.min(rest.len()));
        rest = behind;
        taken
    };
    let mut separators = Vec::new();
    for (at, piece) in loan.pieces().enumerate() {
        separators.extend_from_slice(take(if at > 0 { loan.gap() } else { 0 }));
        loan.buffer.extend_from_slice(take(piece));
    }
    let behind = take(tail).to_vec();
    (separators, behind, before - rest.len())
}

/// Plays a stream to a session, partly in place. Returns the bodies that the session got, and the
/// number of loans.
fn play(stream: &[u8], rng: &mut Rng) -> (Vec<Vec<u8>>, usize) {
    let (mut peer, mut at, mut bodies, mut loans) = (Peer::open(), 0, Vec::new(), 0);
    peer.send(2, channel::Open::default());
    while at < stream.len() {
        let scale = rng.below(3) as usize;
        let len = 1 + rng.below([40, 10_000, 400_000][scale]) as usize;
        let most = 1 + rng.below(500_000) as usize;
        let lent = if peer.input.is_empty() { peer.session.lend_body(most) } else { None };
        if let Some(mut loan) = lent {
            loans += 1;
            let (separators, tail, used) = scatter(&mut loan, &stream[at..], len, 50);
            at += used;
            let order = peer.session.return_body(loan, &separators);
            peer.input.extend_from_slice(&order);
            peer.input.extend_from_slice(&tail);
        } else {
            let end = stream.len().min(at + len);
            peer.input.extend_from_slice(&stream[at..end]);
            at = end;
        }
        bodies.extend(take_messages(&mut peer));
    }
    (bodies, loans)
}

/// Encodes a publish whose body is cut where `cut` says; `between` follows each of its frames.
fn cut_publish(body: &[u8], between: &[u8], mut cut: impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut out = publish(1, false, b"");
    let size_at = out.len() - 11; // before the two octets of properties and the end
    out[size_at..size_at + 8].copy_from_slice(&(body.len() as u64).to_be_bytes());
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
        out.extend(frame(Kind::Body, 1, piece));
        if !behind.is_empty() {
            out.extend_from_slice(between);
        }
        rest = behind;
    }
    out
}

#[test]
fn bodies_are_the_same_wherever_they_are_received() {
    let mut rng = Rng::seeded(7);
    let other = frame(Kind::Method, 2, &[0, 60, 0, 10, 0, 0, 0, 0, 0, 9, 0]); // basic.qos
    let mut loans = 0;
    for round in 0..150 {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for n in 0..1 + rng.below(4) {
            let mut body = vec![0; [0, 100, 70_000, 200_000, 700_000][rng.below(5) as usize] + n as usize];
            rng.fill(&mut body);
            let between = if rng.below(4) == 0 { &other[..] } else { &[] };
            let size = 4000 + rng.below(127_000) as usize;
            let is_regular = rng.below(3) > 0;
            let cut = |left: usize| if is_regular { size.min(left) } else { 1 + rng.below(left.min(size) as u64) as usize };
            stream.extend(cut_publish(&body, between, cut));
            expected.push(body);
        }
        let (bodies, lent) = play(&stream, &mut rng);
        assert!(bodies == expected, "round {round}");
        loans += lent;
    }
    assert!(loans > 100, "{loans}");
}

#[test]
fn a_loan_that_outlives_its_channel_brings_its_bytes_back() {
    let mut peer = Peer::open();
    let body = vec![7; 100_000];
    let stream = publish(1, false, &body);
    peer.input = stream[..1000].to_vec();
    assert!(take_messages(&mut peer).is_empty());
    let mut loan = peer.session.lend_body(usize::MAX).expect("a large body is under way");
    peer.session.shut_down();
    peer.run();
    let (separators, ..) = scatter(&mut loan, &stream[1000..], 5000, 0);
    assert_eq!(peer.session.return_body(loan, &separators), &stream[1000..6000]);
}

#[test]
fn a_body_that_will_be_refused_is_not_lent_room() {
    let mut peer = Peer::with(Config { max_message_size: 1000, ..Config::default() }, usize::MAX);
    peer.handshake();
    peer.send(1, channel::Open::default());
    peer.said();
    peer.feed(&publish(1, false, &vec![7; 100_000])[..1000]);
    assert!(peer.session.lend_body(usize::MAX).is_none());
}

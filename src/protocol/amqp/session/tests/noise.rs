//! Random conversations, half valid and half noise: whatever a client sends and a broker answers,
//! nothing panics, every channel ends once, and the output consists of frames.

use super::*;

#[test]
fn noise_does_no_harm() {
    for seed in 0..400 {
        let mut rng = Rng::seeded(seed);
        let config = Config { max_message_size: 500, ..Config::default() };
        let mut peer = Peer::with(config, [1, 7, usize::MAX][pick(&mut rng, 3)]);
        peer.handshake();
        for _ in 0..200 {
            step(&mut peer, &mut rng);
            check_output(&mut peer);
        }
        peer.pass(200_000);
        peer.said();
        let ended = peer.session.end();
        assert!(peer.session.channels.len() == 0 && taken(ended.unsettled) < 1000);
    }
}

fn step(peer: &mut Peer, rng: &mut Rng) {
    if peer.session.pending.is_some() {
        return answer(peer, rng);
    }
    let number = u16::try_from(rng.below(3)).expect("small");
    match rng.below(20) {
        0 => peer.feed(&noise(rng)),
        1 => {
            let mut bytes = [methods(rng, number), publish(number, true, b"body")].concat();
            let at = pick(rng, bytes.len());
            bytes[at] ^= 1 << rng.below(8);
            peer.feed(&bytes);
        }
        2..5 => peer.feed(&publish(number, rng.below(2) == 0, &vec![1; pick(rng, 700)])),
        5 => peer.pass(rng.below(20_000)),
        6 => _ = peer.session.flush_confirms(),
        7..10 => deliver(peer, number, rng),
        _ => {
            let bytes = methods(rng, number.max(1));
            peer.feed(&bytes);
        }
    }
}

/// Encodes a method that is valid on some channel in some state.
fn methods(rng: &mut Rng, number: u16) -> Vec<u8> {
    let tag = rng.below(8);
    let choices: [Method<'_>; 20] = [
        channel::Open::default().into(),
        channel::Open::default().into(),
        channel::Open::default().into(),
        channel::Close::default().into(),
        channel::CloseOk {}.into(),
        channel::CloseOk {}.into(),
        basic::Ack { delivery_tag: tag, multiple: tag == 0 }.into(),
        basic::Nack { delivery_tag: tag, multiple: tag < 3, requeue: tag < 4 }.into(),
        basic::Reject { delivery_tag: tag, requeue: true }.into(),
        basic::Recover { requeue: true }.into(),
        basic::Qos { prefetch_count: 3, global: tag < 4, ..Default::default() }.into(),
        basic::Consume { queue: "q", no_ack: tag < 3, ..Default::default() }.into(),
        basic::Consume { queue: "q", consumer_tag: "c", ..Default::default() }.into(),
        basic::Cancel { consumer_tag: "c", nowait: tag < 3 }.into(),
        basic::Get { queue: "q", no_ack: tag < 3, ..Default::default() }.into(),
        queue::Declare { nowait: tag < 3, ..Default::default() }.into(),
        confirm::Select::default().into(),
        tx::Select {}.into(),
        tx::Commit {}.into(),
        tx::Rollback {}.into(),
    ];
    let mut out = Vec::new();
    choices[pick(rng, choices.len())].write(number, &mut out);
    out
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; pick(rng, 40)];
    rng.fill(&mut bytes);
    bytes
}

fn answer(peer: &mut Peer, rng: &mut Rng) {
    let refused = Notice::Failed(Fault::new(Code::NotFound, "no such thing"));
    let fails = rng.below(10) == 0;
    let notice = match peer.request.take() {
        _ if fails => refused,
        Some(Request::Topology(Topology::DeclareQueue(spec))) => Notice::QueueDeclared { name: spec.name, messages: 0, consumers: 0 },
        Some(Request::Consume { .. }) => Notice::Consuming { queue: queue_addr(), consumer: ConsumerId::default(), timeout_ms: None },
        Some(Request::Get { .. }) if rng.below(2) == 0 => Notice::Empty,
        Some(Request::Get { .. }) => {
            peer.session.deliver_get(queue_addr(), Entry::new(0, 1, MessageRef::default()), 0, None, &message(b"m"));
            return peer.run();
        }
        Some(Request::Cancel { .. }) => Notice::Done,
        None => Notice::Done,
        Some(_) => refused,
    };
    peer.answer(notice);
}

/// Delivers a message to a consumer that may be gone.
fn deliver(peer: &mut Peer, number: u16, rng: &mut Rng) {
    let index = (u32::try_from(rng.below(6)).expect("small") << 16) | u32::try_from(rng.below(3)).expect("small");
    if peer.session.consumer(number, index).is_some() && peer.session.can_take(number, index) == Room::Yes {
        peer.session.delivery(number, index).deliver(Entry::new(0, 1, MessageRef::default()), &message(b"m"));
    } else if rng.below(4) == 0 {
        peer.session.consumer_gone(number, index);
    }
}

fn check_output(peer: &mut Peer) {
    let said = peer.said();
    let closes = said.iter().filter(|said| said.contains("connection.close ")).count();
    assert!(closes <= 1, "{said:?}");
    let channels_ended = peer.happened().iter().filter(|event| event.starts_with("channel")).count();
    assert!(channels_ended <= 200);
}

fn pick(rng: &mut Rng, len: usize) -> usize {
    usize::try_from(rng.below(len as u64)).expect("below a length")
}

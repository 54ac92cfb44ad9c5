//! The cost of a session's windows: deliveries that wait for their acks, publishes that wait for
//! their confirms. The windows are private to the session, so they are used through it, and only
//! the part in question is timed. The figures explain; decisions need the whole broker.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringmq::base::budget::Budgets;
use ringmq::base::ids::{ConnAddr, ConnId, ConsumerId, QueueAddr, QueueId, ShardId};
use ringmq::base::outgoing::Outgoing;
use ringmq::config::Config;
use ringmq::contract::session::{ChannelQuotas, Contents, Event};
use ringmq::contract::{Entry, Notice, Outcome, Receipts, Request, Tags, VhostId};
use ringmq::message::{Body, MessageRef, MessageView, Route, Stamp, Table};
use ringmq::protocol::amqp::Method;
use ringmq::protocol::amqp::content::write_content;
use ringmq::protocol::amqp::frame::PROTOCOL_HEADER;
use ringmq::protocol::amqp::method::argument::Octets;
use ringmq::protocol::amqp::method::{basic, channel, confirm, connection};
use ringmq::protocol::amqp::session::Session;

/// Number of messages that are delivered, or published, before the time is taken.
const WINDOWS: [u64; 2] = [100, 10_000];

/// A client's session with channel 1 open, and a shard for it.
struct Peer {
    session: Session,
    /// The consumer's index, once it has one.
    consumer: u32,
    /// The last tag or sequence number.
    last: u64,
    receipts: Receipts,
}

impl Peer {
    fn open() -> Peer {
        let addr = ConnAddr { shard: ShardId(0), conn: ConnId::default() };
        let session = Session::new(Arc::new(Config::default()), Budgets::of_shard(1, None), addr, 1, 0);
        let mut peer = Peer { session, consumer: 0, last: 0, receipts: Receipts::default() };
        let properties = Table::empty();
        let start_ok =
            connection::StartOk { client_properties: properties.view(), mechanism: "PLAIN", response: b"\0guest\0guest", locale: "en_US" };
        peer.feed(&PROTOCOL_HEADER);
        peer.tell(0, start_ok);
        peer.tell(0, connection::TuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 0 });
        peer.tell(0, connection::Open { virtual_host: "/", ..Default::default() });
        peer.tell(1, channel::Open::default());
        assert!(peer.session.is_running());
        peer
    }

    fn tell<'m>(&mut self, channel: u16, method: impl Into<Method<'m>>) {
        let mut bytes = Vec::new();
        method.into().write(channel, &mut bytes);
        self.feed(&bytes);
    }

    fn feed(&mut self, input: &[u8]) {
        let (mut at, mut contents) = (0, Contents::new());
        loop {
            let (used, event) = self.session.poll(&input[at..], &mut contents);
            at += used;
            match event {
                Event::Starved => break,
                Event::Login(_) => self.session.logged_in(true),
                Event::OpenVhost(_) => self.session.opened(Ok((VhostId(0), ChannelQuotas::default()))),
                Event::Request { request: Request::Consume { index, .. }, .. } => {
                    self.consumer = index;
                    self.session.answer(Notice::Consuming { queue: queue(), consumer: ConsumerId::default(), timeout_ms: None });
                }
                Event::Publish(_) => self.last += contents.len() as u64,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(at, input.len());
    }

    fn deliver(&mut self, count: u64) {
        let message = MessageView { route: Route::new(b"\0\x01q"), properties: &[0, 0], stamp: Stamp::NONE, body: Body::Slice(b"") };
        for _ in 0..count {
            self.last += 1;
            self.session.delivery(1, self.consumer).deliver(Entry::new(0, self.last, MessageRef::default()), &message);
        }
        self.session.output_mut().clear();
    }

    fn ack(&mut self, tag: u64, multiple: bool) {
        let tags = if multiple { Tags::UpTo(tag) } else { Tags::Each { first: tag, last: tag } };
        self.session.settle(1, tags, Outcome::Acked, &mut self.receipts);
        black_box(&mut self.receipts).clear();
    }
}

fn queue() -> QueueAddr {
    QueueAddr { home: ShardId(0), queue: QueueId::default() }
}

/// Measures acks of a full window: how they are grouped, and from which end.
fn unacked(c: &mut Criterion) {
    let mut group = c.benchmark_group("unacked");
    for window in WINDOWS {
        group.throughput(Throughput::Elements(window));
        for (name, step, backwards) in
            [("each", 1, false), ("multiple_10", 10, false), ("multiple_all", window, false), ("newest_first", 1, true)]
        {
            let mut peer = Peer::open();
            peer.tell(1, basic::Consume { queue: "q", ..Default::default() });
            let mut round = || {
                let first = peer.last + 1;
                peer.deliver(window);
                let start = Instant::now();
                for end in (step..=window).step_by(step as usize) {
                    let tag = if backwards { first + window - end } else { first + end - 1 };
                    peer.ack(tag, step > 1);
                }
                start.elapsed()
            };
            group.bench_function(BenchmarkId::new(name, window), |b| b.iter_custom(|rounds| (0..rounds).map(|_| round()).sum()));
        }
    }
}

/// Measures confirms of publishes that queues accept at once, in order, and with the oldest last.
fn confirms(c: &mut Criterion) {
    let mut group = c.benchmark_group("confirms");
    for window in WINDOWS {
        group.throughput(Throughput::Elements(window));
        for (name, held, backwards) in [("at_once", false, false), ("held_in_order", true, false), ("held_newest_first", true, true)] {
            let mut peer = Peer::open();
            peer.tell(1, confirm::Select::default());
            let publishes = publish().repeat(window as usize);
            group.bench_function(BenchmarkId::new(name, window), |b| {
                b.iter_custom(|rounds| (0..rounds).map(|_| confirm_window(&mut peer, &publishes, window, held, backwards)).sum());
            });
        }
    }
}

/// Returns the time from the routing of the publishes to the flush that confirms the last of them;
/// each 100 confirms are flushed.
fn confirm_window(peer: &mut Peer, publishes: &[u8], window: u64, held: bool, backwards: bool) -> Duration {
    let (first, generation) = (peer.last + 1, peer.session.generation(1));
    peer.feed(publishes);
    let start = Instant::now();
    if held {
        peer.session.hold(1, first, window, 1);
        for n in 0..window {
            let sequence = if backwards { first + window - 1 - n } else { first + n };
            peer.session.accepted(1, generation, sequence, 1);
            if n % 100 == 99 {
                peer.session.flush_confirms();
            }
        }
    }
    peer.session.flush_confirms();
    let took = start.elapsed();
    assert!(!peer.session.is_confirm_dirty());
    peer.session.output_mut().clear();
    took
}

fn publish() -> Vec<u8> {
    let mut out = Outgoing::default();
    basic::Publish { routing_key: Octets(b"q"), ..Default::default() }.write(1, out.bytes_mut());
    write_content(1, 131_072, &[0, 0], Body::Slice(b"x"), &mut out);
    out.slices().collect::<Vec<_>>().concat()
}

criterion_group!(benches, unacked, confirms);
criterion_main!(benches);

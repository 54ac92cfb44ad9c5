//! The cost of a waiting message: the arena, the queue, the rotation of consumers.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringmq::base::ids::{ChannelAddr, ConnAddr, ConnId, QueueId, ShardId};
use ringmq::broker::arena::{Arena, Holders};
use ringmq::broker::queue::{Consumer, Consumers, Queue, Rules};
use ringmq::contract::{Entry, Target};
use ringmq::message::{Body, MessageRef, MessageView, Route, Stamp};

/// Adds a message behind `depth` others, and removes the first one.
fn push_pop(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue");
    group.throughput(Throughput::Elements(1));
    for (size, depth) in [(100, 1), (100, 100_000), (1024, 1), (1024, 100_000)] {
        let body = vec![7; size];
        let message =
            MessageView { route: Route::new(b"\x00\x04task"), properties: &[0x10, 0, 2], stamp: Stamp::NONE, body: Body::Slice(&body) };
        let (mut arena, mut queue) = (Arena::default(), Queue::new(QueueId::default(), Rules::default()));
        (0..depth).for_each(|_| append(&mut queue, arena.insert(&message, Holders::One), size as u64));
        group.bench_function(BenchmarkId::new("push_pop", format!("{size}B_behind_{depth}")), |b| {
            b.iter(|| {
                append(&mut queue, arena.insert(&message, Holders::One), size as u64);
                let (entry, message) = queue.pop(&arena).expect("one was pushed");
                black_box(message);
                arena.release(entry.message);
            });
        });
    }
    group.finish();
}

fn append(queue: &mut Queue, message: MessageRef, bytes: u64) {
    queue.push(0, 1, bytes, |_, place| Entry::at(place, message));
}

/// Puts a message back at its place among others.
fn requeue(c: &mut Criterion) {
    let message = MessageView { route: Route::new(b"\x00\x04task"), properties: &[0, 0], stamp: Stamp::NONE, body: Body::Slice(b"") };
    let (mut arena, mut queue) = (Arena::default(), Queue::new(QueueId::default(), Rules::default()));
    (0..1000).for_each(|_| append(&mut queue, arena.insert(&message, Holders::One), 0));
    c.bench_function("queue/pop_requeue", |b| {
        b.iter(|| {
            let (entry, message) = queue.pop(&arena).expect("never empty");
            queue.requeue(entry.returned(), &message);
        });
    });
}

/// Delivers a message to one of `count` consumers, and acknowledges it.
fn rotate(c: &mut Criterion) {
    for count in [1, 100] {
        let mut consumers = Consumers::default();
        let conn = ConnAddr { shard: ShardId(0), conn: ConnId::default() };
        for index in 0..count {
            let target = Target { channel: ChannelAddr { conn, channel: 1 }, index };
            consumers.add(Consumer::new(target, false, 10, 0), false);
        }
        c.bench_function(&format!("queue/serve_settle_{count}"), |b| {
            b.iter(|| {
                let id = consumers.next().expect("all have room").0;
                consumers.on_delivered(id, 1, 0);
                black_box(consumers.on_settled(id, 1))
            });
        });
    }
}

criterion_group!(benches, push_pop, requeue, rotate);
criterion_main!(benches);

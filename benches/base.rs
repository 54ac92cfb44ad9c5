//! The cost of the building blocks: the ring between shards, the timer wheel, the table, the
//! rotation and the queue. They explain figures; decisions need the whole broker.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringmq::base::ids::QueueId;
use ringmq::base::long_queue::LongQueue;
use ringmq::base::ready_list::ReadyList;
use ringmq::base::rng::Rng;
use ringmq::base::slots::Slots;
use ringmq::base::spsc::ring;
use ringmq::base::timer_wheel::TimerWheel;

/// A value of the largest size of mail between shards.
type Mail = [u64; 8];

/// Measures a ring with both ends on one thread: the instructions of a batch without the traffic of
/// cache lines.
fn spsc(c: &mut Criterion) {
    let mut group = c.benchmark_group("spsc");
    for batch in [1, 8, 64] {
        let (mut tx, mut rx) = ring::<Mail>(1024);
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("publish_per", batch), |b| {
            b.iter(|| {
                for n in 0..batch {
                    tx.push([n; 8]).expect("the ring was emptied");
                }
                tx.publish();
                while let Some(mail) = rx.pop() {
                    black_box(mail);
                }
                rx.release();
            });
        });
    }
}

/// Measures a wheel with the heartbeats of ten thousand connections.
fn timer_wheel(c: &mut Criterion) {
    const TIMERS: u64 = 10_000;
    let mut group = c.benchmark_group("timer_wheel");
    let mut rng = Rng::seeded(1);
    let mut wheel = TimerWheel::new(0);
    for n in 0..TIMERS {
        wheel.set(rng.below(60_000), n);
    }
    group.bench_function("set_cancel", |b| {
        b.iter(|| {
            let id = wheel.set(rng.below(60_000), 0);
            black_box(wheel.cancel(id))
        });
    });
    let (mut now, mut fired) = (0, Vec::new());
    group.bench_function("advance_1ms_and_set_again", |b| {
        b.iter(|| {
            now += 1;
            wheel.advance(now, &mut fired);
            for n in fired.drain(..) {
                wheel.set(now + 60_000, n);
            }
        });
    });
}

fn slots(c: &mut Criterion) {
    let mut table: Slots<QueueId, Mail> = Slots::new();
    let ids: Vec<_> = (0..1024).map(|n| table.insert([n; 8])).collect();
    let mut turn = 0;
    c.bench_function("slots/get", |b| {
        b.iter(|| {
            turn = (turn + 1) & 1023;
            table.get(black_box(ids[turn])).map(|mail| mail[0])
        });
    });
}

fn ready_list(c: &mut Criterion) {
    let mut ready = ReadyList::default();
    (0..100).for_each(|slot| assert!(ready.push_back(slot)));
    c.bench_function("ready_list/rotate", |b| b.iter(|| ready.rotate()));
}

/// Adds an item behind `depth` others, and removes the first one.
fn long_queue(c: &mut Criterion) {
    for depth in [1, 1_000_000] {
        let mut queue = LongQueue::new();
        (0..depth).for_each(|n| queue.push_back([n; 2]));
        c.bench_function(&format!("long_queue/push_pop_behind_{depth}"), |b| {
            b.iter(|| {
                queue.push_back(black_box([7; 2]));
                black_box(queue.pop_front())
            });
        });
    }
}

criterion_group!(benches, spsc, timer_wheel, slots, ready_list, long_queue);
criterion_main!(benches);

//! The cost of the codec: one frame, one method, one publish and one delivery. The figures explain;
//! the limit on instructions is that of the whole shard.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringmq::base::outgoing::Outgoing;
use ringmq::message::{Body, Properties, PropertiesBuilder, TableBuilder};
use ringmq::protocol::amqp::Method;
use ringmq::protocol::amqp::acks::peek_acks;
use ringmq::protocol::amqp::content::write_content;
use ringmq::protocol::amqp::deliver::{DeliverPrefix, write_deliver};
use ringmq::protocol::amqp::frame::{Deframed, deframe};
use ringmq::protocol::amqp::method::argument::Octets;
use ringmq::protocol::amqp::method::{basic, queue};
use ringmq::protocol::amqp::publish::peek_publish;

const FRAME_MAX: u32 = 131_072;

/// Encodes a publish of a persistent message of 100 bytes, as a client does.
fn publish_bytes() -> Vec<u8> {
    let mut out = Outgoing::default();
    basic::Publish { exchange: Octets(b""), routing_key: Octets(b"some.queue"), ..Default::default() }.write(1, out.bytes_mut());
    write_content(1, FRAME_MAX, &[0x10, 0, 2], Body::Slice(&[b'x'; 100]), &mut out);
    out.slices().collect::<Vec<_>>().concat()
}

fn frames(c: &mut Criterion) {
    let input = publish_bytes().repeat(100);
    let mut group = c.benchmark_group("frames");
    group.throughput(Throughput::Elements(300));
    group.bench_function("deframe", |b| {
        b.iter(|| {
            let mut rest = black_box(&input[..]);
            while let Ok(Deframed::Frame(frame)) = deframe(rest, FRAME_MAX) {
                rest = &rest[black_box(frame).consumed..];
            }
        });
    });
    group.throughput(Throughput::Elements(100));
    group.bench_function("peek_publish", |b| {
        b.iter(|| {
            let mut rest = black_box(&input[..]);
            while let Some((consumed, publish)) = peek_publish(rest, FRAME_MAX) {
                black_box(publish);
                rest = &rest[consumed..];
            }
        });
    });
}

/// Measures acks with successive tags, and acks of every other tag.
fn acks(c: &mut Criterion) {
    let mut group = c.benchmark_group("acks");
    group.throughput(Throughput::Elements(100));
    for step in [1, 2] {
        let mut input = Vec::new();
        (1..=100).for_each(|n| basic::Ack { delivery_tag: n * step, multiple: false }.write(1, &mut input));
        group.bench_function(format!("peek_acks of every {step}. tag"), |b| {
            b.iter(|| {
                let mut rest = black_box(&input[..]);
                while let Some((consumed, _, tags)) = peek_acks(rest) {
                    black_box(tags);
                    rest = &rest[consumed..];
                }
            });
        });
    }
}

fn methods(c: &mut Criterion) {
    let arguments = TableBuilder::new().int("x-max-length", 1000).text("x-queue-type", "classic").build();
    let declare = queue::Declare { queue: "some.queue", durable: true, arguments: arguments.view(), ..Default::default() };
    let cases: [(&str, Method<'_>); 3] = [
        ("basic.ack", basic::Ack { delivery_tag: 77, multiple: true }.into()),
        ("basic.publish", basic::Publish { routing_key: Octets(b"some.queue"), ..Default::default() }.into()),
        ("queue.declare", declare.into()),
    ];
    let mut group = c.benchmark_group("method");
    for (name, method) in cases {
        let mut frame = Vec::new();
        method.write(1, &mut frame);
        group.bench_function(format!("parse {name}"), |b| b.iter(|| Method::parse(black_box(&frame[7..frame.len() - 1])).is_ok()));
    }
}

fn properties(c: &mut Criterion) {
    let headers = TableBuilder::new().text("a", "b").long("n", 1).build();
    let full = PropertiesBuilder {
        content_type: Some("application/json"),
        headers: Some(headers.view()),
        delivery_mode: Some(2),
        message_id: Some("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ..Default::default()
    }
    .build();
    let mut group = c.benchmark_group("properties");
    group.bench_function("parse delivery-mode only", |b| b.iter(|| Properties::parse(black_box(&[0x10, 0, 2])).is_ok()));
    group.bench_function("parse four with headers", |b| b.iter(|| Properties::parse(black_box(&full)).is_ok()));
}

fn deliveries(c: &mut Criterion) {
    let prefix = DeliverPrefix::new(1, "ctag1.0123456789abcdef");
    let mut out = Outgoing::default();
    let mut group = c.benchmark_group("deliver");
    group.throughput(Throughput::Elements(100));
    group.bench_function("write_deliver", |b| {
        b.iter(|| {
            out.clear();
            (0..100).for_each(|tag| write_deliver(black_box(prefix.bytes()), tag, false, black_box(b"\0\x0asome.queue"), out.bytes_mut()));
        });
    });
    let mut out = Outgoing::default();
    group.bench_function("write_content 100 B", |b| {
        b.iter(|| {
            out.clear();
            (0..100).for_each(|_| write_content(1, FRAME_MAX, black_box(&[0x10, 0, 2]), Body::Slice(black_box(&[b'x'; 100])), &mut out));
        });
    });
}

criterion_group!(benches, frames, acks, methods, properties, deliveries);
criterion_main!(benches);

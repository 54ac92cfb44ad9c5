//! The cost of routing: a message through each exchange type with few and many bindings, one of
//! which matches (a topic exchange: one of each kind of pattern). The figures explain; decisions
//! need the whole broker.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringmq::base::ids::ShardId;
use ringmq::base::rng::Rng;
use ringmq::broker::access;
use ringmq::broker::catalog::{Catalog, Change, Seat};
use ringmq::broker::exchange::Chance;
use ringmq::broker::routing::router::{Publisher, route};
use ringmq::contract::{BindingSpec, Destination, QueueSpec, RouteSet, Topology, VhostId};
use ringmq::message::{Body, MessageView, Properties, PropertiesBuilder, Route, Stamp, Table, TableBuilder};

const VHOST: VhostId = VhostId(0);
const QUEUES: usize = 100;
const BINDINGS: [usize; 3] = [10, 1_000, 100_000];

/// Makes a catalog with `bindings` bindings of `exchange` to a hundred queues.
fn catalog(exchange: &str, bindings: usize, binding: impl Fn(usize) -> (String, Table)) -> Catalog {
    let mut catalog = Catalog::new();
    for n in 0..QUEUES {
        let spec =
            QueueSpec { name: format!("q{n}").into(), durable: false, exclusive: false, auto_delete: false, arguments: Table::empty() };
        let seat = Some(Seat { home: ShardId(0), number: n as u64 + 1 });
        catalog.apply(&Change::Topology { vhost: "/".into(), topology: Topology::DeclareQueue(spec), seat, owner: None });
    }
    for n in 0..bindings {
        let (key, arguments) = binding(n);
        let spec = BindingSpec {
            source: exchange.into(),
            kind: Destination::Queue,
            destination: format!("q{}", n % QUEUES).into(),
            key: key.into_bytes().into(),
            arguments,
        };
        catalog.apply(&Change::topology("/", Topology::Bind(spec)));
    }
    catalog
}

fn measure(c: &mut Criterion, kind: &str, bindings: usize, catalog: &Catalog, key: &str, properties: &[u8]) {
    let exchange = format!("amq.{kind}");
    let wire = [&[exchange.len() as u8][..], exchange.as_bytes(), &[key.len() as u8], key.as_bytes()].concat();
    let message = MessageView { route: Route::new(&wire), properties, stamp: Stamp::NONE, body: Body::Slice(b"") };
    let mut queues = RouteSet::new();
    let guest = access::authenticate(catalog, "guest", b"guest", &[]).expect("a new broker has a guest");
    let mut rng = Rng::seeded(1);
    let mut publisher = Publisher { vhost: VHOST, user: &guest, reply_name: None, chance: Chance { rng: &mut rng, here: ShardId(0) } };
    route(catalog, &mut publisher, &message, &mut queues).expect("nothing is wrong");
    assert!(!queues.is_empty());
    c.bench_function(&format!("{kind}/{bindings}"), |b| {
        b.iter(|| route(catalog, &mut publisher, black_box(&message), &mut queues));
    });
}

fn direct(c: &mut Criterion) {
    for bindings in BINDINGS {
        let catalog = catalog("amq.direct", bindings, |n| (format!("orders.{n}.created"), Table::empty()));
        measure(c, "direct", bindings, &catalog, "orders.7.created", Properties::NONE);
    }
}

fn topic(c: &mut Criterion) {
    for bindings in BINDINGS {
        let pattern = |n: usize| match n % 3 {
            0 => format!("orders.{n}.created"),
            1 => format!("orders.{}.*", n - 1),
            _ => format!("*.{}.#", n - 2),
        };
        let catalog = catalog("amq.topic", bindings, |n| (pattern(n), Table::empty()));
        measure(c, "topic", bindings, &catalog, "orders.6.created", Properties::NONE);
    }
}

fn headers(c: &mut Criterion) {
    for bindings in BINDINGS {
        let table = |n: usize| TableBuilder::new().text("format", "pdf").int("customer", n as i32).build();
        let catalog = catalog("amq.headers", bindings, |n| (String::new(), table(n).view().canonical()));
        let properties = PropertiesBuilder { headers: Some(table(7).view()), ..Default::default() }.build();
        measure(c, "headers", bindings, &catalog, "", &properties);
    }
}

criterion_group!(benches, direct, topic, headers);
criterion_main!(benches);

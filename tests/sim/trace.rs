//! The firehose: what clients of a traced virtual host publish and get is copied to the exchange
//! `amq.rabbitmq.trace`, wherever they and the queues live, and nothing else is.

use ringmq::config::Config;
use ringmq::contract::{Administration, Command, VhostSpec};

use crate::op::{Binding, Op, Publish};
use crate::operators::{join, read_bytes, say};
use crate::support::broker::Conn;
use crate::support::client::{Event, Incoming};
use crate::support::cluster::Cluster;
use crate::support::value::{Table, Value};

fn trace(cluster: &mut Cluster, tracing: bool) {
    let spec = VhostSpec { name: "/".into(), tracing, ..VhostSpec::default() };
    cluster.demand(0, Command::from(Administration::PutVhost(spec)));
    cluster.settle();
}

/// Fetches all traces: the routing keys, each with the names of the headers that depend on it.
fn traces(cluster: &mut Cluster, conn: Conn) -> Vec<(String, Table)> {
    let mut traces = Vec::new();
    loop {
        cluster.write(conn, &Op::Get { queue: "t0", no_ack: true }.encode(1, 4096));
        cluster.settle();
        let bytes = read_bytes(cluster, conn);
        let [(_, Event::Method(method, content))] = &Incoming::default().feed(&bytes)[..] else { panic!("a fetch has one answer") };
        let Some(content) = content else { return traces };
        let key = String::from_utf8_lossy(method.text("routing_key")).into_owned();
        let headers = content.properties.iter().find(|(name, _)| name == "headers").map(|(_, value)| value);
        let Some(Value::Table(headers)) = headers else { panic!("a trace has headers") };
        traces.push((key, headers.clone()));
    }
}

fn header<'h>(headers: &'h Table, name: &str) -> &'h Value {
    let found = headers.iter().find(|(key, _)| key.as_slice() == name.as_bytes());
    found.map(|(_, value)| value).unwrap_or_else(|| panic!("{name} is not in {headers:?}"))
}

#[test]
fn what_comes_and_goes_is_traced() {
    for shards in [1, 3] {
        let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
        let [publisher, consumer] = [0, shards as usize - 1].map(|shard| join(&mut cluster, shard, "guest", "guest", "/"));
        let bind = Binding { source: "amq.rabbitmq.trace", destination: "t0", to_queue: true, key: "#", headers: None };
        let publish = |id| Op::Publish(vec![Publish { id, key: "q0", ..Publish::default() }]);
        let nowhere = Op::Publish(vec![Publish { id: 9, exchange: "amq.direct", key: "nowhere", ..Publish::default() }]);
        say(&mut cluster, publisher, &[(1, Op::Open), (1, Op::DeclareQueue("t0")), (1, Op::Bind(bind)), (1, Op::DeclareQueue("q0"))]);
        say(&mut cluster, publisher, &[(1, publish(1))]);
        assert_eq!(traces(&mut cluster, publisher), []);
        trace(&mut cluster, true);
        say(&mut cluster, consumer, &[(7, Op::Open), (7, Op::Get { queue: "q0", no_ack: true })]);
        say(&mut cluster, consumer, &[(7, Op::Consume { queue: "q0", tag: 1, no_ack: false, exclusive: false, priority: 0 })]);
        say(&mut cluster, publisher, &[(1, publish(2)), (1, nowhere)]);
        let mut seen = traces(&mut cluster, publisher);
        seen.sort_by(|(one, _), (other, _)| one.cmp(other));
        let keys: Vec<&str> = seen.iter().map(|(key, _)| &**key).collect();
        assert_eq!(keys, ["deliver.q0", "deliver.q0", "publish.", "publish.amq.direct"]);
        let (delivered, published) = (&seen[1].1, &seen[2].1);
        assert_eq!(header(delivered, "channel"), &Value::Number('I', 7));
        assert_eq!(header(delivered, "redelivered"), &Value::Number('I', 0));
        assert_eq!(header(published, "routed_queues"), &Value::Array(vec![Value::text("q0")]));
        assert_eq!(header(published, "routing_keys"), &Value::Array(vec![Value::text("q0")]));
        assert_eq!(header(&seen[3].1, "routed_queues"), &Value::Array(Vec::new()));
        assert_eq!([header(published, "user"), header(published, "vhost")], [&Value::text("guest"), &Value::text("/")]);
        // Nobody hears of the traces of traces, whoever consumes them.
        say(&mut cluster, consumer, &[(8, Op::Open)]);
        cluster.write(consumer, &Op::Consume { queue: "t0", tag: 2, no_ack: true, exclusive: false, priority: 0 }.encode(8, 4096));
        say(&mut cluster, publisher, &[(1, publish(4))]);
        let bytes = read_bytes(&mut cluster, consumer);
        let of_traces = Incoming::default().feed(&bytes).into_iter().filter(|(channel, _)| *channel == 8).count();
        assert_eq!(of_traces, 3, "consume-ok, the publish and the delivery");
        cluster.write(consumer, &Op::Cancel(2).encode(8, 4096));
        cluster.settle();
        read_bytes(&mut cluster, consumer);
        trace(&mut cluster, false);
        say(&mut cluster, publisher, &[(1, publish(3))]);
        assert_eq!(traces(&mut cluster, publisher), []);
    }
}

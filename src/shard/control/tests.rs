//! Changes of the catalog, on the shards of the simulator.

use crate::config::Config;
use crate::contract::{Command, QueueSpec, Topology};
use crate::message::Table;
use crate::shard::support::cluster::Cluster;

fn decide(cluster: &mut Cluster, topology: Topology) {
    cluster.demand(0, Command::topology("/", topology));
    cluster.settle();
    let (_, decision) = cluster.next_decision(0).expect("it is decided");
    decision.expect("it is in order");
}

fn declare(cluster: &mut Cluster, name: &str, durable: bool) {
    let spec = QueueSpec { name: name.into(), durable, exclusive: false, auto_delete: false, arguments: Table::empty() };
    decide(cluster, Topology::DeclareQueue(spec));
}

/// Returns the number of each queue, which all shards have alike.
fn numbers(cluster: &Cluster) -> Vec<u64> {
    let of_shard = |shard: usize| cluster.shard(shard).catalog.queues().map(|queue| queue.number).collect::<Vec<_>>();
    assert_eq!(of_shard(0), of_shard(1));
    of_shard(0)
}

#[test]
fn no_number_is_given_twice() {
    let mut cluster = Cluster::new(Config { shards: 2, ..Config::default() }, 1);
    let mut given = Vec::new();
    for round in 0..4 {
        declare(&mut cluster, &format!("kept-{round}"), true);
        declare(&mut cluster, "passing", false);
        declare(&mut cluster, "deleted", false);
        given.extend(numbers(&cluster));
        decide(&mut cluster, Topology::DeleteQueue { name: "deleted".into(), if_unused: false, if_empty: false });
        if round % 2 == 0 {
            cluster.crash();
        } else {
            cluster.stop();
        }
        cluster.start();
        assert_eq!(numbers(&cluster).len(), round + 1, "only what is durable comes back");
    }
    let found = given.len();
    given.sort_unstable();
    given.dedup();
    // Each round has declared three queues; the durable ones were there in later rounds again.
    assert_eq!((found, given.len()), (4 * 3 + 1 + 2 + 3, 4 * 3));
    assert!(given.iter().all(|&number| number > 0));
}

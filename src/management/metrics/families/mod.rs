//! The families, in RabbitMQ's order, names and words.
//!
//! - [`node`]: the process, churn, disks, logins, alarms;
//! - [`queues`], [`channels`]: objects, and their sums;
//! - [`global`]: messages by protocol;
//! - [`cluster`]: names of objects;
//! - [`memory`]: the parts of the memory;
//! - [`shards`]: the broker's own;
//! - [`scrape`]: the versions, the identity, and the scrapes themselves.

mod channels;
mod cluster;
mod global;
mod memory;
mod node;
mod queues;
mod scrape;
mod shards;

use super::endpoint::Endpoint;
use super::family::{Family, Group, Shown};

/// A family of an answer.
pub struct Planned {
    /// The beginning of its name.
    pub prefix: &'static str,
    /// The family.
    pub family: &'static Family,
    /// Whether it has a sample for each object instead of their sum.
    pub per_object: bool,
}

/// The families that an endpoint shows, in their order.
pub fn plan(endpoint: &Endpoint) -> Vec<Planned> {
    let groups = groups().filter(|group| shows(endpoint, group));
    let planned = |group: &'static Group| {
        let is_detailed = matches!(endpoint, Endpoint::Detailed(_)) && group.shown != Shown::Always;
        let prefix = if is_detailed && group.prefix == RABBITMQ { DETAILED } else { group.prefix };
        let per_object = !matches!(endpoint, Endpoint::Aggregated | Endpoint::MemoryBreakdown);
        group.families.iter().map(move |family| Planned { prefix, family, per_object })
    };
    groups.flat_map(planned).collect()
}

fn shows(endpoint: &Endpoint, group: &Group) -> bool {
    let is_asked_for = match endpoint {
        Endpoint::Aggregated => matches!(group.shown, Shown::Usually | Shown::Summed),
        Endpoint::PerObject => matches!(group.shown, Shown::Usually | Shown::PerObject),
        Endpoint::Detailed(wanted) => group.asked_as.iter().any(|name| wanted.families.contains(*name)),
        Endpoint::MemoryBreakdown => group.shown == Shown::Breakdown,
    };
    is_asked_for || group.shown == Shown::Always
}

fn groups() -> impl Iterator<Item = &'static Group> {
    let before = node::GROUPS.iter().chain(queues::GROUPS).chain(channels::GROUPS);
    let behind = global::GROUPS.iter().chain(cluster::GROUPS).chain(memory::GROUPS).chain(shards::GROUPS);
    before.chain(behind).chain(scrape::GROUPS)
}

/// The beginning of names of what is asked for.
const DETAILED: &str = "rabbitmq_detailed_";

/// The beginning of RabbitMQ's names.
const RABBITMQ: &str = "rabbitmq_";

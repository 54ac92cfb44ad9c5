//! Families of metrics: what a table of them consists of.

use super::numbers::{Channel, Connection, Exchange, Queue};
use super::snapshot::{Declared, Snapshot};
use super::value::{Value, labels, sample};
use crate::contract::Totals;

/// A family: samples of one name.
pub struct Family {
    /// The name, without the prefix of its group.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The explanation.
    pub help: &'static str,
    /// Where its samples come from.
    pub source: Source,
}

/// The type of a family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Untyped,
    Histogram,
    Summary,
}

impl Kind {
    /// The name in the text.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Untyped => "untyped",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

/// Where the samples of a family come from.
#[derive(Clone, Copy)]
pub enum Source {
    /// Nowhere: the broker has no such number.
    None,
    /// One sample.
    Node(fn(&Snapshot) -> Value),
    /// One sample, with the label of the only protocol.
    Protocol(fn(&Snapshot) -> Value),
    /// One sample, the sum over the shards.
    Shards(fn(&Totals) -> u64),
    /// A sample for each shard.
    PerShard(fn(&Totals) -> u64),
    /// Any samples.
    Labelled(fn(&Snapshot, &mut Samples<'_>)),
    /// A sample for each queue, or their sum.
    Queues(fn(&Queue) -> Value),
    /// A sample with the attributes of each queue.
    QueueInfo,
    /// A sample for each channel, or their sum.
    Channels(fn(&Channel) -> Value),
    /// A sample for each connection, or their sum.
    Connections(fn(&Connection) -> Value),
    /// A sample for each exchange that was used, or their sum.
    Exchanges(fn(&Exchange) -> Value),
    /// A sample for each exchange.
    Declared(fn(&Declared) -> Value),
}

/// Families that are asked for together.
pub struct Group {
    /// The names of `family=` that bring it.
    pub asked_as: &'static [&'static str],
    /// The beginning of the families' names.
    pub prefix: &'static str,
    /// Where it is shown.
    pub shown: Shown,
    /// The families.
    pub families: &'static [Family],
}

/// The endpoints that show a group, besides `/metrics/detailed`, which shows what is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// All endpoints, asked for or not.
    Always,
    /// `/metrics` and `/metrics/per-object`.
    Usually,
    /// `/metrics`.
    Summed,
    /// `/metrics/per-object`.
    PerObject,
    /// None.
    OnDemand,
    /// `/metrics/memory-breakdown`.
    Breakdown,
}

/// Writes samples of a family.
pub struct Samples<'a> {
    /// The text.
    pub out: &'a mut String,
    /// The family's name, in two parts.
    pub name: (&'a str, &'a str),
}

impl Samples<'_> {
    /// Writes a sample.
    pub fn put(&mut self, named: &[(&str, &str)], value: impl Into<Value>) {
        sample(self.out, self.name, &labels(named), value.into());
    }

    /// Writes a sample whose name has an ending.
    pub fn put_part(&mut self, ending: &str, named: &[(&str, &str)], value: impl Into<Value>) {
        let name = format!("{}{ending}", self.name.1);
        sample(self.out, (self.name.0, &name), &labels(named), value.into());
    }
}

/// A counter.
pub const fn counter(name: &'static str, help: &'static str, source: Source) -> Family {
    Family { name, kind: Kind::Counter, help, source }
}

/// A gauge.
pub const fn gauge(name: &'static str, help: &'static str, source: Source) -> Family {
    Family { name, kind: Kind::Gauge, help, source }
}

/// A family without a type.
pub const fn untyped(name: &'static str, help: &'static str, source: Source) -> Family {
    Family { name, kind: Kind::Untyped, help, source }
}

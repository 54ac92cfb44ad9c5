//! What every answer has: the versions, the identity of the node, and the scrapes so far.

use super::RABBITMQ;
use crate::management::metrics::family::Source::Labelled;
use crate::management::metrics::family::{Family, Group, Kind, Samples, Shown, untyped};
use crate::management::metrics::snapshot::Snapshot;
use crate::management::metrics::telemetry::Scrapes;
use crate::management::metrics::value::Value;

/// The groups.
pub const GROUPS: &[Group] = &[
    Group { asked_as: &[], prefix: RABBITMQ, shown: Shown::Always, families: NODE },
    Group { asked_as: &[], prefix: "telemetry_", shown: Shown::Always, families: SCRAPES },
];

const NODE: &[Family] = &[
    untyped(
        "build_info",
        "RabbitMQ & Erlang/OTP version info",
        Labelled(|node, samples| {
            let versions = [
                ("rabbitmq_version", &*node.version),
                ("prometheus_plugin_version", &node.version),
                ("prometheus_client_version", env!("CARGO_PKG_VERSION")),
                ("erlang_version", "none"),
            ];
            samples.put(&versions, true);
        }),
    ),
    untyped(
        "identity_info",
        "RabbitMQ node & cluster identity info",
        Labelled(|node, samples| {
            let identity = [
                ("rabbitmq_node", &*node.name),
                ("rabbitmq_cluster", &node.cluster),
                ("rabbitmq_cluster_permanent_id", &node.cluster_id),
                ("rabbitmq_endpoint", node.endpoint),
            ];
            samples.put(&identity, true);
        }),
    ),
];

const SCRAPES: &[Family] = &[
    summary("scrape_duration_seconds", "Scrape duration", |node, samples| summarize(node, samples, |scrapes| scrapes.seconds.into())),
    summary("scrape_size_bytes", "Scrape size, not encoded", |node, samples| summarize(node, samples, |scrapes| scrapes.bytes.into())),
];

const fn summary(name: &'static str, help: &'static str, samples: fn(&Snapshot, &mut Samples<'_>)) -> Family {
    Family { name, kind: Kind::Summary, help, source: Labelled(samples) }
}

/// Writes the number of scrapes of the same endpoint, and a sum over them.
fn summarize(node: &Snapshot, samples: &mut Samples<'_>, sum: fn(&Scrapes) -> Value) {
    for (format, scrapes) in &node.scrapes {
        let labels = [("registry", node.registry), ("content_type", format.content_type())];
        samples.put_part("_count", &labels, scrapes.count);
        samples.put_part("_sum", &labels, sum(scrapes));
    }
}

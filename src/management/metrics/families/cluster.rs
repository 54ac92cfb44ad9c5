//! Names of objects. They are the same whichever node of a cluster is asked.

use crate::management::metrics::family::Source::{Declared, Labelled};
use crate::management::metrics::family::{Family, Group, Shown, gauge};

/// The groups.
pub const GROUPS: &[Group] =
    &[group(&["vhost_status"], VHOSTS), group(&["exchange_bindings"], BINDINGS), group(&["exchange_names"], EXCHANGES)];

const fn group(asked_as: &'static [&'static str], families: &'static [Family]) -> Group {
    Group { asked_as, prefix: "rabbitmq_cluster_", shown: Shown::OnDemand, families }
}

const VHOSTS: &[Family] = &[gauge(
    "vhost_status",
    "Whether a given vhost is running",
    Labelled(|node, samples| node.vhosts.iter().for_each(|name| samples.put(&[("vhost", name)], true))),
)];

const BINDINGS: &[Family] = &[gauge(
    "exchange_bindings",
    "Number of bindings for an exchange. This value is cluster-wide.",
    Declared(|exchange| exchange.bindings.into()),
)];

const EXCHANGES: &[Family] = &[gauge(
    "exchange_name",
    "Enumerates exchanges without any additional info. This value is cluster-wide. A cheaper alternative to `exchange_bindings`",
    Declared(|_| true.into()),
)];

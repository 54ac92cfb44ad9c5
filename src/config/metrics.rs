//! Where and how metrics are served.

use std::net::{Ipv4Addr, SocketAddr};

/// Settings of the metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metrics {
    /// The address to listen on; none: nowhere.
    pub listen: Option<SocketAddr>,
    /// The path of the sums; other endpoints are below it.
    pub path: String,
    /// Whether every object is shown there instead of the sums.
    pub per_object: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { listen: Some((Ipv4Addr::LOCALHOST, 15692).into()), path: "/metrics".into(), per_object: false }
    }
}

//! The settings of the management API.

use std::net::SocketAddr;

use super::flags::ManagementFlags;

/// The settings of the management API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Management {
    /// Whether it is served.
    pub enabled: bool,
    /// Addresses to listen on; none: port 15672 of the loopback addresses.
    pub listen: Vec<SocketAddr>,
    /// The path under which everything is served, such as `/mq`; empty: none.
    pub path_prefix: String,
    /// Origins of web pages that may read answers; `*` stands for all.
    pub cors_origins: Vec<String>,
    /// How long browsers may remember that, seconds.
    pub cors_max_age: u32,
    /// Largest body of a request, bytes.
    pub body_max: usize,
    /// Whether the header `allow` is left out.
    pub hide_allow: bool,
    /// Whether users may log in with a name and a password.
    pub basic_auth: bool,
    /// Whether operator policies can only be read.
    pub operator_policies_locked: bool,
    /// Milliseconds between samples of numbers.
    pub interval_ms: u32,
}

impl Default for Management {
    fn default() -> Self {
        Management {
            enabled: true,
            listen: Vec::new(),
            path_prefix: String::new(),
            cors_origins: Vec::new(),
            cors_max_age: 1800,
            body_max: 20_000_000,
            hide_allow: false,
            basic_auth: true,
            operator_policies_locked: false,
            interval_ms: 5000,
        }
    }
}

impl From<ManagementFlags> for Management {
    fn from(flags: ManagementFlags) -> Management {
        Management {
            enabled: !flags.no_management,
            listen: flags.management_listen,
            path_prefix: flags.management_path_prefix,
            cors_origins: flags.management_cors_origins.0,
            cors_max_age: flags.management_cors_max_age,
            body_max: flags.management_max_body_size,
            hide_allow: flags.management_hide_allow,
            basic_auth: !flags.no_management_basic_auth,
            operator_policies_locked: flags.lock_operator_policies,
            interval_ms: flags.statistics_interval,
        }
    }
}

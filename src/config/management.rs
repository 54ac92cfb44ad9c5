//! The settings of the management API.

use std::net::SocketAddr;

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

#[cfg(test)]
mod tests {
    use crate::config::{conf, settings};

    fn flags(text: &str) -> Vec<String> {
        let (given, ..) = settings::flags(&conf::settings(text).expect("settings")).expect("in order");
        given.into_iter().map(|given| given.argument).collect()
    }

    #[test]
    fn address_and_port_make_one_listener() {
        assert_eq!(flags("management.tcp.port = 15673"), ["--management-listen=[::]:15673"]);
        assert_eq!(flags("management.tcp.ip = 127.0.0.1"), ["--management-listen=127.0.0.1:15672"]);
        assert_eq!(flags("management.tcp.ip = ::1\nmanagement.tcp.port = 1"), ["--management-listen=[::1]:1"]);
        let origins = "management.cors.allow_origins.1 = http://a\nmanagement.cors.allow_origins.2 = *";
        assert_eq!(flags(origins).last().map(String::as_str), Some("--management-cors-origins=http://a,*"));
    }
}

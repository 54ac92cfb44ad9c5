//! Names of connections and channels, and times in RabbitMQ's form.

use std::net::SocketAddr;

use jiff::Timestamp;

/// The name of a connection.
pub fn connection_name(peer: SocketAddr, local: SocketAddr) -> String {
    format!("{} -> {}", canonical(peer), canonical(local))
}

/// The name of a channel.
pub fn channel_name(peer: SocketAddr, local: SocketAddr, channel: u16) -> String {
    format!("{} ({channel})", connection_name(peer, local))
}

/// IPv4 addresses that came over an IPv6 socket are IPv4 addresses.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A time with milliseconds: `2026-11-30T17:32:11.442+00:00`.
pub fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times_are_rabbitmq_s() {
        let [peer, local] = ["[::ffff:127.0.0.1]:41298", "127.0.0.1:5672"].map(|address| address.parse().expect("an address"));
        assert_eq!(channel_name(peer, local, 1), "127.0.0.1:41298 -> 127.0.0.1:5672 (1)");
        assert_eq!(time(1_796_059_931_442), "2026-11-30T17:32:11.442+00:00");
        assert_eq!(time(1_796_059_931_000), "2026-11-30T17:32:11.000+00:00");
        assert_eq!(time(u64::MAX), "1970-01-01T00:00:00.000+00:00");
    }
}

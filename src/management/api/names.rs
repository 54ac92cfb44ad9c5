//! Names of connections and channels in RabbitMQ's form.

use std::net::SocketAddr;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_rabbitmq_s() {
        let [peer, local] = ["[::ffff:127.0.0.1]:41298", "127.0.0.1:5672"].map(|address| address.parse().expect("an address"));
        assert_eq!(channel_name(peer, local, 1), "127.0.0.1:41298 -> 127.0.0.1:5672 (1)");
    }
}

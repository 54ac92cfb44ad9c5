//! The checked, immutable configuration that every shard shares.

pub mod args;
pub mod auth;
mod check;
pub mod conf;
pub mod defaults;
pub mod flags;
mod keys;
pub mod management;
pub mod metrics;
mod protocol;
#[cfg(test)]
mod readme;
pub mod settings;
pub mod source;
mod surroundings;
mod units;
mod values;
pub mod watermark;

use std::net::SocketAddr;
use std::path::PathBuf;

use auth::Auth;
use defaults::Defaults;
use management::Management;
use metrics::Metrics;
pub use protocol::Protocol;
use source::{ClientTls, Source};
pub use surroundings::Surroundings;
use watermark::Watermark;

/// The broker's configuration. Made once at the start from the command line, the environment and
/// configuration files, then shared read-only.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The node's name, `NAME@HOST`.
    pub node_name: String,
    /// Addresses to listen on; none: 127.0.0.1:5672, and [::1]:5672 where there is IPv6.
    pub listen: Vec<SocketAddr>,
    /// Number of shards (event loops), from 1.
    pub shards: u16,
    /// CPUs to pin shards to, shard i to `cpus[i % len]`; empty: not pinned.
    pub cpus: Vec<usize>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The meaning of a confirm.
    pub durability: Durability,
    /// Whether to start although the log is damaged, without what is lost.
    pub accept_log_loss: bool,
    /// Bytes of messages that a shard keeps in memory before queues leave persistent ones to the
    /// log.
    pub queue_memory: usize,
    /// The same limit for transient messages, which go to the log only because memory is short;
    /// none: as for persistent ones.
    pub transient_memory: Option<usize>,
    /// The high watermark of memory, bytes; none: not known.
    pub memory_max: Option<usize>,
    /// Submission entries of a shard's ring, a power of two.
    pub ring_entries: u32,
    /// Small receive buffers of a shard, which its quiet connections share; a power of two.
    pub recv_buffers: u16,
    /// Bytes of a small receive buffer.
    pub recv_buffer_size: u32,
    /// Large receive buffers of a shard, for the connections that send a lot; a power of two.
    pub bulk_buffers: u16,
    /// Bytes of a large receive buffer.
    pub bulk_buffer_size: u32,
    /// Whether to read quiet connections by multishot receives, where the kernel can limit them.
    pub multishot: bool,
    /// Bytes that a connection's send buffer may keep between sends.
    pub send_buffer_size: usize,
    /// Whether to send data at once instead of waiting for more (TCP_NODELAY).
    pub tcp_nodelay: bool,
    /// TCP congestion control of accepted connections.
    pub tcp_congestion: Congestion,
    /// Microseconds for which an idle shard looks for work before it sleeps.
    pub spin_us: u32,
    /// connection.tune: most channels on a connection; 0 is no limit (65535).
    pub channel_max: u16,
    /// connection.tune: largest frame, bytes; 0 is no limit.
    pub frame_max: u32,
    /// connection.tune: seconds between heartbeats; 0 is off.
    pub heartbeat: u16,
    /// How long consumers of quorum queues may keep a delivery, milliseconds; none: no limit.
    pub consumer_timeout_ms: Option<u64>,
    /// Whether earlier deaths in an x-death header that a client publishes count (before RabbitMQ 4
    /// they did).
    pub trust_client_deaths: bool,
    /// Largest message body, bytes.
    pub max_message_size: usize,
    /// Most connections of the whole broker.
    pub max_connections: usize,
    /// Most channels of the whole broker; none: no limit.
    pub max_channels: Option<u32>,
    /// How clients may log in.
    pub auth: Auth,
    /// Users who may log in over loopback only.
    pub loopback_users: Vec<String>,
    /// Memory beyond which publishers are blocked.
    pub memory_high_watermark: Watermark,
    /// Free space in the data directory's file system below which publishers are blocked.
    pub disk_free_limit: Watermark,
    /// From a connection's arrival to connection.open, milliseconds.
    pub handshake_ms: u64,
    /// How long a client may take nothing of what is sent to it, milliseconds.
    pub send_timeout_ms: u64,
    /// Connections that the kernel completes before a shard accepts them, for each listener.
    pub backlog: u16,
    /// Metrics for Prometheus.
    pub metrics: Metrics,
    /// The virtual host and the user of a new broker, unless definitions say otherwise.
    pub founding: Founding,
    /// The defaults of every new virtual host.
    pub defaults: Defaults,
    /// Definitions to be added to what there is.
    pub definitions: Vec<Source>,
    /// TLS towards the servers that definitions are fetched from.
    pub definitions_tls: ClientTls,
    /// Whether to skip definitions that are the same as at the last import.
    pub skip_unchanged_definitions: bool,
    /// The management API.
    pub management: Management,
    /// The least severe level that is logged.
    pub log: log::LevelFilter,
    /// `product` of the server-properties.
    pub product: String,
    /// `version` of the server-properties: the RabbitMQ version whose behaviour RingMQ follows,
    /// because clients depend on it.
    pub product_version: String,
}

/// What a confirm of a persistent message in a durable queue means, and the answer to a declaration
/// of something durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// It is on stable storage: it survives a crash of the machine.
    Sync,
    /// It is written to the operating system: it survives a crash of the broker.
    Os,
}

/// The TCP congestion control of connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Congestion {
    /// Cubic where the system has it, else the system's default.
    Usual,
    /// The system's default.
    System,
    /// The one of this name.
    Named(String),
}

/// The virtual host and the user of a new broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Founding {
    /// The virtual host.
    pub vhost: String,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// The user's tags.
    pub tags: Vec<String>,
    /// What the user may declare and delete in the virtual host.
    pub configure: String,
    /// What the user may send to.
    pub write: String,
    /// What the user may receive from.
    pub read: String,
}

impl Default for Founding {
    fn default() -> Self {
        let all = || ".*".to_owned();
        Founding {
            vhost: "/".into(),
            user: "guest".into(),
            password: "guest".into(),
            tags: vec!["administrator".into()],
            configure: all(),
            write: all(),
            read: all(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            node_name: "rabbit@localhost".to_owned(),
            listen: Vec::new(),
            shards: 1,
            cpus: Vec::new(),
            data_dir: PathBuf::from("ringmq-data"),
            durability: Durability::Sync,
            accept_log_loss: false,
            queue_memory: 256 << 20,
            transient_memory: None,
            memory_max: None,
            ring_entries: 1024,
            recv_buffers: 256,
            recv_buffer_size: 4 << 10,
            bulk_buffers: 16,
            bulk_buffer_size: 192 << 10,
            multishot: true,
            send_buffer_size: 512 << 10,
            tcp_nodelay: true,
            tcp_congestion: Congestion::Usual,
            spin_us: 20,
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 60,
            consumer_timeout_ms: Some(1_800_000),
            trust_client_deaths: true,
            max_message_size: 16 << 20,
            max_connections: 100_000,
            max_channels: None,
            auth: Auth::default(),
            loopback_users: vec!["guest".into()],
            memory_high_watermark: Watermark::Fraction(0.6),
            disk_free_limit: Watermark::Bytes(50_000_000),
            handshake_ms: 10_000,
            send_timeout_ms: 30_000,
            backlog: 4096,
            metrics: Metrics::default(),
            founding: Founding::default(),
            defaults: Defaults::default(),
            definitions: Vec::new(),
            definitions_tls: ClientTls::default(),
            skip_unchanged_definitions: false,
            management: Management::default(),
            log: log::LevelFilter::Info,
            product: "RingMQ".into(),
            product_version: "4.3.6".into(),
        }
    }
}

//! The flags and tasks of the command line, and the text that `--help` shows for each. This is the
//! one place that documents every setting.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand};

use super::source::Source;
use super::values::{
    CpuList, Listener, Mechanisms, Names, address, congestion, cpu_list, durability, frame_max, level, listener, mechanisms, names,
    node_name, number, path, path_prefix, power_of_two, size,
};
use super::watermark::Watermark;
use super::{Congestion, Durability};
use crate::base::limits;

/// RingMQ: a message broker for RabbitMQ's users (AMQP 0-9-1).
///
/// Sizes are in bytes; the suffixes k, m, g (or KiB, MiB, GiB) multiply by 1024, 1024², 1024³, and
/// kB, MB, GB by 1000, 1000², 1000³.
///
/// A setting comes from the first of these that has it: a flag, a variable of the environment
/// (RABBITMQ_DEFAULT_USER, RABBITMQ_DEFAULT_PASS, RABBITMQ_DEFAULT_VHOST, RABBITMQ_NODENAME), a
/// configuration file (--config), the default.
#[derive(Parser, Debug)]
#[command(name = "ringmq", version, max_term_width = 110, args_conflicts_with_subcommands = true, args_override_self = true)]
pub struct CommandLine {
    #[command(flatten)]
    pub flags: Flags,
    #[command(subcommand)]
    pub task: Option<Task>,
}

/// A task that the program performs instead of running the broker.
#[derive(Subcommand, Clone, PartialEq, Debug)]
pub enum Task {
    /// Read or write the definitions in a data directory that no broker uses
    #[command(subcommand)]
    Definitions(Definitions),
}

/// A task with definitions.
#[derive(Subcommand, Clone, PartialEq, Debug)]
pub enum Definitions {
    /// Write users, virtual hosts, permissions, policies, queues, exchanges and bindings as
    /// RabbitMQ's JSON
    Export {
        /// The data directory
        #[arg(long, value_name = "DIR", default_value = "ringmq-data")]
        data_dir: PathBuf,
        /// Where to write [default: standard output]
        file: Option<PathBuf>,
    },
    /// Add the definitions in a file of RabbitMQ's JSON to those in the data directory
    Import {
        /// The data directory; created if missing
        #[arg(long, value_name = "DIR", default_value = "ringmq-data")]
        data_dir: PathBuf,
        /// Configuration in RabbitMQ's format that sets the defaults of new virtual hosts
        /// (default_queue_type, default_limits, default_policies, default_users); may be repeated
        /// [default: RABBITMQ_CONFIG_FILE of the environment]
        #[arg(long, value_name = "PATH")]
        config: Vec<PathBuf>,
        /// The definitions: a file, or a directory of *.json files
        file: PathBuf,
    },
}

/// The flags that configure the broker.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// Configuration in RabbitMQ's format (rabbitmq.conf): a file, or a directory of *.conf files;
    /// may be repeated, later files win; flags win over all files [default: RABBITMQ_CONFIG_FILE of
    /// the environment]
    #[arg(long, value_name = "PATH")]
    pub config: Vec<PathBuf>,

    /// Name of this node, NAME or NAME@HOST [default: rabbit@ and the name of the host] [env:
    /// RABBITMQ_NODENAME]
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    pub node_name: Option<String>,

    /// Address and port to listen on, for example 0.0.0.0:5672 or [::]:5672 (which takes IPv4,
    /// too); may be repeated; port 0 takes a free one [default: 127.0.0.1:5672, and [::1]:5672
    /// where there is IPv6]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub listen: Vec<SocketAddr>,

    /// Number of shards: event loops, one thread each [default: one per CPU of --cpus, or per CPU
    /// available]
    #[arg(long, value_name = "N", value_parser = number::<u16, 1, { limits::SHARDS_MAX as u64 }>)]
    pub shards: Option<u16>,

    /// CPUs to pin the shards to, in order, for example 0,2-3 [default: the CPUs available]
    #[arg(long, value_name = "LIST", value_parser = cpu_list)]
    pub cpus: Option<CpuList>,

    /// Do not pin shards: let the kernel choose their CPUs
    #[arg(long, conflicts_with = "cpus")]
    pub no_pin: bool,

    /// Directory for all that survives the process; created if missing, and locked while the broker
    /// runs
    #[arg(long, value_name = "DIR", default_value = "ringmq-data")]
    pub data_dir: PathBuf,

    /// What a confirm of a persistent message in a durable queue means: sync (the message is on
    /// stable storage and survives a crash of the machine) or os (it is written to the operating
    /// system and survives a crash of the broker)
    #[arg(long, value_name = "sync|os", default_value = "sync", value_parser = durability)]
    pub durability: Durability,

    /// Start although files of the data directory are damaged or missing, without what they held
    #[arg(long)]
    pub accept_log_loss: bool,

    /// Memory for the messages of a shard, 1 MiB to 1 TiB; beyond it, queues keep persistent
    /// messages in the log only and read them back when it is their turn (transient ones only
    /// beyond half of the memory high watermark)
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = size::<usize, { 1 << 20 }, { 1 << 40 }>)]
    pub queue_memory: usize,

    /// Submission entries of a shard's io_uring, a power of two from 64 to 4096; completion entries
    /// are 8 times as many
    #[arg(long, value_name = "N", default_value = "1024", value_parser = power_of_two::<u32, 64, 4096>)]
    pub ring_entries: u32,

    /// Number of small receive buffers of a shard, which its quiet connections share, a power of
    /// two from 16 to 32768
    #[arg(long, value_name = "N", default_value = "256", value_parser = power_of_two::<u16, 16, 32_768>)]
    pub recv_buffers: u16,

    /// Size of a small receive buffer, 1 KiB to 1 MiB; a connection that sends more than that at a
    /// time is read into large buffers
    #[arg(long, value_name = "BYTES", default_value = "4KiB", value_parser = size::<u32, { 1 << 10 }, { 1 << 20 }>)]
    pub recv_buffer_size: u32,

    /// Number of large receive buffers of a shard, a power of two from 1 to 1024
    #[arg(long, value_name = "N", default_value = "16", value_parser = power_of_two::<u16, 1, 1024>)]
    pub bulk_buffers: u16,

    /// Size of a large receive buffer, 16 KiB to 4 MiB
    #[arg(long, value_name = "BYTES", default_value = "192KiB", value_parser = size::<u32, { 16 << 10 }, { 4 << 20 }>)]
    pub bulk_buffer_size: u32,

    /// Start every receive anew, as on kernels before 6.17: for a kernel whose multishot receives
    /// misbehave (costs 10 to 15 % with many quiet connections)
    #[arg(long)]
    pub no_multishot: bool,

    /// Output buffer that a connection keeps between sends, 4 KiB to 16 MiB
    #[arg(long, value_name = "BYTES", default_value = "512KiB", value_parser = size::<usize, { 4 << 10 }, { 16 << 20 }>)]
    pub send_buffer_size: usize,

    /// Let the kernel wait for more data before it sends a small packet (Nagle's algorithm): fewer
    /// packets, later answers
    #[arg(long)]
    pub no_tcp_nodelay: bool,

    /// TCP congestion control of connections, a name from
    /// net.ipv4.tcp_available_congestion_control; system keeps the system's default [default:
    /// cubic, where the system has it]
    #[arg(long, value_name = "NAME", value_parser = congestion)]
    pub tcp_congestion: Option<Congestion>,

    /// Microseconds for which an idle shard looks for work before it sleeps, 0 to 1000000; 0 saves
    /// power, more saves wake-ups
    #[arg(long, value_name = "MICROS", default_value = "20", value_parser = number::<u32, 0, 1_000_000>)]
    pub spin: u32,

    /// Most channels on a connection, offered in connection.tune, 0 to 65535; 0 is no limit
    #[arg(long, value_name = "N", default_value = "2047", value_parser = number::<u16, 0, 65_535>)]
    pub channel_max: u16,

    /// Largest frame, offered in connection.tune, 4 KiB to 16 MiB; 0 is no limit
    #[arg(long, value_name = "BYTES", default_value = "128KiB", value_parser = frame_max)]
    pub frame_max: u32,

    /// Seconds between heartbeats, offered in connection.tune, 0 to 65535; 0 switches them off
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = number::<u16, 0, 65_535>)]
    pub heartbeat: u16,

    /// Longest time that a delivery of a quorum queue may stay unacknowledged, in milliseconds; 0
    /// is no limit
    #[arg(long, value_name = "MS", default_value = "1800000", value_parser = number::<u64, 0, { limits::EXPIRATION_MS_MAX }>)]
    pub consumer_timeout: u64,

    /// Largest message body, up to 512 MiB
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = size::<usize, 1, { limits::MESSAGE_SIZE_CAP as u64 }>)]
    pub max_message_size: usize,

    /// Most connections at a time, all shards together; further ones are refused
    #[arg(long, value_name = "N", default_value = "100000", value_parser = number::<usize, 1, 10_000_000>)]
    pub max_connections: usize,

    /// Most channels at a time, all connections together; further ones are refused [default: no
    /// limit]
    #[arg(long, value_name = "N", value_parser = number::<u32, 1, { u32::MAX as u64 }>)]
    pub max_channels: Option<u32>,

    /// SASL mechanisms that clients may log in with, separated by commas: ANONYMOUS, PLAIN,
    /// AMQPLAIN
    #[arg(long, value_name = "NAMES", default_value = "ANONYMOUS,PLAIN,AMQPLAIN", value_parser = mechanisms)]
    pub auth_mechanisms: Mechanisms,

    /// User that a client becomes by logging in with ANONYMOUS; none: the mechanism is not offered
    #[arg(long, value_name = "NAME", default_value = "guest")]
    pub anonymous_login_user: String,

    /// Password of --anonymous-login-user
    #[arg(long, value_name = "PASSWORD", default_value = "guest")]
    pub anonymous_login_pass: String,

    /// Users who may log in over loopback only, separated by commas; none: no user is restricted
    #[arg(long, value_name = "NAMES", default_value = "guest", value_parser = names)]
    pub loopback_users: Names,

    /// Memory beyond which publishers are blocked until less is in use: a share of the memory that
    /// the process may use (0.6), or a size (2GiB)
    #[arg(long, value_name = "SHARE|BYTES", default_value = "0.6", value_parser = Watermark::parse)]
    pub memory_high_watermark: Watermark,

    /// Free space in the file system of --data-dir below which publishers are blocked until there
    /// is more: a size, or with a point a multiple of the memory that the process may use (1.5); 0
    /// is no limit
    #[arg(long, value_name = "BYTES|MULTIPLE", default_value = "50MB", value_parser = Watermark::parse_multiple)]
    pub disk_free_limit: Watermark,

    /// Milliseconds that a client has from its connection's arrival to connection.open, 1000 to
    /// 3600000
    #[arg(long, value_name = "MILLIS", default_value = "10000", value_parser = number::<u64, 1_000, 3_600_000>)]
    pub handshake_timeout: u64,

    /// Milliseconds for which a client may take nothing of what is sent to it before its connection
    /// is closed, 1000 to 3600000
    #[arg(long, value_name = "MILLIS", default_value = "30000", value_parser = number::<u64, 1_000, 3_600_000>)]
    pub send_timeout: u64,

    /// Connections that the kernel completes before a shard accepts them, for each listener, 1 to
    /// 65535
    #[arg(long, value_name = "N", default_value = "4096", value_parser = number::<u16, 1, 65_535>)]
    pub backlog: u16,

    #[command(flatten)]
    pub management: ManagementFlags,

    /// Address and port on which to serve metrics for Prometheus; port 0 takes a free one; none:
    /// nowhere
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:15692", value_parser = listener)]
    pub metrics_listen: Listener,

    /// Path of the metrics
    #[arg(long, value_name = "PATH", default_value = "/metrics", value_parser = path)]
    pub metrics_path: String,

    /// Show the metrics of every queue, channel, connection and exchange at that path instead of
    /// their sums: with very many, answers are very long
    #[arg(long)]
    pub metrics_per_object: bool,

    /// Definitions in RabbitMQ's JSON to add to what the broker has: a file, a directory of *.json
    /// files, or the URL of a web server (https://…); may be repeated. A new broker gets only what
    /// they define, not the user and the virtual host of the flags --default-…
    #[arg(long, value_name = "PATH|URL", value_parser = OsStringValueParser::new().map(Source::from))]
    pub definitions: Vec<Source>,

    /// Certificates (PEM) of the authorities that may vouch for such a server [default: those that
    /// Mozilla trusts]
    #[arg(long, value_name = "PATH")]
    pub definitions_ca: Option<PathBuf>,

    /// Certificate (PEM) to show to such a server
    #[arg(long, value_name = "PATH")]
    pub definitions_cert: Option<PathBuf>,

    /// Key (PEM) of --definitions-cert
    #[arg(long, value_name = "PATH")]
    pub definitions_key: Option<PathBuf>,

    /// Do not verify the certificate of such a server
    #[arg(long)]
    pub definitions_no_verify: bool,

    /// Skip the import if the definitions are the same as at the last import: objects deleted since
    /// then stay deleted
    #[arg(long)]
    pub skip_unchanged_definitions: bool,

    /// User of a new broker [env: RABBITMQ_DEFAULT_USER]
    #[arg(long, value_name = "NAME", default_value = "guest")]
    pub default_user: String,

    /// Password of that user; a configuration file or the environment hides it better [env:
    /// RABBITMQ_DEFAULT_PASS]
    #[arg(long, value_name = "PASSWORD", default_value = "guest")]
    pub default_pass: String,

    /// Tags of that user, separated by commas, or none
    #[arg(long, value_name = "NAMES", default_value = "administrator", value_parser = names)]
    pub default_user_tags: Names,

    /// Virtual host of a new broker [env: RABBITMQ_DEFAULT_VHOST]
    #[arg(long, value_name = "NAME", default_value = "/")]
    pub default_vhost: String,

    /// What that user may declare and delete in that virtual host, a Perl-compatible pattern
    #[arg(long, value_name = "PATTERN", default_value = ".*")]
    pub default_configure: String,

    /// What that user may send to
    #[arg(long, value_name = "PATTERN", default_value = ".*")]
    pub default_write: String,

    /// What that user may receive from
    #[arg(long, value_name = "PATTERN", default_value = ".*")]
    pub default_read: String,

    /// Ignore earlier deaths that a client publishes in an x-death header, as RabbitMQ does since
    /// version 4
    #[arg(long)]
    pub ignore_client_deaths: bool,

    /// Least severe level to log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = level)]
    pub log: log::LevelFilter,

    /// `product` in the server-properties that clients see
    #[arg(long, value_name = "NAME", default_value = "RingMQ")]
    pub product: String,

    /// `version` in the server-properties: the RabbitMQ version whose behaviour clients may expect
    #[arg(long, value_name = "VERSION", default_value = "4.3.6")]
    pub product_version: String,
}

/// The flags of the management API.
#[derive(clap::Args, Debug)]
pub struct ManagementFlags {
    /// Address and port of the management API; may be repeated; port 0 takes a free one [default:
    /// 127.0.0.1:15672, and [::1]:15672 where there is IPv6]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub management_listen: Vec<SocketAddr>,

    /// Do not serve the management API
    #[arg(long)]
    pub no_management: bool,

    /// Path under which the management API is served, for example /mq
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = path_prefix)]
    pub management_path_prefix: String,

    /// Origins of web pages that may read answers of the management API, separated by commas; * is
    /// all; none: no page of another origin
    #[arg(long, value_name = "ORIGINS", default_value = "none", value_parser = names)]
    pub management_cors_origins: Names,

    /// Seconds for which browsers may remember that permission
    #[arg(long, value_name = "SECONDS", default_value = "1800", value_parser = number::<u32, 0, { u32::MAX as u64 }>)]
    pub management_cors_max_age: u32,

    /// Largest body of a request to the management API, up to 512 MiB; administrators may import
    /// longer definitions
    #[arg(long, value_name = "BYTES", default_value = "20000000", value_parser = size::<usize, 1, { 512 << 20 }>)]
    pub management_max_body_size: usize,

    /// Leave the header `allow` out of the answers of the management API
    #[arg(long)]
    pub management_hide_allow: bool,

    /// Refuse logins to the management API with a name and a password
    #[arg(long)]
    pub no_management_basic_auth: bool,

    /// Refuse changes of operator policies by the management API
    #[arg(long)]
    pub lock_operator_policies: bool,

    /// Milliseconds between samples of the numbers that rates are made of, 1000 to 3600000
    #[arg(long, value_name = "MILLIS", default_value = "5000", value_parser = number::<u32, 1_000, 3_600_000>)]
    pub statistics_interval: u32,
}

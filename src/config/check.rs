//! The second step of the command line: the relations between values, and the checked [`Config`].

use std::net::SocketAddr;
use std::path::PathBuf;

use super::auth::Auth;
use super::defaults::Defaults;
use super::flags::Flags;
use super::metrics::Metrics;
use super::source::ClientTls;
use super::values::{CpuList, node_name};
use super::{Config, Congestion, Founding, Surroundings};
use crate::base::limits;

/// Checks the relations between values; `available` are the CPUs that this process may use.
///
/// # Errors
/// One sentence that says what to give instead.
pub fn check(args: Flags, around: Surroundings<'_>) -> Result<Config, String> {
    check_addresses(&args.listen)?;
    check_ring(&args)?;
    let cpus = choose_cpus(&args, around.cpus)?;
    let shards = choose_shards(&args, around.cpus)?;
    Ok(Config {
        node_name: choose_node_name(args.node_name.as_deref(), around)?,
        listen: args.listen,
        shards,
        cpus,
        data_dir: args.data_dir,
        durability: args.durability,
        accept_log_loss: args.accept_log_loss,
        queue_memory: args.queue_memory,
        transient_memory: None,
        memory_max: None,
        ring_entries: args.ring_entries,
        recv_buffers: args.recv_buffers,
        recv_buffer_size: args.recv_buffer_size,
        bulk_buffers: args.bulk_buffers,
        bulk_buffer_size: args.bulk_buffer_size,
        multishot: !args.no_multishot,
        send_buffer_size: args.send_buffer_size,
        tcp_nodelay: !args.no_tcp_nodelay,
        tcp_congestion: args.tcp_congestion.unwrap_or(Congestion::Usual),
        spin_us: args.spin,
        channel_max: args.channel_max,
        frame_max: args.frame_max,
        heartbeat: args.heartbeat,
        consumer_timeout_ms: Some(args.consumer_timeout).filter(|&timeout| timeout > 0),
        max_message_size: args.max_message_size,
        trust_client_deaths: !args.ignore_client_deaths,
        max_connections: args.max_connections,
        max_channels: args.max_channels,
        auth: Auth {
            mechanisms: args.auth_mechanisms.0,
            anonymous: Some(args.anonymous_login_user).filter(|user| user != "none").map(|user| (user, args.anonymous_login_pass)),
        },
        loopback_users: args.loopback_users.0,
        memory_high_watermark: args.memory_high_watermark,
        disk_free_limit: args.disk_free_limit,
        handshake_ms: args.handshake_timeout,
        send_timeout_ms: args.send_timeout,
        backlog: args.backlog,
        metrics: Metrics { listen: args.metrics_listen.0, path: args.metrics_path, per_object: args.metrics_per_object },
        founding: Founding {
            vhost: args.default_vhost,
            user: args.default_user,
            password: args.default_pass,
            tags: args.default_user_tags.0,
            configure: args.default_configure,
            write: args.default_write,
            read: args.default_read,
        },
        defaults: Defaults::default(),
        definitions: args.definitions,
        definitions_tls: ClientTls {
            ca: args.definitions_ca,
            identity: identity(args.definitions_cert, args.definitions_key)?,
            is_trusted: args.definitions_no_verify,
        },
        skip_unchanged_definitions: args.skip_unchanged_definitions,
        management: args.management.into(),
        log: args.log,
        product: args.product,
        product_version: args.product_version,
    })
}

/// The flag's name, or the environment's, or `rabbit`; without a host it gets this one.
fn choose_node_name(flag: Option<&str>, around: Surroundings<'_>) -> Result<String, String> {
    if let Some(name) = flag {
        return Ok(full_node_name(name, around.host));
    }
    let name = around.node_name.unwrap_or("rabbit");
    node_name(name).map_err(|why| format!("RABBITMQ_NODENAME: {why}"))?;
    Ok(full_node_name(name, around.host))
}

fn full_node_name(name: &str, host: &str) -> String {
    if name.contains('@') { name.to_owned() } else { format!("{name}@{host}") }
}

/// A certificate is useless without its key.
fn identity(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>, String> {
    if certificate.is_some() != key.is_some() {
        return Err("a certificate and its key belong together: give --definitions-cert and --definitions-key".to_owned());
    }
    Ok(certificate.zip(key))
}

/// `[::]` takes IPv4 as well, so it conflicts with every IPv4 address on the same port.
fn check_addresses(listen: &[SocketAddr]) -> Result<(), String> {
    for (at, address) in listen.iter().enumerate().filter(|(_, address)| address.port() != 0) {
        let earlier = &listen[..at];
        if earlier.contains(address) {
            return Err(format!("--listen {address} is given twice: give it once"));
        }
        let covers = |wide: &SocketAddr, other: &SocketAddr| {
            wide.port() == other.port() && wide.ip().is_unspecified() && (wide.is_ipv6() || other.is_ipv4())
        };
        if let Some(other) = earlier.iter().find(|other| covers(address, other) || covers(other, address)) {
            return Err(format!("--listen {address} and --listen {other} take the same port: give only the one that covers the other"));
        }
    }
    Ok(())
}

/// Every receive buffer may be one completion, and none may be lost.
fn check_ring(args: &Flags) -> Result<(), String> {
    let completions = args.ring_entries * limits::COMPLETIONS_PER_ENTRY;
    if u32::from(args.recv_buffers) > completions {
        let (buffers, entries) = (args.recv_buffers, args.ring_entries);
        return Err(format!(
            "--recv-buffers {buffers} is more than the {completions} completions of --ring-entries {entries}: give fewer buffers or more entries"
        ));
    }
    let pools = [(args.recv_buffers, args.recv_buffer_size, "recv"), (args.bulk_buffers, args.bulk_buffer_size, "bulk")];
    for (count, size, name) in pools {
        let pool = usize::from(count) * size as usize;
        if pool > limits::RECV_POOL_MAX {
            let (mib, most) = (pool >> 20, limits::RECV_POOL_MAX >> 20);
            return Err(format!("--{name}-buffers times --{name}-buffer-size is {mib} MiB per shard: give at most {most} MiB"));
        }
    }
    Ok(())
}

fn choose_cpus(args: &Flags, available: &[usize]) -> Result<Vec<usize>, String> {
    match &args.cpus {
        _ if args.no_pin => Ok(Vec::new()),
        None => Ok(available.to_vec()),
        Some(CpuList(list)) => match list.iter().find(|cpu| !available.contains(cpu)) {
            Some(cpu) => Err(format!("--cpus names CPU {cpu}, which this process may not use: choose among {}", render(available))),
            None => Ok(list.clone()),
        },
    }
}

fn choose_shards(args: &Flags, available: &[usize]) -> Result<u16, String> {
    let named = args.cpus.as_ref().map(|CpuList(list)| list.len());
    let by_cpus = u16::try_from(named.unwrap_or(available.len())).unwrap_or(u16::MAX).clamp(1, limits::SHARDS_MAX);
    match (args.shards, named) {
        (Some(shards), Some(cpus)) if cpus > usize::from(shards) => {
            Err(format!("--cpus names {cpus} CPUs for {shards} shards: name at most {shards}"))
        }
        (shards, _) => Ok(shards.unwrap_or(by_cpus)),
    }
}

fn render(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

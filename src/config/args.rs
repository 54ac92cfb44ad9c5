//! The command line: raw arguments → a checked [`Config`].
//!
//! Two steps. Clap splits the line and turns each value into its type, so that a wrong value is refused where it stands; [`check`]
//! then looks at the relations between values. Whatever is wrong becomes one sentence that says what to do.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use clap::error::ErrorKind;

use super::watermark::Watermark;
use super::{Config, Congestion, Durability};
use crate::base::limits;

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// Run the broker like this.
    Run(Box<Config>),
    /// Print this and end (`--help`, `--version`).
    Print(String),
}

/// Reads the arguments (the first is the program's name); `available` are the CPUs that this process may use.
///
/// # Errors
/// One sentence for the user: which argument is wrong and what to give instead.
pub fn parse(arguments: impl IntoIterator<Item = OsString>, available: &[usize]) -> Result<Asked, String> {
    match Args::try_parse_from(arguments) {
        Ok(args) => check(args, available).map(|config| Asked::Run(Box::new(config))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => Ok(Asked::Print(error.to_string())),
        Err(error) => Err(one_sentence(&error)),
    }
}

/// RingMQ: a message broker for RabbitMQ's users (AMQP 0-9-1).
///
/// Sizes are in bytes; the suffixes k, m, g (or KiB, MiB, GiB) multiply by 1024, 1024², 1024³, and kB, MB, GB by 1000, 1000², 1000³.
#[derive(Parser, Debug)]
#[command(name = "ringmq", version, max_term_width = 110)]
struct Args {
    /// Address and port to listen on, for example 0.0.0.0:5672 or [::]:5672 (which takes IPv4 too); may be repeated; port 0 takes a
    /// free one [default: 127.0.0.1:5672, and [::1]:5672 where there is IPv6]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    listen: Vec<SocketAddr>,

    /// Number of shards: event loops, one thread each [default: one per CPU of --cpus, or per CPU available]
    #[arg(long, value_name = "N", value_parser = number::<u16, 1, { limits::SHARDS_MAX as u64 }>)]
    shards: Option<u16>,

    /// CPUs to pin the shards to, in order, for example 0,2-3 [default: the CPUs available]
    #[arg(long, value_name = "LIST", value_parser = cpu_list)]
    cpus: Option<CpuList>,

    /// Leave it to the kernel where shards run
    #[arg(long, conflicts_with = "cpus")]
    no_pin: bool,

    /// Directory for what outlives the process; created if missing, and locked while the broker runs
    #[arg(long, value_name = "DIR", default_value = "ringmq-data")]
    data_dir: PathBuf,

    /// What a confirm of a persistent message in a durable queue means: sync (it is on stable storage and survives a crash of the machine) or os
    /// (it is written and survives a crash of the broker)
    #[arg(long, value_name = "sync|os", default_value = "sync", value_parser = durability)]
    durability: Durability,

    /// Start although the log is damaged, and lose what is
    #[arg(long)]
    accept_log_loss: bool,

    /// Memory for messages of a shard, 1 MiB to 1 TiB; queues leave persistent messages beyond it to the log and read them again when it is their turn
    /// (transient ones only beyond half of the memory high watermark)
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = size::<usize, { 1 << 20 }, { 1 << 40 }>)]
    queue_memory: usize,

    /// Submission entries of a shard's io_uring, a power of two from 64 to 4096; completion entries are 8 times as many
    #[arg(long, value_name = "N", default_value = "1024", value_parser = power_of_two::<u32, 64, 4096>)]
    ring_entries: u32,

    /// Small receive buffers of a shard, which its quiet connections share, a power of two from 16 to 32768
    #[arg(long, value_name = "N", default_value = "256", value_parser = power_of_two::<u16, 16, 32_768>)]
    recv_buffers: u16,

    /// Size of one small receive buffer, 1 KiB to 1 MiB; who sends more than that at a time is read in bulk
    #[arg(long, value_name = "BYTES", default_value = "4KiB", value_parser = size::<u32, { 1 << 10 }, { 1 << 20 }>)]
    recv_buffer_size: u32,

    /// Large receive buffers of a shard, for connections that are read in bulk, a power of two from 1 to 1024
    #[arg(long, value_name = "N", default_value = "16", value_parser = power_of_two::<u16, 1, 1024>)]
    bulk_buffers: u16,

    /// Size of one large receive buffer, 16 KiB to 4 MiB
    #[arg(long, value_name = "BYTES", default_value = "192KiB", value_parser = size::<u32, { 16 << 10 }, { 4 << 20 }>)]
    bulk_buffer_size: u32,

    /// Begin every receive anew, as on kernels before 6.17: for a kernel whose multishot receives misbehave (costs 10 to 15 % with many quiet
    /// connections)
    #[arg(long)]
    no_multishot: bool,

    /// Output buffer that a connection keeps between sends, 4 KiB to 16 MiB
    #[arg(long, value_name = "BYTES", default_value = "512KiB", value_parser = size::<usize, { 4 << 10 }, { 16 << 20 }>)]
    send_buffer_size: usize,

    /// Let the kernel wait for more before it sends a small packet (Nagle's algorithm): fewer packets, later answers
    #[arg(long)]
    no_tcp_nodelay: bool,

    /// TCP congestion control of connections, as in net.ipv4.tcp_available_congestion_control; system leaves the system's [default: cubic,
    /// where there is one]
    #[arg(long, value_name = "NAME", value_parser = congestion)]
    tcp_congestion: Option<Congestion>,

    /// Microseconds that an idle shard looks for work before it sleeps, 0 to 1000000; 0 saves power, more saves wake-ups
    #[arg(long, value_name = "MICROS", default_value = "20", value_parser = number::<u32, 0, 1_000_000>)]
    spin: u32,

    /// Most channels on a connection, offered in connection.tune, 0 to 65535; 0 is no limit
    #[arg(long, value_name = "N", default_value = "2047", value_parser = number::<u16, 0, 65_535>)]
    channel_max: u16,

    /// Largest frame, offered in connection.tune, 4 KiB to 16 MiB; 0 is no limit
    #[arg(long, value_name = "BYTES", default_value = "128KiB", value_parser = frame_max)]
    frame_max: u32,

    /// Seconds between heartbeats, offered in connection.tune, 0 to 65535; 0 is off
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = number::<u16, 0, 65_535>)]
    heartbeat: u16,

    /// Longest time that a consumer of a quorum queue may keep a message unacknowledged, in milliseconds; 0 is no limit
    #[arg(long, value_name = "MS", default_value = "1800000", value_parser = number::<u64, 0, { limits::EXPIRATION_MS_MAX }>)]
    consumer_timeout: u64,

    /// Largest message body, up to 512 MiB
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = size::<usize, 1, { limits::MESSAGE_SIZE_CAP as u64 }>)]
    max_message_size: usize,

    /// Most connections at a time, all shards together; one more is refused
    #[arg(long, value_name = "N", default_value = "100000", value_parser = number::<usize, 1, 10_000_000>)]
    max_connections: usize,
    /// Users who may log in over loopback only, separated by commas; `none`: all may from everywhere
    #[arg(long, value_name = "NAMES", default_value = "guest", value_delimiter = ',')]
    loopback_users: Vec<String>,

    /// Memory beyond which publishers are blocked until less is in use: a share of what the process may use (0.6), or a size (2GiB)
    #[arg(long, value_name = "SHARE|BYTES", default_value = "0.6", value_parser = Watermark::parse)]
    memory_high_watermark: Watermark,

    /// Free space in the file system of --data-dir below which publishers are blocked until there is more; 0 is no limit
    #[arg(long, value_name = "BYTES", default_value = "50MB", value_parser = disk_free_limit)]
    disk_free_limit: u64,

    /// Do not count on what an x-death header that a client publishes says, as RabbitMQ since version 4
    #[arg(long)]
    ignore_client_deaths: bool,

    /// What to log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = level)]
    log: log::LevelFilter,

    /// `product` in the server-properties that clients see
    #[arg(long, value_name = "NAME", default_value = "RingMQ")]
    product: String,

    /// `version` in the server-properties: the RabbitMQ version whose behaviour clients may expect
    #[arg(long, value_name = "VERSION", default_value = "4.3.6")]
    product_version: String,
}

/// The CPUs of one `--cpus`.
#[derive(Clone, PartialEq, Debug)]
struct CpuList(Vec<usize>);

fn check(args: Args, available: &[usize]) -> Result<Config, String> {
    check_addresses(&args.listen)?;
    check_ring(&args)?;
    let cpus = choose_cpus(&args, available)?;
    let shards = choose_shards(&args, available)?;
    Ok(Config {
        listen: args.listen,
        shards,
        cpus,
        data_dir: args.data_dir,
        durability: args.durability,
        accept_log_loss: args.accept_log_loss,
        queue_memory: args.queue_memory,
        transient_memory: None,
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
        loopback_users: if args.loopback_users == ["none"] { Vec::new() } else { args.loopback_users },
        memory_high_watermark: args.memory_high_watermark,
        disk_free_limit: args.disk_free_limit,
        log: args.log,
        product: args.product,
        product_version: args.product_version,
    })
}

/// `[::]` takes IPv4 as well, so it is in the way of every IPv4 address on the same port.
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
fn check_ring(args: &Args) -> Result<(), String> {
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

fn choose_cpus(args: &Args, available: &[usize]) -> Result<Vec<usize>, String> {
    match &args.cpus {
        _ if args.no_pin => Ok(Vec::new()),
        None => Ok(available.to_vec()),
        Some(CpuList(list)) => match list.iter().find(|cpu| !available.contains(cpu)) {
            Some(cpu) => Err(format!("--cpus names CPU {cpu}, which this process may not use: choose among {}", render(available))),
            None => Ok(list.clone()),
        },
    }
}

fn choose_shards(args: &Args, available: &[usize]) -> Result<u16, String> {
    let named = args.cpus.as_ref().map(|CpuList(list)| list.len());
    let by_cpus = u16::try_from(named.unwrap_or(available.len())).unwrap_or(u16::MAX).clamp(1, limits::SHARDS_MAX);
    match (args.shards, named) {
        (Some(shards), Some(cpus)) if cpus > usize::from(shards) => {
            Err(format!("--cpus names {cpus} CPUs for {shards} shards: name at most {shards}"))
        }
        (shards, _) => Ok(shards.unwrap_or(by_cpus)),
    }
}

/// Clap explains over several lines; its first one names the argument and what is wrong.
fn one_sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("error: ").unwrap_or(first);
    match error.kind() {
        ErrorKind::ValueValidation => sentence.to_string(),
        _ => format!("{sentence} (ringmq --help explains every argument)"),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:5672 or [::1]:5672".to_string())
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "sync" => Ok(Durability::Sync),
        "os" => Ok(Durability::Os),
        _ => Err("give sync or os".to_string()),
    }
}

fn congestion(text: &str) -> Result<Congestion, String> {
    match text {
        "system" => Ok(Congestion::System),
        "" => Err("give the name of a congestion control, such as cubic or bbr, or system".to_string()),
        name => Ok(Congestion::Named(name.to_string())),
    }
}

fn level(text: &str) -> Result<log::LevelFilter, String> {
    text.parse().map_err(|_| "give off, error, warn, info, debug or trace".to_string())
}

fn number<T: FromStr + TryFrom<u64>, const MIN: u64, const MAX: u64>(text: &str) -> Result<T, String> {
    let number = text.parse::<u64>().ok().filter(|number| (MIN..=MAX).contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| format!("give a number from {MIN} to {MAX}"))
}

fn power_of_two<T: FromStr + TryFrom<u64>, const MIN: u64, const MAX: u64>(text: &str) -> Result<T, String> {
    let number = text.parse::<u64>().ok().filter(|number| (MIN..=MAX).contains(number) && number.is_power_of_two());
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| format!("give a power of two from {MIN} to {MAX}"))
}

fn size<T: TryFrom<u64>, const MIN: u64, const MAX: u64>(text: &str) -> Result<T, String> {
    let bytes = bytes(text).filter(|bytes| (MIN..=MAX).contains(bytes));
    let wrong = || format!("give a size from {} to {}, such as 65536 or 64KiB", Size(MIN), Size(MAX));
    bytes.and_then(|bytes| T::try_from(bytes).ok()).ok_or_else(wrong)
}

fn frame_max(text: &str) -> Result<u32, String> {
    let (min, max) = (limits::FRAME_SIZE_MIN as u64, limits::FRAME_SIZE_MAX as u64);
    let bytes = bytes(text).filter(|bytes| *bytes == 0 || (min..=max).contains(bytes));
    let wrong = || format!("give 0 (no limit) or a size from {} to {}, such as 128KiB", Size(min), Size(max));
    bytes.and_then(|bytes| u32::try_from(bytes).ok()).ok_or_else(wrong)
}

fn disk_free_limit(text: &str) -> Result<u64, String> {
    bytes(text).ok_or_else(|| "give 0 (no limit) or a size, such as 50MB or 2GiB".to_string())
}

/// `"64KiB"` → 65536.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// `"0,2-3"` → 0, 2, 3; each CPU once.
fn cpu_list(text: &str) -> Result<CpuList, String> {
    let wrong = || "give CPU numbers and ranges, each CPU once, such as 0,2-3".to_string();
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = first.parse().ok().zip(last.parse().ok()).ok_or_else(wrong)?;
        let range: std::ops::RangeInclusive<usize> = first..=last;
        if range.is_empty() || last >= CPUS_MAX || range.clone().any(|cpu| cpus.contains(&cpu)) {
            return Err(wrong());
        }
        cpus.extend(range);
    }
    Ok(CpuList(cpus))
}

fn render(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// A size as a person writes it.
struct Size(u64);

impl Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}"),
        }
    }
}

/// What the kernel's CPU sets hold.
const CPUS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Config, String> {
        let words = ["ringmq"].into_iter().chain(line.split_whitespace()).map(OsString::from);
        match parse(words, &[0, 1, 2, 3])? {
            Asked::Run(config) => Ok(*config),
            Asked::Print(text) => Err(text),
        }
    }

    fn refusal(line: &str) -> String {
        let sentence = run(line).expect_err("a refusal");
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
        sentence
    }

    #[test]
    fn without_arguments_the_defaults_stand() {
        let expected = Config { shards: 4, cpus: vec![0, 1, 2, 3], ..Config::default() };
        assert_eq!(run("").expect("defaults"), expected);
    }

    #[test]
    fn sizes_take_suffixes() {
        let cases = [
            ("0", 0),
            ("17", 17),
            ("4k", 4096),
            ("4KiB", 4096),
            ("2m", 2 << 20),
            ("2 MiB", 2 << 20),
            ("1G", 1 << 30),
            ("50MB", 50_000_000),
        ];
        assert_eq!(cases.map(|(text, _)| bytes(text)), cases.map(|(_, bytes)| Some(bytes)));
        assert_eq!(["", "k", "4tb", "-1", "1.5k", "99999999999g"].map(bytes), [None; 6]);
    }

    #[test]
    fn cpu_lists_name_each_cpu_once() {
        let list = |text| cpu_list(text).map(|CpuList(cpus)| cpus).ok();
        assert_eq!(list("0,2-3"), Some(vec![0, 2, 3]));
        assert_eq!(list("3,1"), Some(vec![3, 1]));
        assert_eq!(["", "a", "1-", "3-2", "0,0", "0-2,1", "0-99999999"].map(list), [const { None }; 7]);
    }

    #[test]
    fn cpus_and_shards_follow_each_other() {
        let chosen = |line| run(line).map(|config| (config.shards, config.cpus));
        assert_eq!(chosen("--cpus 1,3"), Ok((2, vec![1, 3])));
        assert_eq!(chosen("--cpus 1 --shards 2"), Ok((2, vec![1])));
        assert_eq!(chosen("--no-pin --shards 3"), Ok((3, vec![])));
        assert_eq!(refusal("--cpus 0-2 --shards 2"), "--cpus names 3 CPUs for 2 shards: name at most 2");
        assert_eq!(refusal("--cpus 7"), "--cpus names CPU 7, which this process may not use: choose among 0,1,2,3");
    }

    #[test]
    fn a_wrong_value_is_one_sentence_that_says_what_to_do() {
        let cases = [
            ("--shards 0", "from 1 to"),
            ("--listen localhost", "such as 127.0.0.1:5672"),
            ("--frame-max 100", "0 (no limit) or a size from 4KiB to 16MiB"),
            ("--recv-buffers 100", "a power of two from 16 to 32768"),
            ("--max-message-size 1g", "from 1 to 512MiB"),
            ("--log loud", "off, error, warn"),
            ("--heartbeat", "--heartbeat"),
            ("--consumer-timeout soon", "from 0 to"),
            ("--memory-high-watermark 1.5", "from 0 to 1, such as 0.6, or a size"),
            ("--disk-free-limit much", "such as 50MB"),
            ("--tcp-congestion=", "such as cubic or bbr"),
            ("--no-such-thing", "ringmq --help"),
            ("--no-pin --cpus 0", "cannot be used with"),
            ("--ring-entries 64 --recv-buffers 1024", "fewer buffers or more entries"),
            ("--recv-buffers 32768 --ring-entries 4096 --recv-buffer-size 1MiB", "at most"),
            ("--listen 127.0.0.1:1 --listen 127.0.0.1:1", "twice"),
            ("--listen [::]:1 --listen 127.0.0.1:1", "same port"),
        ];
        for (line, part) in cases {
            let sentence = refusal(line);
            assert!(sentence.contains(part), "{line}: {sentence}");
        }
    }

    #[test]
    fn tcp_is_set_by_name() {
        let chosen = |line| run(line).map(|config| (config.tcp_nodelay, config.tcp_congestion));
        assert_eq!(chosen(""), Ok((true, Congestion::Usual)));
        assert_eq!(chosen("--no-tcp-nodelay --tcp-congestion system"), Ok((false, Congestion::System)));
        assert_eq!(chosen("--tcp-congestion bbr"), Ok((true, Congestion::Named("bbr".into()))));
    }

    #[test]
    fn different_ports_and_families_stand_side_by_side() {
        assert!(run("--listen 127.0.0.1:1 --listen [::1]:1 --listen 0.0.0.0:2 --listen [::1]:2").is_ok());
        assert!(run("--listen 127.0.0.1:0 --listen 127.0.0.1:0").is_ok());
    }

    #[test]
    fn help_explains_every_flag() {
        let help = run("--help").expect_err("the help text");
        for flag in ["--listen", "--shards", "--spin", "--max-connections", "[default: 16MiB]"] {
            assert!(help.contains(flag), "{flag} in {help}");
        }
        assert!(run("--version").expect_err("the version").starts_with("ringmq "));
    }
}

//! The cost of an idle connection: the broker's resident memory with many connections, minus that
//! with one.

use std::fmt::Write as _;
use std::io::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use crate::cli::ConnectArgs;
use crate::connection::{Connection, Result};
use crate::process;
use crate::sys;

#[derive(Args, Clone)]
pub struct IdleArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Connections to open
    #[arg(long, default_value_t = 5000)]
    pub connections: usize,
    /// Channels to open on each
    #[arg(long, default_value_t = 0)]
    pub channels: u16,
    /// Seconds to let the broker settle before its memory is read
    #[arg(long, default_value_t = 2.0)]
    pub settle: f64,
    /// Write the report as JSON to standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct IdleReport {
    connections: usize,
    channels: u16,
    seconds_to_open: f64,
    rss_before_bytes: u64,
    rss_bytes: u64,
    rss_per_connection_bytes: f64,
    /// The broker's CPU while nothing happens, percent.
    broker_cpu_percent: f64,
}

/// Opens the connections, reads the broker's memory, and prints the report.
pub fn run(args: &IdleArgs) -> Result<()> {
    if args.connect.broker_pid.is_empty() || args.connections == 0 {
        return Err("idle needs --broker-pid and at least one connection".to_owned());
    }
    sys::raise_open_files();
    let report = measure(args)?;
    println!("{}", if args.json { serde_json::to_string_pretty(&report).map_err(|e| e.to_string())? } else { text(&report) });
    Ok(())
}

fn measure(args: &IdleArgs) -> Result<IdleReport> {
    let pids = &args.connect.broker_pid;
    let settle = Duration::from_secs_f64(args.settle);
    // The first connection makes the broker load what it loads lazily.
    drop(open(args)?);
    sleep(settle);
    let before = process::usage(pids)?;
    let begin = Instant::now();
    let mut connections = Vec::with_capacity(args.connections);
    for i in 1..=args.connections {
        connections.push(open(args)?);
        if i % PROGRESS_EVERY == 0 {
            eprint!("\r{i} connections");
            let _ = std::io::stderr().flush();
        }
    }
    eprintln!();
    let seconds_to_open = begin.elapsed().as_secs_f64();
    sleep(settle);
    let opened = process::usage(pids)?;
    sleep(settle);
    let after = process::usage(pids)?;
    for connection in &mut connections {
        connection.close()?;
    }
    Ok(IdleReport {
        connections: args.connections,
        channels: args.channels,
        seconds_to_open,
        rss_before_bytes: before.rss_bytes,
        rss_bytes: after.rss_bytes,
        rss_per_connection_bytes: (after.rss_bytes as f64 - before.rss_bytes as f64) / args.connections as f64,
        broker_cpu_percent: 100.0 * (after.cpu_seconds - opened.cpu_seconds) / args.settle.max(f64::EPSILON),
    })
}

fn open(args: &IdleArgs) -> Result<Connection> {
    let mut connection = Connection::open(&args.connect.settings())?;
    (1..=args.channels).try_for_each(|channel| connection.open_channel(channel))?;
    Ok(connection)
}

fn text(report: &IdleReport) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut out = format!(
        "opened     {} connections with {} channels each in {:.1} s\n",
        report.connections, report.channels, report.seconds_to_open
    );
    let _ = writeln!(out, "resident   {:.1} MiB before, {:.1} MiB with them", mib(report.rss_before_bytes), mib(report.rss_bytes));
    let _ = writeln!(out, "each       {:.2} KiB", report.rss_per_connection_bytes / 1024.0);
    let _ = write!(out, "broker     {:.1} % CPU while they are idle", report.broker_cpu_percent);
    out
}

const PROGRESS_EVERY: usize = 100;

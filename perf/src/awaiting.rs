//! Measures how soon a broker serves its clients after it was started: when the first connection is
//! open, and when the first message arrives from a queue that existed before.

use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::amqp::encode::Table;
use crate::amqp::id;
use crate::cli::ConnectArgs;
use crate::connection::{Connection, Result};
use crate::sys;

#[derive(Args, Clone)]
pub struct AwaitArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Queue whose first delivery is awaited too; it goes back unacknowledged
    #[arg(long, short = 'u')]
    pub queue: Option<String>,
    /// When the broker was started, in nanoseconds of the monotonic clock (default: now)
    #[arg(long, value_name = "NS")]
    pub since: Option<u64>,
    /// Write the report as JSON to standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct AwaitReport {
    /// Until connection.open-ok.
    served_seconds: f64,
    delivered_seconds: Option<f64>,
}

/// Waits, and prints the report.
pub fn run(args: &AwaitArgs) -> Result<()> {
    let report = wait(args)?;
    println!("{}", if args.json { serde_json::to_string_pretty(&report).map_err(|e| e.to_string())? } else { text(&report) });
    Ok(())
}

fn wait(args: &AwaitArgs) -> Result<AwaitReport> {
    let since_ns = args.since.unwrap_or_else(sys::now_ns);
    let passed = || sys::now_ns().saturating_sub(since_ns) as f64 / 1e9;
    let mut connection = open(args, since_ns)?;
    let served_seconds = passed();
    let mut deliver = |queue: &String| first_delivery(&mut connection, queue).map(|()| passed());
    let delivered_seconds = args.queue.as_ref().map(&mut deliver).transpose()?;
    connection.close()?;
    Ok(AwaitReport { served_seconds, delivered_seconds })
}

/// Tries to connect until the broker accepts.
fn open(args: &AwaitArgs, since_ns: u64) -> Result<Connection> {
    loop {
        match Connection::open(&args.connect.settings()) {
            Err(reason) if sys::now_ns().saturating_sub(since_ns) > PATIENCE_NS => return Err(reason),
            Err(_) => sleep(POLL),
            opened => return opened,
        }
    }
}

fn first_delivery(connection: &mut Connection, queue: &str) -> Result<()> {
    connection.open_channel(CHANNEL)?;
    connection.call(CHANNEL, id::BASIC_QOS, id::BASIC_QOS_OK, |e| _ = e.u32(0).u16(1).u8(0))?;
    connection
        .call(CHANNEL, id::BASIC_CONSUME, id::BASIC_CONSUME_OK, |e| _ = e.u16(0).short(queue).short("").u8(0).table(&Table::new()))?;
    connection.await_delivery()
}

fn text(report: &AwaitReport) -> String {
    let delivered = report.delivered_seconds.map_or(String::new(), |seconds| format!("\ndelivered  after {seconds:.3} s"));
    format!("served     after {:.3} s{delivered}", report.served_seconds)
}

const CHANNEL: u16 = 1;
const POLL: Duration = Duration::from_millis(1);
/// The longest time to wait for a broker, nanoseconds.
const PATIENCE_NS: u64 = 60_000_000_000;

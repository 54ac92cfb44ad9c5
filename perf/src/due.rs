//! Measures messages that are due at random times: how late they arrive, and whether in order. They
//! wait in a queue without consumers, each with an expiration of its own, and are dead-lettered to
//! a queue with a consumer; or an exchange delays them.

use std::fmt::Write as _;
use std::io::{BufReader, Read};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::amqp::encode::{Encoder, Field, Publish, Table};
use crate::amqp::{FRAME_BODY, id};
use crate::cli::ConnectArgs;
use crate::connection::{Connection, Result};
use crate::process;
use crate::sys;

#[derive(Args, Clone)]
pub struct DueArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Messages to publish
    #[arg(long, default_value_t = 1_000_000)]
    pub messages: u64,
    /// Bytes of a message, at least 16
    #[arg(long, default_value_t = 100)]
    pub size: usize,
    /// Messages to publish per second
    #[arg(long, default_value_t = 200_000)]
    pub rate: u64,
    /// Shortest time that a message waits, milliseconds
    #[arg(long, default_value_t = 1000)]
    pub min_ms: u64,
    /// Longest time that a message waits, milliseconds
    #[arg(long, default_value_t = 60_000)]
    pub max_ms: u64,
    /// Publish without expirations, look at the broker's memory, and end
    #[arg(long)]
    pub without: bool,
    /// Have an exchange delay them (x-delayed-message) instead of a queue's dead-lettering,
    /// persistent and all durable
    #[arg(long)]
    pub delayed: bool,
    /// Publish, and leave them to a second run with --receive, behind a restart of the broker
    #[arg(long, conflicts_with = "without")]
    pub publish: bool,
    /// Receive what a run with --publish has left
    #[arg(long, conflicts_with_all = ["without", "publish"])]
    pub receive: bool,
    /// Write the report as JSON to standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct DueReport {
    messages: u64,
    /// The broker's resident memory when all were published.
    rss_bytes: u64,
    /// How late messages came, milliseconds; negative values count as 0.
    late_ms: Option<Late>,
}

#[derive(Serialize)]
struct Late {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
    /// The most milliseconds by which a message came too early.
    early_ms: f64,
    /// The most milliseconds by which a message came before another that was due earlier.
    disorder_ms: f64,
}

/// Publishes, waits until all messages have come, and prints the report.
pub fn run(args: &DueArgs) -> Result<()> {
    if args.size < BODY_MIN || args.min_ms > args.max_ms || args.rate == 0 {
        return Err("due needs messages of at least 16 bytes, --min-ms below --max-ms, and a rate".to_owned());
    }
    let mut publisher = Connection::open(&args.connect.settings())?;
    publisher.open_channel(CHANNEL)?;
    declare(&mut publisher, args)?;
    let before = process::usage(&args.connect.broker_pid)?.rss_bytes;
    let consumer = (!args.without && !args.publish).then(|| consume(args)).transpose()?;
    if !args.receive {
        publish(&mut publisher, args)?;
    }
    let rss_bytes = process::usage(&args.connect.broker_pid)?.rss_bytes.saturating_sub(before);
    let late_ms = consumer.map(|consumer| consumer.join().map_err(|_| "the consumer failed".to_owned())?).transpose()?;
    if !args.publish {
        for queue in [WAITING, DEAD] {
            publisher.call(CHANNEL, id::QUEUE_DELETE, id::QUEUE_DELETE_OK, |e| _ = e.u16(0).short(queue).u8(0))?;
        }
        publisher.call(CHANNEL, id::EXCHANGE_DELETE, id::EXCHANGE_DELETE_OK, |e| _ = e.u16(0).short(DELAYING).u8(0))?;
    }
    publisher.close()?;
    let report = DueReport { messages: args.messages, rss_bytes, late_ms };
    println!("{}", if args.json { serde_json::to_string_pretty(&report).map_err(|e| e.to_string())? } else { text(&report) });
    Ok(())
}

fn declare(connection: &mut Connection, args: &DueArgs) -> Result<()> {
    let target = |name: &str, value: &str| (name.to_owned(), Field::Text(value.to_owned()));
    let dead_letter = vec![target("x-dead-letter-exchange", ""), target("x-dead-letter-routing-key", DEAD)];
    let durable = if args.delayed { DURABLE } else { 0 };
    for (queue, arguments) in [(DEAD, Table::new()), (WAITING, dead_letter)] {
        connection.call(CHANNEL, id::QUEUE_DECLARE, id::QUEUE_DECLARE_OK, |e| _ = e.u16(0).short(queue).u8(durable).table(&arguments))?;
    }
    if args.delayed {
        let kind = vec![target("x-delayed-type", "fanout")];
        connection.call(CHANNEL, id::EXCHANGE_DECLARE, id::EXCHANGE_DECLARE_OK, |e| {
            _ = e.u16(0).short(DELAYING).short("x-delayed-message").u8(DURABLE).table(&kind);
        })?;
        connection.call(CHANNEL, id::QUEUE_BIND, id::QUEUE_BIND_OK, |e| {
            _ = e.u16(0).short(DEAD).short(DELAYING).short("").u8(0).table(&Table::new());
        })?;
    }
    Ok(())
}

fn publish(connection: &mut Connection, args: &DueArgs) -> Result<()> {
    let (mut random, mut body, mut encoder) = (SEED, vec![0; args.size], Encoder::default());
    let begin = sys::now_ns();
    for n in 0..args.messages {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let wait_ms = args.min_ms + random % (args.max_ms - args.min_ms + 1);
        let due = sys::now_ns() + wait_ms * 1_000_000;
        body[..8].copy_from_slice(&due.to_le_bytes());
        let expiration = if args.without || args.delayed { String::new() } else { wait_ms.to_string() };
        let delay = (args.delayed && !args.without).then(|| ("x-delay".to_owned(), Field::Int(wait_ms as i64)));
        let message = Publish {
            exchange: if args.delayed { DELAYING } else { "" },
            key: WAITING,
            headers: &delay.into_iter().collect(),
            persistent: args.delayed,
            priority: None,
            mandatory: false,
            expiration: &expiration,
            body: &body,
        };
        encoder.publish(CHANNEL, &message, connection.frame_max);
        if (n + 1) % CHUNK == 0 || n + 1 == args.messages {
            connection.send(&encoder.out)?;
            encoder.out.clear();
            let ahead = begin + (n + 1) * 1_000_000_000 / args.rate;
            thread::sleep(Duration::from_nanos(ahead.saturating_sub(sys::now_ns())));
        }
    }
    // All of them are in the queue when the next call is answered.
    connection.call(CHANNEL, id::BASIC_QOS, id::BASIC_QOS_OK, |e| _ = e.u32(0).u16(0).u8(0)).map(drop)
}

fn consume(args: &DueArgs) -> Result<thread::JoinHandle<Result<Late>>> {
    let mut connection = Connection::open(&args.connect.settings())?;
    connection.open_channel(CHANNEL)?;
    let no_ack = 2;
    connection
        .call(CHANNEL, id::BASIC_CONSUME, id::BASIC_CONSUME_OK, |e| _ = e.u16(0).short(DEAD).short("").u8(no_ack).table(&Table::new()))?;
    let (messages, patience) = (args.messages, Duration::from_millis(args.max_ms) + PATIENCE);
    connection.stream.set_read_timeout(Some(patience)).map_err(|e| e.to_string())?;
    Ok(thread::spawn(move || receive(connection.stream, messages)))
}

fn receive(stream: TcpStream, messages: u64) -> Result<Late> {
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let mut late = Histogram::<u64>::new_with_bounds(1, LATE_US_MAX, 3).map_err(|e| e.to_string())?;
    let (mut frame, mut came, mut early, mut latest_due, mut disorder) = (Vec::new(), 0, 0, 0_u64, 0);
    while came < messages {
        let mut head = [0; 7];
        reader.read_exact(&mut head).map_err(|e| format!("after {came} messages: {e}"))?;
        frame.resize(u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + 1, 0);
        reader.read_exact(&mut frame).map_err(|e| e.to_string())?;
        if head[0] != FRAME_BODY {
            continue;
        }
        let due = u64::from_le_bytes(*frame.first_chunk().ok_or("a short body")?);
        let now = sys::now_ns();
        late.saturating_record(now.saturating_sub(due) / 1000);
        early = early.max(due.saturating_sub(now) / 1000);
        disorder = disorder.max(latest_due.saturating_sub(due) / 1000);
        latest_due = latest_due.max(due);
        came += 1;
    }
    let ms = |us: u64| us as f64 / 1000.0;
    let at = |quantile| ms(late.value_at_quantile(quantile));
    Ok(Late { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: ms(late.max()), early_ms: ms(early), disorder_ms: ms(disorder) })
}

fn text(report: &DueReport) -> String {
    let mut out = format!("resident   {:.1} MiB more, with {} messages\n", report.rss_bytes as f64 / f64::from(1 << 20), report.messages);
    if let Some(Late { p50, p99, p999, max, early_ms, disorder_ms }) = &report.late_ms {
        let _ = writeln!(out, "late       p50 {p50:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms");
        let _ = writeln!(out, "early      {early_ms:.2} ms at most");
        let _ = writeln!(out, "disorder   {disorder_ms:.2} ms at most");
    }
    out
}

const CHANNEL: u16 = 1;
const WAITING: &str = "ringmq-perf-waiting";
const DEAD: &str = "ringmq-perf-dead";
const DELAYING: &str = "ringmq-perf-delaying";
const DURABLE: u8 = 2;
/// Number of messages per write.
const CHUNK: u64 = 50;
const BODY_MIN: usize = 16;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Larger delays count as this one.
const LATE_US_MAX: u64 = 600_000_000;
/// How much later than its time the last message may come.
const PATIENCE: Duration = Duration::from_secs(30);

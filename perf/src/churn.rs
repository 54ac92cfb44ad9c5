//! Churn: how often connections, channels or queues can be opened and closed. Several clients on
//! one thread repeat a short conversation, each waiting for every reply.
//!
//! ```text
//! connection   connect · header→start · start-ok→tune · tune-ok, open→open-ok · close→close-ok
//!              · disconnect
//! channel      open→open-ok · close→close-ok
//! queue        declare→declare-ok · delete→delete-ok
//! ```

use std::io::{Read, Write};
use std::net::TcpStream;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::amqp::encode::{Encoder, Table};
use crate::amqp::scan::{Scanner, Sink};
use crate::amqp::{PROTOCOL_HEADER, id};
use crate::cli::ConnectArgs;
use crate::connection::{Connection, Result, close_text, connect, start_ok, tune_ok_and_open};
use crate::load::stats::histogram;
use crate::process;
use crate::report::{Percentiles, grouped, percentiles};
use crate::sys::{self, Epoll};
use crate::values::Cpus;

#[derive(Args, Clone)]
pub struct ChurnArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// What comes and goes
    #[arg(value_enum)]
    pub kind: Kind,
    /// Clients that do so at the same time
    #[arg(long, default_value_t = 16)]
    pub parallel: usize,
    /// Seconds to measure
    #[arg(short = 'z', long, default_value_t = 5.0)]
    pub time: f64,
    /// Declare queues durable
    #[arg(long)]
    pub queue_durable: bool,
    /// Declare queues exclusive
    #[arg(short = 'E', long)]
    pub exclusive: bool,
    /// CPU to pin to
    #[arg(long)]
    pub cpus: Option<Cpus>,
    /// Write the report as JSON to standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Connection,
    Channel,
    Queue,
}

#[derive(Serialize)]
struct ChurnReport {
    kind: Kind,
    parallel: usize,
    rounds: u64,
    seconds: f64,
    per_second: f64,
    broker_cpu_seconds: f64,
    per_broker_cpu_second: f64,
    own_cpu_seconds: f64,
    round_us: Percentiles,
}

/// The bytes to send next, and the method that answers them.
struct Step {
    send: Vec<u8>,
    reply: u32,
}

/// A client in the middle of the conversation.
struct Client {
    stream: TcpStream,
    scanner: Scanner,
    carry: Vec<u8>,
    script: Vec<Step>,
    step: usize,
    began_ns: u64,
}

/// Runs the churn and prints the report.
pub fn run(args: &ChurnArgs) -> Result<()> {
    if let Some(cpus) = &args.cpus {
        sys::pin(&cpus.0).map_err(|e| format!("cannot pin to a CPU: {e}"))?;
    }
    sys::raise_open_files();
    let report = measure(args)?;
    println!("{}", if args.json { serde_json::to_string_pretty(&report).map_err(|e| e.to_string())? } else { text(&report) });
    Ok(())
}

fn measure(args: &ChurnArgs) -> Result<ChurnReport> {
    let mut epoll = Epoll::new().map_err(|e| e.to_string())?;
    let mut clients = (0..args.parallel).map(|i| Client::new(args, i)).collect::<Result<Vec<_>>>()?;
    for (i, client) in clients.iter_mut().enumerate() {
        client.begin(&epoll, i)?;
    }
    let (broker, own, begin_ns) = (process::usage(&args.connect.broker_pid)?, sys::own_cpu_seconds(), sys::now_ns());
    let end_ns = begin_ns + (args.time * 1e9) as u64;
    let mut rounds = histogram();
    let mut ready = Vec::new();
    while sys::now_ns() < end_ns {
        let events = epoll.wait(WAIT_NS).map_err(|e| e.to_string())?;
        ready.extend(events.iter().map(|event| sys::readiness(event).0));
        for i in ready.drain(..) {
            if clients[i].advance()? {
                rounds.saturating_record(sys::now_ns() - clients[i].began_ns);
                if args.kind == Kind::Connection {
                    clients[i].reconnect(args)?;
                    epoll.add(&clients[i].stream, i).map_err(|e| e.to_string())?;
                }
                clients[i].start()?;
            }
        }
    }
    let seconds = (sys::now_ns() - begin_ns) as f64 / 1e9;
    let broker_cpu_seconds = process::usage(&args.connect.broker_pid)?.cpu_seconds - broker.cpu_seconds;
    let count = rounds.len();
    Ok(ChurnReport {
        kind: args.kind,
        parallel: args.parallel,
        rounds: count,
        seconds,
        per_second: count as f64 / seconds,
        broker_cpu_seconds,
        per_broker_cpu_second: if broker_cpu_seconds > 0.0 { count as f64 / broker_cpu_seconds } else { 0.0 },
        own_cpu_seconds: sys::own_cpu_seconds() - own,
        round_us: percentiles(&rounds),
    })
}

impl Client {
    fn new(args: &ChurnArgs, i: usize) -> Result<Client> {
        let settings = args.connect.settings();
        let mut connection = Connection::open(&settings)?;
        let script = match args.kind {
            Kind::Connection => connection_script(args, &mut connection)?,
            Kind::Channel => vec![
                step(1, id::CHANNEL_OPEN, id::CHANNEL_OPEN_OK, |e| _ = e.u8(0)),
                close_step(1, id::CHANNEL_CLOSE, id::CHANNEL_CLOSE_OK),
            ],
            Kind::Queue => {
                connection.open_channel(1)?;
                queue_script(args, &format!("churn-{}-{i}", std::process::id()))
            }
        };
        let stream = if args.kind == Kind::Connection { connect(&settings)? } else { connection.stream };
        Ok(Client { stream, scanner: Scanner::default(), carry: Vec::new(), script, step: 0, began_ns: 0 })
    }

    fn begin(&mut self, epoll: &Epoll, token: usize) -> Result<()> {
        self.stream.set_nonblocking(true).and_then(|()| epoll.add(&self.stream, token)).map_err(|e| format!("epoll: {e}"))?;
        self.start()
    }

    fn start(&mut self) -> Result<()> {
        (self.step, self.began_ns) = (0, sys::now_ns());
        self.say()
    }

    fn say(&mut self) -> Result<()> {
        self.stream.write_all(&self.script[self.step].send).map_err(|e| format!("send: {e}"))
    }

    /// Connects a new socket; the old one is closed.
    fn reconnect(&mut self, args: &ChurnArgs) -> Result<()> {
        self.stream = connect(&args.connect.settings())?;
        self.stream.set_nonblocking(true).map_err(|e| e.to_string())?;
        (self.scanner, self.carry) = (Scanner::default(), Vec::new());
        Ok(())
    }

    /// Reads what has arrived, and goes on if it is the reply. Returns true at the end of a round.
    fn advance(&mut self) -> Result<bool> {
        let mut buffer = [0; 8192];
        let n = match self.stream.read(&mut buffer) {
            Ok(0) => return Err("the server closed the connection".to_owned()),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(format!("receive: {e}")),
        };
        self.carry.extend_from_slice(&buffer[..n]);
        let mut replies = Replies { awaited: self.script[self.step].reply, seen: false, closed: None };
        let used = self.scanner.feed(&self.carry, &mut replies);
        self.carry.drain(..used);
        if let Some(reason) = replies.closed {
            return Err(reason);
        }
        if !replies.seen {
            return Ok(false);
        }
        self.step += 1;
        if self.step == self.script.len() {
            return Ok(true);
        }
        self.say()?;
        Ok(false)
    }
}

/// A receiver that looks for one method.
struct Replies {
    awaited: u32,
    seen: bool,
    closed: Option<String>,
}

impl Sink for Replies {
    fn method(&mut self, _channel: u16, id: u32, args: &[u8]) {
        self.seen |= id == self.awaited;
        if matches!(id, id::CONNECTION_CLOSE | id::CHANNEL_CLOSE) {
            self.closed = Some(close_text(args));
        }
    }

    fn header(&mut self, _channel: u16, _body_size: u64) {}

    fn body(&mut self, _channel: u16, _piece: &[u8]) {}
}

/// Makes the handshake with the values that the server agreed to the first time.
fn connection_script(args: &ChurnArgs, connection: &mut Connection) -> Result<Vec<Step>> {
    connection.close()?;
    let uri = &args.connect.uri;
    let frame_max = u32::try_from(connection.frame_max).expect("it came from a u32");
    Ok(vec![
        Step { send: PROTOCOL_HEADER.to_vec(), reply: id::CONNECTION_START },
        Step { send: start_ok(uri), reply: id::CONNECTION_TUNE },
        Step { send: tune_ok_and_open(uri, connection.channel_max, frame_max), reply: id::CONNECTION_OPEN_OK },
        close_step(0, id::CONNECTION_CLOSE, id::CONNECTION_CLOSE_OK),
    ])
}

fn queue_script(args: &ChurnArgs, name: &str) -> Vec<Step> {
    let bits = u8::from(args.queue_durable) << 1 | u8::from(args.exclusive) << 2;
    vec![
        step(1, id::QUEUE_DECLARE, id::QUEUE_DECLARE_OK, |e| _ = e.u16(0).short(name).u8(bits).table(&Table::new())),
        step(1, id::QUEUE_DELETE, id::QUEUE_DELETE_OK, |e| _ = e.u16(0).short(name).u8(0)),
    ]
}

fn close_step(channel: u16, method: u32, reply: u32) -> Step {
    step(channel, method, reply, |e| _ = e.u16(200).short("").u32(0))
}

fn step(channel: u16, method: u32, reply: u32, args: impl FnOnce(&mut Encoder)) -> Step {
    let mut e = Encoder::default();
    e.method(channel, method, args);
    Step { send: e.out, reply }
}

fn text(r: &ChurnReport) -> String {
    let p = &r.round_us;
    format!(
        "rounds     {} in {:.1} s, {} per second, {} at a time\nround      p50 {:.0}  p99 {:.0}  p99.9 {:.0}  max {:.0} us\n\
         broker     {:.2} CPU s   {} per CPU second\ngenerator  {:.2} CPU s",
        r.rounds,
        r.seconds,
        grouped(r.per_second),
        r.parallel,
        p.p50,
        p.p99,
        p.p999,
        p.max,
        r.broker_cpu_seconds,
        grouped(r.per_broker_cpu_second),
        r.own_cpu_seconds
    )
}

const WAIT_NS: u64 = 10_000_000;

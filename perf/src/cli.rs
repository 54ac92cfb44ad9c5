//! The command line. Options have PerfTest's names if they mean the same.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::amqp::uri::Uri;
use crate::awaiting::AwaitArgs;
use crate::bench::BenchArgs;
use crate::ceiling::CeilingArgs;
use crate::churn::ChurnArgs;
use crate::connection::Settings;
use crate::disk::DiskArgs;
use crate::due::DueArgs;
use crate::idle::IdleArgs;
use crate::values::{Cpus, Headers, Sizes, Window};

#[derive(Parser)]
#[command(version, about = "Load generator and null broker for AMQP 0-9-1")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Publish and consume, and report rates and latencies
    Run(Box<RunArgs>),
    /// Measure how often connections, channels or queues can come and go
    Churn(ChurnArgs),
    /// Measure the memory of idle connections
    Idle(IdleArgs),
    /// Measure how long a disk takes for one durable write
    Disk(DiskArgs),
    /// Publish messages that expire at random times, and tell how late they are dead-lettered
    Due(DueArgs),
    /// Wait until a broker serves and until it delivers, and tell how long that took
    Await(AwaitArgs),
    /// Run the scenarios against RingMQ, the null broker and RabbitMQ, and keep what they show
    Bench(BenchArgs),
    /// Serve as the null broker that brokers are measured against
    Ceiling(CeilingArgs),
}

/// Where and how to connect.
#[derive(Args, Clone)]
pub struct ConnectArgs {
    /// amqp://user:password@host:port/vhost
    #[arg(long, default_value = "amqp://guest:guest@127.0.0.1:5672")]
    pub uri: Uri,
    /// Largest frame to agree on, in bytes
    #[arg(short = 'M', long, default_value_t = 131_072)]
    pub framemax: u32,
    /// TCP congestion control of our sockets, empty for the system's
    #[arg(long, default_value = "cubic")]
    pub congestion: String,
    /// Process of the broker, for its CPU time and memory; may be given several times
    #[arg(long)]
    pub broker_pid: Vec<u32>,
}

impl ConnectArgs {
    /// How connections are made with these options.
    pub fn settings(&self) -> Settings {
        Settings { uri: self.uri.clone(), frame_max: self.framemax, congestion: self.congestion.clone() }
    }
}

#[derive(Args, Clone)]
pub struct RunArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Publishing connections
    #[arg(short = 'x', long, default_value_t = 1)]
    pub producers: usize,
    /// Consuming connections
    #[arg(short = 'y', long, default_value_t = 1)]
    pub consumers: usize,
    /// Let producer i and consumer i share a connection (channels 1 and 2)
    #[arg(long)]
    pub share_connections: bool,

    /// Let another thread of the broker (--broker-pid) serve producer i than consumer i
    #[arg(long, conflicts_with = "share_connections")]
    pub apart: bool,

    /// Queues; producers and consumers are spread over them, or they over the consumers
    #[arg(long, default_value_t = 1)]
    pub queues: usize,
    /// Queue names; %d is the queue's number
    #[arg(long, short = 'u', visible_alias = "queue", default_value = "perf-%d")]
    pub queue_pattern: String,
    /// Declare queues durable, and exchanges too
    #[arg(long)]
    pub queue_durable: bool,
    /// Declare queues exclusive to the connection of their consumer
    #[arg(short = 'E', long)]
    pub exclusive: bool,
    /// Declare queues auto-delete
    #[arg(long)]
    pub auto_delete: bool,
    /// Arguments of the queues: x-max-length=10,x-queue-type=quorum
    #[arg(long, value_name = "K=V,…", default_value = "")]
    pub queue_args: Headers,
    /// Declare, purge and delete nothing: queues, exchange and bindings exist
    #[arg(short = 'p', long)]
    pub predeclared: bool,

    /// Delete nothing at the end: a later run with -p -x 0 consumes what is left
    #[arg(long)]
    pub keep: bool,

    /// Exchange to declare, bind and publish to; %d is the exchange's number. Without it: the
    /// default exchange
    #[arg(short = 'e', long, default_value = "")]
    pub exchange: String,
    /// Exchanges; producers are spread over them, queues are bound to all
    #[arg(long, default_value_t = 1)]
    pub exchanges: usize,
    /// Type of the exchange
    #[arg(short = 't', long = "type", default_value = "direct")]
    pub kind: String,
    /// Routing keys to publish with; %d is the key's number
    #[arg(short = 'k', long, default_value = "%d")]
    pub routing_key: String,
    /// Numbers that %d in keys and headers runs through (default: the bindings)
    #[arg(long)]
    pub routing_keys: Option<usize>,
    /// Keys to bind with; %d is the binding's number (default: the routing key)
    #[arg(long)]
    pub binding_key: Option<String>,
    /// Bindings per exchange; binding i leads to queue i modulo queues (default: the queues)
    #[arg(long)]
    pub bindings: Option<usize>,
    /// Arguments of the bindings: x-match=all,a=%d
    #[arg(long, value_name = "K=V,…", default_value = "")]
    pub binding_headers: Headers,
    /// Headers of the messages: a=%d,b=1
    #[arg(long, value_name = "K=V,…", default_value = "")]
    pub headers: Headers,
    /// Queues that a message reaches (default: all of them for a fanout exchange, otherwise 1)
    #[arg(long)]
    pub copies: Option<u64>,

    /// Body size in bytes: 100, a list 16,100,1KiB, or a range 100-2000
    #[arg(short = 's', long, default_value = "100")]
    pub size: Sizes,
    /// Priorities of the messages: 0 to n - 1, in turn (default: none)
    #[arg(long, default_value_t = 0, conflicts_with = "verify", value_parser = clap::value_parser!(u16).range(..=256))]
    pub priorities: u16,
    /// persistent, mandatory; may be given several times
    #[arg(short = 'f', long = "flag", value_enum)]
    pub flags: Vec<Flag>,
    /// Publish with confirms, at most this many outstanding per producer
    #[arg(short = 'c', long)]
    pub confirm: Option<u32>,
    /// Messages per second of each producer, sent at their due time whatever happens to earlier
    /// ones (default: as fast as possible)
    #[arg(short = 'r', long)]
    pub rate: Option<f64>,
    /// Published and not yet received: bytes (1MiB) of all producers, or messages (1msg) of each;
    /// none for no limit
    #[arg(long)]
    pub in_flight: Option<Window>,

    /// Consume without acknowledgements
    #[arg(short = 'a', long)]
    pub autoack: bool,
    /// Prefetch of each consumer
    #[arg(short = 'q', long, default_value_t = 0)]
    pub qos: u16,
    /// Acknowledge every nth message, and all before it
    #[arg(short = 'A', long, default_value_t = 1)]
    pub multi_ack_every: u32,

    /// Seconds to measure
    #[arg(short = 'z', long, default_value_t = 10.0)]
    pub time: f64,
    /// Seconds to run before measuring
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Messages of each producer, then the run ends when all have arrived
    #[arg(short = 'C', long)]
    pub pmessages: Option<u64>,
    /// Messages of all consumers, then the run ends
    #[arg(short = 'D', long)]
    pub cmessages: Option<u64>,
    /// Check counts, order, duplicates and content
    #[arg(long)]
    pub verify: bool,
    /// Measure the latency of every message (default: of the first of each batch; of every one with
    /// --rate)
    #[arg(long)]
    pub latency: bool,

    /// Beside the load, a quiet connection with a queue of its own: so many round trips per second,
    /// one at a time
    #[arg(long, value_name = "RATE")]
    pub probe: Option<f64>,
    /// Seconds to wait at most for what is on its way when the time is up (default: as long as
    /// something comes)
    #[arg(long, value_name = "SECONDS")]
    pub drain: Option<f64>,

    /// Worker threads (default: one per CPU of --cpus, or 1)
    #[arg(long)]
    pub threads: Option<usize>,
    /// CPUs to pin the workers to: 1 or 1,3 or 2-5
    #[arg(long)]
    pub cpus: Option<Cpus>,
    /// Let workers that only consume go before those that publish on the same CPU, as if they were
    /// on machines of their own (needs the right to real-time priority)
    #[arg(long)]
    pub consumers_first: bool,
    /// Never sleep: exact send times and latencies, a CPU fully used per worker
    #[arg(long)]
    pub spin: bool,

    /// Directory of the broker's data, to report what it takes on the disk at the end
    #[arg(long, value_name = "DIR")]
    pub broker_data: Option<PathBuf>,
    /// Seconds to let the broker settle before its memory and disk are read at the end
    #[arg(long, default_value_t = 0.0)]
    pub settle: f64,

    /// Seconds between lines of progress
    #[arg(short = 'i', long, default_value_t = 1.0)]
    pub interval: f64,
    /// Messages sent between lines of progress, if that comes sooner
    #[arg(long, value_name = "MESSAGES")]
    pub interval_messages: Option<u64>,
    /// Print no progress
    #[arg(long)]
    pub quiet: bool,
    /// Write the report as JSON to a file, or - for standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw rates and percentiles over time: FILE.svg or FILE.html
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flag {
    Persistent,
    Mandatory,
}

impl RunArgs {
    /// Whether a flag was given.
    pub fn flag(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }
}

//! The null broker: the smallest program that is still a broker for one publisher and one consumer
//! per queue. It is the yardstick: its figures are what the machine, its TCP and its io_uring
//! allow, and a broker's figure is judged as a fraction of them, measured in the same run.
//!
//! ```text
//! socket ─ provided buffers (multishot, bundled) ─▶ session: frames of a message, in place
//!   ─▶ router: one hash lookup ─▶ consumer's output: deliver frame + one copy
//!                                 (without a consumer: one copy into the queue)
//!   ─▶ log, if durable: record header + one copy   (one write of all that came during the last)
//! end of turn: acks, one send per dirty connection, one write
//! ```
//!
//! It checks nothing, and has no access rights, prefetch or acknowledgements: consumers' acks are
//! read and ignored. It never reads its log: messages that a durable queue without a consumer
//! cannot keep in its memory are dropped.

mod buffers;
mod control;
mod driver;
mod log;
mod output;
mod ring;
mod router;
mod routes;
mod session;

use std::path::PathBuf;

use clap::Args;

use crate::connection::Result;
use crate::sys;

#[derive(Args, Clone)]
pub struct CeilingArgs {
    /// TCP port on 127.0.0.1
    #[arg(long, default_value_t = 5672)]
    pub port: u16,
    /// CPU to run on
    #[arg(long)]
    pub cpu: Option<usize>,
    /// TCP congestion control of accepted connections, empty for the system's
    #[arg(long, default_value = "cubic")]
    pub congestion: String,
    /// Receive buffers, a power of two; for hundreds of connections 64 of 16384 bytes
    #[arg(long, default_value_t = 4)]
    pub buffers: u16,
    /// Bytes of a receive buffer
    #[arg(long, default_value_t = 128 << 10)]
    pub buffer_bytes: usize,
    /// Durable: log every message to this file, confirm when it is on stable storage
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Bytes of the log, which is written round and round
    #[arg(long, default_value_t = 64 << 20)]
    pub log_bytes: u64,
}

/// Serves until the process ends.
pub fn run(args: &CeilingArgs) -> Result<()> {
    if !args.buffers.is_power_of_two() {
        return Err("the number of buffers is a power of two".to_owned());
    }
    if let Some(cpu) = args.cpu {
        sys::pin(&[cpu]).map_err(|e| format!("cannot pin to CPU {cpu}: {e}"))?;
    }
    driver::Driver::new(args).and_then(driver::Driver::run).map_err(|e| format!("null broker: {e}"))
}

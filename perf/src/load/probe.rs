//! The probe: a quiet client during the load. It publishes a message to a queue of its own, waits
//! until the message is back, and sleeps until the next is due. It measures what other users of a
//! broker get while it is flooded.
//!
//! A round trip counts from when it was due, so a slow one also shows in those that it delays.

use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::stamp::STAMP_LEN;
use super::stats::{Phase, histogram};
use super::worker::Shared;
use crate::amqp::encode::{Encoder, Publish, Table};
use crate::amqp::id;
use crate::cli::RunArgs;
use crate::connection::{Connection, Result};
use crate::sys;

/// Makes round trips while producers publish. Returns their times in nanoseconds. An error ends the
/// whole run.
pub fn run(args: &RunArgs, rate: f64, shared: &Shared) -> Histogram<u64> {
    let mut round_trips = histogram();
    let result = Probe::open(args).and_then(|mut probe| probe.run(rate, shared, &mut round_trips));
    if let Err(reason) = result {
        shared.control.fail(format!("probe: {reason}"));
    }
    round_trips
}

struct Probe {
    connection: Connection,
    message: Vec<u8>,
}

impl Probe {
    fn open(args: &RunArgs) -> Result<Probe> {
        if let Some(cpus) = &args.cpus {
            sys::pin(&cpus.0).map_err(|e| format!("cannot pin to a CPU: {e}"))?;
        }
        if sys::urgent().is_err() {
            eprintln!("without real-time priority the probe's round trips include waiting for the generator's CPU");
        }
        let mut connection = Connection::open(&args.connect.settings())?;
        connection.open_channel(CHANNEL)?;
        let queue = format!("perf-probe-{}", std::process::id());
        connection.call(CHANNEL, id::QUEUE_DECLARE, id::QUEUE_DECLARE_OK, |e| {
            e.u16(0).short(&queue).u8(EXCLUSIVE).table(&Table::new());
        })?;
        connection.call(CHANNEL, id::BASIC_CONSUME, id::BASIC_CONSUME_OK, |e| {
            e.u16(0).short(&queue).short("probe").u8(NO_ACK).table(&Table::new());
        })?;
        let mut e = Encoder::default();
        let headers = Table::new();
        let body = [0; STAMP_LEN];
        let message = Publish {
            exchange: "",
            key: &queue,
            mandatory: false,
            persistent: false,
            priority: None,
            expiration: "",
            headers: &headers,
            body: &body,
        };
        e.publish(CHANNEL, &message, connection.frame_max);
        Ok(Probe { connection, message: e.out })
    }

    fn run(&mut self, rate: f64, shared: &Shared, round_trips: &mut Histogram<u64>) -> Result<()> {
        let pace_ns = (1e9 / rate) as u64;
        let mut due_ns = sys::now_ns();
        while matches!(shared.control.phase(), Phase::Ready | Phase::Run) && shared.control.failed().is_none() {
            thread::sleep(Duration::from_nanos(due_ns.saturating_sub(sys::now_ns())));
            self.connection.send(&self.message)?;
            self.connection.await_delivery()?;
            if shared.control.phase() == Phase::Run {
                round_trips.saturating_record(sys::now_ns() - due_ns);
            }
            due_ns += pace_ns;
        }
        self.connection.close()
    }
}

const CHANNEL: u16 = 1;
/// Bits of queue.declare and basic.consume.
const EXCLUSIVE: u8 = 1 << 2;
const NO_ACK: u8 = 1 << 1;

//! A run from beginning to end: prepare the broker, start the workers, warm up, measure, drain,
//! check, clean up.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use super::apart;
use super::batch::{Batch, Shape};
use super::consumer::Consumer;
use super::peer::Peer;
use super::probe;
use super::producer::{Orders, Producer, Stamping};
use super::stats::{Control, Credits, Phase, WorkerStats, total};
use super::topology::Topology;
use super::verify::{Faults, Noise, Verifier};
use super::worker::{Shared, Worker};
use super::{CONSUME_CHANNEL, PUBLISH_CHANNEL};
use crate::amqp::id;
use crate::cli::{Flag, RunArgs};
use crate::connection::{Connection, Result};
use crate::report::{Interval, Meter, Report, percentiles};
use crate::sys;
use crate::values::Window;

/// Runs the load. Returns the report.
pub fn run(args: &RunArgs) -> Result<Report> {
    check(args)?;
    sys::raise_open_files();
    sys::precise_timers();
    sys::on_interrupt(interrupted);
    let topology = Topology::new(args);
    let mut control = Connection::open(&args.connect.settings())?;
    control.open_channel(1)?;
    let peers = connect(args, &topology, &mut control)?;
    let shared = share(args)?;
    let outcome = thread::scope(|scope| {
        let shared = &shared;
        let hands = deal(peers, shared.workers.len());
        let workers: Vec<_> = hands.into_iter().enumerate().map(|(i, peers)| scope.spawn(move || work(args, i, shared, peers))).collect();
        let probe = args.probe.map(|rate| scope.spawn(move || probe::run(args, rate, shared)));
        let report = watch(args, &topology, shared);
        shared.control.set(Phase::Stop);
        let mut peers: Vec<Peer> = workers.into_iter().flat_map(|w| w.join().expect("workers do not panic")).collect();
        let probed = probe.map(|thread| thread.join().expect("the probe does not panic"));
        let report = report.map(|mut report| {
            report.probe_us = probed.map(|histogram| percentiles(&histogram));
            report.faults = (args.verify && args.consumers > 0).then(|| verify(&topology, &report, &mut peers));
            report
        });
        peers.into_iter().for_each(Peer::close);
        report
    });
    if !args.predeclared && !args.keep {
        topology.delete(&mut control)?;
    }
    outcome
}

fn check(args: &RunArgs) -> Result<()> {
    let names = [&args.queue_pattern, &args.exchange, &args.routing_key];
    if names.iter().any(|name| name.len() > NAME_MAX) {
        return Err(format!("names have at most {NAME_MAX} bytes before %d is replaced"));
    }
    if args.queues == 0 || args.exchanges == 0 || args.multi_ack_every == 0 || args.confirm == Some(0) || args.threads == Some(0) {
        return Err("queues, exchanges, threads, confirm and multi-ack-every are at least 1".to_owned());
    }
    if args.probe.is_some_and(|rate| !(PROBE_MIN..=PROBE_MAX).contains(&rate)) {
        return Err(format!("probe takes {PROBE_MIN} to {PROBE_MAX} round trips per second"));
    }
    if args.producers > usize::from(u16::MAX) || args.queues > usize::from(u16::MAX) {
        return Err(format!("at most {} producers and queues", u16::MAX));
    }
    if args.queues > 1 && !args.queue_pattern.contains("%d") {
        return Err("several queues need a %d in --queue-pattern".to_owned());
    }
    Ok(())
}

/// Opens all connections and declares everything.
fn connect(args: &RunArgs, topology: &Topology<'_>, control: &mut Connection) -> Result<Vec<Peer>> {
    let settings = args.connect.settings();
    let mut consumers = (0..args.consumers).map(|_| Connection::open(&settings)).collect::<Result<Vec<_>>>()?;
    let mut serving = Vec::new();
    for connection in &mut consumers {
        if args.apart {
            serving.push(apart::thread_of(connection, &args.connect.broker_pid)?);
        }
        connection.open_channel(CONSUME_CHANNEL)?;
        if args.qos > 0 {
            connection.call(CONSUME_CHANNEL, id::BASIC_QOS, id::BASIC_QOS_OK, |e| {
                e.u32(0).u16(args.qos).u8(0);
            })?;
        }
    }
    if !args.predeclared {
        topology.declare_exchanges(control)?;
        topology.declare_queues(control, 1, None)?;
        for (i, connection) in consumers.iter_mut().enumerate() {
            topology.declare_queues(connection, CONSUME_CHANNEL, Some(i))?;
        }
    }
    let mut consumers = consumers.into_iter().enumerate().map(|(i, c)| (c, consumer(args), topology.consume_frames(i)));
    let mut peers = Vec::new();
    for i in 0..args.producers {
        let shared = if args.share_connections { consumers.next() } else { None };
        let (mut connection, consumer, out) = match shared {
            Some((connection, consumer, out)) => (connection, Some(consumer), out),
            None if serving.is_empty() => (Connection::open(&settings)?, None, Vec::new()),
            None => (apart::open(&settings, &args.connect.broker_pid, serving[i % serving.len()])?, None, Vec::new()),
        };
        let producer = producer(args, topology, &mut connection, i)?;
        peers.push(Peer::new(connection.stream, Some(producer), consumer, out));
    }
    peers.extend(consumers.map(|(connection, consumer, out)| Peer::new(connection.stream, None, Some(consumer), out)));
    Ok(peers)
}

fn consumer(args: &RunArgs) -> Consumer {
    Consumer::new((!args.autoack).then_some(args.multi_ack_every), args.verify)
}

fn producer(args: &RunArgs, topology: &Topology<'_>, connection: &mut Connection, i: usize) -> Result<Producer> {
    connection.open_channel(PUBLISH_CHANNEL)?;
    if args.confirm.is_some() {
        connection.call(PUBLISH_CHANNEL, id::CONFIRM_SELECT, id::CONFIRM_SELECT_OK, |e| {
            e.u8(0);
        })?;
    }
    let batch = Batch::new(&Shape {
        targets: &topology.targets_of_producer(i),
        sizes: &args.size,
        persistent: args.flag(Flag::Persistent),
        priorities: args.priorities,
        mandatory: args.flag(Flag::Mandatory),
        channel: PUBLISH_CHANNEL,
        frame_max: connection.frame_max,
    });
    let stamping = match (args.verify, args.latency || args.rate.is_some()) {
        (true, _) => Stamping::Content(Noise::default()),
        (_, true) => Stamping::Every,
        _ => Stamping::First,
    };
    let orders = Orders {
        id: u16::try_from(i).expect("checked"),
        window: window(args, batch.message_bytes() as u64 * topology.copies()),
        copies: topology.copies(),
        confirm: args.confirm,
        pace_ns: args.rate.map(|rate| 1e9 / rate),
        quota: args.pmessages.unwrap_or(u64::MAX),
        stamping,
    };
    Ok(Producer::new(orders, batch))
}

/// The number of messages that one producer may have in flight, each of `bytes` in all its copies.
/// Without consumers, or with a rate, there is no window unless it is asked for.
fn window(args: &RunArgs, bytes: u64) -> Option<u64> {
    let default = if args.consumers == 0 || args.rate.is_some() { Window::Unbounded } else { WINDOW_DEFAULT };
    match args.in_flight.unwrap_or(default) {
        Window::Unbounded => None,
        Window::Messages(count) => Some(count.max(1)),
        Window::Bytes(all) => Some((all / args.producers as u64 / bytes).max(2)),
    }
}

fn share(args: &RunArgs) -> Result<Shared> {
    let threads = args.threads.or(args.cpus.as_ref().map(|c| c.0.len())).unwrap_or(1);
    let workers = (0..threads).map(|_| WorkerStats::new()).collect::<std::io::Result<_>>().map_err(|e| e.to_string())?;
    Ok(Shared { control: Control::new(), credits: Credits::new(args.producers), workers, spin: args.spin })
}

/// Distributes peers to workers in turn.
fn deal(peers: Vec<Peer>, workers: usize) -> Vec<Vec<Peer>> {
    let mut hands: Vec<Vec<Peer>> = (0..workers).map(|_| Vec::new()).collect();
    for (i, peer) in peers.into_iter().enumerate() {
        hands[i % workers].push(peer);
    }
    hands
}

fn work(args: &RunArgs, i: usize, shared: &Shared, peers: Vec<Peer>) -> Vec<Peer> {
    let pinned = args.cpus.as_ref().map_or(Ok(()), |cpus| sys::pin(&[cpus.0[i % cpus.0.len()]]));
    if args.consumers_first && peers.iter().all(|peer| peer.producer.is_none()) && sys::urgent().is_err() {
        eprintln!("without the right to real-time priority consumers wait for publishers on their CPU");
    }
    match pinned.map_err(|e| format!("cannot pin to a CPU: {e}")).and_then(|()| Worker::new(i, shared, peers)) {
        Ok(worker) => worker.run(),
        Err(reason) => {
            shared.control.fail(reason);
            Vec::new()
        }
    }
}

/// Runs for some time before the measurement begins.
fn warm_up(args: &RunArgs, topology: &Topology<'_>, shared: &Shared) -> Result<Meter> {
    start_producers(shared);
    sleep_until(args, topology, shared, sys::now_ns() + nanoseconds(args.warm_up), u64::MAX)?;
    Meter::start(args.connect.broker_pid.clone(), shared)
}

fn start_producers(shared: &Shared) {
    shared.control.start_ns.store(sys::now_ns(), SeqCst);
    shared.control.set(Phase::Run);
}

/// Watches warm-up (a counted run has none), intervals and drain.
fn watch(args: &RunArgs, topology: &Topology<'_>, shared: &Shared) -> Result<Report> {
    let counted = args.pmessages.is_some() || args.cmessages.is_some();
    let mut meter = if counted { Meter::start(args.connect.broker_pid.clone(), shared)? } else { warm_up(args, topology, shared)? };
    if counted {
        start_producers(shared);
    }
    let end_ns = meter.begin_ns() + if counted { COUNTED_MAX_NS } else { nanoseconds(args.time) };
    let each = args.interval_messages.unwrap_or(u64::MAX);
    let (mut next_ns, mut next_count) = (meter.begin_ns(), total(&shared.workers).published.saturating_add(each));
    loop {
        next_ns += nanoseconds(args.interval.max(INTERVAL_MIN));
        let pause = sleep_until(args, topology, shared, next_ns.min(end_ns), next_count)?;
        let interval = meter.interval(shared)?;
        if !args.quiet {
            progress(&interval);
        }
        match pause {
            Pause::Complete => break,
            Pause::Time if next_ns >= end_ns => break,
            Pause::Time => {}
            Pause::Count => (next_ns, next_count) = (sys::now_ns(), next_count.saturating_add(each)),
        }
    }
    shared.control.set(Phase::Drain);
    let mut report = meter.finish(topology.copies());
    drain(args, topology, shared)?;
    thread::sleep(Duration::from_nanos(nanoseconds(args.settle)));
    report.totals(total(&shared.workers), &args.connect.broker_pid, args.broker_data.as_deref())?;
    Ok(report)
}

/// The reason why the reporter woke up.
enum Pause {
    /// The time is up.
    Time,
    /// A number of messages was sent.
    Count,
    /// All messages have arrived, or the run was interrupted.
    Complete,
}

/// Sleeps until there is one of the reasons.
fn sleep_until(args: &RunArgs, topology: &Topology<'_>, shared: &Shared, end_ns: u64, count: u64) -> Result<Pause> {
    loop {
        if let Some(reason) = shared.control.failed() {
            return Err(reason);
        }
        let tally = total(&shared.workers);
        let published = args.pmessages.is_some_and(|n| tally.published == n * args.producers as u64);
        let confirmed = args.confirm.is_none() || tally.confirmed + tally.nacked == tally.published;
        let arrived = args.consumers == 0
            || tally.received + (tally.returned + tally.nacked) * topology.copies() >= tally.published * topology.copies();
        let consumed = args.cmessages.is_some_and(|n| tally.received >= n);
        if consumed || published && confirmed && arrived || INTERRUPTED.load(SeqCst) {
            return Ok(Pause::Complete);
        }
        if tally.published >= count {
            return Ok(Pause::Count);
        }
        let now_ns = sys::now_ns();
        if now_ns >= end_ns {
            return Ok(Pause::Time);
        }
        thread::sleep(Duration::from_nanos((end_ns - now_ns).min(POLL_NS)));
    }
}

/// Lets consumers receive what was published, as long as anything arrives.
fn drain(args: &RunArgs, topology: &Topology<'_>, shared: &Shared) -> Result<()> {
    let (mut last, mut quiet_since) = (0, sys::now_ns());
    let end_ns = args.drain.map_or(u64::MAX, |seconds| quiet_since + nanoseconds(seconds));
    while args.consumers > 0 && args.producers > 0 && shared.control.failed().is_none() {
        let tally = total(&shared.workers);
        let now_ns = sys::now_ns();
        if tally.received != last {
            (last, quiet_since) = (tally.received, now_ns);
        }
        let complete = tally.received >= tally.published * topology.copies();
        if complete || now_ns >= end_ns || now_ns - quiet_since > DRAIN_QUIET_NS || INTERRUPTED.load(SeqCst) {
            break;
        }
        thread::sleep(Duration::from_nanos(POLL_NS));
    }
    shared.control.failed().map_or(Ok(()), Err)
}

fn verify(topology: &Topology<'_>, report: &Report, peers: &mut [Peer]) -> Faults {
    let mut all = Verifier::default();
    for verifier in peers.iter_mut().filter_map(|p| p.consumer.as_mut()?.verifier.take()) {
        all.join(verifier);
    }
    let due = (report.published_total - report.returned_total) * topology.copies();
    Faults { missing: due.saturating_sub(all.distinct()), ..all.faults }
}

fn progress(interval: &Interval) {
    eprintln!("{}", interval.line());
}

extern "C" fn interrupted(_: libc::c_int) {
    INTERRUPTED.store(true, SeqCst);
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The longest name, bytes: it leaves space for a number in a short string.
const NAME_MAX: usize = 240;
const WINDOW_DEFAULT: Window = Window::Bytes(1 << 20);
/// The lowest rate of the probe: one in 100 seconds.
/// The highest rate of the probe: one every 10 µs.
const PROBE_MIN: f64 = 0.01;
const PROBE_MAX: f64 = 100_000.0;
const INTERVAL_MIN: f64 = 0.05;
/// How exactly the end of a counted run is noticed, nanoseconds.
const POLL_NS: u64 = 2_000_000;
const DRAIN_QUIET_NS: u64 = 3_000_000_000;
/// The longest counted run, nanoseconds.
const COUNTED_MAX_NS: u64 = 86_400_000_000_000;

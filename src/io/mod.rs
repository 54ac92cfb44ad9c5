//! System calls: everything that a shard asks for is carried out here, and everything that happens
//! is told to the shard.
//!
//! - [`driver`]: the loop of one shard, over its [`ring`];
//! - [`net`]: the sockets;
//! - [`disk`]: the log's files; [`door`]: the way of operators' demands;
//! - [`host`]: what the machine and the process offer: memory, descriptors, CPUs, clock, signals;
//! - [`token`]: the purpose of a completion;
//! - [`wake`] and [`spin`]: how an idle shard waits; [`statistics`]: how long turns take.
//!
//! Descriptors are plain ones: with the ring itself registered, looking a descriptor up costs a few
//! nanoseconds per operation, and only a plain descriptor can be asked for the addresses of a
//! connection.
//!
//! [`Broker`] starts everything: one thread per shard, each with its own ring that no other thread
//! enters, and one for the [`monitor`](host::monitor).

pub mod disk;
pub mod door;
pub mod driver;
pub mod host;
pub mod net;
pub mod ring;
#[cfg(test)]
pub(crate) mod scratch;
pub mod spin;
pub mod statistics;
pub mod token;
pub mod wake;

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::base::limits::HANDSHAKES_MAX;
use crate::config::Config;
use crate::shard::Shard;
use disk::Disk;
use door::Door;
use driver::{Driver, Surroundings};
use host::clock::Clock;
use host::descriptors::Descriptors;
use host::monitor::Monitor;
use host::{affinity, process};
use net::admission::Admission;
use net::listener::{self, Bound, Listener};
use net::receive::Pools;
use ring::Ring;
use wake::{Peers, Signal, Stop};

/// The reason why the broker cannot start: one sentence for the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// A running broker: the threads of its shards, and the monitor of memory and disk. Dropping it
/// stops it.
pub struct Broker {
    addresses: Vec<SocketAddr>,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<Option<Shard>>>,
    admission: Arc<Admission>,
    monitor: Monitor,
}

impl Broker {
    /// Binds the addresses and starts these shards, each with its door.
    ///
    /// # Errors
    /// One sentence that gives the reason; then nothing runs.
    pub fn start(config: &Arc<Config>, shards: Vec<(Shard, Door)>) -> Result<Broker, StartError> {
        let bound = listener::bind(config, shards.len())?;
        let descriptors = share_out_descriptors(config, &bound)?;
        let no_eventfd = |error| StartError(format!("an eventfd cannot be created: {error}"));
        let stop = Arc::new(Stop::new(shards.len()).map_err(no_eventfd)?);
        let alarm = Arc::new(Signal::new().map_err(no_eventfd)?);
        let monitor = Monitor::start(config, shards[0].0.alarms().clone(), alarm.clone())?;
        let admission = Arc::new(Admission::new(alarm.clone()));
        let mut broker = Broker { addresses: bound.addresses, stop, threads: Vec::new(), admission, monitor };
        // If one of these fails, it drops the seats first, so that no shard waits any more, and then
        // the broker is dropped, which waits for its threads.
        let seats = broker.spawn(config, shards.into_iter().zip(bound.by_shard), &alarm, &descriptors)?;
        introduce(seats)?;
        Ok(broker)
    }

    /// Starts the threads of these shards. Returns the seats, which the shards wait for.
    fn spawn(
        &mut self,
        config: &Arc<Config>,
        shards: impl Iterator<Item = ((Shard, Door), Vec<Listener>)>,
        alarm: &Arc<Signal>,
        descriptors: &Descriptors,
    ) -> Result<Vec<Seat>, StartError> {
        let (clock, mut seats) = (Clock::start(), Vec::new());
        for ((mut shard, door), listeners) in shards {
            shard.start_clock(clock.epoch_ms());
            let (seat, place) = seat(alarm.clone(), self.admission.clone(), descriptors.clone());
            let (config, stop) = (config.clone(), self.stop.clone());
            let name = format!("ringmq-{}", shard.id().0);
            let serve = move || serve(shard, door, &config, clock, stop, listeners, &place);
            let thread = thread::Builder::new().name(name).spawn(serve);
            self.threads.push(thread.map_err(|error| StartError(format!("a thread cannot be started: {error}")))?);
            seats.push(seat);
        }
        Ok(seats)
    }

    /// The addresses of its listeners, with the ports that the kernel chose for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether its listeners take connections.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// Its monitor of memory and disk.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Ends the broker. Clients are told and get some seconds. Returns, when all shards have ended,
    /// those whose logs are completely on the disk.
    pub fn stop(mut self) -> Vec<Shard> {
        self.end()
    }

    fn end(&mut self) -> Vec<Shard> {
        self.stop.raise();
        let join = |thread: JoinHandle<Option<Shard>>| thread.join().expect("a shard that panics takes the process with it");
        std::mem::take(&mut self.threads).into_iter().filter_map(join).collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
    }
}

/// The starting thread's ends of the channels to a shard's thread.
struct Seat {
    ring: Receiver<Result<RawFd, StartError>>,
    peers: Sender<Peers>,
}

/// The shard's ends of those channels, and what all shards share.
struct Place {
    ring: Sender<Result<RawFd, StartError>>,
    peers: Receiver<Peers>,
    alarm: Arc<Signal>,
    admission: Arc<Admission>,
    descriptors: Descriptors,
}

fn seat(alarm: Arc<Signal>, admission: Arc<Admission>, descriptors: Descriptors) -> (Seat, Place) {
    let ((ring_in, ring_out), (peers_in, peers_out)) = (channel(), channel());
    (Seat { ring: ring_out, peers: peers_in }, Place { ring: ring_in, peers: peers_out, alarm, admission, descriptors })
}

/// Shares out the descriptors. If they limit the connections, the log says so: it would be hard to
/// guess.
fn share_out_descriptors(config: &Config, bound: &Bound) -> Result<Descriptors, StartError> {
    let limit = process::raise_descriptor_limit();
    let descriptors = Descriptors::share_out(limit, bound.by_shard.len(), bound.addresses.len())?;
    let connections = descriptors.sockets.max();
    if u64::from(connections) < (config.max_connections + HANDSHAKES_MAX) as u64 {
        log::info!("at most {connections} connections, because the process may open only {limit} descriptors (ulimit -Hn)");
    }
    Ok(descriptors)
}

/// Waits for the rings of all shards and sends all of them to each shard. If one shard fails, none
/// gets them, and all end.
fn introduce(seats: Vec<Seat>) -> Result<(), StartError> {
    let rings = seats.iter().map(|seat| seat.ring.recv().expect("a shard reports before it ends")).collect::<Result<Vec<_>, _>>()?;
    let peers = Peers::new(rings);
    seats.iter().for_each(|seat| seat.peers.send(peers.clone()).expect("a shard waits for its peers"));
    Ok(())
}

/// Runs a shard's thread.
fn serve(
    shard: Shard,
    door: Door,
    config: &Config,
    clock: Clock,
    stop: Arc<Stop>,
    listeners: Vec<Listener>,
    place: &Place,
) -> Option<Shard> {
    try_serve(shard, door, config, clock, stop, listeners, place).unwrap_or_else(|error| {
        // If another shard has failed before, the starting thread does not wait any more.
        let _ = place.ring.send(Err(error));
        None
    })
}

/// Prepares a shard's thread and serves. All errors come before serving.
fn try_serve(
    shard: Shard,
    door: Door,
    config: &Config,
    clock: Clock,
    stop: Arc<Stop>,
    listeners: Vec<Listener>,
    place: &Place,
) -> Result<Option<Shard>, StartError> {
    let others = pin(&shard, config);
    let unprepared = |error| StartError(format!("a shard's io_uring cannot be prepared: {error}"));
    let mut pools = Pools::new(config).map_err(unprepared)?;
    let mut io_uring = ring::open(config.ring_entries)?;
    let fd = io_uring.as_raw_fd();
    let ring = Ring::new(&mut io_uring, config.multishot).map_err(unprepared)?;
    for pool in [&pools.trickle, &pools.bulk] {
        // SAFETY: the pools are declared before the ring, so they are dropped after it.
        unsafe { pool.register(ring.submitter()) }.map_err(unprepared)?;
    }
    if !others.is_empty() {
        // The kernel's own threads (which prepare memory) must not take this shard's CPU.
        ring.submitter().register_iowq_aff(&affinity::set_of(others)).map_err(unprepared)?;
    }
    let unusable = |error| StartError(format!("the log in {} failed: {error}", config.data_dir.display()));
    let Descriptors { sockets, files } = place.descriptors.clone();
    let disk = Disk::open(shard.id(), config, files, shard.alarms()).map_err(unusable)?;
    // If another shard has failed, the starting thread does not wait any more and sends no peers.
    let _ = place.ring.send(Ok(fd));
    let Ok(peers) = place.peers.recv() else { return Ok(None) };
    let spin = Duration::from_micros(config.spin_us.into());
    let (alarm, admission) = (place.alarm.clone(), place.admission.clone());
    let around = Surroundings {
        clock,
        peers,
        stop,
        alarm,
        admission,
        door,
        pools: &mut pools,
        listeners,
        places: sockets,
        disk,
        send_timeout_ms: config.send_timeout_ms,
        spin,
    };
    Ok(Driver::new(shard, ring, around).run())
}

/// Pins the calling thread to its shard's CPU, if the configuration says so. Returns the other CPUs
/// of the process.
fn pin(shard: &Shard, config: &Config) -> Vec<usize> {
    let number = usize::from(shard.id().0);
    let Some(&cpu) = config.cpus.get(number % config.cpus.len().max(1)) else { return Vec::new() };
    let mut others = affinity::available();
    others.retain(|&other| other != cpu);
    if let Err(error) = affinity::pin(cpu) {
        log::warn!("shard {number} cannot be pinned to CPU {cpu}: {error}");
    }
    others
}

//! Counts, and their way from the workers to the reporter: a worker counts in plain integers and
//! publishes them once per turn.

use std::ops::Sub;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::sys::Wake;

/// Counts of one worker, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Number of published messages.
    pub published: u64,
    /// Size of published messages, bytes.
    pub published_bytes: u64,
    /// Number of received messages.
    pub received: u64,
    /// Size of received messages, bytes.
    pub received_bytes: u64,
    /// Number of confirmed publishes.
    pub confirmed: u64,
    /// Number of publishes that were answered with a nack.
    pub nacked: u64,
    /// Number of returned messages.
    pub returned: u64,
}

impl Tally {
    fn fields(&self) -> [u64; TALLY_FIELDS] {
        [self.published, self.published_bytes, self.received, self.received_bytes, self.confirmed, self.nacked, self.returned]
    }

    fn from_fields(f: [u64; TALLY_FIELDS]) -> Tally {
        Tally {
            published: f[0],
            published_bytes: f[1],
            received: f[2],
            received_bytes: f[3],
            confirmed: f[4],
            nacked: f[5],
            returned: f[6],
        }
    }
}

impl Sub for Tally {
    type Output = Tally;

    fn sub(self, earlier: Tally) -> Tally {
        let (a, b) = (self.fields(), earlier.fields());
        Tally::from_fields(std::array::from_fn(|i| a[i] - b[i]))
    }
}

/// Latencies in nanoseconds.
#[derive(Clone)]
pub struct Histograms {
    /// From the publish, or from the time at which it was due, to the receipt.
    pub latency: Histogram<u64>,
    /// From the publish to the confirm.
    pub confirm: Histogram<u64>,
}

impl Histograms {
    /// Makes empty histograms.
    pub fn new() -> Histograms {
        Histograms { latency: histogram(), confirm: histogram() }
    }

    /// Adds the values of `other` and empties it.
    pub fn take(&mut self, other: &mut Histograms) {
        for (mine, theirs) in [(&mut self.latency, &mut other.latency), (&mut self.confirm, &mut other.confirm)] {
            mine.add(&*theirs).expect("equal bounds");
            theirs.reset();
        }
    }
}

/// Makes an empty histogram of nanoseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("valid bounds")
}

/// The part of a worker's state that others see.
pub struct WorkerStats {
    counts: [AtomicU64; TALLY_FIELDS],
    /// Handed over when the reporter asks: with a lock per turn, a spinning worker could keep the
    /// reporter waiting forever.
    histograms: Mutex<Histograms>,
    wanted: AtomicBool,
    /// Wakes the worker if `asleep` is set.
    pub wake: Wake,
    /// Whether the worker sleeps.
    pub asleep: AtomicBool,
}

impl WorkerStats {
    /// Makes the state of a worker that has counted nothing.
    pub fn new() -> std::io::Result<WorkerStats> {
        let histograms = Mutex::new(Histograms::new());
        let (wanted, asleep) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(WorkerStats { counts: Default::default(), histograms, wanted, wake: Wake::new()?, asleep })
    }

    /// Publishes a worker's counts.
    pub fn publish(&self, tally: &Tally) {
        for (shown, counted) in self.counts.iter().zip(tally.fields()) {
            shown.store(counted, Relaxed);
        }
    }

    /// Hands over a worker's histograms, if the reporter asks for them.
    pub fn hand_over(&self, recorded: &mut Histograms) {
        if self.wanted.load(Relaxed) {
            self.histograms.lock().expect("no thread panics with it").take(recorded);
            self.wanted.store(false, SeqCst);
        }
    }
}

/// Takes the histograms of all workers since the last time.
pub fn collect(workers: &[WorkerStats]) -> Histograms {
    let mut all = Histograms::new();
    workers.iter().for_each(|worker| worker.wanted.store(true, SeqCst));
    for worker in workers {
        for _ in 0..HAND_OVER_POLLS {
            if !worker.wanted.load(SeqCst) {
                break;
            }
            thread::sleep(HAND_OVER_POLL);
        }
        all.take(&mut worker.histograms.lock().expect("no thread panics with it"));
    }
    all
}

/// The sum of the counts of all workers.
pub fn total(workers: &[WorkerStats]) -> Tally {
    Tally::from_fields(std::array::from_fn(|i| workers.iter().map(|w| w.counts[i].load(Relaxed)).sum()))
}

/// Number of deliveries of each producer's messages, which decides the room in the producer's
/// window.
pub struct Credits {
    received: Vec<AtomicU64>,
    /// Grows with every grant: a worker that is about to sleep checks whether it has missed one.
    epoch: AtomicU64,
}

impl Credits {
    /// Makes counts of zero.
    pub fn new(producers: usize) -> Credits {
        Credits { received: (0..producers).map(|_| AtomicU64::new(0)).collect(), epoch: AtomicU64::new(0) }
    }

    /// Notes deliveries; those of a producer of another run are not counted.
    pub fn grant(&self, producer: u16, count: u64) {
        if let Some(received) = self.received.get(usize::from(producer)) {
            received.fetch_add(count, Relaxed);
        }
    }

    /// Number of deliveries of a producer's messages.
    pub fn received(&self, producer: u16) -> u64 {
        self.received[usize::from(producer)].load(Relaxed)
    }

    /// Number of producers that a message may come from: those of this run, or any if the messages
    /// are those of an earlier run.
    pub fn producers(&self) -> usize {
        if self.received.is_empty() { usize::MAX } else { self.received.len() }
    }

    /// Notes that something was granted.
    pub fn advance(&self) {
        self.epoch.fetch_add(1, SeqCst);
    }

    /// The number of grants.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(SeqCst)
    }
}

/// The phase in which all workers are.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Consumers work, producers wait.
    Ready,
    Run,
    /// Producers have stopped.
    Drain,
    Stop,
}

/// The reporter's orders to the workers, and the first error of any of them.
pub struct Control {
    phase: AtomicU8,
    /// When `Run` began, the origin of all paces, nanoseconds.
    pub start_ns: AtomicU64,
    /// The first error.
    pub trouble: Mutex<Option<String>>,
}

impl Control {
    /// Makes the orders of a run that has not begun.
    pub fn new() -> Control {
        Control { phase: AtomicU8::new(Phase::Ready as u8), start_ns: AtomicU64::new(0), trouble: Mutex::new(None) }
    }

    /// Sets the phase.
    pub fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, SeqCst);
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        [Phase::Ready, Phase::Run, Phase::Drain, Phase::Stop][usize::from(self.phase.load(SeqCst))]
    }

    /// Ends the run with an error; the first one is kept.
    pub fn fail(&self, reason: String) {
        self.trouble.lock().expect("no thread panics with it").get_or_insert(reason);
    }

    /// The first error, if there is any.
    pub fn failed(&self) -> Option<String> {
        self.trouble.lock().expect("no thread panics with it").clone()
    }
}

/// How often a worker's histograms are looked for. A worker sleeps for a few milliseconds at most;
/// one that has ended hands nothing over.
const HAND_OVER_POLL: Duration = Duration::from_micros(100);
const HAND_OVER_POLLS: u32 = 500;
const TALLY_FIELDS: usize = 7;
/// Larger latencies count as this one, nanoseconds.
const LATENCY_MAX_NS: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_subtract_field_by_field() {
        let a = Tally { published: 5, received: 3, returned: 9, ..Tally::default() };
        let b = Tally { published: 2, received: 3, returned: 1, ..Tally::default() };
        assert_eq!(a - b, Tally { published: 3, returned: 8, ..Tally::default() });
    }

    #[test]
    fn foreign_producers_get_no_credit() {
        let credits = Credits::new(1);
        credits.grant(0, 4);
        credits.grant(9, 4);
        assert_eq!(credits.received(0), 4);
    }
}

//! What is counted, and how it gets from the workers to the reporter: a worker counts in plain integers and publishes them once per turn.

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
    pub published: u64,
    pub published_bytes: u64,
    pub received: u64,
    pub received_bytes: u64,
    pub confirmed: u64,
    pub nacked: u64,
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
    /// From publish (or the time at which it was due) to receipt.
    pub latency: Histogram<u64>,
    /// From publish to confirm.
    pub confirm: Histogram<u64>,
}

impl Histograms {
    pub fn new() -> Histograms {
        Histograms { latency: histogram(), confirm: histogram() }
    }

    /// Adds what `other` has and empties it.
    pub fn take(&mut self, other: &mut Histograms) {
        for (mine, theirs) in [(&mut self.latency, &mut other.latency), (&mut self.confirm, &mut other.confirm)] {
            mine.add(&*theirs).expect("equal bounds");
            theirs.reset();
        }
    }
}

/// An empty histogram of nanoseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("valid bounds")
}

/// What a worker shows to the others.
pub struct WorkerStats {
    counts: [AtomicU64; TALLY_FIELDS],
    /// Handed over when the reporter wants them: a lock per turn would let a spinning worker starve the reporter.
    histograms: Mutex<Histograms>,
    wanted: AtomicBool,
    /// Rouses the worker when `asleep` is set.
    pub wake: Wake,
    pub asleep: AtomicBool,
}

impl WorkerStats {
    pub fn new() -> std::io::Result<WorkerStats> {
        let histograms = Mutex::new(Histograms::new());
        let (wanted, asleep) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(WorkerStats { counts: Default::default(), histograms, wanted, wake: Wake::new()?, asleep })
    }

    pub fn publish(&self, tally: &Tally) {
        for (shown, counted) in self.counts.iter().zip(tally.fields()) {
            shown.store(counted, Relaxed);
        }
    }

    /// Hands over what a worker has recorded, if it is wanted.
    pub fn hand_over(&self, recorded: &mut Histograms) {
        if self.wanted.load(Relaxed) {
            self.histograms.lock().expect("no thread panics with it").take(recorded);
            self.wanted.store(false, SeqCst);
        }
    }
}

/// What all workers have recorded since the last time.
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

/// The sum over all workers.
pub fn total(workers: &[WorkerStats]) -> Tally {
    Tally::from_fields(std::array::from_fn(|i| workers.iter().map(|w| w.counts[i].load(Relaxed)).sum()))
}

/// How many deliveries each producer's messages have led to; what a producer's window is measured by.
pub struct Credits {
    received: Vec<AtomicU64>,
    /// Grows with every grant: a worker that is about to sleep looks whether it missed one.
    epoch: AtomicU64,
}

impl Credits {
    pub fn new(producers: usize) -> Credits {
        Credits { received: (0..producers).map(|_| AtomicU64::new(0)).collect(), epoch: AtomicU64::new(0) }
    }

    /// Notes deliveries; those of a producer of another run count for nobody.
    pub fn grant(&self, producer: u16, count: u64) {
        if let Some(received) = self.received.get(usize::from(producer)) {
            received.fetch_add(count, Relaxed);
        }
    }

    pub fn received(&self, producer: u16) -> u64 {
        self.received[usize::from(producer)].load(Relaxed)
    }

    /// Producers that a message may come from: ours, or any if the messages are those of an earlier run.
    pub fn producers(&self) -> usize {
        if self.received.is_empty() { usize::MAX } else { self.received.len() }
    }

    pub fn advance(&self) {
        self.epoch.fetch_add(1, SeqCst);
    }

    pub fn epoch(&self) -> u64 {
        self.epoch.load(SeqCst)
    }
}

/// What all workers do at the moment.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Consumers are on, producers wait.
    Ready,
    Run,
    /// Producers are off.
    Drain,
    Stop,
}

/// What the reporter tells the workers, and the first trouble that one of them met.
pub struct Control {
    phase: AtomicU8,
    /// When `Run` began: the origin of all paces.
    pub start_ns: AtomicU64,
    pub trouble: Mutex<Option<String>>,
}

impl Control {
    pub fn new() -> Control {
        Control { phase: AtomicU8::new(Phase::Ready as u8), start_ns: AtomicU64::new(0), trouble: Mutex::new(None) }
    }

    pub fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, SeqCst);
    }

    pub fn phase(&self) -> Phase {
        [Phase::Ready, Phase::Run, Phase::Drain, Phase::Stop][usize::from(self.phase.load(SeqCst))]
    }

    /// Ends the run with a reason; the first one counts.
    pub fn fail(&self, reason: String) {
        self.trouble.lock().expect("no thread panics with it").get_or_insert(reason);
    }

    pub fn failed(&self) -> Option<String> {
        self.trouble.lock().expect("no thread panics with it").clone()
    }
}

/// A worker sleeps for a few milliseconds at most; one that has ended hands nothing over.
const HAND_OVER_POLL: Duration = Duration::from_micros(100);
const HAND_OVER_POLLS: u32 = 500;
const TALLY_FIELDS: usize = 7;
/// What is slower counts as this slow.
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

//! Rates and histories: the samples of numbers, taken every few seconds.
//!
//! ```text
//! sampler ─ note(subject, values) ─▶ Series ─┬ the last two samples ─▶ rate
//!                                            └ tapes: 10 minutes by 5 seconds, an hour by minutes,
//!                                              a day by half hours ─▶ samples of a window
//! ```
//!
//! A subject is whatever has numbers: the broker, a virtual host, a queue, a connection. A sample
//! that equals the one before takes no memory, and a subject whose numbers have not changed for an
//! hour has no series, only its [last sample](still): many idle queues cost little.

mod still;
mod tape;
mod window;

pub use window::{Sample, Window, Windows};

use self::still::Still;
use self::tape::Tape;
use crate::base::hash::Map;
use crate::base::ids::{ChannelAddr, ConnAddr, ExchangeId, QueueId};
use crate::contract::{Counts, VhostId};

/// What has numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// All of the broker.
    Broker,
    /// The process and the machine.
    Node,
    /// A virtual host.
    Vhost(VhostId),
    /// A queue.
    Queue(QueueId),
    /// An exchange.
    Exchange(ExchangeId),
    /// A connection.
    Connection(ConnAddr),
    /// A channel.
    Channel(ChannelAddr),
}

/// The samples of all subjects.
#[derive(Default)]
pub struct Rates {
    series: Map<Subject, Series>,
    /// The subjects without a series.
    still: Map<Subject, Still>,
    vhosts: Map<VhostId, Counted>,
    round: u64,
}

/// What was counted in a virtual host since the start, also by objects that are gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Messages.
    pub counts: Counts,
    /// Octets received and sent.
    pub octets: (u64, u64),
}

/// The samples of one subject.
pub struct Series {
    /// Time and values of the last sample.
    last: (u64, Box<[u64]>),
    /// Increase per second of each value before the last sample.
    rates: Box<[f64]>,
    tapes: Box<[Tape]>,
    round: u64,
}

impl Rates {
    /// Takes a sample of a subject, at milliseconds since 1970.
    pub fn note(&mut self, subject: Subject, at_ms: u64, values: &[u64]) {
        let round = self.round;
        if let Some(series) = self.series.get_mut(&subject) {
            series.round = round;
            return series.note(at_ms, values);
        }
        let still = self.still.entry(subject).or_insert_with(|| Still::new(at_ms, values));
        if still.is_of(values) {
            return still.confirm(at_ms, round);
        }
        let (before_ms, before) = still.sample(values.len());
        let mut series = Series::new(is_global(subject), before_ms, &before);
        series.round = round;
        series.note(at_ms, values);
        self.series.insert(subject, series);
        self.still.remove(&subject);
    }

    /// Ends a round of samples: subjects that were not sampled in it are gone.
    pub fn end_round(&mut self) {
        let round = self.round;
        self.series.retain(|_, series| series.round == round);
        self.still.retain(|_, still| still.round() == round);
        for (subject, series) in self.series.extract_if(|_, series| series.is_still()) {
            let mut still = Still::new(series.last.0, &series.last.1);
            still.confirm(series.last.0, round);
            self.still.insert(subject, still);
        }
        self.round += 1;
        self.limit_memory();
    }

    /// The samples of a subject, once there are some.
    pub fn of(&self, subject: Subject) -> Option<&Series> {
        self.series.get(&subject)
    }

    /// What was counted in a virtual host.
    pub fn vhost(&self, vhost: VhostId) -> Counted {
        self.vhosts.get(&vhost).copied().unwrap_or_default()
    }

    /// Counts in a virtual host.
    pub fn count(&mut self, vhost: VhostId, add: impl FnOnce(&mut Counted)) {
        add(self.vhosts.entry(vhost).or_default());
    }

    /// Forgets all samples.
    pub fn clear(&mut self) {
        self.series.clear();
        self.still.clear();
    }

    /// Forgets the histories of all objects if they take too much memory; rates stay.
    fn limit_memory(&mut self) {
        let memory: usize = self.series.values().map(Series::memory).sum();
        if memory > MEMORY_MAX {
            self.series.iter_mut().filter(|(subject, _)| !is_global(**subject)).for_each(|(_, series)| series.forget_history());
        }
    }
}

impl Series {
    fn new(is_global: bool, at_ms: u64, values: &[u64]) -> Series {
        let levels = if is_global { &LEVELS[..] } else { &LEVELS[..2] };
        Series {
            last: (at_ms, values.into()),
            rates: vec![0.0; values.len()].into(),
            tapes: levels.iter().map(|&(span_ms, step_ms)| Tape::new(span_ms, step_ms, at_ms, values)).collect(),
            round: 0,
        }
    }

    fn note(&mut self, at_ms: u64, values: &[u64]) {
        let (before_ms, before) = &mut self.last;
        if at_ms > *before_ms {
            let seconds = (at_ms - *before_ms) as f64 / 1000.0;
            for (rate, (now, then)) in self.rates.iter_mut().zip(values.iter().zip(&*before)) {
                *rate = (*now as f64 - *then as f64) / seconds;
            }
        }
        *before_ms = at_ms;
        before.copy_from_slice(values);
        self.tapes.iter_mut().for_each(|tape| tape.push(at_ms, values));
    }

    /// The increase per second of a value over the last interval.
    pub fn rate(&self, value: usize) -> f64 {
        self.rates.get(value).copied().unwrap_or_default()
    }

    /// The samples of a value in a window, the newest first.
    pub fn samples(&self, value: usize, window: Window) -> Vec<Sample> {
        let tape = self.tapes.iter().find(|tape| tape.covers(window.age_ms)).or(self.tapes.last());
        tape.map(|tape| window::pick(&tape.values(value), self.last.0, window)).unwrap_or_default()
    }

    /// Whether nothing has changed for as long as the history goes back.
    fn is_still(&self) -> bool {
        self.tapes.iter().all(Tape::is_still) && self.rates.iter().all(|rate| *rate == 0.0)
    }

    fn memory(&self) -> usize {
        self.tapes.iter().map(Tape::memory).sum()
    }

    fn forget_history(&mut self) {
        let (at_ms, values) = &self.last;
        self.tapes.iter_mut().for_each(|tape| tape.restart(*at_ms, values));
    }
}

/// Whether a subject keeps a day of samples; others keep an hour.
fn is_global(subject: Subject) -> bool {
    matches!(subject, Subject::Broker | Subject::Node | Subject::Vhost(_))
}

/// Span and step of the tapes, milliseconds.
const LEVELS: [(u64, u64); 4] = [(600_000, 5_000), (3_600_000, 60_000), (28_800_000, 600_000), (86_400_000, 1_800_000)];

/// Memory of all histories, bytes.
const MEMORY_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Key;

    const QUEUE: Subject = Subject::Queue(QueueId(Key { slot: 1, generation: 0 }));

    #[test]
    fn a_rate_is_the_increase_over_the_last_interval() {
        let mut rates = Rates::default();
        for (second, value) in [(0, 10), (5, 20), (10, 120)] {
            rates.note(QUEUE, second * 1000, &[value, 7]);
            rates.end_round();
        }
        let series = rates.of(QUEUE).expect("sampled");
        assert_eq!((series.rate(0), series.rate(1), series.rate(2)), (20.0, 0.0, 0.0));
        rates.note(QUEUE, 15_000, &[0, 7]);
        assert_eq!(rates.of(QUEUE).expect("sampled").rate(0), -24.0, "a queue may shrink");
    }

    #[test]
    fn a_subject_that_is_gone_is_forgotten() {
        let mut rates = Rates::default();
        for (at, value) in [(0, 1), (5_000, 2)] {
            rates.note(QUEUE, at, &[value]);
            rates.end_round();
        }
        assert!(rates.of(QUEUE).is_some());
        rates.end_round();
        assert!(rates.of(QUEUE).is_none() && rates.still.is_empty());
    }

    #[test]
    fn only_a_subject_that_changes_has_a_series() {
        let mut rates = Rates::default();
        let mut note = |steps: std::ops::Range<u64>, value| {
            for step in steps {
                rates.note(QUEUE, step * 5_000, &[value, 0]);
                rates.end_round();
            }
            rates.of(QUEUE).is_some()
        };
        assert!(!note(0..10, 3));
        assert!(note(10..11, 4) && note(11..700, 4));
        assert!(!note(700..740, 4), "an hour later");
        assert!(note(740..741, 14));
        assert_eq!(rates.of(QUEUE).expect("it has changed").rate(0), 2.0);
    }

    #[test]
    fn a_window_is_answered_from_the_tape_that_covers_it() {
        let mut rates = Rates::default();
        (0..2000).for_each(|at| rates.note(QUEUE, at * 5_000, &[at + 1]));
        let series = rates.of(QUEUE).expect("sampled");
        let window = |age: u64, incr: u64| series.samples(0, Window { age_ms: age * 1000, step_ms: incr * 1000 });
        let fine = window(60, 20);
        let expected = [(1997, 9_980_000), (1993, 9_960_000), (1989, 9_940_000), (1985, 9_920_000)];
        assert_eq!(fine.iter().map(|sample| (sample.value, sample.at_ms)).collect::<Vec<_>>(), expected);
        let coarse = window(3600, 60);
        assert_eq!((coarse.len(), coarse[0].at_ms, coarse[60].value), (61, 9_960_000, 1273));
    }
}

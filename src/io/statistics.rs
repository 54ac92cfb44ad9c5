//! Statistics for `--log debug`: how long turns take, and how many completions they handle. At
//! other levels nothing is measured and no clock is read.

use std::time::Instant;

use hdrhistogram::Histogram;

use crate::base::ids::ShardId;

/// The turns of one shard.
pub struct Statistics(Option<Box<Turns>>);

struct Turns {
    shard: ShardId,
    begin: Instant,
    micros: Histogram<u64>,
    completions: Histogram<u64>,
}

impl Statistics {
    /// Makes statistics that measure if debug messages are logged.
    pub fn new(shard: ShardId) -> Statistics {
        let histogram = || Histogram::new_with_max(COUNTED_MAX, 2).expect("two significant digits of a number below 2^63");
        let turns = || Box::new(Turns { shard, begin: Instant::now(), micros: histogram(), completions: histogram() });
        Statistics(log::log_enabled!(log::Level::Debug).then(turns))
    }

    /// Notes that a turn begins, after waiting.
    pub fn turn_begins(&mut self) {
        if let Some(turns) = &mut self.0 {
            turns.begin = Instant::now();
        }
    }

    /// Notes that a turn ends, before waiting.
    pub fn turn_ends(&mut self, completions: usize) {
        if let Some(turns) = &mut self.0 {
            let micros = u64::try_from(turns.begin.elapsed().as_micros()).expect("a turn lasts less than 2^64 µs");
            turns.micros.saturating_record(micros);
            turns.completions.saturating_record(completions as u64);
        }
    }

    /// Writes the statistics to the log.
    pub fn log(&self) {
        if let Some(turns) = &self.0 {
            let shard = turns.shard.0;
            log::debug!("shard {shard}: {} turns; length in µs: {}", turns.micros.len(), quantiles(&turns.micros));
            log::debug!("shard {shard}: completions per turn: {}", quantiles(&turns.completions));
        }
    }
}

fn quantiles(histogram: &Histogram<u64>) -> String {
    let [median, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| histogram.value_at_quantile(quantile));
    format!("mean {:.1}, median {median}, p99 {p99}, p99.9 {p999}, max {}", histogram.mean(), histogram.max())
}

/// Larger values count as this one: ten seconds, ten million completions.
const COUNTED_MAX: u64 = 10_000_000;

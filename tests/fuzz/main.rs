//! Fuzzing with seeds: random and mutated input, compared with naive models.
//!
//! Every case has a seed of its own; a case that fails prints it. `RINGMQ_FUZZ_SEED=n` runs that
//! case first, and `RINGMQ_FUZZ_SECONDS=n` (default 1) sets how long each target runs.
//!
//! ```text
//! RINGMQ_FUZZ_SECONDS=3600 cargo test --release --test fuzz
//! ```

mod blocks;
mod dice;
mod frames;
mod publish;
mod values;

use std::time::{Duration, Instant};

use dice::Dice;

/// Runs one case after another until the time is up.
fn fuzz(case: impl Fn(&mut Dice)) {
    let first = setting("RINGMQ_FUZZ_SEED").unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(setting("RINGMQ_FUZZ_SECONDS").unwrap_or(1));
    for seed in first.. {
        let _report = Report(seed);
        case(&mut Dice::new(seed));
        if Instant::now() >= end {
            break;
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Prints the seed of a case that panics.
struct Report(u64);

impl Drop for Report {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("reproduce with RINGMQ_FUZZ_SEED={}", self.0);
        }
    }
}

//! Spinning: how long an idle shard looks for work before it sleeps.
//!
//! Spinning pays off if work arrives in the meantime, because a wake-up costs 15 µs. It is a waste
//! if work comes rarely, or if the CPU is shared with the process that should bring the work. So a
//! shard spins for the full time after it has found something, and for half of the last time after
//! it has not. Once it does not spin any more, it tries again now and then.

use std::time::{Duration, Instant};

/// The spinning of one shard.
#[derive(Debug)]
pub struct Spin {
    max: Duration,
    now: Duration,
    /// How often it has slept at once.
    skipped: u32,
}

impl Spin {
    /// Makes a state that spins for at most `max`; zero means never.
    pub fn new(max: Duration) -> Spin {
        Spin { max, now: max, skipped: 0 }
    }

    /// Whether the shard ever spins.
    pub fn is_on(&self) -> bool {
        !self.max.is_zero()
    }

    /// Calls `look`, which must be cheap, until it returns true or the time is up. Returns whether
    /// it did.
    pub fn finds(&mut self, mut look: impl FnMut() -> bool) -> bool {
        let time = self.patience();
        if time.is_zero() {
            return false;
        }
        let begin = Instant::now();
        loop {
            if (0..LOOKS_PER_CLOCK_READ).any(|_| look() || pause()) {
                self.now = self.max;
                return true;
            }
            if begin.elapsed() >= time {
                self.now /= 2;
                return false;
            }
        }
    }

    fn patience(&mut self) -> Duration {
        if self.now >= SPIN_MIN || !self.is_on() {
            return self.now;
        }
        self.skipped = (self.skipped + 1) % SKIPS;
        if self.skipped == 0 { self.max } else { Duration::ZERO }
    }
}

/// Pauses for a moment. Returns false.
fn pause() -> bool {
    std::hint::spin_loop();
    false
}

/// Number of looks between two readings of the clock, which costs as much as a few dozen looks.
const LOOKS_PER_CLOCK_READ: u32 = 32;
/// A shorter time is not worth spinning.
const SPIN_MIN: Duration = Duration::from_micros(2);
/// How often a shard that has given up spinning sleeps at once before it tries again.
const SKIPS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_nothing_gives_up_and_tries_again() {
        let mut spin = Spin::new(Duration::from_micros(20));
        assert!(spin.finds(|| true));
        assert!((0..10).all(|_| !spin.finds(|| false)));
        let mut tries = 0;
        for _ in 0..10 * SKIPS {
            let mut looked = false;
            assert!(!spin.finds(|| {
                looked = true;
                false
            }));
            tries += u32::from(looked);
        }
        assert!((5..=60).contains(&tries), "{tries}");
        while !spin.finds(|| true) {}
        assert!(spin.finds(|| true));
    }

    #[test]
    fn who_may_not_look_does_not() {
        let mut spin = Spin::new(Duration::ZERO);
        assert!(!spin.is_on());
        assert!((0..1000).all(|_| !spin.finds(|| panic!("it may not look"))));
    }
}

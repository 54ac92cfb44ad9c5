//! How long an idle shard looks for work before it sleeps.
//!
//! Looking is worth it if work comes while one looks: a wake-up costs 15 µs. It is waste if the CPU is shared with who should bring the work,
//! or if work comes rarely. So a shard looks as long as it may after it has found something, half as long after it has not, and once it does
//! not look at all any more, it tries again now and then.

use std::time::{Duration, Instant};

/// The patience of one shard.
#[derive(Debug)]
pub struct Spin {
    max: Duration,
    now: Duration,
    /// How often it has not looked at all.
    skipped: u32,
}

impl Spin {
    /// At most `max`; zero: never.
    pub fn new(max: Duration) -> Spin {
        Spin { max, now: max, skipped: 0 }
    }

    /// Whether it may ever look.
    pub fn is_on(&self) -> bool {
        !self.max.is_zero()
    }

    /// Looks with `look`, which is cheap, until that finds something (true) or the time is up.
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

/// Never finds anything.
fn pause() -> bool {
    std::hint::spin_loop();
    false
}

/// Reading the clock costs as much as a few dozen looks.
const LOOKS_PER_CLOCK_READ: u32 = 32;
/// It is not worth looking for less.
const SPIN_MIN: Duration = Duration::from_micros(2);
/// How often a shard that has given up looking sleeps at once before it tries again.
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

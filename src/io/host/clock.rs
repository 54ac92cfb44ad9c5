//! The broker's time since the process started, the same for all shards.

use std::time::{Instant, UNIX_EPOCH};

/// A clock, which is read once per turn. A copy shows the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Makes a clock that shows 0 now.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The time of day at the start, milliseconds since 1970.
    pub fn epoch_ms(&self) -> u64 {
        let since = UNIX_EPOCH.elapsed().unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or_default().saturating_sub(self.now_ms()).max(1)
    }

    /// Microseconds since the start.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).expect("fewer than 2^64 µs have passed")
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }
}

//! The broker's time since the process started, the same for all shards.

use std::time::Instant;

/// Read once per turn. A copy shows the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that shows 0 now.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
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

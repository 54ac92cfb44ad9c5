//! The pace: how fast a queue delivers. It decides whether publishers are held until the queue's
//! consumers have caught up, and for how long.
//!
//! Consumers that take [`FLOW_BYTES_MIN`] in [`FLOW_WINDOW_MS`] keep up with any publisher that
//! RabbitMQ would let publish; a flood can be held until they have taken what is there. Publishers
//! are not held for slower consumers: their queue grows. A queue becomes fast after two fast
//! windows in a row, because even a slow consumer takes a whole output at once now and then. It
//! becomes slow after [`FLOW_SLOW_WINDOWS`], because even a fast consumer loses its CPU now and
//! then.
//!
//! A backlog from a time when the queue was not known to be fast shrinks: a publisher is held until
//! the backlog is shorter than at the last release, by a quarter of what has arrived since.

use crate::base::limits::{FLOW_BYTES_MIN, FLOW_SLOW_WINDOWS, FLOW_WINDOW_MS};

/// The pace of one queue.
#[derive(Debug, Default)]
pub struct Pace {
    /// Bytes delivered so far.
    delivered: u64,
    /// When the window began, milliseconds.
    began: u64,
    /// Bytes delivered before the window.
    before: u64,
    /// Whether enough was delivered in each of the last windows, the newest in the lowest bit.
    windows: u8,
    is_fast: bool,
    /// The backlog when a publisher was last released, bytes.
    backlog: u64,
}

impl Pace {
    /// Counts bytes that were delivered.
    #[inline]
    pub fn on_delivered(&mut self, bytes: usize) {
        self.delivered += bytes as u64;
    }

    /// Bytes delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether the queue delivers fast, by the windows that have ended at `now`, milliseconds.
    pub fn is_fast(&mut self, now: u64) -> bool {
        let passed = now - self.began;
        if passed >= FLOW_WINDOW_MS {
            let count = passed / FLOW_WINDOW_MS;
            self.windows = match (self.delivered - self.before) / FLOW_BYTES_MIN >= count {
                true => self.windows << 1 | 1,
                false => self.windows.checked_shl(count.min(8) as u32).unwrap_or(0),
            };
            (self.began, self.before) = (now, self.delivered);
            self.is_fast = match self.is_fast {
                true => self.windows.trailing_zeros() < FLOW_SLOW_WINDOWS,
                false => self.windows & 0b11 == 0b11,
            };
        }
        self.is_fast
    }

    /// Notes that a publisher is released while this many bytes wait.
    pub fn on_let_go(&mut self, backlog: u64) {
        self.backlog = backlog;
    }

    /// Returns the backlog at which the next held publisher is released, if this many bytes wait
    /// now.
    pub fn target(&self, backlog: u64) -> u64 {
        self.backlog.saturating_sub(backlog.saturating_sub(self.backlog) / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_fast_while_it_delivers_much() {
        let mut pace = Pace::default();
        pace.on_delivered(9 * FLOW_BYTES_MIN as usize);
        assert!(!pace.is_fast(FLOW_WINDOW_MS), "one window is none");
        pace.on_delivered(FLOW_BYTES_MIN as usize);
        assert!(!pace.is_fast(2 * FLOW_WINDOW_MS - 1), "the second one is not over");
        assert!(pace.is_fast(2 * FLOW_WINDOW_MS));
        pace.on_delivered(FLOW_BYTES_MIN as usize - 1);
        assert!(pace.is_fast(3 * FLOW_WINDOW_MS), "it was slow for one window only");
        pace.on_delivered(FLOW_BYTES_MIN as usize);
        assert!(pace.is_fast(4 * FLOW_WINDOW_MS));
        pace.on_delivered(2 * FLOW_BYTES_MIN as usize);
        assert!(!pace.is_fast(7 * FLOW_WINDOW_MS), "it took three windows");
        pace.on_delivered(9 * FLOW_BYTES_MIN as usize);
        assert!(!pace.is_fast(8 * FLOW_WINDOW_MS), "fast once does not make up for it");
    }

    #[test]
    fn each_publisher_brings_less_than_is_taken() {
        let mut pace = Pace::default();
        assert_eq!(pace.target(1_000), 0);
        pace.on_let_go(900);
        assert_eq!((pace.target(1_300), pace.target(800)), (800, 900));
        pace.on_let_go(50);
        assert_eq!(pace.target(450), 0);
    }
}

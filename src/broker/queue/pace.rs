//! How fast a queue delivers, which says whether its publishers may be held up for its consumers.
//!
//! Consumers that take [`FLOW_BYTES_MIN`] in [`FLOW_WINDOW_MS`] keep up with any publisher that RabbitMQ would let publish; what floods them can wait
//! until they have taken what is there. Slower ones are none of the publisher's business: their queue grows. Two windows in a row count, for a slow consumer
//! takes a whole output at once, now and then.

use crate::base::limits::{FLOW_BYTES_MIN, FLOW_WINDOW_MS};

/// The pace of one queue.
#[derive(Debug, Default)]
pub struct Pace {
    /// Bytes delivered so far.
    delivered: u64,
    /// When the window began, milliseconds, and what was delivered before it.
    began: u64,
    before: u64,
    /// Whether the last two windows were such, the newer one in the lowest bit.
    enough: u8,
}

impl Pace {
    /// So many bytes were delivered.
    #[inline]
    pub fn on_delivered(&mut self, bytes: usize) {
        self.delivered += bytes as u64;
    }

    /// Bytes delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether the queue has delivered fast in the last two windows that are over at `now`, milliseconds.
    pub fn is_fast(&mut self, now: u64) -> bool {
        let passed = now - self.began;
        if passed >= FLOW_WINDOW_MS {
            let is_enough = (self.delivered - self.before) / FLOW_BYTES_MIN >= passed / FLOW_WINDOW_MS;
            self.enough = self.enough << 1 & 0b10 | u8::from(is_enough);
            (self.began, self.before) = (now, self.delivered);
        }
        self.enough == 0b11
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
        assert!(!pace.is_fast(3 * FLOW_WINDOW_MS));
        pace.on_delivered(2 * FLOW_BYTES_MIN as usize);
        assert!(!pace.is_fast(6 * FLOW_WINDOW_MS), "it took three windows");
    }
}

//! The unconfirmed publishes of one channel, with the time of each: a ring by publish number.
//!
//! Invariant: every number below `low` is confirmed; a slot from `low` on has the time of its
//! publish, or 0 if that was confirmed alone.

use hdrhistogram::Histogram;

/// The ring. Numbers count from 1, as in the broker.
pub struct Confirms {
    times: Vec<u64>,
    low: u64,
    next: u64,
    outstanding: u64,
    window: u64,
}

impl Confirms {
    /// Makes a ring for at most `window` unconfirmed publishes.
    pub fn new(window: u32) -> Confirms {
        let slots = (window as usize * 2).next_power_of_two();
        Confirms { times: vec![0; slots], low: 1, next: 1, outstanding: 0, window: u64::from(window) }
    }

    /// How many messages may be published now.
    pub fn room(&self) -> u64 {
        let span = self.times.len() as u64 - (self.next - self.low);
        (self.window - self.outstanding).min(span)
    }

    /// Notes `count` publishes.
    pub fn published(&mut self, count: u64, now_ns: u64) {
        for number in self.next..self.next + count {
            let slot = self.slot(number);
            self.times[slot] = now_ns;
        }
        self.next += count;
        self.outstanding += count;
    }

    /// Takes a confirm or a nack. Returns how many publishes it concerns.
    pub fn settle(&mut self, number: u64, multiple: bool, now_ns: u64, latency: &mut Histogram<u64>) -> u64 {
        let last = number.min(self.next - 1);
        let first = if multiple { self.low } else { last.max(self.low) };
        let mut settled = 0;
        for number in first..=last {
            let slot = self.slot(number);
            let time = std::mem::take(&mut self.times[slot]);
            if time != 0 {
                latency.saturating_record(now_ns.saturating_sub(time));
                settled += 1;
            }
        }
        self.outstanding -= settled;
        while self.low < self.next && self.times[self.slot(self.low)] == 0 {
            self.low += 1;
        }
        settled
    }

    fn slot(&self, number: u64) -> usize {
        (number as usize) & (self.times.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singles_multiples_and_repeats() {
        let mut latency = Histogram::new(3).unwrap();
        let mut confirms = Confirms::new(4);
        confirms.published(4, 100);
        assert_eq!(confirms.room(), 0);
        assert_eq!(confirms.settle(2, false, 150, &mut latency), 1);
        assert_eq!(confirms.settle(2, false, 150, &mut latency), 0);
        assert_eq!(confirms.settle(3, true, 150, &mut latency), 2);
        assert_eq!((confirms.room(), confirms.outstanding, latency.len()), (3, 1, 3));
        confirms.published(3, 200);
        assert_eq!(confirms.settle(7, true, 250, &mut latency), 4);
        assert_eq!((confirms.room(), latency.max()), (4, 150));
    }
}

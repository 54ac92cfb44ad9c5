//! A tape: samples of several values over a span of time, as differences to the sample before.
//!
//! ```text
//! first values, first time │ entry │ entry │ …
//! entry: [steps since the entry before][mask of changed values][difference of each changed value]
//! ```
//!
//! All parts are variable-length integers. A sample without a change is not written at all.

use std::collections::VecDeque;

/// A step of time, and the values then.
type Sample = (u64, Box<[u64]>);

/// The samples of a subject in one resolution.
pub struct Tape {
    span_ms: u64,
    step_ms: u64,
    first: Sample,
    last: Sample,
    bytes: VecDeque<u8>,
}

impl Tape {
    /// Makes a tape with a first sample.
    pub fn new(span_ms: u64, step_ms: u64, at_ms: u64, values: &[u64]) -> Tape {
        let sample = (at_ms / step_ms, Box::from(values));
        Tape { span_ms, step_ms, first: sample.clone(), last: sample, bytes: VecDeque::new() }
    }

    /// Forgets all samples but this one.
    pub fn restart(&mut self, at_ms: u64, values: &[u64]) {
        *self = Tape::new(self.span_ms, self.step_ms, at_ms, values);
    }

    /// Whether the tape goes back that far.
    pub fn covers(&self, age_ms: u64) -> bool {
        age_ms <= self.span_ms
    }

    /// Whether its samples are all the same.
    pub fn is_still(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds a sample, unless its step has one already.
    pub fn push(&mut self, at_ms: u64, values: &[u64]) {
        let step = at_ms / self.step_ms;
        if step <= self.last.0 || values.len() != self.last.1.len() {
            return;
        }
        let mask = values.iter().zip(&self.last.1).enumerate().filter(|(_, (new, old))| new != old).fold(0, |mask, (at, _)| mask | 1 << at);
        if mask != 0 {
            put(&mut self.bytes, step - self.last.0);
            put(&mut self.bytes, mask);
            for (new, old) in values.iter().zip(&mut self.last.1).filter(|(new, old)| new != old) {
                put(&mut self.bytes, zigzag(new.wrapping_sub(*old) as i64));
                *old = *new;
            }
            self.last.0 = step;
        }
        self.forget(step.saturating_sub(self.span_ms / self.step_ms));
    }

    /// Forgets samples whose successor is as old as `step` or older.
    fn forget(&mut self, step: u64) {
        while let Some((next, len)) = self.entry(0, &self.first).filter(|((at, _), _)| *at <= step) {
            self.first = next;
            self.bytes.drain(..len);
        }
        self.bytes.shrink_to(self.bytes.len().max(64) * 2);
    }

    /// The times and values of one of the values, the oldest first.
    pub fn values(&self, value: usize) -> Vec<(u64, u64)> {
        let (mut sample, mut at) = (self.first.clone(), 0);
        let mut all = Vec::new();
        loop {
            all.push((sample.0 * self.step_ms, sample.1.get(value).copied().unwrap_or_default()));
            let Some((next, end)) = self.entry(at, &sample) else { return all };
            (sample, at) = (next, end);
        }
    }

    /// Reads the entry at a place, after this sample. Returns the sample and the entry's end.
    fn entry(&self, mut at: usize, before: &Sample) -> Option<(Sample, usize)> {
        let mut next = || {
            let (mut number, mut shift) = (0_u64, 0);
            loop {
                let byte = *self.bytes.get(at)?;
                at += 1;
                number |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return Some(number);
                }
            }
        };
        let (steps, mask) = (next()?, next()?);
        let mut values = before.1.clone();
        for (_, value) in values.iter_mut().enumerate().filter(|(at, _)| mask >> at & 1 == 1) {
            *value = value.wrapping_add(unzigzag(next()?) as u64);
        }
        Some(((before.0 + steps, values), at))
    }
}

fn put(bytes: &mut VecDeque<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push_back(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push_back(number as u8);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_and_equal_ones_take_no_memory() {
        let mut tape = Tape::new(600_000, 5_000, 0, &[1, u64::MAX]);
        for (step, sample) in [(1, [5, u64::MAX]), (2, [5, u64::MAX]), (3, [4, 0]), (4, [4, 0]), (5, [1 << 40, 7])] {
            tape.push(step * 5_000, &sample);
        }
        assert_eq!(tape.values(0), [(0, 1), (5_000, 5), (15_000, 4), (25_000, 1 << 40)]);
        assert_eq!(tape.values(1).last(), Some(&(25_000, 7)));
        let len = tape.bytes.len();
        (6..100).for_each(|step| tape.push(step * 5_000, &[1 << 40, 7]));
        assert_eq!(tape.bytes.len(), len);
    }

    #[test]
    fn old_samples_are_forgotten() {
        let mut tape = Tape::new(600_000, 5_000, 0, &[0]);
        (1..10_000).for_each(|step| tape.push(step * 5_000, &[step * 3]));
        let values = tape.values(0);
        assert_eq!((values.len(), values[0], values[120]), (121, (9_879 * 5_000, 9_879 * 3), (9_999 * 5_000, 9_999 * 3)));
        assert!(tape.memory() < 2000, "{}", tape.memory());
    }

    #[test]
    fn a_step_has_one_sample() {
        let mut tape = Tape::new(3_600_000, 60_000, 0, &[0]);
        (1..=24).for_each(|at| tape.push(at * 5_000, &[at]));
        assert_eq!(tape.values(0), [(0, 0), (60_000, 12), (120_000, 24)]);
    }
}

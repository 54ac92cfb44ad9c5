//! Numbers that are collected in any order and taken in ascending order. They are sorted one bucket
//! at a time, so that never many are sorted at once.

use std::collections::{BTreeMap, VecDeque};

/// The numbers. Once a number was looked at or taken, no number may be added that is lower than a
/// number in its bucket.
#[derive(Debug, Default)]
pub struct Ascending {
    /// The lowest bucket, sorted, or what is left of it.
    sorted: VecDeque<u64>,
    /// The other buckets, by the upper bits of their numbers.
    buckets: BTreeMap<u64, Vec<u64>>,
    len: usize,
}

impl Ascending {
    /// Adds a number.
    pub fn push(&mut self, number: u64) {
        self.buckets.entry(number >> BUCKET_BITS).or_default().push(number);
        self.len += 1;
    }

    /// Number of numbers.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The smallest number.
    pub fn first(&mut self) -> Option<u64> {
        if self.sorted.is_empty()
            && let Some((_, mut bucket)) = self.buckets.pop_first()
        {
            bucket.sort_unstable();
            self.sorted = bucket.into();
        }
        self.sorted.front().copied()
    }

    /// Removes the smallest number if it is `number`. Returns whether it was.
    pub fn take(&mut self, number: u64) -> bool {
        let is_first = self.first() == Some(number);
        if is_first {
            self.sorted.pop_front();
            self.len -= 1;
        }
        is_first
    }

    /// Removes all numbers below `number`.
    pub fn skip_to(&mut self, number: u64) {
        while self.first().is_some_and(|first| first < number) {
            let below = self.sorted.partition_point(|&one| one < number);
            self.sorted.drain(..below);
            self.len -= below;
        }
    }

    /// The numbers in the bucket of the smallest one, in order.
    pub fn first_ones(&mut self) -> impl Iterator<Item = u64> {
        self.first();
        self.sorted.iter().copied()
    }
}

/// Number of lower bits in which the numbers of a bucket may differ.
const BUCKET_BITS: u32 = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn they_come_in_order_whatever_the_order_in_which_they_went() {
        let mut rng = Rng::seeded(5);
        for range in [100, 1 << 18, u64::MAX] {
            let model: BTreeSet<u64> = (0..500).map(|_| rng.below(range)).collect();
            let mut shuffled: Vec<u64> = model.iter().copied().collect();
            shuffled.sort_unstable_by_key(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut numbers = Ascending::default();
            shuffled.into_iter().for_each(|number| numbers.push(number));
            assert_eq!(numbers.len(), model.len());
            for (at, &number) in model.iter().enumerate().filter(|(at, _)| at % 3 == 0) {
                numbers.skip_to(number);
                assert!(numbers.first_ones().zip(model.iter().skip(at)).all(|(one, &other)| one == other));
                assert!(!numbers.take(number + 1) && numbers.take(number) && !numbers.take(number));
                assert_eq!(numbers.len(), model.len() - at - 1);
            }
            numbers.skip_to(u64::MAX);
            assert!(numbers.is_empty() && numbers.first().is_none());
        }
    }
}

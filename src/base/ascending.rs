//! Numbers that are collected in any order and taken in ascending order. They are sorted bucket by bucket, when their turn comes: never many at once.

use std::collections::{BTreeMap, VecDeque};

/// The numbers. Once some have been looked at or taken, none may come that is below one of those in the same bucket.
#[derive(Debug, Default)]
pub struct Ascending {
    /// The bucket whose turn it is.
    sorted: VecDeque<u64>,
    /// The others, by what their numbers have in common.
    buckets: BTreeMap<u64, Vec<u64>>,
    len: usize,
}

impl Ascending {
    /// Adds a number.
    pub fn push(&mut self, number: u64) {
        self.buckets.entry(number >> BUCKET_BITS).or_default().push(number);
        self.len += 1;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The smallest.
    pub fn first(&mut self) -> Option<u64> {
        if self.sorted.is_empty()
            && let Some((_, mut bucket)) = self.buckets.pop_first()
        {
            bucket.sort_unstable();
            self.sorted = bucket.into();
        }
        self.sorted.front().copied()
    }

    /// Takes out the smallest if it is `number`.
    pub fn take(&mut self, number: u64) -> bool {
        let is_first = self.first() == Some(number);
        if is_first {
            self.sorted.pop_front();
            self.len -= 1;
        }
        is_first
    }

    /// Takes out those below `number`.
    pub fn skip_to(&mut self, number: u64) {
        while self.first().is_some_and(|first| first < number) {
            let below = self.sorted.partition_point(|&one| one < number);
            self.sorted.drain(..below);
            self.len -= below;
        }
    }

    /// The smallest ones in order: those of the first one's bucket.
    pub fn first_ones(&mut self) -> impl Iterator<Item = u64> {
        self.first();
        self.sorted.iter().copied()
    }
}

/// Numbers of a bucket differ in so many bits.
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

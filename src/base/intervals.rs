//! A set of numbers that mostly stand in a row, kept as the ranges that they form.

use std::collections::BTreeMap;

/// The set. Ranges neither overlap nor touch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Intervals {
    /// First number → last number.
    ranges: BTreeMap<u64, u64>,
}

impl Intervals {
    /// Adds all numbers from `first` to `last`, included.
    pub fn insert(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last);
        if let Some((&before, end)) = self.ranges.range_mut(..=first).next_back()
            && end.saturating_add(1) >= first
        {
            if *end >= last {
                return;
            }
            first = before;
        }
        while let Some((&next, &end)) = self.ranges.range(first..=last.saturating_add(1)).next() {
            self.ranges.remove(&next);
            last = last.max(end);
        }
        self.ranges.insert(first, last);
    }

    /// Whether the number is in it.
    pub fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, &last)| last >= number)
    }

    /// How many of the numbers from `first` to `last`, included, are in it.
    pub fn count_in(&self, first: u64, last: u64) -> u64 {
        self.within(first, last).map(|(from, to)| to - from + 1).sum()
    }

    /// The ranges of the numbers from `first` to `last`, included, that are in it.
    pub fn within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
        let before = self.ranges.range(..first).next_back().filter(move |&(_, &to)| to >= first);
        before.into_iter().chain(self.ranges.range(first..=last)).map(move |(&from, &to)| (from.max(first), to.min(last)))
    }

    /// Takes out all numbers below `number`, ranges that reach beyond it excepted.
    pub fn forget_below(&mut self, number: u64) {
        let above = self.ranges.split_off(&number);
        let across = self.ranges.pop_last().filter(|&(_, last)| last >= number);
        self.ranges = above;
        self.ranges.extend(across);
    }

    /// The largest number.
    pub fn last(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, &last)| last)
    }

    /// The ranges in order: first and last number.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(&first, &last)| (first, last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn it_is_a_set() {
        let mut rng = Rng::seeded(9);
        for _ in 0..200 {
            let (mut set, mut model) = (Intervals::default(), BTreeSet::new());
            for _ in 0..40 {
                let (first, len) = (rng.below(100), rng.below(8));
                set.insert(first, first + len);
                model.extend(first..=first + len);
                let (from, to) = (rng.below(60), 60 + rng.below(60));
                assert_eq!(set.count_in(from, to), model.range(from..=to).count() as u64);
            }
            assert!((0..110).all(|n| set.contains(n) == model.contains(&n)));
            assert!(set.ranges().zip(set.ranges().skip(1)).all(|((_, last), (first, _))| last + 1 < first));
            assert_eq!(set.last(), model.last().copied());
        }
    }

    #[test]
    fn the_past_is_forgotten_range_by_range() {
        let mut set = Intervals::default();
        set.insert(1, 3);
        set.insert(5, 9);
        set.forget_below(6);
        assert!(set.ranges().eq([(5, 9)]));
        set.forget_below(10);
        assert!(set.last().is_none());
        set.insert(u64::MAX, u64::MAX);
        assert!(set.contains(u64::MAX));
    }
}

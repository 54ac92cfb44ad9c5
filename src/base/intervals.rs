//! A set of numbers, most of which are consecutive.
//!
//! ```text
//! whole     ranges of complete chunks (256 numbers each)      one entry per range of any length
//! partial   chunk → 256 bits                                  incomplete chunks
//! ```
//!
//! So a million consecutive numbers take a few bytes, and a million in random order no more than a
//! few bits each: in whatever order numbers are added, the trees stay small.

use std::collections::BTreeMap;

/// The set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Intervals {
    /// Ranges of complete chunks: first chunk → last chunk. They neither overlap nor touch.
    whole: BTreeMap<u64, u64>,
    /// Chunks of which some numbers are in the set, but not all.
    partial: BTreeMap<u64, Bits>,
}

/// The numbers of one chunk that are in the set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Bits([u64; 4]);

impl Intervals {
    /// Adds all numbers from `first` to `last`, inclusive.
    pub fn insert(&mut self, first: u64, last: u64) {
        let (from, to) = (chunk(first), chunk(last));
        self.add(from, Bits::within(from, first, last));
        if from < to {
            self.add(to, Bits::within(to, first, last));
        }
        if from + 1 < to {
            while let Some((&inside, _)) = self.partial.range(from + 1..to).next() {
                self.partial.remove(&inside);
            }
            self.add_whole(from + 1, to - 1);
        }
    }

    fn add(&mut self, chunk: u64, more: Bits) {
        if self.is_whole(chunk) {
            return;
        }
        let bits = self.partial.entry(chunk).or_default();
        *bits = bits.or(more);
        if *bits == Bits::ALL {
            self.partial.remove(&chunk);
            self.add_whole(chunk, chunk);
        }
    }

    fn add_whole(&mut self, mut first: u64, mut last: u64) {
        if let Some((&before, &end)) = self.whole.range(..=first).next_back()
            && end + 1 >= first
        {
            (first, last) = (before, last.max(end));
        }
        while let Some((&next, &end)) = self.whole.range(first..=last + 1).next() {
            self.whole.remove(&next);
            last = last.max(end);
        }
        self.whole.insert(first, last);
    }

    fn is_whole(&self, chunk: u64) -> bool {
        self.whole.range(..=chunk).next_back().is_some_and(|(_, &last)| last >= chunk)
    }

    /// Whether the number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        let chunk = chunk(number);
        match self.partial.get(&chunk) {
            Some(bits) => bits.and(Bits::within(chunk, number, number)) != Bits::default(),
            None => self.is_whole(chunk),
        }
    }

    /// How many of the numbers from `first` to `last`, inclusive, are in the set.
    pub fn count_in(&self, first: u64, last: u64) -> u64 {
        let whole = self.whole_within(first, last).map(|(from, to)| to - from + 1);
        let partial = self.partial.range(chunk(first)..=chunk(last));
        whole.chain(partial.map(|(&chunk, bits)| bits.and(Bits::within(chunk, first, last)).count())).sum()
    }

    /// The ranges of numbers from `first` to `last`, inclusive, that are in the set. They neither
    /// overlap nor touch.
    pub fn within(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut push = |(from, to): (u64, u64)| match ranges.last_mut() {
            Some((_, end)) if *end + 1 == from => *end = to,
            _ => ranges.push((from, to)),
        };
        let mut whole = self.whole_within(first, last).peekable();
        for (&chunk, bits) in self.partial.range(chunk(first)..=chunk(last)) {
            while let Some(range) = whole.next_if(|&(from, _)| from < start(chunk)) {
                push(range);
            }
            bits.and(Bits::within(chunk, first, last)).runs().for_each(|(from, to)| push((start(chunk) + from, start(chunk) + to)));
        }
        whole.for_each(push);
        ranges
    }

    /// The ranges of complete chunks, cut to the numbers from `first` to `last`, inclusive.
    fn whole_within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
        let before = self.whole.range(..chunk(first)).next_back().filter(move |&(_, &to)| to >= chunk(first));
        let ranges = before.into_iter().chain(self.whole.range(chunk(first)..=chunk(last)));
        ranges.map(move |(&from, &to)| (start(from).max(first), end(to).min(last)))
    }

    /// Removes all numbers below `number`, except those in the same chunk if that is complete.
    pub fn forget_below(&mut self, number: u64) {
        let chunk = chunk(number);
        let above = self.whole.split_off(&chunk);
        let across = std::mem::replace(&mut self.whole, above).pop_last().filter(|&(_, last)| last >= chunk);
        self.whole.extend(across.map(|(_, last)| (chunk, last)));
        self.partial = self.partial.split_off(&chunk);
        if let Some(bits) = self.partial.get_mut(&chunk) {
            *bits = bits.and(Bits::within(chunk, number, u64::MAX));
            if *bits == Bits::default() {
                self.partial.remove(&chunk);
            }
        }
    }

    /// The largest number in the set.
    pub fn last(&self) -> Option<u64> {
        let whole = self.whole.last_key_value().map(|(_, &last)| end(last));
        let partial = self.partial.last_key_value().and_then(|(&chunk, bits)| Some(start(chunk) + bits.runs().last()?.1));
        whole.max(partial)
    }
}

impl Bits {
    const ALL: Bits = Bits([u64::MAX; 4]);

    /// The numbers from `first` to `last`, inclusive, that are in this chunk.
    fn within(chunk: u64, first: u64, last: u64) -> Bits {
        let (first, last) = (first.max(start(chunk)) & LOW, last.min(end(chunk)) & LOW);
        let word = |at: u64| match (first.saturating_sub(at * 64), (last + 1).saturating_sub(at * 64)) {
            (from, to) if from >= 64 || to == 0 => 0,
            (from, to) => u64::MAX << from & u64::MAX >> (64 - to.min(64)),
        };
        Bits([word(0), word(1), word(2), word(3)])
    }

    fn or(self, other: Bits) -> Bits {
        Bits(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }

    fn and(self, other: Bits) -> Bits {
        Bits(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }

    fn count(self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The numbers as ranges from 0 to 255; two of them may touch.
    fn runs(self) -> impl Iterator<Item = (u64, u64)> {
        (0..).zip(self.0).flat_map(|(at, mut word): (u64, u64)| {
            std::iter::from_fn(move || {
                let from = (word != 0).then(|| word.trailing_zeros())?;
                let len = (word >> from).trailing_ones();
                word &= u64::MAX.checked_shl(from + len).unwrap_or(0);
                Some((at * 64 + u64::from(from), at * 64 + u64::from(from + len - 1)))
            })
        })
    }
}

/// The chunk of a number.
fn chunk(number: u64) -> u64 {
    number >> 8
}

/// The first number of a chunk.
fn start(chunk: u64) -> u64 {
    chunk << 8
}

/// The last number of a chunk.
fn end(chunk: u64) -> u64 {
    start(chunk) | LOW
}

/// The bits of a number that are its index in its chunk.
const LOW: u64 = 0xff;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::rng::Rng;

    fn check(set: &Intervals, model: &BTreeSet<u64>, from: u64, to: u64) {
        assert_eq!(set.count_in(from, to), model.range(from..=to).count() as u64, "{from} to {to}");
        let ranges = set.within(from, to);
        assert!(ranges.iter().flat_map(|&(first, last)| first..=last).eq(model.range(from..=to).copied()), "{from} to {to}");
        assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|((_, last), (first, _))| last + 1 < *first));
    }

    #[test]
    fn it_is_a_set() {
        let mut rng = Rng::seeded(9);
        for round in 0..300 {
            let (mut set, mut model) = (Intervals::default(), BTreeSet::new());
            let (range, longest) = [(100, 8), (3000, 8), (3000, 900), (5000, 1)][round % 4];
            for _ in 0..60 {
                let (first, len) = (rng.below(range), rng.below(longest));
                set.insert(first, first + len);
                model.extend(first..=first + len);
                let (from, len) = (rng.below(range), rng.below(range));
                check(&set, &model, from, from + len);
                assert_eq!(set.contains(from), model.contains(&from));
                assert_eq!(set.last(), model.last().copied());
            }
            check(&set, &model, 0, u64::MAX - 1);
        }
    }

    #[test]
    fn numbers_in_any_order_become_one_range() {
        let (mut set, mut other) = (Intervals::default(), Intervals::default());
        (0..10_000).for_each(|n| set.insert(n * 7919 % 10_000, n * 7919 % 10_000));
        other.insert(0, 9_999);
        assert_eq!((set.within(0, u64::MAX), set.whole.len(), set.partial.len()), (vec![(0, 9_999)], 1, 1));
        assert_eq!(set, other);
    }

    #[test]
    fn what_is_below_is_forgotten() {
        let mut rng = Rng::seeded(10);
        for _ in 0..300 {
            let (mut set, mut model) = (Intervals::default(), BTreeSet::new());
            for _ in 0..rng.below(40) {
                let (first, len) = (rng.below(3000), rng.below(400));
                set.insert(first, first + len);
                model.extend(first..=first + len);
            }
            let number = rng.below(3500);
            let row = set.within(0, u64::MAX).into_iter().find(|&(first, last)| first < number && last >= number);
            set.forget_below(number);
            check(&set, &model, number, u64::MAX - 1);
            assert_eq!(set.count_in(0, row.map_or(number, |(first, _)| first).saturating_sub(1)), 0);
            assert!(set.within(0, number).first().is_none_or(|&(first, _)| number - first < 256));
        }
    }

    #[test]
    fn it_has_room_for_all_numbers() {
        let mut set = Intervals::default();
        set.insert(u64::MAX, u64::MAX);
        assert!(set.contains(u64::MAX) && set.last() == Some(u64::MAX));
        set.insert(3, u64::MAX);
        assert_eq!((set.within(0, u64::MAX), set.count_in(0, u64::MAX)), (vec![(3, u64::MAX)], u64::MAX - 2));
    }
}

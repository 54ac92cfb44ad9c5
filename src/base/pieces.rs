//! A map from numbers to values that is set by ranges: the last value set for a number is its
//! value.
//!
//! ```text
//! set 0..=9 a       aaaaaaaaaa
//! set 4..=5 b       aaaabbaaaa        three pieces
//! remove 8..=9      aaaabbaa
//! ```

use std::collections::BTreeMap;

/// The map. Consecutive numbers with equal values are one piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pieces<V>(BTreeMap<u64, (u64, V)>);

/// A piece: the first number, the last one, and their value.
pub type Piece<V> = (u64, u64, V);

impl<V> Default for Pieces<V> {
    fn default() -> Self {
        Pieces(BTreeMap::new())
    }
}

impl<V: Copy + PartialEq> Pieces<V> {
    /// Whether no number has a value.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of pieces.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Sets the value of the numbers from `first` to `last`.
    pub fn set(&mut self, first: u64, last: u64, value: V) {
        let follows = |(_, (end, other)): &(&u64, &(u64, V))| end.checked_add(1) == Some(first) && *other == value;
        if let Some(before) = self.0.range(..first).next_back().filter(follows).map(|(&before, _)| before)
            && self.0.range(first..).next().is_none_or(|(&next, _)| next > last)
        {
            self.0.insert(before, (last, value)); // the usual case: ranges are set in ascending order
            return;
        }
        self.remove(first, last);
        let follows = self.0.range(..first).next_back().filter(follows).map(|(&before, _)| before);
        self.0.insert(follows.unwrap_or(first), (last, value));
    }

    /// Removes the values of the numbers from `first` to `last`.
    pub fn remove(&mut self, first: u64, last: u64) {
        let before = self.0.range(..first).next_back().map(|(&begin, &piece)| (begin, piece)).filter(|(_, (end, _))| *end >= first);
        if let Some((begin, (end, value))) = before {
            self.0.insert(begin, (first - 1, value));
            if end > last {
                self.0.insert(last + 1, (end, value));
            }
        }
        while let Some((&begin, &(end, value))) = self.0.range(first..=last).next() {
            self.0.remove(&begin);
            if end > last {
                self.0.insert(last + 1, (end, value));
            }
        }
    }

    /// The value of a number.
    pub fn find(&self, number: u64) -> Option<V> {
        self.0.range(..=number).next_back().filter(|(_, (last, _))| *last >= number).map(|(_, (_, value))| *value)
    }

    /// The pieces that contain any of the numbers from `first` to `last`, uncut.
    pub fn within(&self, first: u64, last: u64) -> impl Iterator<Item = Piece<V>> {
        let begin = self.0.range(..=first).next_back().filter(|(_, (end, _))| *end >= first).map_or(first, |(&begin, _)| begin);
        self.0.range(begin..=last.max(begin)).map(|(&first, &(last, value))| (first, last, value))
    }

    /// All pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = Piece<V>> {
        self.0.iter().map(|(&first, &(last, value))| (first, last, value))
    }

    /// The last number that has a value.
    pub fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, (last, _))| *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn they_hold_what_was_said_last() {
        let (mut rng, mut pieces, mut model) = (Rng::seeded(3), Pieces::default(), BTreeMap::new());
        for _ in 0..20_000 {
            let first = rng.below(60);
            let last = first + rng.below(12);
            if rng.below(3) == 0 {
                pieces.remove(first, last);
                (first..=last).for_each(|number| _ = model.remove(&number));
            } else {
                let value = rng.below(3);
                pieces.set(first, last, value);
                (first..=last).for_each(|number| _ = model.insert(number, value));
            }
            let number = rng.below(72);
            assert_eq!(pieces.find(number), model.get(&number).copied());
            assert!(pieces.iter().flat_map(|(first, last, value)| (first..=last).map(move |n| (n, value))).eq(model.clone()));
            let some: Vec<_> = pieces.within(first, last).collect();
            assert!(some.iter().all(|&(begin, end, _)| begin <= last && end >= first) && pieces.last() == model.keys().last().copied());
        }
        pieces.remove(0, u64::MAX - 1);
        assert!(pieces.is_empty());
    }

    #[test]
    fn what_is_in_a_row_is_one_piece() {
        let mut pieces = Pieces::default();
        (0..100).for_each(|number| pieces.set(number, number, 'a'));
        assert_eq!(pieces.len(), 1);
        pieces.set(50, 50, 'b');
        pieces.remove(99, 200);
        assert!(pieces.iter().eq([(0, 49, 'a'), (50, 50, 'b'), (51, 98, 'a')]));
    }
}

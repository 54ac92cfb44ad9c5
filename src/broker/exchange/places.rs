//! A routing key of a topic exchange: its words, and sets of positions between them.

use memchr::{memchr, memchr_iter};
use smallvec::SmallVec;

/// Positions in a key, by the number of words before them.
#[derive(Clone, Default)]
pub struct Places(SmallVec<[u64; 4]>);

impl Places {
    /// Makes an empty set of positions up to `end`.
    pub fn none(end: usize) -> Places {
        Places(SmallVec::from_elem(0, end / 64 + 1))
    }

    /// Makes the set of all positions from `first` to `last`.
    pub fn from(first: usize, last: usize) -> Places {
        let bits = |at: usize| match at * 64 {
            start if start + 64 <= first || start > last => 0,
            start => u64::MAX << first.saturating_sub(start) & u64::MAX >> (start + 63).saturating_sub(last),
        };
        Places((0..=last / 64).map(bits).collect())
    }

    /// Adds a position.
    pub fn insert(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    /// Whether a position is in the set.
    pub fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }

    /// The first position; the set must not be empty.
    pub fn first(&self) -> usize {
        let at = self.0.iter().position(|&bits| bits != 0).expect("a walk is at a place");
        at * 64 + self.0[at].trailing_zeros() as usize
    }

    /// The positions directly after those that are also in `others`, if there are any; `end` is the
    /// last possible position.
    pub fn behind(&self, others: &Places, end: usize) -> Option<Places> {
        let mut carry = 0;
        let mut next = Places::none(end);
        for (to, both) in next.0.iter_mut().zip(self.0.iter().zip(&others.0).map(|(own, other)| own & other).chain([0])) {
            *to = both << 1 | carry;
            carry = both >> 63;
        }
        next.0.iter().any(|&bits| bits != 0).then_some(next)
    }
}

/// The remaining words of a key, or `None` if there are none. An empty rest is one empty word.
#[derive(Clone, Copy)]
pub struct Words<'a>(Option<&'a [u8]>);

impl<'a> Words<'a> {
    /// All words of a key.
    pub fn of(key: &'a [u8]) -> Words<'a> {
        Words((!key.is_empty()).then_some(key))
    }

    /// Number of words.
    pub fn count(self) -> usize {
        self.0.map_or(0, |rest| memchr_iter(b'.', rest).count() + 1)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let (word, rest) = match memchr(b'.', rest) {
            Some(dot) => (&rest[..dot], Some(&rest[dot + 1..])),
            None => (rest, None),
        };
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(set: &Places, end: usize) -> Vec<usize> {
        (0..=end).filter(|&place| set.has(place)).collect()
    }

    #[test]
    fn places_are_a_set_that_moves_on() {
        for end in [0, 1, 63, 64, 65, 127, 128, 300] {
            let mut some = Places::none(end);
            (0..=end).step_by(3).for_each(|place| some.insert(place));
            assert_eq!((some.first(), places(&some, end)), (0, (0..=end).step_by(3).collect()));
            let later = Places::from(end / 2, end);
            assert_eq!((later.first(), places(&later, end)), (end / 2, (end / 2..=end).collect()));
            let Some(within) = end.checked_sub(1).map(|last| Places::from(0, last)) else { continue };
            let expected: Vec<usize> = (0..end).step_by(3).map(|place| place + 1).collect();
            assert_eq!(some.behind(&within, end).map(|next| places(&next, end)), Some(expected));
            assert!(some.behind(&Places::none(end), end).is_none());
        }
    }
}

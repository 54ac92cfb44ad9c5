//! The listed consumers of a queue by priority, and the next one of the highest.
//!
//! ```text
//! ready   0b010                         bit n: a consumer with the nth priority is listed
//! ranks   [9: -] [0: c4, c1] [-3: -]    descending; a rank lasts while a consumer has it
//! ```
//!
//! Ten thousand consumers may have as many priorities. So the ranks share one table of links, whose
//! memory grows with the number of consumers and not with its product with that of priorities, and
//! the next consumer is found by bits, 64 priorities at a time.

use smallvec::SmallVec;

use crate::base::ready_list::{Links, Rotation};

/// The rotations of a queue's consumers; consumers are named by slot.
#[derive(Debug, Default)]
pub struct Rotations {
    links: Links,
    ranks: SmallVec<[Rank; 1]>,
    ready: SmallVec<[u64; 1]>,
}

#[derive(Debug)]
struct Rank {
    priority: i32,
    /// Number of consumers with this priority, listed or not.
    members: u32,
    rotation: Rotation,
}

impl Rotations {
    /// Adds a consumer with this priority, not listed yet.
    pub fn join(&mut self, priority: i32) {
        let at = self.find(priority).unwrap_or_else(|at| {
            self.ranks.insert(at, Rank { priority, members: 0, rotation: Rotation::default() });
            self.find_ready();
            at
        });
        self.ranks[at].members += 1;
    }

    /// Removes a consumer.
    pub fn leave(&mut self, priority: i32, slot: u32) {
        self.unlist(priority, slot);
        let at = self.at(priority);
        self.ranks[at].members -= 1;
        if self.ranks[at].members == 0 {
            self.ranks.remove(at);
            self.find_ready();
        }
    }

    /// The next consumer of the highest priority that has a listed consumer.
    #[inline]
    pub fn front(&self) -> Option<u32> {
        let (word, bits) = self.ready.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        self.ranks[word * BITS + bits.trailing_zeros() as usize].rotation.front()
    }

    /// Whether a consumer is listed.
    pub fn any_ready(&self) -> bool {
        self.ready.iter().any(|&bits| bits != 0)
    }

    /// Whether a listed consumer is the only listed one of its priority.
    #[inline]
    pub fn is_alone(&self, priority: i32) -> bool {
        self.ranks[self.at(priority)].rotation.is_single()
    }

    /// Lists a consumer behind the others of its priority, if it is not listed.
    #[inline]
    pub fn list(&mut self, priority: i32, slot: u32) {
        let at = self.at(priority);
        self.ranks[at].rotation.push_back(slot, &mut self.links);
        self.ready[at / BITS] |= 1 << (at % BITS);
    }

    /// Takes a consumer off the list.
    #[inline]
    pub fn unlist(&mut self, priority: i32, slot: u32) {
        let at = self.at(priority);
        let rotation = &mut self.ranks[at].rotation;
        rotation.remove(slot, &mut self.links);
        if rotation.is_empty() {
            self.ready[at / BITS] &= !(1 << (at % BITS));
        }
    }

    /// Moves the next consumer with this priority behind the others.
    #[inline]
    pub fn rotate(&mut self, priority: i32) {
        let at = self.at(priority);
        self.ranks[at].rotation.rotate(&mut self.links);
    }

    #[inline]
    fn at(&self, priority: i32) -> usize {
        self.find(priority).expect("a consumer's priority has its rank")
    }

    /// The index of the priority's rank, or the index where it belongs.
    #[inline]
    fn find(&self, priority: i32) -> Result<usize, usize> {
        if self.ranks.first().is_some_and(|rank| rank.priority == priority) {
            return Ok(0); // nearly all consumers have the same priority
        }
        self.ranks.binary_search_by(|rank| priority.cmp(&rank.priority))
    }

    /// Updates `ready` after the ranks have moved.
    fn find_ready(&mut self) {
        let bits = |ranks: &[Rank]| (0..).zip(ranks).fold(0, |bits, (n, rank)| bits | u64::from(!rank.rotation.is_empty()) << n);
        self.ready = self.ranks.chunks(BITS).map(bits).collect();
    }
}

/// Bits of a word of `ready`.
const BITS: usize = u64::BITS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_priority_is_first_wherever_its_bit_is() {
        let mut rotations = Rotations::default();
        (0..200).for_each(|n| rotations.join(n * 7 % 200 - 100));
        assert_eq!((rotations.front(), rotations.any_ready()), (None, false));
        for slot in 0..200 {
            rotations.list(slot * 7 % 200 - 100, slot.cast_unsigned());
        }
        for priority in (-100..100).rev() {
            let slot = rotations.front().expect("not all are gone");
            assert_eq!(slot.cast_signed() * 7 % 200 - 100, priority);
            if priority % 2 == 0 { rotations.leave(priority, slot) } else { rotations.unlist(priority, slot) }
        }
        assert_eq!((rotations.front(), rotations.ranks.len()), (None, 100));
    }

    #[test]
    fn memory_does_not_grow_with_the_square() {
        let mut rotations = Rotations::default();
        for slot in 0..COUNT {
            rotations.join(slot.cast_signed());
            rotations.list(slot.cast_signed(), slot);
        }
        let bytes = size_of_val(&*rotations.ranks) + size_of_val(&*rotations.ready) + rotations.links.size();
        assert!(bytes < COUNT as usize * 64, "{bytes} bytes for {COUNT} consumers");
        (0..COUNT).for_each(|slot| rotations.leave(slot.cast_signed(), slot));
        assert!(rotations.ranks.is_empty() && rotations.front().is_none());
    }

    const COUNT: u32 = 3000;
}

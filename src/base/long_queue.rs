//! A queue that may become very long: first in, first out; a push never moves the items in it.
//!
//! ```text
//!  pop ◀─ head [3 4 5 …]   blocks [… BLOCK items …] [… BLOCK items …] [9 10 11 …] ◀─ push
//! ```
//!
//! A short queue is one small buffer that grows with it. A long one is a chain of blocks of equal
//! size, so that ten million items are never copied to larger memory, which would delay everything
//! else on the shard, and memory is freed block by block.
//!
//! Invariant: items are in order in `head`, then in `blocks`; no block is empty.

use std::cmp::Ordering;
use std::collections::VecDeque;

/// A queue.
#[derive(Debug)]
pub struct LongQueue<T> {
    head: VecDeque<T>,
    blocks: VecDeque<VecDeque<T>>,
    /// Memory of an emptied block, for the next block.
    spare: VecDeque<T>,
    len: usize,
}

/// The position of an item in memory.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// 0 is `head`, n is the block n - 1.
    block: usize,
    at: usize,
}

impl<T> LongQueue<T> {
    /// Makes an empty queue; allocates nothing.
    pub const fn new() -> Self {
        LongQueue { head: VecDeque::new(), blocks: VecDeque::new(), spare: VecDeque::new(), len: 0 }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of items for which memory is allocated.
    pub fn capacity(&self) -> usize {
        self.head.capacity() + self.spare.capacity() + self.blocks.iter().map(VecDeque::capacity).sum::<usize>()
    }

    /// All items, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.head.iter().chain(self.blocks.iter().flatten())
    }

    /// The item that [`pop_front`](Self::pop_front) takes next.
    #[inline]
    pub fn front(&self) -> Option<&T> {
        self.head.front().or_else(|| self.blocks.front()?.front())
    }

    /// Appends an item.
    #[inline]
    pub fn push_back(&mut self, item: T) {
        self.len += 1;
        if self.blocks.is_empty() && self.head.len() < BLOCK {
            return self.head.push_back(item);
        }
        match self.blocks.back_mut() {
            Some(last) if last.len() < BLOCK => last.push_back(item),
            _ => self.push_block(item),
        }
    }

    /// Takes the oldest item.
    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        if self.head.is_empty() {
            self.next_block();
        }
        let item = self.head.pop_front()?;
        self.len -= 1;
        Some(item)
    }

    /// Finds the item for which `compare` returns `Equal`; the items must be in ascending order.
    pub fn find(&self, compare: impl Fn(&T) -> Ordering) -> Option<Place> {
        let block = self.blocks.partition_point(|block| block.front().is_some_and(|first| compare(first) != Ordering::Greater));
        let items = if block == 0 { &self.head } else { &self.blocks[block - 1] };
        items.binary_search_by(&compare).ok().map(|at| Place { block, at })
    }

    /// Removes the item at a position that [`find`](Self::find) has just returned. Moves a part of
    /// its block.
    pub fn remove(&mut self, Place { block, at }: Place) -> T {
        let items = if block == 0 { &mut self.head } else { &mut self.blocks[block - 1] };
        let item = items.remove(at).expect("it was found");
        if block > 0 && items.is_empty() {
            self.blocks.remove(block - 1);
        }
        self.len -= 1;
        item
    }

    #[cold]
    fn push_block(&mut self, item: T) {
        let mut block = std::mem::take(&mut self.spare);
        block.reserve_exact(BLOCK);
        block.push_back(item);
        self.blocks.push_back(block);
    }

    /// Makes the first block the head; the last head's memory becomes spare. An empty queue frees
    /// its memory.
    #[cold]
    fn next_block(&mut self) {
        match self.blocks.pop_front() {
            Some(block) => self.spare = std::mem::replace(&mut self.head, block),
            None if self.blocks.capacity() > 0 => *self = LongQueue::new(),
            None => {}
        }
    }
}

impl<T> Default for LongQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Number of items in a block.
const BLOCK: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn items_come_in_the_order_in_which_they_went() {
        let mut rng = Rng::seeded(5);
        let (mut queue, mut model) = (LongQueue::new(), VecDeque::new());
        for round in 0..60_000_u64 {
            let growing = round / 15_000 % 2 == 0;
            if rng.below(8) < if growing { 6 } else { 2 } {
                queue.push_back(round);
                model.push_back(round);
            } else {
                assert_eq!((queue.front(), queue.len()), (model.front(), model.len()));
                assert_eq!(queue.pop_front(), model.pop_front());
            }
        }
        assert!(model.len() < 20_000);
        while let Some(item) = model.pop_front() {
            assert_eq!(queue.pop_front(), Some(item));
        }
        assert!(queue.is_empty() && queue.pop_front().is_none() && queue.front().is_none());
    }

    #[test]
    fn items_are_found_and_taken_out_wherever_they_are() {
        let mut rng = Rng::seeded(6);
        let mut queue = LongQueue::new();
        (0..20_000_u64).for_each(|n| queue.push_back(n));
        let mut model: Vec<u64> = (0..20_000).collect();
        for _ in 0..15_000 {
            let wanted = rng.below(20_000);
            let found = queue.find(|item| item.cmp(&wanted)).map(|place| queue.remove(place));
            assert_eq!(found, model.binary_search(&wanted).ok().map(|at| model.remove(at)));
            if rng.below(4) == 0 {
                assert_eq!(queue.pop_front(), Some(model.remove(0)));
            }
        }
        assert_eq!(queue.len(), model.len());
        assert!(std::iter::from_fn(|| queue.pop_front()).eq(model));
    }

    #[test]
    fn memory_follows_the_length() {
        let mut queue = LongQueue::new();
        assert_eq!(queue.capacity(), 0);
        queue.push_back(0_u64);
        assert!(queue.capacity() <= 8);
        (0..100_000).for_each(|n| queue.push_back(n));
        assert!(queue.capacity() < 100_000 + 2 * BLOCK);
        (0..90_000).for_each(|_| _ = queue.pop_front());
        assert!(queue.capacity() < 10_000 + 4 * BLOCK);
        while queue.pop_front().is_some() {}
        assert_eq!(queue.capacity(), 0);
    }
}

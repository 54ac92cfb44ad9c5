//! A dense table whose keys are never stale.
//!
//! ```text
//!  slab         0:{gen 2, A}   1:(vacant)   2:{gen 0, C}    an id is (slot, generation): A: (0, 2)
//!  generations  0:2            1:5          2:0             the next value in slot 1: (1, 5)
//! ```
//!
//! The value is stored with the generation of its id, so a lookup reads one cache line: a bounds
//! check, the slab's own tag, a comparison. The second vector keeps the generation of vacant slots;
//! only `insert` and `remove` read it.
//!
//! Invariant: a slot's generation increases when its value is removed, so nothing is found by the
//! id of a removed value. (After 2^32 values in one slot an id would return; no id is kept that
//! long.) The free list is last in, first out, and nothing else decides an id: the same sequence of
//! operations gives the same ids on every shard.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use slab::Slab;

use super::ids::Key;

/// Values of type `T` by ids of type `K`, a newtype of [`Key`].
pub struct Slots<K, T> {
    live: Slab<Live<T>>,
    /// For each slot ever used: the generation of its value, or of its next value if it is vacant.
    generations: Vec<u32>,
    ids: PhantomData<fn() -> K>,
}

struct Live<T> {
    generation: u32,
    value: T,
}

impl<K: From<Key> + Into<Key> + Copy, T> Slots<K, T> {
    /// Makes an empty table; allocates nothing.
    pub const fn new() -> Self {
        Slots { live: Slab::new(), generations: Vec::new(), ids: PhantomData }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The id that the next [`insert`](Self::insert) will give out.
    pub fn next_key(&self) -> K {
        let slot = self.live.vacant_key();
        key(slot, self.generations.get(slot).copied().unwrap_or(0))
    }

    /// Adds `value` and returns its id.
    pub fn insert(&mut self, value: T) -> K {
        self.insert_with(|_| value)
    }

    /// Adds the value that `make` returns for its id.
    pub fn insert_with(&mut self, make: impl FnOnce(K) -> T) -> K {
        let id = self.next_key();
        let slot = self.live.vacant_key();
        if slot == self.generations.len() {
            self.generations.push(0);
        }
        self.live.insert(Live { generation: self.generations[slot], value: make(id) });
        id
    }

    /// The value of `id`, or `None` if it was removed.
    #[inline]
    pub fn get(&self, id: K) -> Option<&T> {
        let key: Key = id.into();
        let live = self.live.get(key.slot as usize)?;
        (live.generation == key.generation).then_some(&live.value)
    }

    /// The value of `id`, to be changed, or `None` if it was removed.
    #[inline]
    pub fn get_mut(&mut self, id: K) -> Option<&mut T> {
        let key: Key = id.into();
        let live = self.live.get_mut(key.slot as usize)?;
        (live.generation == key.generation).then_some(&mut live.value)
    }

    /// Removes the value of `id` and returns it.
    pub fn remove(&mut self, id: K) -> Option<T> {
        self.get(id)?;
        let slot = id.into().slot as usize;
        self.generations[slot] = self.generations[slot].wrapping_add(1);
        Some(self.live.remove(slot).value)
    }

    /// Whether `id` has not been given out here yet. Removed ids have been.
    pub fn is_yet_to_come(&self, id: K) -> bool {
        let key: Key = id.into();
        let occupied = self.live.contains(key.slot as usize);
        match self.generations.get(key.slot as usize) {
            Some(&generation) if occupied => key.generation > generation,
            Some(&generation) => key.generation >= generation,
            None => true,
        }
    }

    /// The id of the value that is in `slot` now.
    pub fn key_at(&self, slot: u32) -> Option<K> {
        let live = self.live.get(slot as usize)?;
        Some(key(slot as usize, live.generation))
    }

    /// Number of slots that were ever used.
    pub fn slots(&self) -> u32 {
        self.generations.len() as u32
    }

    /// All values with their ids, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.live.iter().map(|(slot, live)| (key(slot, live.generation), &live.value))
    }

    /// All values with their ids, by slot, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        self.live.iter_mut().map(|(slot, live)| (key(slot, live.generation), &mut live.value))
    }
}

impl<K: From<Key> + Into<Key> + Copy, T> Default for Slots<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

/// For ids whose values are known to exist.
impl<K: From<Key> + Into<Key> + Copy, T> Index<K> for Slots<K, T> {
    type Output = T;

    #[inline]
    fn index(&self, id: K) -> &T {
        self.get(id).expect("an id that is known to be live")
    }
}

impl<K: From<Key> + Into<Key> + Copy, T> IndexMut<K> for Slots<K, T> {
    #[inline]
    fn index_mut(&mut self, id: K) -> &mut T {
        self.get_mut(id).expect("an id that is known to be live")
    }
}

fn key<K: From<Key>>(slot: usize, generation: u32) -> K {
    let slot = u32::try_from(slot).expect("a table has fewer than 2^32 slots");
    K::from(Key { slot, generation })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::QueueId;

    fn id(slot: u32, generation: u32) -> QueueId {
        QueueId(Key { slot, generation })
    }

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut table: Slots<QueueId, &str> = Slots::new();
        let old = table.insert("old");
        assert_eq!(table.remove(old), Some("old"));
        let new = table.insert("new");
        assert_eq!((old, new), (id(0, 0), id(0, 1)));
        assert_eq!(table.get(old), None);
        assert_eq!(table.get_mut(old), None);
        assert_eq!(table.remove(old), None);
        assert_eq!(table[new], "new");
    }

    #[test]
    fn an_id_of_a_slot_beyond_the_table_finds_nothing() {
        let table: Slots<QueueId, u8> = Slots::default();
        assert_eq!(table.get(id(7, 0)), None);
        assert_eq!(table.key_at(7), None);
    }

    #[test]
    fn the_next_key_is_the_one_that_insert_gives() {
        let mut table: Slots<QueueId, QueueId> = Slots::new();
        for _ in 0..3 {
            let next = table.next_key();
            let given = table.insert_with(|id| id);
            assert_eq!((given, table[given]), (next, next));
        }
        table.remove(id(1, 0));
        assert_eq!(table.next_key(), id(1, 1));
    }

    #[test]
    fn an_id_is_live_gone_or_yet_to_come() {
        let mut table: Slots<QueueId, u8> = Slots::new();
        assert!(table.is_yet_to_come(id(0, 0)) && table.is_yet_to_come(id(9, 3)));
        table.insert(1);
        assert!(!table.is_yet_to_come(id(0, 0)) && table.is_yet_to_come(id(0, 1)));
        table.remove(id(0, 0));
        assert!(!table.is_yet_to_come(id(0, 0)) && table.is_yet_to_come(id(0, 1)));
    }

    #[test]
    fn iteration_goes_by_slot_and_skips_the_vacant() {
        let mut table: Slots<QueueId, u32> = Slots::new();
        let ids: Vec<_> = (0..4).map(|n| table.insert(n)).collect();
        table.remove(ids[1]);
        table.iter_mut().for_each(|(_, n)| *n *= 10);
        assert_eq!(table.iter().map(|(id, n)| (id, *n)).collect::<Vec<_>>(), [(ids[0], 0), (ids[2], 20), (ids[3], 30)]);
        assert_eq!((table.len(), table.is_empty()), (3, false));
        assert_eq!(table.key_at(2), Some(ids[2]));
        assert_eq!(table.key_at(1), None);
    }

    #[test]
    fn the_same_operations_give_the_same_ids() {
        let run = || {
            let mut table: Slots<QueueId, u32> = Slots::new();
            let mut given = Vec::new();
            for n in 0..200_u32 {
                given.push(table.insert(n));
                if n % 3 == 0 {
                    table.remove(given[(n / 2) as usize]);
                }
            }
            given
        };
        assert_eq!(run(), run());
    }

    #[test]
    #[should_panic(expected = "known to be live")]
    fn indexing_with_a_stale_id_panics() {
        let mut table: Slots<QueueId, u8> = Slots::new();
        let gone = table.insert(1);
        table.remove(gone);
        let _ = table[gone];
    }
}

//! A rotation of slot numbers: each slot at most once, every operation in constant time.
//!
//! ```text
//!  head 3 -> 0 -> 5 tail       links   0:(3,5)  1:absent  2:absent  3:(end,0)  4:absent  5:(0,end)
//! ```
//!
//! A doubly linked list whose links are in a vector by slot number, so the neighbours of a slot are
//! found without a search. A queue rotates its ready consumers with it (it takes the front and puts
//! it at the back; the rotations of its priorities share their links, see [`Rotation`]), and a
//! shard lists its dirty queues and connections.
//!
//! Invariant: following `next` from `head` and `prev` from `tail` visits the same slots; the links
//! of every other slot are absent.

/// A rotation with its own links. Its memory grows to the largest slot number ever put in, 8 bytes
/// each.
#[derive(Clone, Debug, Default)]
pub struct ReadyList {
    rotation: Rotation,
    links: Links,
}

/// One of several rotations that share their links: a slot is in at most one of them, and the
/// caller knows in which.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    head: u32,
    tail: u32,
}

/// The neighbours of each slot in its rotation.
#[derive(Clone, Debug, Default)]
pub struct Links(Vec<Link>);

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
}

impl ReadyList {
    /// Whether no slot is in it.
    pub fn is_empty(&self) -> bool {
        self.rotation.is_empty()
    }

    /// Whether `slot` is in it.
    #[inline]
    pub fn contains(&self, slot: u32) -> bool {
        self.links.contains(slot)
    }

    /// The first slot.
    #[inline]
    pub fn front(&self) -> Option<u32> {
        self.rotation.front()
    }

    /// Puts `slot` at the back, unless it is in already. Returns whether it was put in.
    pub fn push_back(&mut self, slot: u32) -> bool {
        self.rotation.push_back(slot, &mut self.links)
    }

    /// Removes the first slot.
    #[inline]
    pub fn pop_front(&mut self) -> Option<u32> {
        self.rotation.pop_front(&mut self.links)
    }

    /// Moves the first slot to the back and returns it.
    #[inline]
    pub fn rotate(&mut self) -> Option<u32> {
        self.rotation.rotate(&mut self.links)
    }

    /// Removes `slot` from wherever it is. Returns whether it was in.
    pub fn remove(&mut self, slot: u32) -> bool {
        self.rotation.remove(slot, &mut self.links)
    }

    /// All slots, from the first to the last.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let next = |&slot: &u32| standing(self.links.0[slot as usize].next);
        std::iter::successors(self.front(), next)
    }
}

impl Rotation {
    /// Whether no slot is in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == END
    }

    /// Whether exactly one slot is in it.
    #[inline]
    pub fn is_single(&self) -> bool {
        self.head == self.tail && self.head != END
    }

    /// The first slot.
    #[inline]
    pub fn front(&self) -> Option<u32> {
        standing(self.head)
    }

    /// Puts `slot` at the back, unless it is in already. Returns whether it was put in.
    pub fn push_back(&mut self, slot: u32, links: &mut Links) -> bool {
        assert!(slot < ABSENT, "the two highest numbers are marks");
        let new = !links.contains(slot);
        if new {
            links.make(slot);
            self.link_back(slot, links);
        }
        new
    }

    /// Removes the first slot.
    #[inline]
    pub fn pop_front(&mut self, links: &mut Links) -> Option<u32> {
        let slot = self.front()?;
        self.unlink(slot, links);
        Some(slot)
    }

    /// Moves the first slot to the back and returns it.
    #[inline]
    pub fn rotate(&mut self, links: &mut Links) -> Option<u32> {
        if self.is_single() {
            return Some(self.head);
        }
        let slot = self.pop_front(links)?;
        self.link_back(slot, links);
        Some(slot)
    }

    /// Removes `slot` from wherever it is. Returns whether it was in.
    pub fn remove(&mut self, slot: u32, links: &mut Links) -> bool {
        let present = links.contains(slot);
        if present {
            self.unlink(slot, links);
        }
        present
    }

    #[inline]
    fn link_back(&mut self, slot: u32, links: &mut Links) {
        let prev = self.tail;
        links.0[slot as usize] = Link { prev, next: END };
        *self.next_of(prev, links) = slot;
        self.tail = slot;
    }

    #[inline]
    fn unlink(&mut self, slot: u32, links: &mut Links) {
        let Link { prev, next } = std::mem::replace(&mut links.0[slot as usize], NOT_IN);
        *self.next_of(prev, links) = next;
        *self.prev_of(next, links) = prev;
    }

    /// The link to the slot after `slot`; that of `END` is the head.
    fn next_of<'l>(&'l mut self, slot: u32, links: &'l mut Links) -> &'l mut u32 {
        if slot == END { &mut self.head } else { &mut links.0[slot as usize].next }
    }

    /// The link to the slot before `slot`; that of `END` is the tail.
    fn prev_of<'l>(&'l mut self, slot: u32, links: &'l mut Links) -> &'l mut u32 {
        if slot == END { &mut self.tail } else { &mut links.0[slot as usize].prev }
    }
}

/// Makes an empty rotation.
impl Default for Rotation {
    fn default() -> Self {
        Rotation { head: END, tail: END }
    }
}

impl Links {
    /// Whether `slot` is in one of the rotations.
    #[inline]
    pub fn contains(&self, slot: u32) -> bool {
        self.0.get(slot as usize).is_some_and(|link| link.prev != ABSENT)
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        size_of_val(&*self.0)
    }

    fn make(&mut self, slot: u32) {
        let needed = slot as usize + 1;
        if self.0.len() < needed {
            self.0.resize(needed, NOT_IN);
        }
    }
}

fn standing(slot: u32) -> Option<u32> {
    (slot != END).then_some(slot)
}

/// The neighbour before the first slot and after the last.
const END: u32 = u32::MAX;
/// Both neighbours of a slot that is in no rotation.
const ABSENT: u32 = u32::MAX - 1;
const NOT_IN: Link = Link { prev: ABSENT, next: ABSENT };

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::base::rng::Rng;

    fn list(slots: &[u32]) -> ReadyList {
        let mut list = ReadyList::default();
        slots.iter().for_each(|&slot| assert!(list.push_back(slot)));
        list
    }

    #[test]
    fn turns_go_round_in_strict_order() {
        let mut ready = list(&[3, 0, 5]);
        let turns: Vec<_> = (0..7).filter_map(|_| ready.rotate()).collect();
        assert_eq!(turns, [3, 0, 5, 3, 0, 5, 3]);
    }

    #[test]
    fn who_is_in_keeps_its_place() {
        let mut ready = list(&[3, 0, 5]);
        assert!(!ready.push_back(3));
        assert_eq!(ready.iter().collect::<Vec<_>>(), [3, 0, 5]);
    }

    #[test]
    fn the_last_one_out_leaves_it_empty() {
        let mut ready = list(&[2]);
        assert_eq!((ready.rotate(), ready.remove(2), ready.remove(2)), (Some(2), true, false));
        assert_eq!((ready.is_empty(), ready.front(), ready.pop_front(), ready.rotate()), (true, None, None, None));
        assert!(!ready.contains(9) && !ready.remove(9));
    }

    #[test]
    fn rotations_over_the_same_links_do_not_mix() {
        let (mut links, mut odd, mut even) = (Links::default(), Rotation::default(), Rotation::default());
        for slot in 0..6 {
            let rotation = if slot % 2 == 0 { &mut even } else { &mut odd };
            assert!(rotation.push_back(slot, &mut links));
        }
        assert!(odd.remove(3, &mut links) && !links.contains(3));
        let turns: Vec<_> = (0..3).filter_map(|_| odd.rotate(&mut links)).collect();
        assert_eq!((turns, even.pop_front(&mut links)), (vec![1, 5, 1], Some(0)));
        assert_eq!((odd.front(), even.front(), odd.is_single()), (Some(5), Some(2), false));
    }

    #[test]
    fn it_behaves_like_a_deque() {
        for seed in 0..20 {
            run_against_model(&mut Rng::seeded(seed));
        }
    }

    fn run_against_model(rng: &mut Rng) {
        let (mut ready, mut model) = (ReadyList::default(), VecDeque::new());
        for _ in 0..2000 {
            let slot = u32::try_from(rng.below(12)).expect("below 12");
            let present = model.contains(&slot);
            match rng.below(5) {
                0 | 1 => {
                    assert_eq!(ready.push_back(slot), !present);
                    model.extend((!present).then_some(slot));
                }
                2 => assert_eq!(ready.pop_front(), model.pop_front()),
                3 => {
                    assert_eq!(ready.remove(slot), present);
                    model.retain(|&other| other != slot);
                }
                _ => {
                    assert_eq!(ready.rotate(), model.front().copied());
                    model.rotate_left(usize::from(!model.is_empty()));
                }
            }
            assert!(ready.iter().eq(model.iter().copied()));
            assert_eq!((ready.front(), ready.is_empty()), (model.front().copied(), model.is_empty()));
            assert!((0..12).all(|slot| ready.contains(slot) == model.contains(&slot)));
        }
    }
}

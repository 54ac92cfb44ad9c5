//! A rotation of slot numbers: who is next, each at most once, all in constant time.
//!
//! ```text
//!  head 3 -> 0 -> 5 tail        links   0:(3,5)  1:absent  2:absent  3:(end,0)  4:absent  5:(0,end)
//! ```
//!
//! A doubly linked list whose links stand in a vector by slot number, so a slot finds its neighbours without a search. A queue
//! turns its ready consumers with it (take the front, put it at the back), a shard remembers its dirty queues and connections.
//!
//! Invariant: following `next` from `head` and `prev` from `tail` visits the same slots; every other slot's links are absent.

/// The rotation. Memory grows to the largest slot number ever put in, 8 bytes each.
#[derive(Clone, Debug)]
pub struct ReadyList {
    head: u32,
    tail: u32,
    links: Vec<Link>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
}

impl ReadyList {
    /// An empty rotation; allocates nothing.
    pub const fn new() -> Self {
        ReadyList { head: END, tail: END, links: Vec::new() }
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.head == END
    }

    /// Whether exactly one is in.
    #[inline]
    pub fn is_single(&self) -> bool {
        self.head == self.tail && self.head != END
    }

    /// Whether `slot` is in.
    #[inline]
    pub fn contains(&self, slot: u32) -> bool {
        self.links.get(slot as usize).is_some_and(|link| link.prev != ABSENT)
    }

    /// Who is next, left where it is.
    #[inline]
    pub fn front(&self) -> Option<u32> {
        standing(self.head)
    }

    /// Puts `slot` at the back, unless it is in already: then it keeps its place. Returns whether it is new.
    pub fn push_back(&mut self, slot: u32) -> bool {
        assert!(slot < ABSENT, "the two highest numbers are marks");
        let new = !self.contains(slot);
        if new {
            self.make_link(slot);
            self.link_back(slot);
        }
        new
    }

    /// Takes out who is next.
    #[inline]
    pub fn pop_front(&mut self) -> Option<u32> {
        let slot = self.front()?;
        self.unlink(slot);
        Some(slot)
    }

    /// Moves who is next to the back and returns it.
    #[inline]
    pub fn rotate(&mut self) -> Option<u32> {
        let slot = self.pop_front()?;
        self.link_back(slot);
        Some(slot)
    }

    /// Takes `slot` out, wherever it stands. Returns whether it was in.
    pub fn remove(&mut self, slot: u32) -> bool {
        let present = self.contains(slot);
        if present {
            self.unlink(slot);
        }
        present
    }

    /// Everyone, from the next to the last.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let next = |&slot: &u32| standing(self.links[slot as usize].next);
        std::iter::successors(self.front(), next)
    }

    fn make_link(&mut self, slot: u32) {
        let needed = slot as usize + 1;
        if self.links.len() < needed {
            self.links.resize(needed, NOT_IN);
        }
    }

    fn link_back(&mut self, slot: u32) {
        let prev = self.tail;
        self.links[slot as usize] = Link { prev, next: END };
        *self.next_of(prev) = slot;
        self.tail = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Link { prev, next } = std::mem::replace(&mut self.links[slot as usize], NOT_IN);
        *self.next_of(prev) = next;
        *self.prev_of(next) = prev;
    }

    /// Where the follower of `slot` is noted; the end's follower is the head.
    fn next_of(&mut self, slot: u32) -> &mut u32 {
        if slot == END { &mut self.head } else { &mut self.links[slot as usize].next }
    }

    /// Where the one before `slot` is noted; before the end comes the tail.
    fn prev_of(&mut self, slot: u32) -> &mut u32 {
        if slot == END { &mut self.tail } else { &mut self.links[slot as usize].prev }
    }
}

impl Default for ReadyList {
    fn default() -> Self {
        Self::new()
    }
}

fn standing(slot: u32) -> Option<u32> {
    (slot != END).then_some(slot)
}

/// The neighbour of the first and of the last.
const END: u32 = u32::MAX;
/// Both neighbours of who is not in.
const ABSENT: u32 = u32::MAX - 1;
const NOT_IN: Link = Link { prev: ABSENT, next: ABSENT };

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::base::rng::Rng;

    fn list(slots: &[u32]) -> ReadyList {
        let mut list = ReadyList::new();
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
    fn it_behaves_like_a_deque() {
        for seed in 0..20 {
            run_against_model(&mut Rng::seeded(seed));
        }
    }

    fn run_against_model(rng: &mut Rng) {
        let (mut ready, mut model) = (ReadyList::new(), VecDeque::new());
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

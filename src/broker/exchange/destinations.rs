//! A set of destinations that counts how many bindings lead to each: read as a slice, changed in
//! constant time.
//!
//! Nearly every set has one element and needs no allocation. A set of 100,000 queues also has an
//! index, so that it need not be searched once for each of 100,000 closing connections.
//!
//! Invariant: each destination is in `list` once, with a count above 0; if there is an index, it
//! has the position of each.

use smallvec::SmallVec;

use super::Dest;
use crate::base::hash::Map;

/// The destinations of one binding key, or of all bindings.
#[derive(Default)]
pub struct Destinations {
    list: SmallVec<[Counted; 1]>,
    index: Option<Box<Map<Dest, usize>>>,
}

#[derive(Clone, Copy)]
struct Counted {
    dest: Dest,
    bindings: u32,
}

impl Destinations {
    /// Whether there is no destination.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of destinations.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Each destination once.
    pub fn iter(&self) -> impl Iterator<Item = Dest> {
        self.list.iter().map(|counted| counted.dest)
    }

    /// Counts another binding to `dest`.
    pub fn add(&mut self, dest: Dest) {
        match self.position(dest) {
            Some(at) => self.list[at].bindings += 1,
            None => self.push(dest),
        }
    }

    /// Removes a binding to `dest`, which must be in the set.
    pub fn remove(&mut self, dest: Dest) {
        let at = self.position(dest).expect("a binding that is removed exists");
        self.list[at].bindings -= 1;
        if self.list[at].bindings == 0 {
            self.swap_remove(at);
        }
    }

    fn position(&self, dest: Dest) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(&dest).copied(),
            None => self.list.iter().position(|counted| counted.dest == dest),
        }
    }

    fn push(&mut self, dest: Dest) {
        if let Some(index) = &mut self.index {
            index.insert(dest, self.list.len());
        }
        self.list.push(Counted { dest, bindings: 1 });
        if self.index.is_none() && self.list.len() > SEARCHED_MAX {
            self.index = Some(Box::new(self.iter().enumerate().map(|(at, dest)| (dest, at)).collect()));
        }
    }

    fn swap_remove(&mut self, at: usize) {
        let gone = self.list.swap_remove(at);
        if let Some(index) = &mut self.index {
            index.remove(&gone.dest);
            if let Some(moved) = self.list.get(at) {
                index.insert(moved.dest, at);
            }
        }
    }
}

/// Up to this number of destinations, searching the list is faster than an index.
const SEARCHED_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::broker::exchange::tests::queue;

    #[test]
    fn it_counts_like_a_naive_multiset() {
        let mut rng = Rng::seeded(3);
        let (mut set, mut model) = (Destinations::default(), vec![0u32; 80]);
        for round in 0..4000 {
            let n = rng.below(80) as usize;
            let growing = round / 500 % 2 == 0;
            if model[n] > 0 && rng.below(4) < if growing { 1 } else { 3 } {
                model[n] -= 1;
                set.remove(queue(n as u32));
            } else {
                model[n] += 1;
                set.add(queue(n as u32));
            }
            let mut found = [0; 80];
            set.iter().for_each(|dest| found[slot(dest)] += 1);
            let expected: [u32; 80] = std::array::from_fn(|n| model[n].min(1));
            assert_eq!(found, expected);
        }
    }

    fn slot(dest: Dest) -> usize {
        match dest {
            Dest::Queue(addr) => addr.queue.0.slot as usize,
            Dest::Exchange(_) => unreachable!("only queues were added"),
        }
    }
}

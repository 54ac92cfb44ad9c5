//! The destinations of an exchange that gives each message to one of them, in an order that is the
//! same on every shard and after every restart.
//!
//! Ids of queues are new after a restart, so the order is that of the destinations' *identities*:
//! fixed hashes of their kind and name. (If the identities of two destinations collide, which
//! happens to one pair of 2^64, their ids decide.)
//!
//! Invariant: the list is sorted and has each destination once, with the weights of its bindings,
//! smallest first, at least one.

use smallvec::SmallVec;

use super::Dest;

/// The destinations.
#[derive(Default)]
pub struct Members(Vec<Member>);

/// One destination.
pub struct Member {
    /// Its identity across restarts.
    pub identity: u64,
    /// The destination itself.
    pub dest: Dest,
    weights: SmallVec<[u16; 4]>,
}

impl Members {
    /// Adds a binding of this weight to `dest`.
    pub fn add(&mut self, dest: Dest, identity: u64, weight: u16) {
        match self.place(dest, identity) {
            Ok(at) => {
                let weights = &mut self.0[at].weights;
                weights.insert(weights.partition_point(|&other| other < weight), weight);
            }
            Err(at) => self.0.insert(at, Member { identity, dest, weights: SmallVec::from_slice(&[weight]) }),
        }
    }

    /// Removes a binding of this weight to `dest`, which must exist.
    pub fn remove(&mut self, dest: Dest, identity: u64, weight: u16) {
        let at = self.place(dest, identity).expect("a binding that is removed exists");
        let weights = &mut self.0[at].weights;
        let place = weights.binary_search(&weight).expect("the binding had a weight");
        weights.remove(place);
        if weights.is_empty() {
            self.0.remove(at);
        }
    }

    /// All destinations, in order.
    pub fn list(&self) -> &[Member] {
        &self.0
    }

    fn place(&self, dest: Dest, identity: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&(identity, dest), |member| (member.identity, member.dest))
    }
}

impl Member {
    /// The destination's weight: that of its heaviest binding.
    pub fn weight(&self) -> u16 {
        *self.weights.last().expect("a destination has a binding")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::broker::exchange::tests::queue;

    #[test]
    fn they_are_a_sorted_multiset() {
        let mut rng = Rng::seeded(11);
        let (mut members, mut model) = (Members::default(), Vec::<(u64, u32, u16)>::new());
        for _ in 0..4000 {
            if model.is_empty() || rng.below(5) < 3 && model.len() < 60 {
                // Eight queues have the same identity.
                let n = rng.below(32) as u32;
                let (identity, weight) = (u64::from(n / 8), rng.below(4) as u16 + 1);
                members.add(queue(n), identity, weight);
                model.push((identity, n, weight));
            } else {
                let (identity, n, weight) = model.swap_remove(rng.below(model.len() as u64) as usize);
                members.remove(queue(n), identity, weight);
            }
            let mut expected: Vec<_> = model.clone();
            expected.sort_unstable_by_key(|&(identity, n, weight)| (identity, n, std::cmp::Reverse(weight)));
            expected.dedup_by_key(|(_, n, _)| *n);
            let found = members.list().iter().map(|member| (member.identity, member.dest, member.weight()));
            assert!(found.eq(expected.into_iter().map(|(identity, n, weight)| (identity, queue(n), weight))));
        }
    }
}

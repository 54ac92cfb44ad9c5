//! The exchange type `x-modulus-hash`: a hash of all routing keys of a message, modulo the number
//! of destinations, chooses one of them.
//!
//! It is cheaper than [`ConsistentHash`](super::ConsistentHash), but nearly every key moves when a
//! destination is bound or unbound. RabbitMQ does the same with Erlang's own hash and order, so the
//! same key may lead to another queue there.

use super::Dest;
use super::members::Members;
use crate::base::hash;

/// The destinations in their order.
#[derive(Default)]
pub struct ModulusHash(Members);

impl ModulusHash {
    /// Adds a binding.
    pub fn bind(&mut self, dest: Dest, identity: u64) {
        self.0.add(dest, identity, WEIGHT);
    }

    /// Removes a binding, which must exist.
    pub fn unbind(&mut self, dest: Dest, identity: u64) {
        self.0.remove(dest, identity, WEIGHT);
    }

    /// The destination of a message with these routing keys.
    pub fn matching<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> Option<Dest> {
        let members = self.0.list();
        let hashed = keys.fold(0, |before, key| hash::mixed(before) ^ hash::fixed(key));
        let at = hashed.checked_rem(members.len() as u64)?;
        Some(members[at as usize].dest)
    }
}

/// The weight of every binding.
const WEIGHT: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::exchange::tests::queue;

    fn chosen(exchange: &ModulusHash, keys: &[&str]) -> Option<Dest> {
        exchange.matching(keys.iter().map(|key| key.as_bytes()))
    }

    #[test]
    fn keys_are_spread_over_all_and_all_of_them_count() {
        let mut exchange = ModulusHash::default();
        assert_eq!(chosen(&exchange, &["a"]), None);
        (0..10).for_each(|n| exchange.bind(queue(n), 77 * u64::from(n)));
        exchange.bind(queue(3), 77 * 3);
        let mut counts = [0; 10];
        for key in 0..10_000 {
            let dest = chosen(&exchange, &[&key.to_string()]).expect("there are queues");
            counts[(0..10).find(|&n| queue(n) == dest).expect("one of ten") as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        let copies: Vec<_> = (0..50).map(|n| chosen(&exchange, &["k", &format!("copy-{n}")])).collect();
        assert!(copies.iter().any(|dest| *dest != copies[0]));
        exchange.unbind(queue(3), 77 * 3);
        assert!((0..200).any(|key| chosen(&exchange, &[&key.to_string()]) == Some(queue(3))), "it is bound once more");
    }
}

//! The exchange types `x-random` and `x-local-random`: each message goes to one destination, chosen
//! at random.
//!
//! In RabbitMQ, `x-local-random` saves the way to another node: it chooses among the queues on the
//! publisher's own node. RingMQ's nodes are shards: it chooses among the queues of the publisher's
//! shard, or among all if that has none. (RabbitMQ drops the message then. There, applications
//! connect a publisher to the node of its queue; here they cannot choose the shard of a
//! connection.)

use super::{Dest, Destinations};
use crate::base::ids::ShardId;
use crate::base::rng::Rng;

/// The means of random choices.
pub struct Chance<'r> {
    /// The random source.
    pub rng: &'r mut Rng,
    /// The publisher's shard.
    pub here: ShardId,
}

/// All bindings, whatever their keys.
#[derive(Default)]
pub struct Random {
    destinations: Destinations,
    prefers_local: bool,
}

impl Random {
    /// Makes the empty table of `x-local-random`, which prefers queues on the publisher's shard.
    pub fn local() -> Random {
        Random { prefers_local: true, ..Random::default() }
    }

    /// Whether it is `x-local-random`.
    pub fn is_local(&self) -> bool {
        self.prefers_local
    }

    /// Adds a binding.
    pub fn bind(&mut self, dest: Dest) {
        self.destinations.add(dest);
    }

    /// Removes a binding, which must exist.
    pub fn unbind(&mut self, dest: Dest) {
        self.destinations.remove(dest);
    }

    /// Chooses a destination.
    pub fn matching(&self, chance: &mut Chance<'_>) -> Option<Dest> {
        let here = chance.here;
        let is_local = |dest: &Dest| matches!(dest, Dest::Queue(queue) if queue.home == here);
        let local = if self.prefers_local { self.destinations.iter().filter(is_local).count() } else { 0 };
        match (local, self.destinations.len()) {
            (0, 0) => None,
            (0, all) => self.destinations.iter().nth(below(chance, all)),
            (local, _) => self.destinations.iter().filter(is_local).nth(below(chance, local)),
        }
    }
}

fn below(chance: &mut Chance<'_>, count: usize) -> usize {
    chance.rng.below(count as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueAddr, QueueId};

    fn queue(home: u16, slot: u32) -> Dest {
        Dest::Queue(QueueAddr { home: ShardId(home), queue: QueueId(Key { slot, generation: 0 }) })
    }

    /// How often each of six queues is chosen of 6,000 times. Three each live on shards 0 and 1,
    /// and the publisher is on `here`.
    fn counts(mut exchange: Random, here: u16) -> [usize; 6] {
        let queues: [Dest; 6] = std::array::from_fn(|n| queue(n as u16 / 3, n as u32));
        queues.iter().for_each(|&dest| exchange.bind(dest));
        let mut rng = Rng::seeded(5);
        let mut chance = Chance { rng: &mut rng, here: ShardId(here) };
        let chosen: Vec<Dest> = (0..6000).filter_map(|_| exchange.matching(&mut chance)).collect();
        queues.map(|dest| chosen.iter().filter(|other| **other == dest).count())
    }

    #[test]
    fn chance_is_fair() {
        assert!(counts(Random::default(), 0).iter().all(|count| (900..1100).contains(count)));
    }

    #[test]
    fn queues_of_the_publisher_s_shard_are_preferred() {
        let [a, b, c, rest @ ..] = counts(Random::local(), 0);
        assert!([a, b, c].iter().all(|count| (1850..2150).contains(count)) && rest == [0; 3]);
        assert!(counts(Random::local(), 7).iter().all(|count| (900..1100).contains(count)), "none lives there");
        assert_eq!(Random::local().matching(&mut Chance { rng: &mut Rng::seeded(1), here: ShardId(0) }), None);
    }
}

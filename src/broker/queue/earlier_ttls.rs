//! The TTLs that a queue has given to its messages before a policy changed it.
//!
//! As in RabbitMQ, a message keeps the TTL that its queue had when the message arrived, whatever
//! policies say later. A queue remembers which TTL it had up to which places; most queues never
//! have more than one TTL. (A restart forgets this: then the TTL of the policies at that time
//! applies to all messages.)

use crate::contract::split_place;

/// Earlier TTLs, the oldest first.
#[derive(Default, Debug)]
pub struct EarlierTtls(Vec<Earlier>);

#[derive(Debug)]
struct Earlier {
    /// The first place of each level that had another TTL.
    until: Vec<u64>,
    ttl: Option<u64>,
}

impl EarlierTtls {
    /// Notes that messages before these places, one per level, had this TTL. After too many
    /// changes, the oldest ones are forgotten.
    pub fn push(&mut self, until: Vec<u64>, ttl: Option<u64>) {
        if self.0.len() == CHANGES_MAX {
            self.0.remove(0);
        }
        self.0.push(Earlier { until, ttl });
    }

    /// The TTL that the message at this place was given, if that is not the present one.
    pub fn find(&self, place: u64) -> Option<Option<u64>> {
        let is_before = |until: &u64| split_place(*until).0 == split_place(place).0 && place < *until;
        self.0.iter().find(|earlier| earlier.until.iter().any(is_before)).map(|earlier| earlier.ttl)
    }

    /// Whether the queue had no other TTL before.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// This many changes are remembered.
const CHANGES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::place;

    #[test]
    fn a_message_has_what_it_was_given() {
        let mut earlier = EarlierTtls::default();
        assert!(earlier.is_empty() && earlier.find(place(0, 0)).is_none());
        earlier.push(vec![place(0, 5)], None);
        earlier.push(vec![place(0, 9), place(3, 2)], Some(100));
        let found = [(0, 0), (0, 4), (0, 5), (0, 8), (0, 9), (3, 1), (3, 2), (7, 0)].map(|(level, at)| earlier.find(place(level, at)));
        let (none, hundred) = (Some(None), Some(Some(100)));
        assert_eq!(found, [none, none, hundred, hundred, None, hundred, None, None]);
    }

    #[test]
    fn too_many_changes_are_forgotten() {
        let mut earlier = EarlierTtls::default();
        (0..100).for_each(|at| earlier.push(vec![place(0, at + 1)], Some(at)));
        assert_eq!(earlier.0.len(), CHANGES_MAX);
        assert_eq!((earlier.find(place(0, 99)), earlier.find(place(0, 0))), (Some(Some(99)), Some(Some(84))));
    }
}

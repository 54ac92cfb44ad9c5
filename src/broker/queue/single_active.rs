//! The single active consumer: which one has its turn, if one consumer is served at a time (row
//! S8).
//!
//! ```text
//! active    c2                       the only one that is served
//! waiting   (5: c7)  (0: c1, c4)     the others: higher priority first, then the earlier one
//! departed  c9, 3                    the active one's channel ended: its 3 unsettled messages come
//!                                    back before the next one is served
//! ```
//!
//! In a quorum queue, a consumer of higher priority takes over: at once, or, if the active consumer
//! has unsettled messages, once it has settled them all. Until then the active consumer *yields*:
//! it gets no more messages. In a classic queue, the consumer of higher priority waits like the
//! others.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::base::ids::ConsumerId;

/// A consumer's rank: its priority, its number in the order of arrival, and its id.
type Place = (Reverse<i32>, u64, ConsumerId);

/// The consumers of one queue, and the order in which they become active.
#[derive(Debug)]
pub struct SingleActive {
    takes_over: bool,
    active: Option<Place>,
    yields: bool,
    waiting: BTreeSet<Place>,
    departed: Option<(ConsumerId, u32)>,
    joined: u64,
}

impl SingleActive {
    /// Makes an empty order. `takes_over`: a consumer of higher priority does not wait.
    pub fn new(takes_over: bool) -> SingleActive {
        SingleActive { takes_over, active: None, yields: false, waiting: BTreeSet::new(), departed: None, joined: 0 }
    }

    /// Adds a consumer.
    pub fn join(&mut self, id: ConsumerId, priority: i32) {
        self.waiting.insert((Reverse(priority), self.joined, id));
        self.joined += 1;
    }

    /// Number of consumers that have joined so far.
    pub fn joined(&self) -> u64 {
        self.joined
    }

    /// Removes a consumer, of which `expected` messages will come back.
    pub fn remove(&mut self, id: ConsumerId, priority: i32, joined: u64, expected: u32) {
        let place = (Reverse(priority), joined, id);
        if self.active.take_if(|active| *active == place).is_some() {
            self.yields = false;
            self.departed = (expected > 0).then_some((id, expected));
        }
        self.waiting.remove(&place);
    }

    /// Notes that messages of a consumer that is gone have come back.
    pub fn on_back(&mut self, id: ConsumerId, count: u32) {
        if let Some((departed, expected)) = &mut self.departed
            && *departed == id
        {
            *expected = expected.saturating_sub(count);
            self.departed.take_if(|(_, expected)| *expected == 0);
        }
    }

    /// Number of consumers that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the consumer may get messages: it is active and does not yield.
    pub fn is_served(&self, id: ConsumerId) -> bool {
        !self.yields && self.active() == Some(id)
    }

    /// The active consumer.
    pub fn active(&self) -> Option<ConsumerId> {
        self.active.map(|active| active.2)
    }

    /// Decides which consumer is active. `unsettled`: the number of messages that the active
    /// consumer has not settled.
    pub fn elect(&mut self, unsettled: u32) {
        let Some(first) = self.waiting.first().copied().filter(|_| self.departed.is_none()) else {
            self.yields &= unsettled > 0;
            return;
        };
        let Some(active) = self.active else { return self.activate(first) };
        let is_due = self.takes_over && first.0 < active.0;
        self.yields = unsettled > 0 && (self.yields || is_due);
        if is_due && !self.yields {
            self.waiting.insert(active);
            self.activate(first);
        }
    }

    fn activate(&mut self, place: Place) {
        self.waiting.remove(&place);
        self.active = Some(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Key;

    fn id(slot: u32) -> ConsumerId {
        ConsumerId(Key { slot, generation: 0 })
    }

    fn joined(takes_over: bool, priorities: &[i32]) -> SingleActive {
        let mut single = SingleActive::new(takes_over);
        for (slot, &priority) in (0..).zip(priorities) {
            single.join(id(slot), priority);
            single.elect(0);
        }
        single
    }

    fn leave(single: &mut SingleActive, slot: u32, priority: i32, expected: u32) -> Option<ConsumerId> {
        single.remove(id(slot), priority, slot.into(), expected);
        single.elect(0);
        single.active()
    }

    #[test]
    fn the_first_stays_and_the_best_is_next() {
        let mut single = joined(false, &[0, -1, 0, 5]);
        assert_eq!((single.active(), single.waiting()), (Some(id(0)), 3));
        assert_eq!(leave(&mut single, 0, 0, 0), Some(id(3)));
        assert_eq!(leave(&mut single, 2, 0, 0), Some(id(3)));
        assert_eq!((leave(&mut single, 3, 5, 0), leave(&mut single, 1, -1, 0)), (Some(id(1)), None));
    }

    #[test]
    fn nobody_is_served_before_all_is_back() {
        let mut single = joined(false, &[0, 0]);
        assert_eq!(leave(&mut single, 0, 0, 2), None);
        single.on_back(id(0), 1);
        single.elect(0);
        assert_eq!(single.active(), None);
        single.on_back(id(0), 1);
        single.elect(0);
        assert!(single.is_served(id(1)));
    }

    #[test]
    fn a_higher_priority_takes_over_when_all_is_settled() {
        let mut single = joined(true, &[0]);
        single.join(id(1), 5);
        single.elect(1);
        assert_eq!((single.active(), single.is_served(id(0))), (Some(id(0)), false));
        single.elect(0);
        assert!(single.is_served(id(1)) && single.waiting() == 1);
        single.join(id(2), 5);
        single.elect(3);
        assert!(single.is_served(id(1)));
    }

    #[test]
    fn who_makes_way_goes_on_if_nobody_is_better_in_the_end() {
        let mut single = joined(true, &[0]);
        single.join(id(1), 5);
        single.elect(1);
        single.remove(id(1), 5, 1, 0);
        single.elect(1);
        assert!(!single.is_served(id(0)));
        single.elect(0);
        assert!(single.is_served(id(0)));
    }
}

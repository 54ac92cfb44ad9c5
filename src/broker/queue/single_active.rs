//! Whose turn it is where one consumer at a time is served (row S8).
//!
//! ```text
//! active    c2                       the only one that is served
//! waiting   (5: c7)  (0: c1, c4)     the others: higher priority first, then who came first
//! departed  c9, 3                    the active one's channel ended: its 3 unsettled messages come back before the next one is served
//! ```
//!
//! In a quorum queue a consumer of higher priority takes over: at once, or when the active one, which *yields* and gets nothing more, has settled
//! all that it had. In a classic queue it waits like the others.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::base::ids::ConsumerId;

/// A consumer's place: its priority, when it came, and who it is.
type Place = (Reverse<i32>, u64, ConsumerId);

/// The consumers of one queue, as far as their order matters.
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
    /// Without consumers. `takes_over`: a higher priority does not wait.
    pub fn new(takes_over: bool) -> SingleActive {
        SingleActive { takes_over, active: None, yields: false, waiting: BTreeSet::new(), departed: None, joined: 0 }
    }

    /// A consumer came.
    pub fn join(&mut self, id: ConsumerId, priority: i32) {
        self.waiting.insert((Reverse(priority), self.joined, id));
        self.joined += 1;
    }

    /// How many consumers have come.
    pub fn joined(&self) -> u64 {
        self.joined
    }

    /// A consumer went, and `expected` of its messages come back.
    pub fn remove(&mut self, id: ConsumerId, priority: i32, joined: u64, expected: u32) {
        let place = (Reverse(priority), joined, id);
        if self.active.take_if(|active| *active == place).is_some() {
            self.yields = false;
            self.departed = (expected > 0).then_some((id, expected));
        }
        self.waiting.remove(&place);
    }

    /// Messages of a consumer that went are back.
    pub fn on_back(&mut self, id: ConsumerId, count: u32) {
        if let Some((departed, expected)) = &mut self.departed
            && *departed == id
        {
            *expected = expected.saturating_sub(count);
            self.departed.take_if(|(_, expected)| *expected == 0);
        }
    }

    /// How many consumers wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the consumer is the one that is served.
    pub fn is_served(&self, id: ConsumerId) -> bool {
        !self.yields && self.active() == Some(id)
    }

    /// The active consumer.
    pub fn active(&self) -> Option<ConsumerId> {
        self.active.map(|active| active.2)
    }

    /// Finds out whose turn it is. `unsettled`: how many messages the active consumer has not settled.
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

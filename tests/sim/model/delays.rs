//! What exchanges delay: a list, in the order in which it is due.

use std::collections::BTreeMap;

use super::Model;
use crate::op::{Name, Place, Publish};

/// What waits: by the time when it is due, and in the order in which it came.
#[derive(Default)]
pub struct Delayed {
    waiting: BTreeMap<(u64, u64), Publish>,
    added: u64,
}

impl Delayed {
    /// A message waits in this exchange, and comes out of it once without a delay.
    pub fn add(&mut self, now: u64, exchange: Name, message: &Publish) {
        let due = now + message.delay.expect("it asks for that");
        self.waiting.insert((due, self.added), Publish { exchange, delay: None, mandatory: false, ..message.clone() });
        self.added += 1;
    }

    /// With an exchange goes what waits in it.
    pub fn forget(&mut self, exchange: Name) {
        self.waiting.retain(|_, message| message.exchange != exchange);
    }
}

impl Model {
    /// When the next message is due.
    pub fn next_due(&self) -> Option<u64> {
        self.delayed.waiting.keys().next().map(|(due, _)| *due)
    }

    /// Time passes, and all that is due then is routed.
    pub fn pass_to(&mut self, now: u64) {
        self.now = now;
        while let Some(first) = self.delayed.waiting.first_entry().filter(|first| first.key().0 <= now) {
            let message = first.remove();
            self.route(NOBODY, &message); // whoever refuses it: nobody asks
        }
        self.serve();
    }
}

/// Who publishes what is due: nothing is returned to it.
const NOBODY: Place = (usize::MAX, 0);

//! What exchanges delay: a list, in the order in which it is due; and all else that happens when its time has come.

use std::collections::BTreeMap;

use super::{Message, Model};
use crate::op::{Name, Place, Publish};

/// What waits: by the time when it is due, and in the order in which it came.
#[derive(Default)]
pub struct Delayed {
    waiting: BTreeMap<(u64, u64), Message>,
    added: u64,
}

impl Delayed {
    /// A message waits in this exchange, and comes out of it once without a delay.
    pub fn add(&mut self, now: u64, exchange: Name, message: &Message) {
        let due = now + 1 + message.publish.delay.expect("it asks for that"); // the millisecond may be almost over
        let publish = Publish { exchange, delay: None, mandatory: false, ..message.publish.clone() };
        self.waiting.insert((due, self.added), Message { publish, ..message.clone() });
        self.added += 1;
    }

    /// With an exchange goes what waits in it.
    pub fn forget(&mut self, exchange: Name) {
        self.waiting.retain(|_, message| message.publish.exchange != exchange);
    }
}

impl Model {
    /// When something happens that nobody asks for: a message is due, or ready again, or a dead one tries again.
    pub fn next_due(&self) -> Option<u64> {
        let delayed = self.delayed.waiting.keys().next().map(|(due, _)| *due);
        delayed.into_iter().chain(self.next_retry()).chain(self.next_burial()).min()
    }

    /// Time passes, and all happens that is due then.
    pub fn pass_to(&mut self, now: u64) {
        self.now = now;
        while let Some(first) = self.delayed.waiting.first_entry().filter(|first| first.key().0 <= now) {
            let message = first.remove();
            self.route(NOBODY, &message); // whoever refuses it: nobody asks
        }
        self.retry();
        self.bury();
        self.serve();
    }
}

/// Who publishes what is due: nothing is returned to it.
const NOBODY: Place = (usize::MAX, 0);

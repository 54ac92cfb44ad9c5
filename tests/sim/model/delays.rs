//! Messages that exchanges delay: a list, in the order in which they become due; and everything
//! else that happens at its time.

use std::collections::BTreeMap;

use super::{Message, Model};
use crate::op::{Name, Place, Publish};

/// The waiting messages, by the time at which they become due and the order in which they came.
#[derive(Default)]
pub struct Delayed {
    waiting: BTreeMap<(u64, u64), Message>,
    added: u64,
}

impl Delayed {
    /// Adds a message to those of this exchange. It leaves the exchange once, without a delay.
    pub fn add(&mut self, now: u64, exchange: Name, message: &Message) {
        let due = now + 1 + message.publish.delay.expect("it asks for that"); // the millisecond may be almost over
        let publish = Publish { exchange, delay: None, mandatory: false, ..message.publish.clone() };
        self.waiting.insert((due, self.added), Message { publish, ..message.clone() });
        self.added += 1;
    }

    /// Forgets the messages of an exchange that is deleted.
    pub fn forget(&mut self, exchange: Name) {
        self.waiting.retain(|_, message| message.publish.exchange != exchange);
    }
}

impl Model {
    /// Returns the time of the next event without a request: a message becomes due or ready again,
    /// or a dead letter tries again.
    pub fn next_due(&self) -> Option<u64> {
        let delayed = self.delayed.waiting.keys().next().map(|(due, _)| *due);
        delayed.into_iter().chain(self.next_retry()).chain(self.next_burial()).min()
    }

    /// Sets the time, and does everything that is due then.
    pub fn pass_to(&mut self, now: u64) {
        self.now = now;
        while let Some(first) = self.delayed.waiting.first_entry().filter(|first| first.key().0 <= now) {
            let message = first.remove();
            self.route(NOBODY, &message); // a refusal has no consequence, because no client waits for a confirm
        }
        self.retry();
        self.bury();
        self.serve();
    }
}

/// The publisher of messages that become due: nothing is returned to it.
const NOBODY: Place = (usize::MAX, 0);

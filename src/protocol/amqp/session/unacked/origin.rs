//! The deliveries of one origin: of a queue to a consumer, or of fetches from a queue.

use super::Unacked;
use crate::base::limits::GIVEN_BACK_MAX;
use crate::contract::{Origin, Receipt};

impl Unacked {
    /// The lowest tag of a message of this origin.
    pub fn oldest(&self, origin: Origin) -> Option<u64> {
        let mut messages = self.unsettled().filter(|(_, receipt)| receipt.origin() == origin);
        messages.next().map(|(tag, _)| tag)
    }

    /// Takes out all messages of this origin. Settling their tags later is no error.
    pub fn give_back(&mut self, origin: Origin) -> Unacked {
        let is_its = |receipt: &Receipt| receipt.origin() == origin;
        let (its, others): (Vec<_>, Vec<_>) = self.unsettled().partition(|(_, receipt)| is_its(receipt));
        self.given_back.extend(its.iter().map(|&(tag, _)| tag));
        while self.given_back.len() > GIVEN_BACK_MAX {
            self.given_back.pop_first();
        }
        self.rebuild(others);
        let mut back = Unacked::default();
        its.into_iter().for_each(|(tag, receipt)| back.put(tag, receipt));
        back
    }
}

//! The rules for the end, when nothing is under way any more.

use super::{Copy, Oracle, State};
use crate::op::Name;

impl Oracle {
    /// Checks, when nothing is under way any more and everything was consumed, that every message
    /// is accounted for.
    pub fn check_end(&self) {
        self.check_letters();
        for (id, message) in &self.messages {
            assert!(!message.is_routed || !message.lacks_return(), "message {id} was not returned");
            let copy = |name: Name| &self.copies[&(*id, name)];
            let is_accounted = |copy: &Copy| {
                matches!(copy.state, State::Done | State::Unsure | State::Gone) || copy.may_be_gone || copy.may_be_like_another
            };
            for name in &message.least {
                assert!(
                    is_accounted(copy(name)) || self.may_have_failed(*id, name),
                    "message {id} is lost: in {name} it is {:?}, published as {:?}",
                    copy(name).state,
                    message.publish
                );
            }
            let one_of = message.one_of.iter().filter(|names| message.is_routed && !names.is_empty());
            for names in one_of {
                assert!(names.iter().any(|name| is_accounted(copy(name))), "message {id} is lost: it is in none of {names:?}");
            }
        }
    }

    /// Checks, when nothing is under way any more, that every request has its answer, every publish
    /// its confirm, and every suspicion its explanation.
    pub fn check_answers(&self) {
        assert!(self.suspicions.is_empty(), "nothing explains: {}", self.suspicions[0].what);
        for (at, channel) in self.channels.iter().enumerate().filter(|(_, channel)| !channel.ended) {
            assert!(channel.pending.is_empty(), "channel {at} got no answer to {:?}", channel.pending);
            assert!(channel.unconfirmed.is_empty(), "channel {at} got no confirms for {:?}", channel.unconfirmed);
        }
    }
}

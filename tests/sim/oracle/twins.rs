//! Queues that drop duplicates: of two messages with the same value, at most one is in a queue that
//! compares new messages with its own, and one is there that has come first.

use super::{Copy, Message, Oracle, State};
use crate::op::{MessageId, Name};
use crate::queues::{SEEN, TWIN, UNIQUE};

impl Message {
    fn twin(&self) -> Option<Name> {
        self.publish.headers.iter().find(|(header, _)| *header == TWIN).map(|(_, value)| *value)
    }
}

impl Oracle {
    /// Notes that a message may come to a queue: there it, or a duplicate that may not have come
    /// yet, may be dropped.
    pub(super) fn doubt_twins(&mut self, id: MessageId, name: Name) {
        let twin = self.messages[&id].twin().filter(|_| [UNIQUE, SEEN].contains(&name));
        let Some(twin) = twin else { return };
        let is_like = |other: &MessageId| *other != id && self.messages[other].twin() == Some(twin);
        let is_settling = |copy: &(MessageId, Name)| {
            self.channels.iter().any(|channel| channel.unsynced_settles.iter().any(|(_, settled)| settled == copy))
        };
        let may_be_there = |at: &(MessageId, Name), copy: &Copy| match copy.state {
            State::Done => name == SEEN || is_settling(at),
            state => state != State::Gone,
        };
        let others: Vec<MessageId> = self
            .copies
            .iter()
            .filter(|(at, copy)| at.1 == name && is_like(&at.0) && may_be_there(at, copy))
            .map(|((other, _), _)| *other)
            .collect();
        for other in &others {
            let copy = self.copy(*other, name);
            copy.may_be_like_another |= copy.state == State::Unseen;
        }
        self.copy(id, name).may_be_like_another |= !others.is_empty();
    }

    /// Checks that no client has a duplicate of a message that arrives from a queue which compares
    /// new messages with its own. (A crash may bring back one that was gone.)
    pub(super) fn check_twins(&self, id: MessageId, name: Name) {
        let message = &self.messages[&id];
        let Some(twin) = message.twin().filter(|_| name == UNIQUE && !self.copies[&(id, name)].may_be_gone) else { return };
        let is_new = |message: &Message| message.crashes == self.crashes;
        let has_one = |((other, queue), copy): (&(MessageId, Name), &Copy)| {
            let is_held = matches!(copy.state, State::Held(at) if !self.may_have_ended(at));
            let other = (*other != id && *queue == name && is_held && !copy.may_be_gone).then(|| (other, &self.messages[other]));
            other.filter(|(_, other)| other.twin() == Some(twin) && is_new(other)).map(|(other, _)| *other)
        };
        let other = self.copies.iter().find_map(has_one).filter(|_| is_new(message));
        assert_eq!(other, None, "message {id} of {name} comes, and a client has another one like it");
    }
}

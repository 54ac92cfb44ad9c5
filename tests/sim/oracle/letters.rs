//! Dead letters of the queue that keeps them until other queues have them. Each message that may be
//! in that queue may have a letter, which has a number of its own. The letter must come to one of
//! the queues where it may lead once a client has discarded the message, and otherwise only if the
//! message may have failed too often.
//!
//! After a crash the message may be in its old queue again, or its letter may be repeated; neither
//! may be lost, unless a queue is.

use std::collections::BTreeSet;

use super::{ChannelId, Message, Oracle};
use crate::op::{LETTER, MessageId, Name, Publish, is_durable};
use crate::queues::{BURYING, LETTERS};

/// The observer's knowledge of a letter.
#[derive(Default)]
pub struct Letter {
    /// Its message was discarded, and neither has come since.
    is_owed: bool,
    was_owed: bool,
    /// A crash, or another death, may send it again.
    pub may_repeat: bool,
    /// A crash may have removed it from a queue that is not durable.
    may_be_lost: bool,
}

impl Oracle {
    /// Notes that a message may come to the queue that keeps its dead letters.
    pub(super) fn expect_letter(&mut self, id: MessageId) {
        let letter = id | LETTER;
        if self.messages.contains_key(&letter) {
            return;
        }
        let Message { publish, publisher, sequence, .. } = &self.messages[&id];
        let publish = Publish { id: letter, exchange: LETTERS, mandatory: false, delay: None, ..publish.clone() };
        let (publisher, sequence, is_letter) = (*publisher, *sequence, Some(Letter::default()));
        let (_, most) = self.topology.route(&publish);
        let message = Message { letter: is_letter, ..Message::new(publish, publisher, sequence, BTreeSet::new()) };
        self.messages.insert(letter, message);
        self.letters.insert(letter);
        self.add_copies(letter, most);
    }

    /// Notes that a client has discarded a message of a queue.
    pub(super) fn on_discarded(&mut self, id: MessageId, queue: Name) {
        if queue == BURYING {
            self.copy(id, queue).is_discarded = true;
            let letter = self.letter(id);
            letter.may_repeat |= letter.was_owed;
            (letter.is_owed, letter.was_owed) = (true, true);
        }
    }

    /// Notes that a client has discarded a message that it may not have had any more.
    pub(super) fn on_perhaps_discarded(&mut self, id: MessageId, queue: Name) {
        if queue == BURYING {
            self.copy(id, queue).is_discarded = true;
        }
    }

    /// Notes that a discard may have had no effect, because its channel has ended.
    pub(super) fn doubt_discard(&mut self, id: MessageId, queue: Name) {
        if queue == BURYING {
            self.letter(id).is_owed = false;
        }
    }

    /// Takes a message that comes to a client: a letter, or a message whose letter does not have to
    /// come any more.
    pub(super) fn on_letter_came(&mut self, id: MessageId, queue: Name) {
        if id & LETTER > 0 {
            let may_have_died =
                |id| self.copies.get(&(id, BURYING)).is_some_and(|copy| copy.is_discarded) || self.may_have_failed(id, BURYING);
            if !may_have_died(id & !LETTER) && !may_have_died(id) {
                self.suspect_holder(id & !LETTER);
            }
            self.letter(id).is_owed = false;
        } else if queue == BURYING {
            self.letter(id).is_owed = false;
        }
    }

    /// Suspects the channels that hold a letter's message: the letter is right only if one of them
    /// has ended, and the message has thereby failed once too often.
    fn suspect_holder(&mut self, id: MessageId) {
        let holds = |at: &ChannelId| self.channels[*at].held.values().any(|&(held, queue, _)| (held, queue) == (id, BURYING));
        let is_last = self.may_have_failed_and(id, BURYING, 1);
        let holders = (0..self.channels.len()).filter(|at| is_last && holds(at)).collect();
        self.suspect_channels(holders, format!("message {id} comes as a letter and is not dead"));
    }

    /// Notes that the broker stops at any moment.
    pub(super) fn repeat_letters(&mut self) {
        for message in self.messages.values_mut() {
            let Some(letter) = &mut message.letter else { continue };
            letter.may_repeat = true;
            letter.may_be_lost |= !message.publish.persistent || message.most.iter().any(|name| !is_durable(name));
        }
    }

    /// Checks, when nothing is under way any more, that all discarded messages have come as
    /// letters.
    pub(super) fn check_letters(&self) {
        let is_owed = |letter: &Letter| letter.is_owed && !letter.may_be_lost;
        for (id, message) in self.messages.iter().filter(|(_, message)| message.letter.as_ref().is_some_and(is_owed)) {
            let may_be_gone = |&name: &Name| self.copies.get(&(*id, name)).is_some_and(|copy| copy.may_be_gone || copy.may_be_like_another);
            let died = self.copies.get(&(id & !LETTER, BURYING)).is_some_and(|copy| !copy.may_be_gone);
            assert!(!died || message.most.iter().any(may_be_gone), "the letter of message {} is lost", id & !LETTER);
        }
    }

    fn letter(&mut self, id: MessageId) -> &mut Letter {
        let message = self.messages.get_mut(&(id | LETTER)).and_then(|message| message.letter.as_mut());
        message.expect("a letter for each message that may come to this queue")
    }
}

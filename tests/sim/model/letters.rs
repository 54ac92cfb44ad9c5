//! Dead letters that their queue keeps until others have them: what finds no queue, or is refused by one, tries again every second.

use super::{Held, Message, Model};
use crate::op::{LETTER, Name, Publish};
use crate::queues::{BURYING, LETTERS};

/// A message that died.
#[derive(Clone)]
pub struct Letter {
    incarnation: u64,
    message: Message,
    /// A client has rejected it: then it may come back to where it died.
    is_rejected: bool,
    /// Who has it already: queues, and exchanges that delay it.
    taken: Vec<Name>,
    /// When it tries again.
    due: u64,
}

impl Model {
    /// A message dies whose holder has rejected it, or that has failed too often.
    pub(super) fn die(&mut self, held: Held, is_rejected: bool) {
        let Held { queue, incarnation, mut message, .. } = held;
        if queue != BURYING {
            return;
        }
        message.counts.acquired += u32::from(is_rejected);
        message.counts.delivered += u32::from(is_rejected);
        self.dead.push(Letter { incarnation, message, is_rejected, taken: Vec::new(), due: self.now });
    }

    /// Those that are due go where they can.
    pub(super) fn bury(&mut self) {
        let (due, later) = std::mem::take(&mut self.dead).into_iter().partition(|letter| letter.due <= self.now);
        self.dead = later;
        Vec::into_iter(due).for_each(|letter| self.bury_one(letter));
    }

    /// When the next one is due.
    pub(super) fn next_burial(&self) -> Option<u64> {
        self.dead.iter().map(|letter| letter.due).min()
    }

    /// Those of a queue that is deleted are gone.
    pub(super) fn forget_dead(&mut self, incarnation: u64) {
        self.dead.retain(|letter| letter.incarnation != incarnation);
    }

    fn bury_one(&mut self, mut letter: Letter) {
        let died = &letter.message.publish;
        let publish = Publish { id: died.id | LETTER, exchange: LETTERS, mandatory: false, ..died.clone() };
        let (mut names, mut waits) = self.routes(&publish);
        let is_cycle = !letter.is_rejected && names.remove(BURYING);
        let finds_nobody = names.is_empty() && waits.is_empty() && !is_cycle;
        names.retain(|name| !letter.taken.contains(name));
        waits.retain(|name| !letter.taken.contains(name));
        let arriving = Message { redelivered: true, written: letter.message.shown(), ..Message::new(&publish) };
        waits.iter().for_each(|exchange| self.delayed.add(self.now, exchange, &arriving));
        let (taken, refused): (Vec<Name>, Vec<Name>) = names.into_iter().partition(|name| self.enqueue(name, arriving.clone()));
        if finds_nobody || !refused.is_empty() {
            letter.taken.extend(taken.into_iter().chain(waits));
            letter.due = self.now + AGAIN_MS;
            self.dead.push(letter);
        }
    }
}

/// After so long it tries again.
const AGAIN_MS: u64 = 1000;

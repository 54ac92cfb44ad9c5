//! Dead letters that their queue keeps until other queues have them. A letter that finds no queue,
//! or that a queue refuses, tries again every second. Letters that a queue refuses wait for it in a
//! row: the first of them tries, and those behind follow at once when it is accepted. A new letter
//! for such a queue waits behind them.

use std::collections::{BTreeMap, VecDeque};

use super::{Held, Message, Model};
use crate::op::{LETTER, Name, Publish};
use crate::queues::{BURYING, LETTERS};

/// Messages that died and have not reached all their queues.
#[derive(Default)]
pub struct Dead {
    letters: BTreeMap<u64, Letter>,
    died: u64,
    /// Waiting letters, by the incarnation of the queue for which they wait.
    rows: BTreeMap<u64, Row>,
}

/// A message that died.
struct Letter {
    incarnation: u64,
    message: Message,
    /// Whether a client has rejected it; only then may it return to the queue where it died.
    is_rejected: bool,
    /// The queues, and exchanges that delay it, that have it already.
    taken: Vec<Name>,
    /// The queues for which it waits.
    awaited: Vec<u64>,
    /// The time of its next try, if it does not wait for a queue.
    due: Option<u64>,
}

/// The letters that wait for a queue; some may have stopped waiting for it.
struct Row {
    /// The time at which the first one tries again.
    due: u64,
    letters: VecDeque<u64>,
}

impl Model {
    /// Adds a message that died because its holder rejected it, or because it failed too often.
    pub(super) fn die(&mut self, held: Held, is_rejected: bool) {
        let Held { queue, incarnation, mut message, .. } = held;
        if queue != BURYING {
            return;
        }
        message.counts.acquired += u32::from(is_rejected);
        message.counts.delivered += u32::from(is_rejected);
        let letter = Letter { incarnation, message, is_rejected, taken: Vec::new(), awaited: Vec::new(), due: Some(self.now) };
        self.dead.letters.insert(self.dead.died, letter);
        self.dead.died += 1;
    }

    /// Routes the letters that are due.
    pub(super) fn bury(&mut self) {
        let now = self.now;
        let letters = self.dead.letters.iter().filter(|(_, letter)| letter.due.is_some_and(|due| due <= now));
        let letters: Vec<u64> = letters.map(|(number, _)| *number).collect();
        letters.into_iter().for_each(|number| _ = self.bury_one(number, None));
        let rows = self.dead.rows.iter().filter(|(_, row)| row.due <= now);
        let rows: Vec<u64> = rows.map(|(queue, _)| *queue).collect();
        rows.into_iter().for_each(|queue| self.bury_row(queue));
    }

    /// Returns the time at which the next letter is due.
    pub(super) fn next_burial(&self) -> Option<u64> {
        let letters = self.dead.letters.values().filter_map(|letter| letter.due);
        letters.chain(self.dead.rows.values().map(|row| row.due)).min()
    }

    /// Forgets the letters of a queue that is deleted.
    pub(super) fn forget_dead(&mut self, incarnation: u64) {
        self.dead.letters.retain(|_, letter| letter.incarnation != incarnation);
    }

    /// Routes the letters that wait for a queue, until it refuses one.
    fn bury_row(&mut self, queue: u64) {
        while let Some(number) = self.dead.rows[&queue].letters.front().copied() {
            let waits = self.dead.letters.get(&number).is_some_and(|letter| letter.awaited.contains(&queue));
            if waits && self.bury_one(number, Some(queue)) {
                self.row(queue).due = self.now + AGAIN_MS;
                return;
            }
            self.row(queue).letters.pop_front();
        }
        self.dead.rows.remove(&queue);
    }

    fn row(&mut self, queue: u64) -> &mut Row {
        let due = self.now + AGAIN_MS;
        self.dead.rows.entry(queue).or_insert_with(|| Row { due, letters: VecDeque::new() })
    }

    /// Routes one letter. Returns whether it still waits for the queue that it has `tried`.
    fn bury_one(&mut self, number: u64, tried: Option<u64>) -> bool {
        let mut letter = self.dead.letters.remove(&number).expect("it waits");
        let died = &letter.message.publish;
        let publish = Publish { id: died.id | LETTER, exchange: LETTERS, mandatory: false, ..died.clone() };
        let (mut names, mut waits) = self.routes(&publish);
        let is_cycle = !letter.is_rejected && names.remove(BURYING);
        let finds_nobody = names.is_empty() && waits.is_empty() && !is_cycle;
        names.retain(|name| !letter.taken.contains(name));
        waits.retain(|name| !letter.taken.contains(name));
        let arriving = Message { redelivered: true, written: letter.message.shown(), ..Message::new(&publish) };
        waits.iter().for_each(|exchange| self.delayed.add(self.now, exchange, &arriving));
        letter.taken.extend(waits);
        let others = std::mem::take(&mut letter.awaited);
        for name in names {
            let queue = self.queues[name].incarnation;
            let is_open = tried == Some(queue) || !self.dead.rows.contains_key(&queue);
            if is_open && self.enqueue(name, arriving.clone()) {
                letter.taken.push(name);
                continue;
            }
            letter.awaited.push(queue);
            if tried != Some(queue) && !others.contains(&queue) {
                self.row(queue).letters.push_back(number);
            }
        }
        let is_refused = tried.is_some_and(|queue| letter.awaited.contains(&queue));
        letter.due = finds_nobody.then_some(self.now + AGAIN_MS);
        if finds_nobody || !letter.awaited.is_empty() {
            self.dead.letters.insert(number, letter);
        }
        is_refused
    }
}

/// The time between two tries.
const AGAIN_MS: u64 = 1000;

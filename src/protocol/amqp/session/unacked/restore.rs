//! Restores messages that were settled within a transaction: they become unsettled again.

use super::{Run, Unacked};
use crate::contract::Receipt;
use crate::contract::session::Settled;

impl Unacked {
    /// Puts back messages that [`Unacked::settle`] took out. Their tags are valid again.
    pub fn restore(&mut self, taken: Vec<Settled>) {
        let taken = taken.into_iter().map(|settled| (settled.tag, settled.receipt));
        let mut all: Vec<(u64, Receipt)> = self.unsettled().chain(taken).collect();
        all.sort_unstable_by_key(|&(tag, _)| tag);
        self.rebuild(all);
    }

    /// Takes out the first message, if its tag is below this one.
    pub fn pop_before(&mut self, tag: u64) -> Option<(u64, Receipt)> {
        let &Run { tag: first, place, queue, consumer } = self.runs.front()?;
        let first = first + (self.first - place);
        let entry = self.entries.pop_front_if(|_| first < tag)?.expect("settled places in front are swept");
        self.first += 1;
        self.sweep();
        Some((first, Receipt { queue, consumer, entry }))
    }

    /// Adds a message that had this tag before; the tag is above those of all other messages.
    pub fn put(&mut self, tag: u64, receipt: Receipt) {
        self.next_tag = tag;
        self.push(receipt);
    }

    /// Puts messages in front; all of their tags are below those of the others.
    pub fn put_in_front(&mut self, earlier: Unacked) {
        let (first, end) = (self.first, earlier.end());
        let in_place = |run: &Run| {
            let gone = first.saturating_sub(run.place);
            Run { tag: run.tag + gone, place: end + (run.place + gone - first), ..*run }
        };
        let mut joined = earlier.runs;
        joined.extend(self.runs.iter().map(in_place));
        (self.first, self.runs) = (earlier.first, joined);
        let later = std::mem::replace(&mut self.entries, earlier.entries);
        self.entries.extend(later);
    }
}

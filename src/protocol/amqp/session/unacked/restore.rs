//! Restoring: messages that were settled within a transaction become unsettled again.

use super::{Run, Unacked};
use crate::contract::Receipt;

impl Unacked {
    /// Puts back messages that [`Unacked::settle`] took out. Their tags count again.
    pub fn restore(&mut self, taken: impl IntoIterator<Item = (u64, Receipt)>) {
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

    /// Takes in a message that had this tag before; it is above the tags of all others.
    pub fn put(&mut self, tag: u64, receipt: Receipt) {
        self.next_tag = tag;
        self.push(receipt);
    }

    /// Puts messages in front whose tags are all below those of the others.
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

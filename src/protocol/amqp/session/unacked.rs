//! A channel's delivered and unsettled messages, by delivery tag.
//!
//! ```text
//! slots     [tag 7 | receipt] [tag 8 | —] [tag 9 | receipt] [tag 12 | receipt]      tags ascending
//!                              settled: swept when it comes to the front, or when such slots outnumber the others
//! ```
//!
//! Deliveries that need no acknowledgement take a tag and no slot. As long as tags stand without gaps, a tag's slot is found by
//! subtraction; behind a gap by binary search. The oldest message may stay unsettled for hours while others come and go: the window
//! holds at most twice as many slots as messages.

use std::collections::VecDeque;

use crate::contract::Receipt;

/// The window.
#[derive(Debug)]
pub struct Unacked {
    slots: VecDeque<Slot>,
    settled: usize,
    next_tag: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u64,
    receipt: Option<Receipt>,
}

/// A delivery tag that stands for no unsettled message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownTag;

impl Default for Unacked {
    fn default() -> Self {
        Unacked { slots: VecDeque::new(), settled: 0, next_tag: 1 }
    }
}

impl Unacked {
    /// Takes in a delivery and gives it its tag.
    pub fn push(&mut self, receipt: Receipt) -> u64 {
        let tag = self.skip();
        self.slots.push_back(Slot { tag, receipt: Some(receipt) });
        tag
    }

    /// The tag of a delivery that needs no acknowledgement.
    pub fn skip(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag - 1
    }

    /// Messages that are not settled yet.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.slots.len() - self.settled
    }

    /// Takes out the message `tag`, with `multiple` also all before it; tag 0 with `multiple` means all there are. They come in the
    /// order of their tags.
    ///
    /// As in RabbitMQ the tag itself must be unsettled also with `multiple`; otherwise nothing is taken out.
    pub fn settle(&mut self, tag: u64, multiple: bool, mut take: impl FnMut(u64, Receipt)) -> Result<(), UnknownTag> {
        if tag == 0 && multiple {
            self.drain().for_each(|(tag, receipt)| take(tag, receipt));
            return Ok(());
        }
        let at = self.find(tag).ok_or(UnknownTag)?;
        if multiple {
            for slot in self.slots.drain(..=at) {
                match slot.receipt {
                    Some(receipt) => take(slot.tag, receipt),
                    None => self.settled -= 1,
                }
            }
        } else {
            take(tag, self.slots[at].receipt.take().expect("found slots are unsettled"));
            self.settled += 1;
        }
        self.sweep();
        Ok(())
    }

    /// Takes out all messages in the order of their tags.
    pub fn drain(&mut self) -> impl Iterator<Item = (u64, Receipt)> + '_ {
        self.settled = 0;
        self.slots.drain(..).filter_map(|slot| slot.receipt.map(|receipt| (slot.tag, receipt)))
    }

    /// Puts back what [`Unacked::settle`] took out (tx.rollback). Their tags count again.
    pub fn restore(&mut self, taken: impl IntoIterator<Item = (u64, Receipt)>) {
        let mut all: Vec<(u64, Receipt)> = self.drain().collect();
        all.extend(taken);
        all.sort_unstable_by_key(|&(tag, _)| tag);
        self.slots.extend(all.into_iter().map(|(tag, receipt)| Slot { tag, receipt: Some(receipt) }));
    }

    /// Where the unsettled message `tag` stands.
    fn find(&self, tag: u64) -> Option<usize> {
        let first = self.slots.front()?.tag;
        let guess = usize::try_from(tag.checked_sub(first)?).ok()?;
        let at = match self.slots.get(guess) {
            Some(slot) if slot.tag == tag => guess,
            _ => self.slots.binary_search_by_key(&tag, |slot| slot.tag).ok()?,
        };
        self.slots[at].receipt.is_some().then_some(at)
    }

    fn sweep(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.receipt.is_none()) {
            self.slots.pop_front();
            self.settled -= 1;
        }
        if self.settled > SWEEP_MIN && self.settled * 2 > self.slots.len() {
            self.slots.retain(|slot| slot.receipt.is_some());
            self.settled = 0;
        }
        if self.slots.is_empty() && self.slots.capacity() > KEEP_MAX {
            self.slots = VecDeque::new();
        }
    }
}

/// Settled slots that are not worth a sweep.
const SWEEP_MIN: usize = 32;
/// Slots whose memory an empty window keeps.
const KEEP_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueAddr, QueueId, ShardId};
    use crate::base::rng::Rng;
    use crate::contract::Entry;
    use crate::message::MessageRef;

    fn receipt(sequence: u64) -> Receipt {
        let queue = QueueAddr { home: ShardId(0), queue: QueueId(Key::default()) };
        Receipt { queue, consumer: None, entry: Entry::new(sequence, MessageRef::default()) }
    }

    fn window(len: u64) -> Unacked {
        let mut window = Unacked::default();
        (1..=len).for_each(|n| assert_eq!(window.push(receipt(n)), n));
        window
    }

    fn settle(window: &mut Unacked, tag: u64, multiple: bool) -> Option<Vec<u64>> {
        let mut out = Vec::new();
        window.settle(tag, multiple, |tag, receipt| out.push((tag, receipt))).ok()?;
        Some(out.iter().inspect(|(tag, receipt)| assert_eq!(*tag, receipt.entry.sequence())).map(|&(tag, _)| tag).collect())
    }

    #[test]
    fn tags_are_settled_once() {
        let mut window = window(5);
        assert_eq!(settle(&mut window, 3, false), Some(vec![3]));
        assert_eq!(settle(&mut window, 3, false), None);
        assert_eq!(settle(&mut window, 3, true), None, "RabbitMQ wants the tag itself");
        assert_eq!(settle(&mut window, 4, true), Some(vec![1, 2, 4]));
        assert_eq!(settle(&mut window, 6, true), None);
        assert_eq!(settle(&mut window, 0, false), None);
        assert_eq!(settle(&mut window, 0, true), Some(vec![5]));
        assert_eq!(settle(&mut window, 0, true), Some(vec![]));
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn a_tag_without_acknowledgement_leaves_a_gap() {
        let mut window = window(2);
        assert_eq!((window.skip(), window.skip()), (3, 4));
        assert_eq!(window.push(receipt(5)), 5);
        assert_eq!(settle(&mut window, 3, false), None);
        assert_eq!(settle(&mut window, 4, true), None);
        assert_eq!(settle(&mut window, 5, true), Some(vec![1, 2, 5]));
    }

    #[test]
    fn what_is_restored_can_be_settled_again() {
        let mut window = window(4);
        let mut taken = Vec::new();
        for (tag, multiple) in [(2, true), (4, false)] {
            window.settle(tag, multiple, |tag, receipt| taken.push((tag, receipt))).expect("unsettled");
        }
        window.restore(taken);
        assert_eq!(window.push(receipt(5)), 5);
        assert_eq!(settle(&mut window, 5, true), Some(vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn one_old_message_does_not_keep_the_slots_of_the_others() {
        let mut window = window(1);
        for tag in 2..100_000 {
            window.push(receipt(tag));
            assert_eq!(settle(&mut window, tag, false), Some(vec![tag]));
        }
        assert!(window.slots.len() < 100 && window.len() == 1);
        assert_eq!(settle(&mut window, 1, false), Some(vec![1]));
    }

    #[test]
    fn it_behaves_as_a_sorted_list() {
        let mut rng = Rng::seeded(1);
        let (mut window, mut model) = (Unacked::default(), Vec::new());
        for _ in 0..20_000 {
            match rng.below(8) {
                0..4 => model.push(window.push(receipt(window.next_tag))),
                4 => drop(window.skip()),
                op => {
                    let (tag, multiple) = (rng.below(window.next_tag + 1), op == 5 && rng.below(20) == 0);
                    let expected = match model.binary_search(&tag) {
                        Ok(at) if multiple => Some(model.drain(..=at).collect::<Vec<_>>()),
                        Ok(at) => Some(vec![model.remove(at)]),
                        Err(_) if tag == 0 && multiple => Some(std::mem::take(&mut model)),
                        Err(_) => None,
                    };
                    assert_eq!(settle(&mut window, tag, multiple), expected);
                }
            }
            assert_eq!(window.len(), model.len());
        }
    }
}

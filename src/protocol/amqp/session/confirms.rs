//! The publisher's confirm window: which published messages have not been accepted by all queues,
//! and which the publisher was told of.
//!
//! ```text
//! sequence     … base                                       next
//!  all told    |  [2] [0] [told] [1] [0]    never held       |
//!                 held  confirmed     held
//! ```
//!
//! A message is confirmed from the start, unless it is held for queues that have yet to accept it.
//! The window stores slots only from the oldest held message on, so a publisher whose queues accept
//! at once costs two numbers.

use std::collections::VecDeque;

/// The window.
#[derive(Debug)]
pub struct Confirms {
    /// The sequence number of `slots[0]`; the publisher was told of all messages before it.
    base: u64,
    /// For each message, the number of queues that have not accepted it yet, or [`TOLD`] once the
    /// publisher was told. Messages after the last slot and before `next` are confirmed and not
    /// told.
    slots: VecDeque<u32>,
    /// The sequence number of the next message, from 1.
    next: u64,
    /// Messages after `base` that were accepted since the last flush.
    fresh: Vec<u64>,
    /// Messages that a queue has refused, while other queues have yet to accept them.
    refused: Vec<u64>,
    /// Refused messages of which the publisher is to be told.
    refusals: Vec<u64>,
}

/// A message to the publisher about a sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// basic.ack
    Ack {
        /// The sequence number.
        sequence: u64,
        /// Whether all messages before it are confirmed, too.
        multiple: bool,
    },
    /// basic.nack: a queue has refused the message.
    Nack {
        /// The sequence number.
        sequence: u64,
    },
}

impl Default for Confirms {
    fn default() -> Self {
        Confirms { base: 1, slots: VecDeque::new(), next: 1, fresh: Vec::new(), refused: Vec::new(), refusals: Vec::new() }
    }
}

impl Confirms {
    /// Counts `count` messages just published. Returns the first one's sequence number.
    pub fn publish(&mut self, count: u64) -> u64 {
        self.next += count;
        self.next - count
    }

    /// Number of messages that were published.
    pub fn published(&self) -> u64 {
        self.next - 1
    }

    /// Number of messages that are held.
    pub fn unconfirmed(&self) -> usize {
        self.slots.iter().filter(|slot| !matches!(**slot, 0 | TOLD)).count()
    }

    /// Holds `sequence` until `count` (at least 1) more queues have accepted it. It was published
    /// since the last flush.
    pub fn hold(&mut self, sequence: u64, count: u32) {
        let at = self.slot(sequence).expect("a message is held before it is confirmed");
        if at >= self.slots.len() {
            self.slots.resize(at + 1, 0);
        }
        self.slots[at] += count;
    }

    /// Notes that `count` queues have accepted `sequence`. Returns whether the publisher is to be
    /// told something now.
    pub fn accepted(&mut self, sequence: u64, count: u32) -> bool {
        let held = self.slot(sequence).and_then(|at| self.slots.get_mut(at));
        let held = held.filter(|held| **held != TOLD && **held >= count).expect("queues accept only what is held for them");
        *held -= count;
        if *held > 0 {
            return false;
        }
        if let Some(at) = self.refused.iter().position(|&refused| refused == sequence) {
            self.refused.swap_remove(at);
            *held = TOLD;
            self.refusals.push(sequence);
            return true;
        }
        if sequence != self.base {
            self.fresh.push(sequence);
        }
        true
    }

    /// Notes that a queue has refused `sequence`. The publisher is told once all other queues have
    /// accepted it.
    pub fn refuse(&mut self, sequence: u64) {
        let at = self.slot(sequence).expect("a message is refused before it is confirmed");
        if at >= self.slots.len() {
            self.slots.resize(at + 1, 0);
        }
        match self.slots[at] {
            TOLD => {}
            0 => {
                self.slots[at] = TOLD;
                self.refusals.push(sequence);
            }
            _ if self.refused.contains(&sequence) => {}
            _ => self.refused.push(sequence),
        }
    }

    /// Tells of refused messages, then of confirmed ones: all up to the oldest held message at
    /// once, those after it one by one. Returns of how many.
    pub fn flush(&mut self, mut tell: impl FnMut(Told)) -> u64 {
        let refused = self.refusals.len() as u64;
        self.refusals.sort_unstable();
        self.refusals.drain(..).for_each(|sequence| tell(Told::Nack { sequence }));
        let (last, count) = self.advance();
        let base = self.base;
        self.fresh.retain(|&sequence| sequence >= base);
        let tail = self.base + self.slots.len() as u64..self.next;
        let single = count == 1 && self.fresh.is_empty() && tail.is_empty();
        if count > 0 {
            tell(Told::Ack { sequence: last, multiple: !single });
        }
        self.fresh.sort_unstable();
        self.fresh.extend(tail);
        let told = refused + count + self.fresh.len() as u64;
        for sequence in self.fresh.drain(..) {
            tell(Told::Ack { sequence, multiple: false });
            let at = (sequence - base) as usize;
            self.slots.resize(self.slots.len().max(at + 1), TOLD);
            self.slots[at] = TOLD;
        }
        if self.slots.is_empty() && self.slots.capacity() > KEEP_MAX {
            self.slots = VecDeque::new();
        }
        told
    }

    /// Moves `base` to the oldest held message. Returns the last passed message that the publisher
    /// was not told of, and the number of such messages.
    fn advance(&mut self) -> (u64, u64) {
        let (mut last, mut count) = (0, 0);
        while let Some(&slot) = self.slots.front().filter(|slot| matches!(**slot, 0 | TOLD)) {
            if slot == 0 {
                (last, count) = (self.base, count + 1);
            }
            self.slots.pop_front();
            self.base += 1;
        }
        if self.slots.is_empty() && self.base < self.next {
            (last, count) = (self.next - 1, count + (self.next - self.base));
            self.base = self.next;
        }
        (last, count)
    }

    fn slot(&self, sequence: u64) -> Option<usize> {
        (sequence < self.next).then_some(())?;
        usize::try_from(sequence.checked_sub(self.base)?).ok()
    }
}

/// The slot of a message of which the publisher was told while an older one is held.
const TOLD: u32 = u32::MAX;
/// Number of slots whose memory an empty window keeps.
const KEEP_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn told(window: &mut Confirms) -> Vec<(u64, bool)> {
        let mut acks = Vec::new();
        window.flush(|told| match told {
            Told::Ack { sequence, multiple } => acks.push((sequence, multiple)),
            Told::Nack { .. } => panic!("nothing was refused"),
        });
        acks
    }

    #[test]
    fn what_is_not_held_is_told_in_one() {
        let mut window = Confirms::default();
        assert_eq!(told(&mut window), []);
        assert_eq!(window.publish(1), 1);
        assert_eq!(told(&mut window), [(1, false)]);
        (2..=5).for_each(|n| assert_eq!(window.publish(1), n));
        assert_eq!(told(&mut window), [(5, true)]);
        assert_eq!(told(&mut window), []);
        assert_eq!(window.slots.capacity(), 0);
    }

    #[test]
    fn a_held_message_divides_the_others() {
        let mut window = Confirms::default();
        (1..=3).for_each(|n| assert_eq!(window.publish(1), n));
        window.hold(3, 2);
        (4..=5).for_each(|n| assert_eq!(window.publish(1), n));
        assert_eq!(told(&mut window), [(2, true), (4, false), (5, false)]);
        assert!(!window.accepted(3, 1));
        assert_eq!(told(&mut window), []);
        assert_eq!(window.publish(1), 6);
        assert!(window.accepted(3, 1));
        assert_eq!(told(&mut window), [(6, true)]);
        assert_eq!(window.publish(1), 7);
        assert_eq!(told(&mut window), [(7, false)]);
    }

    #[test]
    fn queues_accept_out_of_order() {
        let mut window = Confirms::default();
        for sequence in 1..=4 {
            window.publish(1);
            window.hold(sequence, 1);
        }
        assert!(window.accepted(4, 1) && window.accepted(2, 1));
        assert_eq!(told(&mut window), [(2, false), (4, false)]);
        assert!(window.accepted(1, 1));
        assert_eq!(told(&mut window), [(1, false)]);
        assert!(window.accepted(3, 1));
        assert_eq!(told(&mut window), [(3, false)]);
        assert!(window.slots.is_empty());
    }

    #[test]
    fn every_message_is_told_once_and_only_when_accepted() {
        let mut rng = Rng::seeded(2);
        let (mut window, mut held, mut waiting) = (Confirms::default(), Vec::<u64>::new(), std::collections::BTreeSet::new());
        let mut refused = std::collections::BTreeSet::new();
        for _ in 0..20_000 {
            match rng.below(4) {
                0 | 1 => {
                    let sequence = window.publish(1);
                    waiting.insert(sequence);
                    if rng.below(2) == 0 {
                        window.hold(sequence, 1);
                        held.push(sequence);
                    }
                    if rng.below(8) == 0 {
                        window.refuse(sequence);
                        refused.insert(sequence);
                    }
                }
                2 if !held.is_empty() => {
                    let at = usize::try_from(rng.below(held.len() as u64)).expect("small");
                    window.accepted(held.swap_remove(at), 1);
                }
                _ => {
                    _ = window.flush(|told| match told {
                        Told::Ack { sequence, multiple } => {
                            let first = if multiple { 0 } else { sequence };
                            let told: Vec<u64> = waiting.range(first..=sequence).copied().collect();
                            assert!(
                                !told.is_empty() && told.iter().all(|sequence| !held.contains(sequence) && !refused.contains(sequence))
                            );
                            told.iter().for_each(|sequence| assert!(waiting.remove(sequence)));
                        }
                        Told::Nack { sequence } => {
                            assert!(refused.remove(&sequence) && waiting.remove(&sequence) && !held.contains(&sequence))
                        }
                    })
                }
            }
        }
        assert!(held.drain(..).all(|sequence| window.accepted(sequence, 1)));
        window.flush(|told| match told {
            Told::Ack { sequence, .. } => waiting.retain(|&waiting| waiting > sequence),
            Told::Nack { sequence } => assert!(refused.remove(&sequence) && waiting.remove(&sequence)),
        });
        assert!(waiting.is_empty() && refused.is_empty() && window.slots.is_empty() && window.fresh.is_empty());
    }
}

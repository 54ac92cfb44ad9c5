//! `--verify`: checks that every message arrives once in every queue that it reaches, in its
//! producer's order, with its content.
//!
//! Content is a window into one block of noise, whose offset depends on the message's number:
//! filling and comparing are one copy and one comparison, and bytes that were lost, doubled or
//! swapped between messages are found. Receipt is a bit per queue, producer and number.

use std::collections::HashMap;

use super::stamp::{STAMP_LEN, Stamp};

/// The messages that a consumer has received, and the faults.
#[derive(Default)]
pub struct Verifier {
    seen: HashMap<(u16, u16), Seen>,
    /// The faults that were found.
    pub faults: Faults,
    noise: Noise,
}

/// Counts of each kind of fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Faults {
    /// Number of messages that overtook an earlier one of their producer in a queue.
    pub disordered: u64,
    /// Number of messages that came twice from a queue.
    pub duplicated: u64,
    /// Number of messages with other content than was sent.
    pub corrupted: u64,
    /// Number of messages of no producer of this run.
    pub foreign: u64,
    /// Number of deliveries that did not come.
    pub missing: u64,
}

#[derive(Default)]
struct Seen {
    bits: Vec<u64>,
    next: u64,
}

impl Verifier {
    /// Takes the stamp of a message from a queue.
    pub fn message(&mut self, queue: u16, stamp: Option<Stamp>, producers: usize) {
        let Some(stamp) = stamp.filter(|s| usize::from(s.producer) < producers && s.number < NUMBER_MAX) else {
            self.faults.foreign += 1;
            return;
        };
        let seen = self.seen.entry((queue, stamp.producer)).or_default();
        self.faults.disordered += u64::from(stamp.number < seen.next);
        seen.next = seen.next.max(stamp.number + 1);
        self.faults.duplicated += u64::from(!seen.insert(stamp.number));
    }

    /// Compares a piece of a body, `offset` bytes after the body's beginning.
    pub fn content(&mut self, stamp: Option<Stamp>, offset: usize, piece: &[u8]) {
        let skip = STAMP_LEN.saturating_sub(offset).min(piece.len());
        let number = stamp.map_or(0, |s| s.number);
        if !self.noise.matches(number, offset + skip, &piece[skip..]) {
            self.faults.corrupted += 1;
        }
    }

    /// Adds the messages of another consumer: if both got a message of a queue, it is a duplicate.
    pub fn join(&mut self, other: Verifier) {
        for (key, theirs) in other.seen {
            self.faults.duplicated += self.seen.entry(key).or_default().join(&theirs);
        }
        self.faults.disordered += other.faults.disordered;
        self.faults.duplicated += other.faults.duplicated;
        self.faults.corrupted += other.faults.corrupted;
        self.faults.foreign += other.faults.foreign;
    }

    /// Number of different messages received, summed over queues.
    pub fn distinct(&self) -> u64 {
        self.seen.values().flat_map(|s| &s.bits).map(|w| u64::from(w.count_ones())).sum()
    }
}

impl Seen {
    /// Adds a number. Returns false if it was there.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.bits.len() {
            self.bits.resize((word + 1).next_power_of_two(), 0);
        }
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        new
    }

    /// Adds another set. Returns how many numbers were in both.
    fn join(&mut self, other: &Seen) -> u64 {
        self.bits.resize(self.bits.len().max(other.bits.len()), 0);
        self.bits
            .iter_mut()
            .zip(&other.bits)
            .map(|(mine, theirs)| {
                let both = u64::from((*mine & theirs).count_ones());
                *mine |= theirs;
                both
            })
            .sum()
    }
}

/// A block of noise, twice: from any offset in the first one, a whole block can be read.
pub struct Noise(Vec<u8>);

impl Default for Noise {
    fn default() -> Noise {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        let block: Vec<u8> = (0..NOISE_LEN).map(|_| next()).collect();
        Noise(block.repeat(2))
    }
}

impl Noise {
    /// Writes the content of message `number` at `offset`, without the stamp.
    pub fn fill(&self, number: u64, offset: usize, part: &mut [u8]) {
        let skip = STAMP_LEN.saturating_sub(offset).min(part.len());
        let mut at = place(number, offset + skip);
        for chunk in part[skip..].chunks_mut(NOISE_LEN) {
            chunk.copy_from_slice(&self.0[at..at + chunk.len()]);
            at = (at + chunk.len()) % (NOISE_LEN);
        }
    }

    fn matches(&self, number: u64, offset: usize, piece: &[u8]) -> bool {
        let mut at = place(number, offset);
        piece.chunks(NOISE_LEN).all(|chunk| {
            let same = self.0[at..at + chunk.len()] == *chunk;
            at = (at + chunk.len()) % (NOISE_LEN);
            same
        })
    }
}

/// Returns the offset in the first block of noise from which byte `offset` of message `number` is
/// taken.
fn place(number: u64, offset: usize) -> usize {
    (number.wrapping_mul(37) as usize).wrapping_add(offset) % (NOISE_LEN)
}

const NOISE_LEN: usize = 8 << 10;
/// Larger numbers than a run can reach are ignored: a corrupted stamp must not ask for memory.
const NUMBER_MAX: u64 = 1 << 36;

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(number: u64) -> Option<Stamp> {
        Some(Stamp { time_ns: 0, producer: 0, number })
    }

    #[test]
    fn order_duplicates_and_strangers() {
        let mut v = Verifier::default();
        for number in [0, 1, 3, 2, 3] {
            v.message(0, stamp(number), 1);
        }
        v.message(0, None, 1);
        assert_eq!(v.faults, Faults { disordered: 2, duplicated: 1, foreign: 1, ..Faults::default() });
        let mut other = Verifier::default();
        other.message(0, stamp(3), 1);
        other.message(1, stamp(3), 1);
        v.join(other);
        assert_eq!((v.faults.duplicated, v.distinct()), (2, 5));
    }

    #[test]
    fn content_in_any_pieces() {
        let mut body = vec![0; 40_000];
        let mut v = Verifier::default();
        v.noise.fill(9, 0, &mut body[..30_000]);
        v.noise.fill(9, 30_000, &mut body[30_000..]);
        for (offset, piece) in [(0, &body[..10]), (10, &body[10..20_000]), (20_000, &body[20_000..])] {
            v.content(stamp(9), offset, piece);
        }
        assert_eq!(v.faults.corrupted, 0);
        body[12_345] ^= 1;
        v.content(stamp(9), 0, &body);
        assert_eq!(v.faults.corrupted, 1);
    }
}

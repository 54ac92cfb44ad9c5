//! The random source of a case, and the mutations that it makes.

use ringmq::base::rng::Rng;

/// A random generator with the throws that the targets need.
pub struct Dice(Rng);

impl Dice {
    /// Makes the dice of a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(Rng::seeded(seed))
    }

    /// Returns 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u64) as usize
    }

    /// Returns true once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Makes a value with a chance of one half.
    pub fn maybe<T>(&mut self, make: impl FnOnce(&mut Dice) -> T) -> Option<T> {
        self.one_in(2).then(|| make(self))
    }

    /// Returns up to `max` random bytes.
    pub fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| self.next() as u8).collect()
    }

    /// Returns up to `max` letters.
    pub fn word(&mut self, max: usize) -> String {
        (0..self.below(max + 1)).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }

    /// Mutates up to three places of `bytes`.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.next() as u8),
                _ if at == bytes.len() => {}
                2 => drop(bytes.remove(at)),
                3 => bytes[at] = [0, 1, 2, 3, 8, 0x7f, 0x80, 0xce, 0xff][self.below(9)],
                4 => bytes[at] = bytes[at].wrapping_add(1),
                _ => bytes[at] ^= 1 << self.below(8),
            }
        }
    }
}

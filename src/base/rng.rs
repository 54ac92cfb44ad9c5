//! A small seeded random generator, for the broker's names and for the simulator.
//!
//! xoshiro256++ whose state splitmix64 derives from one number. The seed is handed in, so a run can
//! be repeated. It is not for secrets: from enough of its numbers the others can be computed. Names
//! only have to be different from each other.

use super::base64url;

/// A generator.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// Makes the generator of a seed; any number will do, including zero.
    pub fn seeded(seed: u64) -> Rng {
        let mut mixer = seed;
        Rng { state: std::array::from_fn(|_| splitmix64(&mut mixer)) }
    }

    /// Returns the next number; all 64 bits are equally random.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Returns a number from 0 to `n` - 1; `n` is at least 1. No value is favoured by more than `n`
    /// in 2^64.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below zero");
        let wide = u128::from(self.next_u64()) * u128::from(n);
        (wide >> 64) as u64
    }

    /// Fills `bytes` with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    /// Returns the suffix of a generated name, after `amq.gen-` or `amq.ctag-`: 128 bits as 22
    /// characters of base64url.
    pub fn name_suffix(&mut self) -> String {
        let bits = u128::from(self.next_u64()) << 64 | u128::from(self.next_u64());
        base64url::encode(&bits.to_be_bytes())
    }
}

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers() {
        let numbers = |seed| {
            let mut rng = Rng::seeded(seed);
            [rng.next_u64(), rng.next_u64(), rng.next_u64()]
        };
        assert_eq!(numbers(0), numbers(0));
        assert_ne!(numbers(0), numbers(1));
    }

    #[test]
    fn the_published_values_come_out() {
        assert_eq!(splitmix64(&mut 1_234_567), 6_457_827_717_110_365_317);
        let mut rng = Rng { state: [1, 2, 3, 4] };
        assert_eq!([rng.next_u64(), rng.next_u64(), rng.next_u64()], [41_943_041, 58_720_359, 3_588_806_011_781_223]);
    }

    #[test]
    fn below_reaches_every_value_and_no_other() {
        let mut rng = Rng::seeded(7);
        let mut seen = [0_u32; 5];
        (0..5000).for_each(|_| seen[usize::try_from(rng.below(5)).expect("below 5")] += 1);
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn fill_reaches_the_last_byte() {
        let mut bytes = [0; 13];
        let mut rng = Rng::seeded(3);
        let mut touched = [false; 13];
        for _ in 0..20 {
            rng.fill(&mut bytes);
            touched.iter_mut().zip(bytes).for_each(|(touched, byte)| *touched |= byte != 0);
        }
        assert_eq!(touched, [true; 13]);
    }

    #[test]
    fn a_suffix_is_22_characters_of_base64url() {
        let mut rng = Rng::seeded(1);
        let (one, other) = (rng.name_suffix(), rng.name_suffix());
        assert_ne!(one, other);
        assert_eq!(one.len(), 22);
        assert!(one.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c)));
        assert!(b"AQgw".contains(&one.as_bytes()[21]), "the last character carries two bits");
    }
}

//! The hash maps of the whole broker.
//!
//! Keys are short names that clients choose, so the hash is seeded: every process draws a seed at
//! its start, and names that collide in one process do not in the next. So a client cannot prepare
//! a flood of colliding names. The price is that iteration order differs from run to run: whatever
//! a client or a test can see is sorted, or kept in [`Slots`], and never comes from iterating a
//! map.
//!
//! [`Slots`]: super::slots::Slots

/// A map with lookups by borrowed keys. Made by `Map::default()`.
pub type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::RandomState>;

/// A set with lookups by borrowed keys. Made by `Set::default()`.
pub type Set<K> = hashbrown::HashSet<K, foldhash::fast::RandomState>;

/// Returns a hash that is the same in every process of every version: it decides where things go
/// that must go to the same place after a restart, and from every shard. Clients can work out names
/// that collide, so it must not decide how long a lookup takes. FNV-1a, mixed.
pub fn fixed(bytes: &[u8]) -> u64 {
    mixed(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// Returns a number whose every bit depends on every bit of `n` (the finalizer of MurmurHash3).
#[inline]
pub fn mixed(n: u64) -> u64 {
    let n = (n ^ n >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let n = (n ^ n >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    n ^ n >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_hash_never_changes() {
        assert_eq!([fixed(b""), fixed(b"a"), fixed(b"queue")], [17280346270528514342, 9413272369427828315, 136447113096341979]);
    }

    #[test]
    fn every_bit_spreads() {
        for bit in 0..64 {
            let changed = (mixed(77) ^ mixed(77 ^ 1 << bit)).count_ones();
            assert!((16..=48).contains(&changed), "bit {bit} changes {changed}");
        }
    }
}

//! From exchange and routing key to a number: one probe of a hash table, in as few instructions as
//! a broker needs. A null broker is not attacked, so the hash needs no secret.

use hashbrown::HashTable;

/// The table. Its keys are the two short strings of a publish as on the wire.
#[derive(Default)]
pub struct Routes(HashTable<(Box<[u8]>, usize)>);

impl Routes {
    /// The number of a route.
    #[inline]
    pub fn find(&self, route: &[u8]) -> Option<usize> {
        self.0.find(hash(route), |(key, _)| equal(key, route)).map(|(_, number)| *number)
    }

    /// The number of a route; `new` if it has none yet.
    pub fn find_or_insert(&mut self, route: Box<[u8]>, new: usize) -> usize {
        let hash_of = |(key, _): &(Box<[u8]>, usize)| hash(key);
        let equal_to = |(key, _): &(Box<[u8]>, usize)| **key == *route;
        let hash = hash(&route);
        if let Some((_, number)) = self.0.find(hash, equal_to) {
            return *number;
        }
        self.0.insert_unique(hash, (route, new), hash_of);
        new
    }

    /// Keeps the routes for which `keep` returns true.
    pub fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        self.0.retain(|(route, _)| keep(route));
    }
}

/// Multiplies and folds words; the last word overlaps the one before.
#[inline]
fn hash(bytes: &[u8]) -> u64 {
    let mut state = bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = fold(state, u64::from_le_bytes(*word));
    }
    match bytes.last_chunk::<8>() {
        Some(_) if rest.is_empty() => state,
        Some(last) => fold(state, u64::from_le_bytes(*last)),
        None => rest.iter().fold(state, |state, byte| fold(state, u64::from(*byte))),
    }
}

#[inline]
fn fold(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ word ^ ODD) * u128::from(PRIME);
    (product as u64) ^ (product >> 64) as u64
}

/// Compares keys; for 8 to 16 bytes without a call.
#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<8>(), b.first_chunk::<8>(), a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) if a.len() <= 16 => a_first == b_first && a_last == b_last,
        _ => a == b,
    }
}

const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
const PRIME: u64 = 0xD6E8_FEB8_6659_FD93;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_inserted() {
        let mut routes = Routes::default();
        let key = |i: usize| "k".repeat(i % 40) + &i.to_string();
        for i in 0..1000 {
            assert_eq!(routes.find_or_insert(key(i).into_bytes().into(), i), i);
        }
        for i in 0..1000 {
            assert_eq!(routes.find(key(i).as_bytes()), Some(i));
        }
        assert_eq!(routes.find(b"else"), None);
        routes.retain(|route| route != b"0");
        assert_eq!(routes.find(b"0"), None);
    }
}

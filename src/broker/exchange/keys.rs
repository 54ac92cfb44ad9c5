//! The routing keys of a message: its own, then those in CC and BCC.

use smallvec::SmallVec;

/// The keys, in their order and also each once.
pub struct RoutingKeys<'k> {
    all: SmallVec<[&'k [u8]; 1]>,
    /// The sorted keys, each once; empty if there is only the message's own.
    distinct: Vec<&'k [u8]>,
}

impl<'k> RoutingKeys<'k> {
    /// Makes the keys of a message from its own and those of its copies.
    pub fn new(own: &'k [u8], copies: impl Iterator<Item = &'k [u8]>) -> RoutingKeys<'k> {
        let all: SmallVec<[&[u8]; 1]> = std::iter::once(own).chain(copies).collect();
        let mut distinct = Vec::new();
        if all.len() > 1 {
            distinct.extend_from_slice(&all);
            distinct.sort_unstable();
            distinct.dedup();
        }
        RoutingKeys { all, distinct }
    }

    /// The message's own key.
    pub fn own(&self) -> &'k [u8] {
        self.all[0]
    }

    /// All keys, in their order, with repetitions.
    pub fn all(&self) -> impl Iterator<Item = &'k [u8]> {
        self.all.iter().copied()
    }

    /// Number of keys, each counted once.
    pub fn count(&self) -> usize {
        self.distinct.len().max(1)
    }

    /// Each key once, in any order.
    #[inline]
    pub fn distinct(&self) -> impl Iterator<Item = &'k [u8]> {
        if self.distinct.is_empty() { &self.all[..] } else { &self.distinct }.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_all_there_and_each_once() {
        let keys = |own: &'static str, copies: &[&'static str]| {
            let keys = RoutingKeys::new(own.as_bytes(), copies.iter().map(|key| key.as_bytes()));
            assert_eq!(keys.own(), own.as_bytes());
            (keys.all().collect::<Vec<_>>().concat(), keys.distinct().collect::<Vec<_>>().concat())
        };
        assert_eq!(keys("b", &[]), (b"b".to_vec(), b"b".to_vec()));
        assert_eq!(keys("b", &["a", "b", "", "a"]), (b"baba".to_vec(), b"ab".to_vec()));
    }
}

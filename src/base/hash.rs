//! The hash maps of the whole broker.
//!
//! Keys are short names that strangers choose, so the hash is seeded: every process draws a seed at its start, and names that
//! collide in one process do not in the next. Who cannot measure a seed cannot prepare a flood of colliding names. The price
//! is that iteration order differs from run to run: whatever a client or a test can see is sorted, or kept in [`Slots`], and
//! never comes from iterating a map.
//!
//! [`Slots`]: super::slots::Slots

/// A map with lookups by borrowed keys. Made by `Map::default()`.
pub type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::RandomState>;

/// A set with lookups by borrowed keys. Made by `Set::default()`.
pub type Set<K> = hashbrown::HashSet<K, foldhash::fast::RandomState>;

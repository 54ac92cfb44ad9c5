//! Decides which of many similar log lines are written: the first one at once, and then one per
//! second that says how many there were.
//!
//! Lines are similar if they come from one source location and are caused by one peer. Beyond
//! a number of peers, later peers count as one, so that neither the log nor the memory for this
//! grows with what clients do.
//!
//! ```text
//! lines   |xxxxxxxxxx|xxxxx     |          |x
//! written |x         |9 more    |5 more    |x        it ends after a second without any
//! ```

use std::collections::HashMap;

use super::limits::{REPEATS_MS, REPEATS_PEERS_MAX};

/// A source location: file and line.
pub type Place = (&'static str, u32);

/// The kinds of lines that are counted now. `L` describes the first line of a kind.
#[derive(Debug)]
pub struct Repeats<L> {
    kinds: HashMap<(Place, Box<str>), Kind<L>>,
}

#[derive(Debug)]
struct Kind<L> {
    first: L,
    since: u64,
    left_out: u64,
}

/// Lines that were not written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut<L> {
    /// The first line of this kind, which was written.
    pub first: L,
    /// Number of lines that were left out.
    pub count: u64,
    /// The peer that caused them.
    pub peer: Box<str>,
}

impl<L: Clone> Repeats<L> {
    /// Returns the line, made by `line`, if it is to be written.
    pub fn admit(&mut self, now: u64, place: Place, peer: &str, line: impl FnOnce() -> L) -> Option<L> {
        let is_known = |peer: &str| self.kinds.contains_key(&(place, peer.into()));
        let peer = if self.kinds.len() < REPEATS_PEERS_MAX || is_known(peer) { peer } else { OTHERS };
        match self.kinds.get_mut(&(place, peer.into())) {
            Some(kind) => {
                kind.left_out += 1;
                None
            }
            None => {
                let first = line();
                self.kinds.insert((place, peer.into()), Kind { first: first.clone(), since: now, left_out: 0 });
                Some(first)
            }
        }
    }

    /// Returns what was left out in each second that is over. To be called several times per
    /// second.
    pub fn tell(&mut self, now: u64) -> Vec<LeftOut<L>> {
        let mut told = Vec::new();
        self.kinds.retain(|(_, peer), kind| {
            if now < kind.since + REPEATS_MS {
                return true;
            }
            let count = std::mem::take(&mut kind.left_out);
            kind.since = now;
            if count > 0 {
                told.push(LeftOut { first: kind.first.clone(), count, peer: peer.clone() });
            }
            count > 0
        });
        told
    }
}

impl<L> Default for Repeats<L> {
    fn default() -> Self {
        Repeats { kinds: HashMap::new() }
    }
}

/// The peer of the lines beyond the limit of peers.
const OTHERS: &str = "others";

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = ("f", 1);

    fn told(repeats: &mut Repeats<&'static str>, now: u64) -> Vec<(&'static str, u64, String)> {
        repeats.tell(now).into_iter().map(|left_out| (left_out.first, left_out.count, left_out.peer.into())).collect()
    }

    #[test]
    fn one_line_a_second_with_a_count() {
        let mut repeats = Repeats::default();
        let written = (0..1000).filter(|now| repeats.admit(*now, PLACE, "a", || "x").is_some()).count();
        assert_eq!((written, told(&mut repeats, 999)), (1, vec![]));
        assert_eq!(told(&mut repeats, 1000), [("x", 999, "a".into())]);
        assert_eq!(repeats.admit(1500, PLACE, "a", || "y"), None);
        assert_eq!((told(&mut repeats, 1999), told(&mut repeats, 2000)), (vec![], vec![("x", 1, "a".into())]));
        assert_eq!(told(&mut repeats, 3000), []);
        assert_eq!(repeats.admit(3000, PLACE, "a", || "z"), Some("z"), "after a second without any");
    }

    #[test]
    fn others_and_other_lines_are_written() {
        let mut repeats = Repeats::default();
        for (place, peer) in [(PLACE, "a"), (PLACE, "b"), (("f", 2), "a"), (("g", 1), "a")] {
            assert_eq!(repeats.admit(0, place, peer, || "x"), Some("x"));
            assert_eq!(repeats.admit(0, place, peer, || "x"), None);
        }
        assert_eq!(told(&mut repeats, 1000).len(), 4);
    }

    #[test]
    fn beyond_a_number_of_peers_they_count_as_one() {
        let mut repeats = Repeats::default();
        let lines = (0..10 * REPEATS_PEERS_MAX).filter(|peer| repeats.admit(0, PLACE, &peer.to_string(), || "x").is_some()).count();
        assert_eq!((lines, repeats.kinds.len()), (REPEATS_PEERS_MAX + 1, REPEATS_PEERS_MAX + 1));
        assert_eq!(repeats.admit(0, PLACE, "7", || "x"), None);
        let mut told = told(&mut repeats, 1000);
        told.sort();
        assert_eq!(told, [("x", 1, "7".into()), ("x", 9 * REPEATS_PEERS_MAX as u64 - 1, OTHERS.into())]);
        assert_eq!(repeats.kinds.len(), 2);
    }
}

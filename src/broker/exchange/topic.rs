//! The topic exchange: a trie of words, walked once per message.
//!
//! ```text
//! root ─ stock ─ * ─ nyse        "stock.*.nyse"      words are what stands between dots, empty ones too;
//!   │       └─── #               "stock.#"           a key without any byte has no words
//!   └─── # ───── error           "#.error"           * is one word, # is any number of words, also none
//! ```
//!
//! A walk is at a node with some words left, and goes on to at most three children. Below a `#` it tries every number of words
//! that the `#` may have taken. Where one `#` stands below another, several ways lead to it; the one with the most words left
//! covers the others, so each such node remembers (in `most_left`) how many words it was already tried with in this walk, and tries
//! only what is new. A pair of node and words left is thus visited once at most, and `#.a.#.a.#` costs no more than its length times
//! the key's.
//!
//! Invariant: every node but the root has a destination at it or below it. Edges to words stand in one map for the whole trie.

use std::cell::Cell;
use std::hash::Hash;

use hashbrown::Equivalent;
use memchr::memchr;
use slab::Slab;

use super::{Dest, Destinations};
use crate::base::hash::Map;

/// Bindings by the words of their keys.
pub struct Topic {
    nodes: Slab<Node>,
    edges: Map<Edge, Id>,
    /// Number of the latest walk: marks of earlier ones are void.
    walk: Cell<u64>,
}

type Id = usize;

#[derive(Default)]
struct Node {
    destinations: Destinations,
    /// Edges to words.
    words: u32,
    star: Option<Id>,
    hash: Option<Id>,
    /// For a node behind a `#`: the walk that came here last, and the most bytes of the key (plus one) it had left.
    most_left: Cell<(u64, usize)>,
}

#[derive(Hash, PartialEq, Eq)]
struct Edge {
    from: Id,
    word: Box<[u8]>,
}

/// An [`Edge`] to look up; hashes like one.
#[derive(Hash)]
struct EdgeRef<'a> {
    from: Id,
    word: &'a [u8],
}

impl Equivalent<Edge> for EdgeRef<'_> {
    fn equivalent(&self, edge: &Edge) -> bool {
        self.from == edge.from && *self.word == *edge.word
    }
}

impl Default for Topic {
    fn default() -> Topic {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::default());
        debug_assert_eq!(root, ROOT);
        Topic { nodes, edges: Map::default(), walk: Cell::new(0) }
    }
}

impl Topic {
    /// Adds a binding.
    pub fn bind(&mut self, pattern: &[u8], dest: Dest) {
        let end = Words::of(pattern).fold(ROOT, |node, word| self.child_or_new(node, word));
        self.nodes[end].destinations.add(dest);
    }

    /// Takes back a binding that is there.
    pub fn unbind(&mut self, pattern: &[u8], dest: Dest) {
        let mut path = vec![(ROOT, &b""[..])];
        for word in Words::of(pattern) {
            let (node, _) = path[path.len() - 1];
            path.push((self.child(node, word).expect("what is unbound was bound"), word));
        }
        self.nodes[path[path.len() - 1].0].destinations.remove(dest);
        for step in path.windows(2).rev() {
            if !self.nodes[step[1].0].is_bare() {
                break;
            }
            self.remove_child(step[0].0, step[1].1);
        }
    }

    /// Whose pattern matches the routing key.
    #[inline]
    pub fn matching(&self, key: &[u8], found: &mut impl FnMut(Dest)) {
        self.walk.set(self.walk.get() + 1);
        self.visit(&self.nodes[ROOT], ROOT, Words::of(key), found);
    }

    fn visit(&self, node: &Node, id: Id, left: Words<'_>, found: &mut impl FnMut(Dest)) {
        if let Some(hash) = node.hash {
            self.visit_hash(hash, left, found);
        }
        let mut rest = left;
        let Some(word) = rest.next() else {
            return node.destinations.iter().for_each(found);
        };
        if node.words > 0
            && let Some(&child) = self.edges.get(&EdgeRef { from: id, word })
        {
            self.visit(&self.nodes[child], child, rest, found);
        }
        if let Some(star) = node.star {
            self.visit(&self.nodes[star], star, rest, found);
        }
    }

    /// The `#` takes no word, one, two, … or all that are left, as far as that was not tried before.
    fn visit_hash(&self, id: Id, left: Words<'_>, found: &mut impl FnMut(Dest)) {
        let node = &self.nodes[id];
        let tried = match node.most_left.get() {
            (walk, most) if walk == self.walk.get() => Some(most),
            _ => None,
        };
        if tried.is_some_and(|most| left.measure() <= most) {
            return;
        }
        node.most_left.set((self.walk.get(), left.measure()));
        if tried.is_none() && node.is_leaf() {
            return node.destinations.iter().for_each(found);
        }
        let mut rest = left;
        loop {
            if tried.is_some_and(|most| rest.measure() <= most) {
                return;
            }
            self.visit(node, id, rest, found);
            if rest.next().is_none() {
                return;
            }
        }
    }

    fn child(&self, node: Id, word: &[u8]) -> Option<Id> {
        match word {
            b"*" => self.nodes[node].star,
            b"#" => self.nodes[node].hash,
            _ => self.edges.get(&EdgeRef { from: node, word }).copied(),
        }
    }

    fn child_or_new(&mut self, node: Id, word: &[u8]) -> Id {
        if let Some(child) = self.child(node, word) {
            return child;
        }
        let child = self.nodes.insert(Node::default());
        match word {
            b"*" => self.nodes[node].star = Some(child),
            b"#" => self.nodes[node].hash = Some(child),
            _ => {
                self.edges.insert(Edge { from: node, word: word.into() }, child);
                self.nodes[node].words += 1;
            }
        }
        child
    }

    fn remove_child(&mut self, node: Id, word: &[u8]) {
        let child = match word {
            b"*" => self.nodes[node].star.take(),
            b"#" => self.nodes[node].hash.take(),
            _ => {
                self.nodes[node].words -= 1;
                self.edges.remove(&EdgeRef { from: node, word })
            }
        };
        self.nodes.remove(child.expect("a step of a path is an edge"));
    }
}

impl Node {
    /// Nothing below.
    fn is_leaf(&self) -> bool {
        self.words == 0 && self.star.is_none() && self.hash.is_none()
    }

    /// Nothing here and nothing below.
    fn is_bare(&self) -> bool {
        self.is_leaf() && self.destinations.is_empty()
    }
}

/// The words of a key that are left, or `None` when there are none. An empty rest is one empty word.
#[derive(Clone, Copy)]
struct Words<'a>(Option<&'a [u8]>);

impl<'a> Words<'a> {
    fn of(key: &'a [u8]) -> Words<'a> {
        Words((!key.is_empty()).then_some(key))
    }

    /// Falls with every word taken.
    fn measure(self) -> usize {
        self.0.map_or(0, |rest| rest.len() + 1)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let (word, rest) = match memchr(b'.', rest) {
            Some(dot) => (&rest[..dot], Some(&rest[dot + 1..])),
            None => (rest, None),
        };
        self.0 = rest;
        Some(word)
    }
}

const ROOT: Id = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::broker::exchange::tests::{collect, queue};

    fn matches(pattern: &str, key: &str) -> bool {
        let mut topic = Topic::default();
        topic.bind(pattern.as_bytes(), queue(1));
        let found = collect(|found| topic.matching(key.as_bytes(), found));
        assert!(found.len() <= 1, "{pattern} {key}");
        !found.is_empty()
    }

    #[test]
    fn words_and_wildcards_match_as_in_rabbitmq() {
        for (pattern, yes, no) in [
            ("", &[""][..], &["a", ".", "a.b"][..]),
            ("a", &["a"], &["", "a.", ".a", "b", "a.a"]),
            ("*", &["a", "*", "#"], &["", ".", "a.b"]),
            ("#", &["", "a", ".", "a.b.c", "..."], &[]),
            ("*.*", &["a.b", ".", "a.", ".b"], &["", "a", "a.b.c"]),
            ("a.*.c", &["a.b.c", "a..c"], &["a.c", "a.b.b.c"]),
            ("a.#", &["a", "a.", "a.b", "a.b.c"], &["", "b.a", "ab"]),
            ("#.a", &["a", ".a", "b.a", "a.b.a"], &["", "a.", "a.b"]),
            ("#.a.#", &["a", "b.a.c", "a.a", "..a.."], &["", "b", "b.c"]),
            ("#.#", &["", "a", "a.b"], &[]),
            ("#.*", &["a", "a.b"], &[""]),
            ("*.#", &["a", "a.b"], &[""]),
            ("a.#.*.b", &["a.x.b", "a.x.y.b"], &["a.b", "a.x.y"]),
            ("ab*", &["ab*"], &["abc"]),
            (".", &["."], &["", "a.b", ".."]),
        ] {
            yes.iter().for_each(|key| assert!(matches(pattern, key), "{pattern} does not match {key}"));
            no.iter().for_each(|key| assert!(!matches(pattern, key), "{pattern} matches {key}"));
        }
    }

    fn naive(pattern: &[&str], words: &[&str]) -> bool {
        match (pattern.split_first(), words.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), _) => naive(rest, words) || words.split_first().is_some_and(|(_, left)| naive(pattern, left)),
            (Some((&word, rest)), Some((first, left))) => (word == "*" || word == *first) && naive(rest, left),
            _ => false,
        }
    }

    fn split(key: &str) -> Vec<&str> {
        if key.is_empty() { Vec::new() } else { key.split('.').collect() }
    }

    fn random_key(rng: &mut Rng, words: &[&str]) -> String {
        let len = rng.below(6);
        (0..len).map(|_| words[rng.below(words.len() as u64) as usize]).collect::<Vec<_>>().join(".")
    }

    #[test]
    fn it_matches_like_a_naive_model() {
        let mut rng = Rng::seeded(11);
        for _ in 0..200 {
            let mut topic = Topic::default();
            let mut patterns: Vec<String> = (0..30).map(|_| random_key(&mut rng, &["a", "b", "", "*", "#", "#"])).collect();
            patterns.iter().enumerate().for_each(|(n, pattern)| topic.bind(pattern.as_bytes(), queue(n as u32)));
            while !patterns.is_empty() {
                for _ in 0..3 {
                    let key = random_key(&mut rng, &["a", "b", ""]);
                    let mut found = collect(|found| topic.matching(key.as_bytes(), found));
                    found.sort_by_key(|dest| format!("{dest:?}"));
                    let expected = (0..patterns.len()).filter(|&n| naive(&split(&patterns[n]), &split(&key)));
                    let mut expected: Vec<_> = expected.map(|n| queue(n as u32)).collect();
                    expected.sort_by_key(|dest| format!("{dest:?}"));
                    assert_eq!(found, expected, "{key:?} {patterns:?}");
                }
                let last = patterns.len() - 1;
                topic.unbind(patterns[last].as_bytes(), queue(last as u32));
                patterns.pop();
            }
            assert!(topic.nodes.len() == 1 && topic.edges.is_empty());
        }
    }

    /// Without the marks this would take longer than the universe has.
    #[test]
    fn many_hashes_cost_no_more_than_key_times_pattern() {
        let mut topic = Topic::default();
        topic.bind(["#.a"; 60].join(".").as_bytes(), queue(1));
        topic.bind(["#"; 100].join(".").as_bytes(), queue(2));
        topic.bind([vec!["#.a"; 30].join("."), "b".into()].join(".").as_bytes(), queue(3));
        let key = ["a"; 120].join(".");
        let found = collect(|found| topic.matching(key.as_bytes(), found));
        assert!(found.len() == 2 && found.contains(&queue(1)) && found.contains(&queue(2)));
    }

    #[test]
    fn a_destination_stays_until_its_last_binding_goes() {
        let mut topic = Topic::default();
        topic.bind(b"a.*", queue(1));
        topic.bind(b"a.*", queue(1));
        topic.bind(b"a.*.c", queue(2));
        topic.unbind(b"a.*", queue(1));
        assert_eq!(collect(|found| topic.matching(b"a.b", found)), [queue(1)]);
        topic.unbind(b"a.*", queue(1));
        assert!(collect(|found| topic.matching(b"a.b", found)).is_empty());
        assert_eq!(collect(|found| topic.matching(b"a.b.c", found)), [queue(2)]);
    }
}

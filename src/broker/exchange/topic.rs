//! The topic exchange: a trie of words, walked once per routing key.
//!
//! ```text
//! root ─ stock ─ * ─ nyse     "stock.*.nyse"   words are the parts between dots, also empty ones
//!   │       └─── #            "stock.#"        a key without any byte has no words
//!   └─── # ───── error        "#.error"        * is one word, # is any number of words, also none
//! ```
//!
//! A walk is at a node with some words left, and goes on to at most three children. A `#` may have
//! taken any number of words, so below it a walk is at many positions of the key at once: from
//! there on it carries the set of them, a bit for each. A node has one parent, and its parent's set
//! has all positions. So no key visits a node twice: a message costs the nodes that its keys reach,
//! however many `#` there are.
//!
//! Several keys of one message may reach the same node; its destinations are found once.
//!
//! Invariant: every node except the root has a destination at it or below it. Edges to words are in
//! one table for the whole trie. Those of one node are also linked to each other, because for a
//! node with few of them it is cheaper to go through all of them than to look up each word of the
//! key.

use std::cell::Cell;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use super::places::{Places, Words};
use super::{Dest, Destinations};

/// Bindings by the words of their keys.
pub struct Topic {
    nodes: Slab<Node>,
    /// Nodes to which a word leads, by their parent and that word.
    edges: HashTable<Id>,
    hasher: foldhash::fast::RandomState,
    /// Number of the latest message: marks with other numbers are void.
    message: Cell<u64>,
}

type Id = u32;

struct Node {
    destinations: Destinations,
    /// The parent.
    parent: Id,
    /// The word that leads here; empty for a wildcard.
    word: SmallVec<[u8; 16]>,
    /// Number of children to which words lead.
    words: u32,
    /// The first of these children.
    first: Id,
    /// The next one of the parent's children to which words lead.
    next: Id,
    /// The previous one.
    prev: Id,
    star: Id,
    hash: Id,
    /// The number of the message for which the destinations were last found.
    given: Cell<u64>,
}

/// One key on its way through the trie.
struct Walk<'k, F> {
    key: &'k [u8],
    /// The positions of each of the key's words, by word, once a set of positions is needed.
    words: Vec<(&'k [u8], Places)>,
    /// The positions before a word.
    within: Places,
    /// The position after the last word.
    end: usize,
    visited: usize,
    found: F,
}

impl Default for Topic {
    fn default() -> Topic {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::new(NONE, b""));
        debug_assert_eq!(root, ROOT as usize);
        Topic { nodes, edges: HashTable::new(), hasher: foldhash::fast::RandomState::default(), message: Cell::new(0) }
    }
}

impl Topic {
    /// Adds a binding.
    pub fn bind(&mut self, pattern: &[u8], dest: Dest) {
        let end = Words::of(pattern).fold(ROOT, |node, word| self.child_or_new(node, word));
        self.node_mut(end).destinations.add(dest);
    }

    /// Removes a binding, which must exist.
    pub fn unbind(&mut self, pattern: &[u8], dest: Dest) {
        let mut at = Words::of(pattern).fold(ROOT, |node, word| self.child(node, word).expect("a binding that is removed exists"));
        self.node_mut(at).destinations.remove(dest);
        while at != ROOT && self.node(at).is_bare() {
            let parent = self.node(at).parent;
            self.remove_child(parent, at);
            at = parent;
        }
    }

    /// Finds the destinations whose pattern matches one of a message's routing keys. Returns the
    /// number of nodes that were visited.
    #[inline]
    pub fn matching<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, mut found: impl FnMut(Dest)) -> usize {
        self.message.set(self.message.get() + 1);
        keys.map(|key| {
            let mut walk = Walk { key, words: Vec::new(), within: Places::default(), end: 0, visited: 0, found: &mut found };
            self.visit(ROOT, Words::of(key), &mut walk);
            walk.visited
        })
        .sum()
    }

    fn visit(&self, id: Id, left: Words<'_>, walk: &mut Walk<'_, impl FnMut(Dest)>) {
        walk.visited += 1;
        let node = self.node(id);
        if node.hash != NONE {
            self.visit_hash(node.hash, left, walk);
        }
        let mut rest = left;
        let Some(word) = rest.next() else {
            return self.give(node, walk);
        };
        if node.words > 0
            && let Some(child) = self.edge(id, word)
        {
            self.visit(child, rest, walk);
        }
        if node.star != NONE {
            self.visit(node.star, rest, walk);
        }
    }

    /// Visits a `#`, which takes no word, one, two, … or all that are left.
    fn visit_hash(&self, id: Id, left: Words<'_>, walk: &mut Walk<'_, impl FnMut(Dest)>) {
        let node = self.node(id);
        if node.is_leaf() {
            walk.visited += 1;
            return self.give(node, walk);
        }
        walk.note_words();
        let places = Places::from(walk.end - left.count(), walk.end);
        self.visit_set(id, &places, walk);
    }

    /// Visits a node with all positions of the key at which a walk may be there.
    fn visit_set(&self, id: Id, places: &Places, walk: &mut Walk<'_, impl FnMut(Dest)>) {
        walk.visited += 1;
        let node = self.node(id);
        if node.hash != NONE {
            self.visit_set(node.hash, &Places::from(places.first(), walk.end), walk);
        }
        if places.has(walk.end) {
            self.give(node, walk);
        }
        if node.star != NONE
            && let Some(next) = places.behind(&walk.within, walk.end)
        {
            self.visit_set(node.star, &next, walk);
        }
        if node.words as usize > walk.words.len() {
            for at in 0..walk.words.len() {
                if let Some(next) = places.behind(&walk.words[at].1, walk.end)
                    && let Some(child) = self.edge(id, walk.words[at].0)
                {
                    self.visit_set(child, &next, walk);
                }
            }
            return;
        }
        let mut child = node.first;
        while child != NONE {
            if let Ok(at) = walk.words.binary_search_by_key(&&self.node(child).word[..], |&(word, _)| word)
                && let Some(next) = places.behind(&walk.words[at].1, walk.end)
            {
                self.visit_set(child, &next, walk);
            }
            child = self.node(child).next;
        }
    }

    #[inline]
    fn give(&self, node: &Node, walk: &mut Walk<'_, impl FnMut(Dest)>) {
        if node.given.replace(self.message.get()) != self.message.get() {
            node.destinations.iter().for_each(&mut walk.found);
        }
    }

    #[inline]
    fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    #[inline]
    fn edge(&self, from: Id, word: &[u8]) -> Option<Id> {
        let leads = |&id: &Id| self.node(id).parent == from && self.node(id).word[..] == *word;
        self.edges.find(self.hasher.hash_one((from, word)), leads).copied()
    }

    fn child(&self, node: Id, word: &[u8]) -> Option<Id> {
        match word {
            b"*" => Some(self.node(node).star).filter(|&id| id != NONE),
            b"#" => Some(self.node(node).hash).filter(|&id| id != NONE),
            _ => self.edge(node, word),
        }
    }

    fn child_or_new(&mut self, node: Id, word: &[u8]) -> Id {
        if let Some(child) = self.child(node, word) {
            return child;
        }
        let own = if matches!(word, b"*" | b"#") { b"" } else { word };
        let child = self.nodes.insert(Node::new(node, own)) as Id;
        match word {
            b"*" => self.node_mut(node).star = child,
            b"#" => self.node_mut(node).hash = child,
            _ => self.link(node, child),
        }
        child
    }

    fn link(&mut self, parent: Id, child: Id) {
        let next = std::mem::replace(&mut self.node_mut(parent).first, child);
        self.node_mut(parent).words += 1;
        self.node_mut(child).next = next;
        if next != NONE {
            self.node_mut(next).prev = child;
        }
        let Topic { nodes, edges, hasher, .. } = self;
        let hash = |id: Id| hasher.hash_one((nodes[id as usize].parent, &nodes[id as usize].word[..]));
        edges.insert_unique(hash(child), child, |&id| hash(id));
    }

    fn remove_child(&mut self, parent: Id, child: Id) {
        let Node { word, prev, next, .. } = self.nodes.remove(child as usize);
        let above = self.node_mut(parent);
        match child {
            id if id == above.star => return above.star = NONE,
            id if id == above.hash => return above.hash = NONE,
            _ => above.words -= 1,
        }
        if next != NONE {
            self.node_mut(next).prev = prev;
        }
        match prev {
            NONE => self.node_mut(parent).first = next,
            prev => self.node_mut(prev).next = next,
        }
        let edge = self.edges.find_entry(self.hasher.hash_one((parent, &word[..])), |&id| id == child);
        edge.expect("a word that leads somewhere is an edge").remove();
    }
}

impl Node {
    fn new(parent: Id, word: &[u8]) -> Node {
        let given = Cell::new(0);
        let destinations = Destinations::default();
        Node { destinations, parent, word: word.into(), words: 0, first: NONE, next: NONE, prev: NONE, star: NONE, hash: NONE, given }
    }

    /// Whether the node has no children.
    fn is_leaf(&self) -> bool {
        self.words == 0 && self.star == NONE && self.hash == NONE
    }

    /// Whether the node has no destinations and no children.
    fn is_bare(&self) -> bool {
        self.is_leaf() && self.destinations.is_empty()
    }
}

impl<F> Walk<'_, F> {
    /// Collects the positions of each of the key's words, if that was not done before.
    fn note_words(&mut self) {
        if !self.words.is_empty() || self.key.is_empty() {
            return;
        }
        let mut all: Vec<_> = Words::of(self.key).zip(0..).collect();
        self.end = all.len();
        self.within = Places::from(0, self.end - 1);
        all.sort_unstable();
        for (word, at) in all {
            if self.words.last().is_none_or(|last| last.0 != word) {
                self.words.push((word, Places::none(self.end)));
            }
            self.words.last_mut().expect("a word was just added").1.insert(at);
        }
    }
}

const ROOT: Id = 0;
const NONE: Id = Id::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::broker::exchange::tests::{collect, queue};

    fn matches(pattern: &str, key: &str) -> bool {
        let mut topic = Topic::default();
        topic.bind(pattern.as_bytes(), queue(1));
        let found = collect(|found| _ = topic.matching(once(&key), found));
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
                    let mut found = collect(|found| _ = topic.matching(once(&key), found));
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

    fn once(key: &(impl AsRef<[u8]> + ?Sized)) -> impl Iterator<Item = &[u8]> {
        std::iter::once(key.as_ref())
    }

    /// Without sets of positions, this would take longer than the age of the universe.
    #[test]
    fn many_hashes_cost_no_more_than_the_pattern() {
        let mut topic = Topic::default();
        topic.bind(["#.a"; 60].join(".").as_bytes(), queue(1));
        topic.bind(["#"; 100].join(".").as_bytes(), queue(2));
        topic.bind([vec!["#.a"; 30].join("."), "b".into()].join(".").as_bytes(), queue(3));
        let key = ["a"; 120].join(".");
        let mut visited = 0;
        let found = collect(|found| visited = topic.matching(once(&key), found));
        assert!(found.len() == 2 && found.contains(&queue(1)) && found.contains(&queue(2)));
        assert!(visited <= topic.nodes.len(), "{visited} nodes visited of {}", topic.nodes.len());
    }

    #[test]
    fn no_key_visits_a_node_twice() {
        let mut topic = Topic::default();
        for number in 0..1 << 12 {
            let words = (0..12).map(|bit| if number >> bit & 1 == 1 { "*" } else { "a" }).collect::<Vec<_>>();
            topic.bind(format!("#.{}", words.join(".")).as_bytes(), queue(number));
            topic.bind(format!("#.{}.{number}", words.join(".#.")).as_bytes(), queue(number));
        }
        for key in [["a"; 128].join("."), ".".repeat(254), "a.b".repeat(60), (0..70).map(|n| n.to_string()).collect::<Vec<_>>().join(".")] {
            let visited = topic.matching(once(&key), |_| {});
            assert!(visited <= topic.nodes.len(), "{key}: {visited} nodes visited of {}", topic.nodes.len());
        }
    }

    #[test]
    fn keys_of_any_length_match() {
        let mut topic = Topic::default();
        topic.bind(b"#.x.*.#.y", queue(1));
        for words in [10, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000] {
            for at in 0..words - 2 {
                let mut key = vec!["a"; words];
                (key[at], key[words - 1]) = ("x", "y");
                assert_eq!(collect(|found| _ = topic.matching(once(&key.join(".")), found)), [queue(1)], "{at} of {words}");
                key[words - 1] = "x";
                assert!(collect(|found| _ = topic.matching(once(&key.join(".")), found)).is_empty(), "{at} of {words}");
            }
        }
    }

    #[test]
    fn keys_of_one_message_name_destinations_once() {
        let mut topic = Topic::default();
        (0..100).for_each(|n| topic.bind(b"#", queue(n)));
        topic.bind(b"a.#.b", queue(7));
        let keys: Vec<String> = (0..100).map(|n| format!("a.{n}.b")).collect();
        assert_eq!(collect(|found| _ = topic.matching(keys.iter().map(String::as_bytes), found)).len(), 101);
        assert_eq!(collect(|found| _ = topic.matching(keys.iter().map(String::as_bytes), found)).len(), 101, "and the next one's, too");
    }

    #[test]
    fn a_destination_stays_until_its_last_binding_goes() {
        let mut topic = Topic::default();
        topic.bind(b"a.*", queue(1));
        topic.bind(b"a.*", queue(1));
        topic.bind(b"a.*.c", queue(2));
        topic.unbind(b"a.*", queue(1));
        assert_eq!(collect(|found| _ = topic.matching(once(b"a.b"), found)), [queue(1)]);
        topic.unbind(b"a.*", queue(1));
        assert!(collect(|found| _ = topic.matching(once(b"a.b"), found)).is_empty());
        assert_eq!(collect(|found| _ = topic.matching(once(b"a.b.c"), found)), [queue(2)]);
    }
}

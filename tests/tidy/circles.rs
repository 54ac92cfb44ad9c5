//! Circles: inside a room, no folder or file of its first level imports another one that imports it
//! again, directly or over several steps.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// The imports between the members of one room.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Returns the circles of all rooms, as sentences.
pub fn circles(files: &[Source]) -> Vec<String> {
    let mut rooms: BTreeMap<String, Graph> = BTreeMap::new();
    for file in files {
        if let Some((room, own)) = place(&file.path) {
            let code: String = file.product().map(|(_, line)| line).collect::<Vec<_>>().join("\n");
            let mut others = imports(&code, &room);
            others.remove(&own);
            rooms.entry(room).or_default().entry(own).or_default().extend(others);
        }
    }
    rooms.iter().flat_map(|(room, graph)| circles_of(room, graph)).collect()
}

fn circles_of(room: &str, graph: &Graph) -> Vec<String> {
    let is_known = |one: &str, other: &str| KNOWN.iter().any(|(path, ..)| *path == room || *path == format!("{room}: {one}, {other}"));
    let mut found = Vec::new();
    for (one, others) in graph {
        for other in others.iter().filter(|other| reaches(graph, other, one)) {
            if !is_known(one, other) && !is_known(other, one) {
                found.push(format!("src/{room}: {one} imports {other}, which leads back to it"));
            }
        }
    }
    found
}

fn reaches(graph: &Graph, from: &str, to: &str) -> bool {
    let (mut seen, mut ahead) = (BTreeSet::new(), vec![from]);
    while let Some(name) = ahead.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            ahead.extend(graph.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

/// Returns the room of a file, and the folder or file of the room's first level that contains it.
fn place(path: &str) -> Option<(String, String)> {
    let (room, rest) = path.strip_prefix("src/")?.split_once('/')?;
    let own = rest.split('/').next()?.trim_end_matches(".rs");
    (own != "mod" && room != "bin").then(|| (room.to_owned(), own.to_owned()))
}

/// Returns the names that follow `crate::room::`, alone or in a group.
fn imports(code: &str, room: &str) -> BTreeSet<String> {
    let start = format!("crate::{room}::");
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(&start) {
        let behind = &code[at + start.len()..];
        let group = behind.strip_prefix('{').and_then(|group| group.split('}').next());
        let members = group.map_or(vec![behind], |group| group.split(',').collect());
        let name = |member: &str| member.trim().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect::<String>();
        names.extend(members.into_iter().map(name).filter(|name| name.starts_with(|letter: char| letter.is_lowercase())));
    }
    names
}

/// Circles that are allowed, with the reason. An entry with only a room allows all of its circles.
const KNOWN: [(&str, &str); 3] = [
    ("shard", "most of a shard's methods need two owners: each stands with the one whose state it changes most"),
    ("io: net, ring", "the ring tries at its start whether the kernel can do what receiving wants"),
    ("io: net, token", "a token names the way of receiving that it completes"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_over_several_steps() {
        let graph = |edges: &[(&str, &str)]| {
            let mut graph = Graph::new();
            edges.iter().for_each(|(one, other)| _ = graph.entry((*one).into()).or_default().insert((*other).into()));
            graph
        };
        assert!(circles_of("r", &graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
        assert_eq!(circles_of("r", &graph(&[("a", "b"), ("b", "c"), ("c", "a")])).len(), 3);
        assert!(circles_of("io", &graph(&[("net", "ring"), ("ring", "net")])).is_empty());
        let code = "use crate::r::{a, b::c, D};\nuse crate::r::e::f;\nuse crate::s::g;";
        assert_eq!(imports(code, "r").into_iter().collect::<Vec<_>>(), ["a", "b", "e"]);
        assert_eq!(place("src/io/net/socket.rs"), Some(("io".into(), "net".into())));
        assert_eq!((place("src/io/mod.rs"), place("src/main.rs")), (None, None));
    }
}

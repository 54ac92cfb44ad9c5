//! The imports between rooms: a room imports only rooms of lower layers, and no protocol imports
//! another protocol.

use super::source::{Complaint, Source};

/// Complains about every import of a room that is not below the file's own room.
pub fn imports(file: &Source) -> Vec<Complaint> {
    let Some(own) = own_room(file) else { return Vec::new() };
    let code = file.code.join("\n");
    let mut complaints = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let line = 1 + code[..at].matches('\n').count();
        for target in targets(&code[at + "crate::".len()..]) {
            complaints.extend(refusal(file, own, &target).map(|rule| Complaint { line, rule }));
        }
    }
    complaints
}

/// Returns the room of a file; none for the crate's root and the programs, which may import all
/// rooms.
fn own_room(file: &Source) -> Option<&str> {
    let room = file.path.strip_prefix("src/")?.split_once('/')?.0;
    (room != "bin").then_some(room)
}

/// Returns the paths that follow `crate::`, each cut to its first two names: one path, or the
/// members of a group.
fn targets(after: &str) -> Vec<String> {
    let Some(group) = after.strip_prefix('{') else { return vec![first_two(after)] };
    let (mut depth, mut members) = (0, vec![String::new()]);
    for letter in group.chars() {
        match letter {
            '}' if depth == 0 => break,
            ',' if depth == 0 => members.push(String::new()),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => members.last_mut().expect("there is always one").push(letter),
        }
    }
    members.iter().map(|member| first_two(member.trim())).collect()
}

fn first_two(path: &str) -> String {
    let end = path.find(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':')).unwrap_or(path.len());
    path[..end].split("::").take(2).collect::<Vec<_>>().join("::")
}

/// Returns the reason why a file of room `own` may not import `target`, if there is one.
fn refusal(file: &Source, own: &str, target: &str) -> Option<String> {
    let mut names = target.split("::");
    let room = names.next()?;
    let Some(height) = layer(room) else { return Some(format!("crate::{room} is no room of the house")) };
    let own_height = layer(own)?;
    if room == "protocol" && own != "protocol" && !file.path.starts_with("src/shard/session/") {
        return Some("only shard/session lists protocols".to_owned());
    }
    if room == own {
        let sibling = names.next().filter(|_| own == "protocol")?;
        let inside = format!("src/protocol/{sibling}");
        return (!file.path.starts_with(&inside)).then(|| format!("a protocol imports its sibling {sibling}"));
    }
    (height >= own_height).then(|| format!("{own} (layer {own_height}) imports {room} (layer {height})"))
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

const LAYERS: [&[&str]; 7] = [
    &["base"],
    &["config", "message"],
    &["contract"],
    &["transport", "protocol", "broker", "store", "cluster"],
    &["shard", "definitions"],
    &["io", "management"],
    &["start"],
];

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn sees_paths_and_groups() {
        assert_eq!(targets("base::ids::Id;"), ["base::ids"]);
        assert_eq!(targets("io;"), ["io"]);
        assert_eq!(targets("{base::{ids, rng::Rng}, protocol::amqp::frame};"), ["base::ids", "protocol::amqp"]);
    }
}

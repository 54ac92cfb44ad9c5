//! The rules that do not depend on the rooms: sizes, essays, unsafe code, banned calls.

use super::source::{Complaint, Source};

/// Complains about a file that is too long.
pub fn file_length(file: &Source) -> Vec<Complaint> {
    too_long(file, FILE_LINES_MAX)
}

/// Complains about a script that is too long: it should be a Rust program or test.
pub fn script_length(file: &Source) -> Vec<Complaint> {
    too_long(file, SCRIPT_LINES_MAX)
}

fn too_long(file: &Source, most: usize) -> Vec<Complaint> {
    let lines = file.text.lines().count();
    let complain = || Complaint { line: lines, rule: format!("{lines} lines, at most {most}") };
    if lines > most { vec![complain()] } else { Vec::new() }
}

/// Complains about functions that are too long, from the name to the closing brace.
pub fn function_length(file: &Source) -> Vec<Complaint> {
    let code = file.code.join("\n");
    let mut complaints = Vec::new();
    for (at, _) in code.match_indices("fn ").filter(|(at, _)| !continues_a_word(&code[..*at])) {
        let lines = body_end(&code[at..]).map_or(0, |end| 1 + code[at..at + end].matches('\n').count());
        if lines > FUNCTION_LINES_MAX {
            let line = 1 + code[..at].matches('\n').count();
            let name = code[at + 3..].split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default();
            complaints.push(Complaint { line, rule: format!("fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}") });
        }
    }
    complaints
}

/// Returns the end of a function's body, or none if it has no body.
fn body_end(code: &str) -> Option<usize> {
    let (mut braces, mut parentheses) = (0, 0);
    for (at, letter) in code.char_indices() {
        match letter {
            '(' | '[' => parentheses += 1,
            ')' | ']' => parentheses -= 1,
            '{' => braces += 1,
            '}' => braces -= 1,
            ';' if braces == 0 && parentheses == 0 => return None,
            _ => continue,
        }
        if letter == '}' && braces == 0 {
            return Some(at);
        }
    }
    None
}

fn continues_a_word(before: &str) -> bool {
    before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
}

/// Complains about a file without an essay at its start.
pub fn essay(file: &Source) -> Vec<Complaint> {
    let said = !file.is_rust() || file.text.starts_with("//!");
    if said { Vec::new() } else { vec![Complaint { line: 1, rule: "starts without //!".into() }] }
}

/// Complains about public constants of `limits.rs` without a comment above them.
pub fn documented_limits(file: &Source) -> Vec<Complaint> {
    if file.path != "src/base/limits.rs" {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let bare = |at: &usize| lines[*at].starts_with("pub ") && !lines[at.saturating_sub(1)].starts_with("///");
    (0..lines.len()).filter(bare).map(|at| Complaint { line: at + 1, rule: "a limit without its reason".into() }).collect()
}

/// Complains about unsafe code outside the files that call the system or share memory with another
/// thread.
pub fn unsafe_code(file: &Source) -> Vec<Complaint> {
    if file.is_in(&UNSAFE_PLACES) {
        return Vec::new();
    }
    let uses = file.lines().filter(|(_, line)| has_word(line, "unsafe"));
    uses.map(|(line, _)| Complaint { line, rule: format!("unsafe stands only in {UNSAFE_PLACES:?}") }).collect()
}

/// Complains about calls outside the places that are allowed to make them, tests excepted.
pub fn banned_calls(file: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (line, code) in file.product() {
        for (call, allowed) in BANNED {
            if has_word(code, call) && !file.is_in(allowed) {
                complaints.push(Complaint { line, rule: format!("{call} stands only in {allowed:?}") });
            }
        }
    }
    complaints
}

/// Complains about a log line that a peer may cause but that does not name the peer, by which such
/// lines are counted (`io/logging.rs`).
pub fn peers_are_named(file: &Source) -> Vec<Complaint> {
    if file.is_in(&COUNTED) {
        return Vec::new();
    }
    let lines: Vec<(usize, &str)> = file.product().collect();
    let mut complaints = Vec::new();
    for (at, (line, code)) in lines.iter().enumerate() {
        let arguments = LOGS.iter().find_map(|call| code.split_once(call)).map(|(_, arguments)| arguments.trim());
        let first = match arguments {
            Some("") => lines.get(at + 1).map_or("", |(_, code)| code.trim()),
            Some(arguments) => arguments,
            None => continue,
        };
        if !first.starts_with("peer") {
            complaints
                .push(Complaint { line: *line, rule: "a line of the log that a peer may cause begins with `peer:% = ADDRESS;`".into() });
        }
    }
    complaints
}

/// Whether the line contains the word, not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| {
        let starts = word.starts_with(|letter| !is_letter(letter)) || !line[..at].ends_with(is_letter);
        let ends = word.ends_with(|letter| !is_letter(letter)) || !line[at + word.len()..].starts_with(is_letter);
        starts && ends
    })
}

/// Files that limit such lines themselves.
const COUNTED: [&str; 1] = ["src/shard/queues/cycles.rs"];
/// Lines of these levels may be caused by a peer; more severe ones are about the broker.
const LOGS: [&str; 3] = ["log::warn!(", "log::info!(", "log::debug!("];
const FILE_LINES_MAX: usize = 499;
const SCRIPT_LINES_MAX: usize = 99;
const FUNCTION_LINES_MAX: usize = 70;

const UNSAFE_PLACES: [&str; 5] = ["src/io/", "src/base/spsc.rs", "perf/src/ceiling/", "perf/src/sys.rs", "tests/io/"];

/// Each banned call with the places that may make it.
const BANNED: [(&str, &[&str]); 13] = [
    (".unwrap()", &[]),
    ("todo!", &[]),
    ("unimplemented!", &[]),
    ("dbg!", &[]),
    ("Instant::now", SYSTEM),
    ("SystemTime", SYSTEM),
    ("std::thread", SYSTEM),
    ("std::process", SYSTEM),
    ("std::net::TcpStream", SYSTEM),
    ("Mutex", MUTEXES),
    ("RwLock", &[]),
    ("println!", PROGRAMS),
    ("eprintln!", PROGRAMS),
];
/// What threads share far from the path of messages: the log, and the demands of operators.
const MUTEXES: &[&str] =
    &["perf/src/", "src/io/host/logging.rs", "src/base/inbox.rs", "src/management/broker.rs", "src/management/metrics/sums.rs"];
/// The places of clocks, threads and sockets; machines get them as arguments.
const SYSTEM: &[&str] = &["src/io/", "src/start/", "src/main.rs", "src/bin/", "perf/src/"];
/// Programs that print to the terminal.
const PROGRAMS: &[&str] = &["src/main.rs", "src/bin/", "perf/src/"];

//! Tests that README's tables name the flags and the configuration keys that the program takes, and
//! no others.
//!
//! ```text
//! | flag | default | …     | `--shards N` | one per CPU | …
//! | keys | flag |          | `frame_max`, `definitions.tls.certfile`, `.keyfile`, `listeners.tcp.NAME` | …
//! ```
//!
//! A key that begins with a dot is a sibling of the one before it; a name in capitals, and a `*` at
//! the end, stand for any.

use std::collections::BTreeSet;

use clap::CommandFactory;

use super::flags::CommandLine;
use super::{defaults, keys};

#[test]
fn readme_has_every_flag() {
    let (command, rows) = (CommandLine::command(), rows("flag"));
    let flags: BTreeSet<&str> = command.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(clap::Arg::get_long).collect();
    let described: BTreeSet<&str> = rows.iter().flat_map(|row| flags_of(row)).collect();
    let lacking: Vec<_> = flags.difference(&described).collect();
    assert!(lacking.is_empty(), "README's table lacks the flags {lacking:?}");
    let unknown: Vec<_> = described.difference(&flags).collect();
    assert!(unknown.is_empty(), "README's table has flags that do not exist: {unknown:?}");
}

#[test]
fn readme_has_the_defaults_of_flags() {
    let command = CommandLine::command();
    for row in rows("flag") {
        let shown: Vec<&str> = row[1].split(", ").map(|default| default.trim_matches('`')).collect();
        for name in flags_of(&row) {
            let flag = command.get_arguments().find(|flag| flag.get_long() == Some(name));
            let default = flag.and_then(|flag| flag.get_default_values().first()?.to_str());
            let is_shown = default.is_none_or(|default| shown.contains(&default));
            assert!(is_shown, "README's default of --{name} is {shown:?}, the program's is {default:?}");
        }
    }
}

#[test]
fn readme_has_every_key() {
    let known: Vec<&str> = keys::KNOWN.iter().map(|(key, ..)| *key).chain(defaults::KNOWN).filter(|key| *key != REFUSED).collect();
    let described: Vec<String> = rows("keys").iter().flat_map(|row| keys_of(row)).collect();
    let lacking: Vec<_> = known.iter().filter(|key| !described.iter().any(|described| describes(described, key))).collect();
    assert!(lacking.is_empty(), "README's table lacks the keys {lacking:?}");
    let unknown: Vec<_> = described.iter().filter(|described| !known.iter().any(|key| describes(described, key))).collect();
    assert!(unknown.is_empty(), "README's table has keys that mean nothing: {unknown:?}");
}

#[test]
fn every_key_is_a_flag_that_exists() {
    let command = CommandLine::command();
    for (key, flag, _) in keys::KNOWN {
        assert!(command.get_arguments().any(|known| known.get_long() == Some(flag)), "{key} is --{flag}, which does not exist");
    }
}

/// The cells of the table whose first column has this title.
fn rows(title: &str) -> Vec<Vec<String>> {
    let lines = README.lines().skip_while(|line| !line.starts_with(&format!("| {title} |")));
    let rows: Vec<Vec<String>> = lines.skip(2).take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(!rows.is_empty(), "README has no table of {title}");
    rows
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim_matches('|').replace("\\|", "/");
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The flags of a row, without `--`.
fn flags_of(row: &[String]) -> Vec<&str> {
    codes(&row[0]).filter_map(|code| code.strip_prefix("--")?.split(' ').next()).collect()
}

/// The keys of a row, with `*` for names.
fn keys_of(row: &[String]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for code in codes(&row[0]) {
        let parents = keys.last().filter(|_| code.starts_with('.')).and_then(|before| before.rsplit_once('.'));
        let key = parents.map_or(code.to_owned(), |(parents, _)| format!("{parents}{code}"));
        let any = |name: &str| if name.bytes().all(|byte| byte.is_ascii_uppercase()) { "*".to_owned() } else { name.to_owned() };
        keys.push(key.split('.').map(any).collect::<Vec<_>>().join("."));
    }
    keys
}

/// What stands between backticks.
fn codes(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn describes(described: &str, key: &str) -> bool {
    described == key || described.strip_suffix('*').is_some_and(|start| key.starts_with(start))
}

const README: &str = include_str!("../../README.md");

/// RabbitMQ takes `none` only, which would leave this broker without a listener.
const REFUSED: &str = "listeners.tcp";

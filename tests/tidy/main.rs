//! The rules of the house, kept by a test: who may import whom, how large files and functions may be, which calls are banned where.
//!
//! Every rule looks at one file and returns complaints; a test per rule shows all complaints at once, each with its file and line. Rules
//! read code whose comments and literals are blanked (`code.rs`), so that words in texts do not count.

mod code;
mod layers;
mod rules;
mod source;

use source::{Complaint, Source};

/// Asks every file under the directories and fails with all complaints.
fn check(directories: &[&str], rule: impl Fn(&Source) -> Vec<Complaint>) {
    let files = source::collect(directories);
    assert!(!files.is_empty(), "there is nothing in {directories:?}");
    let complaints: Vec<String> = files.iter().flat_map(|file| rule(file).into_iter().map(move |complaint| complaint.show(file))).collect();
    assert!(complaints.is_empty(), "{} complaints:\n{}\n", complaints.len(), complaints.join("\n"));
}

const ALL: &[&str] = &["src", "tests", "benches", "perf/src"];
const PRODUCT: &[&str] = &["src", "perf/src"];

#[test]
fn rooms_import_only_lower_rooms() {
    check(&["src"], layers::imports);
}

#[test]
fn files_are_short() {
    check(ALL, rules::file_length);
}

#[test]
fn functions_are_short() {
    check(ALL, rules::function_length);
}

#[test]
fn scripts_are_short() {
    check(&["scripts", ".ci"], rules::script_length);
}

#[test]
fn files_say_what_they_are() {
    check(ALL, rules::essay);
}

#[test]
fn limits_are_documented() {
    check(&["src/base"], rules::documented_limits);
}

#[test]
fn unsafe_stands_where_it_may() {
    check(ALL, rules::unsafe_code);
}

#[test]
fn peers_are_named_in_the_log() {
    check(&["src/shard", "src/protocol"], rules::peers_are_named);
}

#[test]
fn banned_calls_are_absent() {
    check(PRODUCT, rules::banned_calls);
}

//! The rules of the project, enforced by tests: the imports that a room may have, the sizes of
//! files and functions, the places of certain calls, and the table of behaviours, which must have
//! every row that code and traces refer to.
//!
//! Every rule looks at one file and returns complaints; a test per rule shows all complaints at
//! once, each with its file and line. Rules about code read it with comments and literals blanked
//! (`code.rs`), so that words in texts do not count.

mod behaviour;
mod circles;
mod code;
mod layers;
mod rules;
mod source;
mod walks;

use source::{Complaint, Source};

/// Applies a rule to every file under the directories, and fails with all complaints.
fn check(directories: &[&str], rule: impl Fn(&Source) -> Vec<Complaint>) {
    let files = source::collect(directories);
    assert!(!files.is_empty(), "there is nothing in {directories:?}");
    check_files(&files, rule);
}

/// Applies a rule to these files, and fails with all complaints.
fn check_files(files: &[Source], rule: impl Fn(&Source) -> Vec<Complaint>) {
    let complaints: Vec<String> = files.iter().flat_map(|file| rule(file).into_iter().map(move |complaint| complaint.show(file))).collect();
    assert!(complaints.is_empty(), "{} complaints:\n{}\n", complaints.len(), complaints.join("\n"));
}

const ALL: &[&str] = &["src", "tests", "benches", "perf/src"];
const PRODUCT: &[&str] = &["src", "perf/src"];

/// The places that may refer to behaviours.
const TEXTS: &[&str] =
    &["README.md", "src", "tests", "benches", "perf/NOTES.md", "perf/README.md", "perf/scenarios", "perf/src", "scripts"];
const ENDINGS: &[&str] = &["rs", "py", "js", "java", "sh", "md", "toml", "trace"];

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

#[test]
fn the_table_of_behaviours_has_each_row_once() {
    let table = source::collect_ending(&[behaviour::TABLE], &["md"]);
    assert!(table.iter().any(|table| !behaviour::rows(&table.text).is_empty()), "there are no rows");
    check_files(&table, behaviour::repeated_rows);
}

#[test]
fn references_to_behaviours_lead_to_rows() {
    let table = source::collect_ending(&[behaviour::TABLE], &["md"]);
    let rows = behaviour::rows(&table[0].text);
    check_files(&source::collect_ending(TEXTS, ENDINGS), |file| behaviour::unknown_rows(file, &rows));
}

#[test]
fn traces_name_the_rows_that_they_show() {
    let traces = source::collect_ending(&["tests/traces"], &["trace"]);
    assert!(!traces.is_empty(), "there are no traces");
    check_files(&traces, behaviour::traces_without_rows);
}

#[test]
fn walks_pass_functions_that_exist() {
    let essay = source::collect_ending(&["src/lib.rs"], &["rs"]);
    assert!(essay.iter().any(|essay| walks::walks(&essay.text).len() > 20), "there are no walks");
    check_files(&essay, walks::lost_functions);
}

#[test]
fn rooms_have_no_circles() {
    let found = circles::circles(&source::collect(&["src"]));
    assert!(found.is_empty(), "{} circles:\n{}\n", found.len(), found.join("\n"));
}

//! The table of behaviours, and the references to its rows.
//!
//! ```text
//! |S14|Consumer timeout|…      a row of the table
//! row S14                      a reference; or several: rows X20, N3, or a range: rows DL1 to DL12
//! # D12, P3: what it shows     the head of a trace, which names the rows that it shows
//! ```
//!
//! Every reference leads to a row, no two rows have the same id, and every trace names a row.

use std::collections::HashSet;

use super::source::{Complaint, Source};

/// The path of the table.
pub const TABLE: &str = "tests/traces/BEHAVIOUR.md";

/// Returns the ids of all rows in the text of the table.
pub fn rows(table: &str) -> HashSet<Id<'_>> {
    table.lines().filter_map(row).collect()
}

/// Complains about ids that two rows of the table have.
pub fn repeated_rows(table: &Source) -> Vec<Complaint> {
    let mut seen = HashSet::new();
    let ids = table.text.lines().enumerate().filter_map(|(at, line)| Some((at + 1, row(line)?)));
    let repeated = ids.filter(|(_, id)| !seen.insert(*id));
    repeated.map(|(line, id)| Complaint { line, rule: format!("row {} stands twice", id.show()) }).collect()
}

/// Complains about references to rows that are not in the table.
pub fn unknown_rows(file: &Source, rows: &HashSet<Id<'_>>) -> Vec<Complaint> {
    let heads = trace_rows(file).unwrap_or_default().into_iter().map(|id| (1, id));
    let unknown = heads.chain(references(&file.text)).filter(|(_, id)| !rows.contains(id));
    unknown.map(|(line, id)| Complaint { line, rule: format!("row {} is not in {TABLE}", id.show()) }).collect()
}

/// Complains about a trace that does not begin with the rows that it shows.
pub fn traces_without_rows(trace: &Source) -> Vec<Complaint> {
    let complaint = || Complaint { line: 1, rule: format!("begins without `# ID: `, a row of {TABLE}") };
    if trace_rows(trace).is_some() { Vec::new() } else { vec![complaint()] }
}

/// The id of a row: its topic, and its number in the topic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Id<'a> {
    topic: &'a str,
    number: u32,
}

impl<'a> Id<'a> {
    /// Parses one to three capital letters and a number.
    fn parse(text: &'a str) -> Option<Id<'a>> {
        let (topic, number) = text.split_at(text.find(|letter: char| !letter.is_ascii_uppercase())?);
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        let is_id = (1..=3).contains(&topic.len()) && is_number;
        number.parse().ok().filter(|_| is_id).map(|number| Id { topic, number })
    }

    fn show(self) -> String {
        format!("{}{}", self.topic, self.number)
    }
}

/// Returns the id of the row that begins in a line of the table.
fn row(line: &str) -> Option<Id<'_>> {
    Id::parse(line.strip_prefix('|')?.split('|').next()?.trim())
}

/// Returns the ids of the rows at the head of a trace.
fn trace_rows(file: &Source) -> Option<Vec<Id<'_>>> {
    let (rows, _) = file.text.strip_prefix("# ").filter(|_| file.path.ends_with(".trace"))?.split_once(": ")?;
    rows.split(", ").map(Id::parse).collect()
}

/// Returns the rows that a text refers to, each with its line. A reference may go on in the next
/// line.
fn references(text: &str) -> Vec<(usize, Id<'_>)> {
    let words: Vec<(usize, &str)> = text.lines().enumerate().flat_map(|(at, line)| words(line).map(move |word| (at + 1, word))).collect();
    let begins = |(_, word): &(usize, &str)| ["row", "rows", "Row", "Rows"].contains(&word.trim_start_matches(OPENINGS));
    let lists = (0..words.len()).filter(|&at| begins(&words[at])).map(|at| list(&words[at + 1..]));
    lists.flatten().collect()
}

/// Returns the words of a line, without comment marks.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace().filter(|word| !["//!", "///", "//", "#"].contains(word))
}

/// Returns the ids at the front of the words, separated by a comma or `and`, or by `to` for a
/// range.
fn list<'a>(words: &[(usize, &'a str)]) -> Vec<(usize, Id<'a>)> {
    let mut ids: Vec<(usize, Id<'a>)> = Vec::new();
    let mut joint = ",";
    for &(line, word) in words {
        match Id::parse(word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric())) {
            Some(id) if !joint.is_empty() => {
                let before = ids.last().map(|(_, before)| *before).filter(|before| joint == "to" && before.topic == id.topic);
                let between = before.map_or(id.number, |before| before.number + 1)..id.number;
                ids.extend(between.map(|number| (line, Id { number, ..id })));
                ids.push((line, id));
                joint = if word.ends_with(',') { "," } else { "" };
            }
            None if ["and", "to"].contains(&word) && !ids.is_empty() => joint = word,
            _ => break,
        }
    }
    ids
}

/// Characters that may precede a word.
const OPENINGS: [char; 4] = ['(', '[', '"', '`'];

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), code: Vec::new(), tests_from: 0 }
    }

    fn shown(complaints: &[Complaint]) -> Vec<(usize, &str)> {
        complaints.iter().map(|complaint| (complaint.line, &*complaint.rule)).collect()
    }

    #[test]
    fn ids_are_capitals_and_a_number() {
        for id in ["A1", "DL12", "PO9"] {
            assert_eq!(Id::parse(id).map(Id::show).as_deref(), Some(id));
        }
        for other in ["", "A", "1", "a1", "A0", "A01", "A1b", "ABCD1", "A-1", "#"] {
            assert_eq!(Id::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_table_has_rows_and_other_lines() {
        let table = "# A1\n| # | Feature |\n|---|---|\n|A1|one|\n| A2 |two, as row A1|\n|/a|three|\n|A1|four|\n";
        assert_eq!(rows(table), ["A1", "A2"].into_iter().filter_map(Id::parse).collect());
        assert_eq!(shown(&repeated_rows(&file(TABLE, table))), [(7, "row A1 stands twice")]);
    }

    #[test]
    fn references_are_lists_and_ranges() {
        for (text, expected) in [
            ("(row D16).", "D16"),
            ("(row D5: only if", "D5"),
            ("Row DL6, D4", "DL6 D4"),
            ("(rows X20, N3; see row C1)", "X20 N3 C1"),
            ("rows S11 to S13, D23): S1", "S11 S12 S13 D23"),
            ("Rows DL1 to DL3, and RabbitMQ 4", "DL1 DL2 DL3"),
            ("rows F4 and SH2.", "F4 SH2"),
            ("rows S2, S8 S9", "S2 S8"),
            ("`row A1`", "A1"),
            ("(rows S1,\n    /// S3)", "S1 S3"),
            ("many in a row", ""),
            ("a row of A1, arrow A1", ""),
            ("A1 to A3", ""),
        ] {
            let found: Vec<String> = references(text).into_iter().map(|(_, id)| id.show()).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
        assert_eq!(references("a\n// row A1\n").first().map(|(line, _)| *line), Some(2));
    }

    #[test]
    fn an_unknown_row_is_told_where_it_is_named() {
        let rows = rows("|S1||\n|S3||\n");
        let text = file("src/a.rs", "//! One (row S1).\n\n/// Others (rows S1 to\n/// S3).");
        assert_eq!(shown(&unknown_rows(&text, &rows)), [(4, "row S2 is not in tests/traces/BEHAVIOUR.md")]);
        let trace = file("tests/traces/a/b.trace", "# S3, S4: it is so.\n");
        assert_eq!(shown(&unknown_rows(&trace, &rows)), [(1, "row S4 is not in tests/traces/BEHAVIOUR.md")]);
        assert_eq!(traces_without_rows(&trace).len(), 0);
        for head in ["# It is so.", "S3: it is so.", "# S3 it is so.", "# S3, s4: it is so."] {
            assert_eq!(traces_without_rows(&file("a.trace", head)).len(), 1, "{head}");
        }
    }
}

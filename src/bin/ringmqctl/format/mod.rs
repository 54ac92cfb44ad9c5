//! The forms in which a command's output may be printed.
//!
//! Every command has a usual form; `--formatter` chooses another one.

mod csv;
mod erlang;
mod json;
mod pretty;
mod table;

use crate::term::{Row, Term};
use serde_json::Value;

/// The output of a command.
#[derive(Debug)]
pub enum Output {
    /// Nothing but success.
    Done,
    /// Nothing at all, in every form.
    Nothing,
    /// A text, or the same as JSON.
    Text(String),
    /// A text for people, and an object for programs.
    Report { text: String, json: Value },
    /// Rows with the same columns, one after the other.
    Rows(Vec<Row>),
    /// Rows that are known as a whole, so that an empty list can be seen: an empty line.
    List(Vec<Row>),
    /// A term.
    Term(Term),
    /// Lines.
    Lines(Vec<String>),
}

/// A form of output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Texts as they are.
    Plain,
    /// Cells with tabs between them.
    Table,
    /// Boxes on a terminal, else a table.
    Pretty,
    /// Comma-separated values.
    Csv,
    /// One JSON document.
    Json,
    /// One JSON document per row.
    JsonStream,
    /// Terms of Erlang.
    Erlang,
}

/// What the forms depend on beside the output.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// Whether a table has a row of column names.
    pub has_headers: bool,
    /// Whether boxes can be drawn.
    pub is_terminal: bool,
    /// The name of the node, for JSON about commands without output.
    pub node: &'a str,
}

impl Format {
    /// Finds a form by its name.
    pub fn named(name: &str) -> Option<Format> {
        let is = |(known, _): &&(&str, Format)| *known == name;
        NAMES.iter().find(is).map(|&(_, format)| format)
    }

    /// Whether programs read it, so that nothing else may be printed.
    pub fn is_for_programs(self) -> bool {
        matches!(self, Format::Json | Format::JsonStream | Format::Csv)
    }

    /// Prints an output.
    pub fn print(self, output: &Output, style: Style<'_>) -> String {
        match (self, output) {
            (_, Output::Nothing) => String::new(),
            (Format::Json | Format::JsonStream, _) => json::print(self, output, style.node),
            (_, Output::Done) => String::new(),
            (Format::Erlang, Output::Rows(rows) | Output::List(rows)) => line(&erlang::rows(rows)),
            (Format::Erlang, Output::Text(text) | Output::Report { text, .. }) => line(&erlang::binary(text)),
            (Format::Csv, Output::Rows(rows) | Output::List(rows)) => csv::print(rows),
            (Format::Pretty, Output::Rows(rows) | Output::List(rows)) if style.is_terminal => pretty::print(rows),
            (_, Output::Rows(rows)) => table::print(rows, style.has_headers),
            (_, Output::List(rows)) if rows.is_empty() => line(""),
            (_, Output::List(rows)) => table::print(rows, style.has_headers),
            (_, Output::Text(text) | Output::Report { text, .. }) => line(text),
            (_, Output::Lines(lines)) => lines.iter().map(|text| line(text)).collect(),
            (_, Output::Term(term)) => line(&erlang::print(term)),
        }
    }
}

/// The name of each form.
pub const NAMES: &[(&str, Format)] = &[
    ("csv", Format::Csv),
    ("erlang", Format::Erlang),
    ("json", Format::Json),
    ("json_stream", Format::JsonStream),
    ("pretty_table", Format::Pretty),
    ("string", Format::Plain),
    ("table", Format::Table),
];

fn line(text: &str) -> String {
    format!("{text}\n")
}

#[cfg(test)]
mod tests;

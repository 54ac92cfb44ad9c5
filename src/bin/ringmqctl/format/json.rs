//! JSON: a list of rows with one row a line, so that a long list can be read as it comes, or a single
//! document.

use serde_json::{Value, json};

use crate::format::{Format, Output};
use crate::term::{Row, Term};

/// Prints an output as one document, or as one document per row.
pub fn print(format: Format, output: &Output, node: &str) -> String {
    match output {
        Output::List(rows) if rows.is_empty() => "[]\n".into(),
        Output::Rows(rows) | Output::List(rows) => print_rows(format, rows.iter().map(object)),
        Output::Lines(lines) => print_rows(format, lines.iter().map(|line| Value::from(line.as_str()).to_string())),
        Output::Nothing => String::new(),
        Output::Done => document(&json!({ "node": node, "result": "ok" })),
        Output::Text(text) => document(&json!({ "node": node, "result": "ok", "value": text })),
        Output::Report { json, .. } => document(json),
        Output::Term(term) => document(&Value::from(term)),
    }
}

fn print_rows(format: Format, rows: impl Iterator<Item = String>) -> String {
    if format == Format::JsonStream {
        return rows.map(|row| format!("{row}\n\n")).collect();
    }
    let lines: String = rows.enumerate().map(|(at, row)| format!("{}{row}\n", if at == 0 { "" } else { "," })).collect();
    format!("[\n{lines}]\n")
}

fn document(value: &Value) -> String {
    format!("{value}\n")
}

/// Prints a row as an object whose keys have the order of the columns.
fn object(row: &Row) -> String {
    let member = |(name, term): &(String, Term)| format!("{}:{}", Value::from(name.as_str()), Value::from(term));
    format!("{{{}}}", row.iter().map(member).collect::<Vec<_>>().join(","))
}

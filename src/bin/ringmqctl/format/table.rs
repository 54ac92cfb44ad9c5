//! Tables of cells with tabs between them, which scripts cut.

use crate::format::erlang;
use crate::term::{Row, Term};

/// Prints rows, below the names of their columns.
pub fn print(rows: &[Row], has_headers: bool) -> String {
    let names = rows.first().filter(|row| has_headers && !row.is_empty()).map(|row| join(row.iter().map(|(name, _)| name.clone())));
    let cells = rows.iter().map(|row| join(row.iter().map(|(_, term)| cell(term))));
    names.into_iter().chain(cells).map(|line| line + "\n").collect()
}

fn join(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join("\t")
}

/// Prints the content of a cell.
pub fn cell(term: &Term) -> String {
    match term {
        Term::Nothing => String::new(),
        Term::Text(text) | Term::Atom(text) => text.clone(),
        Term::Address(address) => address.to_string(),
        Term::List(items) if items.iter().all(|item| matches!(item, Term::Integer(_))) => erlang::print(term),
        Term::List(items) => format!("[{}]", commas(items.iter().map(cell))),
        Term::Pairs(pairs) => format!("[{}]", commas(pairs.iter().map(pair))),
        Term::Properties(pairs) => {
            format!("[{}]", commas(pairs.iter().map(|(key, value)| format!("{{{}, {}}}", erlang::atom(key), cell(value)))))
        }
        Term::Map(pairs) => format!("#{{{}}}", commas(pairs.iter().map(|(key, value)| format!("{key} => {}", cell(value))))),
        Term::Arguments(table) => arguments(table),
        Term::Tuple(items) => match &items[..] {
            [key, value] => format!("{{{}, {}}}", erlang::print(key), cell(value)),
            _ => erlang::print(term),
        },
        Term::Integer(_) | Term::Float(_) => erlang::print(term),
    }
}

fn commas(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn pair((key, value): &(String, Term)) -> String {
    format!("{{{}, {}}}", erlang::binary(key), cell(value))
}

/// Prints arguments without their types.
fn arguments(table: &[(String, Term)]) -> String {
    let entry = |(key, value): &(String, Term)| format!("{{{},{}}}", erlang::string(key), untyped(value));
    format!("[{}]", table.iter().map(entry).collect::<Vec<_>>().join(","))
}

fn untyped(value: &Term) -> String {
    match value {
        Term::Text(text) => erlang::string(text),
        Term::Arguments(table) => arguments(table),
        Term::List(items) => format!("[{}]", items.iter().map(untyped).collect::<Vec<_>>().join(",")),
        _ => erlang::print(value),
    }
}

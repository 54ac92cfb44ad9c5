//! Comma-separated values, every one in quotes, below the names of the columns.

use crate::format::table::cell;
use crate::term::Row;

/// Prints rows.
pub fn print(rows: &[Row]) -> String {
    let names = rows.first().map(|row| join(row.iter().map(|(name, _)| name.clone())));
    let cells = rows.iter().map(|row| join(row.iter().map(|(_, term)| cell(term))));
    names.into_iter().chain(cells).map(|line| line + "\n").collect()
}

fn join(values: impl Iterator<Item = String>) -> String {
    values.map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect::<Vec<_>>().join(",")
}

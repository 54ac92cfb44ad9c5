//! Tables in boxes, for terminals.

use crate::format::table::cell;
use crate::term::Row;

/// Prints rows in a box, below the names of their columns.
pub fn print(rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let names: Vec<String> = first.iter().map(|(name, _)| name.clone()).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|(_, term)| cell(term)).collect()).collect();
    let width = |column: usize| cells.iter().chain([&names]).map(|row| columns(&row[column])).max().unwrap_or_default();
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let mut box_lines = vec![rule(&widths, ["┌", "┬", "┐"]), line(&names, &widths)];
    for row in &cells {
        box_lines.push(rule(&widths, ["├", "┼", "┤"]));
        box_lines.push(line(row, &widths));
    }
    box_lines.push(rule(&widths, ["└", "┴", "┘"]));
    box_lines.concat()
}

/// Returns the columns that a text takes on a terminal, if each of its letters takes one.
fn columns(text: &str) -> usize {
    text.chars().count()
}

fn rule(widths: &[usize], [left, middle, right]: [&str; 3]) -> String {
    let bars: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
    format!("{left}{}{right}\n", bars.join(middle))
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!(" {cell}{} ", " ".repeat(width - columns(cell))));
    format!("│{}│\n", padded.collect::<Vec<_>>().join("│"))
}

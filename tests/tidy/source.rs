//! The files that the rules look at.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::code;

/// One file, as the rules see it.
pub struct Source {
    /// Its path from the root of the project.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Its lines with comments and literals blanked; only for Rust.
    pub code: Vec<String>,
    /// The first line of the tests (counted from 0); they go on to the end of the file.
    pub tests_from: usize,
}

impl Source {
    /// Whether it is a Rust file.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Returns the code of the product, with line numbers from 1.
    pub fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().take(self.tests_from)
    }

    /// Returns all code, with line numbers from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()))
    }

    /// Whether the file is one of these places, or is below one of them.
    pub fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }
}

/// A broken rule.
pub struct Complaint {
    pub line: usize,
    pub rule: String,
}

impl Complaint {
    /// Formats the complaint so that an editor can jump to it.
    pub fn show(&self, file: &Source) -> String {
        format!("{}:{}: {}", file.path, self.line, self.rule)
    }
}

/// Returns every program and script under the directories, in the order of their paths.
pub fn collect(directories: &[&str]) -> Vec<Source> {
    collect_ending(directories, &PROGRAMS)
}

/// Returns every file at or under the places that has one of these endings or no ending, in the
/// order of their paths.
pub fn collect_ending(places: &[&str], endings: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for place in places {
        walk(&root.join(place), endings, &mut paths);
    }
    paths.sort();
    let tests = test_modules(&paths);
    paths.iter().filter_map(|path| read(root, path, &tests)).collect()
}

fn walk(place: &Path, endings: &[&str], paths: &mut Vec<PathBuf>) {
    if !place.is_dir() {
        let is_wanted = place.extension().is_none_or(|extension| endings.iter().any(|known| extension == *known));
        paths.extend(is_wanted.then(|| place.to_owned()));
        return;
    }
    let entries = fs::read_dir(place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
    for entry in entries {
        let path = entry.expect("a directory can be read").path();
        if !FOREIGN.iter().any(|name| path.ends_with(name)) {
            walk(&path, endings, paths);
        }
    }
}

fn read(root: &Path, path: &Path, test_modules: &HashSet<PathBuf>) -> Option<Source> {
    let text = fs::read_to_string(path).ok()?;
    let name = path.strip_prefix(root).expect("it was found under the root").to_str().expect("paths are text").to_owned();
    let blanked = if name.ends_with(".rs") { code::blank(&text) } else { String::new() };
    let code: Vec<String> = blanked.lines().map(str::to_owned).collect();
    let all_tests = name.starts_with("tests/") || name.starts_with("benches/") || test_modules.contains(path);
    let tests_from = if all_tests { 0 } else { first_test_line(&code) };
    Some(Source { path: name, text, code, tests_from })
}

/// Returns the line at which the tests begin: `#[cfg(test)] mod tests { … }` at the bottom.
fn first_test_line(code: &[String]) -> usize {
    let starts = |pair: &[String]| pair[0].trim() == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].contains('{');
    code.windows(2).position(starts).unwrap_or(code.len())
}

/// Returns the files of modules that are declared under `#[cfg(test)]`.
fn test_modules(paths: &[PathBuf]) -> HashSet<PathBuf> {
    let mut found = HashSet::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            if let Some(name) = pair[1].strip_suffix(';').and_then(|line| line.split("mod ").nth(1)) {
                found.insert(module_directory(path).join(name).with_extension("rs"));
            }
        }
    }
    found
}

fn module_directory(path: &Path) -> PathBuf {
    let owns_its_directory = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| path.ends_with(name));
    if owns_its_directory { path.parent().expect("a file stands in a directory").to_owned() } else { path.with_extension("") }
}

/// The endings of programs and scripts.
const PROGRAMS: [&str; 4] = ["rs", "py", "js", "sh"];

/// Directories whose files are not ours.
const FOREIGN: [&str; 2] = ["node_modules", "__pycache__"];

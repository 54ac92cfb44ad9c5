//! The walks through the code in the crate's essay: each line names a function that exists.

use std::path::Path;

use super::source::{Complaint, Source};

/// Complains about a line of a walk whose function does not exist.
pub fn lost_functions(file: &Source) -> Vec<Complaint> {
    walks(&file.text).into_iter().filter(|(_, path)| !exists(path)).map(|(line, path)| complaint(line, &path)).collect()
}

fn complaint(line: usize, path: &str) -> Complaint {
    Complaint { line, rule: format!("a walk passes {path}, which does not exist") }
}

/// Returns the paths of all walks, with their lines.
pub fn walks(text: &str) -> Vec<(usize, String)> {
    let mut is_inside = false;
    let mut paths = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some(line) = line.strip_prefix("//!").map(str::trim) else { continue };
        match line {
            "```walk" => is_inside = true,
            "```" => is_inside = false,
            _ if is_inside => paths.extend(line.split_whitespace().next().map(|path| (number, path.to_owned()))),
            _ => {}
        }
    }
    paths
}

/// Whether a module of the product has a function of this name.
fn exists(path: &str) -> bool {
    let Some((module, function)) = path.rsplit_once("::") else { return false };
    let file = module.replace("::", "/");
    let candidates = [format!("src/{file}.rs"), format!("src/{file}/mod.rs")];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = candidates.iter().find_map(|file| std::fs::read_to_string(root.join(file)).ok()).unwrap_or_default();
    [format!("fn {function}("), format!("fn {function}<")].iter().any(|start| text.contains(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_are_found_and_functions_looked_up() {
        let text = "//! ```walk\n//! io::driver::run   the loop\n//! ```\n//! ```text\n//! io::driver::no\n//! ```\n";
        assert_eq!(walks(text), [(2, "io::driver::run".to_owned())]);
        assert!(exists("io::driver::run"));
        assert!(!exists("io::driver::walk") && !exists("io::drivers::run") && !exists("run"));
    }
}

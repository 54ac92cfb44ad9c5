//! The file of figures: a line `scenario = instructions # reason` per scenario. Other lines stay as
//! they are.

use std::fs;
use std::path::Path;

/// The lines of the file.
#[derive(Clone)]
pub struct Figures(Vec<String>);

impl Figures {
    /// Reads the file.
    pub fn read(path: &Path) -> Figures {
        Figures::parse(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn parse(text: &str) -> Figures {
        Figures(text.lines().map(str::to_owned).collect())
    }

    /// Returns the instructions per message of a scenario.
    pub fn get(&self, scenario: &str) -> Option<f64> {
        let line = self.0.iter().find(|line| name(line) == Some(scenario))?;
        let (_, value) = line.split_once('=')?;
        Some(value.split('#').next()?.trim().parse().unwrap_or_else(|error| panic!("{line}: {error}")))
    }

    /// Replaces a figure; its reason is still to be written.
    pub fn set(&mut self, scenario: &str, instructions: f64) {
        let line = format!("{scenario} = {instructions:.0} # {WHY}");
        match self.0.iter_mut().find(|line| name(line) == Some(scenario)) {
            Some(old) => *old = line,
            None => self.0.push(line),
        }
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        fs::write(path, self.0.join("\n") + "\n").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Returns the scenarios that lack a reason.
    pub fn unexplained(&self) -> Vec<&str> {
        let explained = |line: &str| line.split_once('#').is_some_and(|(_, why)| !why.trim().is_empty() && why.trim() != WHY);
        self.0.iter().filter(|line| !explained(line)).filter_map(|line| name(line)).collect()
    }
}

fn name(line: &str) -> Option<&str> {
    line.split_once('=').map(|(name, _)| name.trim()).filter(|name| !name.starts_with('#'))
}

/// The text in place of a reason that is still to be written.
const WHY: &str = "why?";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_figure_asks_for_its_reason() {
        let mut figures = Figures::parse("# essay = none\n[table]\na = 10 # first\nb = 20 # other");
        assert_eq!((figures.get("a"), figures.get("c"), figures.unexplained()), (Some(10.0), None, vec![]));
        figures.set("a", 11.4);
        figures.set("c", 30.0);
        assert_eq!(figures.0.join("\n"), "# essay = none\n[table]\na = 11 # why?\nb = 20 # other\nc = 30 # why?");
        assert_eq!(figures.unexplained(), ["a", "c"]);
    }
}

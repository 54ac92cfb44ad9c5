//! Patterns by which askers choose names. They have the asker's own, maybe hostile, form and are
//! matched with very many names, so both the time for a name and the time for all are bounded.

use std::cell::Cell;

use fancy_regex::{Error, Regex, RegexBuilder};

use crate::base::limits::PATTERN_SIZE_MAX;

/// A pattern, and how many names it took too long for.
#[derive(Clone, Debug)]
pub struct NamePattern {
    regex: Regex,
    slow: Cell<u32>,
}

impl NamePattern {
    /// Compiles a pattern; the builder has its text and modes.
    ///
    /// # Errors
    /// The pattern is wrong, or too large.
    pub fn new(builder: &mut RegexBuilder) -> Result<NamePattern, Error> {
        builder.backtrack_limit(BACKTRACKS_MAX).delegate_size_limit(PATTERN_SIZE_MAX).max_prog_size(PATTERN_SIZE_MAX);
        Ok(NamePattern { regex: builder.build()?, slow: Cell::new(0) })
    }

    /// Whether the pattern matches a part of the name. Names for which it takes too long do not match,
    /// and after many of them no name does.
    pub fn matches(&self, name: &str) -> bool {
        if self.slow.get() >= SLOW_MAX {
            return false;
        }
        self.regex.is_match(name.as_bytes()).unwrap_or_else(|_| {
            self.slow.set(self.slow.get() + 1);
            false
        })
    }
}

/// Steps back for a name.
const BACKTRACKS_MAX: usize = 5_000;
/// Names for which the pattern may take too long.
const SLOW_MAX: u32 = 1_000;

//! The patterns of permissions and of policies: Perl-compatible regular expressions over octets,
//! not anchored.
//!
//! RabbitMQ reads them with PCRE. Here, most of them are matched in time linear in the name.
//! Patterns with look-around or back-references backtrack; a pattern that backtracks too much does
//! not match.

use fancy_regex::{BytesMode, Regex, RegexBuilder};

use crate::base::limits::{PATTERN_BACKTRACKS_MAX, PATTERN_SIZE_MAX};

/// A pattern, ready to be matched.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// `.*`: every name.
    All,
    /// ``: the empty name, as `^$`.
    Empty,
    /// Any other pattern.
    Regex(Box<Regex>),
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The error in the pattern.
    pub fn new(text: &str) -> Result<Pattern, String> {
        match text {
            ".*" => Ok(Pattern::All),
            "" => Ok(Pattern::Empty),
            _ => {
                let mut builder = RegexBuilder::new(text);
                builder.bytes_mode(BytesMode::Ascii).unicode_mode(false);
                builder.backtrack_limit(PATTERN_BACKTRACKS_MAX).delegate_size_limit(PATTERN_SIZE_MAX).max_prog_size(PATTERN_SIZE_MAX);
                builder.build().map(|regex| Pattern::Regex(Box::new(regex))).map_err(|error| error.to_string())
            }
        }
    }

    /// Whether the pattern matches a part of the name.
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Pattern::All => true,
            Pattern::Empty => name.is_empty(),
            Pattern::Regex(regex) => regex.is_match(name).unwrap_or(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(name.as_bytes())
    }

    #[test]
    fn patterns_are_not_anchored() {
        assert!(matches("b", "abc") && matches("^a|c$", "abc") && !matches("^b", "abc") && !matches("B", "abc") && matches("(?i)B", "abc"));
        assert!(matches(".*", "") && matches(".*", "abc") && matches("a?", "") && matches("^$", ""));
        assert!(matches("", "") && !matches("", "abc") && !matches("^$", "abc"));
    }

    #[test]
    fn patterns_look_around() {
        let no_system_queue = r"^(?!amq\.).+";
        assert!(matches(no_system_queue, "orders") && !matches(no_system_queue, "amq.gen-1"));
        assert!(matches("^orders(?=-)(?!.*secret)", "orders-new") && !matches("^orders(?=-)(?!.*secret)", "orders-secret"));
        assert!(matches("(?<=^team-)a", "team-a") && !matches("(?<!^team-)a$", "team-a") && matches(r"^(\w)\1$", "aa"));
    }

    #[test]
    fn names_are_octets() {
        assert!(matches("^..$", "ä") && matches("ä", "bär") && !matches(r"^\w+$", "bär"));
        assert!(Pattern::new("^.$").expect("a pattern").matches(b"\xff"));
        assert!(matches("^{client_id}-a{2}$", "{client_id}-aa"));
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        for bad in ["(", "[a", "*", "(?<!a+)"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_that_backtracks_too_long_does_not_match() {
        let name = "a".repeat(255);
        assert!(!matches(r"^(?=(a+)+b)", &name), "it would take 2^255 steps");
        assert!(!matches(r"^((a|aa)\2?)+!$", &name));
        assert!(Pattern::new(&format!("(?:{}{{1000}}){{1000}}", "(a|b)")).is_err(), "it would take gigabytes");
    }
}

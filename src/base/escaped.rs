//! Text from clients on one line of the log: a name may contain line ends, terminal commands, or
//! characters that change the direction of writing.

use std::fmt::{self, Display, Write};

/// Displays a value with such characters escaped as in Rust: `\n`, `\u{1b}`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Sieve(f), "{}", self.0)
    }
}

struct Sieve<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Sieve<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(is_unfit) {
            let last = piece.chars().next_back().filter(|&last| is_unfit(last));
            self.0.write_str(&piece[..piece.len() - last.map_or(0, char::len_utf8)])?;
            last.map_or(Ok(()), |last| write!(self.0, "{}", last.escape_default()))?;
        }
        Ok(())
    }
}

/// Whether a character must be escaped: control characters, separators of lines and paragraphs, and
/// characters that change the direction of writing.
fn is_unfit(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_stay_on_its_line_is_escaped() {
        let shown = |text: &str| Escaped(text).to_string();
        assert_eq!(shown("user 'ä'"), "user 'ä'");
        assert_eq!(shown("a\nb\r\t\0"), r"a\nb\r\t\u{0}");
        assert_eq!(shown("\u{1b}[2J\u{7f}\u{85}"), r"\u{1b}[2J\u{7f}\u{85}");
        assert_eq!(shown("\u{202e}x\u{2028}\u{feff}"), r"\u{202e}x\u{2028}\u{feff}");
        assert_eq!(Escaped(format_args!("{}-{}", "a\n", 1)).to_string(), r"a\n-1");
        assert_eq!(shown(""), "");
    }
}

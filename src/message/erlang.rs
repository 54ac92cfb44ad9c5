//! Bytes as RabbitMQ's error texts print them: as text, or as an Erlang binary.

use std::borrow::Cow;
use std::fmt;

/// Returns what Erlang's `~ts` makes of bytes: UTF-8 if they are valid, otherwise one Latin-1
/// character per byte. For names in reply texts.
pub fn erlang_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(latin1_text(bytes)),
    }
}

/// Returns what Erlang's `~s` makes of bytes: one Latin-1 character per byte.
pub fn latin1_text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// Displays bytes as Erlang's `~tp` does: `<<"text">>` if they are printable ASCII or Latin-1,
/// `<<"text"/utf8>>` if they are printable UTF-8, `<<1,2,3>>` otherwise, and always with `{:#}`
/// (Erlang's `~w`).
#[derive(Clone, Copy, Debug)]
pub struct ErlangBinary<'a>(pub &'a [u8]);

impl fmt::Display for ErlangBinary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = erlang_text(self.0);
        if f.alternate() || text.is_empty() || !text.chars().all(printable) {
            return octets(self.0, f);
        }
        f.write_str("<<")?;
        quoted(&text, f)?;
        let utf8 = matches!(text, Cow::Borrowed(text) if !text.is_ascii());
        f.write_str(if utf8 { "/utf8>>" } else { ">>" })
    }
}

/// Displays bytes as Erlang's `~tp` does with a list of them: `"text"` if they are printable
/// Latin-1, otherwise `[1,2,3]`.
#[derive(Clone, Copy, Debug)]
pub struct ErlangString<'a>(pub &'a [u8]);

impl fmt::Display for ErlangString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = latin1_text(self.0);
        if text.is_empty() || !text.chars().all(printable) {
            return write!(f, "[{}]", numbers(self.0));
        }
        quoted(&text, f)
    }
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    for char in text.chars() {
        match ESCAPES.iter().find(|(escaped, _)| *escaped == char) {
            Some((_, letter)) => write!(f, "\\{letter}")?,
            None => write!(f, "{char}")?,
        }
    }
    f.write_str("\"")
}

fn octets(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "<<{}>>", numbers(bytes))
}

fn numbers(bytes: &[u8]) -> String {
    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}

/// Whether Erlang's `io_lib:printable_list` takes a character for text under a UTF-8 locale.
fn printable(char: char) -> bool {
    matches!(char, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        || ESCAPES.iter().any(|&(escaped, _)| escaped == char)
}

const ESCAPES: [(char, char); 9] =
    [('\n', 'n'), ('\r', 'r'), ('\t', 't'), ('\u{b}', 'v'), ('\u{8}', 'b'), ('\u{c}', 'f'), ('\u{1b}', 'e'), ('"', '"'), ('\\', '\\')];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_bytes_is_latin1_text_or_numbers() {
        let shown = |bytes| ErlangString(bytes).to_string();
        assert_eq!((shown(b".5"), shown(b"\"\\\n")), (r#"".5""#.to_owned(), r#""\"\\\n""#.to_owned()));
        assert_eq!((shown("ä".as_bytes()), shown("é€".as_bytes())), ("\"Ã¤\"".to_owned(), "[195,169,226,130,172]".to_owned()));
        assert_eq!((shown(&[1]), shown(b"")), ("[1]".to_owned(), "[]".to_owned()));
    }

    #[test]
    fn names_that_are_no_utf8_are_shown_as_latin_1() {
        assert_eq!((erlang_text("ä".as_bytes()), erlang_text(b"\xff")), ("ä".into(), "ÿ".into()));
    }

    #[test]
    fn text_is_quoted_and_other_bytes_are_listed() {
        let shown = |bytes| ErlangBinary(bytes).to_string();
        assert_eq!(shown(b"abc"), r#"<<"abc">>"#);
        assert_eq!(shown(b"a\"\n"), r#"<<"a\"\n">>"#);
        assert_eq!(shown("ä".as_bytes()), r#"<<"ä"/utf8>>"#);
        assert_eq!(shown(b"\xe4\n"), r#"<<"ä\n">>"#);
        assert_eq!((shown(b"\x7f"), shown(b"a\x80")), ("<<127>>".to_owned(), "<<97,128>>".to_owned()));
        assert_eq!((shown(b""), shown(&[0, 255])), ("<<>>".to_owned(), "<<0,255>>".to_owned()));
        assert_eq!(format!("{:#}", ErlangBinary(b"a")), "<<97>>");
    }
}

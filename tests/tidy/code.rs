//! Blanks comments, strings and character literals in Rust text; the lines stay. The lexer is
//! simple, but sufficient for counting and searching.

/// Blanks everything that is not code; line breaks stay.
pub fn blank(text: &str) -> String {
    let mut blanked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let quiet = literal_or_comment(rest, blanked.chars().last());
        let (piece, after) = rest.split_at(if quiet == 0 { first.len_utf8() } else { quiet });
        if quiet == 0 {
            blanked.push_str(piece);
        } else {
            blanked.extend(piece.chars().map(|letter| if letter == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    blanked
}

/// Returns the length in bytes of the comment or literal that starts here; 0 if code starts here.
fn literal_or_comment(text: &str, before: Option<char>) -> usize {
    let inside_a_word = before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    match text.as_bytes() {
        [b'/', b'/', ..] => text.find('\n').unwrap_or(text.len()),
        [b'/', b'*', ..] => text.find("*/").map_or(text.len(), |end| end + 2),
        [b'"', ..] => escaped(text, '"'),
        [b'b', b'"', ..] if !inside_a_word => 1 + escaped(&text[1..], '"'),
        [b'r' | b'b', ..] if !inside_a_word => raw_string(text),
        [b'\'', ..] if is_character(text) => escaped(text, '\''),
        _ => 0,
    }
}

/// Returns the length of a literal from its opening to its closing quote.
fn escaped(text: &str, quote: char) -> usize {
    let mut after_backslash = false;
    for (at, letter) in text.char_indices().skip(1) {
        if letter == quote && !after_backslash {
            return at + quote.len_utf8();
        }
        after_backslash = letter == '\\' && !after_backslash;
    }
    text.len()
}

/// Returns the length of `r"…"`, `r#"…"#` and so on; 0 if the text is no raw string.
fn raw_string(text: &str) -> usize {
    let Some(opening) = text.strip_prefix("br").or_else(|| text.strip_prefix('r')) else { return 0 };
    let hashes = opening.len() - opening.trim_start_matches('#').len();
    if !opening[hashes..].starts_with('"') {
        return 0;
    }
    let start = text.len() - opening.len() + hashes + 1;
    let closing = format!("\"{}", "#".repeat(hashes));
    text[start..].find(&closing).map_or(text.len(), |end| start + end + closing.len())
}

/// Tells a character from a lifetime, which has no quote after its first letter.
fn is_character(text: &str) -> bool {
    let mut letters = text.chars().skip(1);
    match letters.next() {
        Some('\\') => true,
        Some(_) => letters.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::blank;

    #[test]
    fn blanks_what_is_not_code() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b\n */ c", "a     \n    c"),
            (r#"f("a\"b", c)"#, "f(      , c)"),
            ("f(r#\"a\"b\"#)", "f(        )"),
            ("'{' 'a '\\'' b", "    'a      b"),
            ("for 'r: b\"x\"", "for 'r:     "),
        ] {
            assert_eq!(blank(text), code, "{text}");
        }
    }
}

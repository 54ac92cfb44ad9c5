//! Texts that people write: configuration, definitions, secrets, certificates. Editors leave things
//! in them that are not text.

use std::fs;
use std::path::Path;

use crate::io::StartError;
use crate::start::files::unusable;

/// Reads the text of a file, without the mark that some editors put in front of UTF-8.
///
/// # Errors
/// One sentence: it cannot be read, or is not in UTF-8.
pub fn read(path: &Path) -> Result<String, StartError> {
    let bytes = fs::read(path).map_err(|error| unusable(path, &error))?;
    let other = || StartError(format!("{} is not in UTF-8{}: save it as UTF-8", path.display(), guess(&bytes)));
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(without_mark(text).to_owned()),
        Err(_) => Err(other()),
    }
}

/// The text without that mark.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// A guess at the encoding: what Windows calls Unicode begins with a mark of its own.
fn guess(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") { " but in UTF-16" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::scratch::Scratch;

    #[test]
    fn a_mark_is_no_text() {
        let scratch = Scratch::new();
        let text = |bytes: &[u8]| {
            let path = scratch.file("text", "");
            fs::write(&path, bytes).expect("a directory of ours");
            read(&path).map_err(|error| error.0.rsplit('/').next().unwrap_or_default().to_owned())
        };
        assert_eq!(text(b"\xef\xbb\xbfa = \xc3\xa4\r\n"), Ok("a = ä\r\n".into()));
        assert_eq!((text(b"\xef\xbb\xbf"), text(b"")), (Ok(String::new()), Ok(String::new())));
        assert_eq!(text(b"\xff\xfea\0"), Err("text is not in UTF-8 but in UTF-16: save it as UTF-8".into()));
        assert_eq!(text(b"a = \xe4"), Err("text is not in UTF-8: save it as UTF-8".into()));
        assert!(read(&scratch.join("none")).expect_err("no such file").0.contains("none cannot be used"));
    }
}

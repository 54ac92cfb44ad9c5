//! The sources of definitions.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// A source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A file, or a directory of `*.json` files.
    Path(PathBuf),
    /// A URL, to be fetched over HTTP, mostly with TLS.
    Url(String),
}

/// TLS towards the servers that definitions are fetched from; the files are PEM.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientTls {
    /// The authorities that may vouch for a server; none: those that Mozilla trusts.
    pub ca: Option<PathBuf>,
    /// The broker's certificate and its key, if a server asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether servers are trusted without verification.
    pub is_trusted: bool,
}

impl From<OsString> for Source {
    fn from(text: OsString) -> Source {
        let url = text.to_str().filter(|text| text.starts_with("https://") || text.starts_with("http://"));
        url.map_or_else(|| Source::Path(PathBuf::from(&text)), |url| Source::Url(url.to_owned()))
    }
}

/// The form in messages: without the password that a URL may have.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => path.display().fmt(f),
            Source::Url(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
                let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let host = rest[..host_end].rfind('@').map_or(0, |at| at + 1);
                write!(f, "{scheme}://{}", &rest[host..])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths_and_hide_passwords() {
        for (text, is_url, shown) in [
            ("a/b.json", false, "a/b.json"),
            ("https:/a", false, "https:/a"),
            ("https://h/p@q", true, "https://h/p@q"),
            ("https://u:p@h:1/p?x", true, "https://h:1/p?x"),
            ("http://u@h", true, "http://h"),
        ] {
            let source = Source::from(OsString::from(text));
            assert_eq!((matches!(source, Source::Url(_)), source.to_string()), (is_url, shown.to_owned()), "{text}");
        }
    }
}

//! Paths: split at `/`, then each segment percent-decoded once, so that a name may contain any
//! character.

use percent_encoding::percent_decode_str;

/// The decoded segments of a path, without the empty one behind a trailing slash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path(pub Vec<String>);

/// The defect of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathError {
    /// `%` without two hexadecimal digits.
    Malformed,
    /// Bytes that are not UTF-8: no object has such a name.
    NotUtf8,
}

impl Path {
    /// Reads an absolute path.
    ///
    /// # Errors
    /// Its defect.
    pub fn parse(path: &str) -> Result<Path, PathError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Ok(Path(Vec::new()));
        }
        path.split('/').map(decode).collect::<Result<_, _>>().map(Path)
    }
}

/// Decodes one segment. A plus is a plus.
fn decode(segment: &str) -> Result<String, PathError> {
    let is_hex = |at: usize| segment.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    if segment.bytes().enumerate().any(|(at, byte)| byte == b'%' && !(is_hex(at + 1) && is_hex(at + 2))) {
        return Err(PathError::Malformed);
    }
    percent_decode_str(segment).decode_utf8().map(Into::into).map_err(|_| PathError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_once() {
        let parse = |path| Path::parse(path).map(|path| path.0.join("|"));
        assert_eq!(parse("/api/queues/%2F/a+b%20c/"), Ok("api|queues|/|a+b c".into()));
        assert_eq!(parse("/api/queues/%2f/%252F"), Ok("api|queues|/|%2F".into()));
        assert_eq!(parse("/api/exchanges/%2F//publish"), Ok("api|exchanges|/||publish".into()));
        assert_eq!(parse("/"), Ok(String::new()));
        for (path, error) in [("/%zz", PathError::Malformed), ("/a%2", PathError::Malformed), ("/%ff", PathError::NotUtf8)] {
            assert_eq!(parse(path), Err(error));
        }
    }
}

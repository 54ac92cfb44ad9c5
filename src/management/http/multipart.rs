//! The one kind of form with a file: an upload of definitions.

/// Returns the content of the field `file` of a form; `kind` is the form's content type, which has
/// the boundary between its parts.
pub fn file_of_form<'a>(kind: &str, body: &'a [u8]) -> Option<&'a [u8]> {
    let boundary = kind.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?.trim_matches('"');
    let delimiter = format!("--{boundary}");
    let finder = memchr::memmem::Finder::new(delimiter.as_bytes());
    let places: Vec<usize> = finder.find_iter(body).collect();
    let parts = places.windows(2).map(|ends| &body[ends[0] + delimiter.len()..ends[1]]);
    parts
        .filter_map(|part| {
            let head = memchr::memmem::find(part, b"\r\n\r\n")?;
            let is_file = memchr::memmem::find(&part[..head], b"name=\"file\"").is_some();
            let content = &part[head + 4..];
            is_file.then(|| content.strip_suffix(b"\r\n").unwrap_or(content))
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_named_file_is_found() {
        let kind = "multipart/form-data; boundary=----b";
        let body = b"------b\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n------b\r\nContent-Disposition: form-data; \
            name=\"file\"; filename=\"d.json\"\r\nContent-Type: application/json\r\n\r\n{}\r\n------b--\r\n";
        assert_eq!(file_of_form(kind, body), Some(&b"{}"[..]));
        assert_eq!(file_of_form(kind, &body[..40]), None);
        assert_eq!(file_of_form("multipart/form-data", body), None);
    }
}

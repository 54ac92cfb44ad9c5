//! base64url without padding (RFC 4648), for names that the broker generates.

/// Encodes bytes as text.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        (0..=chunk.len()).for_each(|at| text.push(char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize])));
    }
    text
}

/// Decodes a text. Returns `None` if it is not the text of `N` bytes.
pub fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    const { assert!(N.is_multiple_of(3), "no bits are left over") };
    if text.len() != N / 3 * 4 {
        return None;
    }
    let mut bytes = [0; N];
    for (chunk, four) in bytes.chunks_mut(3).zip(text.chunks(4)) {
        let bits = four.iter().try_fold(0, |bits, &byte| Some(bits << 6 | sextet(byte)?))?;
        chunk.copy_from_slice(&u32::to_be_bytes(bits)[1..]);
    }
    Some(bytes)
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(value.into())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_values_come_out() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        assert_eq!((encode(&[0xfb, 0xff, 0xfe]), decode(b"-__-")), ("-__-".to_owned(), Some([0xfb, 0xff, 0xfe])));
    }

    #[test]
    fn only_its_own_text_is_read() {
        assert_eq!(decode(b"Zm9vYmFy"), Some(*b"foobar"));
        for text in [&b"Zm9vYmF"[..], b"Zm9vYmFyZ", b"Zm9vYm+y", b"Zm9vYmF=", b""] {
            assert_eq!(decode::<6>(text), None);
        }
    }
}

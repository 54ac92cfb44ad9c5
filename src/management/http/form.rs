//! Form encoding: of routing keys in `properties_key`, and of the parts of a path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Encodes bytes as RabbitMQ encodes a routing key: letters, digits, `-`, `_` and `.` stay, a blank
/// becomes `+`.
pub fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, KEPT).to_string().replace("%20", "+")
}

const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

const UNRESERVED: &AsciiSet = &KEPT.remove(b'~');

/// Encodes a part of a path.
pub fn encode_segment(text: &str) -> String {
    percent_encode(text.as_bytes(), UNRESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_as_in_rabbitmq() {
        for (key, text) in [("a/b c%d", "a%2Fb+c%25d"), ("order.#", "order.%23"), ("inbox.*", "inbox.%2A"), ("~", "%7E"), ("é", "%C3%A9")]
        {
            assert_eq!(encode(key.as_bytes()), text);
        }
        assert_eq!(encode_segment("a%2Fb+c%25d~9nmLZQ"), "a%252Fb%2Bc%2525d~9nmLZQ");
    }
}

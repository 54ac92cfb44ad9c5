//! The property list: a view that reads only the properties that are asked for.
//!
//! ```text
//! [flags u16] [content-type] [content-encoding] [headers] … a value per flag, highest bit first
//! ```
//!
//! The list is passed on as it came: it is checked once ([`Properties::parse`]), and read without
//! checks after that. Short strings are bytes: RabbitMQ does not demand UTF-8 here.

use std::fmt;

use super::table::{TableError, TableRef};
use super::wire::{self, Reader};

/// The flags of the properties. One comparison finds out whether a message has any property of a
/// mask.
pub mod flag {
    /// content-type
    pub const CONTENT_TYPE: u16 = 1 << 15;
    /// content-encoding
    pub const CONTENT_ENCODING: u16 = 1 << 14;
    /// headers
    pub const HEADERS: u16 = 1 << 13;
    /// delivery-mode
    pub const DELIVERY_MODE: u16 = 1 << 12;
    /// priority
    pub const PRIORITY: u16 = 1 << 11;
    /// correlation-id
    pub const CORRELATION_ID: u16 = 1 << 10;
    /// reply-to
    pub const REPLY_TO: u16 = 1 << 9;
    /// expiration
    pub const EXPIRATION: u16 = 1 << 8;
    /// message-id
    pub const MESSAGE_ID: u16 = 1 << 7;
    /// timestamp
    pub const TIMESTAMP: u16 = 1 << 6;
    /// type
    pub const TYPE: u16 = 1 << 5;
    /// user-id
    pub const USER_ID: u16 = 1 << 4;
    /// app-id
    pub const APP_ID: u16 = 1 << 3;
    /// cluster-id, which is not used
    pub const CLUSTER_ID: u16 = 1 << 2;
}

/// A property list in wire form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Properties<'a> {
    flags: u16,
    values: &'a [u8],
}

impl<'a> Properties<'a> {
    /// The list without properties, in wire form.
    pub const NONE: &'static [u8] = &[0, 0];

    /// Checks a list: every flagged value is there, nothing follows, and the headers are a table.
    pub fn parse(list: &'a [u8]) -> Result<Properties<'a>, PropertiesError> {
        let mut reader = Reader::new(list);
        let flags = reader.u16().ok_or(PropertiesError::Truncated)?;
        if flags & UNUSED != 0 {
            return Err(PropertiesError::UnknownFlag);
        }
        let values = reader.rest();
        for bit in bits(flags) {
            let value = read_value(&mut reader, bit).ok_or(PropertiesError::Truncated)?;
            if bit == flag::HEADERS {
                TableRef::parse(value).map_err(PropertiesError::Headers)?;
            }
        }
        if !reader.is_empty() {
            return Err(PropertiesError::LeftOver);
        }
        Ok(Properties { flags, values })
    }

    /// Makes a view of a list that was checked before. With any other list it is safe, too: values
    /// that cannot be read are missing.
    pub fn trusted(list: &'a [u8]) -> Properties<'a> {
        let (flags, values) = list.split_first_chunk().map_or((0, list), |(flags, values)| (u16::from_be_bytes(*flags), values));
        Properties { flags, values }
    }

    /// The flags of the properties in the list, see [`flag`].
    pub fn flags(self) -> u16 {
        self.flags
    }

    /// Whether the list has any property of the mask.
    pub fn has_any(self, mask: u16) -> bool {
        self.flags & mask != 0
    }

    /// content-type
    pub fn content_type(self) -> Option<&'a [u8]> {
        self.value(flag::CONTENT_TYPE)
    }

    /// content-encoding
    pub fn content_encoding(self) -> Option<&'a [u8]> {
        self.value(flag::CONTENT_ENCODING)
    }

    /// headers
    pub fn headers(self) -> Option<TableRef<'a>> {
        self.value(flag::HEADERS).map(TableRef::trusted)
    }

    /// delivery-mode; 2 is persistent
    pub fn delivery_mode(self) -> Option<u8> {
        self.value(flag::DELIVERY_MODE)?.first().copied()
    }

    /// priority
    pub fn priority(self) -> Option<u8> {
        self.value(flag::PRIORITY)?.first().copied()
    }

    /// correlation-id
    pub fn correlation_id(self) -> Option<&'a [u8]> {
        self.value(flag::CORRELATION_ID)
    }

    /// reply-to
    pub fn reply_to(self) -> Option<&'a [u8]> {
        self.value(flag::REPLY_TO)
    }

    /// expiration: milliseconds as decimal text, unless the publisher broke the rule
    pub fn expiration(self) -> Option<&'a [u8]> {
        self.value(flag::EXPIRATION)
    }

    /// message-id
    pub fn message_id(self) -> Option<&'a [u8]> {
        self.value(flag::MESSAGE_ID)
    }

    /// timestamp, seconds since 1970
    pub fn timestamp(self) -> Option<u64> {
        Reader::new(self.value(flag::TIMESTAMP)?).u64()
    }

    /// type
    pub fn kind(self) -> Option<&'a [u8]> {
        self.value(flag::TYPE)
    }

    /// user-id
    pub fn user_id(self) -> Option<&'a [u8]> {
        self.value(flag::USER_ID)
    }

    /// app-id
    pub fn app_id(self) -> Option<&'a [u8]> {
        self.value(flag::APP_ID)
    }

    /// cluster-id
    pub fn cluster_id(self) -> Option<&'a [u8]> {
        self.value(flag::CLUSTER_ID)
    }

    /// The value of a flag, without its length, or `None` if the flag is not set.
    fn value(self, wanted: u16) -> Option<&'a [u8]> {
        if !self.has_any(wanted) {
            return None;
        }
        let mut reader = Reader::new(self.values);
        for bit in bits(self.flags & !(wanted - 1) & !wanted) {
            read_value(&mut reader, bit)?;
        }
        read_value(&mut reader, wanted)
    }
}

/// Returns the list with these headers, in place of its own if it has any, and without the
/// properties of the mask `dropped`. `properties` was checked before.
pub fn replace_headers(properties: &[u8], headers: TableRef<'_>, dropped: u16) -> Vec<u8> {
    replace(properties, flag::HEADERS, dropped, headers.wire().len() + 4, |out| wire::put_longstr(out, headers.wire()))
}

/// Returns the list with another reply-to, of at most 255 bytes. `properties` was checked before.
pub fn replace_reply_to(properties: &[u8], reply_to: &str) -> Vec<u8> {
    replace(properties, flag::REPLY_TO, 0, reply_to.len() + 1, |out| wire::put_shortstr(out, reply_to.as_bytes()))
}

/// Returns the list with another value of the property `wanted`, which `put` writes and which takes
/// `len` bytes, and without the properties of the mask `dropped`.
fn replace(properties: &[u8], wanted: u16, dropped: u16, len: usize, put: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let list = Properties::trusted(properties);
    let flags = (list.flags | wanted) & !dropped;
    let mut reader = Reader::new(list.values);
    let mut out = Vec::with_capacity(properties.len() + len);
    wire::put_u16(&mut out, flags);
    for bit in bits(list.flags | wanted) {
        let before = reader.rest();
        if list.has_any(bit) {
            read_value(&mut reader, bit);
        }
        if bit == wanted {
            put(&mut out);
        } else if flags & bit != 0 {
            out.extend_from_slice(&before[..before.len() - reader.rest().len()]);
        }
    }
    out
}

/// Encodes a property list: set its properties, then [`build`](PropertiesBuilder::build). Short
/// strings have at most 255 bytes.
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub struct PropertiesBuilder<'a> {
    /// content-type
    pub content_type: Option<&'a str>,
    /// content-encoding
    pub content_encoding: Option<&'a str>,
    /// headers
    pub headers: Option<TableRef<'a>>,
    /// delivery-mode
    pub delivery_mode: Option<u8>,
    /// priority
    pub priority: Option<u8>,
    /// correlation-id
    pub correlation_id: Option<&'a str>,
    /// reply-to
    pub reply_to: Option<&'a str>,
    /// expiration
    pub expiration: Option<&'a str>,
    /// message-id
    pub message_id: Option<&'a str>,
    /// timestamp, seconds since 1970
    pub timestamp: Option<u64>,
    /// type
    pub kind: Option<&'a str>,
    /// user-id
    pub user_id: Option<&'a str>,
    /// app-id
    pub app_id: Option<&'a str>,
    /// cluster-id
    pub cluster_id: Option<&'a str>,
}

impl PropertiesBuilder<'_> {
    /// Encodes the list in wire form.
    pub fn build(&self) -> Vec<u8> {
        let mut out = vec![0, 0];
        let mut flags = 0;
        for bit in bits(!UNUSED) {
            if self.write_value(bit, &mut out) {
                flags |= bit;
            }
        }
        out[..2].copy_from_slice(&flags.to_be_bytes());
        out
    }

    /// Writes the value of a flag, if there is one. Returns whether there is.
    fn write_value(&self, bit: u16, out: &mut Vec<u8>) -> bool {
        match bit {
            flag::HEADERS => self.headers.map(|headers| wire::put_longstr(out, headers.wire())),
            flag::DELIVERY_MODE => self.delivery_mode.map(|mode| out.push(mode)),
            flag::PRIORITY => self.priority.map(|priority| out.push(priority)),
            flag::TIMESTAMP => self.timestamp.map(|seconds| wire::put_u64(out, seconds)),
            _ => self.text(bit).map(|text| wire::put_shortstr(out, text.as_bytes())),
        }
        .is_some()
    }

    fn text(&self, bit: u16) -> Option<&str> {
        match bit {
            flag::CONTENT_TYPE => self.content_type,
            flag::CONTENT_ENCODING => self.content_encoding,
            flag::CORRELATION_ID => self.correlation_id,
            flag::REPLY_TO => self.reply_to,
            flag::EXPIRATION => self.expiration,
            flag::MESSAGE_ID => self.message_id,
            flag::TYPE => self.kind,
            flag::USER_ID => self.user_id,
            flag::APP_ID => self.app_id,
            _ => self.cluster_id,
        }
    }
}

/// The reason why bytes are no property list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PropertiesError {
    /// A value is missing or incomplete.
    Truncated,
    /// Bytes follow the last value.
    LeftOver,
    /// One of the two lowest flags is set, which belong to no property. RabbitMQ ignores them, but
    /// here a list is passed on as it came, and consumers would read the lowest one as the
    /// announcement of a second word of flags.
    UnknownFlag,
    /// The headers are no table.
    Headers(TableError),
}

impl fmt::Display for PropertiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PropertiesError::Truncated => f.write_str("a property is cut short"),
            PropertiesError::LeftOver => f.write_str("bytes follow the last property"),
            PropertiesError::UnknownFlag => f.write_str("a flag stands for no property"),
            PropertiesError::Headers(error) => write!(f, "headers: {error}"),
        }
    }
}

impl std::error::Error for PropertiesError {}

/// The set bits of `flags`, from the highest.
fn bits(mut flags: u16) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        let bit = (1u16 << 15).checked_shr(flags.leading_zeros())?;
        flags &= !bit;
        Some(bit)
    })
}

/// Reads the next value, which belongs to the flag `bit`, without its length.
fn read_value<'a>(reader: &mut Reader<'a>, bit: u16) -> Option<&'a [u8]> {
    match bit {
        flag::HEADERS => reader.longstr(),
        flag::DELIVERY_MODE | flag::PRIORITY => reader.take(1),
        flag::TIMESTAMP => reader.take(8),
        _ => reader.shortstr(),
    }
}

/// Flags that no property has.
const UNUSED: u16 = 0b11;

#[cfg(test)]
mod tests {
    use super::super::{TableBuilder, Value};
    use super::*;

    fn all(headers: TableRef<'_>) -> PropertiesBuilder<'_> {
        PropertiesBuilder {
            content_type: Some("a"),
            content_encoding: Some("bb"),
            headers: Some(headers),
            delivery_mode: Some(2),
            priority: Some(9),
            correlation_id: Some("c"),
            reply_to: Some("d"),
            expiration: Some("100"),
            message_id: Some("e"),
            timestamp: Some(1 << 40),
            kind: Some("f"),
            user_id: Some("g"),
            app_id: Some("h"),
            cluster_id: Some("i"),
        }
    }

    #[test]
    fn every_property_is_found() {
        let headers = TableBuilder::new().int("x", 1).build();
        let list = all(headers.view()).build();
        let view = Properties::parse(&list).unwrap();
        assert_eq!(view.flags(), 0xfffc);
        assert_eq!((view.content_type(), view.content_encoding()), (Some(&b"a"[..]), Some(&b"bb"[..])));
        assert_eq!(view.headers().and_then(|headers| headers.find("x")), Some(Value::SignedInt(1)));
        assert_eq!((view.delivery_mode(), view.priority(), view.timestamp()), (Some(2), Some(9), Some(1 << 40)));
        assert_eq!((view.correlation_id(), view.reply_to(), view.expiration()), (Some(&b"c"[..]), Some(&b"d"[..]), Some(&b"100"[..])));
        assert_eq!((view.message_id(), view.kind(), view.user_id()), (Some(&b"e"[..]), Some(&b"f"[..]), Some(&b"g"[..])));
        assert_eq!((view.app_id(), view.cluster_id()), (Some(&b"h"[..]), Some(&b"i"[..])));
    }

    #[test]
    fn a_list_has_the_expected_bytes() {
        let list = PropertiesBuilder { delivery_mode: Some(2), kind: Some("t"), ..Default::default() }.build();
        assert_eq!(list, [0x10, 0x20, 2, 1, b't']);
        assert_eq!(PropertiesBuilder::default().build(), Properties::NONE);
        let view = Properties::parse(&list).unwrap();
        assert_eq!((view.delivery_mode(), view.kind(), view.priority(), view.headers()), (Some(2), Some(&b"t"[..]), None, None));
        assert!(view.has_any(flag::TYPE | flag::PRIORITY) && !view.has_any(flag::HEADERS));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let headers = TableBuilder::new().int("x", 1).build();
        let list = all(headers.view()).build();
        for end in 0..list.len() {
            assert_eq!(Properties::parse(&list[..end]), Err(PropertiesError::Truncated), "{end}");
        }
        assert_eq!(Properties::parse(&[0, 0, 1]), Err(PropertiesError::LeftOver));
        assert_eq!(Properties::parse(&[0, 1, 0, 0]), Err(PropertiesError::UnknownFlag));
        assert_eq!(Properties::parse(&[0x20, 0, 0, 0, 0, 1, 5]), Err(PropertiesError::Headers(TableError::Truncated)));
        let unchecked = Properties::trusted(&[0xff]);
        assert_eq!((unchecked.flags(), unchecked.content_type()), (0, None));
    }

    #[test]
    fn headers_are_replaced_and_added() {
        let old = TableBuilder::new().text("BCC", "q").build();
        let new = TableBuilder::new().bool("kept", true).build();
        let expected = all(new.view()).build();
        assert_eq!(replace_headers(&all(old.view()).build(), new.view(), 0), expected);
        let without = PropertiesBuilder { headers: None, ..all(old.view()) }.build();
        assert_eq!(replace_headers(&without, new.view(), 0), expected);
        assert_eq!(replace_headers(Properties::NONE, TableRef::EMPTY, 0), [0x20, 0, 0, 0, 0, 0]);
        let expected = PropertiesBuilder { expiration: None, content_type: None, ..all(new.view()) }.build();
        assert_eq!(replace_headers(&without, new.view(), flag::EXPIRATION | flag::CONTENT_TYPE), expected);
    }
}

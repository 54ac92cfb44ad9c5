//! What a message is in no protocol's language: where it was published, its properties, its body.
//!
//! A message is kept as it came over the wire and is never re-encoded on its way through:
//!
//! ```text
//! route        [len][exchange][len][routing key]        two short strings, as in basic.publish and basic.deliver
//! properties   [flags u16…][values…]                    AMQP's property list, as in a content header from byte 12 on
//! body         bytes
//! ```

mod erlang;
mod properties;
mod record;
mod table;
mod table_builder;
mod value;
pub mod wire;

pub use erlang::{ErlangBinary, ErlangString, erlang_text};
pub use properties::{Properties, PropertiesBuilder, PropertiesError, flag, rewrite_headers};
pub use record::{RECORD_HEADER, RecordHeader, set_refs, write_record};
pub use table::{Entries, Table, TableError, TableRef};
pub use table_builder::{ArrayBuilder, TableBuilder};
pub use value::{Value, Values};

use bytes::Bytes;

/// A message in the arena of its shard: a counted reference that its holder gives back (see `broker::arena`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MessageRef {
    /// The segment.
    pub segment: u32,
    /// The record's offset there, in bytes.
    pub offset: u32,
}

/// Exchange and routing key in wire form: two short strings behind one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route<'a>(&'a [u8]);

impl<'a> Route<'a> {
    /// Takes a slice that holds two short strings and nothing else; the caller has checked the lengths.
    pub fn new(wire: &'a [u8]) -> Route<'a> {
        debug_assert!(wire.len() >= 2 && wire.len() == 2 + wire[0] as usize + wire[1 + wire[0] as usize] as usize);
        Route(wire)
    }

    /// Both strings with their length bytes.
    pub fn wire(self) -> &'a [u8] {
        self.0
    }

    /// The exchange's name.
    pub fn exchange(self) -> &'a [u8] {
        &self.0[1..1 + self.0[0] as usize]
    }

    /// The routing key.
    pub fn key(self) -> &'a [u8] {
        &self.0[2 + self.0[0] as usize..]
    }
}

/// A body: borrowed bytes, or (from [`crate::base::limits::SHARED_BODY_MIN`] bytes on) a counted buffer that is passed on without a copy.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Bytes that the receiver copies.
    Slice(&'a [u8]),
    /// A buffer that the receiver counts.
    Shared(&'a Bytes),
}

impl<'a> Body<'a> {
    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Body::Slice(bytes) => bytes,
            Body::Shared(bytes) => bytes,
        }
    }
}

/// A message without its route: one of several that were published to the same place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content<'a> {
    /// The property list in wire form, checked.
    pub properties: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Content<'a> {
    /// The message that was published with this content to `route`.
    pub fn sent_to(self, route: Route<'a>) -> MessageView<'a> {
        MessageView { route, properties: self.properties, body: Body::Slice(self.body) }
    }
}

/// A message in somebody's hands: slices of a receive buffer, of the store, or of a mail block.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    /// Exchange and routing key.
    pub route: Route<'a>,
    /// The property list in wire form, checked.
    pub properties: &'a [u8],
    /// The body.
    pub body: Body<'a>,
}

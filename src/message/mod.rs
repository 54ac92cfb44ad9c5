//! Messages, in no protocol's terms: the route (where the message was published), the properties,
//! the body.
//!
//! A message is kept as it came over the wire and is never encoded again on its way through:
//!
//! ```text
//! route        [len][exchange][len][routing key]   two short strings, as in basic.publish
//! properties   [flags u16…][values…]               AMQP's property list, as in a content header
//!                                                  from byte 12 on
//! body         bytes
//! ```

mod erlang;
mod properties;
mod record;
mod table;
mod table_builder;
mod value;
pub mod wire;

pub use erlang::{ErlangBinary, ErlangString, erlang_text, latin1_text};
pub use properties::{Properties, PropertiesBuilder, PropertiesError, flag, replace_headers, replace_reply_to};
pub use record::{Record, head_len, parse_head, read_head, set_holders, write_head};
pub use table::{Entries, Table, TableError, TableRef};
pub use table_builder::{ArrayBuilder, TableBuilder};
pub use value::{Value, Values};

use bytes::Bytes;

use wire::Reader;

/// A message in the arena of its shard: a counted reference that its holder gives back (see `broker::arena`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MessageRef {
    /// The segment of the arena.
    pub segment: u32,
    /// The record's offset there, in bytes. The highest bit: references are counted in the record;
    /// the next one: the message is in the log.
    place: u32,
}

impl MessageRef {
    /// Makes the reference of a message at `offset` (below 2^30) of a segment.
    #[inline]
    pub fn new(segment: u32, offset: usize, is_counted: bool) -> MessageRef {
        MessageRef { segment, place: offset as u32 | if is_counted { COUNTED } else { 0 } }
    }

    /// The record's offset in its segment, bytes.
    #[inline]
    pub fn offset(self) -> usize {
        (self.place & !(COUNTED | LOGGED)) as usize
    }

    /// Whether references are counted in the record.
    #[inline]
    pub fn is_counted(self) -> bool {
        self.place & COUNTED != 0
    }

    /// Marks the message as one that is in the log for the queue that has this reference.
    #[must_use]
    pub fn logged(self) -> MessageRef {
        MessageRef { place: self.place | LOGGED, ..self }
    }

    /// Whether the message is in the log for this queue: then the log must be told when it is
    /// settled.
    #[inline]
    pub fn is_logged(self) -> bool {
        self.place & LOGGED != 0
    }

    /// Encodes the reference in eight bytes.
    pub fn to_bits(self) -> u64 {
        u64::from(self.segment) << 32 | u64::from(self.place)
    }

    /// Decodes the result of [`to_bits`](Self::to_bits).
    pub fn from_bits(bits: u64) -> MessageRef {
        MessageRef { segment: (bits >> 32) as u32, place: bits as u32 }
    }
}

const COUNTED: u32 = 1 << 31;
const LOGGED: u32 = 1 << 30;

/// Exchange and routing key in wire form: two short strings, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route<'a>(&'a [u8]);

impl<'a> Route<'a> {
    /// Two empty names.
    pub const EMPTY: Route<'static> = Route(&[0, 0]);

    /// Makes a route of a slice that consists of two short strings; the caller has checked the
    /// lengths.
    pub fn new(wire: &'a [u8]) -> Route<'a> {
        debug_assert!(Route::parse(wire).is_some());
        Route(wire)
    }

    /// Checks that a slice holds two short strings and nothing else.
    pub fn parse(wire: &'a [u8]) -> Option<Route<'a>> {
        let mut reader = Reader::new(wire);
        let _ = (reader.shortstr()?, reader.shortstr()?);
        reader.is_empty().then_some(Route(wire))
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

/// A body: borrowed bytes, or (from [`crate::base::limits::SHARED_BODY_MIN`] bytes on) a
/// reference-counted buffer that is passed on without a copy.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Bytes that the receiver has to copy.
    Slice(&'a [u8]),
    /// A shared buffer, of which the receiver keeps a reference.
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

    /// Returns a body that borrows nothing: a copy, or one more reference to the buffer.
    pub fn to_owned(self) -> OwnedBody {
        match self {
            Body::Slice(bytes) => OwnedBody::Copy(bytes.into()),
            Body::Shared(bytes) => OwnedBody::Shared(bytes.clone()),
        }
    }
}

/// A body that borrows nothing.
#[derive(Clone, Debug)]
pub enum OwnedBody {
    /// A copy.
    Copy(Box<[u8]>),
    /// A shared buffer.
    Shared(Bytes),
}

impl OwnedBody {
    /// The body, borrowed.
    pub fn as_body(&self) -> Body<'_> {
        match self {
            OwnedBody::Copy(bytes) => Body::Slice(bytes),
            OwnedBody::Shared(bytes) => Body::Shared(bytes),
        }
    }
}

/// Facts about a message that the broker notes: when it was published, and what has happened to it.
/// The stamp stays with the message wherever the broker keeps it; clients do not see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp(u64);

impl Stamp {
    /// A stamp that says nothing, for messages whose stamp is not needed.
    pub const NONE: Stamp = Stamp(0);

    /// Makes the stamp of a message published at this time, milliseconds since 1970 (below 2^48).
    pub fn at(time_ms: u64) -> Stamp {
        Stamp(time_ms & TIME)
    }

    /// When the message was published, if that was noted.
    pub fn time_ms(self) -> Option<u64> {
        Some(self.0 & TIME).filter(|&time| time > 0)
    }

    /// Returns the stamp with another time.
    #[must_use]
    pub fn renewed(self, time_ms: u64) -> Stamp {
        Stamp(self.0 & !TIME | time_ms & TIME)
    }

    /// Whether the stamp says more than the time.
    #[inline]
    pub fn is_more_than_time(self) -> bool {
        self.0 & !TIME != 0
    }

    /// Notes that the message has died in a queue. The first `deaths` entries of the history in its
    /// headers are of deaths since it was published; the entries after them are its publisher's.
    #[must_use]
    pub fn died(self, deaths: usize) -> Stamp {
        let deaths = (deaths as u64).min(DEATHS_MAX) << DEATHS_SHIFT;
        Stamp(self.0 & !(DEATHS_MAX << DEATHS_SHIFT) | deaths | DIED)
    }

    /// Whether the message has died, so that the broker has written the history in its headers.
    pub fn has_died(self) -> bool {
        self.0 & DIED != 0
    }

    /// How many entries of that history are of deaths since the message was published.
    pub fn deaths(self) -> usize {
        (self.0 >> DEATHS_SHIFT & DEATHS_MAX) as usize
    }

    /// Notes that the message was delivered to a consumer before it came to its queue.
    #[must_use]
    pub fn delivered(self) -> Stamp {
        Stamp(self.0 | DELIVERED)
    }

    /// Whether the message was delivered before: then every delivery is marked as redelivered.
    #[inline]
    pub fn was_delivered(self) -> bool {
        self.0 & DELIVERED != 0
    }

    /// Encodes the stamp as a number.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Decodes the result of [`to_bits`](Self::to_bits).
    pub fn from_bits(bits: u64) -> Stamp {
        Stamp(bits)
    }
}

const TIME: u64 = (1 << 48) - 1;
const DIED: u64 = 1 << 63;
const DELIVERED: u64 = 1 << 62;
/// The count of deaths: 14 bits between the time and the flags. (In a log of an older version, it
/// is always 0.)
const DEATHS_SHIFT: u32 = 48;
const DEATHS_MAX: u64 = (1 << 14) - 1;

/// A message without its route: one of several that were published with the same route.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The property list in wire form, checked.
    pub properties: &'a [u8],
    /// The body.
    pub body: Body<'a>,
}

impl<'a> Content<'a> {
    /// Adds the route that the content was published with.
    #[inline]
    pub fn sent_to(self, route: Route<'a>) -> MessageView<'a> {
        MessageView { route, properties: self.properties, stamp: Stamp::NONE, body: self.body }
    }
}

/// A borrowed message: slices of a receive buffer, of the arena, or of a mail block.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    /// Exchange and routing key.
    pub route: Route<'a>,
    /// The property list in wire form, checked.
    pub properties: &'a [u8],
    /// The broker's facts about the message.
    pub stamp: Stamp,
    /// The body.
    pub body: Body<'a>,
}

impl<'a> MessageView<'a> {
    /// The message without its route.
    pub fn content(&self) -> Content<'a> {
        Content { properties: self.properties, body: self.body }
    }

    /// Whether everything except the body is equal.
    #[inline]
    pub fn has_head_of(&self, other: &MessageView<'_>) -> bool {
        self.stamp == other.stamp && self.route == other.route && self.properties == other.properties
    }

    /// Whether route and properties are not only equal to those of another message, but the same
    /// bytes in memory. Cheap, and true for most messages that were published in a row.
    #[inline]
    pub fn shares_head(&self, route: Route<'_>, properties: &[u8]) -> bool {
        std::ptr::eq(self.route.wire(), route.wire()) && std::ptr::eq(self.properties, properties)
    }
}

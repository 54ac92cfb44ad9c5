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

pub use erlang::{ErlangBinary, ErlangString, erlang_text, latin1_text};
pub use properties::{Properties, PropertiesBuilder, PropertiesError, flag, replace_headers, replace_reply_to};
pub use record::{Record, head_len, read_head, set_holders, write_head};
pub use table::{Entries, Table, TableError, TableRef};
pub use table_builder::{ArrayBuilder, TableBuilder};
pub use value::{Value, Values};

use bytes::Bytes;

/// A message in the arena of its shard: a counted reference that its holder gives back (see `broker::arena`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MessageRef {
    /// The segment.
    pub segment: u32,
    /// The record's offset there, in bytes; the highest bit: its holders are counted; the next one: the log has it.
    place: u32,
}

impl MessageRef {
    /// A message at `offset` (below 2^30) of a segment.
    #[inline]
    pub fn new(segment: u32, offset: usize, is_counted: bool) -> MessageRef {
        MessageRef { segment, place: offset as u32 | if is_counted { COUNTED } else { 0 } }
    }

    /// The record's offset in its segment, bytes.
    #[inline]
    pub fn offset(self) -> usize {
        (self.place & !(COUNTED | LOGGED)) as usize
    }

    /// Whether its holders are counted in its record.
    #[inline]
    pub fn is_counted(self) -> bool {
        self.place & COUNTED != 0
    }

    /// The same message, marked as one that the log has for the queue that holds this reference.
    #[must_use]
    pub fn logged(self) -> MessageRef {
        MessageRef { place: self.place | LOGGED, ..self }
    }

    /// Whether the log has it for this queue, and must hear when it is settled.
    #[inline]
    pub fn is_logged(self) -> bool {
        self.place & LOGGED != 0
    }

    /// The reference in eight bytes.
    pub fn to_bits(self) -> u64 {
        u64::from(self.segment) << 32 | u64::from(self.place)
    }

    /// What [`to_bits`](Self::to_bits) made.
    pub fn from_bits(bits: u64) -> MessageRef {
        MessageRef { segment: (bits >> 32) as u32, place: bits as u32 }
    }
}

const COUNTED: u32 = 1 << 31;
const LOGGED: u32 = 1 << 30;

/// Exchange and routing key in wire form: two short strings behind one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route<'a>(&'a [u8]);

impl<'a> Route<'a> {
    /// Two empty names.
    pub const EMPTY: Route<'static> = Route(&[0, 0]);

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

    /// The body for itself: copied, or counted once more.
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
    /// A counted buffer.
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

/// What the broker knows of a message beyond what its publisher said: when it was published, and what has happened to it. It stays with the message
/// wherever the broker keeps it, and does not go to clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp(u64);

impl Stamp {
    /// Nobody will want to know.
    pub const NONE: Stamp = Stamp(0);

    /// Published at this time, milliseconds since 1970 (below 2^48).
    pub fn at(time_ms: u64) -> Stamp {
        Stamp(time_ms & TIME)
    }

    /// The time, if it was noted.
    pub fn time_ms(self) -> Option<u64> {
        Some(self.0 & TIME).filter(|&time| time > 0)
    }

    /// The same at another time.
    #[must_use]
    pub fn renewed(self, time_ms: u64) -> Stamp {
        Stamp(self.0 & !TIME | time_ms & TIME)
    }

    /// Whether it says more than when.
    #[inline]
    pub fn is_more_than_time(self) -> bool {
        self.0 & !TIME != 0
    }

    /// It has died in a queue. So many entries at the front of the history in its headers are of deaths since it was published; those behind
    /// them are what its publisher told.
    #[must_use]
    pub fn died(self, deaths: usize) -> Stamp {
        let deaths = (deaths as u64).min(DEATHS_MAX) << DEATHS_SHIFT;
        Stamp(self.0 & !(DEATHS_MAX << DEATHS_SHIFT) | deaths | DIED)
    }

    /// Whether it has: the history in its headers is ours.
    pub fn has_died(self) -> bool {
        self.0 & DIED != 0
    }

    /// How many entries of that history are of deaths since it was published.
    pub fn deaths(self) -> usize {
        (self.0 >> DEATHS_SHIFT & DEATHS_MAX) as usize
    }

    /// It has been delivered to a consumer before it came to its queue.
    #[must_use]
    pub fn delivered(self) -> Stamp {
        Stamp(self.0 | DELIVERED)
    }

    /// Whether it has: every delivery says so.
    #[inline]
    pub fn was_delivered(self) -> bool {
        self.0 & DELIVERED != 0
    }

    /// As a number.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// What [`to_bits`](Self::to_bits) made.
    pub fn from_bits(bits: u64) -> Stamp {
        Stamp(bits)
    }
}

const TIME: u64 = (1 << 48) - 1;
const DIED: u64 = 1 << 63;
const DELIVERED: u64 = 1 << 62;
/// Between the time and the flags: 14 bits. (A log that was written before they were counted says 0 of all.)
const DEATHS_SHIFT: u32 = 48;
const DEATHS_MAX: u64 = (1 << 14) - 1;

/// A message without its route: one of several that were published to the same place.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The property list in wire form, checked.
    pub properties: &'a [u8],
    /// The body.
    pub body: Body<'a>,
}

impl<'a> Content<'a> {
    /// The message that was published with this content to `route`.
    #[inline]
    pub fn sent_to(self, route: Route<'a>) -> MessageView<'a> {
        MessageView { route, properties: self.properties, stamp: Stamp::NONE, body: self.body }
    }
}

/// A message in somebody's hands: slices of a receive buffer, of the arena, or of a mail block.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    /// Exchange and routing key.
    pub route: Route<'a>,
    /// The property list in wire form, checked.
    pub properties: &'a [u8],
    /// What the broker knows of it.
    pub stamp: Stamp,
    /// The body.
    pub body: Body<'a>,
}

impl<'a> MessageView<'a> {
    /// The message without its route.
    pub fn content(&self) -> Content<'a> {
        Content { properties: self.properties, body: self.body }
    }

    /// Whether all but the body is equal.
    #[inline]
    pub fn has_head_of(&self, other: &MessageView<'_>) -> bool {
        self.stamp == other.stamp && self.route == other.route && self.properties == other.properties
    }

    /// Whether route and properties are not only equal to those of another message but the same bytes in the same place. Cheap, and true for
    /// most messages that were published in a row.
    #[inline]
    pub fn shares_head(&self, route: Route<'_>, properties: &[u8]) -> bool {
        std::ptr::eq(self.route.wire(), route.wire()) && std::ptr::eq(self.properties, properties)
    }
}

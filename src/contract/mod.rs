//! The narrow waist: what a protocol may ask of the broker, and what the broker may tell a
//! protocol. Types only.
//!
//! A session machine (`protocol/*`) turns bytes into [`Request`]s, the shard carries them out on
//! the broker's machines, and the answer comes back as a [`Notice`] or a [`Fault`]. An operator's
//! [`Command`] takes the same way without a session; with [`Query`] and [`Intervention`] it is one of
//! an operator's [`Demand`]s. Publishing, delivering and settling do not
//! pass through these enums: inside one turn on one shard they are plain calls over slices. This
//! room has only the small values that such calls share.

mod administration;
mod command;
mod counts;
mod credit;
mod demand;
mod fault;
mod intervention;
mod policy;
mod query;
mod receipts;
mod reply;
mod request;
mod route;
pub mod session;
mod topology;

pub use administration::{
    Administration, Hashing, Limit, Password, PasswordHash, Permissions, TopicPermissions, UserLimits, UserSpec, VhostLimits, VhostSpec,
};
pub use command::Command;
pub use counts::{Count, Counts};
pub use credit::{Credit, Grant, Window, cost};
pub use demand::{Demand, Reply, Report};
pub use fault::{Code, Fault, Scope};
pub use intervention::{Intervened, Intervention, Publication};
pub use policy::{PolicyKind, PolicySpec};
pub use query::{
    ChannelFigures, Churn, ConnectionFigures, ConnectionState, ConsumerFigures, ExchangeFigures, Figures, PART, Part, Query, QueueFigures,
    Totals,
};
pub use receipts::{Receipts, Tags};
pub use reply::{REPLY_TO, ReplyConsumer, ReplyName, is_reply_name};
pub use request::{Notice, Owner, Request};
pub use route::{RouteSet, copy_routes};
pub use topology::{BindingSpec, Destination, ExchangeSpec, QueueSpec, Topology};

use std::num::NonZeroU64;

use crate::base::ids::{ChannelAddr, ConsumerId, QueueAddr};
use crate::message::MessageRef;

/// A virtual host: its number in the catalog, which no other has while the broker runs. The `/` of
/// a new broker is 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct VhostId(pub u32);

/// A message's place in its queue. Higher levels are delivered first, and earlier places of a
/// level; a requeued message returns to its own place.
///
/// 16 bytes, also in an `Option`: the place (counted from 1) with the redelivered flag in its
/// lowest bit, and the message. A place has 62 bits: the level in the highest 8, then the sequence
/// number in the level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    place: NonZeroU64,
    /// The message, in the arena of the queue's home shard. To any other shard it is an opaque
    /// number.
    pub message: MessageRef,
}

impl Entry {
    /// Makes the entry of a message that was never delivered, at a sequence number of a level.
    #[inline]
    pub fn new(level: u8, sequence: u64, message: MessageRef) -> Entry {
        Entry::at(place(level, sequence), message)
    }

    /// Makes the entry of a message that was never delivered, at this [`place`].
    #[inline]
    pub fn at(place: u64, message: MessageRef) -> Entry {
        Entry { place: NonZeroU64::MIN.saturating_add((place << 1) | 1), message }
    }

    /// The place, by which the messages of a level are ordered.
    #[inline]
    pub fn place(self) -> u64 {
        (self.place.get() >> 1) - 1
    }

    /// The level of the queue that the message belongs to.
    #[inline]
    pub fn level(self) -> u8 {
        split_place(self.place()).0
    }

    /// The sequence number that the level gave on enqueue.
    #[inline]
    pub fn sequence(self) -> u64 {
        split_place(self.place()).1
    }

    /// Whether the message was delivered before and came back.
    #[inline]
    pub fn redelivered(self) -> bool {
        self.place.get() & 1 == 1
    }

    /// The entry in 16 bytes, for a mail to another shard.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.place.get()) << 64 | u128::from(self.message.to_bits())).to_le_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Returns `None` for bytes that it cannot have
    /// written: places are counted from 1, above the redelivered flag.
    #[inline]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Entry> {
        let all = u128::from_le_bytes(bytes);
        let place = NonZeroU64::new((all >> 64) as u64).filter(|place| place.get() > 1)?;
        Some(Entry { place, message: MessageRef::from_bits(all as u64) })
    }

    /// The same place, marked as delivered before.
    #[must_use]
    pub fn returned(self) -> Entry {
        Entry { place: self.place | 1, ..self }
    }
}

/// The place of sequence number `sequence` (below 2^54) of a level.
#[inline]
pub fn place(level: u8, sequence: u64) -> u64 {
    u64::from(level) << SEQUENCE_BITS | sequence
}

/// The level and the sequence number of a [`place`].
#[inline]
pub fn split_place(place: u64) -> (u8, u64) {
    ((place >> SEQUENCE_BITS) as u8, place & ((1 << SEQUENCE_BITS) - 1))
}

/// A delivered message that is not settled yet. A session keeps one per delivery tag, and hands it
/// back to settle it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The queue that the message came from.
    pub queue: QueueAddr,
    /// The consumer that it was delivered to, or `None` if it was fetched with basic.get.
    pub consumer: Option<ConsumerId>,
    /// The message's place in the queue.
    pub entry: Entry,
}

/// The origin of deliveries: the queue, and the consumer that they went to, or `None` if they were
/// fetched.
pub type Origin = (QueueAddr, Option<ConsumerId>);

impl Receipt {
    /// The message's origin.
    pub fn origin(&self) -> Origin {
        (self.queue, self.consumer)
    }
}

/// The fate of a delivered message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Consumed: it is gone.
    Acked,
    /// Refused without requeue: it is gone (or dead-lettered, if the queue has a dead-letter
    /// exchange).
    Discarded,
    /// Back to its place, marked redelivered.
    Requeued,
    /// Back to its place, and the delivery has failed: the consumer has rejected the message, or
    /// its channel ended.
    Failed,
}

/// The consumer that a queue delivers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The consumer's channel.
    pub channel: ChannelAddr,
    /// The consumer's index in the channel's own table.
    pub index: u32,
}

/// The [`place`] of a message that never gets one.
pub const NOWHERE: u64 = (1 << SEQUENCE_BITS) - 1;

/// Bits of a place behind the level: enough for a million messages a second for 500 years.
const SEQUENCE_BITS: u32 = 54;

const _: () = assert!(size_of::<Option<Entry>>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_knows_its_place() {
        for (level, sequence) in [(0, 0), (0, 1), (1, 0), (7, 2), (127, 1 << 40), (255, (1 << 54) - 1)] {
            let entry = Entry::new(level, sequence, MessageRef::default());
            assert_eq!((entry.level(), entry.sequence(), entry.redelivered()), (level, sequence, false));
            let entry = entry.returned();
            assert_eq!((entry.level(), entry.sequence(), entry.redelivered()), (level, sequence, true));
        }
    }

    #[test]
    fn places_of_a_level_are_ordered() {
        let place = |level, sequence| Entry::new(level, sequence, MessageRef::default()).place();
        assert!(place(3, 7) < place(3, 8) && place(3, u64::from(u32::MAX)) < place(4, 0));
    }

    #[test]
    fn an_entry_travels_as_bytes() {
        let entry = Entry::new(255, 1 << 40 | 7, MessageRef::new(u32::MAX, 12, true)).returned();
        assert_eq!(Entry::from_bytes(entry.to_bytes()), Some(entry));
        let bytes = |place: u128| (place << 64 | 7).to_le_bytes();
        assert_eq!([0, 1].map(|place| Entry::from_bytes(bytes(place))), [None, None]);
        assert_eq!(Entry::from_bytes(bytes(2)).map(Entry::place), Some(0));
    }
}

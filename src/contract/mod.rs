//! The narrow waist: what a protocol may ask of the broker, and what the broker may tell a protocol. Types only.
//!
//! A session machine (`protocol/*`) turns bytes into [`Request`]s, the shard carries them out on the broker's machines, and the
//! answer comes back as a [`Notice`] or a [`Fault`]. An operator's [`Command`] takes the same way without a session. Publishing, delivering
//! and settling do not pass through these enums: inside one turn on one shard they are plain calls over slices; here stand only the small
//! values that such calls share.

mod command;
mod fault;
mod receipts;
mod reply;
mod request;
mod route;

pub use command::{
    Command, Hashing, Limit, Password, PasswordHash, Permissions, TopicPermissions, UserLimits, UserSpec, VhostLimits, VhostSpec,
};
pub use fault::{Code, Fault, Scope};
pub use receipts::{Receipts, Tags};
pub use reply::{REPLY_TO, ReplyConsumer, ReplyName, is_reply_name};
pub use request::{BindingSpec, Destination, ExchangeSpec, Notice, Owner, QueueSpec, Request};
pub use route::{RouteCache, RouteSet};

use std::num::NonZeroU64;

use crate::base::ids::{ChannelAddr, ConsumerId, QueueAddr};
use crate::message::MessageRef;

/// A virtual host: its number in the catalog, which no other ever has while the broker runs. The `/` of a new broker is 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct VhostId(pub u32);

/// A message's place in its queue. Earlier places are delivered first; a requeued message returns to its own.
///
/// 16 bytes, also if it may be absent: the sequence number (counted from 1) with the redelivered flag in its lowest bit, and the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    place: NonZeroU64,
    /// The message, in the store of the queue's home shard. To any other shard it is an opaque number.
    pub message: MessageRef,
}

impl Entry {
    /// A message that was never delivered, at sequence number `sequence` (below 2^62).
    #[inline]
    pub fn new(sequence: u64, message: MessageRef) -> Entry {
        Entry { place: NonZeroU64::MIN.saturating_add((sequence << 1) | 1), message }
    }

    /// The sequence number that the queue gave on enqueue.
    pub fn sequence(self) -> u64 {
        (self.place.get() >> 1) - 1
    }

    /// What tells the message from the others of its queue, now and in future.
    pub fn key(self) -> u64 {
        self.place.get() >> 1
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

    /// What [`to_bytes`](Self::to_bytes) made.
    pub fn from_bytes(bytes: [u8; 16]) -> Entry {
        let all = u128::from_le_bytes(bytes);
        let place = NonZeroU64::new((all >> 64) as u64).expect("bytes of an entry");
        Entry { place, message: MessageRef::from_bits(all as u64) }
    }

    /// The same place, marked as delivered before.
    #[must_use]
    pub fn returned(self) -> Entry {
        Entry { place: self.place | 1, ..self }
    }
}

/// A delivered message that is not settled yet: what a session keeps per delivery tag, and hands back to settle it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The queue that the message came from.
    pub queue: QueueAddr,
    /// The consumer it was delivered to, or `None` for one that was fetched with basic.get.
    pub consumer: Option<ConsumerId>,
    /// The message's place there.
    pub entry: Entry,
}

/// What becomes of a delivered message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Consumed: it is gone.
    Acked,
    /// Refused without requeue: it is gone (or dead-lettered, where the queue says so).
    Discarded,
    /// Back to its place, marked redelivered.
    Requeued,
    /// The same, and its consumer has failed: it has rejected the message, or its channel ended.
    Failed,
    /// Back to its place, unmarked: it never reached the consumer.
    Undelivered,
}

/// Whom a queue delivers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The consumer's channel.
    pub channel: ChannelAddr,
    /// The consumer's index in the channel's own table.
    pub index: u32,
}

const _: () = assert!(size_of::<Option<Entry>>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_knows_its_place() {
        for sequence in [0, 1, 2, 1 << 61] {
            let entry = Entry::new(sequence, MessageRef::default());
            assert_eq!((entry.sequence(), entry.redelivered()), (sequence, false));
            assert_eq!((entry.returned().sequence(), entry.returned().redelivered()), (sequence, true));
        }
    }

    #[test]
    fn an_entry_travels_as_bytes() {
        let entry = Entry::new(1 << 40 | 7, MessageRef::new(u32::MAX, 12, true)).returned();
        assert_eq!(Entry::from_bytes(entry.to_bytes()), entry);
    }
}

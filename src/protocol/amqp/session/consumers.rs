//! A channel's consumers: found by index when a message arrives for one, and by tag when the client
//! names one.
//!
//! An index is a slot of the table and the generation of its consumer (`generation << 16 | slot`).
//! Channel numbers and slots are used again while deliveries of another shard may still be on their
//! way: such a late delivery finds no consumer, and not another one.

use slab::Slab;

use crate::base::hash::Map;
use crate::base::ids::{ConsumerId, QueueAddr};
use crate::base::limits::CHANNEL_CONSUMERS_MAX;
use crate::contract::Window;
use crate::contract::session::ConsumerTerms;
use crate::protocol::amqp::deliver::DeliverPrefix;

/// The consumers of one channel.
#[derive(Debug, Default)]
pub struct Consumers {
    slots: Slab<Consumer>,
    tags: Map<Box<str>, u32>,
}

/// One consumer.
#[derive(Debug)]
pub struct Consumer {
    /// The client's name for it.
    pub tag: Box<str>,
    /// The prefix of its delivery frames.
    pub prefix: DeliverPrefix,
    /// Whether its deliveries need no acknowledgement.
    pub no_ack: bool,
    /// The rest of what the client asked for, to be shown to operators.
    pub terms: Box<ConsumerTerms>,
    /// Its queue and its id there; `None` while it is being started.
    pub place: Option<(QueueAddr, ConsumerId)>,
    /// The credit window of its queue, used if the queue is on another shard.
    pub window: Window,
    generation: u16,
}

impl Consumers {
    /// Number of consumers.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Adds a consumer with a new tag on `channel`; `generation` distinguishes it from earlier
    /// ones. Returns its index.
    pub fn insert(&mut self, channel: u16, tag: &str, no_ack: bool, generation: u16) -> u32 {
        assert!(self.slots.len() < CHANNEL_CONSUMERS_MAX, "the caller has checked the limit");
        let (prefix, window) = (DeliverPrefix::new(channel, tag), Window::new(self.slots.len() + 1));
        let terms = Box::default();
        let consumer = Consumer { tag: tag.into(), prefix, no_ack, terms, place: None, window, generation };
        let slot = u32::try_from(self.slots.insert(consumer)).expect("a table of limited size");
        let index = u32::from(generation) << 16 | slot;
        self.tags.insert(tag.into(), index);
        index
    }

    /// The consumer at `index`, if it still exists.
    #[inline]
    pub fn find(&self, index: u32) -> Option<&Consumer> {
        let (slot, generation) = split(index);
        self.slots.get(slot).filter(|consumer| consumer.generation == generation)
    }

    /// The consumer at `index`, to be changed.
    pub fn find_mut(&mut self, index: u32) -> Option<&mut Consumer> {
        let (slot, generation) = split(index);
        self.slots.get_mut(slot).filter(|consumer| consumer.generation == generation)
    }

    /// The index of the consumer called `tag`.
    pub fn index_of(&self, tag: &str) -> Option<u32> {
        self.tags.get(tag).copied()
    }

    /// Removes the consumer at `index`.
    pub fn remove(&mut self, index: u32) -> Option<Consumer> {
        self.find(index)?;
        let consumer = self.slots.remove(split(index).0);
        self.tags.remove(&consumer.tag);
        Some(consumer)
    }

    /// All consumers, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.slots.iter().map(|(_, consumer)| consumer)
    }

    /// Queues and ids of all consumers, in the order of their slots.
    pub fn places(&self) -> impl Iterator<Item = (QueueAddr, ConsumerId)> + '_ {
        self.slots.iter().filter_map(|(_, consumer)| consumer.place)
    }

    /// Queues and ids of the consumers that acknowledge.
    pub fn acking_places(&self) -> impl Iterator<Item = (QueueAddr, ConsumerId)> + '_ {
        self.slots.iter().filter(|(_, consumer)| !consumer.no_ack).filter_map(|(_, consumer)| consumer.place)
    }
}

/// Splits an index into slot and generation.
fn split(index: u32) -> (usize, u16) {
    ((index & 0xffff) as usize, (index >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_index_finds_nothing() {
        let mut consumers = Consumers::default();
        let first = consumers.insert(1, "a", false, 7);
        assert_eq!(consumers.index_of("a"), Some(first));
        assert_eq!(consumers.remove(first).map(|consumer| consumer.tag), Some("a".into()));
        let second = consumers.insert(1, "a", true, 8);
        assert!(consumers.find(first).is_none() && consumers.remove(first).is_none());
        assert!(consumers.find(second).is_some_and(|consumer| consumer.no_ack));
        assert_eq!(consumers.index_of("b"), None);
        assert_eq!((consumers.len(), consumers.places().count()), (1, 0));
    }
}

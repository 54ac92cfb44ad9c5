//! The session's part of credit: which messages queues on other shards may send to consumers here
//! (see [`crate::contract::Credit`]).

use super::Session;
use crate::contract::Grant;

impl Session {
    /// Notes that messages of a queue on another shard arrived for a consumer, and were delivered.
    /// Returns whether a grant is due.
    #[inline]
    pub fn on_arrived(&mut self, channel: u16, index: u32, messages: u32, bytes: usize) -> bool {
        let Some(channel) = self.channels.find_mut(channel) else { return false };
        let Some(consumer) = channel.consumers.find_mut(index) else { return false };
        channel.lent -= consumer.window.on_arrived(messages, bytes);
        consumer.window.is_due()
    }

    /// Notes that a queue on another shard asks for messages for a consumer. Returns whether it is
    /// to be answered now; otherwise a grant waits already.
    pub fn on_wanted(&mut self, channel: u16, index: u32, messages: u32) -> bool {
        let consumer = self.channels.find_mut(channel).and_then(|channel| channel.consumers.find_mut(index));
        consumer.is_some_and(|consumer| {
            consumer.window.on_wanted(messages);
            consumer.window.is_due()
        })
    }

    /// Takes back messages that a queue on another shard was granted for a consumer and does not
    /// need.
    pub fn on_unused(&mut self, channel: u16, index: u32, messages: u32) {
        let Some(channel) = self.channels.find_mut(channel) else { return };
        let Some(consumer) = channel.consumers.find_mut(index) else { return };
        channel.lent -= consumer.window.on_unused(messages);
    }

    /// Returns what to grant to a queue on another shard for a consumer, as far as there is room,
    /// and whether a grant waits for room. If so, call again when there is room.
    pub fn grant(&mut self, channel: u16, index: u32) -> (Grant, bool) {
        let has_room = self.output.len() < self.output_max();
        let nothing = (Grant::default(), false);
        let Some(channel) = self.channels.find_mut(channel) else { return nothing };
        let room = channel.room();
        let Some(consumer) = channel.consumers.find_mut(index) else { return nothing };
        let (grant, waits) = consumer.window.grant(has_room, room);
        channel.lent += grant.messages;
        (grant, waits)
    }
}

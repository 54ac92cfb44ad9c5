//! Credit: how much a queue may send to a consumer on another shard before it hears from that
//! shard.
//!
//! ```text
//! queue's home                               consumer's shard
//! Credit   bytes   ──── deliveries ────▶     Window   owed: bytes arrived and not granted again
//!          messages ◀──── Grant ────────              lent: messages granted and not arrived
//! ```
//!
//! A queue sends nothing that the consumer could not take. So nothing comes back, and every
//! consumer sees the queue's order.
//!
//! Bytes are granted in advance: first the window, then as many as arrived, while the connection
//! has room. The last message may exceed them. Messages are counted only if the channel limits the
//! unsettled deliveries of all its consumers together (basic.qos with `global`). Only the channel's
//! shard knows which of its queues may send the next one, so a queue asks when it has messages, and
//! returns the grants that it cannot use.

use crate::base::limits::{CREDIT_BYTES_MAX, CREDIT_BYTES_MIN, CREDIT_CHANNEL_BYTES};
use crate::message::MessageView;

/// More room for a consumer on another shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Grant {
    /// Bytes, as [`cost`] counts them.
    pub bytes: u32,
    /// Messages, if they are counted.
    pub messages: u32,
}

/// The room that a queue still has at a consumer on another shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credit {
    window: u32,
    /// Below 0 if the last message was larger than the rest.
    bytes: i64,
    /// `None` if messages are not counted.
    messages: Option<u32>,
    /// Whether the queue has asked for messages and got no answer yet.
    asked: bool,
}

/// The room that a consumer's shard has granted to a queue on another shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    size: u32,
    owed: u32,
    wanted: u32,
    lent: u32,
    /// Whether a grant that is due waits for room.
    waits: bool,
}

/// Bytes of a window that a message takes.
#[inline]
pub fn cost(message: &MessageView<'_>) -> usize {
    MESSAGE_OVERHEAD + message.properties.len() + message.body.bytes().len()
}

impl Credit {
    /// Makes the credit of a whole window. `metered`: messages are counted, and none is granted
    /// yet.
    pub fn new(window: u32, metered: bool) -> Credit {
        Credit { window, bytes: window.into(), messages: metered.then_some(0), asked: false }
    }

    /// Counts messages from now on.
    pub fn meter(&mut self) {
        self.messages.get_or_insert(0);
    }

    /// Whether a message may be sent, or must at least be asked for.
    pub fn is_open(&self) -> bool {
        self.bytes > 0 && !self.asked
    }

    /// Whether less than half of the window is left.
    pub fn is_tight(&self) -> bool {
        self.bytes < i64::from(self.window / 2)
    }

    /// Whether messages must be asked for before one is sent.
    #[inline]
    pub fn must_ask(&self) -> bool {
        self.messages == Some(0)
    }

    /// Notes that the queue asks for messages.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// How many messages may be sent, as far as they are counted.
    #[inline]
    pub fn messages(&self) -> usize {
        self.messages.map_or(usize::MAX, |messages| messages as usize)
    }

    /// How many bytes may be sent; the last message may exceed them.
    #[inline]
    pub fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(0)
    }

    /// Notes that messages and bytes were sent.
    #[inline]
    pub fn spend(&mut self, messages: usize, bytes: usize) {
        self.bytes -= bytes as i64;
        if let Some(left) = &mut self.messages {
            *left -= messages as u32;
        }
    }

    /// Adds a grant of the consumer's shard.
    pub fn add(&mut self, grant: Grant) {
        self.bytes += i64::from(grant.bytes);
        if let Some(messages) = self.messages.as_mut().filter(|_| grant.messages > 0) {
            *messages += grant.messages;
            self.asked = false;
        }
    }

    /// Takes out the granted messages that are not needed.
    pub fn take_unused(&mut self) -> u32 {
        self.messages.as_mut().map_or(0, std::mem::take)
    }
}

impl Window {
    /// Makes the window of a consumer whose channel has this many consumers, itself included.
    pub fn new(consumers: usize) -> Window {
        let share = CREDIT_CHANNEL_BYTES / consumers.max(1);
        Window { size: share.clamp(CREDIT_BYTES_MIN, CREDIT_BYTES_MAX) as u32, owed: 0, wanted: 0, lent: 0, waits: false }
    }

    /// Bytes that the queue may send before it gets any [`Grant`].
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Messages that were granted and have not arrived.
    pub fn lent(&self) -> u32 {
        self.lent
    }

    /// Notes that messages and bytes arrived. Returns how many of the messages were lent.
    #[inline]
    pub fn on_arrived(&mut self, messages: u32, bytes: usize) -> u32 {
        self.owed = self.owed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        let lent = self.lent.min(messages);
        self.lent -= lent;
        lent
    }

    /// Notes that the queue asks for messages.
    pub fn on_wanted(&mut self, messages: u32) {
        self.wanted = messages;
    }

    /// Notes that the queue does not need some of the granted messages. Returns how many of them
    /// were lent.
    pub fn on_unused(&mut self, messages: u32) -> u32 {
        let lent = self.lent.min(messages);
        self.lent -= lent;
        lent
    }

    /// Whether there is something new to grant: a part of the window that is worth a mail, or
    /// messages that were asked for.
    #[inline]
    pub fn is_due(&self) -> bool {
        !self.waits && self.has_due()
    }

    fn has_due(&self) -> bool {
        self.owed >= self.size / 4 || self.wanted > 0
    }

    /// Grants what is due, if the connection has room, and its channel for this many messages. Also
    /// returns whether a grant waits for room now; then this is to be called again when there is
    /// some.
    pub fn grant(&mut self, has_room: bool, messages: u32) -> (Grant, bool) {
        let mut grant = Grant::default();
        if has_room {
            grant = Grant { bytes: std::mem::take(&mut self.owed), messages: self.wanted.min(messages) };
        }
        if grant.messages > 0 {
            self.wanted = 0;
            self.lent += grant.messages;
        }
        self.waits = self.has_due();
        (grant, self.waits)
    }
}

/// Bytes that a message takes beside its properties and its body: frames, and its place in the
/// unacked window.
const MESSAGE_OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_granted_again() {
        let mut window = Window::new(1);
        let mut credit = Credit::new(window.size(), false);
        let size = window.size() as usize;
        credit.spend(3, size + 100);
        assert!(!credit.is_open());
        assert_eq!((window.on_arrived(2, size / 8), window.is_due()), (0, false));
        window.on_arrived(1, size - size / 8 + 100);
        assert!(window.is_due());
        assert_eq!((window.grant(false, 9), window.is_due()), ((Grant::default(), true), false));
        credit.add(window.grant(true, 0).0);
        assert_eq!((credit.is_open(), credit.bytes(), window.is_due()), (true, size, false));
    }

    #[test]
    fn counted_messages_are_asked_for_and_returned() {
        let mut window = Window::new(1);
        let mut credit = Credit::new(window.size(), true);
        assert!(credit.is_open() && credit.must_ask());
        credit.ask();
        assert!(!credit.is_open());
        window.on_wanted(5);
        assert_eq!((window.is_due(), window.grant(true, 0)), (true, (Grant::default(), true)));
        credit.add(window.grant(true, 3).0);
        assert_eq!((credit.is_open(), credit.messages(), window.lent(), window.is_due()), (true, 3, 3, false));
        credit.spend(1, 100);
        assert_eq!(window.on_arrived(1, 100), 1);
        assert_eq!(window.on_unused(credit.take_unused()), 2);
        assert_eq!((window.lent(), credit.must_ask()), (0, true));
    }

    #[test]
    fn a_grant_of_bytes_alone_is_no_answer() {
        let mut credit = Credit::new(100, true);
        credit.ask();
        credit.add(Grant { bytes: 50, messages: 0 });
        assert!(!credit.is_open());
    }

    #[test]
    fn consumers_of_one_channel_share() {
        let bytes: Vec<u32> = [1, 8, 1000].map(|consumers| Window::new(consumers).size()).into();
        assert!(bytes[0] > bytes[1] && bytes[1] > bytes[2] && bytes[2] > 0, "{bytes:?}");
    }
}

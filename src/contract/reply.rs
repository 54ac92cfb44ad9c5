//! Reply names of direct reply-to (row S15): a reply name leads a reply straight to the channel
//! that waits for it. There is no queue behind it, and no entry in the catalog.
//!
//! ```text
//! amq.rabbitmq.reply-to.   [shard u16][connection u64][channel u16][consumer u32][secret u64]
//!                          24 bytes in base64url
//! ```
//!
//! The name says where the channel is, so any shard finds it in constant time. The secret proves
//! that the shard gave the name.

use crate::base::base64url;
use crate::base::ids::{ConnId, Key, ShardId};

/// The queue that a channel consumes replies from, and the reply-to of its requests.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// A reply name, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyName {
    /// The connection's shard.
    pub shard: ShardId,
    /// The consumer on that shard.
    pub consumer: ReplyConsumer,
}

/// A consumer of replies, on its own shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyConsumer {
    /// Its connection.
    pub conn: ConnId,
    /// A number that only those know who were told the name.
    pub secret: u64,
    /// Its index in its channel.
    pub index: u32,
    /// Its channel.
    pub channel: u16,
}

/// Whether a name looks like a reply name.
#[inline]
pub fn is_reply_name(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

impl ReplyName {
    /// Decodes a reply name, if it is well-formed.
    pub fn parse(name: &[u8]) -> Option<ReplyName> {
        let bytes: [u8; 24] = base64url::decode(name.strip_prefix(PREFIX)?)?;
        let number = |at: usize, len: usize| bytes[at..at + len].iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        let conn = Key { slot: number(2, 4) as u32, generation: number(6, 4) as u32 };
        let consumer =
            ReplyConsumer { conn: conn.into(), secret: number(16, 8), index: number(12, 4) as u32, channel: number(10, 2) as u16 };
        Some(ReplyName { shard: ShardId(number(0, 2) as u16), consumer })
    }

    /// Encodes the name.
    pub fn encode(&self) -> Box<str> {
        let ReplyConsumer { conn, secret, index, channel } = self.consumer;
        let mut bytes = Vec::with_capacity(24);
        bytes.extend_from_slice(&self.shard.0.to_be_bytes());
        bytes.extend_from_slice(&conn.0.slot.to_be_bytes());
        bytes.extend_from_slice(&conn.0.generation.to_be_bytes());
        bytes.extend_from_slice(&channel.to_be_bytes());
        bytes.extend_from_slice(&index.to_be_bytes());
        bytes.extend_from_slice(&secret.to_be_bytes());
        format!("{REPLY_TO}.{}", base64url::encode(&bytes)).into()
    }
}

/// The start of every reply name.
const PREFIX: &[u8] = b"amq.rabbitmq.reply-to.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_where_the_channel_is() {
        let conn = ConnId(Key { slot: 0x0102_0304, generation: 0x0506_0708 });
        let consumer = ReplyConsumer { conn, secret: 0x1112_1314_1516_1718, index: 0x2122_2324, channel: 0x3132 };
        let name = ReplyName { shard: ShardId(0x4142), consumer };
        let text = name.encode();
        assert!(is_reply_name(text.as_bytes()));
        assert_eq!((text.len(), ReplyName::parse(text.as_bytes())), (54, Some(name)));
    }

    #[test]
    fn other_names_say_nothing() {
        for name in ["amq.rabbitmq.reply-to", "amq.rabbitmq.reply-to.", "amq.rabbitmq.reply-to.nobody", "q", ""] {
            assert_eq!(ReplyName::parse(name.as_bytes()), None);
        }
        assert!(!is_reply_name(REPLY_TO.as_bytes()));
    }
}

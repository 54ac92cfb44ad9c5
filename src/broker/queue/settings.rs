//! What a queue promises about its messages beyond keeping them in order: how long it keeps them, how many, and what becomes of the others.

use crate::message::{TableRef, Value};

/// The promises of one queue, as its arguments and policies have them. The default promises nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// x-message-ttl: milliseconds that a message waits at most (row D12).
    pub message_ttl: Option<u64>,
    /// x-expires: milliseconds that the queue lives on unused (row D11).
    pub expires: Option<u64>,
    /// x-max-length: ready messages (row D13).
    pub max_length: Option<u64>,
    /// x-max-length-bytes: bytes of their bodies (row D13).
    pub max_length_bytes: Option<u64>,
    /// x-overflow: what goes when there are more (row D14).
    pub overflow: Overflow,
    /// Where dead messages go (row D15).
    pub dead_letter: Option<DeadLetter>,
}

/// What a full queue does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// The oldest messages go.
    #[default]
    DropHead,
    /// What is published is refused.
    RejectPublish,
    /// It is refused, and dead-lettered.
    RejectPublishDlx,
}

/// Where dead messages are published to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The exchange, which need not exist.
    pub exchange: Box<[u8]>,
    /// The routing key, if not the message's own.
    pub routing_key: Option<Box<[u8]>>,
}

impl Settings {
    /// What checked arguments say.
    pub fn of(arguments: TableRef<'_>) -> Settings {
        let number = |name| arguments.find(name).and_then(Value::as_int).and_then(|number| u64::try_from(number).ok());
        let text = |name| arguments.find(name).and_then(Value::as_text);
        let routing_key = text("x-dead-letter-routing-key").map(Box::from);
        Settings {
            message_ttl: number("x-message-ttl"),
            expires: number("x-expires"),
            max_length: number("x-max-length"),
            max_length_bytes: number("x-max-length-bytes"),
            overflow: match text("x-overflow") {
                Some(b"reject-publish") => Overflow::RejectPublish,
                Some(b"reject-publish-dlx") => Overflow::RejectPublishDlx,
                _ => Overflow::DropHead,
            },
            dead_letter: text("x-dead-letter-exchange").map(|exchange| DeadLetter { exchange: exchange.into(), routing_key }),
        }
    }

    /// Whether so many ready messages, of so many bytes, are too many.
    pub fn is_exceeded(&self, length: u64, bytes: u64) -> bool {
        self.max_length.is_some_and(|most| length > most) || self.max_length_bytes.is_some_and(|most| bytes > most)
    }

    /// Whether a full queue refuses what is published.
    pub fn rejects(&self) -> bool {
        self.overflow != Overflow::DropHead && (self.max_length.is_some() || self.max_length_bytes.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TableBuilder;

    #[test]
    fn arguments_are_read() {
        assert_eq!(Settings::of(TableRef::EMPTY), Settings::default());
        let arguments = TableBuilder::new()
            .int("x-message-ttl", 1)
            .long("x-expires", 2)
            .int("x-max-length", 3)
            .int("x-max-length-bytes", 4)
            .text("x-overflow", "reject-publish")
            .text("x-dead-letter-exchange", "")
            .text("x-dead-letter-routing-key", "k")
            .build();
        let dead_letter = DeadLetter { exchange: Box::default(), routing_key: Some(Box::from(&b"k"[..])) };
        let settings = Settings {
            message_ttl: Some(1),
            expires: Some(2),
            max_length: Some(3),
            max_length_bytes: Some(4),
            overflow: Overflow::RejectPublish,
            dead_letter: Some(dead_letter),
        };
        assert_eq!(Settings::of(arguments.view()), settings);
        assert!(settings.rejects() && settings.is_exceeded(4, 0) && settings.is_exceeded(0, 5) && !settings.is_exceeded(3, 4));
    }
}

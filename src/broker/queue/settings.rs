//! The settings of a queue about its messages: how long the queue keeps them, how many, and what
//! happens to the others.

use super::Retry;
use crate::broker::deduplication::Wanted;
use crate::broker::policy::{Key, Terms, key};

/// The settings of one queue, as its arguments and policies have them. By default, none is set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// x-message-ttl: milliseconds that a message waits at most (row D12).
    pub message_ttl: Option<u64>,
    /// x-expires: milliseconds after which the unused queue is deleted (row D11).
    pub expires: Option<u64>,
    /// x-max-length: number of ready messages (row D13).
    pub max_length: Option<u64>,
    /// x-max-length-bytes: bytes of the bodies of ready messages (row D13).
    pub max_length_bytes: Option<u64>,
    /// x-overflow: which messages are dropped when there are more (row D14).
    pub overflow: Overflow,
    /// The destination of dead-lettered messages (row D15).
    pub dead_letter: Option<DeadLetter>,
    /// x-delayed-retry-*: how long returned messages wait (row D24).
    pub retry: Option<Retry>,
    /// x-message-deduplication: duplicates are dropped (row D30).
    pub deduplication: Option<Wanted>,
}

/// The behaviour of a full queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// The oldest messages are dropped.
    #[default]
    DropHead,
    /// Published messages are refused.
    RejectPublish,
    /// Published messages are refused, and dead-lettered.
    RejectPublishDlx,
}

/// The destination of dead-lettered messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The exchange, which need not exist.
    pub exchange: Box<[u8]>,
    /// The routing key, if it is not the message's own.
    pub routing_key: Option<Box<[u8]>>,
    /// Whether the queue keeps each message until another queue has it (row D16).
    pub at_least_once: bool,
}

impl Settings {
    /// Derives the settings. The overflow of a classic queue is decided by its own argument first,
    /// that of a quorum queue by policies first.
    pub fn of(terms: &Terms<'_>, quorum: bool) -> Settings {
        let routing_key = terms.own_text(&DEAD_LETTER_ROUTING_KEY).map(Box::from);
        let strategy = terms.own_text(&DEAD_LETTER_STRATEGY);
        let overflow = if quorum { terms.policy_text(&OVERFLOW) } else { terms.own_text(&OVERFLOW) };
        Settings {
            message_ttl: terms.least(&MESSAGE_TTL),
            expires: terms.least(&EXPIRES),
            max_length: terms.least(&MAX_LENGTH),
            max_length_bytes: terms.least(&MAX_LENGTH_BYTES),
            overflow: match overflow {
                Some(b"reject-publish") => Overflow::RejectPublish,
                Some(b"reject-publish-dlx") if quorum => Overflow::DropHead,
                Some(b"reject-publish-dlx") => Overflow::RejectPublishDlx,
                _ => Overflow::DropHead,
            },
            retry: Retry::of(terms),
            dead_letter: terms.own_text(&DEAD_LETTER_EXCHANGE).map(|exchange| DeadLetter {
                exchange: exchange.into(),
                routing_key,
                // As in RabbitMQ, a queue that drops its oldest messages cannot keep dead ones
                // until other queues have them.
                at_least_once: quorum && strategy == Some(b"at-least-once") && overflow == Some(b"reject-publish"),
            }),
            deduplication: Wanted::by_queue(terms.arguments),
        }
    }

    /// Whether this many ready messages, with this many bytes, are too many.
    pub fn is_exceeded(&self, length: u64, bytes: u64) -> bool {
        self.max_length.is_some_and(|most| length > most) || self.max_length_bytes.is_some_and(|most| bytes > most)
    }

    /// Whether a full queue refuses published messages.
    pub fn rejects(&self) -> bool {
        self.overflow != Overflow::DropHead && (self.max_length.is_some() || self.max_length_bytes.is_some())
    }

    /// Whether the queue may accept one message and refuse the next: then messages are offered to
    /// it one by one.
    pub fn selects(&self) -> bool {
        self.rejects() || self.deduplication.is_some()
    }
}

const DEAD_LETTER_STRATEGY: Key = key("x-dead-letter-strategy");
const MESSAGE_TTL: Key = key("x-message-ttl");
const EXPIRES: Key = key("x-expires");
const MAX_LENGTH: Key = key("x-max-length");
const MAX_LENGTH_BYTES: Key = key("x-max-length-bytes");
const OVERFLOW: Key = key("x-overflow");
const DEAD_LETTER_EXCHANGE: Key = key("x-dead-letter-exchange");
const DEAD_LETTER_ROUTING_KEY: Key = key("x-dead-letter-routing-key");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{TableBuilder, TableRef};

    #[test]
    fn arguments_are_read() {
        assert_eq!(Settings::of(&Terms::of(TableRef::EMPTY), false), Settings::default());
        let arguments = TableBuilder::new()
            .int("x-message-ttl", 1)
            .long("x-expires", 2)
            .int("x-max-length", 3)
            .int("x-max-length-bytes", 4)
            .text("x-overflow", "reject-publish")
            .text("x-dead-letter-exchange", "")
            .text("x-dead-letter-routing-key", "k")
            .build();
        let dead_letter = DeadLetter { exchange: Box::default(), routing_key: Some(Box::from(&b"k"[..])), at_least_once: false };
        let settings = Settings {
            message_ttl: Some(1),
            expires: Some(2),
            max_length: Some(3),
            max_length_bytes: Some(4),
            overflow: Overflow::RejectPublish,
            dead_letter: Some(dead_letter),
            retry: None,
            deduplication: None,
        };
        assert_eq!(Settings::of(&Terms::of(arguments.view()), false), settings);
        assert!(settings.rejects() && settings.is_exceeded(4, 0) && settings.is_exceeded(0, 5) && !settings.is_exceeded(3, 4));
    }

    #[test]
    fn policies_and_arguments_are_put_together() {
        let arguments = TableBuilder::new().int("x-max-length", 3).text("x-overflow", "reject-publish").build();
        let policy = TableBuilder::new().long("max-length", 9).long("message-ttl", 7).text("dead-letter-exchange", "d").build();
        let operator = TableBuilder::new().long("message-ttl", 5).text("overflow", "drop-head").build();
        let terms = Terms { arguments: arguments.view(), policy: policy.view(), operator: operator.view() };
        let [classic, quorum] = [false, true].map(|quorum| Settings::of(&terms, quorum));
        assert_eq!((classic.max_length, classic.message_ttl, classic.overflow), (Some(3), Some(5), Overflow::RejectPublish));
        assert_eq!(classic.dead_letter, Some(DeadLetter { exchange: Box::from(&b"d"[..]), routing_key: None, at_least_once: false }));
        assert_eq!(quorum.overflow, Overflow::DropHead);
    }
}

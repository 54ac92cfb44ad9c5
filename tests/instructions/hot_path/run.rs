//! The load: a publisher that always has more to send, and a consumer that acknowledges the
//! deliveries of the turn before.
//!
//! Everything is encoded beforehand: the published bytes repeat, and acks are cut from a store of
//! fixed size. So the preparation costs the same for any number of messages, and two runs differ
//! only by their messages.
//!
//! ```text
//! publishes  4 × 16 KiB ─▶ ┐ one turn ┌ ─▶ deliveries, confirms: their bytes are counted, not read
//! acks     n × ≤ 16 KiB ─▶ ┘ of all   │
//!            ▲               shards   │
//!            └────── next turn ───────┘
//! ```

use crate::support::value::Value;
use crate::support::wire::{self, Method};
use crate::yard::{Client, Yard};

/// The most messages of a run. Acks are prepared for all of them, however few are used.
const MESSAGES_MAX: usize = 50_000;

/// A broker under load.
pub struct Run {
    yard: Yard,
    publisher: Client,
    consumer: Client,
    published: Published,
    /// The consumer's acks; `None` if it consumes without acks.
    acks: Option<Acks>,
    /// Bytes that the consumer had received before the first message.
    received_before: usize,
    /// Bytes of one message's deliveries.
    delivered_size: usize,
}

impl Run {
    /// Makes a load that repeats these publishes. One round of them shows how large a message's
    /// deliveries are.
    pub fn new(yard: Yard, publisher: Client, consumer: Client, publishes: &[Vec<u8>], with_acks: bool) -> Run {
        let received_before = yard.received(consumer);
        let published = Published::new(publishes);
        let mut run = Run { yard, publisher, consumer, published, acks: None, received_before, delivered_size: 0 };
        run.drive(publishes.len());
        run.delivered_size = run.received() / publishes.len();
        run.acks = with_acks.then(Acks::new);
        run
    }

    /// Returns the bytes of one message's deliveries.
    pub fn delivered_size(&self) -> usize {
        self.delivered_size
    }

    /// Publishes this many messages, in whole rounds of the publishes, and takes turns until they
    /// are delivered.
    pub fn publish(&mut self, messages: usize) {
        assert!(
            messages.is_multiple_of(self.published.messages) && messages < MESSAGES_MAX,
            "whole rounds, at most {MESSAGES_MAX} messages"
        );
        let before = self.received();
        self.drive(messages);
        assert_eq!(self.received() - before, messages * self.delivered_size, "not all was delivered");
        assert_eq!(self.yard.messages(), 0, "messages are left");
    }

    fn drive(&mut self, messages: usize) {
        self.published.left = messages * (self.published.period / self.published.messages);
        while self.turn() || self.published.left > 0 {}
    }

    /// Hands over the received bytes and takes one turn. Returns whether there is more to do.
    fn turn(&mut self) -> bool {
        for _ in 0..PIECES_PER_TURN {
            if self.published.left > 0 && !self.yard.is_paused(self.publisher) {
                self.yard.hand_over(self.publisher, self.published.next());
            }
        }
        let received = self.received();
        if let Some(acks) = &mut self.acks {
            acks.up_to(received / self.delivered_size, |piece| self.yard.hand_over(self.consumer, piece));
        }
        self.yard.turn()
    }

    /// Returns the bytes of deliveries so far.
    fn received(&self) -> usize {
        self.yard.received(self.consumer) - self.received_before
    }
}

/// Encoded publishes, one behind the other, which repeat.
struct Published {
    bytes: Vec<u8>,
    /// The number of messages and of bytes after which they repeat.
    messages: usize,
    period: usize,
    at: usize,
    left: usize,
}

impl Published {
    fn new(publishes: &[Vec<u8>]) -> Published {
        let round = publishes.concat();
        Published { bytes: round.repeat(2 + PIECE / round.len()), messages: publishes.len(), period: round.len(), at: 0, left: 0 }
    }

    /// Returns the content of the next receive buffer.
    fn next(&mut self) -> &[u8] {
        let (start, len) = (self.at, PIECE.min(self.left));
        self.left -= len;
        self.at = (start + len) % self.period;
        &self.bytes[start..start + len]
    }
}

/// The acks of the first deliveries, one for each.
struct Acks {
    bytes: Vec<u8>,
    at: usize,
}

impl Acks {
    fn new() -> Acks {
        let ack = |tag: usize| {
            let ack = Method::new("basic.ack", &[("delivery_tag", Value::number(tag as u64))]).expect("the list knows it");
            wire::method_frame(1, &ack)
        };
        Acks { bytes: (1..=MESSAGES_MAX).flat_map(ack).collect(), at: 0 }
    }

    /// Takes the acks up to that of delivery number `last`, in receive buffers.
    fn up_to(&mut self, last: usize, take: impl FnMut(&[u8])) {
        let end = last * (self.bytes.len() / MESSAGES_MAX);
        self.bytes[self.at..end].chunks(PIECE).for_each(take);
        self.at = end;
    }
}

/// Bytes of a receive buffer.
const PIECE: usize = 16 << 10;

/// The number of full receive buffers that a busy publisher has ready for each turn.
const PIECES_PER_TURN: usize = 4;

//! The exchange type `x-recent-history`: a fanout that keeps the last messages for queues that are
//! bound later.
//!
//! `x-recent-history-length` sets their number (20 if it is missing); a message whose header
//! `x-recent-history-no-store` is true is not kept. A history takes the memory of this number of
//! messages. It counts towards the broker's memory, whose alarm blocks publishers.
//!
//! Histories are in memory and end with the process. (RabbitMQ did the same while it kept them in
//! Mnesia; in Khepri they are on the disk.)

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::limits::SHARED_BODY_MIN;
use crate::contract::{Code, ExchangeSpec, Fault};
use crate::message::{Body, MessageView, Route, Stamp, TableRef, Value};

/// The last messages, oldest first.
pub struct History {
    length: usize,
    messages: VecDeque<Kept>,
}

/// A message that owns its bytes.
#[derive(Clone)]
pub struct Kept {
    route: Bytes,
    properties: Bytes,
    stamp: Stamp,
    body: Bytes,
}

impl History {
    /// Makes the empty history of an exchange. Returns `None` if its type keeps none. The arguments
    /// were checked by [`check_arguments`].
    pub fn of(spec: &ExchangeSpec) -> Option<History> {
        if &*spec.kind != NAME {
            return None;
        }
        let length = spec.arguments.find(LENGTH).and_then(Value::as_int).and_then(|length| usize::try_from(length).ok());
        Some(History { length: length.unwrap_or(LENGTH_DEFAULT), messages: VecDeque::new() })
    }

    /// Keeps a message with these headers, unless they forbid it.
    pub fn keep(&mut self, message: &MessageView<'_>, headers: TableRef<'_>) {
        if headers.find(NO_STORE) == Some(Value::Bool(true)) {
            return;
        }
        if self.messages.len() == self.length {
            self.messages.pop_front();
        }
        self.messages.push_back(Kept::copy(message));
    }

    /// The kept messages, oldest first.
    pub fn messages(&self) -> impl Iterator<Item = &Kept> {
        self.messages.iter()
    }
}

impl Kept {
    fn copy(message: &MessageView<'_>) -> Kept {
        let body = match message.body {
            Body::Slice(bytes) => Bytes::copy_from_slice(bytes),
            Body::Shared(bytes) => bytes.clone(),
        };
        let [route, properties] = [message.route.wire(), message.properties].map(Bytes::copy_from_slice);
        Kept { route, properties, stamp: message.stamp, body }
    }

    /// The message, borrowed.
    pub fn view(&self) -> MessageView<'_> {
        let body = if self.body.len() < SHARED_BODY_MIN { Body::Slice(&self.body) } else { Body::Shared(&self.body) };
        MessageView { route: Route::new(&self.route), properties: &self.properties, stamp: self.stamp, body }
    }
}

/// Checks the arguments of such an exchange.
pub fn check_arguments(spec: &ExchangeSpec) -> Result<(), Fault> {
    let refused = match spec.arguments.find(LENGTH) {
        _ if &*spec.kind != NAME => return Ok(()),
        None => return Ok(()),
        Some(Value::Byte(1..) | Value::Short(1..) | Value::SignedInt(1..) | Value::Long(1..)) => return Ok(()),
        Some(Value::LongString(text) | Value::Binary(text)) => crate::message::ErlangBinary(text).to_string(),
        Some(other) => other.to_string(),
    };
    let text = format!("Invalid argument {refused}, 'x-recent-history-length' must be a positive integer");
    Err(Fault::new(Code::PreconditionFailed, text))
}

const NAME: &str = "x-recent-history";
const LENGTH: &str = "x-recent-history-length";
const LENGTH_DEFAULT: usize = 20;
const NO_STORE: &str = "x-recent-history-no-store";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::exchange;
    use crate::message::{Properties, TableBuilder};

    fn bodies(history: &History) -> Vec<usize> {
        history.messages().map(|kept| kept.view().body.bytes().len()).collect()
    }

    #[test]
    fn the_last_ones_are_kept_and_large_bodies_shared() {
        let arguments = TableBuilder::new().int(LENGTH, 2).build();
        let mut history = History::of(&ExchangeSpec { arguments, ..exchange("e", NAME) }).expect("it keeps them");
        let large = Bytes::from(vec![7; SHARED_BODY_MIN]);
        let message = |body| MessageView { route: Route::new(b"\x01e\x01k"), properties: Properties::NONE, stamp: Stamp::NONE, body };
        history.keep(&message(Body::Slice(b"a")), TableRef::EMPTY);
        history.keep(&message(Body::Slice(b"bc")), TableRef::EMPTY);
        history.keep(&message(Body::Slice(b"secret")), TableBuilder::new().bool(NO_STORE, true).build().view());
        assert_eq!(bodies(&history), [1, 2]);
        history.keep(&message(Body::Shared(&large)), TableRef::EMPTY);
        assert_eq!(bodies(&history), [2, SHARED_BODY_MIN]);
        let last = history.messages().last().expect("two").view();
        assert!(matches!(last.body, Body::Shared(body) if body.as_ptr() == large.as_ptr()));
        assert_eq!((last.route.wire(), last.properties), (&b"\x01e\x01k"[..], Properties::NONE));
    }

    #[test]
    fn other_exchanges_keep_none_and_twenty_is_the_rule() {
        assert!(History::of(&exchange("e", "fanout")).is_none());
        assert_eq!(History::of(&exchange("e", NAME)).expect("it does").length, 20);
    }
}

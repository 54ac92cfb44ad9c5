//! The rules of a queue: those of its declaration, which never change, and two that policies may
//! change.

use super::Priorities;
use crate::broker::catalog::is_quorum;
use crate::broker::policy::{Key, Terms, key};
use crate::contract::QueueSpec;
use crate::message::{Properties, Value, flag};

/// A queue's rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Whether it survives a restart, and its persistent messages with it.
    pub durable: bool,
    /// Whether it is deleted with its last consumer.
    pub auto_delete: bool,
    /// Whether it follows the rules of quorum queues (rows D19, D29).
    pub quorum: bool,
    /// Whether it counts how often a message comes back, and delivers returned messages before
    /// ready ones: a quorum queue, or one that limits or delays returns.
    pub counts: bool,
    /// The priorities that it supports.
    pub priorities: Priorities,
    /// How often a message may fail, if failures are counted; `None` for no limit (row D23).
    pub delivery_limit: Option<u32>,
    /// How long its consumers may keep a delivery, milliseconds, if the queue limits it (row S14).
    pub consumer_timeout_ms: Option<u64>,
    /// Whether only one of its consumers is served at a time (row S8).
    pub single_active: bool,
}

impl Rules {
    /// Derives the rules from a declaration and the terms of the queue.
    pub fn of(spec: &QueueSpec, terms: &Terms<'_>) -> Rules {
        let quorum = is_quorum(&spec.arguments);
        let said = terms.limit(&DELIVERY_LIMIT);
        let limit = if quorum { said.or(Some(DELIVERIES)) } else { said };
        let single_active = spec.arguments.find("x-single-active-consumer").and_then(Value::as_bool);
        Rules {
            durable: spec.durable,
            auto_delete: spec.auto_delete,
            quorum,
            counts: quorum || said.is_some() || spec.arguments.find("x-delayed-retry-type").is_some(),
            priorities: Priorities::of(&spec.arguments),
            delivery_limit: limit.and_then(|limit| u32::try_from(limit).ok()),
            consumer_timeout_ms: terms.least(&CONSUMER_TIMEOUT),
            single_active: single_active.unwrap_or_default(),
        }
    }

    /// Whether this queue keeps a message with these properties across a restart. A quorum queue
    /// keeps transient messages, too.
    #[inline]
    pub fn keeps(&self, properties: &[u8]) -> bool {
        self.durable && (self.quorum || lasts(properties))
    }
}

/// Whether a message with these properties is persistent (row P9).
#[inline]
pub fn lasts(properties: &[u8]) -> bool {
    let properties = Properties::trusted(properties);
    properties.has_any(flag::DELIVERY_MODE) && properties.delivery_mode() == Some(PERSISTENT)
}

/// The delivery mode of a persistent message.
const PERSISTENT: u8 = 2;
/// How often a message of a quorum queue may fail by default.
const DELIVERIES: i64 = 20;
const DELIVERY_LIMIT: Key = key("x-delivery-limit");
const CONSUMER_TIMEOUT: Key = key("x-consumer-timeout");

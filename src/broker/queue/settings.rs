//! What a queue was declared as, in the form that the queue works by.

use crate::broker::catalog::is_quorum;
use crate::contract::QueueSpec;
use crate::message::Value;

/// A queue's settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// It survives a restart, and so do its persistent messages.
    pub durable: bool,
    /// It goes with its last consumer.
    pub auto_delete: bool,
    /// It follows the rules of quorum queues (rows D19, D29).
    pub quorum: bool,
    /// One of its consumers is served at a time (row S8).
    pub single_active: bool,
}

impl Settings {
    /// Those of a declaration.
    pub fn of(spec: &QueueSpec) -> Settings {
        let single_active = spec.arguments.find("x-single-active-consumer").and_then(Value::as_bool);
        Settings {
            durable: spec.durable,
            auto_delete: spec.auto_delete,
            quorum: is_quorum(&spec.arguments),
            single_active: single_active.unwrap_or_default(),
        }
    }
}

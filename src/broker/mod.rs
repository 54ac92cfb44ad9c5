//! The broker's data and decisions: no I/O, no clock, no protocol.
//!
//! - [`catalog`]: virtual hosts, users, exchanges, queues, bindings; [`policy`]: policies;
//! - [`options`]: the options of queues, for both;
//! - [`access`]: logins, and the opening of virtual hosts;
//! - [`routing`]: finds a message's queues; [`exchange`]: the exchange types;
//! - [`queue`]: one queue, its messages and consumers; [`arena`]: the memory of messages;
//! - [`dead_letter`]: the history of dead messages; [`deduplication`]: the values seen before.

pub mod access;
pub mod arena;
pub mod catalog;
pub mod dead_letter;
pub mod deduplication;
pub mod exchange;
#[cfg(test)]
mod fixture;
pub mod options;
pub mod policy;
pub mod queue;
pub mod routing;

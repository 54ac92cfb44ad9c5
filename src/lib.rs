//! RingMQ: a message broker for RabbitMQ's users.

pub mod base;
pub mod broker;
pub mod config;
pub mod contract;
pub mod io;
pub mod message;
pub mod protocol;
pub mod shard;

//! Wire protocols.
pub mod amqp;

//! AMQP 0-9-1: bytes to values and back, and the session.
//!
//! [`frame`] cuts the input into frames, [`method`] and [`content`] read and write their payloads;
//! [`publish`], [`acks`] and [`deliver`] are fast paths for the forms of nearly all traffic. These
//! are functions over slices, which refuse what they cannot read but never panic, and keep nothing
//! between two calls. The state of a connection is in [`session`].

pub mod acks;
pub mod content;
pub mod deliver;
pub mod frame;
pub mod method;
pub mod publish;
pub mod session;

pub use method::{Method, MethodError};

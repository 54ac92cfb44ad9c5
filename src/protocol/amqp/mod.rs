//! AMQP 0-9-1: bytes to values and back.
//!
//! [`frame`] cuts the input into frames, [`method`] and [`content`] read their payloads and write them; [`publish`] and [`deliver`] are
//! short cuts for the two shapes that make up nearly all traffic. Everything here is a total function over slices: it refuses, it never
//! panics on what a peer sends, and it keeps nothing between two calls.

pub mod content;
pub mod deliver;
pub mod frame;
pub mod method;
pub mod publish;

pub use method::{Method, MethodError};

//! AMQP 0-9-1: bytes to values and back, and the machine that speaks it.
//!
//! [`frame`] cuts the input into frames, [`method`] and [`content`] read their payloads and write them; [`publish`], [`acks`] and [`deliver`]
//! are short cuts for the shapes that make up nearly all traffic. These are total functions over slices: they refuse, they never
//! panic on what a peer sends, and they keep nothing between two calls. What a connection has to remember stands in [`session`].

pub mod acks;
pub mod content;
pub mod deliver;
pub mod frame;
pub mod method;
pub mod publish;
pub mod session;

pub use method::{Method, MethodError};

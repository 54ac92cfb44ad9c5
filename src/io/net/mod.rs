//! The sockets of a shard.
//!
//! - [`listener`] accepts connections;
//! - [`socket`] keeps each socket until the kernel has given everything back;
//! - [`receive`] and [`send`] move bytes: [`buffers`] lends memory to the kernel, [`direct`]
//!   receives large bodies where they will stay;
//! - [`patience`] and [`hang_up`] notice peers that take nothing or are gone.

pub mod buffers;
pub mod direct;
pub mod hang_up;
pub mod listener;
pub mod patience;
pub mod receive;
pub mod send;
pub mod socket;

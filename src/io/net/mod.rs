//! The sockets of a shard: [`listener`] accepts if [`admission`] says so, [`socket`] keeps each one until the kernel has given
//! everything back, [`owner`] joins it to its owner in the shard, [`receive`] and [`send`] move
//! bytes. [`buffers`] lends the kernel memory, [`direct`] receives large bodies where they will stay;
//! [`patience`] and [`hang_up`] notice peers that take nothing or are gone.

pub mod admission;
pub mod buffers;
pub mod direct;
pub mod hang_up;
pub mod listener;
pub mod owner;
pub mod patience;
pub mod receive;
pub mod send;
pub mod socket;

//! The only room with system calls: everything that a shard asks for is done here, and everything that happens is told to it.
//!
//! [`ring`], [`buffers`], [`socket`], [`send`], [`listener`] and [`wake`] are what the loop of a shard works with, and [`token`] is how a completion says whom it is for. Descriptors are plain ones: with the ring itself registered, looking a descriptor
//! up costs a few nanoseconds per operation, and the addresses of a connection can only be asked of a plain one.

pub mod affinity;
pub mod buffers;
pub mod clock;
pub mod data_dir;
pub mod listener;
pub mod process;
pub mod ring;
pub mod send;
pub mod signal;
pub mod socket;
pub mod statistics;
pub mod token;
pub mod wake;

use std::fmt;

/// Why the broker cannot start: one sentence for the person who starts it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

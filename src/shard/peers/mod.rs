//! The other shards.
//!
//! - [`link`]: this shard's end of the rings to one of them;
//! - [`mail`]: what shards say to each other; [`block`]: the messages that go with it;
//! - [`mailbox`]: how mail is read.

pub mod block;
pub mod link;
pub mod mail;
pub mod mailbox;

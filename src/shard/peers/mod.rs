//! The other shards: [`link`] is this shard's end of the rings to one of them, [`mail`] what they say to
//! each other, [`block`] the messages that go with it, [`mailbox`] how mail is read.

pub mod block;
pub mod link;
pub mod mail;
pub mod mailbox;

//! The other shards.
//!
//! - [`link`]: this shard's end of the rings to one of them;
//! - [`mail`]: what shards say to each other; [`block`]: the messages that go with it;
//! - [`mailbox`]: how mail is read.

pub mod block;
pub mod link;
pub mod mail;
pub mod mailbox;

use std::sync::Arc;

use crate::base::ids::ShardId;
use crate::base::spsc::Doorbell;

use link::Link;
use mailbox::Early;

/// The links to the other shards.
pub struct Peers {
    /// The bell by which the others wake this shard.
    pub bell: Arc<Doorbell>,
    /// Links to the other shards, by shard number; none to itself.
    pub links: Vec<Option<Link>>,
    /// The shard whose mail is read first in the next turn.
    pub first_peer: u16,
    /// Mail for queues whose declaration has not arrived here yet.
    pub early: Vec<Early>,
}

impl Peers {
    /// Makes the owner for a shard of a broker of so many; its links are joined afterwards.
    pub fn new(shards: u16) -> Peers {
        Peers { bell: Arc::default(), links: (0..shards).map(|_| None).collect(), first_peer: 0, early: Vec::new() }
    }

    /// Asserts that shard `id` has a link to every other shard, and none to itself.
    pub fn check(&self, id: ShardId) {
        for (number, link) in self.links.iter().enumerate() {
            assert_eq!(link.is_none(), number == usize::from(id.0), "a link to each of the others");
        }
    }
}

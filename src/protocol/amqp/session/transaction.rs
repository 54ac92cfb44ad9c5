//! What a transactional channel has done since its last commit: published and settled, both held back.

use super::assembly::Assembled;
use crate::contract::{Outcome, Receipt};

/// The buffer of a channel between tx.select and tx.commit, or between two commits.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Messages in the order of their publishes.
    pub publishes: Vec<Assembled>,
    /// Settled deliveries, in the order in which the client settled them, with their delivery tags.
    pub settles: Vec<(u64, Receipt, Outcome)>,
    /// Octets of `publishes`.
    pub size: usize,
}

impl Transaction {
    /// A message waits for the commit.
    pub fn publish(&mut self, message: Assembled) {
        self.size += message.size();
        self.publishes.push(message);
    }

    /// How many of the settled deliveries had come to consumers: they count towards the channel's prefetch until the commit.
    pub fn volume(&self) -> u32 {
        let to_consumers = self.settles.iter().filter(|(_, receipt, _)| receipt.consumer.is_some());
        u32::try_from(to_consumers.count()).expect("no more than were delivered")
    }
}

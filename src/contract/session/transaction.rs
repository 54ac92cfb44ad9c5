//! A transaction: the publishes and settlements of a client since its last commit, which take effect
//! with the next one. Its session gathers them, and the shard carries them out.

use super::Assembled;
use crate::base::budget::{Budget, Held};
use crate::contract::{Origin, Outcome, Receipt};

/// The publishes and settlements of a channel that wait for the commit.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Messages in the order of their publishes.
    pub publishes: Vec<Assembled>,
    /// Settled deliveries, in the order in which the client settled them, with their delivery tags.
    pub settles: Vec<(u64, Receipt, Outcome)>,
    /// Memory of the messages in `publishes` except the last, which may still change, bytes.
    messages_size: usize,
    /// The memory of all of it, as a part of the budget of all channels.
    pub held: Option<Held>,
}

impl Transaction {
    /// Makes an empty transaction, which uses memory of this budget.
    pub fn new(budget: &Budget) -> Transaction {
        Transaction { held: Some(budget.hold()), ..Transaction::default() }
    }

    /// Takes out the transaction, to be committed or rolled back. It uses its memory until it is
    /// dropped.
    pub fn take(&mut self, budget: &Budget) -> Transaction {
        std::mem::replace(self, Transaction::new(budget))
    }

    /// Returns how much memory one channel may use now, if a message would exceed that.
    pub fn exceeds(&self, message: &Assembled) -> Option<usize> {
        let max = self.held.as_ref()?.share();
        (self.size() + size_of::<Assembled>() + message.heap_size() > max).then_some(max)
    }

    /// Adds a message that waits for the commit.
    pub fn publish(&mut self, message: Assembled) {
        self.messages_size += self.publishes.last().map_or(0, Assembled::heap_size);
        self.publishes.push(message);
        self.count();
    }

    /// Counts the memory that the transaction uses.
    pub fn count(&mut self) {
        let size = self.size();
        self.held.as_mut().into_iter().for_each(|held| held.set(size));
    }

    /// Size of the memory, bytes.
    fn size(&self) -> usize {
        let last = self.publishes.last().map_or(0, Assembled::heap_size);
        self.publishes.capacity() * size_of::<Assembled>() + self.messages_size + last + self.settles.capacity() * SETTLED_SIZE
    }

    /// The lowest tag of a settled delivery of this origin.
    pub fn oldest(&self, origin: Origin) -> Option<u64> {
        self.settles.iter().filter(|(_, receipt, _)| receipt.origin() == origin).map(|(tag, ..)| *tag).min()
    }

    /// Removes the settlements of deliveries of this origin.
    pub fn unsettle(&mut self, origin: Origin) -> Vec<(u64, Receipt)> {
        let its = self.settles.extract_if(.., |(_, receipt, _)| receipt.origin() == origin);
        its.map(|(tag, receipt, _)| (tag, receipt)).collect()
    }

    /// Number of settled deliveries to consumers: they count towards the channel's prefetch until
    /// the commit.
    pub fn volume(&self) -> u32 {
        let to_consumers = self.settles.iter().filter(|(_, receipt, _)| receipt.consumer.is_some());
        u32::try_from(to_consumers.count()).expect("settled deliveries are fewer than 2^32")
    }
}

/// Size of a settled delivery, bytes.
const SETTLED_SIZE: usize = size_of::<(u64, Receipt, Outcome)>();

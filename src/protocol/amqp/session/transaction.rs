//! What a transactional channel has done since its last commit: published and settled, both held back.

use super::assembly::Assembled;
use super::unacked::Taker;
use crate::base::ids::{ConsumerId, QueueAddr};
use crate::contract::{Entry, Origin, Outcome, Receipt};

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

    /// What is settled so waits for the commit.
    pub fn settling(&mut self, outcome: Outcome) -> impl Taker {
        Settling { settles: &mut self.settles, outcome }
    }

    /// The lowest tag of what is settled and came from there.
    pub fn oldest(&self, origin: Origin) -> Option<u64> {
        self.settles.iter().filter(|(_, receipt, _)| receipt.origin() == origin).map(|(tag, ..)| *tag).min()
    }

    /// What came from there is not settled by this transaction.
    pub fn unsettle(&mut self, origin: Origin) -> Vec<(u64, Receipt)> {
        let its = self.settles.extract_if(.., |(_, receipt, _)| receipt.origin() == origin);
        its.map(|(tag, receipt, _)| (tag, receipt)).collect()
    }

    /// How many of the settled deliveries had come to consumers: they count towards the channel's prefetch until the commit.
    pub fn volume(&self) -> u32 {
        let to_consumers = self.settles.iter().filter(|(_, receipt, _)| receipt.consumer.is_some());
        u32::try_from(to_consumers.count()).expect("no more than were delivered")
    }
}

/// Keeps what is settled in one way.
struct Settling<'t> {
    settles: &'t mut Vec<(u64, Receipt, Outcome)>,
    outcome: Outcome,
}

impl Taker for Settling<'_> {
    fn take(&mut self, tag: u64, queue: QueueAddr, consumer: Option<ConsumerId>, entries: impl Iterator<Item = Entry>) -> usize {
        let before = self.settles.len();
        let receipts = entries.map(|entry| Receipt { queue, consumer, entry });
        self.settles.extend((tag..).zip(receipts).map(|(tag, receipt)| (tag, receipt, self.outcome)));
        self.settles.len() - before
    }
}

//! The receivers of settled messages: the shard, or a transaction.

use crate::base::ids::{ConsumerId, QueueAddr};
use crate::contract::session::Transaction;
use crate::contract::{Entry, Outcome, Receipt, Receipts};

/// A receiver of the messages that [`Unacked::settle`](super::unacked::Unacked::settle) takes out.
pub trait Taker {
    /// Takes messages of one queue and consumer, with successive tags from `tag` on. Returns their
    /// number.
    fn take(&mut self, tag: u64, queue: QueueAddr, consumer: Option<ConsumerId>, entries: impl Iterator<Item = Entry>) -> usize;
}

impl Taker for Receipts {
    #[inline]
    fn take(&mut self, _tag: u64, queue: QueueAddr, consumer: Option<ConsumerId>, entries: impl Iterator<Item = Entry>) -> usize {
        let before = self.len();
        self.extend(queue, consumer, entries);
        self.len() - before
    }
}

/// Returns a receiver of settled messages, which then wait for the commit of the transaction.
pub fn settling(transaction: &mut Transaction, outcome: Outcome) -> impl Taker {
    Settling { settles: &mut transaction.settles, outcome }
}

/// A receiver that keeps messages settled with one outcome.
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

//! Settled deliveries, on their way from a session, which knows them by their tags, to the shard.
//!
//! ```text
//! session.settle ─┬▶ Receipts   to their queues at once
//!                 └▶ Settling   kept with their tags for the commit, or for the session once more
//! ```

use crate::base::ids::{ConsumerId, QueueAddr};
use crate::contract::{Entry, Outcome, Receipt, Receipts};

/// A delivery that a transaction settles with its commit.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// Its delivery tag.
    pub tag: u64,
    /// The delivery.
    pub receipt: Receipt,
    /// Its fate.
    pub outcome: Outcome,
}

/// A receiver of the deliveries that a session settles.
pub trait Taker {
    /// Takes deliveries of one queue and consumer, with successive tags from `tag` on. Returns their
    /// number.
    fn take(&mut self, tag: u64, queue: QueueAddr, consumer: Option<ConsumerId>, entries: impl Iterator<Item = Entry>) -> usize;

    /// How many of the deliveries that it has no longer count towards a prefetch.
    fn consumed(&self) -> u32;
}

impl Taker for Receipts {
    #[inline]
    fn take(&mut self, _tag: u64, queue: QueueAddr, consumer: Option<ConsumerId>, entries: impl Iterator<Item = Entry>) -> usize {
        let before = self.len();
        self.extend(queue, consumer, entries);
        self.len() - before
    }

    #[inline]
    fn consumed(&self) -> u32 {
        Receipts::consumed(self)
    }
}

/// The receiver of deliveries that a transaction settles with one outcome.
#[derive(Debug)]
pub struct Settling<'t> {
    /// What the transaction settles.
    pub settles: &'t mut Vec<Settled>,
    /// The fate of the deliveries.
    pub outcome: Outcome,
}

impl Taker for Settling<'_> {
    fn take(&mut self, tag: u64, queue: QueueAddr, consumer: Option<ConsumerId>, entries: impl Iterator<Item = Entry>) -> usize {
        let before = self.settles.len();
        let receipts = entries.map(|entry| Receipt { queue, consumer, entry });
        self.settles.extend((tag..).zip(receipts).map(|(tag, receipt)| Settled { tag, receipt, outcome: self.outcome }));
        self.settles.len() - before
    }

    /// None: they count until the commit.
    fn consumed(&self) -> u32 {
        0
    }
}

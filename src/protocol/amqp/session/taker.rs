//! The receivers of settled messages: the shard, or a transaction.

use crate::base::ids::{ConsumerId, QueueAddr};
use crate::contract::{Entry, Receipts};

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

//! A transaction: the publishes and settlements of a channel since its last commit, which take
//! effect with the next one.
//!
//! ```text
//! publish ─▶ checked and routed ─▶ publishes ─┬ commit ─▶ queues, then settlements  publish::commit
//! settle ───────────────────────▶ settles ────┴ rollback ─▶ publishes are dropped,
//!                                                           the session has its deliveries again
//! ```

use crate::base::budget::{Budget, Held};
use crate::contract::session::{Assembled, Settled, Settling};
use crate::contract::{Origin, Outcome};

/// The publishes and settlements that wait for the commit.
#[derive(Debug)]
pub struct Transaction {
    /// Messages in the order of their publishes.
    pub publishes: Vec<Assembled>,
    /// Settled deliveries, in the order in which the client settled them.
    pub settles: Vec<Settled>,
    /// Memory that the messages take beside their places in `publishes`, bytes.
    messages_size: usize,
    /// The memory of all of it, as a part of the budget of all channels.
    pub held: Held,
}

impl Transaction {
    /// Makes an empty transaction, which uses memory of this budget until it is dropped.
    pub fn new(budget: &Budget) -> Transaction {
        Transaction { publishes: Vec::new(), settles: Vec::new(), messages_size: 0, held: budget.hold() }
    }

    /// Returns how much memory one channel may use now, if a message would exceed that.
    pub fn exceeds(&self, message: &Assembled) -> Option<usize> {
        let max = self.held.share();
        (self.size() + size_of::<Assembled>() + message.heap_size() > max).then_some(max)
    }

    /// Adds a message, with the queues that were found for it.
    pub fn publish(&mut self, message: Assembled) {
        self.messages_size += message.heap_size();
        self.publishes.push(message);
        self.count();
    }

    /// Adds settlements with one outcome: `settle` gets the receiver of the deliveries.
    pub fn settle<T>(&mut self, outcome: Outcome, settle: impl FnOnce(&mut Settling<'_>) -> T) -> T {
        let result = settle(&mut Settling { settles: &mut self.settles, outcome });
        self.count();
        result
    }

    /// Counts the memory that the transaction uses.
    fn count(&mut self) {
        self.held.set(self.size());
    }

    /// Size of the memory, bytes.
    fn size(&self) -> usize {
        self.publishes.capacity() * size_of::<Assembled>() + self.messages_size + self.settles.capacity() * size_of::<Settled>()
    }

    /// The lowest tag of a settled delivery of this origin.
    pub fn oldest(&self, origin: Origin) -> Option<u64> {
        self.settles.iter().filter(|settled| settled.receipt.origin() == origin).map(|settled| settled.tag).min()
    }

    /// Removes the settlements of deliveries of this origin.
    pub fn unsettle(&mut self, origin: Origin) -> Vec<Settled> {
        self.settles.extract_if(.., |settled| settled.receipt.origin() == origin).collect()
    }

    /// Number of settled deliveries to consumers: they count towards a prefetch until the commit.
    pub fn consumed(&self) -> u32 {
        let to_consumers = self.settles.iter().filter(|settled| settled.receipt.consumer.is_some());
        u32::try_from(to_consumers.count()).expect("settled deliveries are fewer than 2^32")
    }
}

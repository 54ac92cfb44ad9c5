//! Control: everything that is not a message.
//!
//! - [`request`]: requests of clients; [`ask`]: the answers of queues;
//! - [`door`]: demands of operators; [`command`]: what their commands do, [`figures`]: the answers
//!   to their queries;
//! - [`order`]: how the changes that requests and commands ask for reach all shards; [`wish`]: what
//!   is asked.

pub mod ask;
pub mod command;
pub mod door;
pub mod figures;
pub mod order;
pub mod request;
#[cfg(test)]
mod tests;
pub mod wish;

use std::collections::VecDeque;
use std::sync::Arc;

use slab::Slab;

use crate::base::ids::ChannelAddr;
use crate::contract::Query;

use order::{Ledger, Made, Pending, Waiter};

/// Requests, commands and changes of the catalog that are under way.
pub struct Control {
    /// Requests that wait for a decision of shard 0, by ticket.
    pub waiters: Slab<Waiter>,
    /// Shard 0 only: changes that not all shards have applied, oldest first.
    pub pending: VecDeque<Pending>,
    /// The catalog changes that were ordered and applied.
    pub ledger: Ledger,
    /// Operators' queries that wait for the turn's budget, with their tickets.
    pub queries: VecDeque<(u64, Query)>,
    /// Requests to try again in the next turn.
    pub retries: Vec<ChannelAddr>,
    /// Shard 0 only: the number of the next queue.
    pub next_queue_number: u64,
    /// Shard 0 only: the catalog's log has noted that all lower numbers may be given.
    pub reserved_below: u64,
    /// Shard 0 only: changes, and the record of the catalog's log that the disk must have before
    /// the other shards hear of them.
    pub unheard: VecDeque<(u64, Arc<Made>)>,
}

impl Control {
    /// Makes the owner for a new shard: nothing is under way.
    pub fn new() -> Control {
        Control {
            waiters: Slab::new(),
            pending: VecDeque::new(),
            ledger: Ledger::default(),
            queries: VecDeque::new(),
            retries: Vec::new(),
            next_queue_number: 1,
            reserved_below: 1,
            unheard: VecDeque::new(),
        }
    }

    /// Asserts that changes are told of and answered in the order in which they were made.
    pub fn check(&self) {
        assert!(self.unheard.iter().is_sorted_by_key(|(record, _)| *record), "changes are told of in their order");
        assert!(self.pending.iter().is_sorted_by_key(Pending::number), "changes are answered in their order");
    }
}

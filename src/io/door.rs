//! A shard's door for the operators' thread: an inbox with a bell, and the way back for reports.
//!
//! ```text
//! operators' thread ─ put ─▶ inbox ─ bell: an eventfd that the ring polls ─▶ shard.demand
//! operators' thread ◀─ reporter ◀─ Action::Report ◀─ shard
//! ```
//!
//! A shard without demands pays one load per turn. The reporter must not block.

use std::io;
use std::sync::Arc;

use super::ring::Ring;
use super::token::Token;
use super::wake::Signal;
use crate::base::inbox::Inbox;
use crate::contract::{Demand, Report};
use crate::shard::Made;

/// Passes reports of shards on.
pub type Reporter = Arc<dyn Fn(Report<Arc<Made>>) + Send + Sync>;

/// One shard's door.
pub struct Door {
    signal: Arc<Signal>,
    inbox: Arc<Inbox<(u64, Demand)>>,
    reporter: Reporter,
}

impl Door {
    /// Makes a door.
    ///
    /// # Errors
    /// The kernel's error, if there is no descriptor left.
    pub fn new(reporter: Reporter) -> io::Result<Door> {
        let signal = Arc::new(Signal::new()?);
        let bell = signal.clone();
        Ok(Door { signal, inbox: Arc::new(Inbox::new(move || bell.wake())), reporter })
    }

    /// The inbox for demands, each with the ticket of its answer.
    pub fn inbox(&self) -> &Arc<Inbox<(u64, Demand)>> {
        &self.inbox
    }

    /// Takes the demands that have come.
    #[inline]
    pub fn demands(&self) -> Vec<(u64, Demand)> {
        self.inbox.take()
    }

    /// Passes a report on.
    pub fn report(&self, report: Report<Arc<Made>>) {
        (self.reporter)(report);
    }

    /// Stages the operation that completes when a demand has come, until a completion says that it
    /// is the last.
    pub fn watch(&self, ring: &mut Ring<'_>) {
        self.signal.watch(Token::Door, ring);
    }
}

//! Messages on their way from a queue here to others: the old one keeps each until all of the others have it, on the disk if it must last there.
//!
//! A crash on the way may leave a message in both, and loses none.

use slab::Slab;

use super::Shard;
use super::mail::{Hold, Own};
use crate::base::ids::QueueId;
use crate::base::limits::TRANSFERS_MAX;
use crate::broker::dead_letter::Reason;
use crate::contract::Entry;

/// What is on its way.
#[derive(Default)]
pub struct Transfers(Slab<Transfer>);

/// One message.
struct Transfer {
    queue: QueueId,
    entry: Entry,
    /// It died, and this is why: it goes on trying until others have taken it. (Otherwise, what a queue refuses is gone.)
    died: Option<Reason>,
    /// How many times somebody is still to say that it has it.
    waits: usize,
    is_refused: bool,
}

impl Transfers {
    /// Whether there are as many as there may be.
    pub fn is_full(&self) -> bool {
        self.0.len() >= TRANSFERS_MAX
    }
}

impl Shard {
    /// Takes a message from a queue here to others, again and again if it `died` and they refuse it. `send` publishes it, and says how many times the
    /// hold will be told that some have it.
    pub(super) fn transfer(&mut self, queue: QueueId, entry: Entry, died: Option<Reason>, send: impl FnOnce(&mut Shard, Hold) -> usize) {
        let at = self.transfers.0.insert(Transfer { queue, entry, died, waits: 1, is_refused: false });
        let waits = send(self, Hold::own(Own::Transfer, at));
        self.transfers.0[at].waits += waits;
        self.on_transfer_accepted(at);
    }

    /// One of those who were to have a message has it.
    pub(super) fn on_transfer_accepted(&mut self, at: usize) {
        self.transfers.0[at].waits -= 1;
        if self.transfers.0[at].waits == 0 {
            let Transfer { queue, entry, died, is_refused, .. } = self.transfers.0.remove(at);
            match died.filter(|_| is_refused) {
                Some(reason) => self.bury_later(queue, entry, reason),
                None => self.let_go(queue, entry),
            }
        }
    }

    /// One of them has refused it. (It accepts it next.)
    pub(super) fn on_transfer_refused(&mut self, at: usize) {
        self.transfers.0[at].is_refused = true;
    }
}

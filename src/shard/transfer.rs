//! Messages on their way from a queue here to others: the old one keeps each until all of the others have it, on the disk if it must last there.
//!
//! A crash on the way may leave a message in both, and loses none.

use slab::Slab;

use super::Shard;
use super::dead_letter::Corpse;
use super::mail::{Hold, Own};
use crate::base::ids::{QueueAddr, QueueId};
use crate::base::limits::TRANSFERS_MAX;
use crate::contract::{Entry, RouteSet};

/// What is on its way.
#[derive(Default)]
pub struct Transfers(Slab<Transfer>);

/// One message.
struct Transfer {
    leaving: Leaving,
    /// How many times somebody is to say that it has it, once that is known; and how many times that was.
    waits: Option<usize>,
    heard: usize,
    /// Which parts of it were refused.
    refused: Vec<usize>,
}

/// A message that leaves its queue, and why.
pub enum Leaving {
    /// It is gone once it has left; what a queue refuses is gone, too.
    Due(QueueId, Entry),
    /// It goes on trying until each of these queues has its part, or the exchange that remembers it all of it.
    Dead(Corpse, RouteSet),
}

impl Transfers {
    /// Whether there are as many as there may be.
    pub fn is_full(&self) -> bool {
        self.0.len() >= TRANSFERS_MAX
    }
}

impl Shard {
    /// Takes a message from a queue here to others. `send` publishes it, and says how many times the hold, or one of its parts, will be told that some
    /// have it.
    pub(super) fn transfer(&mut self, leaving: Leaving, send: impl FnOnce(&mut Shard, Hold) -> usize) {
        let at = self.transfers.0.insert(Transfer { leaving, waits: None, heard: 0, refused: Vec::new() });
        let waits = send(self, Hold::own(Own::Transfer, at)); // somebody here may say so at once
        self.transfers.0[at].waits = Some(waits);
        self.end_transfer(at);
    }

    /// One of those who were to have a message has it.
    pub(super) fn on_transfer_accepted(&mut self, at: usize) {
        self.transfers.0[at].heard += 1;
        self.end_transfer(at);
    }

    fn end_transfer(&mut self, at: usize) {
        if self.transfers.0[at].waits != Some(self.transfers.0[at].heard) {
            return;
        }
        let Transfer { leaving, refused, .. } = self.transfers.0.remove(at);
        match leaving {
            Leaving::Dead(mut corpse, routes) if !refused.is_empty() => {
                let has_it = |(part, addr): (usize, QueueAddr)| (!refused.contains(&part)).then_some(addr.queue);
                corpse.taken.extend(routes.into_iter().enumerate().filter_map(has_it));
                self.bury_later(corpse);
            }
            Leaving::Due(queue, entry) | Leaving::Dead(Corpse { queue, entry, .. }, _) => self.let_go(queue, entry),
        }
    }

    /// One of them has refused it, or this part of it. (It accepts it next.)
    pub(super) fn on_transfer_refused(&mut self, at: usize, part: usize) {
        self.transfers.0[at].refused.push(part);
    }
}

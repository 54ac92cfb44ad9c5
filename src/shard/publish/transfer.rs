//! Messages on their way from a queue here to others: the old one keeps each until all of the others have it, on the disk if it must last there.
//!
//! ```text
//! all queues live here      [copy, for all of them][the original is settled]          one batch of the log: both or none
//! some live elsewhere       their logs: [copy, arrival] ─▶ on the disk ─▶ accepted ─▶ here: [the original is settled] ─▶ on the disk
//!                                                                                        their logs: [the arrival is settled] ◀─ gone ─┘
//! ```
//!
//! A crash loses none of them. It may leave a message in its old queue and in new ones if some of these live on other shards. What was delayed comes
//! once nevertheless: its new queues note its arrival (see `store::arrivals`), and a restart knows which of them have it. Dead letters note nothing:
//! what comes again says that it was delivered before.

use std::collections::VecDeque;

use slab::Slab;
use smallvec::SmallVec;

use crate::base::ids::{QueueAddr, QueueId, ShardId};
use crate::base::limits::TRANSFERS_MAX;
use crate::contract::{Entry, RouteSet};
use crate::message::{MessageView, Stamp};
use crate::shard::Shard;
use crate::shard::peers::mail::{Hold, Mail, Own};
use crate::shard::queues::dead_letter::{Corpse, Left};
use crate::shard::queues::unburied::Awaited;
use crate::store::arrivals::Origin;
use crate::store::format::Placement;

/// What is on its way.
#[derive(Default)]
pub struct Transfers {
    under_way: Slab<Transfer>,
    /// Originals that are settled, in the order of the log.
    gone: VecDeque<Gone>,
}

/// An original is gone once the disk has a batch of the log, and of the catalog's log a record.
struct Gone {
    batch: u64,
    catalog: u64,
    place: Placement,
    homes: Homes,
}

/// Shards that have noted arrivals.
pub type Homes = SmallVec<[ShardId; 4]>;

/// One message.
struct Transfer {
    leaving: Leaving,
    /// How many times somebody is to say that it has it, once that is known; and how many times that was.
    waits: Option<usize>,
    heard: usize,
    /// Which parts of it were refused.
    refused: Vec<usize>,
    /// What became of it where exchanges remember it.
    relayed: Option<Left>,
}

/// A message that leaves its queue, and why.
pub enum Leaving {
    /// It is gone once it has left; what a queue refuses is gone, too.
    Due {
        /// The queue that holds it back.
        queue: QueueId,
        /// What it is there.
        entry: Entry,
        /// Where the log has it, and the shards that note its arrival, if it goes to several.
        noted: Option<(Placement, Homes)>,
    },
    /// It goes on trying until each of these queues has its part, or the exchange that remembers it all of it.
    Dead {
        /// The message.
        corpse: Corpse,
        /// The queues that are to take it now.
        routes: RouteSet,
        /// Those for which it has to wait.
        closed: Vec<QueueAddr>,
    },
}

impl Transfers {
    /// Whether there are as many as there may be.
    pub fn is_full(&self) -> bool {
        self.under_way.len() >= TRANSFERS_MAX
    }
}

impl Shard {
    /// Takes a message from a queue here to others. `send` publishes it, and says how many times the hold, or one of its parts, will be told that some
    /// have it.
    pub(in crate::shard) fn transfer(&mut self, leaving: Leaving, send: impl FnOnce(&mut Shard, Hold) -> usize) {
        let at = self.transfers.under_way.insert(Transfer { leaving, waits: None, heard: 0, refused: Vec::new(), relayed: None });
        let waits = send(self, Hold::own(Own::Transfer, at)); // somebody here may say so at once
        self.transfers.under_way[at].waits = Some(waits);
        self.end_transfer(at);
    }

    /// Gives a message on its way to its queues, each of which is a part of it. The answer is how many times `hold` will be told that some have it;
    /// its parts hear at once, or before, if they are refused. If the original `is_here` and all queues are, nobody need wait: what the log hears
    /// next, the end of the original, comes to the disk together with the copy. Otherwise its arrival is noted, if it has an `origin`.
    pub(in crate::shard) fn hand_over(
        &mut self,
        hold: Hold,
        origin: Option<Origin>,
        is_here: bool,
        message: &MessageView<'_>,
        routes: &[QueueAddr],
    ) -> usize {
        self.work.spend(routes.len());
        let contents = [message.content()];
        let stamp = if message.stamp == Stamp::NONE { self.stamp(message.properties) } else { message.stamp };
        self.enqueue_here(message.route, stamp, &contents, routes, |shard, part| {
            if std::mem::take(&mut shard.refused) {
                shard.on_refused(hold.part(part));
            }
        });
        let posted = if message.stamp == Stamp::NONE { Stamp::at(self.span_start_time()) } else { message.stamp };
        let remote = self.hand_on(hold, origin, &MessageView { stamp: posted, ..*message }, routes);
        let is_at_once = is_here && remote == 0;
        self.logging.origin = origin.filter(|_| !is_at_once);
        let must_wait = self.log_taken(message.route, stamp, &contents) && !is_at_once;
        self.logging.origin = None;
        if must_wait {
            self.await_durable(self.id, hold, 1);
        }
        remote + usize::from(must_wait)
    }

    /// Gives it to those of its queues that live on other shards. The answer is how many that are.
    fn hand_on(&mut self, hold: Hold, origin: Option<Origin>, message: &MessageView<'_>, routes: &[QueueAddr]) -> usize {
        let here = self.id;
        let remote = routes.iter().filter(|queue| queue.home != here).count();
        let peers = if remote == 0 { 0 } else { self.config.shards };
        for peer in (0..peers).map(ShardId) {
            let own = routes.iter().enumerate().filter(|(_, queue)| queue.home == peer && peer != here);
            let mut own = own.map(|(part, queue)| (queue.queue, hold.part(part))).peekable();
            if own.peek().is_some() {
                let link = self.link(peer);
                link.transfer(own, origin, message);
                let has_room = link.has_room();
                self.link_full |= !has_room;
            }
        }
        remote
    }

    /// One of those who were to have a message has it.
    pub(in crate::shard) fn on_transfer_accepted(&mut self, at: usize) {
        self.transfers.under_way[at].heard += 1;
        self.end_transfer(at);
    }

    fn end_transfer(&mut self, at: usize) {
        if self.transfers.under_way[at].waits != Some(self.transfers.under_way[at].heard) {
            return;
        }
        let Transfer { leaving, refused, relayed, .. } = self.transfers.under_way.remove(at);
        let (mut corpse, routes, closed) = match leaving {
            Leaving::Due { queue, entry, noted } => {
                self.let_go(queue, entry);
                return noted.into_iter().for_each(|(place, homes)| self.forget_later(place, homes));
            }
            Leaving::Dead { corpse, routes, closed } => (corpse, routes, closed),
        };
        let mut awaited: Vec<Awaited> = closed.into_iter().map(Some).collect();
        for (part, addr) in routes.into_iter().enumerate() {
            if refused.contains(&part) {
                awaited.push(Some(addr));
            } else {
                corpse.taken.push(addr.queue);
            }
        }
        match relayed {
            Some(left) if left.queues.is_empty() => awaited.push(None),
            Some(left) => {
                awaited.extend(left.queues.iter().copied().map(Some));
                corpse.left = Some(left);
            }
            None => {}
        }
        if awaited.is_empty() { self.buried(corpse) } else { self.bury_later(corpse, awaited) }
    }

    /// Queues have refused a message that exchanges remember; none: it leads to no queue. (All that it leads to accept it next.)
    pub(in crate::shard) fn on_transfer_left(&mut self, at: usize, left: Left) {
        self.transfers.under_way[at].relayed = Some(left);
    }

    /// One of them has refused it, or this part of it. (It accepts it next.)
    pub(in crate::shard) fn on_transfer_refused(&mut self, at: usize, part: usize) {
        self.transfers.under_way[at].refused.push(part);
    }

    /// Original messages that were here are settled: when that is on the disk, those shards forget that copies have arrived there.
    pub(in crate::shard) fn forget_later(&mut self, place: Placement, homes: Homes) {
        let (batch, catalog) = (self.store.position(), self.catalog_log.made());
        self.transfers.gone.push_back(Gone { batch, catalog, place, homes });
        self.tell_gone();
    }

    /// The disk may have more.
    pub(in crate::shard) fn tell_gone(&mut self) {
        let (batch, catalog) = (self.store.durable(), self.catalog_log.durable());
        while let Some(gone) = self.transfers.gone.pop_front_if(|gone| gone.batch <= batch && gone.catalog <= catalog) {
            for home in gone.homes {
                if home == self.id {
                    self.store.forget_arrivals(gone.place);
                } else {
                    self.link(home).stage(Mail::Gone(gone.place));
                }
            }
        }
    }

    /// All shards.
    pub(in crate::shard) fn everywhere(&self) -> Homes {
        (0..self.config.shards).map(ShardId).collect()
    }

    /// How many messages have arrived here whose originals may still be found on other shards after a crash.
    pub fn arrivals(&self) -> usize {
        self.store.arrivals().count()
    }
}

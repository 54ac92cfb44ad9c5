//! Transfers: messages on their way from a queue here to others. The old queue keeps each until all
//! the new ones have it, on the disk if it must last there.
//!
//! ```text
//! all queues are here      one batch of the log, both or none: [copies][the original is settled]
//! some are elsewhere       their logs: [copy, arrival] ─ on the disk ─▶ accepted
//!                          here: [the original is settled] ─ on the disk ─▶ gone
//!                          their logs: [the arrival is settled]
//! ```
//!
//! A crash loses no message. It may leave a message in its old queue and in new ones, if some of
//! these live on other shards. A delayed message comes once nevertheless: its new queues note its
//! arrival (see `store::arrivals`), and a restart knows which of them have it. Dead letters note no
//! arrival; a message that comes again says that it was delivered before.

use std::collections::VecDeque;

use slab::Slab;
use smallvec::SmallVec;

use crate::base::ids::{QueueAddr, QueueId, ShardId};
use crate::base::limits::TRANSFERS_MAX;
use crate::contract::{Entry, RouteSet};
use crate::message::MessageView;
use crate::shard::Shard;
use crate::shard::peers::mail::{Hold, Mail};
use crate::shard::publish::effect::Effect;
use crate::shard::publish::wanted::Sender;
use crate::shard::queues::dead_letter::{Corpse, Left};
use crate::shard::queues::unburied::Awaited;
use crate::store::arrivals::Origin;
use crate::store::format::Placement;

/// The messages on their way.
#[derive(Default)]
pub struct Transfers {
    under_way: Slab<Transfer>,
    /// Settled originals, in the order of the log.
    gone: VecDeque<Gone>,
}

/// A settled original. It is gone once the disk has this batch of the log and this record of the
/// catalog's log.
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
    /// How many acceptances are expected, once that is known, and how many have come.
    waits: Option<usize>,
    heard: usize,
    /// The parts that were refused.
    refused: Vec<usize>,
    /// The outcome, if it passed an exchange that remembers messages.
    relayed: Option<Left>,
}

/// A message that leaves its queue, and why.
pub enum Leaving {
    /// It was delayed and is due. It is dropped once it has left, also by queues that refuse it.
    Due {
        /// The queue that holds it back.
        queue: QueueId,
        /// Its entry in that queue.
        entry: Entry,
        /// Its place in the log and the shards that note its arrival, if it goes to several.
        noted: Option<(Placement, Homes)>,
    },
    /// It died. It tries again until each of these queues has its part, or the exchange that
    /// remembers messages has passed it to all its queues.
    Dead {
        /// The message.
        corpse: Corpse,
        /// The queues that are to take it now.
        routes: RouteSet,
        /// The queues that it has to wait for.
        closed: Vec<QueueAddr>,
    },
}

impl Transfers {
    /// Whether no more transfers may begin.
    pub fn is_full(&self) -> bool {
        self.under_way.len() >= TRANSFERS_MAX
    }
}

impl Shard {
    /// Takes a message from a queue here to others. `send` publishes it, and returns how many times
    /// the hold, or one of its parts, will be told that some have it.
    pub(in crate::shard) fn transfer(&mut self, leaving: Leaving, send: impl FnOnce(&mut Shard, Hold) -> usize) {
        let at =
            self.publishing.transfers.under_way.insert(Transfer { leaving, waits: None, heard: 0, refused: Vec::new(), relayed: None });
        let waits = send(self, Hold::transfer(at)); // a queue here may accept at once
        self.publishing.transfers.under_way[at].waits = Some(waits);
        self.end_transfer(at);
    }

    /// Gives a message on its way to its queues; each queue is a part of it. Returns how many times
    /// `hold` will be told that some have it, and the effect; its parts hear of refusals at once, or
    /// before that.
    ///
    /// If the original `is_here` and all its queues are, nothing needs to wait: the next record of
    /// the log, the end of the original, comes to the disk together with the copy. Otherwise the
    /// arrival is noted, if the message has an `origin`.
    pub(in crate::shard) fn hand_over(
        &mut self,
        hold: Hold,
        origin: Option<Origin>,
        is_here: bool,
        message: &MessageView<'_>,
        routes: &[QueueAddr],
    ) -> (usize, Effect) {
        self.work.spend(routes.len());
        let contents = [message.content()];
        let (stamp, for_others) = self.stamps(message);
        let is_at_once = is_here && routes.iter().all(|queue| queue.home == self.id);
        let sender = if is_at_once { Sender::Nobody } else { Sender::Shard(self.id, hold) };
        let enqueued = self.enqueue_here(&sender, message.route, stamp, &contents, routes, |shard, part, effect| {
            if effect.has(Effect::REFUSED) {
                shard.on_refused(hold.part(part));
            }
        });
        let (remote, posted) = self.hand_on(hold, origin, &MessageView { stamp: for_others, ..*message }, routes);
        self.durability.logging.origin = origin.filter(|_| !is_at_once);
        let logged = self.log_taken(message.route, stamp, &contents);
        self.durability.logging.origin = None;
        let must_wait = logged.has(Effect::MUST_LAST) && !is_at_once;
        (remote + usize::from(must_wait), enqueued | posted | logged)
    }

    /// Gives a message to those of its queues that live on other shards. Returns how many they are.
    fn hand_on(&mut self, hold: Hold, origin: Option<Origin>, message: &MessageView<'_>, routes: &[QueueAddr]) -> (usize, Effect) {
        let mut effect = Effect::NONE;
        let here = self.id;
        let remote = routes.iter().filter(|queue| queue.home != here).count();
        let peers = if remote == 0 { 0 } else { self.config.shards };
        for peer in (0..peers).map(ShardId) {
            let own = routes.iter().enumerate().filter(|(_, queue)| queue.home == peer && peer != here);
            let mut own = own.map(|(part, queue)| (queue.queue, hold.part(part))).peekable();
            if own.peek().is_some() {
                let link = self.link(peer);
                link.transfer(own, origin, message);
                effect |= Effect::LINK_FULL.when(!link.has_room());
            }
        }
        (remote, effect)
    }

    /// A queue, or the disk, has a message on its way.
    pub(in crate::shard) fn on_transfer_accepted(&mut self, at: usize) {
        self.publishing.transfers.under_way[at].heard += 1;
        self.end_transfer(at);
    }

    fn end_transfer(&mut self, at: usize) {
        if self.publishing.transfers.under_way[at].waits != Some(self.publishing.transfers.under_way[at].heard) {
            return;
        }
        let Transfer { leaving, refused, relayed, .. } = self.publishing.transfers.under_way.remove(at);
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

    /// Notes the queues that have refused a message that passed an exchange which remembers
    /// messages; none: it leads to no queue. (All its acceptances follow.)
    pub(in crate::shard) fn on_transfer_left(&mut self, at: usize, left: Left) {
        self.publishing.transfers.under_way[at].relayed = Some(left);
    }

    /// Notes that a queue has refused its part. (Its acceptance follows.)
    pub(in crate::shard) fn on_transfer_refused(&mut self, at: usize, part: usize) {
        self.publishing.transfers.under_way[at].refused.push(part);
    }

    /// Has shards forget the arrival of copies once the disk knows that their original is settled.
    pub(in crate::shard) fn forget_later(&mut self, place: Placement, homes: Homes) {
        let (batch, catalog) = (self.durability.store.position(), self.durability.catalog_log.made());
        self.publishing.transfers.gone.push_back(Gone { batch, catalog, place, homes });
        self.tell_gone();
    }

    /// Tells shards to forget arrivals, because the disk may know more settled originals.
    pub(in crate::shard) fn tell_gone(&mut self) {
        let (batch, catalog) = (self.durability.store.durable(), self.durability.catalog_log.durable());
        while let Some(gone) = self.publishing.transfers.gone.pop_front_if(|gone| gone.batch <= batch && gone.catalog <= catalog) {
            for home in gone.homes {
                if home == self.id {
                    self.durability.store.forget_arrivals(gone.place);
                } else {
                    self.link(home).stage(Mail::Gone(gone.place));
                }
            }
        }
    }

    /// Returns all shards.
    pub(in crate::shard) fn everywhere(&self) -> Homes {
        (0..self.config.shards).map(ShardId).collect()
    }

    /// How many messages have arrived here whose originals may still be found on other shards after
    /// a crash.
    pub fn arrivals(&self) -> usize {
        self.durability.store.arrivals().count()
    }
}

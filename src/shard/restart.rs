//! Restart, from the shards' side: what an orderly stop notes, and how new shards go on from what a
//! restart has found.

use super::Shard;
use crate::base::hash::Map;
use crate::base::ids::QueueAddr;
use crate::broker::catalog::{Catalog, Numbers, Saved};
use crate::store::Store;
use crate::store::arrivals::{Arrival, Origin};
use crate::store::catalog_log::CatalogLog;
use crate::store::format::{Counted, Range, is_fleeting, split_number};

/// What a restart has found.
pub struct Found {
    /// The records of the catalog's log, oldest first.
    pub catalog: Vec<Saved>,
    /// The catalog's log, ready to go on.
    pub catalog_log: CatalogLog,
    /// The log of each shard, ready to go on.
    pub stores: Vec<Store>,
    /// The notes of the stop, if the broker stopped in an orderly way.
    pub stopped: Option<Stop>,
}

/// The notes of an orderly stop for the next start, of all shards ([`Shard::note_stop`]). They name
/// messages as the log does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stop {
    /// Messages in durable queues that were delivered and came back.
    pub delivered: Vec<Range>,
    /// How often they came back, where that is counted.
    pub counts: Vec<Counted>,
}

impl Found {
    /// Returns the numbers of queues. A log may know a queue that the catalog's log does not know
    /// any more: its number must not come to mean another queue.
    pub fn numbers(&self) -> Numbers {
        let in_logs = self.stores.iter().flat_map(Store::found).filter(|&number| !is_fleeting(number));
        in_logs.fold(Numbers::of(&self.catalog), |numbers, number| numbers.above(split_number(number).0 + 1))
    }
}

/// Lets shards that [`joined`](super::joined) has just made go on from what a restart has found.
pub fn restore(shards: &mut [Shard], mut found: Found) {
    let next = found.numbers().next;
    let copies = match_arrivals(&mut found);
    for (shard, store) in shards.iter_mut().zip(found.stores) {
        shard.durability.store = store;
        shard.durability.store.found_delivered(found.stopped.as_ref().map(|stop| &*stop.delivered));
        shard.catalog = Catalog::restored(&found.catalog);
        let here = shard.id;
        let queues: Vec<QueueAddr> = shard.catalog.queues().map(|queue| queue.addr).filter(|queue| queue.home == here).collect();
        queues.into_iter().for_each(|queue| shard.create_queue(queue));
        found.stopped.iter().for_each(|stop| shard.go_on_counting(&stop.counts));
        shard.durability.store.close_unknown();
        shard.follow_tracing();
    }
    for (addr, Arrival { origin: Origin { place: (_, sequence), copies }, queue }) in &copies {
        let delays = shards[usize::from(addr.home.0)].queue_mut(addr.queue).and_then(|queue| queue.delays());
        delays.expect("match_arrivals returns queues of delayed messages").note_copy(*sequence, *queue, *copies);
    }
    copies.iter().for_each(|(addr, _)| shards[usize::from(addr.home.0)].end_doubts(addr.queue));
    share_quotas(shards);
    shards[0].durability.catalog_log = found.catalog_log;
    (shards[0].control.next_queue_number, shards[0].control.reserved_below) = (next, next);
    shards[0].durability.store.know_below(next);
}

/// Lets all shards count connections and channels together.
pub(super) fn share_quotas(shards: &mut [Shard]) {
    if let [first, others @ ..] = shards {
        others.iter_mut().for_each(|shard| shard.catalog.share_quotas(&first.catalog));
    }
}

/// Forgets arrivals from other shards whose original is gone. Returns the others, each with the
/// queue that may have the original.
fn match_arrivals(found: &mut Found) -> Vec<(QueueAddr, Arrival)> {
    let has_any = found.stores.iter().any(|store| store.arrivals().next().is_some());
    let catalog = if has_any { Catalog::restored(&found.catalog) } else { return Vec::new() };
    let delay_queues: Map<u64, QueueAddr> =
        catalog.queues().filter(|queue| queue.delays.is_some()).map(|queue| (queue.number, queue.addr)).collect();
    let mut copies = Vec::new();
    for at in 0..found.stores.len() {
        let arrivals: Vec<Arrival> = found.stores[at].arrivals().collect();
        for arrival in arrivals {
            let place = arrival.origin.place;
            match delay_queues.get(&split_number(place.0).0) {
                Some(addr) if found.stores[usize::from(addr.home.0)].expects(place) => copies.push((*addr, arrival)),
                _ => found.stores[at].forget_arrivals(place),
            }
        }
    }
    copies
}

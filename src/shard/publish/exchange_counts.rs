//! What came to each exchange and went from it to queues, by the exchange's slot in the catalog.
//!
//! Runs in a row mostly come to the same exchange, so the last one is remembered: comparing a name
//! saves looking it up.

use crate::base::ids::{ExchangeId, Key};
use crate::broker::catalog::Catalog;
use crate::contract::VhostId;

/// The counts of all exchanges.
#[derive(Default)]
pub struct ExchangeCounts {
    by_slot: Vec<ExchangeCount>,
    last: Last,
}

/// The counts of an exchange on one shard.
#[derive(Clone, Copy, Default)]
pub struct ExchangeCount {
    /// The exchange of this generation of the slot.
    pub id: ExchangeId,
    /// Messages that clients published to it.
    pub published_in: u64,
    /// Messages that went to queues, once for each queue.
    pub published_out: u64,
}

/// The exchange that was counted last.
#[derive(Default)]
struct Last {
    version: u64,
    vhost: VhostId,
    name: Vec<u8>,
    slot: usize,
}

impl ExchangeCounts {
    /// Counts messages that were published to an exchange and went to this many queues each.
    #[inline]
    pub fn count(&mut self, catalog: &Catalog, vhost: VhostId, name: &[u8], messages: usize, queues: usize) {
        let Last { version, vhost: last_vhost, name: last_name, .. } = &self.last;
        if (*version, *last_vhost) != (catalog.version(), vhost) || **last_name != *name {
            self.find(catalog, vhost, name);
        }
        if let Some(count) = self.by_slot.get_mut(self.last.slot) {
            count.published_in += messages as u64;
            count.published_out += (messages * queues) as u64;
        }
    }

    /// Remembers the exchange. If it is gone, its counts go nowhere.
    #[cold]
    fn find(&mut self, catalog: &Catalog, vhost: VhostId, name: &[u8]) {
        let found = catalog.exchange_by_name(vhost, name).map(|exchange| exchange.id);
        let slot = found.map_or(usize::MAX, |id| Key::from(id).slot as usize);
        if let Some(id) = found {
            if slot >= self.by_slot.len() {
                self.by_slot.resize(slot + 1, ExchangeCount::default());
            }
            if self.by_slot[slot].id != id {
                self.by_slot[slot] = ExchangeCount { id, ..ExchangeCount::default() };
            }
        }
        self.last = Last { version: catalog.version(), vhost, name: name.into(), slot };
    }

    /// The counts from a slot on, with the slots of exchanges for which nothing was counted.
    pub fn from(&self, slot: u32, most: usize) -> &[ExchangeCount] {
        let end = self.by_slot.len().min(slot as usize + most);
        self.by_slot.get(slot as usize..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_in_the_slot_of_another_counts_anew() {
        let mut catalog = Catalog::new();
        catalog.with_exchange("x", "direct");
        let mut counts = ExchangeCounts::default();
        let total = |counts: &ExchangeCounts, catalog: &Catalog, name: &str| {
            let id = catalog.exchange_by_name(VhostId(0), name.as_bytes()).expect("it is there").id;
            counts
                .from(0, 100)
                .iter()
                .filter(|count| count.id == id && count.published_in > 0)
                .map(|count| (count.published_in, count.published_out))
                .next()
        };
        counts.count(&catalog, VhostId(0), b"x", 2, 3);
        counts.count(&catalog, VhostId(0), b"", 1, 1);
        counts.count(&catalog, VhostId(0), b"x", 1, 0);
        counts.count(&catalog, VhostId(0), b"absent", 1, 0);
        assert_eq!((total(&counts, &catalog, "x"), total(&counts, &catalog, "")), (Some((3, 6)), Some((1, 1))));
        catalog.perform_well(crate::contract::Topology::DeleteExchange { name: "x".into(), if_unused: false });
        catalog.with_exchange("y", "fanout");
        assert_eq!(total(&counts, &catalog, "y"), None);
        counts.count(&catalog, VhostId(0), b"y", 1, 1);
        assert_eq!(total(&counts, &catalog, "y"), Some((1, 1)));
    }
}

//! What came to each exchange and went from it to queues, by the exchange's slot in the catalog.
//! A remembered route knows the slot.

use crate::base::ids::{ExchangeId, Key};
use crate::broker::catalog::Catalog;
use crate::contract::{Count, Counts, VhostId};

/// The counts of all exchanges.
#[derive(Default)]
pub struct ExchangeCounts {
    by_slot: Vec<ExchangeCount>,
    /// Messages that came to exchanges whose slots others have now.
    earlier: u64,
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

impl ExchangeCount {
    /// The counts in the words of operators.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        (counts[Count::PublishIn], counts[Count::PublishOut]) = (self.published_in, self.published_out);
        counts
    }
}

impl ExchangeCounts {
    /// Returns the slot of an exchange, for which [`count`](Self::count) is to be called. An
    /// exchange that does not exist has one for which nothing is counted.
    pub fn slot_of(&mut self, catalog: &Catalog, vhost: VhostId, name: &[u8]) -> u32 {
        let Some(exchange) = catalog.exchange_by_name(vhost, name) else { return u32::MAX };
        let (id, slot) = (exchange.id, Key::from(exchange.id).slot);
        if slot as usize >= self.by_slot.len() {
            self.by_slot.resize(slot as usize + 1, ExchangeCount::default());
        }
        let count = &mut self.by_slot[slot as usize];
        if count.id != id {
            self.earlier += count.published_in;
            *count = ExchangeCount { id, ..ExchangeCount::default() };
        }
        slot
    }

    /// Counts messages that came to the exchange in a slot and went to this many queues each.
    #[inline]
    pub fn count(&mut self, slot: u32, messages: usize, queues: usize) {
        if let Some(count) = self.by_slot.get_mut(slot as usize) {
            count.published_in += messages as u64;
            count.published_out += (messages * queues) as u64;
        }
    }

    /// Number of messages that came to any exchange.
    pub fn published(&self) -> u64 {
        self.earlier + self.by_slot.iter().map(|count| count.published_in).sum::<u64>()
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
        let mut count = |catalog: &Catalog, name: &[u8], messages, queues| {
            let slot = counts.slot_of(catalog, VhostId(0), name);
            counts.count(slot, messages, queues);
        };
        count(&catalog, b"x", 2, 3);
        count(&catalog, b"", 1, 1);
        count(&catalog, b"x", 1, 0);
        count(&catalog, b"absent", 1, 0);
        assert_eq!((total(&counts, &catalog, "x"), total(&counts, &catalog, "")), (Some((3, 6)), Some((1, 1))));
        catalog.perform_well(crate::contract::Topology::DeleteExchange { name: "x".into(), if_unused: false });
        catalog.with_exchange("y", "fanout");
        assert_eq!(total(&counts, &catalog, "y"), None);
        let slot = counts.slot_of(&catalog, VhostId(0), b"y");
        counts.count(slot, 1, 1);
        assert_eq!(total(&counts, &catalog, "y"), Some((1, 1)));
    }
}

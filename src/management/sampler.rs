//! The sampler: asks the shards for their numbers every few seconds, and keeps them for rates and
//! histories.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::broker::Unanswered;
use super::measures::{CHURN, churn, counts, lengths, node};
use super::rates::{Counted, Subject};
use super::site::Site;
use crate::base::hash::Map;
use crate::base::ids::{ConnAddr, ExchangeId, QueueId};
use crate::contract::{Count, Counts, QueueFigures, Totals, VhostId};

/// Takes samples for ever.
pub async fn sample(site: Rc<Site>) {
    let period = Duration::from_millis(site.broker.config().management.interval_ms.max(MIN_MS).into());
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Before::default();
    loop {
        ticks.tick().await;
        if let Err(Unanswered(shard)) = before.take(&site).await {
            log::warn!("management: shard {} does not answer, there is no sample of its numbers", shard.0);
        }
    }
}

/// The counts of the last sample, to add up what happened in each virtual host.
#[derive(Default)]
struct Before {
    queues: Map<QueueId, Counts>,
    exchanges: Map<ExchangeId, Counts>,
    connections: Map<ConnAddr, (u64, u64)>,
    lengths: Map<VhostId, (u64, u64)>,
}

impl Before {
    async fn take(&mut self, site: &Site) -> Result<(), Unanswered> {
        let at = site.host.now_ms();
        self.lengths.clear();
        self.take_queues(site, at).await?;
        self.take_exchanges(site, at).await?;
        self.take_connections(site, at).await?;
        for channel in site.broker.channels().await? {
            site.rates.borrow_mut().note(Subject::Channel(channel.addr), at, &counts(&channel.counts));
        }
        let totals = site.broker.totals().await?;
        self.note_sums(site, at, &totals);
        site.rates.borrow_mut().end_round();
        Ok(())
    }

    async fn take_queues(&mut self, site: &Site, at: u64) -> Result<(), Unanswered> {
        let before = std::mem::take(&mut self.queues);
        let visit = |part: Vec<QueueFigures>| {
            let (catalog, mut rates) = (site.broker.catalog(), site.rates.borrow_mut());
            for queue in part {
                let Some(vhost) = catalog.queue(queue.id).map(|known| known.vhost) else { continue };
                let values = [&counts(&queue.counts)[..], &lengths(queue.ready, queue.unacked)].concat();
                rates.note(Subject::Queue(queue.id), at, &values);
                let mut added = queue.counts.since(&before.get(&queue.id).copied().unwrap_or_default());
                added[Count::Publish] = 0; // a message counts once for a virtual host, at its exchange
                rates.count(vhost, |counted| counted.counts += &added);
                let sum = self.lengths.entry(vhost).or_default();
                *sum = (sum.0 + queue.ready, sum.1 + queue.unacked);
                if queue.counts != Counts::default() {
                    self.queues.insert(queue.id, queue.counts);
                }
            }
        };
        let visited = site.broker.visit_queues(visit).await;
        if visited.is_err() {
            // What was not visited is compared with its earlier counts next time.
            before.into_iter().for_each(|(id, counts)| _ = self.queues.entry(id).or_insert(counts));
        }
        visited
    }

    async fn take_exchanges(&mut self, site: &Site, at: u64) -> Result<(), Unanswered> {
        let mut now = Map::<ExchangeId, Counts>::default();
        for exchange in site.broker.exchanges().await? {
            *now.entry(exchange.id).or_default() += &exchange.counts;
        }
        let (catalog, mut rates) = (site.broker.catalog(), site.rates.borrow_mut());
        for (&id, sum) in &now {
            let Some(vhost) = catalog.exchange(id).map(|known| known.vhost) else { continue };
            rates.note(Subject::Exchange(id), at, &counts(sum));
            let mut added = sum.since(&self.exchanges.get(&id).copied().unwrap_or_default());
            added[Count::Publish] = added[Count::Publish].max(added[Count::PublishIn]);
            rates.count(vhost, |counted| counted.counts += &added);
        }
        self.exchanges = now;
        Ok(())
    }

    async fn take_connections(&mut self, site: &Site, at: u64) -> Result<(), Unanswered> {
        let figures = site.broker.connections().await?;
        let mut rates = site.rates.borrow_mut();
        let mut now = Map::default();
        for connection in figures {
            let octets = connection.octets;
            rates.note(Subject::Connection(connection.addr), at, &[octets.0, octets.1]);
            let before = self.connections.get(&connection.addr).copied().unwrap_or_default();
            if let Some(vhost) = connection.vhost {
                rates.count(vhost, |Counted { octets: sum, .. }| {
                    *sum = (sum.0 + octets.0.saturating_sub(before.0), sum.1 + octets.1.saturating_sub(before.1));
                });
            }
            now.insert(connection.addr, octets);
        }
        self.connections = now;
        Ok(())
    }

    /// Notes the sums of virtual hosts, the broker and the node.
    fn note_sums(&self, site: &Site, at: u64, totals: &[Totals]) {
        let mut rates = site.rates.borrow_mut();
        let vhosts: Vec<VhostId> = site.broker.catalog().vhosts().map(|vhost| vhost.id).collect();
        for vhost in vhosts {
            let counted = rates.vhost(vhost);
            let (ready, unacked) = self.lengths.get(&vhost).copied().unwrap_or_default();
            let octets = [counted.octets.0, counted.octets.1];
            let values = [&counts(&counted.counts)[..], &lengths(ready, unacked), &octets].concat();
            rates.note(Subject::Vhost(vhost), at, &values);
        }
        let (mut sum, mut churned) = (Counts::default(), [0; CHURN.len()]);
        for totals in totals {
            sum += &totals.counts;
            churned.iter_mut().zip(churn(&totals.churn)).for_each(|(sum, n)| *sum += n);
        }
        let (ready, unacked) = self.lengths.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let values = [&counts(&sum)[..], &lengths(ready, unacked), &churned].concat();
        rates.note(Subject::Broker, at, &values);
        rates.note(Subject::Node, at, &node(&site.host.usage()));
    }
}

/// The shortest time between samples, milliseconds.
const MIN_MS: u32 = 1000;

//! Sums over all queues, channels, connections and exchanges: what the shards do not keep sums of.
//!
//! To add up some thousands of objects takes a few milliseconds, so a scrape does it. If there are
//! more, a task adds them up every [`INTERVAL`], as long as somebody scrapes, and a scrape takes the
//! last sums.
//!
//! Invariant: counts never fall, although objects go. What connections that are gone have counted is
//! in the shards' totals; it is read before those that live, so that a connection that closes in
//! between is missing, never there twice, and the earlier count stands for one scrape more. What
//! exchanges route is added up as it grows.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;

use super::numbers::{Channel, Connection, Exchange, Queue};
use super::snapshot::{exchanges, numbers_of_queue, rows};
use crate::base::ids::ExchangeId;
use crate::management::broker::{Broker, Unanswered};

/// The sums.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Sums {
    /// Of queues.
    pub queue: Queue,
    /// Of channels.
    pub channel: Channel,
    /// Of connections, also those that are gone.
    pub connection: Connection,
    /// Of exchanges, also those that are gone.
    pub exchange: Exchange,
}

/// Keeps the last sums.
#[derive(Default)]
pub struct Keeper(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    sums: Sums,
    /// When the sums were taken.
    taken: Option<Duration>,
    /// When somebody asked for them.
    asked: Option<Duration>,
    routed: Routed,
}

/// Adds up what exchanges route.
#[derive(Default)]
struct Routed {
    total: u64,
    /// What each exchange had routed at the last look.
    seen: BTreeMap<ExchangeId, Exchange>,
}

impl Keeper {
    /// Returns the sums over `objects` objects, at the time `now`.
    ///
    /// # Errors
    /// A shard does not answer.
    pub async fn sums(&self, broker: &Broker, objects: usize, now: Duration) -> Result<Sums, Unanswered> {
        let mut kept = self.0.lock().await;
        kept.asked = Some(now);
        let is_old = kept.taken.is_none_or(|taken| now.saturating_sub(taken) > 2 * INTERVAL);
        if objects <= FEW || is_old {
            kept.renew(broker, now).await?;
        }
        Ok(kept.sums)
    }

    /// Renews the sums for ever, while somebody asks for them.
    pub async fn renew_regularly(&self, broker: &Broker, clock: impl Fn() -> Duration) {
        loop {
            sleep(INTERVAL).await;
            let (mut kept, now) = (self.0.lock().await, clock());
            if kept.asked.is_some_and(|asked| now.saturating_sub(asked) < PATIENCE) {
                kept.renew(broker, now).await.unwrap_or_else(|Unanswered(shard)| log::warn!("shard {} does not tell its figures", shard.0));
            }
        }
    }
}

impl Kept {
    async fn renew(&mut self, broker: &Broker, now: Duration) -> Result<(), Unanswered> {
        let mut sums = Sums::default();
        for shard in broker.totals().await? {
            sums.connection += &Connection { octets: shard.octets, packets: shard.packets, ..Connection::default() };
        }
        let queues = rows(broker, broker.queues().await?, numbers_of_queue).await;
        queues.iter().for_each(|queue| sums.queue += queue);
        broker.channels().await?.iter().for_each(|channel| sums.channel += &channel.into());
        broker.connections().await?.iter().for_each(|connection| sums.connection += &connection.into());
        sums.connection.not_below(&self.sums.connection);
        sums.exchange.routed = self.routed.add(exchanges(broker).await?);
        (self.sums, self.taken) = (sums, Some(now));
        Ok(())
    }
}

impl Routed {
    /// Adds what exchanges have routed since the last look.
    fn add(&mut self, now: BTreeMap<ExchangeId, Exchange>) -> u64 {
        for (id, exchange) in &now {
            let then = self.seen.get(id).map_or(0, |then| then.routed);
            self.total += exchange.routed.saturating_sub(then);
        }
        self.seen = now;
        self.total
    }
}

/// Time between two renewals: RabbitMQ's `collect_statistics_interval`.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long sums are renewed for somebody who does not ask any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// Objects that a scrape adds up itself.
const FEW: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Key;

    #[test]
    fn what_exchanges_routed_stays_when_they_go() {
        let look = |routed: &mut Routed, exchanges: &[(u32, u32, u64)]| {
            let id = |slot, generation| ExchangeId(Key { slot, generation });
            let exchange = |routed| Exchange { routed, ..Exchange::default() };
            routed.add(exchanges.iter().map(|&(slot, generation, routed)| (id(slot, generation), exchange(routed))).collect())
        };
        let mut routed = Routed::default();
        assert_eq!(look(&mut routed, &[(0, 0, 5), (1, 0, 7)]), 12);
        assert_eq!(look(&mut routed, &[(0, 0, 6)]), 13);
        assert_eq!(look(&mut routed, &[(0, 0, 6), (1, 1, 2)]), 15);
        assert_eq!(look(&mut routed, &[]), 15);
    }

    #[test]
    fn a_connection_that_closes_while_sums_are_taken_does_not_lower_them() {
        let connection = |octets, packets| Connection { octets, packets, pending: 1, channels: 1 };
        let mut sums = connection((5, 9), (3, 3));
        sums.not_below(&connection((7, 8), (4, 2)));
        assert_eq!(sums, connection((7, 9), (4, 3)));
    }
}

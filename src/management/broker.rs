//! The broker as the management thread sees it: a copy of the catalog, and shards that answer
//! demands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::base::ids::{QueueId, ShardId};
use crate::base::inbox::Inbox;
use crate::broker::catalog::Catalog;
use crate::config::Config;
use crate::contract::{
    ChannelFigures, Code, Command, ConnectionFigures, ConsumerFigures, Demand, ExchangeFigures, Fault, Figures, Intervened, Intervention,
    PART, Part, Query, QueueFigures, Reply, Report, Totals,
};
use crate::shard::Made;

/// A handle to the broker. Clones are handles to the same one.
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

/// What a shard reports.
pub type Reported = Report<Arc<Made>>;

/// The way to a shard: demands under tickets.
pub type Door = Arc<Inbox<(u64, Demand)>>;

struct Shared {
    config: Arc<Config>,
    catalog: Mutex<Catalog>,
    doors: Vec<Door>,
    /// Those who wait for a reply, by ticket.
    waiting: Mutex<Slab<oneshot::Sender<Reply>>>,
}

/// No reply came in time: the broker ends, or a shard does not turn any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unanswered(
    /// The shard that was asked.
    pub ShardId,
);

impl Broker {
    /// Makes the handle. `catalog` is a copy of the catalog with which the shards started, `doors`
    /// lead to the shards, shard 0 first.
    pub fn new(config: Arc<Config>, catalog: Catalog, doors: Vec<Door>) -> Broker {
        Broker(Arc::new(Shared { config, catalog: Mutex::new(catalog), doors, waiting: Mutex::default() }))
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.0.config
    }

    /// The copy of the catalog, to be read at once: not to be kept while waiting for something.
    pub fn catalog(&self) -> MutexGuard<'_, Catalog> {
        locked(&self.0.catalog)
    }

    /// Takes up what the shards report, until they have all ended.
    pub async fn follow(&self, mut reports: mpsc::UnboundedReceiver<Reported>) {
        while let Some(report) = reports.recv().await {
            match report {
                Report::Changed(made) => _ = self.catalog().apply(&made.change),
                Report::Reply(ticket, reply) => {
                    let waiter = locked(&self.0.waiting).try_remove(ticket as usize);
                    waiter.map(|waiter| waiter.send(reply)); // an asker that is gone does not mind
                }
            }
        }
    }

    /// Asks a shard for something.
    ///
    /// # Errors
    /// The shard does not answer.
    pub async fn ask(&self, shard: ShardId, demand: impl Into<Demand>) -> Result<Reply, Unanswered> {
        let (sender, receiver) = oneshot::channel();
        let ticket = locked(&self.0.waiting).insert(sender) as u64;
        self.0.doors[usize::from(shard.0)].put((ticket, demand.into()));
        timeout(REPLY_TIMEOUT, receiver).await.ok().and_then(Result::ok).ok_or(Unanswered(shard))
    }

    /// Has a change of the catalog carried out. When this returns, all shards and the copy here
    /// have it, and the disk, if it is to survive a restart.
    ///
    /// # Errors
    /// The reason for which the broker refuses it.
    pub async fn command(&self, command: impl Into<Command>) -> Result<(), Fault> {
        match self.ask(ShardId::ORDERER, command.into()).await {
            Ok(Reply::Decided(decision)) => decision,
            Ok(_) => unreachable!("a command is decided"),
            Err(_) => Err(Fault::new(Code::InternalError, "the broker does not answer".to_string())),
        }
    }

    /// Intervenes in what only this shard has.
    ///
    /// # Errors
    /// The shard does not answer.
    pub async fn intervene(&self, shard: ShardId, intervention: Intervention) -> Result<Intervened, Unanswered> {
        match self.ask(shard, intervention).await? {
            Reply::Intervened(intervened) => Ok(intervened),
            _ => unreachable!("an intervention is answered as one"),
        }
    }

    /// All shards.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.0.config.shards).map(ShardId)
    }

    /// The sums of each shard, shard 0 first.
    ///
    /// # Errors
    /// A shard does not answer.
    pub async fn totals(&self) -> Result<Vec<Totals>, Unanswered> {
        let mut all = Vec::new();
        for shard in self.shards() {
            match self.query(shard, Query::Totals).await? {
                Figures::Totals(totals) => all.push(*totals),
                _ => unreachable!("totals were asked for"),
            }
        }
        Ok(all)
    }

    /// The numbers of these queues, in any order; none of those that are gone.
    ///
    /// # Errors
    /// A shard does not answer.
    pub async fn queues_by_id(&self, ids: &[QueueId]) -> Result<Vec<QueueFigures>, Unanswered> {
        let mut all = Vec::new();
        for shard in self.shards() {
            let here: Vec<QueueId> = {
                let catalog = self.catalog();
                ids.iter().copied().filter(|&id| catalog.queue(id).is_some_and(|queue| queue.addr.home == shard)).collect()
            };
            for part in here.chunks(PART) {
                match self.query(shard, Query::QueuesById(part.to_vec())).await? {
                    Figures::Queues(part) => all.extend(part.items),
                    _ => unreachable!("queues were asked for"),
                }
            }
        }
        Ok(all)
    }

    /// The numbers of all queues, in any order.
    ///
    /// # Errors
    /// A shard does not answer.
    pub async fn queues(&self) -> Result<Vec<QueueFigures>, Unanswered> {
        self.list(|from| Query::Queues { from }, |figures| if let Figures::Queues(part) = figures { Some(part) } else { None }).await
    }

    /// Visits the numbers of all queues, some at a time: they need not be in memory all at once.
    ///
    /// # Errors
    /// A shard does not answer.
    pub async fn visit_queues(&self, visit: impl FnMut(Vec<QueueFigures>)) -> Result<(), Unanswered> {
        self.visit(|from| Query::Queues { from }, |figures| if let Figures::Queues(part) = figures { Some(part) } else { None }, visit)
            .await
    }

    /// The numbers of exchanges, one for each shard where messages came to them, in any order.
    ///
    /// # Errors
    /// A shard does not answer.
    pub async fn exchanges(&self) -> Result<Vec<ExchangeFigures>, Unanswered> {
        self.list(|from| Query::Exchanges { from }, |figures| if let Figures::Exchanges(part) = figures { Some(part) } else { None }).await
    }

    /// All connections, in any order.
    ///
    /// # Errors
    /// A shard does not answer.
    pub async fn connections(&self) -> Result<Vec<ConnectionFigures>, Unanswered> {
        self.list(|from| Query::Connections { from }, |figures| if let Figures::Connections(part) = figures { Some(part) } else { None })
            .await
    }

    /// All channels, in any order.
    ///
    /// # Errors
    /// A shard does not answer.
    pub async fn channels(&self) -> Result<Vec<ChannelFigures>, Unanswered> {
        self.list(|from| Query::Channels { from }, |figures| if let Figures::Channels(part) = figures { Some(part) } else { None }).await
    }

    /// All consumers, in any order.
    ///
    /// # Errors
    /// A shard does not answer.
    pub async fn consumers(&self) -> Result<Vec<ConsumerFigures>, Unanswered> {
        self.list(|from| Query::Consumers { from }, |figures| if let Figures::Consumers(part) = figures { Some(part) } else { None }).await
    }

    /// Asks every shard for a whole list.
    async fn list<T>(&self, query: impl Fn(u32) -> Query, part: impl Fn(Figures) -> Option<Part<T>>) -> Result<Vec<T>, Unanswered> {
        let mut all = Vec::new();
        self.visit(query, part, |items| all.extend(items)).await?;
        Ok(all)
    }

    /// Asks every shard for a list, part by part.
    async fn visit<T>(
        &self,
        query: impl Fn(u32) -> Query,
        part: impl Fn(Figures) -> Option<Part<T>>,
        mut visit: impl FnMut(Vec<T>),
    ) -> Result<(), Unanswered> {
        for shard in self.shards() {
            let mut from = Some(0);
            while let Some(at) = from {
                let Part { items, next } = part(self.query(shard, query(at)).await?).expect("figures are of the kind that was asked for");
                visit(items);
                from = next;
            }
        }
        Ok(())
    }

    async fn query(&self, shard: ShardId, query: Query) -> Result<Figures, Unanswered> {
        match self.ask(shard, query).await? {
            Reply::Figures(figures) => Ok(figures),
            _ => unreachable!("a query is answered by figures"),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a shard may take to answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(15);

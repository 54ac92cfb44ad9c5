//! The catalog: virtual hosts, users, exchanges, queues and bindings. Every shard has a copy.
//!
//! ```text
//! request ─ check(&self) ─┬ Verdict::Change ─ shard 0 orders ─▶ apply(&mut self) on every shard:
//! command ┘               │                                     same ids, same version
//!                         ├ Verdict::Queue: ask the queue at its home
//!                         └ Fault
//! ```
//!
//! - [`check`], for an [`asker`]: is a request in order; [`equivalence`] with what is there;
//!   [`queue_arguments`], [`consumer_arguments`];
//! - [`change`]s and how they are [applied](apply); [`administration`]: operators' part of both;
//! - [`saved`]: the records in the catalog's log, by kind in [`saved_topology`] and
//!   [`saved_administration`];
//! - [`users`], [`vhosts`], [`bindings`], [`policies`]: the tables; [`defaults`] of new virtual
//!   hosts.
//!
//! Invariant: the catalog is a function of the changes applied to it. Ids are indices of slots, and
//! cascades go in the order of binding ids, never in that of a hash map. So shards that applied the
//! same changes agree on every id.

mod administration;
mod apply;
mod asker;
mod bindings;
mod change;
mod check;
mod consumer_arguments;
pub mod defaults;
mod equivalence;
mod policies;
mod queue_arguments;
mod saved;
mod saved_administration;
mod saved_topology;
mod users;
mod vhosts;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

pub use administration::Quotas;
pub use apply::Applied;
pub use asker::Asker;
pub use change::{Change, Seat};
pub use check::Verdict;
pub use consumer_arguments::ConsumerArguments;
pub use policies::Policies;
pub use queue_arguments::is_quorum;
pub use saved::{Numbers, Saved};
pub use users::{Access, Resource, Right, UserInfo};
pub use vhosts::VhostInfo;

use self::bindings::{Binding, BindingId, Bindings};
use self::policies::Followed;
use super::exchange::{Dest, Matcher};
use crate::base::hash::{self, Map};
use crate::base::ids::{ConnAddr, ExchangeId, QueueAddr, QueueId, UserId};
use crate::base::slots::Slots;
use crate::contract::{Code, Destination, ExchangeSpec, Fault, Owner, QueueSpec, VhostId};
use crate::message::{Table, Value, erlang_text};

/// One shard's copy of the catalog.
pub struct Catalog {
    version: u64,
    /// Virtual hosts by number; none where a virtual host was deleted.
    vhosts: Vec<Option<Box<VhostInfo>>>,
    vhost_names: Map<Box<str>, VhostId>,
    users: Slots<UserId, UserInfo>,
    user_names: Map<Box<str>, UserId>,
    global_parameters: BTreeMap<Box<str>, Box<str>>,
    queues: Slots<QueueId, QueueInfo>,
    exchanges: Slots<ExchangeId, ExchangeInfo>,
    bindings: Bindings,
    owned: Map<ConnAddr, BTreeSet<QueueId>>,
    /// Durable exchanges that were deleted since the last [`Catalog::save_fallen`].
    fallen: Vec<(VhostId, Box<str>)>,
    /// The queues of deleted delaying exchanges, since the last [`Catalog::closed_delay_queues`].
    closed_delay_queues: Vec<QueueAddr>,
    /// Number of the latest walk through exchanges, see [`ExchangeInfo::visit`].
    walks: Cell<u64>,
}

/// A queue as the catalog knows it.
pub struct QueueInfo {
    /// Its attributes; an exclusive queue is never durable here.
    pub spec: QueueSpec,
    /// Its id and the shard where it lives.
    pub addr: QueueAddr,
    /// The connection that owns the queue, if it is exclusive.
    pub owner: Owner,
    /// Its virtual host.
    pub vhost: VhostId,
    /// Its number, from 1. No other queue ever has it, also not after a restart.
    pub number: u64,
    /// The exchange whose delayed messages the queue contains, if it is for that; clients do not
    /// see it.
    pub delays: Option<ExchangeId>,
    incoming: BTreeSet<BindingId>,
}

/// An exchange as the catalog knows it.
pub struct ExchangeInfo {
    /// Its attributes.
    pub spec: ExchangeSpec,
    /// Its id.
    pub id: ExchangeId,
    /// Its virtual host.
    pub vhost: VhostId,
    /// The exchange that gets messages that match no binding, if the argument `alternate-exchange`
    /// names one. It need not exist.
    pub alternate: Option<Box<[u8]>>,
    /// The bindings that it is the source of, ready for matching.
    pub matcher: Matcher,
    /// The queue in which its delayed messages wait, if it delays messages.
    pub delay_queue: Option<QueueAddr>,
    /// Whether routing depends on earlier messages: then all messages are routed on the shard where
    /// the [memories](super::exchange::remembered) are.
    pub remembers: bool,
    outgoing: BTreeSet<BindingId>,
    incoming: BTreeSet<BindingId>,
    visited: Cell<u64>,
    followed: Cell<Followed>,
}

/// A binding with the names of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingView<'a> {
    /// The virtual host.
    pub vhost: VhostId,
    /// The exchange that messages come from.
    pub source: &'a str,
    /// The kind of `destination`.
    pub kind: Destination,
    /// The queue or exchange that messages go to.
    pub destination: &'a str,
    /// The binding key.
    pub key: &'a [u8],
    /// The arguments in canonical order.
    pub arguments: &'a Table,
}

impl Catalog {
    /// Makes the catalog of a new broker: the virtual host `/` with its predeclared exchanges, and
    /// the user guest with all permissions there.
    pub fn new() -> Catalog {
        Catalog::made_by(&Change::of_a_new_broker())
    }

    /// Makes the catalog that results from these changes.
    pub fn made_by(changes: &[Change]) -> Catalog {
        let mut catalog = Catalog {
            version: 1,
            vhosts: Vec::new(),
            vhost_names: Map::default(),
            users: Slots::new(),
            user_names: Map::default(),
            global_parameters: BTreeMap::new(),
            queues: Slots::new(),
            exchanges: Slots::new(),
            bindings: Bindings::default(),
            owned: Map::default(),
            fallen: Vec::new(),
            closed_delay_queues: Vec::new(),
            walks: Cell::new(0),
        };
        changes.iter().for_each(|change| _ = catalog.apply(change));
        catalog
    }

    /// Number of applied changes, from 1. A remembered route is valid while the version stays the
    /// same.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The queue of this name.
    pub fn queue_by_name(&self, vhost: VhostId, name: &str) -> Option<&QueueInfo> {
        self.queue_by_key(vhost, name.as_bytes())
    }

    /// The queue whose name is this routing key.
    #[inline]
    pub fn queue_by_key(&self, vhost: VhostId, key: &[u8]) -> Option<&QueueInfo> {
        self.vhost(vhost).queues.get(key).map(|&id| &self.queues[id])
    }

    /// The queue with this id; `None` if it is gone or not declared yet.
    pub fn queue(&self, id: QueueId) -> Option<&QueueInfo> {
        self.queues.get(id)
    }

    /// Whether the id is from a change that was not applied here yet, so that the queue may still
    /// be declared.
    pub fn is_newer(&self, id: QueueId) -> bool {
        self.queues.is_yet_to_come(id)
    }

    /// The exchange of this name.
    #[inline]
    pub fn exchange_by_name(&self, vhost: VhostId, name: &[u8]) -> Option<&ExchangeInfo> {
        self.vhost(vhost).exchanges.get(name).map(|&id| &self.exchanges[id])
    }

    /// The exchange with this id; `None` if it is gone.
    #[inline]
    pub fn exchange(&self, id: ExchangeId) -> Option<&ExchangeInfo> {
        self.exchanges.get(id)
    }

    /// All queues, by id.
    pub fn queues(&self) -> impl Iterator<Item = &QueueInfo> {
        self.queues.iter().map(|(_, queue)| queue)
    }

    /// Takes the queues of delaying exchanges that the last changes have deleted: their home shards
    /// delete them, too.
    pub fn closed_delay_queues(&mut self) -> Vec<QueueAddr> {
        std::mem::take(&mut self.closed_delay_queues)
    }

    /// The exclusive queues of a connection, by id: they are deleted with it.
    pub fn owned_by(&self, owner: ConnAddr) -> impl Iterator<Item = QueueId> {
        self.owned.get(&owner).into_iter().flatten().copied()
    }

    /// All exchanges, by id.
    pub fn exchanges(&self) -> impl Iterator<Item = &ExchangeInfo> {
        self.exchanges.iter().map(|(_, exchange)| exchange)
    }

    /// All bindings, by id, except the implicit ones of the default exchange.
    pub fn bindings(&self) -> impl Iterator<Item = BindingView<'_>> {
        self.bindings.iter().map(|(_, binding)| self.view(binding))
    }

    fn view<'a>(&'a self, binding: &'a Binding) -> BindingView<'a> {
        let source = &self.exchanges[binding.source];
        let (kind, destination) = match binding.dest {
            Dest::Queue(addr) => (Destination::Queue, &self.queues[addr.queue].spec.name),
            Dest::Exchange(id) => (Destination::Exchange, &self.exchanges[id].spec.name),
        };
        BindingView { vhost: source.vhost, source: &source.spec.name, kind, destination, key: &binding.key, arguments: &binding.arguments }
    }

    /// The destination of a binding, by its name.
    pub fn dest(&self, vhost: VhostId, kind: Destination, name: &str) -> Option<Dest> {
        match kind {
            Destination::Queue => self.queue_by_name(vhost, name).map(|queue| Dest::Queue(queue.addr)),
            Destination::Exchange => self.exchange_by_name(vhost, name.as_bytes()).map(|exchange| Dest::Exchange(exchange.id)),
        }
    }

    /// Returns a number for a destination that is the same on every shard and after every restart.
    fn identity(&self, dest: Dest) -> u64 {
        let (kind, name) = match dest {
            Dest::Queue(addr) => (0, &self.queues[addr.queue].spec.name),
            Dest::Exchange(id) => (1, &self.exchanges[id].spec.name),
        };
        hash::mixed(hash::fixed(name.as_bytes()) ^ kind)
    }

    /// Makes the error 404 for an exchange.
    pub fn no_exchange(&self, vhost: VhostId, name: &[u8]) -> Fault {
        let (name, vhost) = (erlang_text(name), self.vhost_name(vhost));
        Fault::new(Code::NotFound, format!("no exchange '{name}' in vhost '{vhost}'"))
    }

    /// Makes the error 404 for a queue.
    pub fn no_queue(&self, vhost: VhostId, name: &str) -> Fault {
        let vhost = self.vhost_name(vhost);
        Fault::new(Code::NotFound, format!("no queue '{name}' in vhost '{vhost}'"))
    }

    fn queue_text(&self, vhost: VhostId, name: &str) -> String {
        format!("queue '{name}' in vhost '{}'", self.vhost_name(vhost))
    }

    fn exchange_text(&self, vhost: VhostId, name: &str) -> String {
        format!("exchange '{name}' in vhost '{}'", self.vhost_name(vhost))
    }

    /// Begins a walk from exchange to exchange. Walks do not nest.
    pub(super) fn start_walk(&self) -> Walk {
        self.walks.set(self.walks.get() + 1);
        Walk(self.walks.get())
    }
}

/// One message's walk through exchanges.
#[derive(Clone, Copy)]
pub(super) struct Walk(u64);

impl ExchangeInfo {
    /// Marks the exchange as visited by the walk. Returns whether it was not visited before. The
    /// mark is in the exchange itself, so that a walk needs no set, however many exchanges are
    /// bound to each other, and in whatever circles.
    pub(super) fn visit(&self, walk: Walk) -> bool {
        self.visited.replace(walk.0) != walk.0
    }
}

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog::new()
    }
}

/// The text of an argument in a table.
fn text_argument(arguments: &Table, name: &str) -> Option<Box<[u8]>> {
    arguments.find(name).and_then(Value::as_text).map(Box::from)
}

/// The argument that names the alternate exchange.
const ALTERNATE: &str = "alternate-exchange";

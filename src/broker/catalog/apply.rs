//! Applying changes.
//!
//! A change has everything it needs and is total: if it no longer fits (its queue is gone, its name
//! was taken while the change was on its way), it changes nothing and says so. Deletions cascade: a
//! queue or an exchange takes its bindings along, an auto-delete exchange goes with its last
//! binding as a source, and so on.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::{ALTERNATE, Binding, BindingId, Catalog, Change, ExchangeInfo, QueueInfo, Quotas, Seat, text_argument};
use crate::base::ids::{ConnAddr, ExchangeId, QueueAddr, QueueId, UserId};
use crate::broker::exchange::{Dest, Kind, Matcher, remembered};
use crate::contract::{BindingSpec, ExchangeSpec, Owner, QueueSpec, Topology, VhostId};
use crate::message::Table;

/// The effect of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Applied {
    /// There is a new queue.
    Queue(QueueAddr),
    /// The queue is gone from the catalog; its home ends it.
    QueueGone(QueueAddr),
    /// A virtual host and its queues are gone; the homes end these, and connections are closed.
    VhostGone {
        /// The virtual host.
        vhost: VhostId,
        /// Its queues.
        queues: Vec<QueueAddr>,
    },
    /// A user is gone; its connections are closed.
    UserGone(UserId),
    /// Policies changed: queues may have other terms now.
    Policies,
    /// Anything else changed.
    Done,
    /// The change no longer fits and changed nothing: check the request again.
    Stale,
}

impl Catalog {
    /// Applies a change.
    pub fn apply(&mut self, change: &Change) -> Applied {
        self.apply_with(change, &Quotas::default())
    }

    /// Applies a change. A user or a virtual host that it makes counts by these quotas, which all
    /// shards share.
    pub fn apply_with(&mut self, change: &Change, quotas: &Quotas) -> Applied {
        let applied = match change {
            Change::Topology { vhost, topology, seat, owner } => self.change_topology(vhost, topology, *seat, *owner),
            Change::Administration(administration) => self.administer(administration, quotas),
        };
        self.version += u64::from(applied.is_some());
        applied.unwrap_or(Applied::Stale)
    }

    fn change_topology(&mut self, vhost: &str, topology: &Topology, seat: Option<Seat>, owner: Owner) -> Option<Applied> {
        let vhost = self.vhost_by_name(vhost)?;
        match topology {
            Topology::DeclareExchange(spec) => self.declare_exchange(vhost, spec, seat),
            Topology::DeleteExchange { name, .. } => {
                let id = self.exchange_by_name(vhost, name.as_bytes())?.id;
                self.remove_exchanges(vec![id]);
                Some(Applied::Done)
            }
            Topology::DeclareQueue(spec) => self.declare_queue(vhost, spec, seat?, owner),
            Topology::DeleteQueue { name, .. } => {
                let queue = self.queue_by_name(vhost, name).filter(|queue| seat.is_none_or(|seat| seat.number == queue.number))?;
                self.delete_queue(queue.addr.queue)
            }
            Topology::Bind(spec) => self.bind(vhost, spec),
            Topology::Unbind(spec) => {
                let binding = self.resolve(vhost, spec)?;
                let id = self.bindings.find(&binding)?;
                self.remove_bindings([id]);
                Some(Applied::Done)
            }
        }
    }

    /// Makes the change that ends a queue; nothing if the queue is gone.
    pub fn end_of(&self, id: QueueId) -> Option<Change> {
        let queue = self.queue(id)?;
        let (vhost, name) = (self.vhost_name(queue.vhost).into(), queue.spec.name.clone());
        let topology = Topology::DeleteQueue { name, if_unused: false, if_empty: false };
        Some(Change::Topology { vhost, topology, seat: Some(queue.seat()), owner: None })
    }

    fn declare_exchange(&mut self, vhost: VhostId, spec: &ExchangeSpec, seat: Option<Seat>) -> Option<Applied> {
        let free = self.exchange_by_name(vhost, spec.name.as_bytes()).is_none();
        let exchange = free.then(|| self.add_exchange(vhost, spec.clone()))?;
        let Some(seat) = seat else { return Some(Applied::Done) };
        // An internal queue, not among the names of queues: no client consumes from it or deletes it.
        let name = spec.name.clone();
        let spec = QueueSpec { name, durable: spec.durable, exclusive: false, auto_delete: false, arguments: Table::empty() };
        let addr = self.add_queue(vhost, spec, seat, None, Some(exchange));
        self.exchanges[exchange].delay_queue = Some(addr);
        Some(Applied::Queue(addr))
    }

    pub(super) fn add_exchange(&mut self, vhost: VhostId, spec: ExchangeSpec) -> ExchangeId {
        let kind = Kind::of(&spec).expect("check refuses unknown types");
        let name = spec.name.as_bytes().into();
        let id = self.exchanges.insert_with(|id| ExchangeInfo {
            id,
            vhost,
            alternate: text_argument(&spec.arguments, ALTERNATE),
            matcher: Matcher::new(kind, &spec.arguments),
            remembers: remembered::remembers(&spec),
            spec,
            delay_queue: None,
            outgoing: Default::default(),
            incoming: Default::default(),
            visited: Cell::new(0),
            followed: Cell::default(),
        });
        self.vhost_mut(vhost).exchanges.insert(name, id);
        id
    }

    fn declare_queue(&mut self, vhost: VhostId, spec: &QueueSpec, seat: Seat, owner: Owner) -> Option<Applied> {
        if self.queue_by_name(vhost, &spec.name).is_some() {
            return None;
        }
        let addr = self.add_queue(vhost, spec.clone(), seat, owner, None);
        self.vhost_mut(vhost).queues.insert(spec.name.as_bytes().into(), addr.queue);
        if let Some(owner) = owner {
            self.owned.entry(owner).or_default().insert(addr.queue);
        }
        Some(Applied::Queue(addr))
    }

    fn add_queue(&mut self, vhost: VhostId, spec: QueueSpec, seat: Seat, owner: Owner, delays: Option<ExchangeId>) -> QueueAddr {
        let Seat { home, number } = seat;
        let info = |queue| QueueInfo { spec, addr: QueueAddr { home, queue }, owner, vhost, number, delays, incoming: BTreeSet::new() };
        let queue = self.queues.insert_with(info);
        QueueAddr { home, queue }
    }

    pub(super) fn delete_queue(&mut self, id: QueueId) -> Option<Applied> {
        let bindings = std::mem::take(&mut self.queues.get_mut(id)?.incoming);
        self.remove_bindings(bindings);
        let queue = self.queues.remove(id)?;
        if queue.delays.is_none() {
            self.vhost_mut(queue.vhost).queues.remove(queue.spec.name.as_bytes());
        }
        if let Some(owner) = queue.owner {
            self.disown(owner, id);
        }
        Some(Applied::QueueGone(queue.addr))
    }

    fn disown(&mut self, owner: ConnAddr, queue: QueueId) {
        let owned = self.owned.get_mut(&owner).expect("an exclusive queue is in its owner's set");
        owned.remove(&queue);
        if owned.is_empty() {
            self.owned.remove(&owner);
        }
    }

    fn bind(&mut self, vhost: VhostId, spec: &BindingSpec) -> Option<Applied> {
        let binding = self.resolve(vhost, spec)?;
        if self.bindings.find(&binding).is_some() {
            return None;
        }
        let (source, dest) = (binding.source, binding.dest);
        let identity = self.identity(dest);
        self.exchanges[source].matcher.bind(&binding.key, &binding.arguments, dest, identity);
        let id = self.bindings.insert(binding);
        self.exchanges[source].outgoing.insert(id);
        match dest {
            Dest::Queue(addr) => self.queues[addr.queue].incoming.insert(id),
            Dest::Exchange(exchange) => self.exchanges[exchange].incoming.insert(id),
        };
        Some(Applied::Done)
    }

    /// The binding with the ids of its ends, if both are there.
    pub(super) fn resolve(&self, vhost: VhostId, spec: &BindingSpec) -> Option<Binding> {
        Some(Binding {
            source: self.exchange_by_name(vhost, spec.source.as_bytes())?.id,
            dest: self.dest(vhost, spec.kind, &spec.destination)?,
            key: spec.key.clone(),
            arguments: spec.arguments.clone(),
        })
    }

    /// Removes bindings, and the auto-delete exchanges that have none left as a source.
    fn remove_bindings(&mut self, ids: impl IntoIterator<Item = BindingId>) {
        let orphans = ids.into_iter().filter_map(|id| self.remove_binding(id)).collect();
        self.remove_exchanges(orphans);
    }

    /// Removes exchanges with their bindings, and auto-delete exchanges that lose their last one.
    pub(super) fn remove_exchanges(&mut self, mut doomed: Vec<ExchangeId>) {
        while let Some(id) = doomed.pop() {
            let Some(exchange) = self.exchanges.get_mut(id) else { continue };
            let bindings = [std::mem::take(&mut exchange.outgoing), std::mem::take(&mut exchange.incoming)];
            for binding in bindings.into_iter().flatten() {
                doomed.extend(self.remove_binding(binding));
            }
            let exchange = self.exchanges.remove(id).expect("exchanges were collected from the catalog");
            if let Some(addr) = exchange.delay_queue {
                self.queues.remove(addr.queue);
                self.closed_delay_queues.push(addr);
            }
            if exchange.spec.durable {
                self.fallen.push((exchange.vhost, exchange.spec.name.clone()));
            }
            self.vhost_mut(exchange.vhost).exchanges.remove(exchange.spec.name.as_bytes());
        }
    }

    /// Removes a binding from the table and both ends. Returns its source if that goes with it.
    fn remove_binding(&mut self, id: BindingId) -> Option<ExchangeId> {
        let Binding { source, dest, key, arguments } = self.bindings.remove(id)?;
        let identity = self.identity(dest);
        match dest {
            Dest::Queue(addr) => self.queues[addr.queue].incoming.remove(&id),
            Dest::Exchange(exchange) => self.exchanges[exchange].incoming.remove(&id),
        };
        let exchange = &mut self.exchanges[source];
        exchange.matcher.unbind(&key, &arguments, dest, identity);
        exchange.outgoing.remove(&id);
        (exchange.spec.auto_delete && exchange.outgoing.is_empty()).then_some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, ShardId};
    use crate::base::rng::Rng;
    use crate::broker::catalog::BindingView;
    use crate::broker::fixture::{VHOST, binding, conn, exchange, queue};
    use crate::contract::{Administration, Permissions, TopicPermissions, UserSpec, VhostSpec};

    fn id(slot: u32, generation: u32) -> QueueId {
        QueueId(Key { slot, generation })
    }

    fn exists(catalog: &Catalog, name: &str) -> bool {
        catalog.exchange_by_name(VHOST, name.as_bytes()).is_some()
    }

    fn declare(name: &str) -> Change {
        declared("/", queue(name))
    }

    fn declared(vhost: &str, spec: QueueSpec) -> Change {
        let seat = Some(Seat { home: ShardId(1), number: 7 });
        Change::Topology { vhost: vhost.into(), topology: Topology::DeclareQueue(spec), seat, owner: None }
    }

    fn delete(name: &str) -> Change {
        Change::topology("/", Topology::DeleteQueue { name: name.into(), if_unused: false, if_empty: false })
    }

    fn delete_exchange(name: &str) -> Topology {
        Topology::DeleteExchange { name: name.into(), if_unused: false }
    }

    fn auto_delete(name: &str) -> Topology {
        Topology::DeclareExchange(ExchangeSpec { auto_delete: true, ..exchange(name, "fanout") })
    }

    #[test]
    fn the_version_counts_what_changed() {
        let mut catalog = Catalog::new();
        let first = catalog.version();
        assert_eq!(catalog.exchanges().count(), 7);
        let addr = QueueAddr { home: ShardId(1), queue: id(0, 0) };
        assert_eq!((catalog.apply(&declare("q")), catalog.version()), (Applied::Queue(addr), first + 1));
        assert_eq!((catalog.apply(&declare("q")), catalog.version()), (Applied::Stale, first + 1));
        assert_eq!((catalog.apply(&delete("q")), catalog.version()), (Applied::QueueGone(addr), first + 2));
        assert_eq!((catalog.apply(&delete("q")), catalog.version()), (Applied::Stale, first + 2));
    }

    #[test]
    fn a_queue_s_end_is_about_that_queue_and_no_later_one_of_its_name() {
        let mut catalog = Catalog::new();
        catalog.apply(&declare("q"));
        let end = catalog.end_of(id(0, 0)).expect("it is there");
        catalog.apply(&end);
        let seat = Some(Seat { home: ShardId(1), number: 8 });
        catalog.apply(&Change::Topology { vhost: "/".into(), topology: Topology::DeclareQueue(queue("q")), seat, owner: None });
        assert_eq!(catalog.apply(&end), Applied::Stale);
        assert!(catalog.queue_by_name(VHOST, "q").is_some());
    }

    #[test]
    fn ids_tell_what_is_gone_from_what_is_to_come() {
        let mut catalog = Catalog::new();
        assert!(catalog.is_newer(id(0, 0)));
        catalog.apply(&declare("q"));
        catalog.apply(&delete("q"));
        assert!(!catalog.is_newer(id(0, 0)) && catalog.is_newer(id(0, 1)));
        catalog.apply(&declare("q"));
        assert_eq!(catalog.queue_by_name(VHOST, "q").unwrap().addr.queue, id(0, 1));
    }

    #[test]
    fn a_change_that_no_longer_fits_changes_nothing() {
        let mut catalog = Catalog::new();
        let spec = binding("amq.direct", "k", "q");
        let bind = Change::topology("/", Topology::Bind(spec.clone()));
        assert_eq!(catalog.apply(&bind), Applied::Stale);
        catalog.apply(&declare("q"));
        assert_eq!((catalog.apply(&bind), catalog.apply(&bind)), (Applied::Done, Applied::Stale));
        let unbind = Change::topology("/", Topology::Unbind(spec));
        assert_eq!((catalog.apply(&unbind), catalog.apply(&unbind)), (Applied::Done, Applied::Stale));
        assert_eq!(catalog.apply(&Change::topology("/", delete_exchange("x"))), Applied::Stale);
        let again = Change::topology("/", Topology::DeclareExchange(exchange("amq.direct", "direct")));
        assert_eq!(catalog.apply(&again), Applied::Stale);
    }

    #[test]
    fn a_queue_takes_its_bindings_and_auto_delete_exchanges_along() {
        let mut catalog = Catalog::new();
        for name in ["outer", "inner"] {
            catalog.perform(conn(0), &auto_delete(name)).unwrap();
        }
        catalog.with_queue("q");
        catalog.with_binding("outer", "", "=>inner").with_binding("inner", "", "q").with_binding("amq.topic", "#", "q");
        assert_eq!(catalog.bindings().count(), 3);
        catalog.apply(&delete("q"));
        assert!(!exists(&catalog, "outer") && !exists(&catalog, "inner"));
        assert_eq!(catalog.bindings().count(), 0);
    }

    #[test]
    fn an_exchange_that_is_bound_to_itself_stays_until_that_goes() {
        let mut catalog = Catalog::new();
        catalog.perform(conn(0), &auto_delete("self")).unwrap();
        catalog.with_queue("q");
        catalog.with_binding("self", "", "=>self").with_binding("self", "", "q");
        catalog.perform(conn(0), &Topology::Unbind(binding("self", "", "q"))).unwrap();
        assert!(exists(&catalog, "self"));
        catalog.perform(conn(0), &delete_exchange("self")).unwrap();
        assert!(!exists(&catalog, "self") && catalog.bindings().count() == 0);
    }

    #[test]
    fn an_exchange_that_goes_as_a_destination_takes_its_sources_along() {
        let mut catalog = Catalog::new();
        catalog.perform(conn(0), &auto_delete("source")).unwrap();
        catalog.with_exchange("target", "fanout").with_binding("source", "", "=>target");
        catalog.perform(conn(0), &delete_exchange("target")).unwrap();
        assert!(!exists(&catalog, "source"));
    }

    #[test]
    fn a_connection_s_exclusive_queues_are_known() {
        let mut catalog = Catalog::new();
        for (owner, name) in [(1, "a"), (2, "b"), (1, "c")] {
            let spec = QueueSpec { exclusive: true, durable: true, ..queue(name) };
            catalog.perform(conn(owner), &Topology::DeclareQueue(spec)).unwrap();
        }
        assert!(catalog.owned_by(conn(1)).eq([id(0, 0), id(2, 0)]));
        assert!(!catalog.queue(id(0, 0)).unwrap().spec.durable);
        catalog.apply(&delete("a"));
        catalog.apply(&delete("c"));
        assert!(catalog.owned_by(conn(1)).next().is_none() && catalog.owned.len() == 1);
    }

    const KINDS: [&str; 10] = [
        "direct",
        "fanout",
        "topic",
        "headers",
        "x-consistent-hash",
        "x-modulus-hash",
        "x-random",
        "x-local-random",
        "x-recent-history",
        "x-message-deduplication",
    ];

    fn random_vhost(rng: &mut Rng, catalog: &Catalog) -> Box<str> {
        let at = rng.below(catalog.vhosts().count() as u64) as usize;
        catalog.vhosts().nth(at).expect("counted").spec.name.clone()
    }

    fn random_administration(rng: &mut Rng) -> Administration {
        let [vhost, user] = [["/", "v", "w"], ["guest", "t", "u"]].map(|names| Box::<str>::from(names[rng.below(3) as usize]));
        let pattern = Box::<str>::from(["", ".*", "^(?!a)", "("][rng.below(4) as usize]);
        match rng.below(8) {
            0..=1 => Administration::PutVhost(VhostSpec { name: vhost, tracing: rng.below(2) == 0, ..VhostSpec::default() }),
            2 if &*vhost != "/" => Administration::DeleteVhost { name: vhost },
            3 => Administration::PutUser(UserSpec { name: user, password: None, tags: Some([pattern].into()) }),
            4 => Administration::DeleteUser { name: user },
            5 => Administration::SetTopicPermissions {
                vhost,
                user,
                exchange: "a".into(),
                permissions: TopicPermissions { write: pattern, read: "{username}".into() },
            },
            6 => Administration::ClearTopicPermissions { vhost, user, exchange: None },
            _ => Administration::SetPermissions { vhost, user, permissions: Permissions { configure: pattern, ..Permissions::default() } },
        }
    }

    fn random_change(rng: &mut Rng, catalog: &Catalog) -> Change {
        let vhost = random_vhost(rng, catalog);
        let names = ["a", "b", "c", "d"];
        let name = names[rng.below(4) as usize];
        let other = ["a", "b", "=>a", "=>b", "=>c"][rng.below(5) as usize];
        let kind = KINDS[rng.below(KINDS.len() as u64) as usize];
        // Keys are not checked here: one that is a weight, too, is in order for all types.
        let spec = binding(name, ["1", "02", "10000"][rng.below(3) as usize], other);
        match rng.below(12) {
            0..=1 => {
                let spec = ExchangeSpec { auto_delete: rng.below(2) == 0, ..exchange(name, kind) };
                Change::topology(&vhost, Topology::DeclareExchange(spec))
            }
            2 => Change::topology(&vhost, delete_exchange(name)),
            3..=4 => declared(&vhost, queue(name)),
            5 => Change::topology(&vhost, Topology::DeleteQueue { name: name.into(), if_unused: false, if_empty: false }),
            6..=8 => Change::topology(&vhost, Topology::Bind(spec)),
            9 => Change::topology(&vhost, Topology::Unbind(spec)),
            _ => Change::Administration(random_administration(rng)),
        }
    }

    #[test]
    fn shards_that_apply_the_same_changes_agree() {
        let mut rng = Rng::seeded(7);
        let (mut one, mut other) = (Catalog::new(), Catalog::new());
        for _ in 0..5000 {
            let change = random_change(&mut rng, &one);
            assert_eq!(one.apply(&change), other.apply(&change));
        }
        assert_eq!((one.version(), one.snapshot()), (other.version(), other.snapshot()));
        assert!(one.vhosts().map(|vhost| vhost.id).eq(other.vhosts().map(|vhost| vhost.id)));
        assert!(one.users().map(|user| user.id).eq(other.users().map(|user| user.id)));
        assert!(one.bindings().eq(other.bindings()));
        assert!(one.queues().map(|queue| queue.addr).eq(other.queues().map(|queue| queue.addr)));
        assert!(one.exchanges().map(|exchange| exchange.id).eq(other.exchanges().map(|exchange| exchange.id)));
        for exchange in one.exchanges() {
            let is_its = |binding: &BindingView<'_>| (binding.vhost, binding.source) == (exchange.vhost, &*exchange.spec.name);
            assert_eq!(exchange.outgoing.len(), one.bindings().filter(is_its).count());
        }
    }
}

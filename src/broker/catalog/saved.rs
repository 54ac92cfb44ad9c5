//! The catalog in its durable form: the parts that survive a restart, as records of a log.
//!
//! A record is a field table, so that it can be extended: `op` names the operation, the other
//! entries its object. Everything is named, or has a number that is never given twice, because ids
//! change with each restart. The fields stand in [`saved_topology`] and [`saved_administration`].
//!
//! The records of a log come on top of what a new broker has. A log that was written anew begins
//! with `all`: then its records are the whole catalog.

use super::vhosts::is_predeclared;
use super::{Catalog, Change, ExchangeInfo, QueueInfo, Seat, saved_administration, saved_topology};
use crate::base::ids::ExchangeId;
use crate::contract::{BindingSpec, Destination, Topology};
use crate::message::{TableBuilder, TableRef, Value};

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Saved {
    /// A change.
    Change(Change),
    /// All queues that were declared so far have lower numbers.
    NextNumber(u64),
    /// Lower numbers may have been given to queues that do not survive a restart.
    ReservedBelow(u64),
    /// The records after this one are complete: what a new broker has does not exist unless they
    /// say so.
    All,
}

impl Change {
    /// Writes the change as a record.
    pub fn encode(&self) -> Vec<u8> {
        let table = match self {
            Change::Topology { vhost, topology, seat, owner } => saved_topology::encode(vhost, topology, *seat, *owner),
            Change::Administration(administration) => saved_administration::encode(administration),
        };
        table.build().wire().to_vec()
    }

    /// Reads a record; none if this version does not know it.
    pub fn decode(record: &[u8]) -> Option<Change> {
        let table = TableRef::parse_record(record).ok()?;
        let op = saved_topology::text(table, "op")?;
        let administration = saved_administration::decode(&op, table).map(Change::Administration);
        administration.or_else(|| saved_topology::decode(&op, table))
    }
}

impl Catalog {
    /// Makes the record of a change that is about to be applied. Returns `None` if the change
    /// concerns nothing that survives a restart.
    pub fn save(&self, change: &Change) -> Option<Vec<u8>> {
        let survives = match change {
            Change::Topology { vhost, topology, .. } => self.survives(vhost, topology),
            Change::Administration(_) => true,
        };
        survives.then(|| change.encode())
    }

    fn survives(&self, vhost: &str, topology: &Topology) -> bool {
        let Some(vhost) = self.vhost_by_name(vhost) else { return false };
        let is_durable = |name: &str| self.exchange_by_name(vhost, name.as_bytes()).is_some_and(|exchange| exchange.spec.durable);
        let is_durable_queue = |name: &str| self.queue_by_name(vhost, name).is_some_and(|queue| queue.spec.durable);
        match topology {
            Topology::DeclareExchange(spec) => spec.durable,
            Topology::DeleteExchange { name, .. } => is_durable(name),
            Topology::DeclareQueue(spec) => spec.durable,
            Topology::DeleteQueue { name, .. } => is_durable_queue(name),
            Topology::Bind(spec) | Topology::Unbind(spec) => {
                let source = self.exchange_by_name(vhost, spec.source.as_bytes()).filter(|source| source.spec.durable);
                let lasts = match spec.kind {
                    Destination::Exchange => is_durable(&spec.destination),
                    Destination::Queue => is_durable_queue(&spec.destination),
                };
                source.is_some_and(|source| lasts || source.spec.auto_delete)
            }
        }
    }

    /// Makes the records of the durable exchanges that the last changes have deleted.
    pub fn save_fallen(&mut self) -> Vec<Vec<u8>> {
        let fallen = std::mem::take(&mut self.fallen);
        let end = |(vhost, name)| Change::topology(self.vhost_name(vhost), Topology::DeleteExchange { name, if_unused: false });
        fallen.into_iter().map(|exchange| end(exchange).encode()).collect()
    }

    /// The part of the catalog that survives a restart, as records that make it anew.
    pub fn snapshot(&self) -> Vec<Vec<u8>> {
        let exchanges = self.exchanges().filter(|exchange| exchange.spec.durable && !is_predeclared(&exchange.spec.name));
        let exchanges = exchanges.map(|exchange| self.declaration(exchange));
        let queues = self.queues().filter(|queue| queue.spec.durable && queue.delays.is_none()).map(|queue| self.declaration_of(queue));
        let bindings = self.bindings().map(|binding| {
            let (source, destination) = (binding.source.into(), binding.destination.into());
            let (key, arguments) = (binding.key.into(), binding.arguments.clone());
            let spec = BindingSpec { source, kind: binding.kind, destination, key, arguments };
            Change::topology(self.vhost_name(binding.vhost), Topology::Bind(spec))
        });
        let changes = self.administration().chain(exchanges).chain(queues).chain(bindings);
        std::iter::once(Saved::All.encode()).chain(changes.filter_map(|change| self.save(&change))).collect()
    }

    fn declaration(&self, exchange: &ExchangeInfo) -> Change {
        let vhost = self.vhost_name(exchange.vhost).into();
        let seat = exchange.delay_queue.and_then(|addr| self.queue(addr.queue)).map(QueueInfo::seat);
        Change::Topology { vhost, topology: Topology::DeclareExchange(exchange.spec.clone()), seat, owner: None }
    }

    fn declaration_of(&self, queue: &QueueInfo) -> Change {
        let vhost = self.vhost_name(queue.vhost).into();
        Change::Topology { vhost, topology: Topology::DeclareQueue(queue.spec.clone()), seat: Some(queue.seat()), owner: queue.owner }
    }

    /// Makes the catalog that results from these records. An auto-delete exchange is deleted if
    /// nothing that was bound to it survived.
    pub fn restored(records: &[Saved]) -> Catalog {
        let mut catalog = Catalog::made_by(&[]);
        let mut sources = Vec::new();
        for change in records.iter().filter_map(Saved::change) {
            catalog.apply(change);
            sources.extend(catalog.source_of(change));
        }
        sources.retain(|&id| catalog.exchange(id).is_some_and(|source| source.spec.auto_delete && source.outgoing.is_empty()));
        catalog.remove_exchanges(sources);
        catalog.fallen.clear();
        catalog
    }

    /// The source of a binding that was just made, or could not be.
    fn source_of(&self, change: &Change) -> Option<ExchangeId> {
        let Change::Topology { vhost, topology: Topology::Bind(spec), .. } = change else { return None };
        Some(self.exchange_by_name(self.vhost_by_name(vhost)?, spec.source.as_bytes())?.id)
    }
}

impl QueueInfo {
    /// Its number, and the shard where it lives.
    pub fn seat(&self) -> Seat {
        Seat { home: self.addr.home, number: self.number }
    }
}

impl Saved {
    /// Reads a log. Returns `None` if it has a record that this version does not know. The changes
    /// of a new broker come first, unless the log begins with `all`.
    pub fn read<'a>(records: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Saved>> {
        Saved::read_each(records, &Change::of_a_new_broker(), |saved| saved.map(Some))
    }

    /// Reads the rest of a log that has lost records; records that make no sense without the lost
    /// ones are left out. If the beginning is lost, it is unknown whether the default user still
    /// existed, so it is left out, and only the default virtual host is made.
    pub fn read_rest<'a>(records: impl Iterator<Item = &'a [u8]>, is_headless: bool) -> Vec<Saved> {
        let founding = Change::of_a_new_broker();
        let founding = if is_headless { &founding[..1] } else { &founding };
        Saved::read_each(records, founding, Some).expect("no record is refused")
    }

    /// Reads records; `judge` may leave one out, or refuse the whole log.
    fn read_each<'a>(
        records: impl Iterator<Item = &'a [u8]>,
        founding: &[Change],
        judge: impl Fn(Option<Saved>) -> Option<Option<Saved>>,
    ) -> Option<Vec<Saved>> {
        let mut records = records.peekable();
        let is_all = |record: &&[u8]| Saved::decode(record) == Some(Saved::All);
        let founding = if records.next_if(is_all).is_some() { &[] } else { founding };
        let mut all: Vec<Saved> = founding.iter().cloned().map(Saved::Change).collect();
        for record in records {
            all.extend(judge(Saved::decode(record))?);
        }
        Some(all)
    }

    /// The change, if it is one.
    pub fn change(&self) -> Option<&Change> {
        match self {
            Saved::Change(change) => Some(change),
            Saved::NextNumber(_) | Saved::ReservedBelow(_) | Saved::All => None,
        }
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let begin = |op: &str| TableBuilder::new().text("op", op);
        match self {
            Saved::Change(change) => change.encode(),
            Saved::NextNumber(number) => begin("next-number").long("number", *number as i64).build().wire().to_vec(),
            Saved::ReservedBelow(number) => {
                begin("next-number").long("number", *number as i64).bool("reserved", true).build().wire().to_vec()
            }
            Saved::All => begin("all").build().wire().to_vec(),
        }
    }

    fn decode(record: &[u8]) -> Option<Saved> {
        let table = TableRef::parse_record(record).ok()?;
        match &*saved_topology::text(table, "op")? {
            "next-number" => {
                let number = table.find("number")?.as_int()? as u64;
                let is_reserved = table.find("reserved").and_then(Value::as_bool).unwrap_or(false);
                Some(if is_reserved { Saved::ReservedBelow(number) } else { Saved::NextNumber(number) })
            }
            "all" => Some(Saved::All),
            "queue" => Change::decode(record).filter(|queue| queue.new_seat().is_some()).map(Saved::Change),
            _ => Change::decode(record).map(Saved::Change),
        }
    }
}

/// The numbers of queues, as a catalog's records have them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// All declared queues have lower numbers. A log has no message of a queue from here on.
    pub declared_below: u64,
    /// The first number that no queue has ever had, not even one that did not survive a restart.
    pub next: u64,
}

impl Numbers {
    /// Reads records. Numbers begin at 1.
    pub fn of(records: &[Saved]) -> Numbers {
        let declared = |record: &Saved| match record {
            Saved::Change(change) => change.new_seat().map(|seat| seat.number + 1),
            Saved::NextNumber(number) => Some(*number),
            Saved::ReservedBelow(_) | Saved::All => None,
        };
        let reserved = |record: &Saved| if let Saved::ReservedBelow(number) = record { Some(*number) } else { None };
        let declared_below = records.iter().filter_map(declared).max().unwrap_or(1);
        Numbers { declared_below, next: records.iter().filter_map(reserved).fold(declared_below, u64::max) }
    }

    /// Takes it into account that queues with lower numbers were found.
    #[must_use]
    pub fn above(self, number: u64) -> Numbers {
        Numbers { declared_below: self.declared_below.max(number), next: self.next.max(number) }
    }

    /// Returns the records that say so in a log that is written anew.
    pub fn records(self) -> [Saved; 2] {
        [Saved::NextNumber(self.declared_below), Saved::ReservedBelow(self.next)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ShardId;
    use crate::broker::fixture::{VHOST, binding, exchange, queue};
    use crate::contract::{ExchangeSpec, QueueSpec};

    fn filled() -> Catalog {
        let mut catalog = Catalog::new();
        let arguments = TableBuilder::new().text("alternate-exchange", "alt").build();
        let exchange = |name, kind, durable| {
            let spec = ExchangeSpec { durable, arguments: arguments.clone(), ..exchange(name, kind) };
            Change::topology("/", Topology::DeclareExchange(spec))
        };
        let queue = |name, durable, number| {
            let (topology, seat) = (Topology::DeclareQueue(QueueSpec { durable, ..queue(name) }), Seat { home: ShardId(1), number });
            Change::Topology { vhost: "/".into(), topology, seat: Some(seat), owner: None }
        };
        let bind = |source, key, destination| Change::topology("/", Topology::Bind(binding(source, key, destination)));
        for change in [
            exchange("e", "topic", true),
            exchange("passing", "fanout", false),
            queue("q", true, 7),
            queue("fleeting", false, 8),
            bind("e", "a.#", "q"),
            bind("e", "b", "fleeting"),
            bind("passing", "", "q"),
            bind("amq.direct", "k", "=>e"),
        ] {
            catalog.apply(&change);
        }
        catalog
    }

    fn restored(records: &[Vec<u8>]) -> Catalog {
        Catalog::restored(&Saved::read(records.iter().map(Vec::as_slice)).expect("known"))
    }

    #[test]
    fn what_is_durable_comes_back() {
        let catalog = filled();
        let records = catalog.snapshot();
        let again = restored(&records);
        assert!(again.queues().map(|queue| (&*queue.spec.name, queue.number, queue.addr.home)).eq([("q", 7, ShardId(1))]));
        let exchange = again.exchange_by_name(VHOST, b"e").expect("durable");
        assert_eq!(exchange.spec, catalog.exchange_by_name(VHOST, b"e").expect("there").spec);
        assert!(again.exchange_by_name(VHOST, b"passing").is_none());
        let mut bindings: Vec<_> = again.bindings().map(|binding| (binding.source, binding.destination)).collect();
        bindings.sort_unstable();
        assert_eq!(bindings, [("amq.direct", "e"), ("e", "q")]);
        assert_eq!(again.snapshot(), records);
    }

    #[test]
    fn what_went_stays_gone() {
        let mut catalog = filled();
        let mut records = catalog.snapshot();
        let queue = catalog.queue_by_name(VHOST, "q").expect("there").addr.queue;
        let delete = |name: &str| Change::topology("/", Topology::DeleteExchange { name: name.into(), if_unused: false });
        for change in [catalog.end_of(queue).expect("there"), delete("e")] {
            records.extend(catalog.save(&change));
            catalog.apply(&change);
        }
        let again = restored(&records);
        assert_eq!((again.queues().count(), again.exchanges().count(), again.bindings().count()), (0, 7, 0));
        assert!(catalog.save(&delete("passing")).is_none());
    }

    #[test]
    fn what_is_left_of_a_log_lets_nobody_in() {
        let records = filled().snapshot();
        let users = |records: &[Saved]| Catalog::restored(records).users().count();
        let all = Saved::read(records.iter().map(Vec::as_slice)).expect("known");
        for lost in 0..records.len() {
            let rest = records.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, record)| &**record);
            let rest = Saved::read_rest(rest, lost == 0);
            assert!(users(&rest) <= users(&all), "record {lost}");
            let again = Catalog::restored(&rest).snapshot();
            assert!(Saved::read(again.iter().map(Vec::as_slice)).is_some());
        }
        assert_eq!(users(&Saved::read_rest(std::iter::empty(), true)), 0);
    }

    #[test]
    fn numbers_are_remembered_and_what_is_unknown_is_refused() {
        let saved = Numbers { declared_below: 1 << 40, next: 1 << 41 }.records();
        saved.iter().for_each(|saved| assert_eq!(Saved::decode(&saved.encode()).as_ref(), Some(saved)));
        assert_eq!(Numbers::of(&saved), Numbers { declared_below: 1 << 40, next: 1 << 41 });
        assert_eq!(Numbers::of(&saved[1..]), Numbers { declared_below: 1, next: 1 << 41 });
        let founding = Saved::read(std::iter::empty()).expect("a new broker");
        assert_eq!(Numbers::of(&founding), Numbers { declared_below: 1, next: 1 }, "no queue has the number 0");
        let unknown = TableBuilder::new().text("op", "sing").text("vhost", "/").build();
        assert_eq!(Saved::decode(unknown.wire()), None);
        assert_eq!(Saved::decode(b"\x01"), None);
    }
}

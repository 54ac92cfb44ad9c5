//! The catalog in its durable form: the parts that survive a restart, as records of a log.
//!
//! A record is a field table, so that it can be extended: `op` names the operation, the other
//! entries its object. Queues and virtual hosts are named, because their ids change with each
//! restart; `number` is the name of a queue in the log of messages, never given twice.
//!
//! A log begins with nothing, and its records come on top of what a new broker has. A log that was
//! written anew begins with `all`.

use super::vhosts::is_predeclared;
use super::{Catalog, Change, ExchangeInfo, QueueInfo, Room, saved_commands};
use crate::base::ids::ShardId;
use crate::contract::{BindingSpec, Destination, ExchangeSpec, QueueSpec, VhostId};
use crate::message::{Table, TableBuilder, TableRef, Value};

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Saved {
    /// A change, except the end of a queue.
    Change(Change),
    /// The end of a queue.
    DeleteQueue(VhostId, Box<str>),
    /// No queue of a lower number will be declared.
    NextNumber(u64),
    /// The records behind it are complete: nothing of a new broker is there without them.
    All,
}

impl Catalog {
    /// The record of a change that is about to be applied; none if it concerns nothing that
    /// survives a restart.
    pub fn save(&self, change: &Change) -> Option<Vec<u8>> {
        let is_durable = |vhost, name: &str| self.exchange_by_name(vhost, name.as_bytes()).is_some_and(|exchange| exchange.spec.durable);
        let survives = match change {
            Change::DeclareExchange { spec, .. } => spec.durable,
            Change::DeleteExchange { vhost, name } => is_durable(*vhost, name),
            Change::DeclareQueue { spec, .. } => spec.durable,
            Change::DeleteQueue { queue } => {
                let queue = self.queue(*queue).filter(|queue| queue.spec.durable)?;
                return Some(Saved::DeleteQueue(queue.vhost, queue.spec.name.clone()).encode(self));
            }
            Change::Bind { vhost, spec } | Change::Unbind { vhost, spec } => {
                let source = self.exchange_by_name(*vhost, spec.source.as_bytes()).filter(|source| source.spec.durable)?;
                let lasts = match spec.kind {
                    Destination::Exchange => is_durable(*vhost, &spec.destination),
                    Destination::Queue => self.queue_by_name(*vhost, &spec.destination).is_some_and(|queue| queue.spec.durable),
                };
                lasts || source.spec.auto_delete
            }
            Change::Command(..) => true,
        };
        survives.then(|| Saved::Change(change.clone()).encode(self))
    }

    /// Records of the durable exchanges that went with the last changes.
    pub fn save_fallen(&mut self) -> Vec<Vec<u8>> {
        let fallen = std::mem::take(&mut self.fallen);
        let record = |(vhost, name)| Saved::Change(Change::DeleteExchange { vhost, name }).encode(self);
        fallen.into_iter().map(record).collect()
    }

    /// The whole catalog that survives a restart, as records that make it anew.
    pub fn snapshot(&self) -> Vec<Vec<u8>> {
        let exchanges = self.exchanges().filter(|exchange| exchange.spec.durable && !is_predeclared(&exchange.spec.name));
        let exchanges = exchanges.map(|exchange| self.declaration(exchange));
        let queues = self.queues().filter(|queue| queue.spec.durable && queue.delays.is_none()).map(QueueInfo::declaration);
        let bindings = self.bindings().map(|binding| {
            let (source, destination) = (binding.source.into(), binding.destination.into());
            let (key, arguments) = (binding.key.into(), binding.arguments.clone());
            Change::Bind { vhost: binding.vhost, spec: BindingSpec { source, kind: binding.kind, destination, key, arguments } }
        });
        let changes = self.administration().chain(exchanges).chain(queues).chain(bindings);
        std::iter::once(Saved::All.encode(self)).chain(changes.filter_map(|change| self.save(&change))).collect()
    }

    fn declaration(&self, exchange: &ExchangeInfo) -> Change {
        let room = exchange.room.and_then(|room| self.queue(room.queue)).map(|queue| Room { home: queue.addr.home, number: queue.number });
        Change::DeclareExchange { vhost: exchange.vhost, spec: exchange.spec.clone(), room }
    }

    /// The catalog that these records make. An auto-delete exchange goes if everything that was
    /// bound to it did not survive.
    pub fn restored(records: &[Saved]) -> Catalog {
        let mut catalog = Catalog::made_by(&[]);
        records.iter().for_each(|record| catalog.restore(record));
        for record in records {
            if let Saved::Change(Change::Bind { vhost, spec }) = record
                && catalog.find_vhost(*vhost).is_some()
            {
                let source = catalog.exchange_by_name(*vhost, spec.source.as_bytes());
                if source.is_some_and(|source| source.spec.auto_delete && source.outgoing.is_empty()) {
                    catalog.apply(&Change::DeleteExchange { vhost: *vhost, name: spec.source.clone() });
                }
            }
        }
        catalog.fallen.clear();
        catalog
    }

    fn restore(&mut self, record: &Saved) {
        match record {
            Saved::Change(change) => _ = self.apply(change),
            Saved::DeleteQueue(vhost, name) => {
                if let Some(queue) = self.queue_by_name(*vhost, name).map(|queue| queue.addr.queue) {
                    self.apply(&Change::DeleteQueue { queue });
                }
            }
            Saved::NextNumber(_) | Saved::All => {}
        }
    }
}

impl QueueInfo {
    fn declaration(&self) -> Change {
        Change::DeclareQueue { vhost: self.vhost, spec: self.spec.clone(), home: self.addr.home, owner: self.owner, number: self.number }
    }
}

impl Saved {
    /// Reads a log; none if there is a record that this version does not know. The changes of a new
    /// broker come first, unless the log says otherwise.
    pub fn read<'a>(records: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Saved>> {
        Saved::read_each(records, &Change::of_a_new_broker(), |saved| saved.map(Some))
    }

    /// Reads the rest of a log that has lost records: records that make no sense without the lost
    /// ones are left out. If the beginning is lost, nobody knows what a new broker had, and nobody
    /// is let in for that: there is only the virtual host.
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
        let is_all = |record: &&[u8]| Saved::decode(record, &Catalog::made_by(&[])) == Some(Saved::All);
        let founding = if records.next_if(is_all).is_some() { &[] } else { founding };
        let mut names = Catalog::made_by(founding); // virtual hosts come and go in the log
        let mut all: Vec<Saved> = founding.iter().cloned().map(Saved::Change).collect();
        for record in records {
            let Some(saved) = judge(Saved::decode(record, &names))? else { continue };
            if let Saved::Change(Change::Command(..)) = saved {
                names.restore(&saved);
            }
            all.push(saved);
        }
        Some(all)
    }

    /// The record.
    pub fn encode(&self, catalog: &Catalog) -> Vec<u8> {
        let begin = |op: &str, vhost: VhostId| TableBuilder::new().text("op", op).text("vhost", catalog.vhost_name(vhost));
        let table = match self {
            Saved::Change(Change::DeclareExchange { vhost, spec, room }) => {
                let table = begin("exchange", *vhost)
                    .text("name", &spec.name)
                    .text("type", &spec.kind)
                    .bool("auto-delete", spec.auto_delete)
                    .bool("internal", spec.internal)
                    .table("arguments", &spec.arguments);
                room.iter().fold(table, |table, room| place(table, room.home, room.number))
            }
            Saved::Change(Change::DeleteExchange { vhost, name }) => begin("delete-exchange", *vhost).text("name", name),
            Saved::Change(Change::DeclareQueue { vhost, spec, home, number, .. }) => {
                let table = begin("queue", *vhost)
                    .text("name", &spec.name)
                    .bool("auto-delete", spec.auto_delete)
                    .table("arguments", &spec.arguments);
                place(table, *home, *number)
            }
            Saved::Change(Change::Bind { vhost, spec }) => binding(begin("bind", *vhost), spec),
            Saved::Change(Change::Unbind { vhost, spec }) => binding(begin("unbind", *vhost), spec),
            Saved::DeleteQueue(vhost, name) => begin("delete-queue", *vhost).text("name", name),
            Saved::NextNumber(number) => TableBuilder::new().text("op", "next-number").long("number", *number as i64),
            Saved::Change(Change::Command(command, _)) => saved_commands::encode(command),
            Saved::All => TableBuilder::new().text("op", "all"),
            Saved::Change(Change::DeleteQueue { .. }) => unreachable!("queues are named by their names here"),
        };
        table.build().wire().to_vec()
    }

    fn decode(record: &[u8], catalog: &Catalog) -> Option<Saved> {
        let table = TableRef::parse(record).ok()?;
        let number = || table.find("number")?.as_int().map(|number| number as u64);
        let home = || u16::try_from(table.find("home")?.as_int()?).ok().map(ShardId);
        let op = text(table, "op")?;
        if let Some(command) = saved_commands::decode(&op, table) {
            return Some(Saved::Change(Change::command(command)));
        }
        match &*op {
            "next-number" => return number().map(Saved::NextNumber),
            "all" => return Some(Saved::All),
            _ => {}
        }
        let vhost = catalog.vhost_by_name(&text(table, "vhost")?)?;
        let name = || text(table, "name");
        let flag = |key| table.find(key).and_then(Value::as_bool).unwrap_or(false);
        Some(Saved::Change(match &*op {
            "exchange" => {
                let (name, kind, arguments) = (name()?, text(table, "type")?, arguments(table)?);
                let (auto_delete, internal) = (flag("auto-delete"), flag("internal"));
                let room = home().zip(number()).map(|(home, number)| Room { home, number });
                Change::DeclareExchange { vhost, spec: ExchangeSpec { name, kind, durable: true, auto_delete, internal, arguments }, room }
            }
            "delete-exchange" => Change::DeleteExchange { vhost, name: name()? },
            "queue" => {
                let (name, auto_delete, arguments) = (name()?, flag("auto-delete"), arguments(table)?);
                let spec = QueueSpec { name, durable: true, exclusive: false, auto_delete, arguments };
                Change::DeclareQueue { vhost, spec, home: home()?, owner: None, number: number()? }
            }
            "bind" => Change::Bind { vhost, spec: read_binding(table)? },
            "unbind" => Change::Unbind { vhost, spec: read_binding(table)? },
            "delete-queue" => return Some(Saved::DeleteQueue(vhost, name()?)),
            _ => return None,
        }))
    }

    /// The first number that is free after this record. Numbers begin at 1: the log takes 0 for a
    /// queue without a number.
    pub fn next_number(&self) -> u64 {
        match self {
            Saved::Change(Change::DeclareQueue { number, .. } | Change::DeclareExchange { room: Some(Room { number, .. }), .. }) => {
                number + 1
            }
            Saved::NextNumber(number) => *number,
            _ => 1,
        }
    }
}

/// The home and number of a queue.
fn place(table: TableBuilder, home: ShardId, number: u64) -> TableBuilder {
    table.int("home", home.0.into()).long("number", number as i64)
}

fn binding(table: TableBuilder, spec: &BindingSpec) -> TableBuilder {
    table
        .text("source", &spec.source)
        .bool("to-exchange", spec.kind == Destination::Exchange)
        .text("destination", &spec.destination)
        .value("key", Value::LongString(&spec.key))
        .table("arguments", &spec.arguments)
}

fn read_binding(table: TableRef<'_>) -> Option<BindingSpec> {
    let is_exchange = table.find("to-exchange")?.as_bool()?;
    Some(BindingSpec {
        source: text(table, "source")?,
        kind: if is_exchange { Destination::Exchange } else { Destination::Queue },
        destination: text(table, "destination")?,
        key: table.find("key")?.as_text()?.into(),
        arguments: arguments(table)?,
    })
}

pub(super) fn text(table: TableRef<'_>, key: &str) -> Option<Box<str>> {
    std::str::from_utf8(table.find(key)?.as_text()?).ok().map(Box::from)
}

fn arguments(table: TableRef<'_>) -> Option<Table> {
    table.find("arguments")?.as_table().map(TableRef::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::{VHOST, binding, exchange, queue};

    fn filled() -> Catalog {
        let mut catalog = Catalog::new();
        let arguments = TableBuilder::new().text("alternate-exchange", "alt").build();
        let exchange = |name, kind, durable| Change::DeclareExchange {
            vhost: VHOST,
            spec: ExchangeSpec { durable, arguments: arguments.clone(), ..exchange(name, kind) },
            room: None,
        };
        let queue = |name, durable, number| Change::DeclareQueue {
            vhost: VHOST,
            spec: QueueSpec { durable, ..queue(name) },
            home: ShardId(1),
            owner: None,
            number,
        };
        let bind = |source, key, destination| Change::Bind { vhost: VHOST, spec: binding(source, key, destination) };
        for change in [
            exchange("e", "topic", true),
            exchange("passing", "fanout", false),
            queue("q", true, 7),
            queue("fleeting", false, 0),
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
        for change in [Change::DeleteQueue { queue }, Change::DeleteExchange { vhost: VHOST, name: "e".into() }] {
            records.extend(catalog.save(&change));
            catalog.apply(&change);
        }
        let again = restored(&records);
        assert_eq!((again.queues().count(), again.exchanges().count(), again.bindings().count()), (0, 7, 0));
        assert!(catalog.save(&Change::DeleteExchange { vhost: VHOST, name: "passing".into() }).is_none());
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
        let catalog = Catalog::new();
        let saved = Saved::NextNumber(1 << 40);
        assert_eq!(Saved::decode(&saved.encode(&catalog), &catalog), Some(saved.clone()));
        assert_eq!(saved.next_number(), 1 << 40);
        let founding = Saved::read(std::iter::empty()).expect("a new broker");
        assert_eq!(founding.iter().map(Saved::next_number).max(), Some(1), "no queue has the number 0");
        let unknown = TableBuilder::new().text("op", "sing").text("vhost", "/").build();
        assert_eq!(Saved::decode(unknown.wire(), &catalog), None);
        assert_eq!(Saved::decode(b"\x01", &catalog), None);
    }
}

//! Changes of the topology as records of the catalog's log.
//!
//! Most records are of durable things, so that is what a record without `durable` means.

use super::{Change, Seat};
use crate::base::ids::{ConnAddr, ConnId, Key, ShardId};
use crate::contract::{BindingSpec, Destination, ExchangeSpec, Owner, QueueSpec, Topology};
use crate::message::{Table, TableBuilder, TableRef, Value};

/// The record of a change.
pub(super) fn encode(vhost: &str, topology: &Topology, seat: Option<Seat>, owner: Owner) -> TableBuilder {
    let begin = |op: &str| TableBuilder::new().text("op", op).text("vhost", vhost);
    let table = match topology {
        Topology::DeclareExchange(spec) => flags(begin("exchange").text("name", &spec.name), &[("transient", !spec.durable)])
            .text("type", &spec.kind)
            .bool("auto-delete", spec.auto_delete)
            .bool("internal", spec.internal)
            .table("arguments", &spec.arguments),
        Topology::DeleteExchange { name, if_unused } => flags(begin("delete-exchange").text("name", name), &[("if-unused", *if_unused)]),
        Topology::DeclareQueue(spec) => {
            let table = begin("queue").text("name", &spec.name).bool("auto-delete", spec.auto_delete);
            flags(table, &[("transient", !spec.durable), ("exclusive", spec.exclusive)]).table("arguments", &spec.arguments)
        }
        Topology::DeleteQueue { name, if_unused, if_empty } => {
            flags(begin("delete-queue").text("name", name), &[("if-unused", *if_unused), ("if-empty", *if_empty)])
        }
        Topology::Bind(spec) => binding(begin("bind"), spec),
        Topology::Unbind(spec) => binding(begin("unbind"), spec),
    };
    let table = seat.iter().fold(table, |table, seat| table.int("home", seat.home.0.into()).long("number", seat.number as i64));
    owner.iter().fold(table, |table, owner| {
        let Key { slot, generation } = owner.conn.into();
        let table = table.int("owner-shard", owner.shard.0.into());
        table.long("owner", (u64::from(generation) << 32 | u64::from(slot)) as i64)
    })
}

/// Reads a record; none if it is of another kind.
pub(super) fn decode(op: &str, table: TableRef<'_>) -> Option<Change> {
    let name = || text(table, "name");
    let flag = |key| flag(table, key);
    let topology = match op {
        "exchange" => Topology::DeclareExchange(ExchangeSpec {
            name: name()?,
            kind: text(table, "type")?,
            durable: !flag("transient"),
            auto_delete: flag("auto-delete"),
            internal: flag("internal"),
            arguments: arguments(table)?,
        }),
        "delete-exchange" => Topology::DeleteExchange { name: name()?, if_unused: flag("if-unused") },
        "queue" => Topology::DeclareQueue(QueueSpec {
            name: name()?,
            durable: !flag("transient"),
            exclusive: flag("exclusive"),
            auto_delete: flag("auto-delete"),
            arguments: arguments(table)?,
        }),
        "delete-queue" => Topology::DeleteQueue { name: name()?, if_unused: flag("if-unused"), if_empty: flag("if-empty") },
        "bind" => Topology::Bind(read_binding(table)?),
        "unbind" => Topology::Unbind(read_binding(table)?),
        _ => return None,
    };
    Some(Change::Topology { vhost: text(table, "vhost")?, topology, seat: seat(table), owner: owner(table) })
}

fn flags(table: TableBuilder, flags: &[(&str, bool)]) -> TableBuilder {
    flags.iter().filter(|(_, is_set)| *is_set).fold(table, |table, (key, _)| table.bool(key, true))
}

fn flag(table: TableRef<'_>, key: &str) -> bool {
    table.find(key).and_then(Value::as_bool).unwrap_or(false)
}

fn seat(table: TableRef<'_>) -> Option<Seat> {
    let home = u16::try_from(table.find("home")?.as_int()?).ok().map(ShardId)?;
    Some(Seat { home, number: table.find("number")?.as_int()? as u64 })
}

fn owner(table: TableRef<'_>) -> Owner {
    let shard = u16::try_from(table.find("owner-shard")?.as_int()?).ok().map(ShardId)?;
    let key = table.find("owner")?.as_int()? as u64;
    Some(ConnAddr { shard, conn: ConnId(Key { slot: key as u32, generation: (key >> 32) as u32 }) })
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

/// Reads a text of a record.
pub(super) fn text(table: TableRef<'_>, key: &str) -> Option<Box<str>> {
    std::str::from_utf8(table.find(key)?.as_text()?).ok().map(Box::from)
}

fn arguments(table: TableRef<'_>) -> Option<Table> {
    table.find("arguments")?.as_table().map(TableRef::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::TABLE_DEPTH_MAX;
    use crate::broker::fixture::{binding, conn, exchange, queue};
    use crate::message::TableBuilder;

    #[test]
    fn every_change_is_read_as_it_was_written() {
        let arguments = TableBuilder::new().int("x-max-length", 5).build();
        let (name, seat) = (Box::<str>::from("q"), Some(Seat { home: ShardId(3), number: 1 << 40 }));
        let declared = QueueSpec { durable: true, auto_delete: true, arguments: arguments.clone(), ..queue("q") };
        let internal =
            ExchangeSpec { durable: true, internal: true, auto_delete: true, arguments: arguments.clone(), ..exchange("x", "topic") };
        let changes = [
            (Topology::DeclareQueue(declared), seat, None),
            (Topology::DeclareQueue(QueueSpec { exclusive: true, ..queue("own") }), seat, Some(conn(u32::MAX))),
            (Topology::DeclareQueue(queue("passing")), seat, None),
            (Topology::DeleteQueue { name: name.clone(), if_unused: false, if_empty: false }, seat, None),
            (Topology::DeleteQueue { name: name.clone(), if_unused: true, if_empty: true }, None, None),
            (Topology::DeclareExchange(internal), seat, None),
            (Topology::DeclareExchange(exchange("passing", "fanout")), None, None),
            (Topology::DeleteExchange { name: name.clone(), if_unused: false }, None, None),
            (Topology::DeleteExchange { name, if_unused: true }, None, None),
            (Topology::Bind(BindingSpec { arguments, ..binding("x", "a.#", "q") }), None, None),
            (Topology::Unbind(BindingSpec { key: (*b"\xff\0").into(), ..binding("x", "", "=>y") }), None, None),
        ];
        for (topology, seat, owner) in changes {
            let change = Change::Topology { vhost: "v".into(), topology, seat, owner };
            assert_eq!(Change::decode(&change.encode()), Some(change));
        }
    }

    #[test]
    fn arguments_may_nest_as_deep_as_a_client_s() {
        let nest = |table: Table| TableBuilder::new().table("t", &table).build();
        let arguments = (1..TABLE_DEPTH_MAX).fold(Table::empty(), |table, _| nest(table));
        assert!(TableRef::parse(arguments.wire()).is_ok() && TableRef::parse(nest(arguments.clone()).wire()).is_err());
        let bind = Topology::Bind(BindingSpec { arguments: arguments.clone(), ..binding("x", "", "q") });
        let seat = Some(Seat { home: ShardId(0), number: 1 });
        for topology in [Topology::DeclareQueue(QueueSpec { arguments, ..queue("q") }), bind] {
            let change = Change::Topology { vhost: "v".into(), topology, seat, owner: None };
            assert_eq!(Change::decode(&change.encode()), Some(change));
        }
    }

    #[test]
    fn records_of_the_versions_before_are_read() {
        let begin = |op: &str| TableBuilder::new().text("op", op).text("vhost", "/").text("name", "q");
        let of_queue = begin("queue").bool("auto-delete", false).table("arguments", &Table::empty()).int("home", 1).long("number", 7);
        let (seat, spec) = (Some(Seat { home: ShardId(1), number: 7 }), QueueSpec { durable: true, ..queue("q") });
        let declared = Change::Topology { vhost: "/".into(), topology: Topology::DeclareQueue(spec), seat, owner: None };
        assert_eq!(Change::decode(of_queue.build().wire()), Some(declared));
        let deletion = Topology::DeleteQueue { name: "q".into(), if_unused: false, if_empty: false };
        assert_eq!(Change::decode(begin("delete-queue").build().wire()), Some(Change::topology("/", deletion)));
    }
}

//! Wishes: what shard 0 is asked to change. A wish names everything, so that it can be written as
//! bytes for another process.

use crate::base::ids::ShardId;
use crate::broker::catalog::{Asker, Catalog, Change, Seat};
use crate::contract::{Command, Owner, Topology};
use crate::message::{TableBuilder, TableRef, Value};

/// A wanted change of the catalog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// A client's request, to be checked against the catalog in its turn.
    Request {
        /// The shard of the client, where a queue that it declares will live.
        home: ShardId,
        /// The client's connection.
        owner: Owner,
        /// The client's user.
        user: Option<Box<str>>,
        /// The virtual host.
        vhost: Box<str>,
        /// The operation.
        topology: Topology,
    },
    /// An operator's command, to be checked in its turn.
    Command(Command),
    /// A change that its asker has decided: a queue is gone from its shard.
    Decided(Change),
}

impl Wish {
    /// Makes the wish of a client.
    pub fn of_client(catalog: &Catalog, asker: Asker, vhost: &str, topology: Topology) -> Wish {
        let user = asker.user.map(|id| catalog.user(id).map_or_else(Box::default, |user| user.name.clone()));
        Wish::Request { home: asker.home, owner: asker.conn, user, vhost: vhost.into(), topology }
    }

    /// Writes the wish as a record.
    pub fn encode(&self) -> Vec<u8> {
        let table = match self {
            Wish::Request { home, owner, user, vhost, topology } => {
                let seat = Some(Seat { home: *home, number: 0 });
                let change = Change::Topology { vhost: vhost.clone(), topology: topology.clone(), seat, owner: *owner };
                user.iter().fold(record("request", &change), |table, user| table.text("user", user))
            }
            Wish::Command(Command::Topology { vhost, topology }) => record("command", &Change::topology(vhost, topology.clone())),
            Wish::Command(Command::Administration(administration)) => record("command", &Change::Administration(administration.clone())),
            Wish::Decided(change) => record("decided", change),
        };
        table.build().wire().to_vec()
    }

    /// Reads a record; none if this version does not know it.
    pub fn decode(record: &[u8]) -> Option<Wish> {
        let table = TableRef::parse(record).ok()?;
        let text = |key| table.find(key).and_then(Value::as_text).and_then(|text| std::str::from_utf8(text).ok());
        let change = Change::decode(table.find("change")?.as_text()?)?;
        match (text("wish")?, change) {
            ("request", Change::Topology { vhost, topology, seat, owner }) => {
                Some(Wish::Request { home: seat?.home, owner, user: text("user").map(Box::from), vhost, topology })
            }
            ("command", Change::Topology { vhost, topology, .. }) => Some(Wish::Command(Command::Topology { vhost, topology })),
            ("command", Change::Administration(administration)) => Some(Wish::Command(administration.into())),
            ("decided", change) => Some(Wish::Decided(change)),
            _ => None,
        }
    }
}

fn record(wish: &str, change: &Change) -> TableBuilder {
    TableBuilder::new().text("wish", wish).value("change", Value::LongString(&change.encode()))
}

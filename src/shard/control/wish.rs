//! Wishes: what shard 0 is asked to change. A wish names everything, so that it can be written as
//! bytes for another process: between nodes, orders will travel so. Within a process a wish is
//! passed as it is; debug builds write and read each.

use crate::base::ids::ShardId;
use crate::broker::catalog::Change;
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
        /// The client's user, whose permissions count.
        user: Box<str>,
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
    /// Writes the wish as a record.
    pub fn encode(&self) -> Vec<u8> {
        let table = match self {
            Wish::Request { home, owner, user, vhost, topology } => {
                let change = Change::Topology { vhost: vhost.clone(), topology: topology.clone(), seat: None, owner: *owner };
                record("request", &change).text("user", user).int("home", home.0.into())
            }
            Wish::Command(Command::Topology { vhost, topology }) => record("command", &Change::topology(vhost, topology.clone())),
            Wish::Command(Command::Administration(administration)) => record("command", &Change::Administration(administration.clone())),
            Wish::Decided(change) => record("decided", change),
        };
        table.build().wire().to_vec()
    }

    /// Reads a record; none if this version does not know it.
    pub fn decode(record: &[u8]) -> Option<Wish> {
        let table = TableRef::parse_record(record).ok()?;
        let text = |key| table.find(key).and_then(Value::as_text).and_then(|text| std::str::from_utf8(text).ok());
        let change = Change::decode(table.find("change")?.as_text()?)?;
        match (text("wish")?, change) {
            ("request", Change::Topology { vhost, topology, owner, .. }) => {
                let home = u16::try_from(table.find("home")?.as_int()?).ok().map(ShardId)?;
                Some(Wish::Request { home, owner, user: text("user")?.into(), vhost, topology })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ConnAddr, ConnId, Key};
    use crate::contract::Administration;

    #[test]
    fn every_wish_is_read_as_it_was_written() {
        let topology = || Topology::DeleteQueue { name: "q".into(), if_unused: true, if_empty: false };
        let owner = Some(ConnAddr { shard: ShardId(1), conn: ConnId(Key { slot: 7, generation: u32::MAX }) });
        for wish in [
            Wish::Request { home: ShardId(2), owner, user: "u".into(), vhost: "v".into(), topology: topology() },
            Wish::Command(Command::topology("v", topology())),
            Wish::Command(Administration::DeleteUser { name: "u".into() }.into()),
            Wish::Decided(Change::topology("v", topology())),
        ] {
            assert_eq!(Wish::decode(&wish.encode()), Some(wish));
        }
        let change = Change::topology("v", topology());
        assert_eq!(Wish::decode(record("request", &change).int("home", 0).build().wire()), None, "a client has a user");
        assert_eq!(Wish::decode(record("request", &change).text("user", "u").build().wire()), None, "a client has a home");
        assert_eq!(Wish::decode(record("sing", &change).build().wire()), None);
    }
}

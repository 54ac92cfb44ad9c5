//! A catalog to test with: operations are checked and their changes applied, as a broker of one shard would.

use super::access::User;
use super::catalog::{Applied, Asker, Catalog, Verdict};
use crate::base::ids::{ConnAddr, ConnId, Key, QueueAddr, ShardId};
use crate::contract::{BindingSpec, Destination, ExchangeSpec, Fault, QueueSpec, Topology, VhostId};
use crate::message::{Table, TableBuilder};

/// The virtual host of the tests.
pub const VHOST: VhostId = VhostId(0);

/// Makes the address of a connection on shard 0.
pub fn conn(slot: u32) -> ConnAddr {
    ConnAddr { shard: ShardId(0), conn: ConnId(Key { slot, generation: 0 }) }
}

/// Makes an asker without a user: all is allowed.
pub fn asker(slot: u32) -> Asker {
    Asker { home: ShardId(0), conn: Some(conn(slot)), user: None }
}

/// Makes the declaration of an exchange.
pub fn exchange(name: &str, kind: &str) -> ExchangeSpec {
    let (name, kind) = (name.into(), kind.into());
    ExchangeSpec { name, kind, durable: false, auto_delete: false, internal: false, arguments: Table::empty() }
}

/// Makes the declaration of a queue.
pub fn queue(name: &str) -> QueueSpec {
    QueueSpec { name: name.into(), durable: false, exclusive: false, auto_delete: false, arguments: Table::empty() }
}

/// Makes a binding to a queue, or with `=>` in front of its name to an exchange.
pub fn binding(source: &str, key: &str, destination: &str) -> BindingSpec {
    let (kind, destination) = match destination.strip_prefix("=>") {
        Some(exchange) => (Destination::Exchange, exchange),
        None => (Destination::Queue, destination),
    };
    let (source, destination, key) = (source.into(), destination.into(), key.as_bytes().into());
    BindingSpec { source, kind, destination, key, arguments: Table::empty() }
}

impl Catalog {
    /// Carries an operation out; `None` if nothing had to change.
    pub fn perform(&mut self, conn: ConnAddr, topology: &Topology) -> Result<Option<Applied>, Fault> {
        match self.check(VHOST, Asker { home: conn.shard, conn: Some(conn), user: None }, topology)? {
            Verdict::Change(change) => Ok(Some(self.apply(&change))),
            Verdict::Already | Verdict::Queue(_) => Ok(None),
        }
    }

    /// Declares an exchange.
    pub fn with_exchange(&mut self, name: &str, kind: &str) -> &mut Catalog {
        self.perform_well(Topology::DeclareExchange(exchange(name, kind)));
        self
    }

    /// Declares an exchange with an alternate exchange.
    pub fn with_alternate(&mut self, name: &str, kind: &str, alternate: &str) -> &mut Catalog {
        let arguments = TableBuilder::new().text("alternate-exchange", alternate).build();
        self.perform_well(Topology::DeclareExchange(ExchangeSpec { arguments, ..exchange(name, kind) }));
        self
    }

    /// Declares a queue.
    pub fn with_queue(&mut self, name: &str) -> QueueAddr {
        self.perform_well(Topology::DeclareQueue(queue(name)));
        self.queue_by_name(VHOST, name).expect("it was declared").addr
    }

    /// Makes a binding.
    pub fn with_binding(&mut self, source: &str, key: &str, destination: &str) -> &mut Catalog {
        self.perform_well(Topology::Bind(binding(source, key, destination)));
        self
    }

    /// The default user, logged in.
    pub fn guest(&self) -> User {
        User { id: self.user_by_name("guest").expect("a new broker has one").id, name: "guest".into() }
    }

    /// Carries out an operation that is in order.
    pub fn perform_well(&mut self, topology: Topology) {
        self.perform(conn(0), &topology).expect("an operation in order");
    }
}

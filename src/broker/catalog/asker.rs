//! The party that asks, and what it may use: its permissions, and exclusive queues of others.

use super::{Catalog, QueueInfo, Resource, Right, consumer_arguments, queue_arguments};
use crate::base::ids::{QueueAddr, ShardId, UserId};
use crate::contract::{Code, Fault, Owner, VhostId};
use crate::message::Table;

/// The party that asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The shard where a queue that it declares will live.
    pub home: ShardId,
    /// Its connection, which owns exclusive queues; an operator has none.
    pub conn: Owner,
    /// The user whose permissions and limits count; an operator is above them.
    pub user: Option<UserId>,
}

impl Catalog {
    /// Checks that an exchange exists, for an asker who has any right to it.
    pub fn check_exchange(&self, vhost: VhostId, asker: Asker, name: &str) -> Result<(), Fault> {
        self.check_vhost(vhost)?;
        check_not_default(name)?;
        self.allow_any(vhost, asker, Resource::Exchange(name.as_bytes()))?;
        self.exchange_by_name(vhost, name.as_bytes()).map(drop).ok_or_else(|| self.no_exchange(vhost, name.as_bytes()))
    }

    /// Finds a queue, for an asker who has any right to it.
    pub fn check_queue(&self, vhost: VhostId, asker: Asker, name: &str) -> Result<QueueAddr, Fault> {
        self.check_vhost(vhost)?;
        self.allow_any(vhost, asker, Resource::Queue(name.as_bytes()))?;
        self.usable_queue(vhost, asker, name)
    }

    /// Finds a queue for an asker who takes messages out of it.
    pub fn check_read(&self, vhost: VhostId, asker: Asker, name: &str) -> Result<QueueAddr, Fault> {
        self.check_vhost(vhost)?;
        self.allow(vhost, asker, Right::Read, Resource::Queue(name.as_bytes()))?;
        self.usable_queue(vhost, asker, name)
    }

    /// Finds a queue for a consumer with these arguments. `limited`: its channel limits the
    /// unsettled deliveries of all its consumers together, which quorum queues do not know (row Q4).
    pub fn check_consume(&self, vhost: VhostId, asker: Asker, name: &str, limited: bool, arguments: &Table) -> Result<QueueAddr, Fault> {
        let queue = self.check_read(vhost, asker, name)?;
        let (quorum, queue_text) = (self.is_quorum(vhost, name), self.queue_text(vhost, name));
        consumer_arguments::check(arguments, quorum, &queue_text)?;
        if quorum && limited {
            return Err(Fault::new(Code::NotImplemented, format!("{queue_text} does not support global qos")));
        }
        Ok(queue)
    }

    pub(super) fn check_vhost(&self, vhost: VhostId) -> Result<(), Fault> {
        self.find_vhost(vhost).map(drop).ok_or_else(vhost_is_deleted)
    }

    /// Finds the ids of a client's names, which came from another shard.
    pub fn find_asker(&self, home: ShardId, conn: Owner, user: &str, vhost: &str) -> Result<(VhostId, Asker), Fault> {
        let is_deleted = || Fault::new(Code::ConnectionForced, format!("user '{user}' is deleted")); // meanwhile
        let user = self.user_by_name(user).map(|user| user.id).ok_or_else(is_deleted)?;
        let vhost = self.vhost_by_name(vhost).ok_or_else(vhost_is_deleted)?;
        Ok((vhost, Asker { home, conn, user: Some(user) }))
    }

    pub(super) fn usable_queue(&self, vhost: VhostId, asker: Asker, name: &str) -> Result<QueueAddr, Fault> {
        let queue = self.queue_by_name(vhost, name).ok_or_else(|| self.no_queue(vhost, name))?;
        self.check_access(queue, asker)?;
        Ok(queue.addr)
    }

    pub(super) fn is_quorum(&self, vhost: VhostId, name: &str) -> bool {
        self.queue_by_name(vhost, name).is_some_and(|queue| queue_arguments::is_quorum(&queue.spec.arguments))
    }

    /// An exclusive queue may be used by its owner only.
    pub(super) fn check_access(&self, queue: &QueueInfo, asker: Asker) -> Result<(), Fault> {
        if queue.owner.is_some() { self.check_same_owner(queue, asker.conn) } else { Ok(()) }
    }

    pub(super) fn check_same_owner(&self, queue: &QueueInfo, owner: Owner) -> Result<(), Fault> {
        if queue.owner == owner {
            return Ok(());
        }
        let text = format!(
            "cannot obtain exclusive access to locked {}. It could be originally declared on another connection or the exclusive \
             property value does not match that of the original declaration.",
            self.queue_text(queue.vhost, &queue.spec.name)
        );
        Err(Fault::new(Code::ResourceLocked, text))
    }

    pub(super) fn allow(&self, vhost: VhostId, asker: Asker, right: Right, resource: Resource<'_>) -> Result<(), Fault> {
        asker.user.map_or(Ok(()), |user| self.permit(user, vhost, right, resource))
    }

    /// Any right is enough to see that an object exists; the text names the first.
    pub(super) fn allow_any(&self, vhost: VhostId, asker: Asker, resource: Resource<'_>) -> Result<(), Fault> {
        let has = |right| self.allow(vhost, asker, right, resource).is_ok();
        if has(Right::Write) || has(Right::Read) { Ok(()) } else { self.allow(vhost, asker, Right::Configure, resource) }
    }
}

/// The virtual host went while the request was on its way.
fn vhost_is_deleted() -> Fault {
    Fault::new(Code::ConnectionForced, "the virtual host is deleted")
}

/// Refuses the default exchange, which cannot be declared, checked or deleted.
pub(super) fn check_not_default(exchange: &str) -> Result<(), Fault> {
    if exchange.is_empty() {
        return Err(Fault::new(Code::AccessRefused, "operation not permitted on the default exchange"));
    }
    Ok(())
}

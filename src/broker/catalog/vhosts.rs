//! Virtual hosts: each has its own exchanges and queues, so the same name means different objects
//! in different virtual hosts.
//!
//! The number of a virtual host is never used again, so nothing is found by the number of a deleted
//! one.

use std::collections::BTreeMap;

use super::{Applied, Catalog, Policies, QueueInfo};
use crate::base::hash::Map;
use crate::base::ids::{ExchangeId, QueueId};
use crate::base::quota::Quota;
use crate::contract::{ExchangeSpec, VhostId, VhostLimits, VhostSpec};
use crate::message::Table;

/// A virtual host as the catalog knows it.
pub struct VhostInfo {
    /// Its attributes.
    pub spec: VhostSpec,
    /// Its number.
    pub id: VhostId,
    /// Its limits.
    pub limits: VhostLimits,
    /// The number of its connections.
    pub connections: Quota,
    /// Runtime parameters by component and name, JSON.
    pub parameters: BTreeMap<(Box<str>, Box<str>), Box<str>>,
    /// Its policies.
    pub policies: Policies,
    pub(super) queues: Map<Box<[u8]>, QueueId>,
    pub(super) exchanges: Map<Box<[u8]>, ExchangeId>,
}

impl VhostInfo {
    /// Number of its queues.
    pub fn queue_count(&self) -> usize {
        self.queues.len()
    }
}

impl Catalog {
    /// The virtual host of this name.
    pub fn vhost_by_name(&self, name: &str) -> Option<VhostId> {
        self.vhost_names.get(name).copied()
    }

    /// The virtual host of this number; `None` if it is gone.
    pub fn find_vhost(&self, vhost: VhostId) -> Option<&VhostInfo> {
        self.vhosts.get(vhost.0 as usize)?.as_deref()
    }

    /// The name of a virtual host, which must exist.
    pub fn vhost_name(&self, vhost: VhostId) -> &str {
        &self.vhost(vhost).spec.name
    }

    /// All virtual hosts, by number.
    pub fn vhosts(&self) -> impl Iterator<Item = &VhostInfo> {
        self.vhosts.iter().flatten().map(|vhost| &**vhost)
    }

    /// The virtual host of an object that exists.
    #[inline]
    pub(super) fn vhost(&self, vhost: VhostId) -> &VhostInfo {
        self.vhosts[vhost.0 as usize].as_deref().expect("a virtual host takes its objects along")
    }

    pub(super) fn vhost_mut(&mut self, vhost: VhostId) -> &mut VhostInfo {
        self.vhosts[vhost.0 as usize].as_deref_mut().expect("a virtual host takes its objects along")
    }

    /// Changes the attributes of a virtual host, or makes it if it does not exist.
    pub(super) fn put_vhost(&mut self, spec: &VhostSpec, connections: &Quota) {
        if let Some(id) = self.vhost_by_name(&spec.name) {
            self.vhost_mut(id).spec = spec.clone();
            return;
        }
        let id = VhostId(u32::try_from(self.vhosts.len()).expect("fewer than 2^32 virtual hosts"));
        self.vhost_names.insert(spec.name.clone(), id);
        self.vhosts.push(Some(Box::new(VhostInfo {
            spec: spec.clone(),
            id,
            limits: VhostLimits::default(),
            connections: connections.clone(),
            parameters: BTreeMap::new(),
            policies: Policies::default(),
            queues: Map::default(),
            exchanges: Map::default(),
        })));
        for (name, kind, internal) in PREDECLARED {
            let (name, kind, arguments) = (name.into(), kind.into(), Table::empty());
            self.add_exchange(id, ExchangeSpec { name, kind, durable: true, auto_delete: false, internal, arguments });
        }
    }

    /// Deletes a virtual host with everything in it, and the permissions in it.
    pub(super) fn delete_vhost(&mut self, name: &str) -> Option<Applied> {
        let vhost = self.vhost_names.remove(name)?;
        let is_its = |queue: &&QueueInfo| queue.vhost == vhost && queue.delays.is_none();
        let queues: Vec<_> = self.queues().filter(is_its).map(|queue| queue.addr).collect();
        queues.iter().for_each(|queue| _ = self.delete_queue(queue.queue));
        let exchanges = self.exchanges().filter(|exchange| exchange.vhost == vhost).map(|exchange| exchange.id).collect();
        self.remove_exchanges(exchanges);
        self.fallen.retain(|(fallen, _)| *fallen != vhost); // the record of the virtual host's end covers them
        self.users.iter_mut().for_each(|(_, user)| _ = user.access.remove(&vhost));
        self.vhosts[vhost.0 as usize] = None;
        Some(Applied::VhostGone { vhost, queues })
    }
}

/// Whether every virtual host has this exchange.
pub(super) fn is_predeclared(name: &str) -> bool {
    PREDECLARED.iter().any(|(predeclared, ..)| *predeclared == name)
}

/// Name, type and internal flag of the exchanges that every virtual host has.
const PREDECLARED: [(&str, &str, bool); 7] = [
    ("", "direct", false),
    ("amq.direct", "direct", false),
    ("amq.fanout", "fanout", false),
    ("amq.topic", "topic", false),
    ("amq.headers", "headers", false),
    ("amq.match", "headers", false),
    ("amq.rabbitmq.trace", "topic", true),
];

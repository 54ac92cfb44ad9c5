//! The connections of a shard, and the list of those that have something to send.
//!
//! - [`conn`]: one connection; [`channels`]: what the broker keeps of its channels, and their open
//!   [`transaction`]s; [`input`]: from its bytes to events; [`parking`]: why input waits;
//! - [`credit`]: the room of its consumers;
//! - [`outbox`]: from its output to its socket;
//! - [`lifecycle`]: how connections, channels, consumers and queues end.

pub mod channels;
pub mod conn;
pub mod credit;
pub mod input;
pub mod lifecycle;
pub mod outbox;
pub mod parking;
pub mod transaction;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::base::alarms::AlarmSet;
use crate::base::budget::Budgets;
use crate::base::ids::{ConnId, Key};
use crate::base::limits::OUTPUT_SPARE_BUFFERS;
use crate::base::outgoing::Outgoing;
use crate::base::quota::Quota;
use crate::base::ready_list::ReadyList;
use crate::base::slots::Slots;
use crate::config::Config;

use conn::Conn;
use parking::{Reason, SharedReason};

/// Limits of the whole broker: connections that have opened a virtual host, and channels.
#[derive(Clone, Default)]
pub struct BrokerQuotas {
    /// Of connections that have opened a virtual host.
    pub opened_connections: Quota,
    /// Of channels.
    pub channels: Quota,
}

/// Connections by id, the list of those that were written to in this turn, and buffers to be used
/// again for output.
pub struct Conns {
    /// The memory that all connections may hold together, and each one's part of it.
    pub budgets: Budgets,
    /// Number of connections of the whole broker.
    pub of_broker: Arc<AtomicUsize>,
    /// The broker's limits.
    pub quotas: BrokerQuotas,
    /// The alarms that the connections have been told of.
    pub known_alarms: AlarmSet,
    /// Connections whose parked input may go on.
    pub resumed: VecDeque<ConnId>,
    /// Connections that are parked for a reason which ends for all of them at once, by reason.
    parked: [Vec<ConnId>; SharedReason::ALL.len()],
    table: Slots<ConnId, Conn>,
    dirty: ReadyList,
    spare: Vec<Outgoing>,
}

impl Conns {
    /// Makes an empty table.
    pub fn new(config: &Config, of_broker: Arc<AtomicUsize>, quotas: BrokerQuotas) -> Conns {
        Conns {
            budgets: Budgets::of_shard(config.shards, config.memory_max),
            of_broker,
            quotas,
            known_alarms: AlarmSet::default(),
            resumed: VecDeque::new(),
            parked: Default::default(),
            table: Slots::default(),
            dirty: ReadyList::default(),
            spare: Vec::new(),
        }
    }

    /// Adds a connection.
    pub fn insert_with(&mut self, make: impl FnOnce(ConnId, &Budgets) -> Conn) -> ConnId {
        self.table.insert_with(|id| make(id, &self.budgets))
    }

    /// Takes a connection out; its id finds nothing from now on.
    pub fn remove(&mut self, id: ConnId) -> Option<Conn> {
        self.dirty.remove(Key::from(id).slot);
        self.table.remove(id)
    }

    /// Returns the connection, if it is still there.
    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        self.table.get(id)
    }

    /// Returns the connection, to be changed but not written to.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.table.get_mut(id)
    }

    /// Returns the connection, to be written to: the end of the turn sends its output.
    pub fn touch(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.table.get_mut(id)?;
        if self.dirty.push_back(Key::from(id).slot) && conn.session.output_mut().capacity() == 0 {
            *conn.session.output_mut() = self.spare.pop().unwrap_or_default();
        }
        Some(conn)
    }

    /// Parks the input of a connection until [`resume_all`](Self::resume_all).
    pub fn park(&mut self, id: ConnId, reason: SharedReason) {
        if self.table.get_mut(id).is_some_and(|conn| conn.reasons.add(Reason::Shared(reason))) {
            self.parked[reason as usize].push(id);
        }
    }

    /// Whether a connection was parked for this reason.
    pub fn any_parked(&self, reason: SharedReason) -> bool {
        !self.parked[reason as usize].is_empty()
    }

    /// Lets all connections that were parked for this reason go on.
    pub fn resume_all(&mut self, reason: SharedReason) {
        for id in std::mem::take(&mut self.parked[reason as usize]) {
            if self.table.get_mut(id).is_some_and(|conn| conn.reasons.remove(Reason::Shared(reason))) {
                self.resumed.push_back(id);
            }
        }
    }

    /// Takes the next connection that was written to.
    pub fn next_dirty(&mut self) -> Option<ConnId> {
        let slot = self.dirty.pop_front()?;
        self.table.key_at(slot)
    }

    /// Whether a connection was written to since the last send.
    pub fn any_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Keeps the memory of sent output, if it is at most `size_max` bytes.
    pub fn keep(&mut self, mut buffer: Outgoing, size_max: usize) {
        let useful = OUTPUT_USEFUL_MIN <= buffer.capacity() && buffer.capacity() <= size_max;
        if useful && self.spare.len() < OUTPUT_SPARE_BUFFERS {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Gives back the memory that is kept for the next output.
    pub fn give_back(&mut self) {
        self.spare = Vec::new();
    }

    /// Returns all ids.
    pub fn ids(&self) -> Vec<ConnId> {
        self.table.iter().map(|(id, _)| id).collect()
    }

    /// The connection in a slot, if there is one.
    pub fn at_slot(&self, slot: u32) -> Option<(ConnId, &Conn)> {
        let id = self.table.key_at(slot)?;
        Some((id, self.table.get(id)?))
    }

    /// Slots that connections have, or had.
    pub fn slots(&self) -> u32 {
        self.table.slots()
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Asserts that every connection that was written to exists, and that the connections with a
    /// shared reason to wait are those in its list.
    pub fn check(&self) {
        assert!(self.dirty.iter().all(|slot| self.table.key_at(slot).is_some()), "a closed connection has nothing to send");
        for reason in SharedReason::ALL {
            let waits = |conn: &&Conn| conn.reasons.has(Reason::Shared(reason));
            let waiting = self.table.iter().map(|(_, conn)| conn).filter(waits).count();
            let listed = self.parked[reason as usize].iter().filter_map(|&id| self.table.get(id));
            assert!(listed.clone().all(|conn| waits(&conn)), "a connection in the list of {reason:?} waits for it");
            assert_eq!(listed.count(), waiting, "a connection that waits for {reason:?} is in its list");
        }
    }
}

/// A buffer smaller than this is not worth keeping, bytes.
const OUTPUT_USEFUL_MIN: usize = 4096;

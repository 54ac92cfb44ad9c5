//! The connections of a shard, and which of them have something to send.
//!
//! [`conn`] is one of them; [`input`] what its bytes mean; [`credit`] what its consumers have room for; [`outbox`]
//! what goes to its socket; [`lifecycle`] how it ends.

pub mod conn;
pub mod credit;
pub mod input;
pub mod lifecycle;
pub mod outbox;

use crate::base::budget::Budgets;
use crate::base::ids::{ConnId, Key};
use crate::base::limits::OUTPUT_SPARE_BUFFERS;
use crate::base::outgoing::Outgoing;
use crate::base::ready_list::ReadyList;
use crate::base::slots::Slots;
use crate::config::Config;

use conn::Conn;

/// Connections by id, the list of those that were written to in this turn, and warm buffers for their output.
pub struct Conns {
    /// What they may hold together, and each of them of it.
    pub budgets: Budgets,
    table: Slots<ConnId, Conn>,
    dirty: ReadyList,
    spare: Vec<Outgoing>,
}

impl Conns {
    /// None yet.
    pub fn new(config: &Config) -> Conns {
        let budgets = Budgets::of_shard(config.shards, config.memory_max);
        Conns { budgets, table: Slots::default(), dirty: ReadyList::default(), spare: Vec::new() }
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

    /// The connection, if it is still there.
    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        self.table.get(id)
    }

    /// The connection, to be changed but not written to.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.table.get_mut(id)
    }

    /// The connection, to be written to: the end of the turn sends what it has.
    pub fn touch(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.table.get_mut(id)?;
        if self.dirty.push_back(Key::from(id).slot) && conn.session.output_mut().capacity() == 0 {
            *conn.session.output_mut() = self.spare.pop().unwrap_or_default();
        }
        Some(conn)
    }

    /// The next connection that was written to.
    pub fn next_dirty(&mut self) -> Option<ConnId> {
        let slot = self.dirty.pop_front()?;
        self.table.key_at(slot)
    }

    /// Whether a connection was written to since the last send.
    pub fn any_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Keeps the memory of sent output, of at most `size_max` bytes a buffer.
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

    /// All ids, for what concerns every connection.
    pub fn ids(&self) -> Vec<ConnId> {
        self.table.iter().map(|(id, _)| id).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }
}

/// A buffer smaller than this is not worth keeping, bytes.
const OUTPUT_USEFUL_MIN: usize = 4096;

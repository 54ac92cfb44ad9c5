//! All bindings, found by their identity: source, destination, key and arguments.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::base::ids::{ExchangeId, Key};
use crate::base::slots::Slots;
use crate::broker::exchange::Dest;
use crate::message::Table;

pub(super) type BindingId = Key;

/// Source, destination and condition of a binding. All of it is the binding's identity.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Binding {
    /// The exchange that messages come from.
    pub source: ExchangeId,
    /// The queue or exchange that messages go to.
    pub dest: Dest,
    /// The binding key.
    pub key: Box<[u8]>,
    /// The arguments, in canonical form.
    pub arguments: Table,
}

/// All bindings, and an index by hash that keeps no second copy of keys and arguments.
#[derive(Default)]
pub(super) struct Bindings {
    table: Slots<BindingId, Binding>,
    index: HashTable<BindingId>,
    hasher: foldhash::fast::RandomState,
}

impl Bindings {
    /// Finds a binding that is equal to this one.
    pub fn find(&self, binding: &Binding) -> Option<BindingId> {
        self.index.find(self.hasher.hash_one(binding), |&id| self.table[id] == *binding).copied()
    }

    /// Adds a binding that is not there.
    pub fn insert(&mut self, binding: Binding) -> BindingId {
        let hash = self.hasher.hash_one(&binding);
        let id = self.table.insert(binding);
        let Bindings { table, index, hasher } = self;
        index.insert_unique(hash, id, |&id| hasher.hash_one(&table[id]));
        id
    }

    /// Removes a binding. Returns `None` if there is none of this id.
    pub fn remove(&mut self, id: BindingId) -> Option<Binding> {
        let binding = self.table.remove(id)?;
        let entry = self.index.find_entry(self.hasher.hash_one(&binding), |&other| other == id);
        entry.expect("every binding is in the index").remove();
        Some(binding)
    }

    /// All bindings, by id.
    pub fn iter(&self) -> impl Iterator<Item = (BindingId, &Binding)> {
        self.table.iter()
    }
}

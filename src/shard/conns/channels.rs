//! The broker's part of the channels of one connection, in whatever protocol: their open
//! transactions, and the names to which replies to their requests are sent.
//!
//! A session tells the shard what happens on a channel, and the shard keeps here what outlasts the
//! event. Only channels that have something of it are in the tables, and ordinary messages cause no
//! lookup.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::vec;

use crate::base::budget::Budget;
use crate::base::limits::SETTLE_SHARE;
use crate::contract::session::{Deliveries, Settled, Unsettled};
use crate::contract::{Code, Fault, Origin, Receipts, ReplyConsumer, ReplyName};
use crate::shard::conns::transaction::Transaction;

/// A channel's consumer of replies, and its name (row S15).
#[derive(Debug)]
struct Replies {
    consumer: ReplyConsumer,
    name: Box<str>,
}

/// What is kept of the channels, by their numbers.
#[derive(Debug)]
pub struct Channels {
    transactions: BTreeMap<u16, Transaction>,
    replies: BTreeMap<u16, Replies>,
    /// The memory of all transactions.
    uncommitted: Budget,
}

impl Channels {
    /// Makes an empty table, whose transactions use memory of this budget.
    pub fn new(uncommitted: &Budget) -> Channels {
        Channels { transactions: BTreeMap::new(), replies: BTreeMap::new(), uncommitted: uncommitted.clone() }
    }

    /// Returns a channel's open transaction. A new one begins if there is none.
    pub fn transaction(&mut self, channel: u16) -> &mut Transaction {
        self.transactions.entry(channel).or_insert_with(|| Transaction::new(&self.uncommitted))
    }

    /// Takes out a channel's open transaction, to be committed or rolled back. It is empty if
    /// nothing has happened since the last one.
    pub fn take_transaction(&mut self, channel: u16) -> Transaction {
        self.transactions.remove(&channel).unwrap_or_else(|| Transaction::new(&self.uncommitted))
    }

    /// Numbers of messages and settlements of a channel's open transaction.
    pub fn uncommitted(&self, channel: u16) -> (usize, usize) {
        self.transactions.get(&channel).map_or((0, 0), |open| (open.publishes.len(), open.settles.len()))
    }

    /// The lowest tag of a delivery of this origin that a channel's open transaction has settled.
    pub fn oldest_settled(&self, channel: u16, origin: Origin) -> Option<u64> {
        self.transactions.get(&channel)?.oldest(origin)
    }

    /// Removes the settlements of deliveries of this origin from a channel's open transaction.
    pub fn unsettle(&mut self, channel: u16, origin: Origin) -> Vec<Settled> {
        self.transactions.get_mut(&channel).map_or_else(Vec::new, |transaction| transaction.unsettle(origin))
    }

    /// Adds a channel's consumer of replies, under the name that it was given.
    ///
    /// # Errors
    /// The channel has one (406).
    pub fn consume_replies(&mut self, name: &ReplyName) -> Result<(), Fault> {
        match self.replies.entry(name.consumer.channel) {
            Entry::Occupied(_) => Err(Fault::new(Code::PreconditionFailed, "reply consumer already set")),
            Entry::Vacant(place) => {
                place.insert(Replies { consumer: name.consumer, name: name.encode() });
                Ok(())
            }
        }
    }

    /// Removes a channel's consumer of replies, if it has this index.
    pub fn cancel_replies(&mut self, channel: u16, index: u32) {
        if self.replies.get(&channel).is_some_and(|replies| replies.consumer.index == index) {
            self.replies.remove(&channel);
        }
    }

    /// The name to which replies to a channel's publishes are to be sent, if it consumes them.
    pub fn reply_name(&self, channel: u16) -> Option<&str> {
        self.replies.get(&channel).map(|replies| &*replies.name)
    }

    /// Whether this consumer of replies is there.
    pub fn awaits_reply(&self, consumer: &ReplyConsumer) -> bool {
        self.replies.get(&consumer.channel).is_some_and(|replies| replies.consumer == *consumer)
    }

    /// Ends a channel. `unsettled` gets the deliveries that its open transaction had settled.
    pub fn end(&mut self, channel: u16, unsettled: &mut Unsettled) {
        self.replies.remove(&channel);
        let transaction = self.transactions.remove(&channel);
        transaction.into_iter().for_each(|transaction| give_back(transaction, unsettled));
    }

    /// Ends all channels, in the same way.
    pub fn end_all(&mut self, unsettled: &mut Unsettled) {
        self.replies.clear();
        std::mem::take(&mut self.transactions).into_values().for_each(|transaction| give_back(transaction, unsettled));
    }
}

fn give_back(transaction: Transaction, unsettled: &mut Unsettled) {
    if !transaction.settles.is_empty() {
        unsettled.add(Remaining(transaction.settles.into_iter()));
    }
}

/// Deliveries that a transaction had settled before its channel ended.
#[derive(Debug)]
struct Remaining(vec::IntoIter<Settled>);

impl Deliveries for Remaining {
    fn take(&mut self, out: &mut Receipts) -> bool {
        self.0.by_ref().take(SETTLE_SHARE).for_each(|settled| out.push(settled.receipt));
        self.0.len() > 0
    }
}

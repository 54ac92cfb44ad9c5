//! The queues that live here.
//!
//! - [`enqueue`]: the way into a queue; [`delivery`]: the way to consumers;
//! - [`settle`], [`settling`]: acknowledgements and rejections, of few and of very many messages;
//! - [`lifetime`]: TTL and limits; [`policies`]: how queues follow policies; [`delay`]: delayed
//!   messages;
//! - [`dead_letter`]: dead letters; [`unburied`]: those that nobody takes; [`cycles`]: those that
//!   would go in a circle; [`gone_queues`]: those of deleted queues;
//! - [`rubbish`]: messages to be freed.

pub mod cycles;
pub mod dead_letter;
pub mod delay;
pub mod delivery;
pub mod enqueue;
pub mod gone_queues;
pub mod lifetime;
pub mod policies;
pub mod rubbish;
pub mod settle;
pub mod settling;
pub mod unburied;

use std::collections::VecDeque;

use crate::base::ids::{ChannelAddr, QueueId};
use crate::base::ready_list::ReadyList;
use crate::broker::arena::Arena;
use crate::broker::queue::Queue;
use crate::contract::{Entry, Receipts};

use policies::Sweep;
use rubbish::Rubbish;
use unburied::Unburied;

/// The queues that live here, and which of them have something to do.
pub struct Queues {
    /// The queues, by the slot of their id.
    pub slots: Vec<Option<Box<Queue>>>,
    /// Number of queues with extras: TTLs, limits, dead letters, deduplication, delays.
    pub special: usize,
    /// Number of queues that have levels.
    pub levelled: usize,
    /// Queues with messages and consumers that may have room.
    pub dirty: ReadyList,
    /// Working memory: those of them that have more to do in the next turn.
    pub unfinished: Vec<u32>,
    /// Queues whose next consumer is on another shard, and the link to it has no room.
    pub blocked: Vec<QueueId>,
    /// Queues with more messages than they may have.
    pub overfull: ReadyList,
    /// The state of the walk through the queues here that looks up their policies again.
    pub sweep: Sweep,
    /// Messages and values that are to be freed, some in each turn.
    pub rubbish: Rubbish,
    /// Dead messages that are to be published again.
    pub dead: Unburied,
    /// Delayed messages that are to be routed.
    pub due: VecDeque<(QueueId, Entry)>,
    /// Channels that asked a queue (basic.get) for a message that is being read from the log, and
    /// whether they need not settle it.
    pub getters: Vec<(ChannelAddr, QueueId, bool)>,
    /// Working memory for deliveries that need no acknowledgement.
    pub over: Vec<Entry>,
    /// Working memory for settlements.
    pub receipts: Receipts,
}

impl Queues {
    /// Makes the owner for a new shard: it has no queue.
    pub fn new() -> Queues {
        Queues {
            slots: Vec::new(),
            special: 0,
            levelled: 0,
            dirty: ReadyList::default(),
            unfinished: Vec::new(),
            blocked: Vec::new(),
            overfull: ReadyList::default(),
            sweep: Sweep::default(),
            rubbish: Rubbish::default(),
            dead: Unburied::default(),
            due: VecDeque::new(),
            getters: Vec::new(),
            over: Vec::new(),
            receipts: Receipts::default(),
        }
    }

    /// Asserts that the counts of queues are right, and each queue's own.
    pub fn check(&self, arena: &Arena) {
        let queues = || self.slots.iter().flatten();
        assert_eq!(queues().filter(|queue| queue.is_special()).count(), self.special, "queues with extras");
        assert_eq!(queues().filter(|queue| queue.rules.priorities.has_levels()).count(), self.levelled, "queues with levels");
        assert!(self.over.is_empty(), "deliveries without acknowledgement are settled at once");
        queues().for_each(|queue| queue.check(arena));
    }
}

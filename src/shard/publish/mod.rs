//! Publishing: the way of a message to its queues.
//!
//! - [`dispatch`]: finds the queues of messages and gives the messages to them; [`last_routes`]:
//!   the routes that a connection remembers; [`spread`]: to very many queues, some at a time;
//! - [`commit`]: keeps the messages of a transaction, and publishes them with its commit;
//! - [`reply`]: goes straight to a waiting channel;
//! - [`own`]: messages of the broker itself;
//! - [`relay`]: goes through exchanges that remember messages, on shard 0;
//! - [`transfer`]: takes messages from one queue to others;
//! - [`effect`]: what a publisher feels of it; [`wanted`]: answers publishers, once the queues have
//!   or refuse their messages;
//! - [`exchange_counts`]: what came to each exchange;
//! - [`trace`]: copies what comes and goes to an exchange, if an operator wants that;
//! - [`flow`]: keeps publishers from flooding a queue.

pub mod commit;
pub mod dispatch;
pub mod effect;
pub mod exchange_counts;
pub mod flow;
pub mod last_routes;
pub mod own;
pub mod relay;
pub mod reply;
pub mod spread;
pub mod trace;
pub mod transfer;
pub mod wanted;

use crate::broker::routing::header_routes::RouteMemory;
use crate::contract::RouteSet;
use crate::message::MessageRef;

use exchange_counts::ExchangeCounts;
use flow::Flow;
use relay::Relays;
use trace::Traces;
use transfer::Transfers;

/// The routes that were found before, what publishing needs at hand, and messages on their way.
pub struct Publishing {
    /// Routes that were found before.
    pub known_routes: RouteMemory,
    /// The queues of the message in hand.
    pub routes: RouteSet,
    /// Where the arena has the messages in hand.
    pub stored: Vec<Option<MessageRef>>,
    /// Shard 0 only: messages that it routes for the others.
    pub relays: Relays,
    /// Messages on their way from a queue here to others.
    pub transfers: Transfers,
    /// The secret from which reply names are made.
    pub reply_key: [u8; 16],
    /// Publishers that flood queues.
    pub flow: Flow,
    /// Whether any virtual host is traced.
    pub is_traced: bool,
    /// Deliveries that wait to be traced.
    pub traces: Traces,
    /// What came to each exchange.
    pub exchanges: ExchangeCounts,
}

impl Publishing {
    /// Makes the owner for a new shard, with the secret from which it makes reply names.
    pub fn new(reply_key: [u8; 16]) -> Publishing {
        Publishing {
            known_routes: RouteMemory::default(),
            routes: RouteSet::new(),
            stored: Vec::new(),
            relays: Relays::default(),
            transfers: Transfers::default(),
            reply_key,
            flow: Flow::default(),
            is_traced: false,
            traces: Traces::default(),
            exchanges: ExchangeCounts::default(),
        }
    }

    /// Asserts that nothing of a message stays behind when it has been published.
    pub fn check(&self) {
        assert!(self.stored.is_empty(), "the arena's references belong to queues");
        assert!(self.traces.is_empty(), "a turn traces its deliveries");
    }
}

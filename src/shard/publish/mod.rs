//! Publishing: the way of a message to its queues.
//!
//! - [`dispatch`]: finds the queues of messages and gives the messages to them; [`last_routes`]:
//!   the routes that a connection remembers; [`spread`]: to very many queues, some at a time;
//! - [`commit`]: publishes the messages that a transaction held back;
//! - [`reply`]: goes straight to a waiting channel;
//! - [`relay`]: goes through exchanges that remember messages, on shard 0;
//! - [`transfer`]: takes messages from one queue to others;
//! - [`flow`]: keeps publishers from flooding a queue.

pub mod commit;
pub mod dispatch;
pub mod flow;
pub mod last_routes;
pub mod relay;
pub mod reply;
pub mod spread;
pub mod transfer;

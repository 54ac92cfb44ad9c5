//! Publishing: [`dispatch`] finds the queues of messages and gives them to these, [`spread`] to very
//! many, some at a time; [`last_routes`] remembers where a channel's last message went; [`commit`] publishes what a transaction held back, [`reply`] goes straight to
//! a waiting channel, [`relay`] through exchanges that remember, on shard 0. [`transfer`] takes messages
//! from one queue to others, and [`flow`] keeps publishers from flooding a queue.

pub mod commit;
pub mod dispatch;
pub mod flow;
pub mod last_routes;
pub mod relay;
pub mod reply;
pub mod spread;
pub mod transfer;

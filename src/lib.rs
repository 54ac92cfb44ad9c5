//! RingMQ: a message broker for RabbitMQ's users. One shard per CPU core, one io_uring per shard, no locks between a publisher's socket and
//! a consumer's.
//!
//! Three kinds of code: codecs turn bytes into values and refuse, but never panic; machines decide over values and perform nothing; deeds,
//! the system calls, stand in [`io`] alone. Who may import whom, lower layers first (`tests/tidy` enforces it):
//!
//! ```text
//! base · config message · contract · protocol broker store (blind to each other) · shard definitions · io · start · main
//! ```
//!
//! The life of a message:
//!
//! ```text
//! publisher's socket ─ completion ─▶ io::net::socket ─ bytes ─▶ shard::conns::input
//!   protocol::amqp::session    frames → a run of publishes to one place; nothing is copied
//!   shard::publish::dispatch          the channel's last route, or broker::routing on this shard's copy of the catalog
//!     queue here, a consumer waits    straight into that connection's output            shard::queues::delivery
//!     queue here, nobody waits        one copy into the arena, 16 bytes into the queue  broker::{arena, queue}
//!     queue elsewhere                 into a block, one mail per run                    shard::peers::{link, mailbox}
//! end of the turn: confirms, one send per connection, one release store per peer        shard::turn
//! consumer's ack ─▶ the session's window ─▶ the queue, by mail if it lives elsewhere    shard::queues::settle
//! ```

pub mod base;
pub mod broker;
pub mod config;
pub mod contract;
pub mod definitions;
pub mod io;
pub mod message;
pub mod protocol;
pub mod shard;
pub mod start;
pub mod store;

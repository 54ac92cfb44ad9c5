//! RingMQ: a message broker for RabbitMQ's users. One shard per CPU core, one io_uring per shard,
//! no locks between a publisher's socket and a consumer's.
//!
//! There are three kinds of code. Codecs turn bytes into values; they refuse, but never panic.
//! Machines decide over values and perform nothing: file descriptors, clocks, threads and
//! randomness are handed in. System calls stand in [`io`], and in [`start`] for what happens before
//! the shards turn.
//!
//! A room imports only rooms of lower layers, here from left to right (`tests/tidy` enforces it):
//!
//! ```text
//! base · config message · contract · protocol broker store · shard definitions · io · start · main
//!                                    └ blind to each other ┘
//! ```
//!
//! The rooms:
//!
//! - [`base`]: limits, ids, timer wheel, tables, the ring between two shards;
//! - [`config`]: the command line and RabbitMQ's configuration files, checked;
//! - [`message`]: a message in no protocol's language;
//! - [`contract`]: the types by which a protocol and the broker talk to each other;
//! - [`protocol`]: AMQP's frames and methods, and the session of a connection;
//! - [`broker`]: catalog, access, exchanges and routing, queues, the memory of messages;
//! - [`store`]: the durable log of a shard;
//! - [`shard`]: one machine per core, made of all these;
//! - [`definitions`]: RabbitMQ's definitions, read and written;
//! - [`io`]: the driver of a shard, sockets, the log's files, memory, signals;
//! - [`start`]: the data directory, recovery, configuration files, definitions fetched.
//!
//! The life of a message:
//!
//! ```text
//! publisher's socket ─ completion ─▶ io::net::socket ─ bytes ─▶ shard::conns::input
//!   frames → a run of publishes to one place; nothing is copied        protocol::amqp::session
//!   the channel's last route, or the router over this shard's catalog  shard::publish::dispatch
//!     queue here, a consumer is ready: straight into its output        shard::queues::delivery
//!     queue here, nobody is ready: one copy into the arena             broker::{arena, queue}
//!     queue on another shard: into a block, one mail per run           shard::peers
//!   persistent messages, once more into the log's batch                shard::durability
//! end of the turn: the log's write, one send per connection, mail      shard::turn
//! the write's completion: the publisher's confirms                     shard::durability
//! the consumer's ack: to the queue, by mail if it lives elsewhere      shard::queues::settle
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

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
//! base · config message · contract · protocol broker store · shard definitions · io management · start · main
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
//! - [`management`]: RabbitMQ's HTTP API, on a thread of its own;
//! - [`start`]: the data directory, recovery, configuration files, definitions fetched.
//!
//! The life of a message:
//!
//! ```text
//! publisher's socket ─ completion ─▶ io::net::socket ─ bytes ─▶ shard::conns::input
//!   frames → a run of publishes to one place; nothing is copied        protocol::amqp::session
//!   the channel's last route, or the router over this shard's catalog  shard::publish::dispatch
//!     queue here, a consumer is ready: straight into its output        shard::queues::delivery
//!     queue here, nobody is ready: one copy into the arena             shard::queues::enqueue
//!     queue on another shard: into a block, one mail per run           shard::peers
//!   persistent messages, once more into the log's batch                shard::durability
//! end of the turn: the log's write, one send per connection, mail      shard::turn
//! the write's completion: the publisher's confirms                     shard::durability
//! the consumer's ack: to the queue, by mail if it lives elsewhere      shard::queues::settle
//! ```
//!
//! Five walks through the code, each as the list of functions that it passes (`tests/tidy` proves
//! that they exist).
//!
//! *A publish*, to a queue of the same shard:
//!
//! ```walk
//! io::driver::on_received                   the kernel has put bytes into a buffer
//! shard::conns::input::on_bytes             whole frames are parsed where they lie
//! protocol::amqp::session::input::poll      frames become a run of messages to one place
//! shard::publish::dispatch::publish         the last route, a known one, or the router
//! broker::routing::router::route            permissions, bindings, the queues
//! shard::publish::dispatch::spread          to queues here and by mail to those elsewhere
//! shard::queues::enqueue::enqueue           to a consumer that is ready, or into the arena
//! shard::durability::seal_log               the turn's messages become one write
//! shard::conns::outbox::flush_output        deliveries and confirms leave in one send
//! io::driver::carry_out                     the send is handed to the kernel
//! ```
//!
//! *An ack*:
//!
//! ```walk
//! shard::conns::input::on_bytes
//! protocol::amqp::session::input::poll      acks in a row are one settlement
//! shard::queues::settle::on_settle          the session's window says which messages they are
//! shard::queues::settle::settle_all         queue by queue, by mail if it lives elsewhere
//! shard::queues::settle::settle_here        the messages are released
//! shard::durability::log_settled            the log notes that they are gone
//! shard::queues::delivery::deliver_queue    the consumer has room: it is served again
//! ```
//!
//! *A transaction*. Its messages and settlements are the broker's until the commit, so any protocol
//! may have transactions:
//!
//! ```walk
//! protocol::amqp::session::input::poll      a publish or an ack on a channel with tx.select
//! shard::publish::commit::publish_at_commit routed; the channel's transaction keeps it
//! shard::publish::commit::settle_at_commit  the window says which; the transaction keeps them
//! shard::publish::commit::on_commit         the connection is parked until the answer
//! shard::publish::commit::commit_some       messages to their queues, then the settlements
//! shard::publish::wanted::end_commit        queues and disk have everything
//! protocol::amqp::session::answers::answer  tx.commit-ok
//! ```
//!
//! *A declare*, of a durable queue:
//!
//! ```walk
//! protocol::amqp::session::requests::on_broker_method  a method becomes a request
//! shard::control::request::on_request       the connection is parked until the answer
//! broker::catalog::check::check             this shard's copy of the catalog refuses or agrees
//! shard::control::order::order              what changes the catalog is ordered of shard 0
//! shard::control::order::on_order           checked once more, numbered, logged
//! shard::control::order::on_apply           every shard applies it to its copy
//! broker::catalog::apply::apply_with
//! shard::control::order::create_queue       on the shard where the queue lives
//! shard::control::order::on_decided         all have it, and the disk
//! protocol::amqp::session::answers::answer  queue.declare-ok
//! ```
//!
//! *An operator's command*, to set a policy:
//!
//! ```walk
//! management::broker::command               the management thread gives it a ticket
//! shard::control::door::demand              it comes through the inbox of shard 0
//! shard::control::order::order              ordered like any change
//! broker::catalog::administration::check_command
//! broker::catalog::administration::administer  on every shard
//! shard::queues::policies::begin_sweep      every queue looks its policy up again
//! shard::queues::policies::go_on_sweeping   some in each turn
//! shard::queues::policies::follow_policies
//! shard::control::door::report_reply        the answer, by ticket
//! ```

// The simulator, which unit tests share with tests/sim, names the library from outside.
#[cfg(test)]
extern crate self as ringmq;

pub mod base;
pub mod broker;
pub mod config;
pub mod contract;
pub mod definitions;
pub mod io;
pub mod management;
pub mod message;
pub mod protocol;
pub mod shard;
pub mod start;
pub mod store;

//! Code shared by the tests that see the broker from outside: a client-side AMQP codec, the
//! language of the traces, and brokers to talk to.
//!
//! The codec shares nothing with the product's: it is driven by one list of methods (`methods.rs`),
//! so that a mistake in the product's codec cannot hide itself. It is a client's codec: it copies
//! freely and keeps every value with its type.
//!
//! ```text
//! value     typed values, field tables                    bytes ↔ Value
//! methods   the list: names, ids, fields
//! wire      frames, methods, content                      bytes ↔ Frame, Method, Properties
//! client    one connection's incoming bytes               bytes → Event
//! text      values in the notation of traces              text  ↔ Value
//! script    the lines of a trace                          text  ↔ Line
//! ctl       the operator's lines of a trace               text  → commands of ours, or requests to
//!                                                         RabbitMQ's API (`management`)
//! broker    a broker to talk to: `socket` behind a TCP address, `cluster` in this process
//! disk      the disk of a log; `storage` all disks of a broker
//! ```

// Each test binary uses only a part of this code.
#![allow(dead_code)]

pub mod broker;
pub mod client;
pub mod cluster;
pub mod ctl;
pub mod disk;
pub mod management;
pub mod methods;
pub mod script;
pub mod socket;
pub mod storage;
pub mod text;
pub mod value;
pub mod wire;

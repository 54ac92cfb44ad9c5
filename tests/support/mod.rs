//! What tests share that look at the broker from outside: a client-side AMQP codec, the language of the traces, brokers to talk to.
//!
//! The codec has nothing in common with the product's: it is driven by one list of methods (`methods.rs`), so that a mistake of the
//! product's codec cannot hide itself. It is a client's codec: it copies freely and keeps every value with its type.
//!
//! ```text
//! value     typed values, field tables                    bytes ↔ Value
//! methods   the list: names, ids, fields
//! wire      frames, methods, content                      bytes ↔ Frame, Method, Properties
//! client    one connection's incoming bytes               bytes → Event, whole methods with their content
//! text      values as people write them                   text  ↔ Value
//! script    the lines of a trace                          text  ↔ Line
//! ctl       what an operator does in one                  text  → commands of ours, requests to RabbitMQ's `management` API
//! broker    somebody who answers: `socket` behind a TCP address, `cluster` in this process
//! disk      what a log's disk does; `storage` what those of a broker hold
//! ```

// Each test binary uses its own part.
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

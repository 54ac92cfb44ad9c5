//! Management: the HTTP API, metrics and the command line tool's socket, on a thread of its own.
//!
//! ```text
//! HTTP ─▶ server ─▶ api ─┬ names, attributes ─▶ the catalog's copy here
//!                        ├ numbers ─▶ Query ────┐
//!                        └ changes ─▶ Command ──┴▶ inbox of a shard ─▶ reply by ticket
//! shard 0 ─ every change of the catalog ─▶ the copy
//! ```
//!
//! No shard waits for this thread, and no lock is shared with one: a demand goes into the shard's
//! [inbox](crate::base::inbox), and what shards report comes through a channel. A listing of names
//! costs the shards nothing.

pub mod broker;

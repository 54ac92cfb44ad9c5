//! Management: the HTTP API, metrics and the command line tool's socket, on a thread of its own.
//!
//! ```text
//! HTTP ─▶ server ─▶ api ─┬ names, attributes ─▶ the catalog's copy here
//!                        ├ numbers ─▶ Query ────┐
//!                        └ changes ─▶ Command ──┴▶ inbox of a shard ─▶ reply by ticket
//! shard 0 ─ every change of the catalog ─▶ the copy
//! ```
//!
//! No shard waits for this thread: a demand goes into the shard's [inbox](crate::base::inbox), whose
//! lock is held for a push only, and what shards report comes through a channel. A listing of names
//! costs the shards nothing.
//!
//! - [`server`]: connections; [`gate`]: from a request to its response; [`api`]: routes and handlers;
//! - [`http`]: what requests and answers are made of, whatever they are about; [`login`]: who asks;
//! - [`broker`]: the way to the shards; [`names`] of queues in order; [`properties_key`] of bindings;
//! - [`sampler`], [`rates`], [`measures`]: numbers over time, and their names;
//! - [`ctl`]: what only the command line tool may ask, by the [`controls`] of the process;
//! - [`site`]: what requests share; [`host`]: what only the process knows; [`patience`] with clients;
//! - [`metrics`] for Prometheus, and [`scrape`], their listener.

pub mod api;
pub mod broker;
pub mod controls;
pub mod ctl;
#[cfg(test)]
mod fixture;
pub mod gate;
pub mod host;
pub mod http;
pub mod login;
pub mod measures;
pub mod metrics;
mod name_pattern;
pub mod names;
pub mod patience;
pub mod properties_key;
pub mod rates;
pub mod sampler;
pub mod scrape;
pub mod server;
pub mod site;
#[cfg(test)]
mod tests;

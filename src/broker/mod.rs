//! The broker's machines: what exists, who may use it, where messages go and how they wait. No I/O, no clock, no protocol.

pub mod access;
pub mod arena;
pub mod catalog;
pub mod dead_letter;
pub mod deduplication;
pub mod exchange;
#[cfg(test)]
mod fixture;
pub mod policy;
pub mod queue;
pub mod routing;

//! Control: everything that is not a message.
//!
//! - [`request`]: requests of clients; [`ask`]: the answers of queues;
//! - [`command`]: commands of operators;
//! - [`order`]: changes of the catalog.

pub mod ask;
pub mod command;
pub mod order;
pub mod request;

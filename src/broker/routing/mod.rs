//! Routing: finds the queues of a message.
//!
//! - [`router`]: walks from exchange to exchange; [`publish_rules`]: RabbitMQ's rules of
//!   publishing;
//! - [`known_routes`] and [`header_routes`]: remember the routes that the router found;
//! - [`keeper`]: walks through exchanges that remember messages.

pub mod header_routes;
pub mod keeper;
pub mod known_routes;
pub(in crate::broker) mod publish_rules;
pub mod router;

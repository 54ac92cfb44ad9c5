//! Where messages go: the [`router`] walks from exchange to exchange by RabbitMQ's rules of publishing
//! ([`publish_rules`]), [`known_routes`] and [`header_routes`] remember what it found, and a [`keeper`]
//! walks where exchanges remember messages.

pub mod header_routes;
pub mod keeper;
pub mod known_routes;
pub(in crate::broker) mod publish_rules;
pub mod router;

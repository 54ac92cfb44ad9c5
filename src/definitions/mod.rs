//! Definitions: the objects of a broker, in RabbitMQ's JSON.
//!
//! ```text
//! file ─ read ─▶ Definitions ─ steps ─▶ Command, one per object ─▶ the catalog
//! file ◀─ write ─ Definitions ◀─ export ──────────────────────────── the catalog
//! ```
//!
//! [`model`] is the form of the JSON; [`read`](Definitions::read) and [`steps`] are lenient where
//! RabbitMQ is; [`arguments`] converts x-arguments to field tables and back. Each error is a
//! sentence that names the object.

pub mod arguments;
mod export;
mod import;
pub mod model;
mod read;
pub mod steps;

pub use export::export;
pub use import::{Homes, Imported, import};
pub use model::Definitions;

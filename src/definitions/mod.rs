//! Definitions: what exists in a broker, as RabbitMQ's JSON writes it.
//!
//! ```text
//! file ─ read ─▶ Definitions ─ steps ─▶ Command, one per object ─▶ the catalog
//! file ◀─ write ─ Definitions ◀─ export ──────────────────────────── the catalog
//! ```
//!
//! [`model`] is the JSON's form, [`read`](Definitions::read) and [`steps`] are lenient where RabbitMQ is, [`arguments`] turns x-arguments into field
//! tables and back. What is wrong is told in a sentence that names the object.

pub mod arguments;
mod export;
mod import;
pub mod model;
mod read;
pub mod steps;

pub use export::export;
pub use import::{Homes, Imported, import};
pub use model::Definitions;

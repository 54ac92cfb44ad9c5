//! What every room uses and what knows nothing of messages.

pub mod ids;
pub mod limits;
pub mod outgoing;

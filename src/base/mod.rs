//! What every room uses and what knows nothing of messages.

pub mod ids;

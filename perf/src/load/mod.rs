//! The load: producers and consumers on a few threads, each thread with one epoll loop.
//!
//! ```text
//! run        prepares (topology), starts workers, watches the clock, reports
//!  └ worker  a thread: waits, reads what is ready, lets producers publish
//!     └ peer     a connection: scanner for input, batch and acks for output
//!        ├ producer  what may be published now: window, confirms, pace, quota
//!        └ consumer  what was delivered: stamp, latency, acks, verification
//! ```
//!
//! Publishers are bounded by what consumers have received ([`stats::Credits`]). Without that, a
//! benchmark measures how a broker is flooded.

pub mod apart;
pub mod batch;
pub mod confirms;
pub mod consumer;
pub mod peer;
pub mod probe;
pub mod producer;
pub mod run;
pub mod stamp;
pub mod stats;
pub mod topology;
pub mod verify;
pub mod worker;

/// The channel on which a connection publishes.
pub const PUBLISH_CHANNEL: u16 = 1;
/// The channel on which a connection consumes.
pub const CONSUME_CHANNEL: u16 = 2;

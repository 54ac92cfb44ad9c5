//! Building blocks that all other modules use; they depend on none of these.

pub mod alarms;
pub mod aligned;
pub mod ascending;
pub mod base64url;
pub mod budget;
pub mod escaped;
pub mod hash;
pub mod ids;
pub mod inbox;
pub mod intervals;
pub mod limits;
pub mod long_queue;
pub mod outgoing;
pub mod pieces;
pub mod quota;
pub mod ready_list;
pub mod repeats;
pub mod rng;
pub mod slots;
pub mod spsc;
pub mod tail;
pub mod timer_wheel;

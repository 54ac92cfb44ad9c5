//! The queues that live here.
//!
//! - [`delivery`]: the way to consumers;
//! - [`settle`], [`settling`]: acknowledgements and rejections, of few and of very many messages;
//! - [`lifetime`]: TTL and limits; [`policies`]: how queues follow policies; [`delay`]: delayed
//!   messages;
//! - [`dead_letter`]: dead letters; [`unburied`]: those that nobody takes; [`cycles`]: those that
//!   would go in a circle; [`gone_queues`]: those of deleted queues;
//! - [`rubbish`]: messages to be freed.

pub mod cycles;
pub mod dead_letter;
pub mod delay;
pub mod delivery;
pub mod gone_queues;
pub mod lifetime;
pub mod policies;
pub mod rubbish;
pub mod settle;
pub mod settling;
pub mod unburied;

//! The queues that live here: [`delivery`] to consumers, [`settle`] and [`settling`] what these say of
//! it, [`lifetime`] TTL and limits, [`policies`] how queues follow theirs, [`delay`] what waits until it
//! is due, [`dead_letter`] what dies, [`unburied`] dead letters that nobody takes, [`cycles`] those that
//! would go in a circle, [`gone_queues`] those of queues that are gone, and [`rubbish`] what is to be
//! freed.

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

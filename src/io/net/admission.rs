//! Admission: whether the listeners of clients take connections. Operators suspend them, and a broker
//! in maintenance has none; each shard follows from its next turn on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::io::wake::Signal;

/// A reason for which no connection is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Closure {
    /// The listeners are suspended.
    Suspension = 1,
    /// The broker is in maintenance.
    Maintenance = 2,
}

/// The reasons for which the shards of one broker take no connections now.
#[derive(Debug)]
pub struct Admission {
    closures: AtomicU8,
    shards: Arc<Signal>,
}

impl Admission {
    /// Makes it without a reason; `shards` wakes those that are to follow.
    pub fn new(shards: Arc<Signal>) -> Admission {
        Admission { closures: AtomicU8::new(0), shards }
    }

    /// Sets (`true`) or ends a reason. A shard that is asked for something after this has followed
    /// before it answers.
    pub fn set(&self, closure: Closure, on: bool) {
        // It publishes no other memory, so no ordering is needed.
        match on {
            true => self.closures.fetch_or(closure as u8, Ordering::Relaxed),
            false => self.closures.fetch_and(!(closure as u8), Ordering::Relaxed),
        };
        self.shards.wake();
    }

    /// Whether this reason is there.
    pub fn has(&self, closure: Closure) -> bool {
        self.closures.load(Ordering::Relaxed) & closure as u8 != 0
    }

    /// Whether connections are taken.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.closures.load(Ordering::Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_open_when_no_reason_is_left() {
        let admission = Admission::new(Arc::new(Signal::new().expect("an eventfd")));
        admission.set(Closure::Suspension, true);
        admission.set(Closure::Maintenance, true);
        admission.set(Closure::Suspension, false);
        assert!(!admission.is_open() && admission.has(Closure::Maintenance) && !admission.has(Closure::Suspension));
        admission.set(Closure::Maintenance, false);
        assert!(admission.is_open() && admission.shards.was_called());
    }
}

//! A budget: memory that many users share, and how much of it each of them may use.
//!
//! ```text
//! used  [■■■■■■■■■■■■■■□□□□□□□□□□□□□□□□]  total
//!                      └── left ──┘        a share is a part of what is left,
//!                                          at least the floor, at most the ceiling
//! ```
//!
//! A single user may use much. The more memory is in use, the smaller the share of each user, and
//! there is always something left for the next one, so that no user can take it all. (Switches
//! share their buffers among their ports in this way.) The memory in use may exceed the total by as
//! many floors as there are users, and by what each adds in one step.
//!
//! A budget belongs to one shard; other threads may read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::limits::{OUTPUT_MEMORY_PART, OUTPUT_PART, OUTPUT_SIZE_MIN, OUTPUT_SIZE_STALL, OUTPUT_TOTAL_MAX};
use super::limits::{TRANSACTION_PART, TRANSACTION_SIZE_MAX, TRANSACTION_SIZE_MIN, TRANSACTIONS_MEMORY_PART, TRANSACTIONS_TOTAL_MAX};

/// The budget; clones share its state.
#[derive(Clone, Debug)]
pub struct Budget(Arc<State>);

#[derive(Debug)]
struct State {
    used: AtomicUsize,
    /// The share of one user, bytes.
    share: AtomicUsize,
    rules: Rules,
}

/// The rules by which a budget is shared.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Bytes for all users together.
    pub total: usize,
    /// A share is the memory that is left, divided by this number.
    pub part: usize,
    /// The smallest share, bytes.
    pub floor: usize,
    /// The largest share, bytes.
    pub ceiling: usize,
}

/// The budgets of one shard.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// Output that waits for sockets; the users are connections.
    pub output: Budget,
    /// Transactions that are not committed; the users are channels.
    pub uncommitted: Budget,
}

/// The part of a budget that one user uses; given back on drop.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: usize,
}

impl Budgets {
    /// Makes the budgets of one of `shards` shards. `memory_max`: the memory at which an alarm is
    /// raised.
    pub fn of_shard(shards: u16, memory_max: Option<usize>) -> Budgets {
        let memory = memory_max.map_or(usize::MAX, |max| max / usize::from(shards));
        let budget = |total: usize, memory_part, part, floor, ceiling| {
            let total = total.min(memory / memory_part);
            Budget::new(Rules { total, part, floor, ceiling })
        };
        Budgets {
            output: budget(OUTPUT_TOTAL_MAX, OUTPUT_MEMORY_PART, OUTPUT_PART, OUTPUT_SIZE_MIN, OUTPUT_SIZE_STALL),
            uncommitted: budget(
                TRANSACTIONS_TOTAL_MAX,
                TRANSACTIONS_MEMORY_PART,
                TRANSACTION_PART,
                TRANSACTION_SIZE_MIN,
                TRANSACTION_SIZE_MAX,
            ),
        }
    }
}

impl Budget {
    /// Makes a budget of which nothing is in use.
    pub fn new(rules: Rules) -> Budget {
        let budget = Budget(Arc::new(State { used: AtomicUsize::new(0), share: AtomicUsize::new(0), rules }));
        budget.share_out(0);
        budget
    }

    /// The share of one user, bytes.
    #[inline]
    pub fn share(&self) -> usize {
        // The number publishes no other memory, so no ordering is needed.
        self.0.share.load(Ordering::Relaxed)
    }

    /// Bytes that are in use.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Notes that a user that used `before` bytes uses `now`.
    #[inline]
    pub fn change(&self, before: usize, now: usize) {
        if before != now {
            let used = self.used() + now - before;
            self.0.used.store(used, Ordering::Relaxed);
            self.share_out(used);
        }
    }

    /// Adds a user that uses nothing yet.
    pub fn hold(&self) -> Held {
        Held { budget: self.clone(), bytes: 0 }
    }

    fn share_out(&self, used: usize) {
        let Rules { total, part, floor, ceiling } = self.0.rules;
        self.0.share.store((total.saturating_sub(used) / part).clamp(floor, ceiling), Ordering::Relaxed);
    }
}

impl Held {
    /// Sets the number of bytes that the user uses.
    #[inline]
    pub fn set(&mut self, bytes: usize) {
        self.budget.change(self.bytes, bytes);
        self.bytes = bytes;
    }

    /// Number of bytes that the user uses.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of bytes that the user may use in all.
    #[inline]
    pub fn share(&self) -> usize {
        self.budget.share()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { total: 1000, part: 4, floor: 10, ceiling: 200 };

    /// Uses as much as it may, step by step.
    fn fill(held: &mut Held) {
        while held.bytes() < held.share() {
            held.set(held.bytes() + 1);
        }
    }

    #[test]
    fn one_alone_may_hold_much_and_many_leave_something_for_the_next() {
        let budget = Budget::new(RULES);
        let mut first = budget.hold();
        fill(&mut first);
        assert_eq!((first.bytes(), budget.used()), (200, 200));
        let mut others: Vec<Held> = (0..10).map(|_| budget.hold()).collect();
        others.iter_mut().for_each(fill);
        assert!(budget.used() < 1000 && others.iter().all(|held| held.bytes() >= 10), "{others:?}");
        assert!(others[9].bytes() < others[0].bytes());
        drop((first, others));
        assert_eq!((budget.used(), budget.share()), (0, 200));
    }

    #[test]
    fn everyone_gets_the_floor() {
        let budget = Budget::new(RULES);
        let mut many: Vec<Held> = (0..500).map(|_| budget.hold()).collect();
        many.iter_mut().for_each(fill);
        assert!(many.iter().all(|held| held.bytes() >= 10) && budget.used() <= 1000 + 500 * 10);
    }
}

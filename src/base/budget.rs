//! Memory that many use together: how much of it is in use, and how much any one of them may.
//!
//! ```text
//! used  [■■■■■■■■■■■■■■□□□□□□□□□□□□□□□□]  total
//!                      └── left ──┘        one may hold up to a part of what is left, at least the floor, at most the ceiling
//! ```
//!
//! One that is alone may hold much. The more others hold, the less each of them may, and there is always something left for the next one, so that
//! nobody can take it all. (Switches share their buffers among their ports in this way.) What is in use may exceed the total by as many floors as
//! there are users, and by what one step of each adds.
//!
//! A budget belongs to one shard; others may look at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::limits::{OUTPUT_MEMORY_PART, OUTPUT_PART, OUTPUT_SIZE_MIN, OUTPUT_SIZE_STALL, OUTPUT_TOTAL_MAX};
use super::limits::{TRANSACTION_PART, TRANSACTION_SIZE_MAX, TRANSACTION_SIZE_MIN, TRANSACTIONS_MEMORY_PART, TRANSACTIONS_TOTAL_MAX};

/// The budget; a copy is the same one.
#[derive(Clone, Debug)]
pub struct Budget(Arc<State>);

#[derive(Debug)]
struct State {
    used: AtomicUsize,
    /// What one may hold now.
    share: AtomicUsize,
    rules: Rules,
}

/// How a budget is shared.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Bytes for all together.
    pub total: usize,
    /// One may hold what is left divided by this.
    pub part: usize,
    /// What one may hold in any case, bytes.
    pub floor: usize,
    /// What one may hold at most, bytes.
    pub ceiling: usize,
}

/// The budgets of one shard.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// Output that waits for sockets, by connection.
    pub output: Budget,
    /// Transactions that are not committed, by channel.
    pub uncommitted: Budget,
}

/// What one user holds of a budget; given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: usize,
}

impl Budgets {
    /// For one of so many shards, of which all together use this memory at most before an alarm is raised.
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
    /// Of which nothing is used.
    pub fn new(rules: Rules) -> Budget {
        let budget = Budget(Arc::new(State { used: AtomicUsize::new(0), share: AtomicUsize::new(0), rules }));
        budget.share_out(0);
        budget
    }

    /// What one may hold now, bytes.
    #[inline]
    pub fn share(&self) -> usize {
        // Nothing else is told by these numbers, so no order is needed.
        self.0.share.load(Ordering::Relaxed)
    }

    /// Bytes that are in use.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Somebody who held `before` bytes holds `now`.
    #[inline]
    pub fn change(&self, before: usize, now: usize) {
        if before != now {
            let used = self.used() + now - before;
            self.0.used.store(used, Ordering::Relaxed);
            self.share_out(used);
        }
    }

    /// Begins to hold; nothing yet.
    pub fn hold(&self) -> Held {
        Held { budget: self.clone(), bytes: 0 }
    }

    fn share_out(&self, used: usize) {
        let Rules { total, part, floor, ceiling } = self.0.rules;
        self.0.share.store((total.saturating_sub(used) / part).clamp(floor, ceiling), Ordering::Relaxed);
    }
}

impl Held {
    /// Holds so many bytes from now on.
    #[inline]
    pub fn set(&mut self, bytes: usize) {
        self.budget.change(self.bytes, bytes);
        self.bytes = bytes;
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What may be held now, all told, bytes.
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

    /// Takes as much as it may, step by step.
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

//! Parking: the input of a connection waits, for any number of reasons, and goes on when the last
//! one has ended.
//!
//! ```text
//! Conns::park, a shared reason       ─▶ the connection's set of reasons, and the reason's list
//! its end, resume_all                ─▶ all in the list: resumed ─ next turn ─▶ input
//! Conn::park, a reason of one's own  ─▶ the connection's set of reasons
//! its end, unpark                    ─▶ input
//! ```
//!
//! The lists are in [`Conns`](super::Conns). One event ends each reason. Two more are not in the
//! set: the end of a channel or connection, until its last word (`lifecycle::say_last`), and an alarm
//! during which the session wants to publish (`turn::follow_alarms`). A publisher that floods a queue
//! is not parked: its socket is not read ([`flow`](crate::shard::publish::flow)).

/// A reason for which the input of a connection waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// One that ends for all connections at once.
    Shared(SharedReason),
    /// One that ends for this connection alone.
    Own(OwnReason),
}

/// A reason that ends for all connections at once. Each has a list of the connections that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SharedReason {
    /// A link has no room for more publishes. Ended when all links have room again, by
    /// `turn::send_mail`.
    Link,
    /// Stored messages need memory that is being prepared. Ended when it is, by
    /// `turn::resume_parked`.
    Memory,
    /// The log holds back too much. Ended when the disk has taken some, by `durability::seal_log`.
    Log,
}

/// A reason that ends for one connection alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnReason {
    /// It has spent its share of this turn. Ended in its turn, by `work::serve_waiting`.
    Turn,
    /// A request or a commit is not answered yet. Ended by the answer, in
    /// `control::request::end_request`.
    Answer,
    /// Too much output waits. Ended when the socket takes some, by `outbox::flush_output`.
    Output,
    /// A job for it is under way: a tx.commit, or a settlement of very many messages. Ended by the
    /// job.
    Job,
}

impl SharedReason {
    /// All of them.
    pub const ALL: [SharedReason; 3] = [SharedReason::Link, SharedReason::Memory, SharedReason::Log];
}

/// A set of reasons.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reasons(u8);

impl Reasons {
    /// Adds a reason. Returns whether it is new.
    pub fn add(&mut self, reason: Reason) -> bool {
        let is_new = !self.has(reason);
        self.0 |= bit(reason);
        is_new
    }

    /// Removes a reason. Returns whether it was there.
    pub fn remove(&mut self, reason: Reason) -> bool {
        let was_there = self.has(reason);
        self.0 &= !bit(reason);
        was_there
    }

    /// Whether this is one of the reasons.
    #[inline]
    pub fn has(self, reason: Reason) -> bool {
        self.0 & bit(reason) != 0
    }

    /// Whether there is no reason.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[inline]
fn bit(reason: Reason) -> u8 {
    match reason {
        Reason::Shared(reason) => 1 << reason as usize,
        Reason::Own(reason) => 1 << (SharedReason::ALL.len() + reason as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_end_one_by_one() {
        let (link, log, turn) = (Reason::Shared(SharedReason::Link), Reason::Shared(SharedReason::Log), Reason::Own(OwnReason::Turn));
        let mut reasons = Reasons::default();
        assert_eq!([link, turn, link].map(|reason| reasons.add(reason)), [true, true, false]);
        assert!(reasons.has(link) && !reasons.has(log));
        assert_eq!((reasons.remove(link), reasons.remove(link), reasons.is_empty()), (true, false, false));
        assert!(reasons.remove(turn) && reasons.is_empty());
    }
}

//! Settlements of very many messages: a consumer without a prefetch limit has millions of them, and
//! acknowledges them by one command, or ends.
//!
//! ```text
//! basic.ack, basic.nack, basic.recover ─▶ some at once ─▶ rest: [channel, last tag] ──┐
//! end of a channel or connection ───────▶ some at once ─▶ rest: its unsettled messages ─┼─▶ a job
//! consumer that was late ───────────────▶ some at once ─▶ rest: its unsettled messages ─┤
//! tx.rollback ──────────────────────────▶ some at once ─▶ rest: those it had settled ───┘
//! ```
//!
//! Messages that go back to their queue come back in several parts, the oldest first. Until the
//! last part is back, the queue delivers none: otherwise a consumer would get later messages in
//! between.

use std::collections::BTreeSet;

use crate::base::ids::{ConnId, QueueAddr, QueueId};
use crate::base::limits::SETTLE_SHARE;
use crate::contract::session::{Rest, Unsettled};
use crate::contract::{Outcome, Receipts};
use crate::shard::Shard;
use crate::shard::conns::lifecycle::{Homes, Last};
use crate::shard::conns::parking::OwnReason;
use crate::shard::jobs::Job;
use crate::shard::local_queue;
use crate::shard::peers::mail::Mail;

/// A settlement of very many messages.
pub struct Settling {
    what: What,
    /// Queues that deliver nothing until the settlement is complete.
    returning: BTreeSet<QueueAddr>,
}

/// The messages to be settled.
enum What {
    /// Messages of a connection that an acknowledgement covers.
    Rest(ConnId, Rest),
    /// The same within a transaction, which keeps them for its commit.
    AtCommit(ConnId, Rest),
    /// Unsettled messages of a channel or connection that ended.
    Left(Left),
    /// Messages that a consumer has kept for too long.
    Late(Unsettled),
    /// Messages that a transaction has settled, and that become unsettled again.
    Rollback(ConnId),
}

/// The end of a channel or connection.
pub struct Left {
    conn: ConnId,
    unsettled: Unsettled,
    /// Other shards that have a part in it.
    homes: Homes,
    /// The answer of the connection at the end; none if nobody listens.
    last: Option<Last>,
}

impl Left {
    /// Makes the end of a channel or connection from its unsettled messages.
    pub fn new(conn: ConnId, unsettled: Unsettled, homes: Homes, last: Option<Last>) -> Left {
        Left { conn, unsettled, homes, last }
    }
}

impl Shard {
    /// Makes a job of the rest of a settlement; `receipts` were its first messages.
    pub(in crate::shard) fn settle_rest(&mut self, id: ConnId, rest: Rest, receipts: &Receipts) {
        let mut settling = Settling { what: What::Rest(id, rest), returning: BTreeSet::new() };
        self.hold_returning(&mut settling, receipts);
        self.conns.get_mut(id).expect("a client that settles is connected").park(OwnReason::Job);
        self.jobs.push_back(Job::Settle(settling));
    }

    /// Makes a job of the rest of a settlement within a transaction.
    pub(in crate::shard) fn settle_rest_at_commit(&mut self, id: ConnId, rest: Rest) {
        self.settle_later(id, What::AtCommit(id, rest));
    }

    /// Rolls a transaction back: its messages are dropped, and the deliveries that it had settled
    /// are unsettled again.
    pub(in crate::shard) fn on_rollback(&mut self, id: ConnId, channel: u16) {
        let conn = self.conns.touch(id).expect("a client that rolls back is connected");
        conn.session.begin_rollback(channel, conn.channels.take_transaction(channel).settles);
        if conn.session.roll_back() {
            self.settle_later(id, What::Rollback(id));
        }
    }

    /// Parks a connection until a job for it is done, which returns nothing to queues.
    fn settle_later(&mut self, id: ConnId, what: What) {
        self.conns.get_mut(id).expect("a client that settles is connected").park(OwnReason::Job);
        self.jobs.push_back(Job::Settle(Settling { what, returning: BTreeSet::new() }));
    }

    /// Gives the unsettled messages of a channel or connection that ended back to their queues.
    pub(in crate::shard) fn settle_left(&mut self, left: Left) {
        let (id, last) = (left.conn, left.last);
        let mut settling = Settling { what: What::Left(left), returning: BTreeSet::new() };
        if !self.settle_part(&mut settling) {
            return self.end_settling(settling);
        }
        if let (Some(conn), Some(last)) = (self.conns.get_mut(id), last) {
            conn.last_word = Some((1, last)); // it waits for this job
        }
        self.jobs.push_back(Job::Settle(settling));
    }

    /// Gives messages that a consumer has kept for too long back to their queue.
    pub(in crate::shard) fn settle_late(&mut self, unsettled: Unsettled) {
        let mut settling = Settling { what: What::Late(unsettled), returning: BTreeSet::new() };
        match self.settle_part(&mut settling) {
            true => self.jobs.push_back(Job::Settle(settling)),
            false => self.end_settling(settling),
        }
    }

    /// Goes on with a settlement.
    pub(in crate::shard) fn go_on_settling(&mut self, mut settling: Settling) {
        while self.settle_part(&mut settling) {
            if self.work.is_share_spent() || !self.has_room_for_jobs() {
                return self.jobs.push_back(Job::Settle(settling));
            }
        }
        self.end_settling(settling);
    }

    /// Settles a part. Returns whether more is left.
    fn settle_part(&mut self, settling: &mut Settling) -> bool {
        let mut receipts = std::mem::take(&mut self.queues.receipts);
        let (is_more, outcome) = match &mut settling.what {
            What::Rest(id, rest) => {
                let conn = self.conns.touch(*id).expect("a connection stays until its job is done");
                (conn.session.settle_rest(rest, &mut receipts), rest.outcome)
            }
            What::AtCommit(id, rest) => (self.settle_more_at_commit(*id, rest), Outcome::Acked),
            What::Rollback(id) => {
                let conn = self.conns.touch(*id).expect("a connection stays until its job is done");
                (conn.session.roll_back(), Outcome::Acked)
            }
            What::Late(unsettled) => {
                unsettled.take(&mut receipts);
                (!unsettled.is_empty(), Outcome::Requeued)
            }
            What::Left(left) => {
                left.unsettled.take(&mut receipts);
                left.homes.extend(receipts.runs().map(|(queue, ..)| queue.home));
                left.homes.sort_unstable();
                left.homes.dedup();
                (!left.unsettled.is_empty(), Outcome::Failed)
            }
        };
        if is_more {
            self.hold_returning(settling, &receipts);
        }
        self.work.spend(SETTLE_SHARE / SETTLED_PER_STEP);
        self.settle_all(&receipts, outcome);
        receipts.clear();
        self.queues.receipts = receipts;
        is_more
    }

    /// Ends a settlement.
    fn end_settling(&mut self, settling: Settling) {
        for queue in settling.returning {
            self.tell_returning(queue, false);
        }
        match settling.what {
            What::Rest(id, _) | What::AtCommit(id, _) | What::Rollback(id) => {
                self.conns.get_mut(id).expect("a connection stays until its job is done").unpark(OwnReason::Job);
                self.conns.resumed.push_back(id);
            }
            What::Late(_) => {}
            What::Left(Left { conn, mut homes, last, .. }) => {
                homes.retain(|home| *home != self.id);
                self.end_left(conn, &homes, last);
            }
        }
    }

    /// Lets queues wait whose messages come back in several parts.
    fn hold_returning(&mut self, settling: &mut Settling, receipts: &Receipts) {
        let outcome = match &settling.what {
            What::Rest(_, rest) => rest.outcome,
            What::Left(_) => Outcome::Failed,
            What::Late(_) => Outcome::Requeued,
            What::AtCommit(..) | What::Rollback(_) => return,
        };
        if matches!(outcome, Outcome::Acked | Outcome::Discarded) {
            return;
        }
        for (queue, ..) in receipts.runs() {
            if settling.returning.insert(queue) {
                self.tell_returning(queue, true);
            }
        }
    }

    fn tell_returning(&mut self, addr: QueueAddr, is_more: bool) {
        self.send(addr.home, Mail::Returning(addr.queue, is_more));
    }

    /// Notes that messages of a queue here are on their way back, or (`is_more` is false) have all
    /// arrived.
    pub(in crate::shard) fn on_returning(&mut self, id: QueueId, is_more: bool) {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        if is_more {
            queue.begin_returning();
            return;
        }
        if queue.end_returning() {
            self.mark_queue(id);
            self.retry_getters();
        }
    }
}

/// Messages whose settlement costs about a step.
pub const SETTLED_PER_STEP: usize = 8;

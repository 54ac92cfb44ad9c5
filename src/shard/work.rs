//! The budget of a turn: work is counted, and work beyond the budget waits for later turns, so that
//! no client holds up the others.
//!
//! ```text
//! input ─▶ spend(steps) ─┬ connection's share spent ─▶ waiting: [conn][conn][conn] ─▶ a share each
//!                        └ turn's budget spent ──────▶ the rotation goes on in the next turn
//! ```
//!
//! A step is about the work of giving a message to one more queue (some 300 ns). Only work of which
//! few bytes of input can cause much is counted: copies of a message beyond the first, nodes that
//! routing looks at beyond a handful, jobs, timers, mail and the service of queues. All other work
//! is bounded by the bytes that cause it.
//!
//! The budget is renewed for each kind of work in a turn: input, mail, timers, jobs, waiting
//! connections, republishing (dead and delayed messages) and deliveries. So none of them starves
//! another.

use std::collections::VecDeque;

use super::Shard;
use crate::base::ids::{ConnId, QueueId};
use crate::base::limits::{SHARE_STEPS_MAX, TURN_STEPS_MAX};
use crate::shard::conns::parking::OwnReason;

/// The rest of the budget, and the connections that wait for more.
pub struct Work {
    /// Steps that the turn has left.
    left: usize,
    /// Steps of these that the connection in hand may take.
    share: usize,
    waiting: VecDeque<ConnId>,
    /// Queues whose timer has fired.
    pub due_queues: VecDeque<QueueId>,
}

impl Default for Work {
    fn default() -> Work {
        Work { left: TURN_STEPS_MAX, share: SHARE_STEPS_MAX, waiting: VecDeque::new(), due_queues: VecDeque::new() }
    }
}

impl Work {
    /// Renews the budget.
    pub fn renew(&mut self) {
        self.left = TURN_STEPS_MAX;
    }

    /// Gives a share of the rest to the next connection.
    pub fn begin_share(&mut self) {
        self.share = self.left.min(SHARE_STEPS_MAX);
    }

    /// Counts work that was done.
    #[inline]
    pub fn spend(&mut self, steps: usize) {
        self.left = self.left.saturating_sub(steps);
        self.share = self.share.saturating_sub(steps);
    }

    /// Returns the steps that the connection or job in hand may still take.
    pub fn share(&self) -> usize {
        self.share
    }

    /// Whether the connection in hand has spent its share.
    #[inline]
    pub fn is_share_spent(&self) -> bool {
        self.share == 0
    }

    /// Whether the turn's budget is spent.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Whether a connection or a queue waits.
    pub fn is_wanted(&self) -> bool {
        !self.waiting.is_empty() || !self.due_queues.is_empty()
    }
}

impl Shard {
    /// Lets a connection that has spent its share wait; its input goes on in its turn.
    pub(super) fn wait_for_turn(&mut self, id: ConnId) {
        if self.conns.get_mut(id).is_some_and(|conn| conn.park(OwnReason::Turn)) {
            self.work.waiting.push_back(id);
        }
    }

    /// Resumes connections that have waited, as far as the budget reaches.
    pub(super) fn serve_waiting(&mut self) {
        while !self.work.is_spent()
            && let Some(id) = self.work.waiting.pop_front()
        {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.unpark(OwnReason::Turn);
                self.resume_input(id);
            }
        }
    }
}

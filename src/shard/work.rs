//! The budget of a turn: work is counted, and past the budget the rest waits for later turns, so
//! that no client holds up the others.
//!
//! ```text
//! input ─▶ spend(steps) ── share of the connection spent ─▶ waiting: [conn][conn][conn] ─▶ a share each, in rotation
//!                       └─ budget of the turn spent ──────▶ the rotation goes on in the next turn
//! ```
//!
//! A step is about the work of giving a message to one more queue (some 300 ns). Counted is what
//! few bytes of input can ask much of: copies beyond a message's first, what routing looks at beyond a
//! handful, and what jobs, timers, mail and queues with messages do. All other work is bounded by
//! the bytes that ask for it.
//!
//! The budget is renewed for each of the kinds of work that follow one another: what the sockets
//! bring, mail, timers, jobs, what waits, messages that are published again (dead or delayed), and
//! deliveries. So none of them starves another.

use std::collections::VecDeque;

use super::Shard;
use crate::base::ids::{ConnId, QueueId};
use crate::base::limits::{SHARE_STEPS_MAX, TURN_STEPS_MAX};

/// What is left of the budget, and the connections that wait for more.
pub struct Work {
    /// Steps that the turn has left.
    left: usize,
    /// Those of them that are for the connection in hand.
    share: usize,
    waiting: VecDeque<ConnId>,
    /// Queues whose time has come.
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

    /// Gives a share of what is left to the next connection.
    pub fn begin_share(&mut self) {
        self.share = self.left.min(SHARE_STEPS_MAX);
    }

    /// Counts work that was done.
    #[inline]
    pub fn spend(&mut self, steps: usize) {
        self.left = self.left.saturating_sub(steps);
        self.share = self.share.saturating_sub(steps);
    }

    /// Steps that the connection or the job in hand may still take.
    pub fn share(&self) -> usize {
        self.share
    }

    /// Whether the connection in hand has had its share.
    #[inline]
    pub fn is_share_spent(&self) -> bool {
        self.share == 0
    }

    /// Whether the turn's budget is spent.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Whether somebody waits.
    pub fn is_wanted(&self) -> bool {
        !self.waiting.is_empty() || !self.due_queues.is_empty()
    }
}

impl Shard {
    /// The connection has had its share: what it has sent goes on when it is its turn again.
    pub(super) fn wait_for_turn(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.waits_for_turn) {
            conn.waits_for_turn = true;
            self.work.waiting.push_back(id);
        }
    }

    /// Connections that have waited go on, as far as the budget reaches.
    pub(super) fn serve_waiting(&mut self) {
        while !self.work.is_spent()
            && let Some(id) = self.work.waiting.pop_front()
        {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.waits_for_turn = false;
                self.resume_input(id);
            }
        }
    }
}

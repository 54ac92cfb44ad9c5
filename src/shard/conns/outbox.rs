//! Output: one gathered send per connection that was written to, and the end of connections that
//! have sent everything.

use std::collections::VecDeque;

use crate::base::budget::Budgets;
use crate::base::ids::ConnId;
use crate::base::outgoing::Outgoing;
use crate::contract::Count;
use crate::shard::Action;
use crate::shard::Shard;
use crate::shard::conns::conn::Conn;
use crate::shard::conns::credit::recheck_waiting;
use crate::shard::conns::parking::OwnReason;

impl Shard {
    /// Returns the budgets of the connections here.
    pub fn budgets(&self) -> &Budgets {
        &self.conns.budgets
    }

    /// A send is done: its buffer is used again, and output that was written meanwhile follows.
    pub fn on_sent(&mut self, id: ConnId, batch: Outgoing) {
        self.conns.keep(batch, self.config.send_buffer_size);
        if let Some(conn) = self.conns.get_mut(id) {
            (conn.sending, conn.in_flight) = (false, 0);
            conn.count_output();
            if conn.ending || !conn.session.output_mut().is_empty() {
                self.conns.touch(id);
            }
        }
    }

    /// Hands the output of every connection that was written to over to the driver.
    pub(in crate::shard) fn flush_output(&mut self) {
        while let Some(id) = self.conns.next_dirty() {
            self.follow_timer(id);
            let Some(conn) = self.conns.get_mut(id) else { continue };
            let confirmed = conn.session.flush_confirms();
            self.tally.counts.add(Count::Confirm, confirmed as usize);
            conn.count_output();
            if conn.sending {
                continue; // its completion leads back here
            }
            let output = conn.session.output_mut();
            if !output.is_empty() {
                let batch = conn.session.take_output();
                (conn.sending, conn.in_flight) = (true, batch.len());
                conn.traffic.send(batch.len());
                self.actions.push_back(Action::Send(id, batch));
                if conn.unpark(OwnReason::Output) {
                    self.conns.resumed.push_back(id);
                }
                recheck_waiting(self, id);
            } else if conn.ending {
                self.close(id);
            } else {
                let unused = std::mem::take(output);
                self.conns.keep(unused, self.config.send_buffer_size);
            }
        }
    }

    /// Replaces the connection's timer if a new state of its session has another time limit.
    fn follow_timer(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.ending && conn.session.wants_timer()) {
            let due = conn.on_timer(self.now);
            self.set_timer(id, due);
        }
    }
}

/// Asks the driver to stop or resume reading a connection's socket, unless it does so already. A
/// pause during an alarm may last for hours, so the peer's end must be noticed all the same: the
/// connection may hold exclusive queues.
pub(in crate::shard) fn set_paused(actions: &mut VecDeque<Action>, conn: &mut Conn, id: ConnId, paused: bool) {
    if conn.paused != paused {
        conn.paused = paused;
        actions.push_back(if paused { Action::Pause(id) } else { Action::Resume(id) });
        if paused && conn.session.is_alarmed() {
            actions.push_back(Action::Watch(id));
        }
    }
}

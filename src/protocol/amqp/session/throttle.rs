//! The effect of alarms on a connection. A connection that publishes is told once, and is not read
//! any more until all alarms are over. As in RabbitMQ, a publish counts when its content arrives;
//! one before the alarm does not count.
//!
//! ```text
//! alarm on        Free ─ content frame ─▶ announced ─ next poll: connection.blocked ─▶ Blocked
//! all alarms off   ▲                                                                      │
//!                  └───────────────────── connection.unblocked ──────────────────────────┘
//! ```
//!
//! While the disk is full, declarations and commits wait as well. The client is then told so until
//! it has its answer, but it is still read.

use super::*;
use crate::base::alarms::{Alarm, AlarmSet};
use crate::protocol::amqp::method::connection;

/// The state of alarms of a connection.
#[derive(Debug, Default)]
pub struct Throttle {
    /// The alarms that are on, as far as the connection knows.
    pub alarms: AlarmSet,
    /// Whether the connection has published while an alarm was on.
    pub blocked: bool,
    /// Whether the client was told, if it supports that.
    pub told: bool,
}

impl Session {
    /// Takes the broker's present alarms. Returns true if the connection was blocked and is not
    /// now: its input is read again.
    pub fn on_alarms(&mut self, alarms: AlarmSet) -> bool {
        self.throttle.alarms = alarms;
        if !alarms.is_empty() {
            self.await_disk();
            return false;
        }
        self.announcements.retain(|one| !matches!(one, Announcement::Blocked));
        let was_blocked = std::mem::take(&mut self.throttle.blocked);
        self.tell_unblocked();
        was_blocked
    }

    /// Notes that the answer that the client waits for, if any, must be on the disk first. If the
    /// disk is full, the client is told.
    pub fn await_disk(&mut self) {
        if self.throttle.alarms.has(Alarm::DiskFull) && self.pending.is_some() {
            self.tell_blocked();
        }
    }

    /// Notes that the client has its answer.
    pub(super) fn end_wait(&mut self) {
        if !self.throttle.blocked {
            self.tell_unblocked();
        }
    }

    /// Whether the connection has published while an alarm is on. Then it is not read.
    #[inline]
    pub fn is_blocked(&self) -> bool {
        self.throttle.blocked
    }

    /// Whether an alarm is on, as far as the connection knows.
    pub fn is_alarmed(&self) -> bool {
        !self.throttle.alarms.is_empty()
    }

    /// Notes that a part of a message's content has arrived.
    pub(super) fn on_content(&mut self) {
        if self.is_alarmed() && self.stage == Stage::Running {
            self.announcements.push_back(Announcement::Blocked);
        }
    }

    /// Blocks a client that publishes: it is told, and not read any more.
    pub(super) fn block(&mut self) {
        self.throttle.blocked = true;
        self.tell_blocked();
    }

    /// Tells the client once, if it supports that.
    fn tell_blocked(&mut self) {
        if !std::mem::replace(&mut self.throttle.told, true) && self.client.blocked {
            connection::Blocked { reason: reason(self.throttle.alarms) }.write(0, self.output.bytes_mut());
        }
    }

    fn tell_unblocked(&mut self) {
        if std::mem::take(&mut self.throttle.told) && self.client.blocked {
            connection::Unblocked {}.write(0, self.output.bytes_mut());
        }
    }
}

/// RabbitMQ's text for the present alarms. The client is not told when others are raised or some
/// are cleared.
fn reason(alarms: AlarmSet) -> &'static str {
    match (alarms.low_on_disk(), alarms.low_on_memory()) {
        (true, true) => "low on disk & memory",
        (true, false) => "low on disk",
        (false, _) => "low on memory",
    }
}

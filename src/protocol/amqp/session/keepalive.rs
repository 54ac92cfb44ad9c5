//! Keepalive: the time limits of one connection. They are the handshake's limit, heartbeats both
//! ways, and how long a closing connection may take.
//!
//! No clock is read per message. Input and output leave a mark, and a tick looks at the marks:
//! every half heartbeat interval for output, every whole one for input. A peer that was silent for
//! two whole intervals is considered gone (as in RabbitMQ).
//!
//! A heartbeat is sent at every tick before which nothing else was sent since the last one, and at
//! the first tick in any case. So a client never waits a whole interval for a sign of life, after
//! which some clients close the connection. Octets count for the half interval in which they are
//! first seen:
//!
//! ```text
//! output   [ seen: heartbeats, and octets counted by the last tick | new: sent in this half ]
//! ```

/// The marks and the deadline.
#[derive(Debug)]
pub struct Keepalive {
    /// Whether something was received since the last look.
    pub received: bool,
    /// Whether anything except heartbeats was sent since the last tick.
    sent: bool,
    /// Number of octets at the front of the output that were counted before.
    seen: usize,
    /// Milliseconds between two ticks: half an interval. 0 for no heartbeats.
    half_interval: u64,
    ticks: u32,
    silent_intervals: u32,
    due: Option<u64>,
    /// How long the present state may last from the next tick on, milliseconds.
    allowance: Option<u64>,
}

/// The action after a tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tick {
    /// Nothing.
    Quiet,
    /// Send a heartbeat.
    Heartbeat,
    /// The state has lasted too long, or the peer is gone.
    Expired,
}

impl Keepalive {
    /// Begins with a connection that must be open at `now + handshake_ms`.
    pub fn new(now: u64, handshake_ms: u64) -> Keepalive {
        Keepalive {
            received: false,
            sent: false,
            seen: 0,
            half_interval: 0,
            ticks: 0,
            silent_intervals: 0,
            due: Some(now + handshake_ms),
            allowance: None,
        }
    }

    /// Begins heartbeats every `heartbeat` seconds; 0 is none. The limit of the state before is
    /// void.
    pub fn start_heartbeats(&mut self, heartbeat: u16) {
        self.half_interval = u64::from(heartbeat) * 500;
        self.ticks = 0;
        self.allowance = Some(self.half_interval);
    }

    /// Seconds between heartbeats; 0 is none.
    pub fn heartbeat(&self) -> u64 {
        self.half_interval / 500
    }

    /// Notes the size of the waiting output, octets.
    pub fn look_at_output(&mut self, len: usize) {
        self.sent |= len > self.seen;
        self.seen = len;
    }

    /// Notes that the output has this size, and that nothing in it shows that anything except
    /// heartbeats was sent.
    pub fn count_no_more(&mut self, len: usize) {
        self.seen = len;
    }

    /// Notes that the output was taken; later output is new.
    pub fn output_taken(&mut self) {
        self.seen = 0;
    }

    /// Ends the present state after `ms` milliseconds, and ends heartbeats.
    pub fn limit(&mut self, ms: u64) {
        self.half_interval = 0;
        self.allowance = Some(ms);
    }

    /// Whether the time of the next tick has changed since the last tick.
    pub fn is_stale(&self) -> bool {
        self.allowance.is_some()
    }

    /// When the next tick is due; `None` if there is no limit.
    pub fn due(&self) -> Option<u64> {
        self.due
    }

    /// Looks at the marks, and returns what to do.
    pub fn tick(&mut self, now: u64) -> Tick {
        if let Some(allowance) = self.allowance.take() {
            self.due = (allowance > 0).then_some(now + allowance);
        }
        let Some(due) = self.due.filter(|&due| due <= now) else {
            return Tick::Quiet;
        };
        if self.half_interval == 0 {
            self.due = None;
            return Tick::Expired;
        }
        self.due = Some((due + self.half_interval).max(now + 1));
        self.heartbeat_tick()
    }

    fn heartbeat_tick(&mut self) -> Tick {
        self.ticks += 1;
        if self.ticks.is_multiple_of(2) {
            self.silent_intervals = if self.received { 0 } else { self.silent_intervals + 1 };
            self.received = false;
        }
        if self.silent_intervals == SILENT_INTERVALS_MAX {
            return Tick::Expired;
        }
        // RabbitMQ sends the first one in any case: the last output may be half an interval old
        // already.
        let was_sent = std::mem::take(&mut self.sent) && self.ticks > 1;
        if was_sent { Tick::Quiet } else { Tick::Heartbeat }
    }
}

/// After this number of whole intervals without input, the peer is considered gone.
const SILENT_INTERVALS_MAX: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_has_its_limit() {
        let mut keepalive = Keepalive::new(1000, 10_000);
        assert_eq!((keepalive.tick(5000), keepalive.due()), (Tick::Quiet, Some(11_000)));
        assert_eq!(keepalive.tick(11_000), Tick::Expired);
    }

    #[test]
    fn without_heartbeats_an_open_connection_has_no_limit() {
        let mut keepalive = Keepalive::new(0, 10_000);
        keepalive.start_heartbeats(0);
        assert!(keepalive.is_stale());
        assert_eq!((keepalive.tick(1), keepalive.due(), keepalive.is_stale()), (Tick::Quiet, None, false));
        keepalive.limit(30_000);
        assert_eq!((keepalive.tick(5), keepalive.due()), (Tick::Quiet, Some(30_005)));
    }

    #[test]
    fn a_heartbeat_is_sent_when_nothing_else_was() {
        let mut keepalive = Keepalive::new(0, 10_000);
        keepalive.start_heartbeats(10);
        assert_eq!((keepalive.tick(0), keepalive.due()), (Tick::Quiet, Some(5000)));
        assert_eq!(keepalive.tick(4999), Tick::Quiet);
        assert_eq!(keepalive.tick(5000), Tick::Heartbeat);
        keepalive.look_at_output(1);
        keepalive.received = true;
        assert_eq!((keepalive.tick(10_000), keepalive.due()), (Tick::Quiet, Some(15_000)));
        assert_eq!(keepalive.tick(15_000), Tick::Heartbeat);
    }

    #[test]
    fn octets_of_output_count_once() {
        let mut keepalive = Keepalive::new(0, 10_000);
        keepalive.start_heartbeats(10);
        keepalive.look_at_output(20);
        assert_eq!((keepalive.tick(0), keepalive.tick(5000)), (Tick::Quiet, Tick::Heartbeat), "the first in any case");
        keepalive.look_at_output(20);
        assert_eq!(keepalive.tick(10_000), Tick::Heartbeat, "nothing is new");
        keepalive.output_taken();
        keepalive.look_at_output(20);
        keepalive.received = true;
        assert_eq!(keepalive.tick(15_000), Tick::Quiet);
    }

    #[test]
    fn a_peer_that_is_silent_for_two_intervals_is_gone() {
        let mut keepalive = Keepalive::new(0, 10_000);
        keepalive.start_heartbeats(10);
        keepalive.received = true;
        let ticks: Vec<Tick> = (0..=6).map(|n| keepalive.tick(n * 5000)).collect();
        assert_eq!(ticks[..6], [Tick::Quiet, Tick::Heartbeat, Tick::Heartbeat, Tick::Heartbeat, Tick::Heartbeat, Tick::Heartbeat]);
        assert_eq!(ticks[6], Tick::Expired);
    }
}

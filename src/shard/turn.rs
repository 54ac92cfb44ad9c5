//! The turn: what a shard does after its driver has told it what happened, in a fixed order.
//!
//! ```text
//! before  the driver      on_bytes, on_sent, on_closed, on_log_*: parsed, routed, enqueued
//! in      1 mail          publishes, settlements, answers and credit of other shards
//!                         (then some queues look their policies up, if these have changed)
//!         2 timers        heartbeats, time-outs, expiry of messages and queues
//!         3 input         connections whose wait is over, jobs, connections owed a share
//!         4 republishing  surplus messages leave; dead and delayed messages go to their queues
//! serve   5 queues        each queue with messages and a consumer that is ready, once; then
//!                         operators' queries and traces
//! out     6 the log       all that gathered becomes one write
//!         7 output        one send per connection
//!         8 flow          publishers that flood a queue are held
//!         9 mail          one release store and at most one wake per peer
//! after   the driver      carries out the actions, sleeps until `Turn::due` unless `Turn::again`
//! ```
//!
//! **Why this order.** Everything that can bring a message, a consumer or credit comes before the
//! queues are served, so that a queue is served once per turn and with all of it. Everything that
//! serving a queue produces comes after it: deliveries and confirms share one send per connection,
//! and what a delivery to a consumer without acknowledgements settles shares the write of the log.
//! Flow control looks at the room that consumers have once their output is on its way. It may send
//! mail, so mail goes last.
//!
//! Batches cost no delay. While a write or a send is under way, all that arrives gathers for the
//! next one; an idle shard sends at once, and writes at once if anybody waits for it. A confirm
//! never waits for a turn of its own: the completion of the write is told before the turn, and the
//! turn sends the confirm.
//!
//! **Why it ends.** Each kind of work has a budget of steps, renewed between the kinds (see
//! [`work`](super::work)), so none starves another. What the budget leaves over makes the answer
//! `again`.

use super::{Action, Shard};
use crate::base::ids::{ConnId, ShardId};
use crate::base::limits::ARENA_TRIM_MS;
use crate::contract::Receipts;
use crate::shard::conns::parking::SharedReason;
use crate::shard::queues::lifetime::Timer;

/// What the driver needs to know after a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// There is more to do at once.
    pub again: bool,
    /// When the next timer is due, in the milliseconds of `now`.
    pub due: Option<u64>,
}

impl Shard {
    /// Takes one turn, at `now` milliseconds. Afterwards the driver carries out the actions.
    pub fn turn(&mut self, now: u64) -> Turn {
        self.now = now;
        self.work.renew();
        self.follow_alarms();
        if !self.durability.store.is_congested() && !self.publishing.relays.is_congested() {
            self.read_mail(); // otherwise publishers on other shards would not feel that the disk, or another shard, is slow
        }
        self.go_on_sweeping();
        self.work.renew();
        self.fire_timers();
        self.resume_parked();
        self.work.renew();
        self.go_on_with_jobs();
        self.work.renew();
        self.serve_waiting();
        self.trim_overfull();
        self.work.renew();
        self.bury_dead();
        self.release_due();
        self.work.renew();
        self.serve_queues();
        self.free_rubbish();
        self.work.renew();
        self.answer_queries();
        self.trace_deliveries();
        self.seal_log();
        self.flush_output();
        self.follow_flow();
        self.send_mail();
        self.actions.extend(self.arena.wish().map(|(address, len)| Action::Prepare(address, len)));
        let queues_wait =
            !self.queues.dirty.is_empty() || !self.queues.rubbish.is_empty() || !self.queues.overfull.is_empty() || self.is_sweeping();
        self.work.renew();
        let again = !self.conns.resumed.is_empty()
            || self.work.is_wanted()
            || queues_wait
            || !self.control.retries.is_empty()
            || !self.control.queries.is_empty()
            || self.conns.any_dirty()
            || self.can_go_on()
            || self.can_bury()
            || self.can_release();
        let due =
            [self.timers.next_due(), self.trim_memory(), self.durability.log_due, self.publishing.flow.due()].into_iter().flatten().min();
        if cfg!(debug_assertions) && self.queues.slots.len() + self.arena.messages() < CHECKED_MAX {
            self.check();
        }
        Turn { again, due }
    }

    /// Gives unused memory of the arena back, a part at a time. Returns when to do so next.
    fn trim_memory(&mut self) -> Option<u64> {
        if !self.arena.has_excess() {
            return None;
        }
        if self.trim_due <= self.now {
            self.trim_due = self.now + ARENA_TRIM_MS;
            self.arena.trim();
        }
        Some(self.trim_due)
    }

    /// Gives back memory that was kept for the next burst, because the shard is quiet or memory is
    /// short. The arena gives its own back over the turns to come.
    pub fn give_memory_back(&mut self) {
        self.arena.give_back();
        self.conns.give_back();
        self.durability.store.give_back();
        (self.queues.over, self.publishing.stored, self.queues.receipts) = (Vec::new(), Vec::new(), Receipts::default());
        self.queues.due.shrink_to(0);
        self.durability.waits.give_back();
        self.actions.shrink_to(0);
    }

    /// Tells the connections which alarms are on, if that has changed. Blocked connections go on
    /// when none is.
    fn follow_alarms(&mut self) {
        let alarms = self.alarms.get();
        if std::mem::replace(&mut self.conns.known_alarms, alarms) == alarms {
            return;
        }
        for id in self.conns.ids() {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            let (goes_on, paused) = (conn.session.on_alarms(alarms), conn.paused);
            if !conn.session.output_mut().is_empty() {
                self.conns.touch(id);
            }
            if goes_on {
                self.conns.resumed.push_back(id);
            } else if paused && !alarms.is_empty() {
                self.actions.push_back(Action::Watch(id));
            }
        }
    }

    /// Fires the timers that are due. Very many queues may be due at once; those that the budget
    /// does not reach wait for the next turns.
    fn fire_timers(&mut self) {
        let mut due = Vec::new();
        self.timers.advance(self.now, &mut due);
        for timer in due {
            match timer {
                Timer::Conn(id) => self.on_timer(id),
                Timer::Queue(id) => self.work.due_queues.push_back(id),
                Timer::Dead => self.on_dead_timer(),
                Timer::Cycles => self.tell_cycles(),
            }
        }
        while !self.work.is_spent()
            && let Some(id) = self.work.due_queues.pop_front()
        {
            self.work.spend(QUEUE_TIMER_STEPS);
            self.on_queue_timer(id);
        }
    }

    /// Fires a connection's timer: heartbeats and time-outs of the session, or the end of the time
    /// that a closing connection has left.
    fn on_timer(&mut self, id: ConnId) {
        let Some(conn) = self.conns.touch(id) else { return };
        conn.timer = None;
        if conn.ending {
            return self.close(id);
        }
        if conn.paused {
            conn.session.heard(); // its heartbeats are not read, so their absence means nothing
        }
        let due = conn.on_timer(self.now);
        self.set_timer(id, due);
        self.feed_kept(id);
    }

    /// Replaces a connection's timer.
    pub(super) fn set_timer(&mut self, id: ConnId, due: Option<u64>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let old = conn.timer.take();
        conn.timer = due.map(|due| self.timers.set(due, Timer::Conn(id)));
        if let Some(old) = old {
            self.timers.cancel(old);
        }
    }

    /// Tries requests again that wait for the catalog, and resumes connections whose answer came or
    /// for which there is memory again.
    fn resume_parked(&mut self) {
        if self.conns.any_parked(SharedReason::Memory) && !self.arena.is_short() {
            self.conns.resume_all(SharedReason::Memory);
        }
        for from in std::mem::take(&mut self.control.retries) {
            if let Some(request) = self.conns.get_mut(from.conn.conn).and_then(|conn| conn.asked.take()) {
                self.run_request(from, request);
            }
        }
        for _ in 0..self.conns.resumed.len() {
            let id = self.conns.resumed.pop_front().expect("counted");
            self.resume_input(id);
        }
    }

    /// Serves each dirty queue once, as far as the budget reaches. A queue with more to do goes to
    /// the tail.
    fn serve_queues(&mut self) {
        let mut unfinished = std::mem::take(&mut self.queues.unfinished);
        while !self.work.is_spent()
            && let Some(slot) = self.queues.dirty.pop_front()
        {
            let Some(id) = self.queues.slots[slot as usize].as_ref().map(|queue| queue.id) else { continue };
            if self.deliver_queue(id) {
                unfinished.push(slot);
            }
        }
        unfinished.drain(..).for_each(|slot| {
            self.queues.dirty.push_back(slot);
        });
        self.queues.unfinished = unfinished;
    }

    /// Sends the mail: one release store and at most one wake per peer. Publishers and queues that
    /// waited for room in a link go on.
    fn send_mail(&mut self) {
        for (peer, link) in self.peers.links.iter_mut().enumerate() {
            if link.as_mut().is_some_and(|link| link.flush()) {
                self.actions.push_back(Action::Wake(ShardId(peer as u16)));
            }
        }
        let waits = self.conns.any_parked(SharedReason::Link) || !self.queues.blocked.is_empty() || self.publishing.relays.is_congested();
        if waits && self.peers.links.iter().flatten().all(|link| link.has_room()) {
            self.publishing.relays.go_on();
            for id in std::mem::take(&mut self.queues.blocked) {
                self.mark_queue(id);
            }
            self.conns.resume_all(SharedReason::Link);
        }
    }
}

/// Steps that a queue's timer costs, which may end the queue; without the messages that expire.
const QUEUE_TIMER_STEPS: usize = 8;

/// Queues and messages of a shard that is checked after each turn in debug builds, at most.
const CHECKED_MAX: usize = 100;

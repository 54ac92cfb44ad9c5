//! How long messages and queues live: TTL at any place in a queue, length limits, expiry of unused
//! queues (rows D11 to D14, N2).
//!
//! Each such queue has one timer, for the earliest of its deadlines. A message whose time is over
//! while a consumer has it expires when it comes back. A message that only the log has expires when
//! it is read; a queue whose messages may expire is read as far as memory allows.
//!
//! Nothing ends early. The shard's time was read when the turn began and is rounded down, so every
//! duration counts from the next millisecond on ([`Shard::span_start`]). A message with a TTL of 0
//! is gone before anybody else can ask for it, but not before the log has it.
//!
//! The queue decides when a message expires or is ready again (`broker::queue::{deadlines, retry}`),
//! from the message's own TTL and its settings (`settings`, `earlier_ttls`), and when it has to be
//! looked at next; here is what follows: timers, the log, dead letters.

use crate::base::ids::{Key, QueueId};
use crate::base::limits::{EXPIRE_BUDGET, TRIM_BUDGET, TRIMS_MAX};
use crate::broker::arena::Arena;
use crate::broker::dead_letter::Reason;
use crate::broker::queue::{AT_ONCE, Passed, Queue, Settings};
use crate::contract::{Entry, Outcome};
use crate::message::{MessageView, Properties, Stamp};
use crate::shard::Shard;
use crate::shard::local_queue;

/// The purpose of a timer of the shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// The timer of a connection.
    Conn(crate::base::ids::ConnId),
    /// The timer of a queue.
    Queue(QueueId),
    /// The timer of dead messages that nobody took.
    Dead,
    /// The time to log dead messages that went in a circle.
    Cycles,
}

impl Shard {
    /// Returns the time of day, milliseconds since 1970.
    pub(in crate::shard) fn time_of_day(&self) -> u64 {
        debug_assert!(self.epoch_ms > 0, "the clock was started");
        self.epoch_ms + self.now
    }

    /// Returns the first millisecond, in the shard's time, that is not before the present: every
    /// duration counts from there.
    #[inline]
    pub(in crate::shard) fn span_start(&self) -> u64 {
        self.now + 1
    }

    /// Returns the same as a time of day.
    #[inline]
    pub(in crate::shard) fn span_start_time(&self) -> u64 {
        self.time_of_day() + 1
    }

    /// Returns the stamp of messages that are published now.
    #[inline]
    pub(in crate::shard) fn stamp(&self, properties: &[u8]) -> Stamp {
        self.stamp_posted(Stamp::at(self.span_start_time()), properties)
    }

    /// Returns the stamp that another shard has given, if anything here needs it.
    #[inline]
    pub(in crate::shard) fn stamp_posted(&self, stamp: Stamp, properties: &[u8]) -> Stamp {
        if self.queues.special > 0 || stamp.is_more_than_time() || has_expiration(properties) { stamp } else { Stamp::NONE }
    }

    /// Returns the stamps with which a message that may have one already goes to queues here and to
    /// other shards, which know themselves whether they need it.
    pub(in crate::shard) fn stamps(&self, message: &MessageView<'_>) -> (Stamp, Stamp) {
        if message.stamp != Stamp::NONE {
            return (message.stamp, message.stamp);
        }
        (self.stamp(message.properties), Stamp::at(self.span_start_time()))
    }

    /// Gives a queue these settings.
    pub(in crate::shard) fn promise(&mut self, id: QueueId, settings: Settings) {
        let now = self.span_start();
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        let was_special = queue.is_special();
        if queue.settings().is_some_and(|before| before.deduplication != settings.deduplication) {
            self.queues.rubbish.forgotten.extend(queue.forget_duplicates(true));
        }
        if !was_special && settings == Settings::default() || !queue.promise(settings, now) {
            return;
        }
        self.queues.special += usize::from(!was_special);
        self.keep_promises(id);
        self.shed_extras(id);
    }

    /// Acts on new settings or new messages of a queue: deadlines, limits, reading ahead.
    pub(in crate::shard) fn keep_promises(&mut self, id: QueueId) {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        if queue.reads_ahead() && queue.spilled() > 0 {
            self.mark_queue(id);
        }
        self.set_queue_timer(id);
        self.trim(id);
    }

    /// Makes a queue without special settings plain again.
    fn shed_extras(&mut self, id: QueueId) {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        let (is_shed, timer) = queue.shed_extras();
        self.queues.special -= usize::from(is_shed);
        timer.inspect(|timer| _ = self.timers.cancel(*timer));
    }

    /// Changes a queue here by something that may make it special.
    pub(in crate::shard) fn change_queue<T>(&mut self, id: QueueId, change: impl FnOnce(&mut Queue, &Arena) -> T) -> Option<T> {
        let queue = local_queue(&mut self.queues.slots, id)?;
        let was_special = queue.is_special();
        let changed = change(queue, &self.arena);
        self.queues.special += usize::from(!was_special && queue.is_special());
        Some(changed)
    }

    /// Notes that messages at the places `first` to `last` began to wait in memory, all with the
    /// time and the properties of `message`.
    pub(in crate::shard) fn note_deadlines(&mut self, id: QueueId, first: u64, last: u64, message: &MessageView<'_>) {
        if self.change_queue(id, |queue, _| queue.note_waiting(first, last, message)) == Some(true) {
            self.set_queue_timer(id);
        }
    }

    /// Notes the deadlines of messages that are in memory again; those whose time is over die
    /// before anybody gets them.
    pub(in crate::shard) fn note_loaded(&mut self, id: QueueId, entries: &[Entry]) {
        let now = self.time_of_day();
        for &entry in entries {
            match self.change_queue(id, |queue, arena| queue.take_if_expired(entry, arena, now)) {
                Some(true) => self.die(id, entry, Reason::Expired),
                Some(false) => {}
                None => return,
            }
        }
        self.set_queue_timer(id);
        self.trim(id);
    }

    /// Takes messages back into their queue; those whose time is over die.
    pub(in crate::shard) fn take_back(&mut self, id: QueueId, entries: impl Iterator<Item = Entry>) {
        let now = self.time_of_day();
        for entry in entries {
            match self.change_queue(id, |queue, arena| queue.requeue_unless_expired(entry, arena, now)) {
                Some(true) => {}
                Some(false) => self.die(id, entry, Reason::Expired),
                None => return,
            }
        }
        self.set_queue_timer(id);
        self.trim(id);
    }

    /// Takes back a message that waits before it is ready again, if the queue delays it (row D24).
    pub(in crate::shard) fn retry_later(&mut self, id: QueueId, entry: Entry, outcome: Outcome) {
        let times = [self.time_of_day(), self.span_start_time()];
        match self.change_queue(id, |queue, arena| queue.hold_returned(entry, outcome, arena, times)) {
            Some(true) => self.set_queue_timer(id),
            Some(false) => self.take_back(id, std::iter::once(entry)),
            None => {}
        }
    }

    /// Makes messages ready again that have waited long enough.
    fn retry_held(&mut self, id: QueueId, time: u64) {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        let ready: Vec<Entry> = std::iter::from_fn(|| queue.take_held(time)).take(EXPIRE_BUDGET).collect();
        if !ready.is_empty() {
            self.take_back(id, ready.into_iter());
            self.mark_queue(id);
        }
    }

    /// Removes the oldest messages while the queue has too many, some at a time: a policy may make
    /// a million of them surplus at once. If only the log has them, they are read first.
    pub(in crate::shard) fn trim(&mut self, id: QueueId) {
        for _ in 0..TRIM_BUDGET {
            let Some(queue) = local_queue(&mut self.queues.slots, id).filter(|queue| queue.is_over_limit()) else { return };
            let Some((entry, _)) = queue.pop(&self.arena) else { return self.load_spilled(id) };
            self.die(id, entry, Reason::MaxLength);
        }
        self.queues.overfull.push_back(Key::from(id).slot);
    }

    /// Goes on with removing surplus messages.
    pub(in crate::shard) fn trim_overfull(&mut self) {
        for _ in 0..TRIMS_MAX {
            let Some(slot) = self.queues.overfull.pop_front() else { return };
            if let Some(id) = self.queues.slots[slot as usize].as_ref().map(|queue| queue.id) {
                self.trim(id);
            }
        }
    }

    /// Notes that a queue is used (row D11).
    pub(in crate::shard) fn touch_queue(&mut self, id: QueueId) {
        let start = self.span_start();
        if self.queue_mut(id).is_some_and(|queue| queue.touch(start)) {
            self.set_queue_timer(id);
        }
    }

    /// Lets messages die whose deadline is at `time` or before, some at a time.
    fn expire(&mut self, id: QueueId, time: u64) {
        for _ in 0..EXPIRE_BUDGET {
            let queue = local_queue(&mut self.queues.slots, id);
            let Some(passed) = queue.and_then(|queue| queue.expire(time, &self.arena)) else { return };
            self.work.spend(1);
            if let Passed::Expired(entry) = passed {
                self.die(id, entry, Reason::Expired);
            }
        }
    }

    /// Removes what may not stay in queues that just got messages, now that the log has the
    /// messages that it should: those with a TTL of 0 die, unless a consumer can have them at once,
    /// and surplus goes.
    pub(in crate::shard) fn shed_fresh(&mut self) {
        let mut fresh = std::mem::take(&mut self.durability.logging.fresh);
        for id in fresh.drain(..) {
            let Some(queue) = local_queue(&mut self.queues.slots, id) else { continue };
            if queue.expires_at_once() {
                if queue.can_deliver() {
                    self.deliver_queue(id); // others are before it
                }
                self.expire(id, AT_ONCE);
            }
            self.trim(id);
        }
        self.durability.logging.fresh = fresh;
    }

    /// Fires a queue's timer, for some of its messages or for the queue itself.
    pub(in crate::shard) fn on_queue_timer(&mut self, id: QueueId) {
        let (now, time) = (self.now, self.time_of_day());
        self.expire(id, time);
        self.on_delays_timer(id);
        self.retry_held(id, time);
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        queue.take_timer(); // it has fired
        if queue.unused_until().is_some_and(|until| until <= now) {
            return self.delete_queue(id, None);
        }
        if queue.spilled() > 0 {
            self.mark_queue(id); // there may be room for more of them
        }
        self.set_queue_timer(id);
    }

    /// Sets the queue's timer to fire in time. It may fire too early, which does no harm.
    pub(in crate::shard) fn set_queue_timer(&mut self, id: QueueId) {
        let (now, epoch) = (self.now, self.epoch_ms);
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        let is_fetching = queue.is_delayed() && self.durability.store.is_fetching(queue.first().slot());
        let Some(due) = queue.next_event(epoch, is_fetching).map(|due| due.max(now)) else { return };
        if queue.timer_due().is_some_and(|set_for| set_for <= due) {
            return;
        }
        let old = queue.set_timer(self.timers.set(due, Timer::Queue(id)), due);
        old.inspect(|old| _ = self.timers.cancel(*old));
    }

    /// Removes the timer of a queue that is gone.
    pub(in crate::shard) fn forget_timer(&mut self, queue: &mut Queue) {
        self.queues.special -= usize::from(queue.is_special());
        queue.take_timer().inspect(|timer| _ = self.timers.cancel(*timer));
    }

    /// Whether there is room to read messages that nobody asks for, because they may expire.
    pub(in crate::shard) fn may_read_ahead(&self) -> bool {
        !self.uses_more_than(self.config.queue_memory / 2)
    }
}

/// Whether the message has an expiration of its own.
#[inline]
pub fn has_expiration(properties: &[u8]) -> bool {
    Properties::trusted(properties).has_any(crate::message::flag::EXPIRATION)
}

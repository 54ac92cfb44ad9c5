//! A queue: messages in order, consumers in rotation. It performs nothing; the shard carries out
//! what the queue decides.
//!
//! ```text
//!              level 9   ▸ ………
//!   push ──▶   level 0   ▸ ………………   ──▶ pop   the highest level with messages, first in first out
//!                                         │
//!              consumers  (c2 c5 c1) ─────┘    rotation among those with room, by priority
//! ```
//!
//! The parts: [`Levels`] and [`Level`] keep messages in order, `returns` and `retry` those that came
//! back, `delays` those that an exchange delays; [`Consumers`] and `rotations` decide whose turn it
//! is, `single_active` when only one has it; `pace` measures how fast it delivers. [`Rules`] is what
//! the queue was declared as and keeps for good, but for two values that policies may change;
//! [`Settings`] is what arguments and policies promise now. `extras` has what only special queues
//! have, and `deadlines` decides, with `earlier_ttls`, when a message expires; `tally` counts for
//! operators.
//!
//! Invariant: a popped entry belongs to its taker (a session's unacked window) until it is settled
//! or requeued; the queue keeps only the count of such entries.

mod consumers;
mod deadlines;
mod delays;
mod earlier_ttls;
mod extras;
mod level;
mod levels;
mod pace;
mod retry;
mod returns;
mod rotations;
mod rules;
mod settings;
mod single_active;
mod tally;

pub use consumers::{Consumer, Consumers};
pub use deadlines::{AT_ONCE, Passed};
pub use delays::{Copies, Delays};
pub use level::{Level, Purged};
pub use levels::{Priorities, priority};
pub use pace::Pace;
pub use retry::Retry;
pub use returns::Counts;
pub use rules::{Rules, lasts};
pub use settings::{DeadLetter, Overflow, Settings};

use crate::base::ids::{ConsumerId, QueueId};
use crate::broker::arena::Arena;
use crate::contract::{Count, Entry, Outcome, split_place};
use crate::message::MessageView;

use extras::Extras;
use levels::Levels;
use returns::Returns;
use tally::Tally;

/// One queue on its home shard.
pub struct Queue {
    /// The queue's id in the catalog.
    pub id: QueueId,
    /// The queue's consumers.
    pub consumers: Consumers,
    /// The queue's rules.
    pub rules: Rules,
    /// Bytes of the bodies of ready messages, except those that a restart has found and that have
    /// not been read yet.
    ready_bytes: u64,
    /// How fast the queue delivers.
    pub pace: Pace,
    /// Settlements under way whose messages come back in several parts. Until the last part, the
    /// queue delivers nothing.
    returning: u32,
    levels: Levels,
    /// Messages that came back, if returns are counted; they are delivered before all ready
    /// messages.
    returns: Option<Box<Returns>>,
    /// The parts that a plain queue does without.
    extras: Option<Box<Extras>>,
    tally: Tally,
}

impl Queue {
    /// Makes an empty queue.
    pub fn new(id: QueueId, rules: Rules) -> Queue {
        let levels = Levels::new(Level::new(rules.priorities.usual, 0, 0, 0));
        let returns = rules.counts.then(|| Box::new(Returns::new(rules.delivery_limit)));
        Queue {
            id,
            consumers: Consumers::new(&rules),
            rules,
            ready_bytes: 0,
            pace: Pace::default(),
            returning: 0,
            levels,
            returns,
            extras: None,
            tally: Tally::default(),
        }
    }

    /// Sets the queue's rules.
    pub fn follow(&mut self, rules: Rules) {
        if let Some(returns) = self.returns.as_mut().filter(|_| rules != self.rules) {
            returns.set_limit(rules.delivery_limit);
        }
        self.rules = rules;
    }

    /// Takes out the message at a place in memory, if it waits there.
    pub fn take(&mut self, place: u64, arena: &Arena) -> Option<Entry> {
        if let Some(entry) = self.extras.as_mut().and_then(|extras| extras.held.take(place)) {
            return Some(entry); // it is not ready, and its bytes do not count
        }
        let returned = self.returns.as_mut().and_then(|returns| returns.take(place));
        let entry = returned.or_else(|| self.levels.change(split_place(place).0, |level| level.take(place)))?;
        self.discount(body_size(&arena.view(entry.message)));
        Some(entry)
    }

    /// Asserts that the counted bytes are those of the ready messages, as far as these are in
    /// memory.
    pub fn check(&self, arena: &Arena) {
        let returned = self.returns.iter().flat_map(|returns| returns.iter()).copied();
        let ready = self.levels.iter().flat_map(Level::entries).chain(returned);
        let bytes: u64 = ready.map(|entry| body_size(&arena.view(entry.message))).sum();
        assert!(bytes <= self.ready_bytes && (bytes == self.ready_bytes || self.spilled() > 0), "{bytes} of {}", self.ready_bytes);
    }

    /// Begins a level, or lets it go on where the log has it.
    pub fn open(&mut self, level: Level) {
        self.levels.open(level);
    }

    /// Whether a level has begun.
    #[inline]
    pub fn is_open(&self, level: u8) -> bool {
        self.levels.is_open(level)
    }

    /// The level, which must have begun.
    #[inline]
    pub fn level(&self, level: u8) -> &Level {
        self.levels.get(level)
    }

    /// All levels that have begun.
    pub fn levels(&self) -> impl Iterator<Item = &Level> {
        self.levels.iter()
    }

    /// The level of the next message.
    pub fn first(&self) -> &Level {
        self.levels.first()
    }

    /// Messages in memory that no consumer has, in any order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let returns = self.returns.iter().flat_map(|returns| returns.iter()).copied();
        let held = self.extras.iter().flat_map(|extras| extras.held.iter());
        self.levels.iter().flat_map(Level::entries).chain(returns).chain(held)
    }

    /// Takes the next message. Returns `None` if there is none, or if the log must be read first.
    pub fn pop<'a>(&mut self, arena: &'a Arena) -> Option<(Entry, MessageView<'a>)> {
        let mut popped = None;
        self.pop_while(arena, |entry, message| {
            popped = Some((entry, message));
            false
        });
        popped
    }

    /// Takes messages and passes each of them to `take`, until that returns false or no message is
    /// left in memory. Returns their number.
    #[inline]
    pub fn pop_while<'a>(&mut self, arena: &'a Arena, mut take: impl FnMut(Entry, MessageView<'a>) -> bool) -> usize {
        let (mut bytes, mut count) = (0, 0);
        while let Some(entry) = self.returns.as_mut().and_then(|returns| returns.pop()).or_else(|| self.levels.pop()) {
            let message = arena.view(entry.message);
            bytes += body_size(&message);
            count += 1;
            if !take(entry, message) {
                break;
            }
        }
        self.discount(bytes);
        count
    }

    /// Adds `count` messages to a level, whose bodies have `bytes` bytes together; `entry` makes the
    /// entry of each, from its index and its place.
    #[inline]
    pub fn push(&mut self, level: u8, count: usize, bytes: u64, mut entry: impl FnMut(usize, u64) -> Entry) {
        self.ready_bytes += bytes;
        self.levels.change(level, |level| (0..count).for_each(|at| level.push(entry(at, level.next()))));
    }

    /// Leaves `count` messages to the log alone, whose bodies have `bytes` bytes together.
    pub fn spill(&mut self, level: u8, count: usize, bytes: u64) {
        self.ready_bytes += bytes;
        self.levels.change(level, |level| level.spill(count));
    }

    /// Gives the next places of a level to `count` messages that do not wait in the queue.
    #[inline]
    pub fn pass(&mut self, level: u8, count: usize) {
        self.levels.change(level, |level| level.pass(count));
    }

    /// Forgets at most `count` messages of a level that only the log had, and that do not come into
    /// the queue.
    pub fn lose(&mut self, level: u8, count: u64) {
        self.levels.change(level, |level| level.lose(count.min(level.spilled())));
    }

    #[inline]
    fn discount(&mut self, bytes: u64) {
        debug_assert!(self.ready_bytes >= bytes, "a ready message was counted");
        self.ready_bytes = self.ready_bytes.saturating_sub(bytes);
    }

    /// Takes the next spilled message of a level into memory: among the returned ones, if it had
    /// come back before a restart.
    pub fn load(&mut self, entry: Entry, message: &MessageView<'_>) {
        if self.level(entry.level()).is_found(entry.place()) {
            self.ready_bytes += body_size(message); // a message from before the start was not counted when it came
        }
        match &mut self.returns {
            Some(returns) if returns.counts(entry).is_some() => {
                returns.add(entry);
                self.levels.change(entry.level(), |level| level.lose(1));
            }
            _ => self.levels.change(entry.level(), |level| level.load(entry)),
        }
    }

    /// Begins a settlement whose messages come back in several parts.
    pub fn begin_returning(&mut self) {
        self.returning += 1;
    }

    /// Ends such a settlement. Returns whether it was the last one.
    pub fn end_returning(&mut self) -> bool {
        self.returning -= 1;
        self.returning == 0
    }

    /// Whether messages are on their way back in several parts, so that none may be delivered.
    #[inline]
    pub fn is_returning(&self) -> bool {
        self.returning > 0
    }

    /// Puts an entry back at its place: among the returned ones, if returns are counted and it was
    /// delivered.
    pub fn requeue(&mut self, entry: Entry, message: &MessageView<'_>) {
        self.ready_bytes += body_size(message);
        match &mut self.returns {
            Some(returns) if entry.redelivered() => returns.add(entry),
            _ => self.levels.change(entry.level(), |level| level.requeue(entry)),
        }
    }

    /// Counts a message that comes back; `requeue` follows. Returns true if it has failed too often
    /// (row D23).
    pub fn count_return(&mut self, entry: Entry, outcome: Outcome) -> bool {
        self.returns.as_mut().is_some_and(|returns| returns.count(entry, outcome))
    }

    /// How often a message came back, if returns are counted.
    pub fn counts(&self, entry: Entry) -> Option<Counts> {
        self.returns.as_ref().filter(|_| entry.redelivered())?.counts(entry)
    }

    /// The counts of all messages that came back, by place.
    pub fn all_counts(&self) -> impl Iterator<Item = (u64, Counts)> {
        self.returns.iter().flat_map(|returns| returns.all_counts())
    }

    /// Restores how often a message that is only in the log came back before a restart.
    pub fn go_on_counting(&mut self, place: u64, counts: Counts) {
        if let Some(returns) = &mut self.returns {
            returns.go_on_counting(place, counts);
        }
    }

    /// Restores how often a message that comes into memory came back before a crash. Returns
    /// whether it has failed too often.
    pub fn recall(&mut self, place: u64, counts: Counts) -> bool {
        self.returns.as_mut().is_some_and(|returns| returns.recall(place, counts))
    }

    /// Whether the next message is one that came back.
    pub fn counts_next(&self) -> bool {
        self.returns.as_ref().is_some_and(|returns| !returns.is_empty())
    }

    /// Whether the queue remembers something about single messages: then it must
    /// [`forget`](Self::forget) those that are gone.
    pub fn remembers(&self) -> bool {
        self.rules.counts || self.extras.as_ref().is_some_and(|extras| extras.deduplication.is_some())
    }

    /// Forgets what the queue remembers about a message that is gone.
    pub fn forget(&mut self, entry: Entry) {
        if let Some(deduplication) = self.deduplication() {
            deduplication.forget(entry.place());
        }
        if let Some(returns) = self.returns.as_mut().filter(|_| entry.redelivered()) {
            returns.forget(entry);
        }
    }

    /// Takes out all messages that are ready for delivery, level by level. The queue must
    /// [`forget`](Self::forget) each of them, if it [`remembers`](Self::remembers) any.
    pub fn purge(&mut self) -> Vec<Purged> {
        let returned = self.returns.as_mut().map(|returns| self.levels.first().purge_others(returns.purge()));
        if let Some(extras) = &mut self.extras {
            extras.deadlines.clear();
            let held = std::mem::take(&mut extras.held);
            let delayed = extras.delays.iter_mut().flat_map(Delays::clear).chain(held.iter());
            delayed.for_each(|entry| self.levels.change(entry.level(), |level| level.requeue(entry)));
        }
        self.ready_bytes = 0;
        let mut purged = self.levels.purge();
        purged.extend(returned);
        purged
    }

    /// Notes that a consumer got this many messages, `again` of which had been delivered before, and
    /// bytes. `no_ack`: it need not settle them.
    #[inline]
    pub fn on_delivered(&mut self, consumer: ConsumerId, no_ack: bool, (messages, again): (usize, usize), bytes: usize) {
        self.count_given_out(if no_ack { Count::DeliverNoAck } else { Count::Deliver }, messages, again);
        self.pace.on_delivered(bytes);
        self.consumers.on_delivered(consumer, messages, bytes);
    }

    /// Number of messages that can be taken before the log must be read.
    #[inline]
    pub fn at_hand(&self) -> usize {
        self.returned() + self.levels.at_hand()
    }

    /// Number of messages that are only in the log.
    #[inline]
    pub fn spilled(&self) -> u64 {
        self.levels.spilled()
    }

    /// Number of messages ready for delivery.
    pub fn len(&self) -> usize {
        self.returned() + self.levels.len()
    }

    fn returned(&self) -> usize {
        self.returns.as_ref().map_or(0, |returns| returns.len())
    }

    /// Bytes that ready messages take, approximately.
    pub fn backlog(&self) -> u64 {
        self.ready_bytes + self.len() as u64 * MESSAGE_OVERHEAD
    }

    /// Whether no message is ready for delivery.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty() && !self.counts_next()
    }

    /// Whether there are a message and a consumer with room for it.
    pub fn can_deliver(&self) -> bool {
        !self.is_empty() && self.consumers.any_ready()
    }

    /// Whether the queue is to be deleted now that its last consumer has gone (row D5).
    pub fn is_abandoned(&self) -> bool {
        self.rules.auto_delete && self.consumers.is_empty()
    }
}

#[inline]
fn body_size(message: &MessageView<'_>) -> u64 {
    message.body.bytes().len() as u64
}

/// Bytes that a message takes besides its body, approximately.
const MESSAGE_OVERHEAD: u64 = 64;

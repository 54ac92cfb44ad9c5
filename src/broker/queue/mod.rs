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
//! The parts: [`Levels`] and [`Level`] keep messages in order, `returns` and `retry` those that
//! came back, `delays` those that an exchange delays; [`Consumers`] and `rotations` decide which
//! consumer is next, `single_active` if only one is served; `pace` measures how fast the queue
//! delivers. [`Rules`] are what the queue was declared as and never change, except for two values
//! that policies may change; [`Settings`] are what arguments and policies say now. `deadlines` and
//! `earlier_ttls` decide when a message expires.
//!
//! Invariant: a popped entry belongs to its taker (a session's unacked window) until it is settled
//! or requeued; the queue keeps only the count of such entries.

mod consumers;
mod deadlines;
mod delays;
mod earlier_ttls;
mod level;
mod levels;
mod pace;
mod retry;
mod returns;
mod rotations;
mod rules;
mod settings;
mod single_active;

pub use consumers::{Consumer, Consumers};
pub use deadlines::{AT_ONCE, Deadlines};
pub use delays::{Copies, Delays};
pub use level::{Level, Purged};
pub use levels::{Priorities, priority};
pub use pace::Pace;
pub use retry::{Held, Retry};
pub use returns::Counts;
pub use rules::{Rules, lasts};
pub use settings::{DeadLetter, Overflow, Settings};

use crate::base::ids::{ConsumerId, QueueId, TimerId};
use crate::broker::arena::Arena;
use crate::broker::deduplication::{Deduplication, Forgotten, Wanted};
use crate::contract::{Entry, Outcome, split_place};
use crate::message::{MessageView, Properties};

use earlier_ttls::EarlierTtls;
use levels::Levels;

use returns::Returns;

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
    pub returning: u32,
    levels: Levels,
    /// Messages that came back, if returns are counted; they are delivered before all ready
    /// messages.
    returns: Option<Box<Returns>>,
    /// The parts that a plain queue does without.
    pub extras: Option<Box<Extras>>,
}

/// The parts that only queues with settings have, or queues with a message that expires.
#[derive(Default)]
pub struct Extras {
    /// The settings.
    pub settings: Settings,
    /// The TTLs that messages got before a change.
    earlier: EarlierTtls,
    /// The times when messages in memory expire.
    pub deadlines: Deadlines,
    /// The delayed messages, if the queue is that of an exchange that delays.
    pub delays: Option<Delays>,
    /// Number of dead messages that the queue must keep because no other queue has them yet; they
    /// count towards its limits.
    pub unburied: u64,
    /// Messages that came back and are not ready again yet.
    pub held: Held,
    /// The values by which the queue recognizes duplicates.
    deduplication: Option<Deduplication>,
    /// The time since when the queue is unused, milliseconds of the shard's time.
    pub unused_since: u64,
    /// The timer that is set, and its time.
    pub timer: Option<(TimerId, u64)>,
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
        }
    }

    /// The queue's settings, if it has any.
    pub fn settings(&self) -> Option<&Settings> {
        self.extras.as_ref().map(|extras| &extras.settings)
    }

    /// The queue's extras, which are made if it has none.
    pub fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Whether the queue is for the delayed messages of an exchange.
    pub fn is_delayed(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.delays.is_some())
    }

    /// Sets the queue's rules.
    pub fn follow(&mut self, rules: Rules) {
        if let Some(returns) = self.returns.as_mut().filter(|_| rules != self.rules) {
            returns.set_limit(rules.delivery_limit);
        }
        self.rules = rules;
    }

    /// Changes the queue's settings; its messages keep the TTL that they were given. Returns
    /// whether anything changed.
    pub fn promise(&mut self, settings: Settings, now: u64) -> bool {
        let places: Vec<u64> = self.levels.iter().map(Level::next).filter(|&next| split_place(next).1 > 0).collect();
        let extras = self.extras();
        if extras.settings == settings {
            return false;
        }
        let earlier = std::mem::replace(&mut extras.settings, settings);
        if earlier.message_ttl != extras.settings.message_ttl && !places.is_empty() {
            extras.earlier.push(places, earlier.message_ttl);
        }
        if earlier.deduplication != extras.settings.deduplication {
            extras.deduplication = extras.settings.deduplication.clone().map(Deduplication::new);
        }
        extras.unused_since = now;
        true
    }

    /// Whether the queue needs no extras.
    pub fn is_plain(&self) -> bool {
        self.extras.as_ref().is_none_or(|extras| {
            let Extras { settings, earlier, deadlines, delays, held, unburied, .. } = &**extras;
            let keeps_none = deadlines.next().is_none() && delays.is_none() && held.next().is_none() && *unburied == 0;
            *settings == Settings::default() && earlier.is_empty() && keeps_none
        })
    }

    /// Whether another message of `bytes` bytes would be refused.
    pub fn refuses(&self, bytes: usize) -> bool {
        let unburied = self.extras.as_ref().map_or(0, |extras| extras.unburied);
        let (length, bytes) = (self.len() as u64 + unburied + 1, self.ready_bytes + bytes as u64);
        self.settings().is_some_and(|settings| settings.rejects() && settings.is_exceeded(length, bytes))
    }

    /// Whether the next message of a level, which has these properties, is no duplicate of an
    /// earlier message. The queue remembers it.
    pub fn is_first_of_its_kind(&mut self, level: u8, properties: &[u8], now: u64) -> bool {
        let place = self.level(level).next();
        let Some(deduplication) = self.deduplication() else { return true };
        deduplication.passes_into(place, Properties::trusted(properties).headers().unwrap_or_default(), now)
    }

    /// The queue's deduplication, if it drops duplicates.
    pub fn deduplication(&mut self) -> Option<&mut Deduplication> {
        self.extras.as_mut()?.deduplication.as_mut()
    }

    /// Whether there are too many messages, so that the oldest must be dropped.
    pub fn is_over_limit(&self) -> bool {
        let length = self.len() as u64;
        let drops = |settings: &Settings| settings.overflow == Overflow::DropHead && settings.is_exceeded(length, self.ready_bytes);
        length > 0 && self.settings().is_some_and(drops)
    }

    /// Whether messages that a restart has found are read though no consumer asks for them: they
    /// may expire, their bytes count, or they may have duplicates.
    pub fn reads_ahead(&self) -> bool {
        let matters = |settings: &Settings| {
            let Settings { message_ttl, dead_letter, max_length_bytes, deduplication, .. } = settings;
            let is_by_content = deduplication.as_ref().is_some_and(Wanted::is_by_content);
            message_ttl.is_some() || dead_letter.is_some() || max_length_bytes.is_some() || is_by_content
        };
        self.settings().is_some_and(matters)
    }

    /// Removes the message at a place, if it waits there in memory.
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

    /// Removes the deadlines of messages that no longer wait in memory, if there are many.
    pub fn sweep_deadlines(&mut self) {
        let loaded = self.len() - self.spilled() as usize;
        let Queue { extras, levels, returns, .. } = self;
        let Some(extras) = extras else { return };
        if extras.deadlines.is_littered(loaded) {
            let is_back = |place| returns.as_ref().is_some_and(|returns| returns.contains(place));
            extras.deadlines.sweep(|place| is_back(place) || levels.get(split_place(place).0).has(place));
        }
    }

    /// Begins a level, or goes on with one from the log.
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

    /// Changes a level, which must have begun.
    #[inline]
    pub fn change<T>(&mut self, level: u8, deed: impl FnOnce(&mut Level) -> T) -> T {
        self.levels.change(level, deed)
    }

    /// Messages in memory that are not with a consumer, in any order.
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

    /// Adds messages to a level with `push`; their bodies have `bytes` bytes in total.
    #[inline]
    pub fn append(&mut self, level: u8, bytes: u64, push: impl FnOnce(&mut Level)) {
        self.ready_bytes += bytes;
        self.levels.change(level, push);
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

    /// Puts a message back at its place, or among the returned ones if returns are counted and it
    /// was delivered.
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

    /// Removes the values by which the queue recognizes duplicates: those that end with its
    /// messages, or all if the queue is deleted.
    pub fn forget_duplicates(&mut self, is_over: bool) -> Option<Forgotten> {
        let deduplication = self.deduplication()?;
        if is_over { Some(deduplication.forget_all()) } else { deduplication.purge() }
    }

    /// Removes all messages that are ready for delivery, level by level. The queue must
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

    /// Notes that a consumer got this many messages and bytes.
    #[inline]
    pub fn on_delivered(&mut self, consumer: ConsumerId, messages: usize, bytes: usize) {
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

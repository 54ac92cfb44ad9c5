//! Durability: which publishes and settlements go to the log, which confirms wait for the disk, and
//! how spilled messages come back.
//!
//! ```text
//! a batch for its queues ─▶ delivered, waiting in memory, or spilled
//!                       └─▶ one record in the log, if a queue needs it there
//!                           └▶ its confirms wait for that batch of the log
//! ```
//!
//! The log needs persistent messages of durable queues, unless they are settled at once, and
//! spilled messages of any queue. A record has all messages of a batch; those that a queue does not
//! leave there are settled at once. A confirm leaves when the disk has the batch, which is never
//! before it has the record of the catalog that made the queue (see [`waits`]); `store::format` says
//! what the bytes are.

mod waits;

use super::{Action, Shard, Stop, local_queue};
use crate::base::aligned::Aligned;
use crate::base::ids::{ChannelAddr, LevelAddr, QueueId, ShardId};
use crate::base::limits::{LOG_LAZY_MS, LOG_READ_SIZE, LOG_READ_SIZE_SHORT};
use crate::broker::arena::Holders;
use crate::broker::queue::{Counts, Level, Priorities, Queue};
use crate::contract::{Entry, place, split_place};
use crate::message::{Content, Properties, Route, Stamp};
use crate::shard::conns::parking::SharedReason;
use crate::shard::peers::mail::Hold;
use crate::shard::publish::effect::Effect;
use crate::shard::publish::wanted::{Sender, Wanted};
use crate::shard::queues::Queues;
use crate::shard::queues::delay::take_up;
use crate::shard::queues::enqueue::Admission;
use crate::store::arrivals::Origin;
use crate::store::catalog_log::CatalogLog;
use crate::store::compact::Compacted;
use crate::store::format::{Counted, level_number, split_number};
use crate::store::index::Indexed;
use crate::store::{Damage, Loaded, Op, Opened, Past, Placed, Reader, Store, Write};

use waits::Waits;

/// The facts about the batch in hand for the log, gathered while the batch is given to its queues.
#[derive(Default)]
pub struct Logging {
    placed: Vec<Placed>,
    /// Slot in the log, first and last sequence number of messages that need not stay there.
    gone: Vec<(u32, u64, u64)>,
    /// The sender whose acceptance depends on the batch, if a queue must keep it.
    must_last: Option<Sender>,
    /// The origin of the message, if it comes from a queue of another shard, which keeps it until
    /// it hears that it is here.
    pub origin: Option<Origin>,
    /// Queues that were just given messages which may not be allowed to stay.
    pub fresh: Vec<QueueId>,
}

impl Logging {
    /// Notes messages of the batch that survive a restart, and that a queue has delivered for good.
    pub fn gone(&mut self, slot: u32, first: u64, count: usize) {
        self.gone.push((slot, first, first + count as u64 - 1));
    }

    /// Notes that a queue has taken a batch of `count` messages from `sender`, and has `kept` of
    /// them in memory or delivered them.
    pub fn taken(&mut self, sender: &Sender, admission: &Admission, count: usize, kept: usize) {
        let &Admission { slot, first, is_logged, .. } = admission;
        let first = split_place(first).1;
        if is_logged {
            let own = self.gone.iter().rev().take_while(|gone| gone.0 == slot);
            let gone: u64 = own.map(|(_, first, last)| last - first + 1).sum();
            if gone == count as u64 {
                self.gone.retain(|gone| gone.0 != slot);
                return;
            }
        } else if kept > 0 {
            self.gone(slot, first, kept);
        }
        if is_logged {
            self.must_last = Some(*sender);
        }
        self.placed.push(Placed { slot, first });
    }
}

/// The logs, and what waits for the disk.
pub struct Durability {
    /// The log of messages.
    pub store: Store,
    /// Shard 0 only: the catalog's log.
    pub catalog_log: CatalogLog,
    /// The latest time at which the log writes what has gathered.
    pub log_due: Option<u64>,
    /// The senders that wait for the log of messages.
    pub waits: Waits,
    /// The state of the log's part in the publish in hand.
    pub logging: Logging,
}

impl Durability {
    /// Makes the owner for a new shard, with logs that are empty until a restart gives it others.
    pub fn new() -> Durability {
        Durability {
            store: Store::new(1),
            catalog_log: CatalogLog::new(1, 0, 0),
            log_due: None,
            waits: Waits::default(),
            logging: Logging::default(),
        }
    }

    /// Asserts that publishers hear of the disk in the order of the log.
    pub fn check(&self) {
        self.waits.check();
        assert!(self.logging.fresh.is_empty(), "what a queue may not keep has left it");
    }
}

impl Shard {
    /// Logs a batch as its queues have taken it, and lets them remove messages that may not stay. If
    /// it must last, its sender waits for the disk.
    #[inline]
    pub(super) fn log_taken(&mut self, route: Route<'_>, stamp: Stamp, contents: &[Content<'_>]) -> Effect {
        let is_logged = !self.durability.logging.placed.is_empty();
        let effect = if is_logged { self.log(route, stamp, contents) } else { Effect::NONE };
        if !self.durability.logging.fresh.is_empty() {
            self.shed_fresh();
        }
        effect
    }

    fn log(&mut self, route: Route<'_>, stamp: Stamp, contents: &[Content<'_>]) -> Effect {
        let Logging { placed, gone, must_last, origin, .. } = &mut self.durability.logging;
        let must_last = must_last.take();
        self.durability.store.append(placed, route, stamp, contents, must_last.is_none());
        if let Some(origin) = origin.take().filter(|_| must_last.is_some()) {
            self.durability.store.note_arrivals(placed, origin);
        }
        gone.drain(..).for_each(|(slot, first, last)| self.durability.store.settle(slot, first, last));
        placed.clear();
        if let Some(sender) = must_last {
            self.await_log(sender, contents.len());
        }
        Effect::MUST_LAST.when(must_last.is_some()) | Effect::LOG_FULL.when(self.durability.store.is_congested())
    }

    /// Lets the sender of `count` messages wait until everything logged so far is on the disk, if it
    /// wants an answer.
    pub(super) fn await_log(&mut self, sender: Sender, count: usize) {
        match sender {
            Sender::Nobody | Sender::Client { wanted: Wanted::Nothing, .. } => {}
            Sender::Shard(from, hold) => self.await_durable(from, hold, count as u32),
            Sender::Client { conn: id, channel, wanted } => {
                self.hold_published(id, channel, wanted, count, 1);
                let conn = self.conns.get(id).expect("a publisher is connected");
                let hold = wanted.hold(id, channel, conn.session.generation(channel));
                self.await_durable(self.id, hold, count as u32);
            }
        }
    }

    /// Lets `hold` and the `count` behind it, of a sender on shard `from`, wait.
    fn await_durable(&mut self, from: ShardId, hold: Hold, count: u32) {
        let position = self.durability.store.position();
        self.durability.waits.push(position, from, hold, count);
    }

    /// Tells the senders whose messages are on the disk now.
    fn on_durable(&mut self) {
        let durable = self.durability.store.durable();
        while let Some((from, hold, count)) = self.durability.waits.pop(durable) {
            if from == self.id {
                self.on_accepted_by_queue(&[(hold, count)]);
            } else {
                self.link(from).accept(hold, count);
            }
        }
    }

    /// Logs the settlement of messages of a queue here; the queue forgets what it remembers of
    /// them.
    pub(super) fn log_settled(store: &mut Store, queue: &mut Queue, entries: impl Iterator<Item = Entry>) {
        let mut run: Option<(Entry, Entry)> = None;
        let remembers = queue.remembers();
        for entry in entries {
            if remembers {
                queue.forget(entry);
            }
            if !entry.message.is_logged() {
                continue;
            }
            match &mut run {
                Some((_, last)) if last.place() + 1 == entry.place() => *last = entry,
                _ => settle_run(store, queue, run.replace((entry, entry))),
            }
        }
        settle_run(store, queue, run);
    }

    /// Logs how often messages that are being given out will have come back if the broker dies now.
    pub(super) fn note_given_out(store: &mut Store, queue: &Queue, entries: &[Entry]) {
        for run in entries.chunk_by(|one, next| one.place() + 1 == next.place() && !one.redelivered() && !next.redelivered()) {
            let (first, last) = (run[0], run[run.len() - 1]);
            let Counts { acquired, delivered } = queue.counts(first).unwrap_or_default();
            if first.message.is_logged() {
                let slot = queue.level(first.level()).slot();
                store.count(slot, first.sequence(), last.sequence(), (acquired + 1, delivered + 1));
            }
        }
    }

    /// Logs how often messages came back.
    pub(super) fn note_returned(store: &mut Store, queue: &Queue, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| entry.message.is_logged()) {
            let Counts { acquired, delivered } = queue.counts(*entry).unwrap_or_default();
            store.count(queue.level(entry.level()).slot(), entry.sequence(), entry.sequence(), (acquired, delivered));
        }
    }

    /// Whether messages take more memory than this.
    pub(super) fn uses_more_than(&self, memory: usize) -> bool {
        self.arena.in_use() + self.arena.messages() * size_of::<Entry>() > memory
    }

    /// Reads more messages of a queue from the log, if those in memory of its first level are not
    /// enough, or if they may expire and there is room for them.
    pub(super) fn load_spilled(&mut self, id: QueueId) {
        let piece = if self.uses_more_than(self.config.queue_memory) { LOG_READ_SIZE_SHORT } else { LOG_READ_SIZE };
        let reads_ahead = self.may_read_ahead();
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return };
        if reads_ahead && queue.reads_ahead() {
            let spilled = queue.levels().filter(|level| level.spilled() > 0).max_by_key(|level| level.number());
            spilled.inspect(|level| self.durability.store.load(level.slot(), 0, piece));
        } else if queue.first().spilled() > 0 {
            self.durability.store.load(queue.first().slot(), queue.first().loaded(), piece);
        }
    }

    /// Lets basic.get wait for a queue that has messages in the log only.
    pub(super) fn await_load(&mut self, from: ChannelAddr, id: QueueId, no_ack: bool) {
        self.queues.getters.push((from, id, no_ack));
        self.load_spilled(id);
    }

    /// The file of a segment is ready.
    pub fn on_log_created(&mut self, segment: u32) {
        self.durability.store.on_created(segment);
    }

    /// A write of the log is on the disk.
    pub fn on_log_written(&mut self, write: Write) {
        self.durability.store.on_written(write);
        self.on_durable();
        self.tell_gone();
    }

    /// A read of the log is done.
    pub fn on_log_read(&mut self, reader: Reader, bytes: &Aligned) {
        let (horizon, start) = (self.horizon(), self.epoch_ms);
        let Shard { durability: Durability { store, .. }, arena, queues: Queues { slots, .. }, .. } = self;
        let LevelAddr { queue: id, level } = reader.level();
        let mut queue = local_queue(slots, id);
        let (mut timed, mut doomed) = (Vec::new(), Vec::new());
        let read = store.on_read(reader, bytes, |sequence, Past { was_delivered, returned }, message| {
            if let Some(queue) = &mut queue {
                if queue.is_delayed() {
                    return take_up(queue, arena, sequence, message, horizon, if was_delivered { start } else { 0 });
                }
                let entry = Entry::new(level, sequence, arena.insert(message, Holders::One).logged());
                let entry = if was_delivered || message.stamp.was_delivered() { entry.returned() } else { entry };
                let counts = returned.map(|(acquired, delivered)| Counts { acquired, delivered });
                if counts.is_some_and(|counts| queue.recall(entry.place(), counts)) {
                    doomed.push(entry);
                }
                if let Some(deduplication) = queue.deduplication() {
                    deduplication.learn(entry.place(), Properties::trusted(message.properties).headers().unwrap_or_default());
                }
                queue.load(entry, message);
                if message.stamp.time_ms().is_some() {
                    timed.push(entry);
                }
            }
        });
        self.note_loaded(id, &timed);
        doomed.into_iter().for_each(|entry| self.fail_for_good(id, entry));
        match read {
            Ok(Loaded { is_served, lost }) => {
                if lost > 0 {
                    log::error!("{lost} messages are lost in a damaged record of the log");
                    let queue = self.queue_mut(id).expect("messages are read for a queue that is here");
                    queue.lose(level, lost);
                }
                if self.is_delayed(id) {
                    self.on_delayed_read(id, is_served);
                } else if is_served || lost > 0 {
                    self.mark_queue(id);
                    self.retry_getters();
                }
            }
            Err(damage) => {
                let Damage { segment, place } = damage;
                let text = format!(
                    "the log file shard-{}/{segment:010}.log is damaged at byte {place}; put it back from a backup, or start with \
                     --accept-log-loss, which goes on without what is damaged",
                    self.id.0
                );
                self.actions.push_back(Action::Fail(text));
            }
        }
    }

    /// The index of a segment is on the disk.
    pub fn on_log_indexed(&mut self, indexed: Indexed) {
        self.durability.store.on_indexed(indexed);
    }

    /// A segment was rewritten.
    pub fn on_log_compacted(&mut self, compacted: Compacted) {
        self.durability.store.on_compacted(compacted);
    }

    /// A segment is damaged and left as it is.
    pub fn on_log_left(&mut self) {
        self.durability.store.on_left();
    }

    /// A write of the catalog's log is on the disk.
    pub fn on_catalog_written(&mut self) {
        self.durability.catalog_log.on_written();
        self.tell_gone();
        self.on_catalog_durable();
    }

    /// Whether the disk has everything that it should.
    pub fn is_log_at_rest(&self) -> bool {
        self.durability.store.is_at_rest() && self.durability.catalog_log.is_at_rest()
    }

    /// Notes what the next start must know of messages that were delivered and came back.
    pub fn note_stop(&self, stop: &mut Stop) {
        for queue in self.queues.slots.iter().flatten().filter(|queue| queue.rules.durable) {
            let number = |level| self.durability.store.number(queue.level(level).slot()).expect("every level has one");
            for entry in queue.entries().filter(|entry| entry.redelivered() && entry.message.is_logged()) {
                let number = number(entry.level());
                match stop.delivered.last_mut() {
                    Some((last_number, _, last)) if *last_number == number && *last + 1 == entry.sequence() => *last += 1,
                    _ => stop.delivered.push((number, entry.sequence(), entry.sequence())),
                }
            }
            stop.delivered.extend(queue.levels().flat_map(|level| self.durability.store.delivered(level.slot())));
            let counted = queue.all_counts().map(|(place, Counts { acquired, delivered })| {
                let (level, sequence) = split_place(place);
                (number(level), sequence, acquired, delivered)
            });
            stop.counts.extend(counted);
        }
    }

    /// Takes over how often messages of queues here came back before the restart.
    pub(super) fn go_on_counting(&mut self, counts: &[Counted]) {
        for &(number, sequence, acquired, delivered) in counts {
            let Some(LevelAddr { queue, level }) = self.durability.store.level(number) else { continue };
            if let Some(queue) = self.queue_mut(queue) {
                queue.go_on_counting(place(level, sequence), Counts { acquired, delivered });
            }
        }
    }

    /// Lets channels that wait for a message (basic.get) ask again: it has come, or the queue is
    /// gone.
    pub(super) fn retry_getters(&mut self) {
        for (from, id, no_ack) in std::mem::take(&mut self.queues.getters) {
            self.on_get(from, id, no_ack);
        }
    }

    /// Writes what has gathered, as soon as somebody waits for it or it has gathered for some time.
    pub(super) fn seal_log(&mut self) {
        self.seal_catalog();
        if self.durability.store.is_at_rest() {
            self.durability.log_due = None; // nothing needs a write any more
            return;
        }
        if self.should_write() {
            self.durability.log_due = None;
            self.durability.store.seal();
        }
        while let Some(op) = self.durability.store.next_op() {
            if let Op::Write(write) = &op {
                self.tally.writes = (self.tally.writes.0 + 1, self.tally.writes.1 + write.buffer.len() as u64);
            }
            self.actions.push_back(Action::Log(op));
        }
        if self.conns.any_parked(SharedReason::Log) && !self.durability.store.is_congested() {
            self.conns.resume_all(SharedReason::Log);
        }
    }

    /// Whether somebody waits for the disk, or nothing was written for some time. (Until then,
    /// later records share the write.)
    fn should_write(&mut self) -> bool {
        let is_urgent = !self.durability.waits.is_empty()
            || self.stopping
            || self.durability.store.is_pressing()
            || !self.durability.store.wants_write();
        is_urgent || !self.durability.store.is_writing() && *self.durability.log_due.get_or_insert(self.now + LOG_LAZY_MS) <= self.now
    }

    /// Opens the log of a queue of this shard: its usual level, and those of which a restart has
    /// found anything.
    pub(super) fn open_log(&mut self, id: QueueId, Priorities { max, usual }: Priorities, number: u64) {
        for level in 0..=max {
            if level == usual || self.durability.store.has_found(level_number(number, level)) {
                self.open_level(id, level, number);
            }
        }
    }

    /// Opens a level of a queue here for its first message.
    #[cold]
    pub(super) fn begin_level(&mut self, id: QueueId, level: u8) {
        let queue = local_queue(&mut self.queues.slots, id).expect("a queue that gets a message is here");
        let number = self.durability.store.number(queue.level(queue.rules.priorities.usual).slot()).expect("every level has one");
        self.open_level(id, level, split_number(number).0);
    }

    fn open_level(&mut self, id: QueueId, level: u8, number: u64) {
        let Opened { slot, next, count } = self.durability.store.open_queue(level_number(number, level), LevelAddr { queue: id, level });
        if let Some(queue) = local_queue(&mut self.queues.slots, id) {
            queue.open(Level::new(level, slot, next, count));
        }
    }
}

/// Logs that messages in a row, from the first to the last, are settled.
fn settle_run(store: &mut Store, queue: &Queue, run: Option<(Entry, Entry)>) {
    if let Some((first, last)) = run {
        store.settle(queue.level(first.level()).slot(), first.sequence(), last.sequence());
    }
}

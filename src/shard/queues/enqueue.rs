//! Enqueue: a batch of messages comes to a queue that lives here. First the queue decides, then the
//! shard carries that out.
//!
//! ```text
//! decide    decide ─┬ refuse: a limit is reached                         Effect::REFUSED
//!                   ├ drop: a duplicate, or the queue is gone
//!                   ├ hold back: it is delayed                           queues::delay
//!                   └ admit: its level, its first place, whether it survives a restart
//! carry out pass_on ─ empty, a consumer has room: past the queue         queues::delivery
//!           append ─┬ otherwise: into memory, the queue is dirty, served later in the turn
//!                   └ memory is short: into the log alone
//!           taken ─── the log's note: the places, and the sender that waits for them
//! then      log_taken, once all queues of the batch have it: one record  durability
//! ```
//!
//! A decision gives no place, takes no memory and writes nothing, so a party that has to agree can
//! stand between the two halves. It is about a whole batch, because every queue treats the messages
//! of a batch alike (see `publish::dispatch`). Which consumer gets a message is decided as late as
//! possible, because that depends on the room that the message before has left.
//!
//! A queue that has a batch has accepted it, unless it says with [`Effect::MUST_LAST`] that its
//! acceptance comes later. Then the [`Sender`] that came with the batch waits, today always for the
//! log.

use crate::base::ids::{QueueAddr, QueueId};
use crate::base::limits::SPILL_MIN;
use crate::broker::arena::{Arena, Holders, Run};
use crate::broker::queue::{Overflow, Queue, Settings};
use crate::contract::{Entry, split_place};
use crate::message::{Content, MessageRef, MessageView, Route, Stamp};
use crate::shard::Shard;
use crate::shard::local_queue;
use crate::shard::publish::effect::Effect;
use crate::shard::publish::wanted::Sender;
use crate::shard::queues::delivery::{Around, pass_on};
use crate::shard::queues::lifetime::has_expiration;

/// A run of messages to the same place on their way into a queue, and their places in the arena.
/// For a queue with levels they are all of one level.
pub struct Batch<'b, 'm> {
    /// Exchange and routing key.
    route: Route<'m>,
    /// When they were published, and what has happened to them.
    pub(in crate::shard) stamp: Stamp,
    /// The messages.
    pub(in crate::shard) contents: &'b [Content<'m>],
    /// For each message, if several queues get it: its place in the arena, once a queue has put it
    /// there.
    stored: Option<&'b mut [Option<MessageRef>]>,
}

/// The decision of a queue about a batch.
enum Decision {
    /// It is taken.
    Admit(Admission),
    /// It is taken, and waits until it is due.
    HoldBack(Admission),
    /// It is refused, which its publisher hears.
    Refuse,
    /// It is dropped, which nobody hears.
    Drop,
}

/// The terms on which a queue takes a batch.
#[derive(Clone, Copy)]
pub struct Admission {
    /// The level that it goes to.
    pub level: u8,
    /// Whether it survives a restart in this queue.
    pub is_logged: bool,
    /// Whether the queue has extras or the messages expire. (Then they are stamped.)
    is_special: bool,
    /// The level's slot in the log.
    pub slot: u32,
    /// The place of the first message.
    pub first: u64,
}

impl Shard {
    /// Gives messages of `sender` to the queue `id`, which lives here: to waiting consumers at
    /// once, else into the arena or, if memory is short, to the log alone.
    pub(in crate::shard) fn enqueue(&mut self, id: QueueId, sender: &Sender, mut batch: Batch<'_, '_>) -> Effect {
        let Some(mut queue) = local_queue(&mut self.queues.slots, id) else { return Effect::NONE };
        let mut level = 0;
        if self.queues.levelled > 0 {
            level = queue.rules.priorities.level(batch.contents[0].properties);
            if !queue.is_open(level) {
                self.begin_level(id, level);
                queue = local_queue(&mut self.queues.slots, id).expect("a new level does not remove a queue");
            }
        }
        let admission = match decide(queue, level, &batch, self.now) {
            Decision::Admit(admission) => admission,
            Decision::HoldBack(admission) => {
                let kept = self.hold_back(id, &admission, &mut batch);
                self.note_taken(sender, &admission, batch.contents.len(), kept);
                return Effect::NONE;
            }
            Decision::Refuse => {
                self.refuse_batch(id, &batch);
                return Effect::REFUSED;
            }
            Decision::Drop => return Effect::NONE,
        };
        let count = batch.contents.len();
        let around = Around {
            conns: &mut self.conns,
            links: &mut self.peers.links,
            here: self.id,
            arena: &mut self.arena,
            durability: &mut self.durability,
            flow: &mut self.publishing.flow,
            tally: &mut self.tally,
            traces: &mut self.publishing.traces,
        };
        let passed = pass_on(queue, &admission, &mut batch, around);
        let (stored, effect) = if passed < count { self.append(id, &admission, &mut batch, passed) } else { (0, Effect::NONE) };
        self.note_taken(sender, &admission, count, passed + stored);
        if admission.is_special {
            self.note_special(id, &admission, &batch, passed, stored);
        }
        effect
    }

    /// Notes for the log what a queue has taken: a batch that survives a restart, or one of which a
    /// part is left to the log alone. `kept` messages are in memory or delivered.
    #[inline(always)]
    fn note_taken(&mut self, sender: &Sender, admission: &Admission, count: usize, kept: usize) {
        if admission.is_logged || kept < count {
            self.durability.logging.taken(sender, admission, count, kept);
        }
    }

    /// Notes that `stored` messages from index `passed` on wait in memory, and that some of the
    /// batch may not be allowed to stay.
    fn note_special(&mut self, id: QueueId, admission: &Admission, batch: &Batch<'_, '_>, passed: usize, stored: usize) {
        if stored > 0 {
            let first = admission.first + passed as u64;
            self.note_deadlines(id, first, first + stored as u64 - 1, &batch.message(passed));
        }
        if self.durability.logging.fresh.last() != Some(&id) {
            self.durability.logging.fresh.push(id);
        }
    }

    /// Lets a refused message die, if the queue wants that.
    fn refuse_batch(&mut self, id: QueueId, batch: &Batch<'_, '_>) {
        let settings = local_queue(&mut self.queues.slots, id).and_then(|queue| queue.settings());
        if settings.is_some_and(|settings| settings.overflow == Overflow::RejectPublishDlx) {
            self.die_refused(id, &batch.message(0));
        }
    }

    /// Lets messages from index `from` on wait in the queue. Returns how many of them do so in
    /// memory.
    fn append(&mut self, id: QueueId, admission: &Admission, batch: &mut Batch<'_, '_>, from: usize) -> (usize, Effect) {
        let persistent = self.config.queue_memory;
        let memory = if admission.is_logged { persistent } else { self.config.transient_memory.unwrap_or(persistent) };
        let is_short = self.uses_more_than(memory);
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return (0, Effect::NONE) };
        let (level, count) = (queue.level(admission.level), batch.contents.len() - from);
        let was_spilling = level.spilled() > 0;
        let spills = was_spilling || is_short && level.loaded() >= SPILL_MIN;
        let bytes = batch.contents[from..].iter().map(|content| content.body.bytes().len() as u64).sum();
        let mut effect = Effect::NONE;
        if spills {
            if !was_spilling {
                self.durability.store.spill_from(admission.slot, split_place(admission.first).1 + from as u64);
            }
            queue.spill(admission.level, count, bytes);
        } else {
            store(queue, &mut self.arena, admission, batch, from, bytes);
            effect = Effect::MEMORY_SHORT.when(self.arena.is_short());
        }
        if !queue.consumers.is_empty() {
            self.publishing.flow.press(QueueAddr { home: self.id, queue: id });
        }
        if queue.consumers.any_ready() {
            self.mark_queue(id);
        }
        (if spills { 0 } else { count }, effect)
    }
}

/// Decides on a batch, which is for this level of a queue. Nothing is done with it, but that a
/// queue which drops duplicates remembers it.
#[inline]
fn decide(queue: &mut Queue, level: u8, batch: &Batch<'_, '_>, now: u64) -> Decision {
    let properties = batch.contents[0].properties;
    let is_special = batch.stamp != Stamp::NONE && (has_expiration(properties) || queue.is_special());
    let (is_logged, at) = (queue.rules.keeps(properties), queue.level(level));
    let admission = Admission { level, is_logged, is_special, slot: at.slot(), first: at.next() };
    if is_special { decide_specially(queue, admission, batch, now) } else { Decision::Admit(admission) }
}

/// Decides on a batch whose messages expire, or for a queue with extras. A queue that may refuse or
/// drop messages gets them one by one (see `Settings::selects`).
fn decide_specially(queue: &mut Queue, admission: Admission, batch: &Batch<'_, '_>, now: u64) -> Decision {
    let Content { properties, body } = batch.contents[0];
    let selects = || queue.settings().is_some_and(Settings::selects);
    debug_assert!(batch.contents.len() == 1 || !selects(), "a queue that selects gets messages one by one");
    match () {
        () if queue.is_delayed() => Decision::HoldBack(admission),
        () if queue.refuses(body.bytes().len()) => Decision::Refuse,
        () if !queue.is_first_of_its_kind(admission.level, properties, now) => Decision::Drop,
        () => Decision::Admit(admission),
    }
}

/// Puts messages from index `from` on into memory.
fn store(queue: &mut Queue, arena: &mut Arena, admission: &Admission, batch: &mut Batch<'_, '_>, from: usize, bytes: u64) {
    let mut run = arena.run(batch.holders());
    let was_delivered = batch.stamp.was_delivered();
    queue.push(admission.level, batch.contents.len() - from, bytes, |at, place| {
        let entry = Entry::at(place, batch.hold(from + at, admission.is_logged, &mut run));
        if was_delivered { entry.returned() } else { entry }
    });
}

impl<'b, 'm> Batch<'b, 'm> {
    /// Makes a batch for one queue.
    pub fn new(route: Route<'m>, stamp: Stamp, contents: &'b [Content<'m>]) -> Self {
        Batch { route, stamp, contents, stored: None }
    }

    /// Makes a batch for several queues, which share its places.
    pub fn shared(route: Route<'m>, stamp: Stamp, contents: &'b [Content<'m>], stored: &'b mut [Option<MessageRef>]) -> Self {
        Batch { route, stamp, contents, stored: Some(stored) }
    }

    pub(in crate::shard) fn message(&self, at: usize) -> MessageView<'m> {
        MessageView { stamp: self.stamp, ..self.contents[at].sent_to(self.route) }
    }

    pub(in crate::shard) fn holders(&self) -> Holders {
        if self.stored.is_some() { Holders::Several } else { Holders::One }
    }

    /// Returns the place of a message in the arena, held once more by a queue. `is_logged`: it
    /// survives a restart there.
    #[inline]
    pub(in crate::shard) fn hold(&mut self, at: usize, is_logged: bool, run: &mut Run<'_, 'm>) -> MessageRef {
        let place = self.place(at, run);
        if is_logged { place.logged() } else { place }
    }

    #[inline]
    fn place(&mut self, at: usize, run: &mut Run<'_, 'm>) -> MessageRef {
        if let Some(place) = self.stored.as_ref().and_then(|stored| stored[at]) {
            run.hold(place);
            return place;
        }
        let place = run.insert(&self.message(at));
        if let Some(stored) = &mut self.stored {
            stored[at] = Some(place);
        }
        place
    }
}

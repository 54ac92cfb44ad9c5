//! Dead letters that nobody takes. The queue where they died keeps them (at-least-once), and they
//! try again (row D16).
//!
//! ```text
//! refused by a queue ─▶ list of letters for that queue ─ later ─▶ its first letter tries again
//! or without a queue     ▲                                        ├ taken: twice as many follow
//!                        └─ in front of all others ◀── refused ───┘
//! ```
//!
//! So a full queue costs one attempt a second, however many letters wait for it, and gets them in
//! their order once it has room. Letters without a queue try again when the catalog has changed. A
//! letter that waits for several queues stands in the list of each.

use std::collections::{BTreeMap, VecDeque};

use crate::base::hash::Map;
use crate::base::ids::{Key, QueueAddr, QueueId};
use crate::base::limits::{BURY_AGAIN_MS, BURY_BUDGET};
use crate::shard::Shard;
use crate::shard::local_queue;
use crate::shard::queues::cycles::Cycles;
use crate::shard::queues::dead_letter::{Begun, Corpse};
use crate::shard::queues::gone_queues::{GoneQueue, GoneQueues};
use crate::shard::queues::lifetime::Timer;

/// The queue that a letter waits for; none: any queue.
pub type Awaited = Option<QueueAddr>;

/// Dead messages that are still in the queue where they died.
#[derive(Default)]
pub struct Unburied {
    /// Messages to be published next.
    next: VecDeque<Corpse>,
    /// How many were ever added to `next`.
    added: u64,
    /// Queues that were deleted before all their dead messages were published.
    pub gone: GoneQueues,
    /// The message before `next`, if only some of its queues have it so far.
    pub begun: Option<Begun>,
    /// Messages that went in a circle.
    pub cycles: Cycles,
    /// Waiting messages by their numbers; `None` while one is on its way.
    waiting: Map<u64, Option<Box<Corpse>>>,
    last_number: u64,
    /// Lists by slot and generation of the awaited queue.
    lists: BTreeMap<(u32, u32), List>,
    /// When the timer that was set last fires.
    timer: Option<u64>,
}

/// Messages that wait for the same queue.
struct List {
    awaited: Awaited,
    batches: VecDeque<Batch>,
    /// How many may try at a time, and how many are trying.
    window: usize,
    under_way: usize,
    /// Those of these that were refused.
    refused: Vec<u64>,
    /// Whether the next message is on its way from another list.
    is_held_up: bool,
}

/// Messages that try again at the same time. If they lead to no queue: the version of the catalog
/// at their last try.
struct Batch {
    due: u64,
    version: u64,
    numbers: VecDeque<u64>,
}

impl Unburied {
    /// Whether no message is to be published at once.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty() && self.begun.is_none()
    }

    /// Adds a message to be published.
    pub fn push(&mut self, corpse: Corpse) {
        self.added += 1;
        self.next.push_back(corpse);
    }

    /// Takes the next message to be published.
    pub fn pop(&mut self) -> Option<Corpse> {
        self.gone.forget_before(self.added - self.next.len() as u64);
        self.next.pop_front()
    }

    /// Keeps the facts of a queue that goes, because its dead messages are still to be published.
    pub fn keep_gone(&mut self, id: QueueId, gone: GoneQueue) {
        if !self.next.is_empty() {
            self.gone.keep(id, gone, self.added);
        }
    }

    /// Whether letters wait for a queue: then others wait behind them.
    pub fn awaits(&self, queue: QueueAddr) -> bool {
        !self.lists.is_empty() && self.lists.contains_key(&key(Some(queue)))
    }

    fn list(&mut self, awaited: Awaited) -> &mut List {
        let new = || List { awaited, batches: VecDeque::new(), window: 1, under_way: 0, refused: Vec::new(), is_held_up: false };
        self.lists.entry(key(awaited)).or_insert_with(new)
    }

    /// When the next messages try again.
    fn next_due(&self) -> Option<u64> {
        self.lists.values().filter_map(List::next_due).min()
    }
}

impl List {
    /// When the next messages of the list try again, unless the list waits for those that are
    /// trying.
    fn next_due(&self) -> Option<u64> {
        self.batches.front().filter(|_| self.under_way == 0 && !self.is_held_up).map(|batch| batch.due)
    }

    /// Appends a message. One that waits for a queue waits behind all others and has no time of its
    /// own.
    fn push_back(&mut self, due: u64, version: u64, number: u64) {
        let is_queue = self.awaited.is_some();
        match self.batches.back_mut() {
            Some(last) if is_queue || (last.due, last.version) == (due, version) => last.numbers.push_back(number),
            _ => self.batches.push_back(Batch { due, version, numbers: VecDeque::from([number]) }),
        }
    }

    /// Puts the refused messages in front of all others, to wait on.
    fn wait_on(&mut self, now: u64) {
        let mut numbers = VecDeque::from(std::mem::take(&mut self.refused));
        self.batches.iter_mut().for_each(|batch| numbers.append(&mut batch.numbers));
        self.batches = VecDeque::from([Batch { due: now + BURY_AGAIN_MS, version: 0, numbers }]);
    }

    /// Lets messages without a queue, which would try by `now`, wait on if the catalog has had this
    /// version since their last try.
    fn postpone(&mut self, now: u64, version: u64) {
        let mut numbers = VecDeque::new();
        while let Some(mut batch) = self.batches.pop_front_if(|batch| batch.due <= now && batch.version == version && version != UNSETTLED)
        {
            numbers.append(&mut batch.numbers);
        }
        if !numbers.is_empty() {
            let at = self.batches.partition_point(|batch| batch.due < now + BURY_AGAIN_MS);
            self.batches.insert(at, Batch { due: now + BURY_AGAIN_MS, version, numbers });
        }
    }

    /// Whether the messages in front may try: their time has come, or the queue has just taken
    /// others.
    fn may_try(&self, now: u64) -> bool {
        let is_taking = self.awaited.is_some() && self.window > 1;
        self.batches.front().is_some_and(|batch| is_taking || batch.due <= now)
    }
}

impl Shard {
    /// Lets a dead message wait that these queues have refused, or that leads to none. If its own
    /// queue is gone, or has no extras any more, the message is dropped.
    pub(in crate::shard) fn bury_later(&mut self, mut corpse: Corpse, refused: Vec<Awaited>) {
        let (now, version) = (self.now, self.settled_version());
        let Some(queue) = local_queue(&mut self.queues.slots, corpse.queue).filter(|queue| queue.is_special()) else {
            return self.buried(corpse);
        };
        let dead = &mut self.queues.dead;
        if corpse.number == 0 {
            queue.keep_unburied();
            dead.last_number += 1;
            corpse.number = dead.last_number;
        }
        let (number, tried) = (corpse.number, corpse.tried.take());
        for &awaited in &refused {
            let list = dead.list(awaited);
            if tried == Some(awaited) && awaited.is_some() {
                list.refused.push(number);
            } else if tried == Some(awaited) || !corpse.awaited.contains(&awaited) {
                list.push_back(now + BURY_AGAIN_MS, version, number);
            }
        }
        let awaited = std::mem::replace(&mut corpse.awaited, refused);
        dead.waiting.insert(number, Some(Box::new(corpse)));
        self.end_attempt(tried, &awaited);
        self.set_dead_timer(Some(now + BURY_AGAIN_MS));
    }

    /// Lets go of a dead message that all its queues have, or that is gone for another reason.
    pub(in crate::shard) fn buried(&mut self, corpse: Corpse) {
        if corpse.number > 0 {
            self.queues.dead.waiting.remove(&corpse.number);
            local_queue(&mut self.queues.slots, corpse.queue).into_iter().for_each(|queue| queue.end_unburied());
        }
        self.let_go(corpse.queue, corpse.entry);
        self.end_attempt(corpse.tried, &corpse.awaited);
    }

    /// Ends an attempt of a message that waited for all of these and has tried once more with one
    /// of them.
    fn end_attempt(&mut self, tried: Option<Awaited>, awaited: &[Awaited]) {
        let now = self.now;
        for &other in awaited.iter().filter(|other| Some(**other) != tried) {
            if let Some(list) = self.queues.dead.lists.get_mut(&key(other)).filter(|list| list.is_held_up) {
                list.is_held_up = false;
                self.try_again(other);
            }
        }
        if let Some(list) = tried.and_then(|awaited| self.queues.dead.lists.get_mut(&key(awaited))) {
            list.under_way -= 1;
            if list.under_way > 0 {
                return;
            }
            if list.refused.is_empty() {
                list.window = (2 * list.window).min(BURY_BUDGET);
            } else {
                list.window = 1;
                list.wait_on(now);
            }
            let awaited = list.awaited;
            self.try_again(awaited);
        }
    }

    /// Fires the timer: some of the waiting messages try again.
    pub(in crate::shard) fn on_dead_timer(&mut self) {
        let now = self.now;
        if self.queues.dead.timer.take_if(|due| *due <= now).is_none() {
            return; // an earlier timer replaced it
        }
        let lists = self.queues.dead.lists.values().filter(|list| list.batches.front().is_some_and(|batch| batch.due <= now));
        let due: Vec<Awaited> = lists.map(|list| list.awaited).collect();
        due.into_iter().for_each(|awaited| self.try_again(awaited));
        let next = self.queues.dead.next_due();
        self.set_dead_timer(next);
    }

    /// Lets the first messages of a list try again, those whose time has come.
    fn try_again(&mut self, awaited: Awaited) {
        let (now, version) = (self.now, self.settled_version());
        let dead = &mut self.queues.dead;
        let Some(list) = dead.lists.get_mut(&key(awaited)).filter(|list| list.under_way == 0 && !list.is_held_up) else { return };
        if awaited.is_none() {
            list.postpone(now, version); // nothing can have changed for them
            list.window = BURY_BUDGET;
        }
        while list.under_way < list.window && list.may_try(now) {
            let Some(batch) = list.batches.front_mut() else { break };
            let Some(number) = batch.numbers.pop_front() else {
                list.batches.pop_front();
                continue;
            };
            let Some(place) = dead.waiting.get_mut(&number) else { continue };
            match place.take_if(|corpse| corpse.awaited.contains(&awaited)) {
                Some(corpse) => {
                    list.under_way += 1;
                    dead.added += 1;
                    dead.next.push_back(Corpse { tried: Some(awaited), ..*corpse });
                }
                None if place.is_none() => {
                    batch.numbers.push_front(number);
                    list.is_held_up = true;
                    break;
                }
                None => {}
            }
        }
        let next = list.next_due();
        if list.under_way == 0 && list.batches.is_empty() {
            dead.lists.remove(&key(awaited));
        }
        self.set_dead_timer(next);
    }

    /// Returns the catalog's version if all queues here follow it, otherwise no version.
    fn settled_version(&self) -> u64 {
        if self.is_sweeping() { UNSETTLED } else { self.catalog.version() }
    }

    fn set_dead_timer(&mut self, due: Option<u64>) {
        let Some(due) = due else { return };
        if self.queues.dead.timer.is_none_or(|set_for| set_for > due) {
            self.queues.dead.timer = Some(due);
            self.timers.set(due.max(self.now), Timer::Dead);
        }
    }

    /// Drops the dead messages of a queue that is about to go.
    pub(in crate::shard) fn forget_unburied(&mut self, id: QueueId) {
        if !self.queue_mut(id).is_some_and(|queue| queue.has_unburied()) {
            return;
        }
        let of_queue =
            |(number, corpse): (&u64, &Option<Box<Corpse>>)| corpse.as_ref().filter(|corpse| corpse.queue == id).map(|_| *number);
        let mut numbers: Vec<u64> = self.queues.dead.waiting.iter().filter_map(of_queue).collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(corpse) = self.queues.dead.waiting.remove(&number).flatten() {
                self.buried(*corpse);
            }
        }
    }
}

/// Stands for the catalog's version while some queues do not follow it yet.
const UNSETTLED: u64 = u64::MAX;

fn key(awaited: Awaited) -> (u32, u32) {
    awaited.map_or((u32::MAX, u32::MAX), |addr| {
        let Key { slot, generation } = Key::from(addr.queue);
        (slot, generation)
    })
}

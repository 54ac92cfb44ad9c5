//! Deadlines: when the messages of a queue expire, whatever their order (rows D12, N2).
//!
//! ```text
//! in order       runs [(deadline, first..=last) (deadline, first..=last) …]   the queue's own TTL
//! out of order   heap (deadline, place) …                                     TTLs of messages
//! ```
//!
//! A deadline is not removed when its message leaves the queue: when it passes, no message is
//! found. When such deadlines may outnumber those of waiting messages, they are swept out.

use std::cmp::Reverse;
use std::collections::VecDeque;

use dary_heap::OctonaryHeap;

use super::Queue;
use super::extras::Extras;
use crate::broker::arena::Arena;
use crate::contract::{Entry, split_place};
use crate::message::{MessageView, Properties};

impl Queue {
    /// Returns when the message at this place expires, milliseconds since 1970: after its own TTL
    /// or that of the queue, whichever is shorter (row D12). `None`: never.
    pub fn deadline(&self, place: u64, message: &MessageView<'_>) -> Option<u64> {
        let time = message.stamp.time_ms()?;
        let own = Properties::trusted(message.properties).expiration().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        own.into_iter().chain(self.ttl(place)).min().map(|wait: u64| if wait == 0 { AT_ONCE } else { time.saturating_add(wait) })
    }

    /// Notes that messages at the places `first` to `last` began to wait in memory, all with the
    /// time and the properties of `message`. Returns whether they expire.
    pub fn note_waiting(&mut self, first: u64, last: u64, message: &MessageView<'_>) -> bool {
        let Some(deadline) = self.deadline(last, message) else { return false };
        self.extras().deadlines.push(deadline, first, last);
        self.sweep_deadlines();
        true
    }

    /// Takes out a message that is in memory again if its time is over at `now`, else notes when it
    /// will be. Returns whether it was taken out.
    pub fn take_if_expired(&mut self, entry: Entry, arena: &Arena, now: u64) -> bool {
        let place = entry.place();
        let Some(deadline) = self.deadline(place, &arena.view(entry.message)) else { return false };
        if deadline <= now {
            self.take(place, arena).expect("a loaded message is in the queue");
            return true;
        }
        self.extras().deadlines.push(deadline, place, place);
        false
    }

    /// Takes a message back, unless its time is over at `now`. Returns whether it was taken.
    pub fn requeue_unless_expired(&mut self, entry: Entry, arena: &Arena, now: u64) -> bool {
        let (place, message) = (entry.place(), arena.view(entry.message));
        let deadline = self.deadline(place, &message);
        if deadline.is_some_and(|deadline| deadline <= now) {
            return false;
        }
        self.requeue(entry, &message);
        deadline.into_iter().for_each(|deadline| self.extras().deadlines.push(deadline, place, place));
        true
    }

    /// Takes the earliest deadline that passes by `time`, and its message out of the queue.
    pub fn expire(&mut self, time: u64, arena: &Arena) -> Option<Passed> {
        let place = self.extras.as_mut()?.deadlines.pop(time)?;
        Some(self.take(place, arena).map_or(Passed::Unneeded, Passed::Expired))
    }

    /// Whether messages may not wait at all.
    pub fn expires_at_once(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.deadlines.next() == Some(AT_ONCE))
    }

    /// Forgets the deadlines of messages that no longer wait in memory, if there are many.
    fn sweep_deadlines(&mut self) {
        let loaded = self.len() - self.spilled() as usize;
        let Queue { extras, levels, returns, .. } = self;
        let Some(Extras { deadlines, held, .. }) = extras.as_deref_mut() else { return };
        if deadlines.is_littered(loaded) {
            let is_back = |place| returns.as_ref().is_some_and(|returns| returns.contains(place));
            deadlines.sweep(|place| is_back(place) || held.contains(place) || levels.get(split_place(place).0).has(place));
        }
    }

    /// How long the message at this place may wait, if the queue limits it (row D12).
    fn ttl(&self, place: u64) -> Option<u64> {
        let extras = self.extras.as_deref()?;
        extras.earlier.find(place).unwrap_or(extras.settings.message_ttl)
    }
}

/// A deadline that has passed.
pub enum Passed {
    /// Its message waited until then, and expires.
    Expired(Entry),
    /// Its message left the queue before.
    Unneeded,
}

/// The deadlines of one queue's messages, milliseconds since 1970.
#[derive(Default, Debug)]
pub struct Deadlines {
    runs: VecDeque<Run>,
    heap: OctonaryHeap<Reverse<(u64, u64)>>,
    /// Number of messages in `runs`.
    in_runs: u64,
}

/// Messages with successive places that expire at the same time.
#[derive(Clone, Copy, Debug)]
struct Run {
    deadline: u64,
    first: u64,
    last: u64,
}

impl Deadlines {
    /// Notes that messages `first` to `last` expire at `deadline`.
    pub fn push(&mut self, deadline: u64, first: u64, last: u64) {
        match self.runs.back_mut() {
            Some(run) if run.deadline == deadline && run.last + 1 == first => run.last = last,
            Some(run) if run.deadline > deadline => return self.heap.extend((first..=last).map(|place| Reverse((deadline, place)))),
            _ => self.runs.push_back(Run { deadline, first, last }),
        }
        self.in_runs += last - first + 1;
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<u64> {
        let in_heap = self.heap.peek().map(|Reverse((deadline, _))| *deadline);
        self.runs.front().map(|run| run.deadline).into_iter().chain(in_heap).min()
    }

    /// Takes out the earliest message that expires by `now`.
    pub fn pop(&mut self, now: u64) -> Option<u64> {
        self.next().filter(|&next| next <= now)?;
        let is_in_heap = match (self.heap.peek(), self.runs.front()) {
            (Some(Reverse((deadline, _))), Some(run)) => *deadline < run.deadline,
            (heap, _) => heap.is_some(),
        };
        if is_in_heap {
            return self.heap.pop().map(|Reverse((_, place))| place);
        }
        let run = self.runs.front_mut()?;
        let place = run.first;
        run.first += 1;
        self.in_runs -= 1;
        if run.first > run.last {
            self.runs.pop_front();
        }
        Some(place)
    }

    /// Whether a [`sweep`](Self::sweep) is due: while this many messages wait, there are too many
    /// deadlines of messages that are gone.
    pub fn is_littered(&self, waiting: usize) -> bool {
        self.heap.len() as u64 + self.in_runs > 2 * waiting as u64 + LITTER_MIN
    }

    /// Forgets the deadlines of messages that do not wait.
    pub fn sweep(&mut self, waits: impl Fn(u64) -> bool) {
        let heap = std::mem::take(&mut self.heap).into_vec();
        self.heap = heap.into_iter().filter(|Reverse((_, place))| waits(*place)).collect();
        let runs = std::mem::take(&mut self.runs);
        self.in_runs = 0;
        for run in runs {
            for place in (run.first..=run.last).filter(|&place| waits(place)) {
                self.push_in_order(run.deadline, place);
            }
        }
    }

    fn push_in_order(&mut self, deadline: u64, place: u64) {
        self.in_runs += 1;
        match self.runs.back_mut() {
            Some(run) if run.deadline == deadline && run.last + 1 == place => run.last = place,
            _ => self.runs.push_back(Run { deadline, first: place, last: place }),
        }
    }

    /// Forgets all deadlines.
    pub fn clear(&mut self) {
        *self = Deadlines::default();
    }
}

/// Up to this number, deadlines are never swept.
const LITTER_MIN: u64 = 1024;

/// The deadline of messages that may not wait at all.
pub const AT_ONCE: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::QueueId;
    use crate::base::rng::Rng;
    use crate::broker::queue::Rules;
    use crate::message::MessageRef;

    fn due(deadlines: &mut Deadlines, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| deadlines.pop(now)).collect()
    }

    #[test]
    fn equal_times_are_one_run() {
        let mut deadlines = Deadlines::default();
        deadlines.push(100, 0, 4);
        deadlines.push(100, 5, 9);
        deadlines.push(120, 10, 10);
        assert_eq!((deadlines.runs.len(), deadlines.next()), (2, Some(100)));
        assert!(due(&mut deadlines, 99).is_empty());
        assert_eq!(due(&mut deadlines, 100), (0..10).collect::<Vec<_>>());
        assert_eq!((due(&mut deadlines, 500), deadlines.next()), (vec![10], None));
    }

    #[test]
    fn a_held_message_keeps_its_deadline() {
        let mut queue = Queue::new(QueueId::default(), Rules::default());
        let extras = queue.extras();
        extras.held.hold(10, Entry::new(0, 7, MessageRef::default()));
        extras.deadlines.push(50, 0, LITTER_MIN);
        queue.sweep_deadlines();
        assert_eq!(due(&mut queue.extras().deadlines, 50), [7]);
    }

    #[test]
    fn they_come_up_in_the_order_of_time() {
        let mut rng = Rng::seeded(3);
        let (mut deadlines, mut model) = (Deadlines::default(), Vec::new());
        for place in 0..5000 {
            let deadline = if rng.below(2) == 0 { 1000 + place } else { rng.below(10_000) };
            deadlines.push(deadline, place, place);
            model.push((deadline, place));
        }
        model.retain(|(_, place)| place % 3 == 0);
        assert!(deadlines.is_littered(1000) && !deadlines.is_littered(2500));
        deadlines.sweep(|place| place % 3 == 0);
        model.sort_unstable();
        for now in (0..11_000).step_by(500) {
            let mut came: Vec<u64> = due(&mut deadlines, now);
            let mut expected: Vec<u64> = model.iter().filter(|(deadline, _)| *deadline <= now).map(|(_, place)| *place).collect();
            model.retain(|(deadline, _)| *deadline > now);
            came.sort_unstable();
            expected.sort_unstable();
            assert_eq!(came, expected);
        }
        assert!(model.is_empty() && deadlines.next().is_none());
    }
}

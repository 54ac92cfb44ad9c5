//! A queue: messages in order, consumers in rotation. A pure machine; the shard performs what it decides.
//!
//! ```text
//!                    returned  {3, 7}            came back; each at its own place
//!   push ──▶ ready [12 11 10 9 8 5 4] ──▶ pop    the smaller of both fronts
//!                                          │
//!               consumers  (c2 c5 c1) ─────┘     strict rotation among those with room, higher priority first
//! ```
//!
//! **Spilled.** When memory is short, messages go to the log alone. All of them lie behind those in `ready`, and as long as there are any, new
//! ones join them; the shard loads them again as `ready` runs low. The queue keeps no more of them than their number.
//!
//! Invariants: sequence numbers grow from front to back of `ready`; no number is in both `ready` and `returned`. A popped entry is in the
//! custody of whoever popped it (a session's unsettled window) until it is settled or requeued; the queue keeps the count of those only.

mod consumers;
mod deadlines;
mod returns;
mod rules;
mod settings;
mod single_active;

pub use consumers::{Consumer, Consumers};
pub use deadlines::Deadlines;
pub use returns::Counts;
pub use rules::{Rules, lasts};
pub use settings::{DeadLetter, Overflow, Settings};

use std::collections::BTreeMap;

use crate::base::ids::QueueId;
use crate::base::ids::TimerId;
use crate::base::long_queue::LongQueue;
use crate::contract::{Entry, Outcome};
use crate::message::MessageRef;

use returns::Returns;

/// One queue on its home shard.
pub struct Queue {
    /// Its id in the catalog.
    pub id: QueueId,
    /// Who receives from it.
    pub consumers: Consumers,
    /// What it was declared as.
    pub rules: Rules,
    next_sequence: u64,
    ready: LongQueue<Entry>,
    returned: BTreeMap<u64, Entry>,
    /// What came back, if it is a quorum queue; then `returned` has only what its consumers never saw.
    returns: Option<Box<Returns>>,
    /// Messages that only the log has.
    spilled: u64,
    /// What a plain queue does without.
    pub extras: Option<Box<Extras>>,
}

/// What a queue with promises about its messages keeps beside them, and one with a message that expires.
#[derive(Default)]
pub struct Extras {
    /// The promises.
    pub settings: Settings,
    /// When its messages in memory expire.
    pub deadlines: Deadlines,
    /// Bytes of the bodies of ready messages; counted only if there is a limit to them.
    pub ready_bytes: u64,
    /// Since when nobody has used the queue, milliseconds of the shard's time.
    pub unused_since: u64,
    /// The timer that is set, and for when.
    pub timer: Option<(TimerId, u64)>,
}

impl Queue {
    /// An empty queue.
    pub fn new(id: QueueId, rules: Rules) -> Queue {
        Queue {
            id,
            consumers: Consumers::new(&rules),
            rules,
            next_sequence: 0,
            ready: LongQueue::new(),
            returned: BTreeMap::new(),
            returns: rules.quorum.then(|| Box::new(Returns::new(rules.delivery_limit))),
            spilled: 0,
            extras: None,
        }
    }

    /// Its promises, if it makes any.
    pub fn settings(&self) -> Option<&Settings> {
        self.extras.as_ref().map(|extras| &extras.settings)
    }

    /// What the queue keeps beside its messages, from now on.
    pub fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Whether another message of `bytes` bytes would be refused.
    pub fn refuses(&self, bytes: usize) -> bool {
        let length = self.len() as u64 + 1;
        let exceeds = |extras: &Extras| extras.settings.rejects() && extras.settings.is_exceeded(length, extras.ready_bytes + bytes as u64);
        self.extras.as_deref().is_some_and(exceeds)
    }

    /// Whether there are more messages than there may be.
    pub fn is_over_limit(&self) -> bool {
        let length = self.len() as u64;
        self.extras.as_deref().is_some_and(|extras| length > 0 && extras.settings.is_exceeded(length, extras.ready_bytes))
    }

    /// Whether its messages may expire, and somebody wants to know when.
    pub fn may_expire(&self) -> bool {
        self.settings().is_some_and(|settings| settings.message_ttl.is_some() || settings.dead_letter.is_some())
    }

    /// Whether the number of bytes matters.
    pub fn counts_bytes(&self) -> bool {
        self.settings().is_some_and(|settings| settings.max_length_bytes.is_some())
    }

    /// Takes out the message at a place in memory, if it waits there.
    pub fn take(&mut self, sequence: u64) -> Option<Entry> {
        if let Some(entry) = self.returned.remove(&sequence) {
            return Some(entry);
        }
        let key = Entry::new(sequence, MessageRef::default()).key();
        if let Some(entry) = self.returns.as_mut().and_then(|returns| returns.take(key)) {
            return Some(entry);
        }
        let at = self.ready.find(|entry| entry.sequence().cmp(&sequence))?;
        Some(self.ready.remove(at))
    }

    /// Forgets the deadlines of messages that do not wait in memory any more, if there are many.
    pub fn sweep_deadlines(&mut self) {
        let loaded = self.loaded();
        let Queue { extras, ready, returned, returns, .. } = self;
        let Some(extras) = extras else { return };
        if extras.deadlines.is_littered(loaded) {
            let key = |sequence| Entry::new(sequence, MessageRef::default()).key();
            let is_ready = |sequence: u64| ready.find(|entry| entry.sequence().cmp(&sequence)).is_some();
            let is_back = |sequence| returns.as_ref().is_some_and(|returns| returns.contains(key(sequence)));
            extras.deadlines.sweep(|sequence| returned.contains_key(&sequence) || is_back(sequence) || is_ready(sequence));
        }
    }

    /// What a restart has found: the first sequence number that is free, and how many messages the log has.
    pub fn restore(&mut self, next_sequence: u64, spilled: u64) {
        (self.next_sequence, self.spilled) = (next_sequence, spilled);
    }

    /// The sequence number that the next message gets.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// `count` messages at the tail go to the log alone. The answer is the sequence number of the first one.
    pub fn spill(&mut self, count: usize) -> u64 {
        let first = self.next_sequence;
        self.next_sequence += count as u64;
        self.spilled += count as u64;
        first
    }

    /// The next spilled message is in memory again.
    pub fn load(&mut self, entry: Entry) {
        self.ready.push_back(entry);
        self.spilled -= 1;
    }

    /// Spilled messages that cannot be read any more.
    pub fn lose(&mut self, count: u64) {
        self.spilled -= count;
    }

    /// Messages that only the log has.
    pub fn spilled(&self) -> u64 {
        self.spilled
    }

    /// Messages in memory that are ready for delivery, in any order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let returns = self.returns.iter().flat_map(|returns| returns.iter());
        self.ready.iter().chain(self.returned.values()).chain(returns).copied()
    }

    /// How many they are.
    pub fn loaded(&self) -> usize {
        self.ready.len() + self.returned.len() + self.returns.as_ref().map_or(0, |returns| returns.len())
    }

    /// A place at the tail for a message that is delivered at once and does not wait.
    pub fn place(&mut self, message: MessageRef) -> Entry {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Entry::new(sequence, message)
    }

    /// Appends a message that was given a [`place`](Self::place) at the tail.
    pub fn push(&mut self, entry: Entry) {
        self.ready.push_back(entry);
    }

    /// Takes the message at the head.
    pub fn pop(&mut self) -> Option<Entry> {
        if !self.returned.is_empty() && self.returned_is_first() {
            return self.returned.pop_first().map(|(_, entry)| entry);
        }
        self.returns.as_mut().and_then(|returns| returns.pop()).or_else(|| self.ready.pop_front())
    }

    /// Puts an entry back at its place: among those that came back, if it is a quorum queue's and was delivered.
    pub fn requeue(&mut self, entry: Entry) {
        match &mut self.returns {
            Some(returns) if entry.redelivered() => returns.add(entry),
            _ => _ = self.returned.insert(entry.sequence(), entry),
        }
    }

    /// A message comes back that somebody had; `requeue` follows. True: it has failed too often (row D23).
    pub fn count_return(&mut self, entry: Entry, outcome: Outcome) -> bool {
        self.returns.as_mut().is_some_and(|returns| returns.count(entry, outcome))
    }

    /// How often a message came back, where that is counted.
    pub fn counts(&self, entry: Entry) -> Option<Counts> {
        self.returns.as_ref().filter(|_| entry.redelivered())?.counts(entry)
    }

    /// Whether counts may go with the next message.
    pub fn counts_next(&self) -> bool {
        self.returns.as_ref().is_some_and(|returns| !returns.is_empty())
    }

    /// A message is gone: nothing counts any more.
    pub fn forget(&mut self, entry: Entry) {
        if let Some(returns) = self.returns.as_mut().filter(|_| entry.redelivered()) {
            returns.forget(entry);
        }
    }

    /// Takes out all messages that are ready for delivery.
    pub fn purge(&mut self) -> Purged {
        if let Some(returns) = &mut self.returns {
            while let Some(entry) = returns.pop() {
                returns.forget(entry);
                self.returned.insert(entry.sequence(), entry);
            }
        }
        let spilled = std::mem::take(&mut self.spilled);
        if let Some(extras) = &mut self.extras {
            extras.deadlines.clear();
            extras.ready_bytes = 0;
        }
        Purged { ready: std::mem::take(&mut self.ready), returned: std::mem::take(&mut self.returned), spilled }
    }

    /// Messages ready for delivery.
    pub fn len(&self) -> usize {
        self.loaded() + self.spilled as usize
    }

    /// Whether nothing is ready for delivery.
    pub fn is_empty(&self) -> bool {
        self.loaded() == 0 && self.spilled == 0
    }

    /// Whether a message and a consumer with room are both there.
    pub fn can_deliver(&self) -> bool {
        !self.is_empty() && self.consumers.any_ready()
    }

    /// Whether the queue goes now that its last consumer went (row D5: only if it ever had one).
    pub fn is_abandoned(&self) -> bool {
        self.rules.auto_delete && self.consumers.is_empty()
    }

    fn returned_is_first(&self) -> bool {
        match (self.returned.first_key_value(), self.ready.front()) {
            (Some(_), _) if self.returns.is_some() => true,
            (Some((&returned, _)), Some(ready)) => returned < ready.sequence(),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// Messages that were purged and still hold their places in the arena. There may be many millions of them.
pub struct Purged {
    ready: LongQueue<Entry>,
    returned: BTreeMap<u64, Entry>,
    /// Those that only the log had.
    pub spilled: u64,
}

impl Purged {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.ready.len() + self.returned.len() + self.spilled as usize
    }

    /// Whether there is none in memory.
    pub fn is_freed(&self) -> bool {
        self.ready.is_empty() && self.returned.is_empty()
    }

    /// Those in memory.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.ready.iter().chain(self.returned.values()).copied()
    }

    /// Takes one out, in any order.
    pub fn pop(&mut self) -> Option<Entry> {
        self.ready.pop_front().or_else(|| self.returned.pop_first().map(|(_, entry)| entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(offset: u32) -> MessageRef {
        MessageRef::new(0, offset as usize, false)
    }

    fn filled(count: u32) -> Queue {
        let mut queue = Queue::new(QueueId::default(), Rules::default());
        (0..count).for_each(|n| append(&mut queue, n));
        queue
    }

    fn append(queue: &mut Queue, n: u32) {
        let entry = queue.place(message(n));
        queue.push(entry);
    }

    fn order(queue: &mut Queue) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop()).map(|entry| entry.message.offset() as u32).collect()
    }

    #[test]
    fn first_in_first_out() {
        let mut queue = filled(3);
        assert_eq!(queue.len(), 3);
        assert_eq!(order(&mut queue), [0, 1, 2]);
        assert!(queue.is_empty());
    }

    #[test]
    fn purged_messages_are_all_that_were_ready() {
        let mut queue = filled(5);
        let taken = queue.pop().expect("five were pushed");
        queue.requeue(taken.returned());
        queue.pop();
        queue.requeue(taken.returned());
        let mut purged = queue.purge();
        assert_eq!((queue.len(), purged.count()), (0, 5));
        let mut places: Vec<_> = std::iter::from_fn(|| purged.pop()).map(|entry| entry.sequence()).collect();
        places.sort_unstable();
        assert_eq!((places, purged.is_freed()), (vec![0, 1, 2, 3, 4], true));
    }

    #[test]
    fn a_returned_message_has_its_old_place() {
        let mut queue = filled(6);
        let taken: Vec<_> = (0..4).filter_map(|_| queue.pop()).collect();
        queue.requeue(taken[2].returned());
        queue.requeue(taken[0].returned());
        append(&mut queue, 6);
        assert_eq!(queue.len(), 5);
        let first = queue.pop().expect("two came back");
        assert!(first.redelivered() && first.message == message(0));
        assert_eq!(order(&mut queue), [2, 4, 5, 6]);
    }
}

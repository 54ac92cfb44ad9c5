//! A queue of the model: its ready and waiting messages, the values by which it knows duplicates,
//! its consumers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::op::{Counts, Name, Place, Publish};
use crate::queues::{self, SEEN, SEEN_MAX, SEEN_MS, TWIN, UNIQUE};

/// A queue.
#[derive(Default)]
pub struct Queue {
    pub incarnation: u64,
    pub owner: Option<usize>,
    next_place: u64,
    next_return: u64,
    /// Ready messages, the next one in front.
    pub ready: BTreeMap<u64, Message>,
    /// Messages that came back and are not ready again yet, by the time at which they are, and the
    /// number of their return.
    pub waiting: BTreeMap<(u64, u64), Message>,
    /// The values by which duplicates are known, the oldest in front.
    known: Vec<Known>,
    /// All consumers, the next one to be served in front.
    pub consumers: Vec<Consumer>,
    /// The active consumer, if the queue serves only one.
    pub active: Option<u32>,
}

/// A message in a queue.
#[derive(Clone)]
pub struct Message {
    pub publish: Publish,
    pub place: u64,
    pub redelivered: bool,
    /// How often it came back, if the queue counts that.
    pub counts: Counts,
    /// The counts in its headers when it came, if it was in another queue before.
    pub written: Counts,
}

/// A value that a message had.
struct Known {
    value: Name,
    place: u64,
    expires: u64,
}

/// A consumer.
pub struct Consumer {
    pub place: Place,
    pub tag: u32,
    pub no_ack: bool,
    pub exclusive: bool,
    pub priority: i32,
    pub prefetch: u16,
    pub unacked: u16,
}

impl Message {
    /// Makes a message that was in no queue yet.
    pub fn new(publish: &Publish) -> Message {
        let (counts, written) = (Counts::default(), Counts::default());
        Message { publish: publish.clone(), place: 0, redelivered: false, counts, written }
    }

    /// Returns the counts that its receiver sees.
    pub fn shown(&self) -> Counts {
        if self.counts.acquired > 0 { self.counts } else { self.written }
    }
}

impl Queue {
    /// Makes an empty queue, exclusive to a connection if there is an `owner`.
    pub fn new(incarnation: u64, owner: Option<usize>) -> Queue {
        Queue { incarnation, owner, ..Queue::default() }
    }

    /// Adds a message behind all others of its level, or drops it if the queue knows a duplicate of
    /// it.
    pub fn push(&mut self, name: Name, mut message: Message, now: u64) {
        let behind_higher = u64::from(u8::MAX - queues::level(name, &message.publish)) << 32;
        message.place = behind_higher | self.next_place;
        if self.is_first_of_its_kind(name, &message, now) {
            self.next_place += 1;
            self.ready.insert(message.place, message);
        }
    }

    /// Takes back a message that is ready again at `due`.
    pub fn wait(&mut self, due: u64, message: Message) {
        self.next_return += 1;
        self.waiting.insert((due, self.next_return), message);
    }

    /// Makes a message ready again: at its place, or in front of all others if the queue counts
    /// returns.
    pub fn requeue(&mut self, name: Name, message: Message) {
        self.next_return += 1;
        let at = if queues::counts(name) { self.next_return } else { message.place };
        self.ready.insert(at, message);
    }

    fn is_first_of_its_kind(&mut self, name: Name, message: &Message, now: u64) -> bool {
        let twin = message.publish.headers.iter().find(|(header, _)| *header == TWIN);
        let Some(&(_, value)) = twin.filter(|_| [UNIQUE, SEEN].contains(&name)) else { return true };
        if self.known.iter().any(|known| known.value == value && now < known.expires) {
            return false;
        }
        self.known.retain(|known| known.value != value);
        if name == SEEN && self.known.len() == SEEN_MAX {
            self.known.remove(0);
        }
        let expires = if name == SEEN { now + 1 + SEEN_MS } else { u64::MAX };
        self.known.push(Known { value, place: message.place, expires });
        true
    }

    /// Notes that a message is gone. In a queue that compares new messages only with its own, the
    /// next message like it is no duplicate.
    pub fn forget(&mut self, name: Name, message: &Message) {
        if name == UNIQUE {
            self.known.retain(|known| known.place != message.place);
        }
    }

    /// Removes all messages that no client holds. Returns how many.
    pub fn purge(&mut self, name: Name) -> usize {
        let count = self.ready.len() + self.waiting.len();
        self.ready.clear();
        self.waiting.clear();
        if name == UNIQUE {
            self.known.clear();
        }
        count
    }

    /// Chooses a new active consumer if the old one has gone: the one of the highest priority,
    /// among several the one that came first (tags grow).
    pub fn choose_active(&mut self) {
        self.active.take_if(|active| self.consumers.iter().all(|consumer| consumer.tag != *active));
        let next = || self.consumers.iter().max_by_key(|consumer| (consumer.priority, Reverse(consumer.tag))).map(|next| next.tag);
        self.active = self.active.or_else(next);
    }
}

impl Consumer {
    /// Whether it may receive another message.
    pub fn has_room(&self) -> bool {
        self.no_ack || self.prefetch == 0 || self.unacked < self.prefetch
    }
}

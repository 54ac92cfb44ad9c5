//! Messages that an exchange delays: none comes before it is due, or if its exchange was deleted
//! before; each is routed once, by the topology of that moment.
//!
//! After a crash, a message that was due before may be routed once more: at worst it comes again to
//! all of its queues, and is flagged. It is not repeated if all of its queues live on one shard and
//! its settlement is known to be on the disk.

use super::{Message, MessageId, Oracle};
use crate::LOGS_REST_MS;
use crate::op::{Name, is_durable};
use crate::topology::Topology;

/// The observer's knowledge of a delay. Times are times of the day.
pub struct Delayed {
    /// The earliest time at which it may be due.
    due: u64,
    /// The latest time at which it is due; unknown as long as it may be on its way to the exchange.
    latest: Option<u64>,
    /// It was in its exchange before a client asked for the exchange's end.
    is_condemned: bool,
    /// It may have been routed before a crash, and may be routed again.
    may_repeat: bool,
}

impl Delayed {
    /// Makes the delay of a message that was sent, and is not due before `due`.
    pub fn new(due: u64) -> Delayed {
        Delayed { due, latest: None, is_condemned: false, may_repeat: false }
    }

    /// Notes that the message will not come.
    pub fn cancel(&mut self) {
        self.due = u64::MAX;
    }
}

impl Message {
    /// Whether it should have been returned by now, if it was routed.
    pub(super) fn lacks_return(&self) -> bool {
        self.publish.mandatory && !self.is_returned && self.most.is_empty() && self.delayed.is_none()
    }

    /// Whether it certainly waits.
    pub(super) fn is_not_due(&self, now: u64) -> bool {
        self.delayed.as_ref().is_some_and(|delayed| delayed.due > now)
    }

    /// Whether it may come to the same queue more than once.
    pub(super) fn may_be_routed_again(&self, now: u64) -> bool {
        self.delayed.as_ref().is_some_and(|delayed| delayed.may_repeat || delayed.latest.is_none_or(|latest| latest + LOGS_REST_MS > now))
    }

    /// Whether the message survives a restart while it waits, if it waits at all.
    pub(super) fn waits_durably(&self, topology: &Topology) -> bool {
        let exchange = self.publish.exchange;
        self.delayed.is_none() || self.publish.persistent && is_durable(exchange) && topology.may_have_exchange(exchange)
    }
}

impl Oracle {
    /// Notes that the broker has carried out a publish, up to its delay.
    pub(super) fn on_carried_out(&mut self, id: MessageId) {
        let message = self.messages.get_mut(&id).expect("it was published");
        message.is_routed = true;
        if let Some(delayed) = &mut message.delayed {
            delayed.latest = delayed.latest.or(message.publish.delay.map(|delay| self.now + 1 + delay));
        }
    }

    /// Starts the delays of messages that were staged in a transaction, which is committed now.
    pub(super) fn delay_from_now(&mut self, ids: &[MessageId]) {
        for id in ids {
            let message = self.messages.get_mut(id).expect("it was published");
            message.delayed = message.publish.delay.map(|delay| Delayed::new(self.now + 1 + delay));
        }
    }

    /// Notes that a client asks for the end of an exchange.
    pub(super) fn condemn(&mut self, name: Name) {
        for message in self.messages.values_mut().filter(|message| message.publish.exchange == name) {
            message.delayed.iter_mut().for_each(|delayed| delayed.is_condemned = message.is_routed);
        }
    }

    /// Forgets the messages that certainly waited in an exchange that may be gone.
    pub(super) fn forget_delayed(&mut self, name: Name) {
        if self.topology.may_have_exchange(name) {
            return;
        }
        let is_gone = |message: &Message| {
            message.publish.exchange == name
                && message.delayed.as_ref().is_some_and(|delayed| delayed.is_condemned && delayed.due > self.now)
        };
        let gone: Vec<MessageId> = self.messages.iter().filter(|(_, message)| is_gone(message)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.forget(id));
    }

    /// Takes a message that comes to a client from a queue. Returns whether it may have come
    /// before.
    pub(super) fn on_released(&mut self, id: MessageId, name: Name) -> bool {
        let Some(delayed) = &self.messages[&id].delayed else { return false };
        assert!(delayed.due <= self.now, "message {id} comes {} ms before it is due", delayed.due - self.now);
        if !delayed.may_repeat {
            self.waiting.remove(&id);
        }
        let is_through = self.is_alone && self.copies[&(id, name)].is_settled_for_good;
        delayed.may_repeat && !is_through
    }

    /// Notes that the broker has stopped and starts again: waiting messages may be gone, or come
    /// again.
    pub(super) fn delay_over_crash(&mut self) {
        self.crashes += 1;
        for (id, message) in &mut self.messages {
            let is_not_due = message.is_not_due(self.now);
            let may_be_there = message.waits_durably(&self.topology);
            let Some(delayed) = &mut message.delayed else { continue };
            if is_not_due {
                if !may_be_there {
                    self.waiting.remove(id);
                }
                continue;
            }
            let is_through = self.is_at_rest && delayed.latest.is_some_and(|latest| latest + LOGS_REST_MS <= self.now);
            if may_be_there && !is_through {
                delayed.may_repeat = true;
                self.waiting.insert(*id);
            } else {
                self.waiting.remove(id);
            }
        }
        self.reroute();
    }
}

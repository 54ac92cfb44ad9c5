//! Messages that an exchange delays: none comes before it is due, or when its exchange was deleted before; each is routed once, by what exists then.
//!
//! A crash may let one that was due before be routed once more: at the worst it comes again to all of its queues, and says so. It does not if all of
//! them live on one shard and it is known that the disk has what became of it.

use super::{Message, MessageId, Oracle};
use crate::LOGS_REST_MS;
use crate::op::{Name, is_durable};
use crate::topology::Topology;

/// What the observer knows of a delay. Times are times of the day.
pub struct Delayed {
    /// It is not due before.
    due: u64,
    /// It is due by then; not known as long as it may be on its way to the exchange.
    latest: Option<u64>,
    /// It was in its exchange before somebody asked for the end of that.
    is_condemned: bool,
    /// It may have been routed before a crash, and may be so again.
    may_repeat: bool,
}

impl Delayed {
    /// A message that was sent, and is not due before.
    pub fn new(due: u64) -> Delayed {
        Delayed { due, latest: None, is_condemned: false, may_repeat: false }
    }

    /// It will not come.
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

    /// Whether it outlives the broker as long as it waits, if it does.
    pub(super) fn waits_durably(&self, topology: &Topology) -> bool {
        let exchange = self.publish.exchange;
        self.delayed.is_none() || self.publish.persistent && is_durable(exchange) && topology.may_have_exchange(exchange)
    }
}

impl Oracle {
    /// The broker has done what there was to be done with a publish before its delay.
    pub(super) fn on_carried_out(&mut self, id: MessageId) {
        let message = self.messages.get_mut(&id).expect("it was published");
        message.is_routed = true;
        if let Some(delayed) = &mut message.delayed {
            delayed.latest = delayed.latest.or(message.publish.delay.map(|delay| self.now + 1 + delay));
        }
    }

    /// These were staged in a transaction that is committed now.
    pub(super) fn delay_from_now(&mut self, ids: &[MessageId]) {
        for id in ids {
            let message = self.messages.get_mut(id).expect("it was published");
            message.delayed = message.publish.delay.map(|delay| Delayed::new(self.now + 1 + delay));
        }
    }

    /// Somebody asks for the end of an exchange.
    pub(super) fn condemn(&mut self, name: Name) {
        for message in self.messages.values_mut().filter(|message| message.publish.exchange == name) {
            message.delayed.iter_mut().for_each(|delayed| delayed.is_condemned = message.is_routed);
        }
    }

    /// An exchange may be gone, and with it what certainly waited there.
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

    /// A message comes to a client from a queue. Whether it may have come before.
    pub(super) fn on_released(&mut self, id: MessageId, name: Name) -> bool {
        let Some(delayed) = &self.messages[&id].delayed else { return false };
        assert!(delayed.due <= self.now, "message {id} comes {} ms before it is due", delayed.due - self.now);
        if !delayed.may_repeat {
            self.waiting.remove(&id);
        }
        let is_through = self.is_alone && self.copies[&(id, name)].is_settled_for_good;
        delayed.may_repeat && !is_through
    }

    /// The broker has stopped and starts again: what waits may not be there any more, or again.
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

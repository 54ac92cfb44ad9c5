//! Messages that clients held: an acknowledged one is gone, a rejected one is gone or becomes a
//! dead letter, and a returned one is ready again, at once or after a while, unless it failed too
//! often.

use super::{Held, Model};
use crate::op::Settle;
use crate::queues;

impl Model {
    /// Settles a delivery.
    pub(super) fn finish(&mut self, held: Held, how: Settle) {
        if how.requeues() {
            return self.give_back(held, how == Settle::RejectRequeue);
        }
        self.credit(&held);
        let Some(queue) = self.queues.get_mut(held.queue).filter(|queue| queue.incarnation == held.incarnation) else { return };
        queue.forget(held.queue, &held.message);
        if how != Settle::Ack {
            self.die(held, true);
        }
    }

    /// Returns a message to its queue; `has_failed`: its holder has failed with it.
    pub(super) fn give_back(&mut self, mut held: Held, has_failed: bool) {
        self.credit(&held);
        let (name, now) = (held.queue, self.now);
        let Some(queue) = self.queues.get_mut(name).filter(|queue| queue.incarnation == held.incarnation) else { return };
        let message = &mut held.message;
        message.redelivered = true;
        if queues::counts(name) {
            message.counts.acquired += 1;
            message.counts.delivered += u32::from(has_failed);
        }
        let failures = message.counts.delivered;
        if queues::failures_max(name).is_some_and(|most| failures > most) {
            return self.die(held, false);
        }
        match queues::retry_delay(name, has_failed, failures) {
            Some(delay) => queue.wait(now + 1 + delay, held.message),
            None => queue.requeue(name, held.message),
        }
        self.trim(name);
    }

    /// Makes messages ready again that have waited long enough.
    pub(super) fn retry(&mut self) {
        for (&name, queue) in &mut self.queues {
            while let Some(first) = queue.waiting.first_entry().filter(|first| first.key().0 <= self.now) {
                let message = first.remove();
                queue.requeue(name, message);
            }
        }
        let names: Vec<_> = self.queues.keys().copied().collect();
        names.into_iter().for_each(|name| self.trim(name));
    }

    /// Returns the time of the next one.
    pub(super) fn next_retry(&self) -> Option<u64> {
        self.queues.values().filter_map(|queue| queue.waiting.keys().next()).map(|(due, _)| *due).min()
    }

    /// Gives the consumer of a settled delivery its room back. A consumer that was full goes to the
    /// end of the rotation.
    fn credit(&mut self, held: &Held) {
        let Some(queue) = self.queues.get_mut(held.queue).filter(|queue| queue.incarnation == held.incarnation) else { return };
        let Some(at) = queue.consumers.iter().position(|consumer| Some(consumer.tag) == held.consumer) else { return };
        let was_full = !queue.consumers[at].has_room();
        queue.consumers[at].unacked -= 1;
        if was_full {
            let consumer = queue.consumers.remove(at);
            queue.consumers.push(consumer);
        }
    }
}

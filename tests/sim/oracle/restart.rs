//! The messages that must be there after a restart, that may be, and that must not.
//!
//! ```text
//! persistent, in a queue that is there   settled on the disk ─▶ gone      settled ─▶ unsure
//!                                        else ─▶ recovered: must be there if it was confirmed
//! everything else                        gone, except for messages that an exchange delays
//! ```
//!
//! A message that a client has received before is flagged when it comes again. A settlement is
//! known to be on the disk once a later persistent message of the same channel to the same queue is
//! confirmed: both go the same way, and into the same log.

use super::{ChannelId, Oracle, State};
use crate::op::{MessageId, Name, is_durable};
use crate::queues::{drops_duplicates, is_quorum};

impl Oracle {
    /// Notes that the broker has stopped at any moment, and starts again.
    pub fn on_crash(&mut self) {
        for at in 0..self.channels.len() {
            self.channels[at].unsynced_settles.clear();
            self.on_reset(at);
            self.channels[at].unlasting.clear();
            self.channels[at].unconfirmed.clear();
        }
        self.suspicions.clear();
        self.consumers.clear();
        self.count_over_crash();
        self.repeat_letters();
        self.queues.clear();
        self.topology.on_crash();
        for (&(id, queue), copy) in &mut self.copies {
            let message = &self.messages[&id];
            copy.came_before |= copy.was_seen();
            copy.may_be_gone |= message.letter.is_none() && !(message.is_promised || self.is_at_rest && message.is_routed);
            copy.may_be_gone |= copy.returned.is_doomed();
            let lasts_where_it_waits = message.waits_durably(&self.topology);
            if message.is_not_due(self.now) {
                copy.state = if lasts_where_it_waits { copy.state } else { State::Gone };
                continue;
            }
            copy.may_be_gone |= copy.state == State::Unseen && !lasts_where_it_waits;
            let lasts = message.publish.persistent || is_quorum(queue);
            // A record of the log has a message for all of its queues, so the message may last in
            // one queue because it lasts in another.
            let may_last = lasts || message.most.iter().any(|name| is_quorum(name));
            if !may_last || !self.topology.may_have_queue(queue) {
                copy.state = State::Gone;
            }
            copy.state = match copy.state {
                State::Done if (self.is_at_rest || copy.is_settled_for_good) && !copy.is_discarded => State::Gone,
                State::Done | State::Unsure => State::Unsure,
                State::Gone => State::Gone,
                _ if !lasts => State::Unsure,
                State::Unseen | State::Held(_) | State::Back | State::Recovered => State::Recovered,
            };
        }
        self.delay_over_crash();
    }

    /// Notes that the publisher is told that its message is safe; then its earlier settlements in
    /// the same queues are on the disk, too.
    pub(super) fn on_promised(&mut self, at: ChannelId, id: MessageId) {
        let message = self.messages.get_mut(&id).expect("it was published");
        message.is_promised = true;
        if !message.publish.persistent || !self.logs_all || message.delayed.is_some() {
            return;
        }
        let (sequence, channel) = (message.sequence, &mut self.channels[at]);
        let is_logged = |queue: Name| message.least.contains(queue) && is_durable(queue) && !drops_duplicates(queue);
        let lasting = channel.unlasting.extract_if(.., |(published, (_, queue))| *published < sequence && is_logged(queue));
        for (_, copy) in lasting {
            self.copies.get_mut(&copy).expect("it was settled").is_settled_for_good = true;
        }
    }

    /// Checks the answer to a client that looks first after a restart: the queue has `count`
    /// messages, or it does not exist.
    pub fn on_queue_looked(&mut self, name: Name, count: Option<u64>) {
        self.topology.on_looked(name, true, count.is_some());
        let (strays, copies): (Vec<_>, Vec<_>) = self
            .copies
            .iter()
            .filter(|((id, queue), _)| *queue == name && self.messages[id].most.contains(name))
            .partition(|((id, _), _)| self.messages[id].may_be_routed_again(self.now) || self.messages[id].letter.is_some());
        let possible = copies.into_iter().filter(|(_, copy)| matches!(copy.state, State::Recovered | State::Unsure));
        let certain = possible.clone().filter(|((id, _), copy)| {
            copy.state == State::Recovered && !copy.may_be_gone && !copy.may_be_like_another && self.messages[id].least.contains(name)
        });
        let (least, most) = (certain.count() as u64, possible.count() as u64 + strays.len() as u64 * (1 + self.crashes));
        if count.is_none() {
            let found = self.copies.iter_mut().filter(|((_, queue), copy)| *queue == name && copy.state != State::Unseen);
            found.for_each(|(_, copy)| copy.state = State::Gone);
        }
        let count = count.unwrap_or(0);
        assert!((least..=most).contains(&count), "{name} has {count} messages after a restart, and should have {least} to {most}");
    }
}

//! Messages that arrive at clients, and the events that may explain them.

use super::{Channel, ChannelId, Copy, Oracle, State, Suspicion};
use crate::op::{Counts, HASH, LETTER, MEMORY, MessageId, Name, Op};
use crate::queues::{self, is_single_active};

/// A copy of a message that has arrived at a client.
pub struct Arrival {
    pub id: MessageId,
    pub queue: Name,
    pub redelivered: bool,
    pub counts: Counts,
    pub no_ack: bool,
    /// The delivery tag.
    pub tag: u64,
    /// The consumer; `None` for basic.get.
    pub consumer: Option<u32>,
}

impl Oracle {
    /// Checks a delivery to a consumer: it is in order and within the prefetch.
    pub(super) fn on_delivered(&mut self, at: ChannelId, tag: u32, delivery: u64, redelivered: bool, counts: Counts, id: MessageId) {
        let message = &self.messages[&id];
        let (publisher, sequence, is_remembered) = (message.publisher, message.sequence, message.publish.exchange == MEMORY);
        let may_be_back = self.consumers.get(&tag).is_some_and(|consumer| self.may_be_flagged(consumer.queue));
        let consumer = self.consumers.get_mut(&tag).unwrap_or_else(|| panic!("consumer {tag} is cancelled and gets message {id}"));
        let (queue, no_ack, prefetch) = (consumer.queue, consumer.no_ack, consumer.prefetch);
        assert_eq!(consumer.channel, at, "consumer {tag} is not on this channel");
        let is_recovered = self.copies.get(&(id, queue)).is_some_and(|copy| copy.state == State::Recovered);
        let is_first = message.delayed.is_none() && id & LETTER == 0 && (!redelivered || (is_recovered && !may_be_back));
        let last = consumer.order.entry((publisher, is_remembered, queues::level(queue, &message.publish))).or_default();
        let in_order = sequence > *last;
        if is_first {
            *last = sequence.max(*last);
        }
        assert!(!is_first || in_order, "message {id} overtook a later one of channel {publisher} on the way to consumer {tag}");
        if is_single_active(queue) {
            self.check_active(tag, queue);
        }
        self.take(at, &Arrival { id, queue, redelivered, counts, no_ack, tag: delivery, consumer: Some(tag) });
        let channel = &self.channels[at];
        let held = channel.held.values().filter(|(.., consumer)| *consumer == Some(tag)).count();
        assert!(prefetch == 0 || held <= usize::from(prefetch), "consumer {tag} holds {held} messages with prefetch {prefetch}");
        let all = channel.held.values().filter(|(.., consumer)| consumer.is_some()).count();
        let limit = channel.prefetch_global;
        assert!(limit == 0 || all <= usize::from(limit), "channel {at} holds {all} messages with a global prefetch of {limit}");
    }

    /// Checks that only one of the consumers that have been served can have stayed, unless its
    /// channel was closed.
    fn check_active(&mut self, tag: u32, queue: Name) {
        let leaves =
            |tag: u32, at: ChannelId| self.channels[at].pending.iter().any(|(op, _)| matches!(op, Op::Cancel(other) if *other == tag));
        let stays = |tag: u32| {
            let consumer = &self.consumers[&tag];
            !consumer.may_be_gone && !self.channels[consumer.channel].ended && !leaves(tag, consumer.channel)
        };
        let served = self.consumers.iter().filter(|&(other, consumer)| consumer.queue == queue && (consumer.was_served || *other == tag));
        let staying: Vec<(u32, ChannelId)> =
            served.map(|(&tag, consumer)| (tag, consumer.channel)).filter(|&(tag, _)| stays(tag)).collect();
        if stays(tag) && staying.len() > 1 {
            let what = format!("consumers of {queue}, which serves one at a time, were served: {staying:?} (consumer and channel)");
            self.suspect_channels(staying.into_iter().map(|(_, channel)| channel).collect(), what);
        }
        self.consumers.get_mut(&tag).expect("it is served").was_served = true;
    }

    /// Checks a message from the exchange that hashes: it arrives at one queue only, the same one
    /// as other messages with its key.
    fn check_hashed(&mut self, id: MessageId, name: Name) {
        let message = &self.messages[&id];
        let elsewhere = message.most.iter().filter(|&&other| other != name).find(|&&other| self.copies[&(id, other)].was_seen());
        assert!(elsewhere.is_none(), "message {id} is in {name} and in {elsewhere:?}: {:?}", message.publish);
        if let Some(queues) = message.one_of.clone() {
            assert!(queues.contains(name), "message {id} is in {name}, and not in one of {queues:?}");
            let first = *self.hashed.entry((queues, message.publish.key)).or_insert(name);
            assert_eq!(first, name, "message {id} went elsewhere than others with the key {}", self.messages[&id].publish.key);
        }
    }

    /// Takes a copy of a message that arrives at a client.
    pub(super) fn take(&mut self, at: ChannelId, arrival: &Arrival) {
        let &Arrival { id, queue: name, redelivered, no_ack, tag, consumer, .. } = arrival;
        let message = &self.messages[&id];
        assert!(message.most.contains(name), "message {id} is in {name}, where nothing leads it: {:?}", message.publish);
        if message.publish.exchange == HASH {
            self.check_hashed(id, name);
        }
        self.on_letter_came(id, name);
        self.check_counts(arrival);
        self.check_twins(id, name);
        let may_repeat = self.on_released(id, name) || self.messages[&id].letter.as_ref().is_some_and(|letter| letter.may_repeat);
        let may_be_flagged = self.may_be_flagged(name);
        let Copy { state, came_before, .. } = self.copies[&(id, name)];
        assert!(redelivered || !came_before, "message {id} of {name} came before a crash, comes again and does not say so");
        let stale = !no_ack && (self.channels[at].ended || self.channels[at].pending.iter().any(|(op, _)| matches!(op, Op::Recover)));
        if stale && !matches!(state, State::Unseen | State::Recovered) {
            return; // it went back before the client saw it, and other clients may have it already
        }
        let doubted = match state {
            State::Unseen => {
                assert!(
                    !redelivered || may_be_flagged || id & LETTER > 0,
                    "message {id} is flagged as redelivered and was never delivered from {name}"
                );
                false
            }
            State::Unsure | State::Recovered => false,
            _ if may_repeat => false,
            State::Gone => panic!("message {id} of {name} is settled or transient, and is there after a restart"),
            State::Back => !redelivered || (id & LETTER == 0 && self.is_premature(arrival)),
            State::Held(_) | State::Done => true,
        };
        if doubted {
            let what = format!("message {id} of {name} comes to channel {at} (redelivered: {redelivered}) and was {state:?}");
            self.suspect(at, state, id, name, no_ack, what);
            return self.copy(id, name).state = State::Unsure;
        }
        self.note_counts(arrival);
        self.copy(id, name).state = match (no_ack, stale) {
            (true, _) => State::Done,
            (_, true) => State::Back,
            _ if state == State::Unsure && self.may_have_ended(at) => State::Unsure,
            _ => State::Held(at),
        };
        if !no_ack && !stale {
            self.channels[at].held.insert(tag, (id, name, consumer));
        }
    }

    /// Notes that a message comes at the wrong time: the channel that held or settled it was closed
    /// before, or this one was.
    fn suspect(&mut self, at: ChannelId, state: State, id: MessageId, name: Name, no_ack: bool, what: String) {
        let settled = |channel: &Channel| channel.unsynced_settles.iter().any(|(_, copy)| *copy == (id, name));
        let is_candidate =
            |channel: &ChannelId| state == State::Held(*channel) || settled(&self.channels[*channel]) || (*channel == at && !no_ack);
        self.suspect_channels((0..self.channels.len()).filter(is_candidate).collect(), what);
    }

    /// Notes something that is right only if the broker has closed one of these channels.
    pub(super) fn suspect_channels(&mut self, candidates: Vec<ChannelId>, what: String) {
        let candidates = candidates.into_iter().filter(|&channel| self.may_have_ended(channel));
        let channels: Vec<_> = candidates.map(|channel| (channel, self.channels[channel].sent)).collect();
        assert!(!channels.is_empty(), "{what}");
        self.suspicions.push(Suspicion { what, channels });
    }

    /// Whether something may have come back to the queue.
    fn may_be_flagged(&self, name: Name) -> bool {
        self.queues.get(name).is_some_and(|queue| queue.had_returns) || self.may_have_returned(name)
    }

    /// Whether a channel that takes messages from the queue may have ended without its client's
    /// knowledge.
    fn may_have_returned(&self, name: Name) -> bool {
        let consumes = |at: ChannelId| self.consumers.values().any(|consumer| consumer.channel == at && consumer.queue == name);
        let gets = |channel: &Channel| channel.pending.iter().any(|(op, _)| matches!(op, Op::Get { queue, .. } if *queue == name));
        self.channels.iter().enumerate().any(|(at, channel)| (consumes(at) || gets(channel)) && self.may_have_ended(at))
    }

    /// Whether something was sent on this channel for which the broker may close it.
    pub(super) fn may_have_ended(&self, at: ChannelId) -> bool {
        let channel = &self.channels[at];
        !channel.pending.is_empty() || !channel.unsynced.is_empty() || !channel.unsynced_settles.is_empty() || !channel.staged.is_empty()
    }

    /// Removes the consumers of a channel: messages on their way to them return, or are lost.
    pub(super) fn leave_queues(&mut self, at: ChannelId) {
        let queues: Vec<(Name, bool)> =
            self.consumers.values().filter(|consumer| consumer.channel == at).map(|consumer| (consumer.queue, consumer.no_ack)).collect();
        for (name, no_ack) in queues {
            self.queue(name).had_returns = true;
            if no_ack {
                self.lose_deliveries(name);
            }
        }
    }

    /// Notes that messages on their way to a consumer that is gone and does not acknowledge are
    /// lost, until the queue knows of its end.
    pub(super) fn lose_deliveries(&mut self, name: Name) {
        if self.is_at_rest {
            return;
        }
        let until = self.rounds + ROUNDS_OF_MAIL;
        let queue = self.queue(name);
        queue.weak_until = until;
        queue.had_returns = true;
        self.weaken(name);
    }
}

/// The number of rounds until the news of a consumer's end has reached its queue.
const ROUNDS_OF_MAIL: u64 = 4;

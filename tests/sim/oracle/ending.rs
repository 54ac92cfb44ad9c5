//! The end of channels: their held messages, their operations under way, their requests.

use std::collections::{BTreeMap, BTreeSet};

use super::delays::Delayed;
use super::{ChannelId, Oracle, State};
use crate::op::{MessageId, Name, Op};

impl Oracle {
    pub(super) fn on_channel_closed(&mut self, at: ChannelId) {
        self.end_channel(at);
        let channel = &mut self.channels[at];
        let (pending, unsynced) = (std::mem::take(&mut channel.pending), std::mem::take(&mut channel.unsynced));
        let settles = std::mem::take(&mut channel.unsynced_settles);
        for (op, stamp) in pending {
            if matches!(op, Op::Close) {
                self.channels[at].pending.push_back((op, stamp)); // both sides closed at the same time: the broker answers all the same
                continue;
            }
            self.topology.on_answered(&op, stamp, false);
            if let Op::Purge(name) | Op::DeleteQueue { name, .. } = op {
                self.queue(name).clearing -= 1;
            }
        }
        self.doubt(unsynced, settles);
    }

    /// Doubts operations that were not seen to be carried out before the channel ended.
    pub(super) fn doubt(&mut self, publishes: Vec<(u64, MessageId)>, settles: Vec<(u64, (MessageId, Name))>) {
        for (_, id) in publishes {
            let message = self.messages.get_mut(&id).expect("it was published");
            message.least.clear();
            message.one_of = None;
        }
        for (_, (id, queue)) in settles {
            self.doubt_discard(id, queue);
            let copy = self.copy(id, queue);
            if matches!(copy.state, State::Done | State::Back) {
                copy.state = State::Unsure;
            }
        }
    }

    /// Ends a channel: its held messages go back, its consumers go, and its staged operations are
    /// forgotten.
    pub(super) fn end_channel(&mut self, at: ChannelId) {
        self.suspicions.retain(|suspicion| suspicion.channels.iter().all(|(channel, _)| *channel != at));
        if std::mem::replace(&mut self.channels[at].ended, true) {
            return;
        }
        self.channels[at].staged_settles.clear();
        self.give_back_all(at);
        let staged = std::mem::take(&mut self.channels[at].staged);
        staged.into_iter().for_each(|id| self.forget(id));
        self.leave_queues(at);
    }

    pub(super) fn give_back_all(&mut self, at: ChannelId) {
        let channel = &self.channels[at];
        let (kept, held) = channel.held.clone().into_iter().partition::<BTreeMap<_, _>, _>(|(tag, _)| channel.is_staged(*tag));
        self.channels[at].held = kept;
        let consumed = self.consumers.values().filter(|consumer| consumer.channel == at).map(|consumer| consumer.queue);
        let got = self.channels[at].pending.iter().filter_map(|(op, _)| if let Op::Get { queue, .. } = op { Some(*queue) } else { None });
        let queues: Vec<Name> = consumed.chain(got).collect();
        queues.into_iter().for_each(|name| {
            self.queue(name).had_returns = true;
            self.count_leave(name);
        });
        for (id, name, _) in held.into_values() {
            if self.copies[&(id, name)].state == State::Held(at) {
                self.count_return(id, name, false, true, false);
                self.give_back(id, name);
            }
        }
    }

    pub(super) fn give_back(&mut self, id: MessageId, name: Name) {
        let is_clearing = self.queue(name).clearing > 0;
        let copy = self.copy(id, name);
        copy.state = State::Back;
        copy.may_be_gone |= is_clearing;
    }

    /// Forgets a message, such as a publish that was rolled back: it will not come.
    pub(super) fn forget(&mut self, id: MessageId) {
        let message = self.messages.get_mut(&id).expect("it was published");
        (message.least, message.most, message.one_of) = (BTreeSet::new(), BTreeSet::new(), None);
        message.delayed.iter_mut().for_each(Delayed::cancel);
        self.waiting.remove(&id);
    }

    /// Notes that everything in the queue may be gone; also messages that clients seem to hold,
    /// because they may have gone back without the clients' knowledge.
    pub(super) fn weaken(&mut self, name: Name) {
        self.copies.iter_mut().filter(|((_, queue), _)| *queue == name).for_each(|(_, copy)| copy.may_be_gone = true);
    }
}

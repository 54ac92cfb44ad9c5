//! The rules that hold for every interleaving: every message is delivered exactly once or accounted
//! for, in order, within prefetch. The oracle sees what clients send and what they receive, nothing
//! else. Per message and queue it follows one copy:
//!
//! ```text
//! unseen ──delivered──▶ held ──ack, reject──▶ done     delivered while held or done: twice
//!                        │ ▲                           unseen, held or back at the end: lost
//!           requeued ──▶ back ──delivered, flagged     unsure: its channel ended during the settle
//! ```
//!
//! After a crash each copy is `recovered`, `unsure` or `gone` (see [`restart`]).

mod delays;
mod deliveries;
mod end;
mod ending;
mod letters;
mod restart;
mod returns;
mod twins;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::op::{HASH, MEMORY, MessageId, Name, Op, Publish, Saw, Settle};
use crate::queues::BURYING;
use crate::topology::{Stamp, Topology};
use delays::Delayed;
use deliveries::Arrival;
use letters::Letter;
use returns::Returned;

/// A channel from its opening to its end; a number is not reused.
pub type ChannelId = usize;

/// The observer.
#[derive(Default)]
pub struct Oracle {
    pub topology: Topology,
    pub channels: Vec<Channel>,
    pub consumers: BTreeMap<u32, Consumer>,
    messages: BTreeMap<MessageId, Message>,
    copies: BTreeMap<(MessageId, Name), Copy>,
    queues: BTreeMap<Name, Queue>,
    /// The queue to which the exchange that hashes sends a key while it chooses among these queues.
    hashed: BTreeMap<(BTreeSet<Name>, Name), Name>,
    /// Messages that an exchange delays and may still have to route.
    waiting: BTreeSet<MessageId>,
    /// Dead letters that may come.
    letters: BTreeSet<MessageId>,
    suspicions: Vec<Suspicion>,
    /// Nothing is under way between shards: a consumer that leaves now loses nothing.
    pub is_at_rest: bool,
    /// There is one shard, so nothing is on its way between two.
    pub is_alone: bool,
    /// No client consumes without acknowledgements, so that every persistent message reaches the
    /// disk.
    pub logs_all: bool,
    /// The number of rounds in which all shards have taken a turn.
    pub rounds: u64,
    /// The time of day in milliseconds.
    pub now: u64,
    crashes: u64,
}

/// The observer's knowledge of a channel.
#[derive(Default)]
pub struct Channel {
    /// Requests without an answer.
    pub pending: VecDeque<(Op, Stamp)>,
    /// The client's deliveries, by delivery tag.
    pub held: BTreeMap<u64, (MessageId, Name, Option<u32>)>,
    /// The client or the broker has closed it.
    pub ended: bool,
    confirms: bool,
    pub transacts: bool,
    /// The prefetch of new consumers, and that of all consumers together.
    pub prefetch: u16,
    pub prefetch_global: u16,
    published: u64,
    unconfirmed: BTreeMap<u64, MessageId>,
    /// Publishes and settles that may not have been carried out yet.
    unsynced: Vec<(u64, MessageId)>,
    unsynced_settles: Vec<(u64, (MessageId, Name))>,
    /// Settlements that are not known to be on the disk, each with the number of publishes before
    /// it.
    unlasting: Vec<(u64, (MessageId, Name))>,
    /// Requests sent and answered so far: everything sent before an answered request is carried
    /// out.
    sent: u64,
    answered: u64,
    /// Operations that wait for the commit.
    staged: Vec<MessageId>,
    staged_settles: Vec<(u64, MessageId, Name, Settle)>,
}

/// A consumer.
pub struct Consumer {
    pub channel: ChannelId,
    pub queue: Name,
    no_ack: bool,
    prefetch: u16,
    /// It has received a message, and so was the active consumer where there is only one.
    was_served: bool,
    /// Its queue may be gone.
    may_be_gone: bool,
    /// The last first delivery per publishing channel, way (through shard 0 or not) and level of
    /// the queue.
    order: BTreeMap<(ChannelId, bool, u8), u64>,
}

/// Something that is right only if the broker has closed one of these channels and its client does
/// not know it yet; each with the number of requests that the client had sent.
struct Suspicion {
    what: String,
    channels: Vec<(ChannelId, u64)>,
}

struct Message {
    publish: Publish,
    publisher: ChannelId,
    sequence: u64,
    least: BTreeSet<Name>,
    most: BTreeSet<Name>,
    /// The queues of which it reaches one, which the exchange that hashes chooses; if they are
    /// known.
    one_of: Option<BTreeSet<Name>>,
    delayed: Option<Delayed>,
    is_routed: bool,
    is_returned: bool,
    /// Its publisher was told that it is safe.
    is_promised: bool,
    /// The number of crashes before it was published.
    crashes: u64,
    letter: Option<Letter>,
}

#[derive(Default)]
struct Copy {
    state: State,
    /// Purged, deleted with its queue, or lost on the way to a consumer without acknowledgements.
    may_be_gone: bool,
    /// It may have been dropped as a duplicate.
    may_be_like_another: bool,
    /// Its settlement is on the disk.
    is_settled_for_good: bool,
    /// A client received it before a crash.
    came_before: bool,
    /// A client has rejected it, or may have, and does not hold it.
    is_discarded: bool,
    returned: Returned,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum State {
    #[default]
    Unseen,
    Held(ChannelId),
    Back,
    Unsure,
    Done,
    /// Its queue has it after a restart.
    Recovered,
    /// No queue can have it after a restart.
    Gone,
}

#[derive(Default)]
struct Queue {
    /// Purges and deletes under way.
    clearing: u64,
    /// Until this round new messages may still meet a consumer that is gone.
    weak_until: u64,
    /// A delivery may have returned before a client saw it.
    had_returns: bool,
    /// How often that may have happened to a message.
    leaves: u32,
}

impl Message {
    fn new(publish: Publish, publisher: ChannelId, sequence: u64, least: BTreeSet<Name>) -> Message {
        let (most, one_of, delayed, letter) = (BTreeSet::new(), None, None, None);
        let (is_routed, is_returned, is_promised, crashes) = (false, false, false, 0);
        Message { publish, publisher, sequence, least, most, one_of, delayed, is_routed, is_returned, is_promised, crashes, letter }
    }
}

impl Copy {
    /// Whether a client has received it since the last restart.
    fn was_seen(&self) -> bool {
        matches!(self.state, State::Held(_) | State::Back | State::Done)
    }
}

impl Channel {
    /// Whether a transaction settles this delivery when it is committed.
    pub fn is_staged(&self, tag: u64) -> bool {
        self.staged_settles.iter().any(|(staged, ..)| *staged == tag)
    }
}

impl Oracle {
    /// Makes an observer of a new broker.
    pub fn new() -> Oracle {
        Oracle { topology: Topology::new(), ..Oracle::default() }
    }

    /// Notes that a client opens a channel.
    pub fn on_open(&mut self, confirms: bool, transacts: bool) -> ChannelId {
        self.channels.push(Channel { confirms, transacts, ..Channel::default() });
        self.channels.len() - 1
    }

    /// Notes an operation that a client has sent.
    pub fn on_sent(&mut self, at: ChannelId, op: &Op) {
        let stamp = self.topology.on_sent(op);
        self.reroute();
        match op {
            Op::DeleteExchange { name, .. } => self.condemn(name),
            Op::Publish(messages) => return messages.iter().for_each(|message| self.on_publish(at, message)),
            Op::Settle { how, tag, multiple } => return self.on_settle(at, *how, *tag, *multiple),
            Op::CloseOk => return,
            Op::Purge(name) | Op::DeleteQueue { name, .. } => {
                self.queue(name).clearing += 1;
                self.weaken(name);
                let theirs = self.consumers.values_mut().filter(|consumer| consumer.queue == *name);
                theirs.for_each(|consumer| consumer.may_be_gone |= matches!(op, Op::DeleteQueue { .. }));
            }
            Op::Consume { queue, tag, no_ack, .. } => {
                let (prefetch, may_be_gone) = (self.channels[at].prefetch, self.queue(queue).clearing > 0);
                let (channel, no_ack, order) = (at, *no_ack, BTreeMap::new());
                self.consumers.insert(*tag, Consumer { channel, queue, no_ack, prefetch, was_served: false, may_be_gone, order });
            }
            Op::Qos { prefetch, global: false } => self.channels[at].prefetch = *prefetch,
            Op::Qos { prefetch, .. } => self.channels[at].prefetch_global = *prefetch,
            Op::Recover => self.give_back_all(at),
            Op::Cancel(tag) => {
                if let Some(queue) = self.consumers.get(tag).map(|consumer| consumer.queue) {
                    self.count_leave(queue);
                }
            }
            Op::Close => self.end_channel(at),
            Op::Commit => self.on_commit(at),
            Op::Rollback => {
                self.channels[at].staged_settles.clear();
                let staged = std::mem::take(&mut self.channels[at].staged);
                staged.into_iter().for_each(|id| self.forget(id));
            }
            _ => {}
        }
        let channel = &mut self.channels[at];
        channel.sent += 1;
        channel.pending.push_back((op.clone(), stamp));
    }

    /// Notes an event that a client has seen.
    pub fn on_saw(&mut self, at: ChannelId, saw: &Saw) {
        match saw {
            Saw::Reply(reply) if reply.starts_with("basic.cancel ") => {}
            Saw::Reply(reply) => drop(self.on_answer(at, reply)),
            Saw::Delivered { consumer, tag, redelivered, counts, id } => self.on_delivered(at, *consumer, *tag, *redelivered, *counts, *id),
            Saw::Got { tag, redelivered, counts, id, .. } => {
                let Op::Get { queue, no_ack } = self.on_answer(at, "basic.get-ok") else { unreachable!("the answer to basic.get") };
                self.take(at, &Arrival { id: *id, queue, redelivered: *redelivered, counts: *counts, no_ack, tag: *tag, consumer: None });
            }
            Saw::Returned(id) => {
                let message = self.messages.get_mut(id).expect("what is returned was published");
                assert!(message.publish.mandatory && !message.is_returned, "message {id} is returned without reason");
                assert!(message.least.is_empty(), "message {id} is returned but has a queue: {:?}", message.least);
                assert!(message.delayed.is_none(), "message {id} is returned and waits");
                (message.is_returned, message.most) = (true, BTreeSet::new());
            }
            Saw::Confirmed { tag, multiple } => self.on_confirmed(at, *tag, *multiple),
            Saw::ChannelClosed(_) => self.on_channel_closed(at),
            Saw::Refused { .. } | Saw::ConnectionClosed(_) => panic!("{saw:?} without reason"),
        }
    }

    /// Notes that the connection of this channel was cut.
    pub fn on_reset(&mut self, at: ChannelId) {
        self.end_channel(at);
        let channel = &mut self.channels[at];
        let (unsynced, settles) = (std::mem::take(&mut channel.unsynced), std::mem::take(&mut channel.unsynced_settles));
        let (pending, staged) = (std::mem::take(&mut channel.pending), std::mem::take(&mut channel.staged));
        self.doubt(unsynced, settles);
        staged.into_iter().for_each(|id| self.forget(id));
        // Requests under way may be carried out or not. The things that they are about stay in
        // doubt, because their count of pending requests never falls to zero.
        for (op, _) in pending {
            if let Op::Get { queue, .. } = op {
                self.lose_deliveries(queue);
            }
        }
    }

    fn on_publish(&mut self, at: ChannelId, publish: &Publish) {
        let (least, most) = self.topology.route(publish);
        let one_of = self.topology.hash_queues().filter(|_| publish.exchange == HASH);
        let channel = &mut self.channels[at];
        channel.published += 1;
        let sequence = channel.published;
        if channel.transacts {
            channel.staged.push(publish.id);
        } else {
            channel.unsynced.push((channel.sent, publish.id));
        }
        if channel.confirms {
            channel.unconfirmed.insert(sequence, publish.id);
        }
        let (delayed, crashes) = (publish.delay.map(|delay| Delayed::new(self.now + 1 + delay)), self.crashes);
        let message = Message { one_of, delayed, crashes, ..Message::new(publish.clone(), at, sequence, least) };
        self.messages.insert(publish.id, message);
        self.waiting.extend(publish.delay.map(|_| publish.id));
        self.add_copies(publish.id, most);
    }

    /// Routes messages under way again after the topology has changed: they may go elsewhere.
    fn reroute(&mut self) {
        let sent = self.channels.iter().flat_map(|channel| channel.unsynced.iter().map(|(_, id)| id).chain(&channel.staged));
        let under_way: BTreeSet<MessageId> = sent.chain(&self.waiting).chain(&self.letters).copied().collect();
        let hash_queues = self.topology.hash_queues();
        for id in under_way {
            let message = self.messages.get_mut(&id).expect("it was published");
            let (least, most) = self.topology.route(&message.publish);
            message.least.retain(|name| least.contains(name));
            message.one_of.take_if(|names| Some(&*names) != hash_queues.as_ref());
            self.add_copies(id, most);
        }
    }

    fn add_copies(&mut self, id: MessageId, most: BTreeSet<Name>) {
        for name in most {
            let rounds = self.rounds;
            let queue = self.queue(name);
            let may_be_gone = queue.clearing > 0 || queue.weak_until > rounds || name.starts_with(['a', 'x']);
            self.messages.get_mut(&id).expect("it was published").most.insert(name);
            if self.copies.contains_key(&(id, name)) {
                continue;
            }
            let returned = self.begin_counting(name);
            self.copies.insert((id, name), Copy { may_be_gone, returned, ..Copy::default() });
            self.doubt_twins(id, name);
            if name == BURYING {
                self.expect_letter(id);
            }
        }
    }

    fn on_settle(&mut self, at: ChannelId, how: Settle, tag: u64, multiple: bool) {
        let channel = &self.channels[at];
        let chosen = |other: &u64| (*other == tag || (multiple && *other < tag)) && !channel.is_staged(*other);
        let tags: Vec<u64> = channel.held.keys().copied().filter(chosen).collect();
        let is_sure = !self.may_have_ended(at);
        for tag in tags {
            let (id, queue, _) = self.channels[at].held[&tag];
            if self.channels[at].transacts {
                self.channels[at].staged_settles.push((tag, id, queue, how));
            } else {
                self.settle(at, tag, (id, queue), how, is_sure);
            }
        }
    }

    fn settle(&mut self, at: ChannelId, tag: u64, (id, queue): (MessageId, Name), how: Settle, is_sure: bool) {
        let channel = &mut self.channels[at];
        channel.held.remove(&tag);
        channel.unsynced_settles.push((channel.sent, (id, queue)));
        if self.copies[&(id, queue)].state == State::Held(at) {
            if how.requeues() {
                let has_failed = how == Settle::RejectRequeue;
                self.count_return(id, queue, has_failed, has_failed, is_sure);
                return self.give_back(id, queue);
            }
            channel.unlasting.push((channel.published, (id, queue)));
            self.copy(id, queue).state = State::Done;
            if how != Settle::Ack {
                self.on_discarded(id, queue);
            }
        } else if !how.requeues() && how != Settle::Ack {
            self.on_perhaps_discarded(id, queue);
        }
    }

    fn on_commit(&mut self, at: ChannelId) {
        let staged = std::mem::take(&mut self.channels[at].staged);
        self.delay_from_now(&staged);
        let channel = &mut self.channels[at];
        channel.unsynced.extend(staged.into_iter().map(|id| (channel.sent, id)));
        let settles = std::mem::take(&mut channel.staged_settles);
        settles.into_iter().for_each(|(tag, id, queue, how)| self.settle(at, tag, (id, queue), how, false));
    }

    fn on_answer(&mut self, at: ChannelId, reply: &str) -> Op {
        let (op, stamp) = self.channels[at].pending.pop_front().unwrap_or_else(|| panic!("channel {at}: nobody asked for {reply}"));
        let name = reply.split(' ').next().unwrap_or_default();
        assert!(op.answers().contains(&name), "channel {at}: {reply} answers {op:?}");
        self.topology.on_answered(&op, stamp, true);
        match &op {
            Op::DeleteExchange { name, .. } => self.forget_delayed(name),
            Op::Purge(name) | Op::DeleteQueue { name, .. } => {
                self.weaken(name);
                self.queue(name).clearing -= 1;
            }
            Op::Cancel(tag) => {
                self.consumers.remove(tag);
            }
            Op::Close => self.leave_queues(at), // they have gone between the request and now
            _ => {}
        }
        self.synced(at, &op);
        op
    }

    /// Notes an answer: everything that was sent before its request is done. That includes messages
    /// that shard 0 routes if the request had to ask another shard.
    fn synced(&mut self, at: ChannelId, op: &Op) {
        let asks_nobody = matches!(op, Op::Qos { .. } | Op::Recover | Op::Rollback | Op::ConfirmSelect | Op::TxSelect | Op::Open);
        let may_be_under_way = |id: &MessageId| asks_nobody && self.messages[id].publish.exchange == MEMORY;
        let channel = &mut self.channels[at];
        channel.answered += 1;
        let answered = channel.answered;
        channel.unsynced_settles.retain(|(sent, _)| *sent >= answered);
        let (open, done): (Vec<_>, Vec<_>) =
            std::mem::take(&mut channel.unsynced).into_iter().partition(|(sent, id)| *sent >= answered || may_be_under_way(id));
        channel.unsynced = open;
        let promises = channel.transacts; // a transaction's commit is answered once its messages are safe
        for (_, id) in done {
            self.on_carried_out(id);
            if promises {
                self.on_promised(at, id);
            }
        }
        for suspicion in &mut self.suspicions {
            suspicion.channels.retain(|(channel, sent)| *channel != at || *sent >= answered);
            assert!(!suspicion.channels.is_empty(), "{}, and channel {at} is open", suspicion.what);
        }
    }

    fn on_confirmed(&mut self, at: ChannelId, tag: u64, multiple: bool) {
        let channel = &mut self.channels[at];
        let confirmed: Vec<u64> = channel.unconfirmed.keys().copied().filter(|&other| other == tag || (multiple && other < tag)).collect();
        assert!(confirmed.contains(&tag), "channel {at}: {tag} is confirmed twice or was not published");
        for sequence in confirmed {
            let channel = &mut self.channels[at];
            let id = channel.unconfirmed.remove(&sequence).expect("just listed");
            channel.unsynced.retain(|(_, other)| *other != id);
            self.on_carried_out(id);
            assert!(!self.messages[&id].lacks_return(), "message {id} is confirmed before it is returned");
            self.on_promised(at, id);
        }
    }

    fn copy(&mut self, id: MessageId, name: Name) -> &mut Copy {
        self.copies.get_mut(&(id, name)).expect("a copy for each queue that may have it")
    }

    fn queue(&mut self, name: Name) -> &mut Queue {
        self.queues.entry(name).or_default()
    }
}

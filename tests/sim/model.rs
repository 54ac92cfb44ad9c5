//! The model of the broker: AMQP's rules in lists and loops, one operation after the other, so
//! simple that it is obviously right. It knows no shards, no bytes and no performance, and shares
//! nothing with the product. It predicts everything that clients must see of an operation.

mod delays;
mod letters;
mod queue;
mod returns;

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{Binding, Name, Op, Place, Publish, Saw, Settle, consumer_name};
use crate::policies::{Policies, PolicyCommand};
use crate::queues::{is_quorum, is_single_active};
use crate::routing;
use letters::Dead;
use queue::{Consumer, Message, Queue};

/// The broker.
#[derive(Default)]
pub struct Model {
    pub exchanges: BTreeSet<Name>,
    pub bindings: Vec<Binding>,
    pub queues: BTreeMap<Name, Queue>,
    pub channels: BTreeMap<Place, Channel>,
    /// The events that clients must see of the operation, in order per channel.
    pub expected: BTreeMap<Place, Vec<Saw>>,
    /// Publishes that must be confirmed, and those that must be refused.
    pub confirms: BTreeMap<Place, BTreeSet<u64>>,
    pub refusals: BTreeMap<Place, BTreeSet<u64>>,
    policies: Policies,
    incarnations: u64,
    /// Milliseconds since the start.
    pub now: u64,
    delayed: delays::Delayed,
    dead: Dead,
}

/// A channel.
#[derive(Default)]
pub struct Channel {
    pub mode: Mode,
    prefetch: u16,
    deliveries: u64,
    /// The client's deliveries, by delivery tag.
    pub held: BTreeMap<u64, Held>,
}

/// The mode of a channel.
#[derive(Default)]
pub enum Mode {
    #[default]
    Plain,
    /// The number of publishes so far.
    Confirm(u64),
    /// Operations that wait for the commit.
    Tx(Vec<Publish>, Vec<(u64, Held, Settle)>),
}

/// A delivery that is not settled.
#[derive(Clone)]
pub struct Held {
    queue: Name,
    incarnation: u64,
    message: Message,
    consumer: Option<u32>,
}

const NOT_FOUND: u64 = 404;
const ACCESS_REFUSED: u64 = 403;
const RESOURCE_LOCKED: u64 = 405;
const PRECONDITION_FAILED: u64 = 406;

impl Model {
    /// Makes a broker with nothing but the predefined exchanges.
    pub fn new() -> Model {
        Model { exchanges: BTreeSet::from(["", "amq.direct", "amq.fanout"]), ..Model::default() }
    }

    /// Carries out one operation, with all its consequences.
    pub fn apply(&mut self, at: Place, op: &Op) {
        match op {
            Op::DeclareExchange(name) => {
                self.exchanges.insert(name);
                self.reply(at, "exchange.declare-ok");
            }
            Op::DeleteExchange { name, if_unused } if *if_unused && self.bindings.iter().any(|binding| binding.source == *name) => {
                self.fail(at, PRECONDITION_FAILED);
            }
            Op::DeleteExchange { name, .. } => {
                self.delete_exchange(name);
                self.reply(at, "exchange.delete-ok");
            }
            Op::Bind(binding) => self.bind(at, binding),
            Op::Unbind(binding) => self.unbind(at, binding),
            Op::Publish(messages) => messages.iter().for_each(|message| self.publish(at, message)),
            Op::Qos { prefetch, .. } => {
                self.channel(at).prefetch = *prefetch;
                self.reply(at, "basic.qos-ok");
            }
            Op::Settle { how, tag, multiple } => self.settle(at, *how, *tag, *multiple),
            Op::Recover => {
                let held = std::mem::take(&mut self.channel(at).held);
                self.reply(at, "basic.recover-ok");
                held.into_values().for_each(|held| self.give_back(held, false));
            }
            Op::ConfirmSelect => {
                self.channel(at).mode = Mode::Confirm(0);
                self.reply(at, "confirm.select-ok");
            }
            Op::TxSelect => {
                self.channel(at).mode = Mode::Tx(Vec::new(), Vec::new());
                self.reply(at, "tx.select-ok");
            }
            Op::Commit => self.commit(at),
            Op::Rollback => {
                let channel = self.channel(at);
                let Mode::Tx(_, settles) = std::mem::replace(&mut channel.mode, Mode::Tx(Vec::new(), Vec::new())) else { return };
                channel.held.extend(settles.into_iter().map(|(tag, held, _)| (tag, held)));
                self.reply(at, "tx.rollback-ok");
            }
            Op::Open => {
                self.channels.insert(at, Channel::default());
                self.reply(at, "channel.open-ok");
            }
            Op::Close => {
                self.end_channel(at);
                self.reply(at, "channel.close-ok");
            }
            Op::CloseOk => {}
            _ => self.apply_to_queue(at, op),
        }
        self.bury();
        self.serve();
    }

    /// Ends a connection: its channels end, and its exclusive queues are deleted.
    pub fn disconnect(&mut self, conn: usize) {
        let channels: Vec<Place> = self.channels.keys().filter(|place| place.0 == conn).copied().collect();
        channels.into_iter().for_each(|place| self.end_channel(place));
        let owned: Vec<Name> = self.queues.iter().filter(|(_, queue)| queue.owner == Some(conn)).map(|(name, _)| *name).collect();
        owned.into_iter().for_each(|name| self.delete_queue(name));
        self.bury();
        self.serve();
    }

    fn apply_to_queue(&mut self, at: Place, op: &Op) {
        let (Op::DeclareQueue(name)
        | Op::CheckQueue(name)
        | Op::Purge(name)
        | Op::DeleteQueue { name, .. }
        | Op::Consume { queue: name, .. }
        | Op::Get { queue: name, .. }) = op
        else {
            let Op::Cancel(tag) = op else { unreachable!("all other operations are done by apply") };
            return self.cancel(at, *tag);
        };
        if let Op::DeclareQueue(name) = op
            && !self.queues.contains_key(name)
        {
            self.incarnations += 1;
            let owner = name.starts_with('x').then_some(at.0);
            self.queues.insert(name, Queue::new(self.incarnations, owner));
        }
        let Some(queue) = self.queues.get(name) else {
            return if matches!(op, Op::DeleteQueue { .. }) { self.reply(at, "queue.delete-ok 0") } else { self.fail(at, NOT_FOUND) };
        };
        if queue.owner.is_some_and(|owner| owner != at.0) {
            return self.fail(at, RESOURCE_LOCKED);
        }
        let (messages, consumers) = (queue.ready.len(), queue.consumers.len());
        match op {
            Op::DeclareQueue(_) | Op::CheckQueue(_) => self.reply(at, &format!("queue.declare-ok {name} {messages} {consumers}")),
            Op::Purge(_) => {
                let count = self.queue(name).purge(name);
                self.reply(at, &format!("queue.purge-ok {count}"));
            }
            Op::DeleteQueue { if_unused, if_empty, .. } => {
                if (*if_unused && consumers > 0) || (*if_empty && messages > 0) {
                    return self.fail(at, PRECONDITION_FAILED);
                }
                self.reply(at, &format!("queue.delete-ok {messages}"));
                self.delete_queue(name);
            }
            Op::Consume { tag, no_ack, exclusive, priority, .. } => self.consume(at, name, *tag, *no_ack, *exclusive, *priority),
            Op::Get { no_ack, .. } => self.get(at, name, *no_ack),
            _ => unreachable!("a queue is named by the operations above"),
        }
    }

    fn is_unbindable(&self, at: Place, binding: &Binding) -> Option<u64> {
        let destination =
            if binding.to_queue { self.queues.contains_key(binding.destination) } else { self.exchanges.contains(binding.destination) };
        if !destination || !self.exchanges.contains(binding.source) {
            return Some(NOT_FOUND);
        }
        let owner = if binding.to_queue { self.queues[binding.destination].owner } else { None };
        owner.is_some_and(|owner| owner != at.0).then_some(RESOURCE_LOCKED)
    }

    fn bind(&mut self, at: Place, binding: &Binding) {
        if let Some(code) = self.is_unbindable(at, binding) {
            return self.fail(at, code);
        }
        if !self.bindings.contains(binding) {
            self.bindings.push(binding.clone());
        }
        self.reply(at, if binding.to_queue { "queue.bind-ok" } else { "exchange.bind-ok" });
    }

    fn unbind(&mut self, at: Place, binding: &Binding) {
        if self.bindings.contains(binding) && self.is_unbindable(at, binding).is_some() {
            return self.fail(at, RESOURCE_LOCKED);
        }
        self.drop_bindings(|other| other == binding);
        self.reply(at, if binding.to_queue { "queue.unbind-ok" } else { "exchange.unbind-ok" });
    }

    /// Removes bindings, and auto-delete exchanges that lose their last one.
    fn drop_bindings(&mut self, goes: impl Fn(&Binding) -> bool) {
        let (gone, kept): (Vec<Binding>, Vec<Binding>) = std::mem::take(&mut self.bindings).into_iter().partition(|binding| goes(binding));
        self.bindings = kept;
        for Binding { source, .. } in gone {
            if source.starts_with("af") && self.bindings.iter().all(|binding| binding.source != source) {
                self.delete_exchange(source);
            }
        }
    }

    fn delete_exchange(&mut self, name: Name) {
        if self.exchanges.remove(name) {
            self.delayed.forget(name);
            self.drop_bindings(|binding| binding.source == name || (!binding.to_queue && binding.destination == name));
        }
    }

    fn delete_queue(&mut self, name: Name) {
        let Some(queue) = self.queues.remove(name) else { return };
        self.forget_dead(queue.incarnation);
        for consumer in queue.consumers {
            self.reply(consumer.place, &format!("basic.cancel {} true", consumer_name(consumer.tag)));
        }
        self.drop_bindings(|binding| binding.to_queue && binding.destination == name);
    }

    fn publish(&mut self, at: Place, message: &Publish) {
        if !self.channels.contains_key(&at) {
            return; // an earlier publish closed the channel
        }
        if !self.exchanges.contains(message.exchange) {
            return self.fail(at, NOT_FOUND);
        }
        let sequence = match &mut self.channel(at).mode {
            Mode::Tx(publishes, _) => return publishes.push(message.clone()),
            Mode::Confirm(count) => {
                *count += 1;
                Some(*count)
            }
            Mode::Plain => None,
        };
        let is_refused = self.route(at, &Message::new(message));
        let answers = if is_refused { &mut self.refusals } else { &mut self.confirms };
        sequence.inspect(|&sequence| _ = answers.entry(at).or_default().insert(sequence));
    }

    /// Routes a message. Returns whether one of the queues has refused it.
    fn route(&mut self, at: Place, message: &Message) -> bool {
        let (queues, waits) = self.routes(&message.publish);
        if queues.is_empty() && waits.is_empty() && message.publish.mandatory {
            self.expect(at, Saw::Returned(message.publish.id));
        }
        waits.into_iter().for_each(|exchange| self.delayed.add(self.now, exchange, message));
        queues.into_iter().filter(|name| !self.enqueue(name, message.clone())).count() > 0
    }

    /// Returns the queues of a message, and the exchanges that delay it.
    fn routes(&self, publish: &Publish) -> (BTreeSet<Name>, Vec<Name>) {
        if !self.exchanges.contains(publish.exchange) {
            return (BTreeSet::new(), Vec::new());
        }
        let exists = |name: &Name| self.queues.contains_key(name);
        let alternate = |name| self.policies.alternate(name).filter(|alternate| self.exchanges.contains(alternate));
        routing::route(&self.bindings, exists, alternate, publish)
    }

    /// Gives a message to a queue. Returns whether the queue has accepted it.
    fn enqueue(&mut self, name: Name, message: Message) -> bool {
        let is_full = self.policies.length(name).is_some_and(|most| self.queues[name].ready.len() >= most);
        if is_full && self.policies.refuses(name) {
            return false;
        }
        let (now, is_next) = (self.now, self.queues[name].ready.is_empty());
        self.queue(name).push(name, message, now);
        if is_next {
            self.serve_one(name); // otherwise it waits for its turn
        }
        self.trim(name);
        true
    }

    /// Carries out an operator's command: queues that have too many messages then drop some.
    pub fn operate(&mut self, command: &PolicyCommand) {
        self.policies.apply(command);
        let names: Vec<Name> = self.queues.keys().copied().collect();
        names.into_iter().for_each(|name| self.trim(name));
    }

    fn trim(&mut self, name: Name) {
        let Some(length) = self.policies.length(name).filter(|_| !self.policies.refuses(name)) else { return };
        let queue = self.queue(name);
        while queue.ready.len() > length {
            let (_, message) = queue.ready.pop_first().expect("there are more than none");
            queue.forget(name, &message);
        }
    }

    fn consume(&mut self, at: Place, name: Name, tag: u32, no_ack: bool, exclusive: bool, priority: i32) {
        let prefetch = self.channel(at).prefetch;
        let queue = self.queue(name);
        let exclusive = exclusive && !is_quorum(name);
        let is_refused = exclusive && (is_single_active(name) || !queue.consumers.is_empty());
        if is_refused || queue.consumers.iter().any(|consumer| consumer.exclusive) {
            return self.fail(at, ACCESS_REFUSED);
        }
        queue.consumers.push(Consumer { place: at, tag, no_ack, exclusive, priority, prefetch, unacked: 0 });
        self.reply(at, &format!("basic.consume-ok {}", consumer_name(tag)));
    }

    fn cancel(&mut self, at: Place, tag: u32) {
        self.drop_consumers(|consumer| (consumer.place, consumer.tag) == (at, tag));
        self.reply(at, &format!("basic.cancel-ok {}", consumer_name(tag)));
    }

    /// Removes consumers, and auto-delete queues that lose their last one.
    fn drop_consumers(&mut self, goes: impl Fn(&Consumer) -> bool) {
        let mut abandoned = Vec::new();
        for (name, queue) in &mut self.queues {
            let before = queue.consumers.len();
            queue.consumers.retain(|consumer| !goes(consumer));
            if name.starts_with('a') && before > 0 && queue.consumers.is_empty() {
                abandoned.push(*name);
            }
        }
        abandoned.into_iter().for_each(|name| self.delete_queue(name));
    }

    fn get(&mut self, at: Place, name: Name, no_ack: bool) {
        let queue = self.queue(name);
        let Some((_, message)) = queue.ready.pop_first() else { return self.reply(at, "basic.get-empty") };
        let (remaining, redelivered, counts, id) = (queue.ready.len() as u64, message.redelivered, message.shown(), message.publish.id);
        let tag = self.hand_over(at, name, message, None, no_ack);
        self.expect(at, Saw::Got { tag, redelivered, remaining, counts, id });
    }

    fn settle(&mut self, at: Place, how: Settle, tag: u64, multiple: bool) {
        let channel = self.channel(at);
        let chosen: Vec<u64> = match (tag, multiple) {
            (0, true) => channel.held.keys().copied().collect(),
            (tag, true) => channel.held.range(..=tag).map(|(tag, _)| *tag).collect(),
            (tag, false) => channel.held.contains_key(&tag).then_some(tag).into_iter().collect(),
        };
        if chosen.is_empty() && tag != 0 {
            return self.fail(at, PRECONDITION_FAILED);
        }
        for tag in chosen {
            let channel = self.channel(at);
            let held = channel.held.remove(&tag).expect("chosen from what is held");
            match &mut channel.mode {
                Mode::Tx(_, settles) => settles.push((tag, held, how)),
                _ => self.finish(held, how),
            }
        }
    }

    fn commit(&mut self, at: Place) {
        let channel = self.channel(at);
        let Mode::Tx(publishes, settles) = std::mem::replace(&mut channel.mode, Mode::Tx(Vec::new(), Vec::new())) else { return };
        let refused = publishes.iter().filter(|message| self.route(at, &Message::new(message))).count();
        settles.into_iter().for_each(|(_, held, how)| self.finish(held, how));
        if refused > 0 { self.fail(at, PRECONDITION_FAILED) } else { self.reply(at, "tx.commit-ok") }
    }

    /// Ends a channel: its consumers leave, then its unsettled messages go back.
    fn end_channel(&mut self, at: Place) {
        let Some(channel) = self.channels.remove(&at) else { return };
        self.drop_consumers(|consumer| consumer.place == at);
        channel.held.into_values().for_each(|held| self.give_back(held, true));
        if let Mode::Tx(_, settles) = channel.mode {
            settles.into_iter().for_each(|(_, held, _)| self.give_back(held, true));
        }
    }

    fn serve(&mut self) {
        let names: Vec<Name> = self.queues.keys().copied().collect();
        for name in names {
            while self.serve_one(name) {}
        }
    }

    /// Delivers the first message of a queue to the first consumer with room among those of the
    /// highest priority, or to the active one.
    fn serve_one(&mut self, name: Name) -> bool {
        let queue = self.queue(name);
        if is_single_active(name) {
            queue.choose_active();
        }
        let may_have = |consumer: &Consumer| consumer.has_room() && queue.active.is_none_or(|active| active == consumer.tag);
        let highest = queue.consumers.iter().filter(|consumer| may_have(consumer)).map(|consumer| consumer.priority).max();
        let Some(next) = queue.consumers.iter().position(|consumer| may_have(consumer) && Some(consumer.priority) == highest) else {
            return false;
        };
        let Some((_, message)) = queue.ready.pop_first() else { return false };
        let mut consumer = queue.consumers.remove(next);
        let (at, tag, no_ack) = (consumer.place, consumer.tag, consumer.no_ack);
        consumer.unacked += u16::from(!no_ack);
        queue.consumers.push(consumer);
        let (redelivered, counts, id) = (message.redelivered, message.shown(), message.publish.id);
        let delivery = self.hand_over(at, name, message, Some(tag), no_ack);
        self.expect(at, Saw::Delivered { consumer: tag, tag: delivery, redelivered, counts, id });
        true
    }

    /// Gives a message to a channel, for one of its consumers or as the answer to basic.get.
    fn hand_over(&mut self, at: Place, name: Name, message: Message, consumer: Option<u32>, no_ack: bool) -> u64 {
        let queue = self.queue(name);
        let incarnation = queue.incarnation;
        if no_ack {
            queue.forget(name, &message);
        }
        let channel = self.channel(at);
        channel.deliveries += 1;
        if !no_ack {
            channel.held.insert(channel.deliveries, Held { queue: name, incarnation, message, consumer });
        }
        channel.deliveries
    }

    fn fail(&mut self, at: Place, code: u64) {
        self.expect(at, Saw::ChannelClosed(code));
        self.end_channel(at);
    }

    fn reply(&mut self, at: Place, reply: &str) {
        self.expect(at, Saw::Reply(reply.to_owned()));
    }

    fn expect(&mut self, at: Place, saw: Saw) {
        self.expected.entry(at).or_default().push(saw);
    }

    fn channel(&mut self, at: Place) -> &mut Channel {
        self.channels.get_mut(&at).expect("an operation happens on an open channel")
    }

    fn queue(&mut self, name: Name) -> &mut Queue {
        self.queues.get_mut(name).expect("the queue was just found")
    }
}

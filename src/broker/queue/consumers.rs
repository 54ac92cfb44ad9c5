//! The consumers of one queue: which of them may be served, and in which order (rows S2 to S5).
//!
//! A consumer is in exactly one of three states:
//!
//! ```text
//! listed    in the rotation of its priority: it can take a message
//! full      in_flight == prefetch; a settlement lists it again
//! parked    its connection or channel has no room; `unpark` lists it again
//!           on another shard: its credit is spent, or messages are asked for; `grant` lists it
//! ```
//!
//! If a queue has a single active consumer, the others are not listed, whatever room they have (see
//! [`SingleActive`]).

use smallvec::SmallVec;

use super::rotations::Rotations;
use super::rules::Rules;
use super::single_active::SingleActive;
use crate::base::ids::{ConsumerId, Key};
use crate::base::slots::Slots;
use crate::contract::{Credit, Grant, Target};

/// One consumer, as its queue sees it.
#[derive(Debug)]
pub struct Consumer {
    /// The target of its deliveries.
    pub target: Target,
    /// Whether deliveries need no settling.
    pub no_ack: bool,
    /// x-priority: higher is served first.
    pub priority: i32,
    /// Its credit, if it is on another shard.
    pub credit: Option<Credit>,
    prefetch: u32,
    in_flight: u32,
    parked: bool,
    /// How many consumers joined before it; counted if only one is active.
    joined: u64,
}

impl Consumer {
    /// Makes a consumer with room for `prefetch` unsettled deliveries; 0 is no limit.
    pub fn new(target: Target, no_ack: bool, prefetch: u32, priority: i32) -> Consumer {
        Consumer { target, no_ack, priority, prefetch, credit: None, in_flight: 0, parked: false, joined: 0 }
    }

    /// Sets the credit of a consumer on another shard; `None` for one on the queue's own shard.
    pub fn with_credit(self, credit: Option<Credit>) -> Consumer {
        Consumer { credit, ..self }
    }

    fn has_room(&self) -> bool {
        !self.parked && self.room() > 0 && self.credit.is_none_or(|credit| credit.is_open())
    }

    /// How many more unsettled messages the consumer may have.
    fn room(&self) -> usize {
        if self.no_ack || self.prefetch == 0 { usize::MAX } else { self.prefetch.saturating_sub(self.in_flight) as usize }
    }
}

/// The consumers of a queue.
#[derive(Default)]
pub struct Consumers {
    table: Slots<ConsumerId, Consumer>,
    rotations: Rotations,
    exclusive: bool,
    /// Whether the consumers' wish to be exclusive is ignored, as in quorum queues.
    overlooks_exclusive: bool,
    single: Option<Box<SingleActive>>,
    /// Whether some consumers on other shards have channels that count messages.
    are_metered: bool,
}

impl Consumers {
    /// Makes an empty table for a queue with these rules.
    pub fn new(rules: &Rules) -> Consumers {
        let single = rules.single_active.then(|| Box::new(SingleActive::new(rules.quorum)));
        Consumers { overlooks_exclusive: rules.quorum, single, ..Consumers::default() }
    }

    /// Adds a consumer. Returns `None` if an exclusive consumer is there, or if this one is to be
    /// exclusive and others are there or may join (rows S2, S8).
    pub fn add(&mut self, mut consumer: Consumer, exclusive: bool) -> Option<ConsumerId> {
        let exclusive = exclusive && !self.overlooks_exclusive;
        if self.exclusive || (exclusive && (!self.is_empty() || self.single.is_some())) {
            return None;
        }
        self.exclusive = exclusive;
        let priority = consumer.priority;
        self.are_metered |= consumer.credit.is_some_and(|credit| credit.must_ask());
        consumer.joined = self.single.as_ref().map_or(0, |single| single.joined());
        let id = self.table.insert(consumer);
        self.rotations.join(priority);
        if let Some(single) = &mut self.single {
            single.join(id, priority);
        }
        self.elect();
        self.list(id);
        Some(id)
    }

    /// Removes a consumer that was cancelled; its channel keeps the messages that it has not
    /// settled.
    pub fn cancel(&mut self, id: ConsumerId) -> Option<Consumer> {
        self.remove(id, 0)
    }

    /// Removes a consumer whose channel ended; its unsettled messages will come back.
    pub fn leave(&mut self, id: ConsumerId) -> Option<Consumer> {
        let expected = self.table.get(id)?.in_flight;
        self.remove(id, expected)
    }

    fn remove(&mut self, id: ConsumerId, expected: u32) -> Option<Consumer> {
        let consumer = self.table.remove(id)?;
        self.rotations.leave(consumer.priority, Key::from(id).slot);
        if let Some(single) = &mut self.single {
            single.remove(id, consumer.priority, consumer.joined, expected);
        }
        if self.table.is_empty() {
            (self.exclusive, self.are_metered) = (false, false);
        }
        self.elect();
        Some(consumer)
    }

    /// If a single consumer is active, decides which one, and lists it if it may be served.
    fn elect(&mut self) {
        let Some(single) = &mut self.single else { return };
        let before = single.active();
        single.elect(before.and_then(|id| self.table.get(id)).map_or(0, |consumer| consumer.in_flight));
        for id in before.into_iter().chain(single.active()) {
            self.list(id);
        }
    }

    /// The next consumer to be served. [`on_delivered`](Self::on_delivered), [`park`](Self::park)
    /// or [`ask`](Self::ask) follows; otherwise it stays the next.
    pub fn next(&self) -> Option<(ConsumerId, &Consumer)> {
        let slot = self.rotations.front()?;
        let id = self.table.key_at(slot).expect("a listed consumer is in the table");
        self.table.get(id).map(|consumer| (id, consumer))
    }

    /// How many of `wanted` messages in a row the [`next`](Self::next) consumer may get: one if
    /// others take turns with it, otherwise as many as it has room for.
    pub fn turns(&self, id: ConsumerId, wanted: usize) -> usize {
        if wanted <= 1 {
            return wanted; // it has room for one: otherwise it would not be listed
        }
        let consumer = self.table.get(id).expect("a consumer stays while it is served");
        if self.rotations.is_alone(consumer.priority) {
            wanted.min(consumer.room()).min(consumer.credit.map_or(usize::MAX, |credit| credit.messages()))
        } else {
            wanted.min(1)
        }
    }

    /// Notes that the [`next`](Self::next) consumer got `count` messages, which cost `bytes` of its
    /// credit if it is on another shard. It moves to the end of the rotation if it has room for
    /// another one.
    pub fn on_delivered(&mut self, id: ConsumerId, count: usize, bytes: usize) {
        let consumer = self.table.get_mut(id).expect("a consumer stays while it is served");
        if let Some(credit) = &mut consumer.credit {
            credit.spend(count, bytes);
        }
        if !consumer.no_ack {
            consumer.in_flight += count as u32;
        }
        let (has_room, priority) = (consumer.has_room(), consumer.priority);
        if has_room {
            self.rotations.rotate(priority);
        } else {
            self.rotations.unlist(priority, Key::from(id).slot);
        }
    }

    /// Parks a consumer that cannot take a message now: it leaves the rotation.
    pub fn park(&mut self, id: ConsumerId) {
        self.unlist(id, |consumer| consumer.parked = true);
    }

    /// Notes that credit for messages is asked of a consumer's shard: the consumer leaves the
    /// rotation until the [`grant`](Self::grant).
    pub fn ask(&mut self, id: ConsumerId) {
        self.unlist(id, |consumer| consumer.credit.iter_mut().for_each(Credit::ask));
    }

    fn unlist(&mut self, id: ConsumerId, change: impl FnOnce(&mut Consumer)) {
        let Some(consumer) = self.table.get_mut(id) else { return };
        change(consumer);
        let priority = consumer.priority;
        self.rotations.unlist(priority, Key::from(id).slot);
    }

    /// Adds a grant to a consumer's credit. Returns true if it can be served now.
    pub fn grant(&mut self, id: ConsumerId, grant: Grant) -> bool {
        let Some(credit) = self.table.get_mut(id).and_then(|consumer| consumer.credit.as_mut()) else { return false };
        credit.add(grant);
        self.list(id)
    }

    /// Notes that the channel of a consumer on another shard counts messages from now on.
    pub fn meter(&mut self, id: ConsumerId) {
        let Some(credit) = self.table.get_mut(id).and_then(|consumer| consumer.credit.as_mut()) else { return };
        credit.meter();
        self.are_metered = true;
    }

    /// Takes back the messages that consumers were granted and that the queue does not have:
    /// targets and numbers.
    pub fn take_unused(&mut self) -> SmallVec<[(Target, u32); 4]> {
        if !self.are_metered {
            return SmallVec::new();
        }
        let unused = self.table.iter_mut().filter_map(|(_, consumer)| Some((consumer.target, consumer.credit.as_mut()?.take_unused())));
        unused.filter(|&(_, messages)| messages > 0).collect()
    }

    /// Lists a parked consumer that can take messages again. Returns true if it can be served now.
    pub fn unpark(&mut self, id: ConsumerId) -> bool {
        let Some(consumer) = self.table.get_mut(id).filter(|consumer| consumer.parked) else { return false };
        consumer.parked = false;
        self.list(id)
    }

    /// Notes that `count` deliveries of the consumer are settled. Returns true if it can be served
    /// now.
    pub fn on_settled(&mut self, id: ConsumerId, count: usize) -> bool {
        let count = u32::try_from(count).expect("unsettled deliveries are fewer than 2^32");
        match self.table.get_mut(id) {
            Some(consumer) => consumer.in_flight = consumer.in_flight.saturating_sub(count),
            None => _ = self.single.as_mut().map(|single| single.on_back(id, count)),
        }
        if self.single.is_some() {
            self.elect();
        }
        self.list(id)
    }

    /// The consumer, if it exists.
    pub fn get(&self, id: ConsumerId) -> Option<&Consumer> {
        self.table.get(id)
    }

    /// The consumer that is served, if a single one is active.
    pub fn active(&self) -> Option<Target> {
        self.get(self.single.as_ref()?.active()?).map(|consumer| consumer.target)
    }

    /// Whether one consumer has the queue for itself.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// All consumers.
    pub fn iter(&self) -> impl Iterator<Item = (ConsumerId, &Consumer)> {
        self.table.iter()
    }

    /// Number of consumers.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Number of consumers in queue.declare-ok. In a quorum queue, consumers that wait for their
    /// turn do not count.
    pub fn counted(&self) -> usize {
        let waiting = self.single.as_ref().filter(|_| self.overlooks_exclusive).map_or(0, |single| single.waiting());
        self.len() - waiting
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether one of them can take a message.
    pub fn any_ready(&self) -> bool {
        self.rotations.any_ready()
    }

    /// Lists a consumer that can take a message, unless it is another consumer's turn. Returns
    /// whether the consumer is listed.
    fn list(&mut self, id: ConsumerId) -> bool {
        let Some(consumer) = self.table.get(id).filter(|consumer| consumer.has_room()) else { return false };
        let is_its_turn = self.single.as_ref().is_none_or(|single| single.is_served(id));
        let (slot, priority) = (Key::from(id).slot, consumer.priority);
        if is_its_turn {
            self.rotations.list(priority, slot);
        } else {
            self.rotations.unlist(priority, slot);
        }
        is_its_turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ChannelAddr, ConnAddr, ConnId, ShardId};

    fn consumer(index: u32, prefetch: u32, priority: i32) -> Consumer {
        let conn = ConnAddr { shard: ShardId(0), conn: ConnId::default() };
        Consumer::new(Target { channel: ChannelAddr { conn, channel: 1 }, index }, false, prefetch, priority)
    }

    fn serve(consumers: &mut Consumers) -> Option<u32> {
        let (id, index) = consumers.next().map(|(id, consumer)| (id, consumer.target.index))?;
        consumers.on_delivered(id, 1, 0);
        Some(index)
    }

    #[test]
    fn equal_consumers_take_turns() {
        let mut consumers = Consumers::default();
        (0..3).for_each(|n| assert!(consumers.add(consumer(n, 0, 0), false).is_some()));
        let served: Vec<_> = (0..7).filter_map(|_| serve(&mut consumers)).collect();
        assert_eq!(served, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn a_higher_priority_is_served_while_it_has_room() {
        let mut consumers = Consumers::default();
        consumers.add(consumer(0, 0, -1), false);
        let high = consumers.add(consumer(1, 2, 10), false).expect("not exclusive");
        consumers.add(consumer(2, 1, 0), false);
        let served: Vec<_> = (0..5).filter_map(|_| serve(&mut consumers)).collect();
        assert_eq!(served, [1, 1, 2, 0, 0]);
        assert!(consumers.on_settled(high, 1));
        assert_eq!(serve(&mut consumers), Some(1));
    }

    #[test]
    fn prefetch_is_never_exceeded() {
        let mut consumers = Consumers::default();
        let id = consumers.add(consumer(0, 2, 0), false).expect("not exclusive");
        assert_eq!((serve(&mut consumers), serve(&mut consumers), serve(&mut consumers)), (Some(0), Some(0), None));
        consumers.park(id);
        assert!(!consumers.on_settled(id, 1));
        assert!(consumers.unpark(id) && !consumers.unpark(id));
        assert_eq!((serve(&mut consumers), serve(&mut consumers)), (Some(0), None));
    }

    #[test]
    fn who_is_alone_is_served_in_a_row() {
        let mut consumers = Consumers::default();
        let id = consumers.add(consumer(0, 5, 0), false).expect("not exclusive");
        consumers.on_delivered(id, 2, 0);
        assert_eq!((consumers.turns(id, 2), consumers.turns(id, 9)), (2, 3));
        let other = consumers.add(consumer(1, 0, 0), false).expect("not exclusive");
        assert_eq!((consumers.turns(id, 9), consumers.turns(other, 9), consumers.turns(other, 0)), (1, 1, 0));
    }

    #[test]
    fn an_exclusive_consumer_is_alone() {
        let mut consumers = Consumers::default();
        let first = consumers.add(consumer(0, 0, 0), true).expect("the first");
        assert!(consumers.add(consumer(1, 0, 0), false).is_none());
        consumers.cancel(first);
        assert!(consumers.add(consumer(1, 0, 0), false).is_some());
        assert!(consumers.add(consumer(2, 0, 0), true).is_none());
    }

    #[test]
    fn a_removed_consumer_gets_nothing() {
        let mut consumers = Consumers::default();
        let a = consumers.add(consumer(0, 0, 0), false).expect("not exclusive");
        consumers.add(consumer(1, 0, 0), false);
        consumers.cancel(a);
        assert_eq!((serve(&mut consumers), serve(&mut consumers)), (Some(1), Some(1)));
        assert!(!consumers.on_settled(a, 1) && consumers.len() == 1);
    }
}

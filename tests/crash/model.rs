//! A log with its disk, and the expected content: the model knows every message that was appended
//! or settled, and the batch that says so.

use std::collections::{BTreeMap, BTreeSet};

use ringmq::base::ascending::Ascending;
use ringmq::base::ids::{Key, LevelAddr, QueueId};
use ringmq::base::rng::Rng;
use ringmq::message::{Body, Content, MessageView, Route, Stamp};
use ringmq::store::arrivals::Origin;
use ringmq::store::{Counts, Opened, Past, Placed, Store};

use super::disk::{Disk, Done};

/// One message of the model.
struct Message {
    body: Vec<u8>,
    transient: bool,
    /// The batch that holds it.
    batch: u64,
    /// The batch that says it is settled.
    settled: Option<u64>,
    /// How often it has come back, oldest count first, each with the batch that says so.
    counts: Vec<(u64, Counts)>,
}

impl Message {
    /// Whether a restart may find these counts of returns, if the disk has everything up to batch
    /// `durable`.
    fn may_have(&self, found: Option<Counts>, durable: u64) -> bool {
        let known = self.counts.iter().rposition(|(batch, _)| *batch <= durable);
        let later = self.counts[known.unwrap_or(0)..].iter().map(|(_, counts)| Some(*counts));
        later.chain(known.is_none().then_some(None)).any(|counts| counts == found)
    }
}

type Id = (u32, u64);

/// Messages of one batch that came from another shard: their places, the batch, and the batch that
/// says that their original is gone.
struct Arrived {
    ids: Vec<Id>,
    batch: u64,
    forgotten: Option<u64>,
}

/// The log, its disk, and the expected content.
pub struct Model {
    rng: Rng,
    store: Store,
    disk: Disk,
    messages: BTreeMap<Id, Message>,
    next: [u64; QUEUES as usize],
    /// Messages that came from another shard, by the number of their original.
    arrived: BTreeMap<u64, Arrived>,
    arrivals: u64,
    /// Messages that the log has read back from the disk.
    brought: BTreeMap<Id, (Vec<u8>, Option<Counts>)>,
    /// The number of messages per queue that the last start has counted.
    found: BTreeMap<u32, u64>,
    /// Scattered messages that were asked for and have not arrived yet.
    asked: BTreeSet<Id>,
}

impl Model {
    pub fn new(seed: u64) -> Model {
        let mut store = Store::new(1);
        (0..QUEUES).for_each(|slot| assert_eq!(store.open_queue(number(slot), level(slot)), Opened { slot, next: 0, count: 0 }));
        Model {
            rng: Rng::seeded(seed),
            store,
            disk: Disk::default(),
            messages: BTreeMap::new(),
            next: [0; QUEUES as usize],
            arrived: BTreeMap::new(),
            arrivals: 0,
            brought: BTreeMap::new(),
            found: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    pub fn draw(&mut self, below: u64) -> u64 {
        self.rng.below(below)
    }

    pub fn living(&self) -> usize {
        self.messages.values().filter(|message| message.settled.is_none()).count()
    }

    pub fn size(&self) -> (u64, u64) {
        self.store.size()
    }

    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Counts the messages that are durable and not settled, but missing from another log with its
    /// disk.
    pub fn lacks(&mut self, disk: Disk, store: Store) -> usize {
        let (own_disk, own_store) = (std::mem::replace(&mut self.disk, disk), std::mem::replace(&mut self.store, Store::new(1)));
        self.take_up(store);
        (self.disk, self.store) = (own_disk, own_store);
        let must = self.messages.iter().filter(|(_, message)| !message.transient && message.settled.is_none());
        must.filter(|(id, message)| self.brought.get(id).is_none_or(|(body, _)| *body != message.body)).count()
    }

    /// Takes random turns; the disk stops after `stop` operations. Returns true if there were
    /// fewer.
    pub fn run(&mut self, steps: usize, stop: Option<u64>) -> bool {
        let until = stop.map(|stop| self.disk.completed + stop);
        for _ in 0..steps {
            for _ in 0..self.rng.below(4) {
                match self.rng.below(14) {
                    0..4 => self.settle_some(),
                    4 => self.fetch_some(),
                    5 => self.count_some(),
                    6 => self.forget_some(),
                    _ => self.append(),
                }
            }
            self.seal_soon();
            for _ in 0..self.rng.below(4) {
                if until.is_some_and(|until| self.disk.completed >= until) {
                    return false;
                }
                self.complete();
            }
        }
        while until.is_none_or(|until| self.disk.completed < until) {
            self.seal();
            if self.disk.is_idle() {
                return true;
            }
            self.complete();
        }
        false
    }

    /// Appends some messages in a row to some queues.
    fn append(&mut self) {
        let queues: Vec<u32> = (0..QUEUES).filter(|_| self.rng.below(2) == 0).collect();
        let largest = if self.rng.below(50) == 0 { 6 } else { 5 };
        let size = [0, 10, 100, 5000, 300_000, 3_000_000][self.rng.below(largest) as usize];
        let count = if size > 10_000 { 1 + self.rng.below(2) } else { 1 + self.rng.below(40) };
        let bodies: Vec<Vec<u8>> = (0..count).map(|_| self.body(size)).collect();
        let transient = self.rng.below(5) == 0;
        self.append_to(&queues, bodies, transient);
    }

    fn append_to(&mut self, queues: &[u32], bodies: Vec<Vec<u8>>, transient: bool) {
        if queues.is_empty() {
            return;
        }
        let placed: Vec<Placed> = queues.iter().map(|&slot| Placed { slot, first: self.next[slot as usize] }).collect();
        let contents: Vec<Content<'_>> = bodies.iter().map(|body| Content { properties: &[0, 0], body: Body::Slice(body) }).collect();
        self.store.append(&placed, Route::new(b"\x00\x01q"), Stamp::NONE, &contents, transient);
        if !transient && bodies.len() == 1 {
            self.store.note_arrivals(&placed, Origin { place: (SOURCE, self.arrivals), copies: queues.len() as u32 });
            let ids = placed.iter().map(|placed| (placed.slot, placed.first)).collect();
            self.arrived.insert(self.arrivals, Arrived { ids, batch: self.store.position(), forgotten: None });
            self.arrivals += 1;
        }
        for (slot, body) in queues.iter().flat_map(|&slot| bodies.iter().map(move |body| (slot, body))) {
            let next = &mut self.next[slot as usize];
            let message = Message { body: body.clone(), transient, batch: self.store.position(), settled: None, counts: Vec::new() };
            self.messages.insert((slot, *next), message);
            *next += 1;
        }
    }

    fn body(&mut self, size: usize) -> Vec<u8> {
        let mut body = self.rng.next_u64().to_le_bytes().repeat(size / 8 + 1);
        body.truncate(size);
        body
    }

    /// Settles some of the oldest messages of a queue, with gaps.
    fn settle_some(&mut self) {
        let slot = self.rng.below(QUEUES.into()) as u32;
        let gap = self.rng.below(6);
        let many = self.rng.below(60) as usize;
        let living = self.messages.range((slot, 0)..=(slot, u64::MAX)).filter(|(_, message)| message.settled.is_none());
        let ids: Vec<Id> = living.map(|(&id, _)| id).take(many).filter(|(_, sequence)| gap == 0 || sequence % 6 >= gap).collect();
        ids.into_iter().for_each(|id| self.settle(id));
    }

    fn settle(&mut self, id: Id) {
        self.store.settle(id.0, id.1, id.1);
        let message = self.messages.get_mut(&id).expect("it is settled once");
        message.settled = Some(self.store.position());
    }

    /// Forgets the originals of some messages that came from another shard and are on the disk.
    fn forget_some(&mut self) {
        let (durable, one_of) = (self.store.durable(), 1 + self.rng.below(8));
        for (&number, arrived) in self.arrived.iter_mut().filter(|(_, arrived)| arrived.batch <= durable && arrived.forgotten.is_none()) {
            if self.rng.below(one_of) == 0 {
                self.store.forget_arrivals((SOURCE, number));
                arrived.forgotten = Some(self.store.position());
            }
        }
    }

    /// Counts a delivery or a return for messages of a queue in a row, or for most of them.
    fn count_some(&mut self) {
        let slot = self.rng.below(QUEUES.into()) as u32;
        let counts = (1 + self.rng.below(3) as u32, self.rng.below(2) as u32);
        let next = self.next[slot as usize].max(1);
        let (first, many) = (self.rng.below(next), self.rng.below(20));
        let last = (first + many).min(next - 1);
        let living = |message: &&mut Message| message.settled.is_none();
        let mut said = false;
        for message in self.messages.range_mut((slot, first)..=(slot, last)).map(|(_, message)| message).filter(living) {
            if !said {
                self.store.count(slot, first, last, counts);
                said = true;
            }
            message.counts.push((self.store.position(), counts));
        }
    }

    /// Asks for some scattered messages of a queue that are not settled. All messages asked for
    /// before must have arrived, or be settled.
    fn fetch_some(&mut self) {
        let slot = self.rng.below(QUEUES.into()) as u32;
        if self.store.is_fetching(slot) {
            return;
        }
        let lives = |messages: &BTreeMap<Id, Message>, id: &Id| messages.get(id).is_some_and(|message| message.settled.is_none());
        let own = |(queue, _): &Id| *queue == slot;
        let missing = self.asked.iter().filter(|id| own(id)).find(|id| lives(&self.messages, id));
        assert_eq!(missing, None, "it was asked for");
        self.asked.retain(|id| !own(id));
        let one_of = 1 + self.rng.below(30);
        let ids: Vec<Id> = self.messages.range((slot, 0)..=(slot, u64::MAX)).map(|(&id, _)| id).collect();
        let ids: Vec<Id> = ids.into_iter().filter(|id| lives(&self.messages, id) && self.rng.below(one_of) == 0).collect();
        let mut wanted = Ascending::default();
        ids.iter().rev().for_each(|(_, sequence)| wanted.push(*sequence));
        self.store.fetch(slot, Some(wanted), PIECE);
        self.asked.extend(ids);
    }

    /// Settles everything, and waits until the disk has it.
    pub fn settle_all(&mut self) {
        let living = self.messages.iter().filter(|(_, message)| message.settled.is_none());
        let ids: Vec<Id> = living.map(|(&id, _)| id).collect();
        ids.into_iter().for_each(|id| self.settle(id));
        self.rest();
        std::mem::take(&mut self.arrived).into_keys().for_each(|number| self.store.forget_arrivals((SOURCE, number)));
        self.rest();
    }

    /// Appends `count` messages to a queue that is consumed at once; one of `slow` also to a queue
    /// that is not.
    pub fn mixed_lifetimes(&mut self, count: u64, slow: u64) {
        for n in 0..count / 20 {
            let bodies: Vec<_> = (0..20).map(|_| self.body(100)).collect();
            let first = self.next[0];
            self.append_to(&[0], bodies, false);
            self.store.settle(0, first, self.next[0] - 1);
            (first..self.next[0]).for_each(|sequence| drop(self.messages.remove(&(0, sequence))));
            if n % (slow / 20) == 0 {
                let body = self.body(100);
                self.append_to(&[1], vec![body], false);
            }
            self.rest();
        }
    }

    /// Appends this many messages of `size` bytes, for one queue each.
    pub fn append_many(&mut self, count: u32, size: usize) {
        for n in 0..count {
            let body = self.body(size);
            self.append_to(&[n % QUEUES], vec![body], false);
        }
        self.rest();
    }

    /// Appends `count` times forty short messages to one queue.
    pub fn append_rows(&mut self, count: usize) {
        for n in 0..count {
            let bodies = (0..40).map(|_| self.body(8)).collect();
            self.append_to(&[0], bodies, false);
            if n % 1000 == 0 {
                self.rest();
            }
        }
        self.rest();
    }

    /// Settles every other message of one of `parts` parts.
    pub fn settle_every_other(&mut self, part: u64, parts: u64) {
        let len = self.next[0] / parts;
        (part * len..(part + 1) * len).step_by(2).for_each(|sequence| self.settle((0, sequence)));
        self.rest();
    }

    /// Returns the bytes of the largest file.
    pub fn largest_file(&self) -> u64 {
        self.disk.list().into_iter().map(|(_, size)| size).max().unwrap_or(0)
    }

    /// Settles one of `one_of` messages, anywhere in the log.
    pub fn settle_anywhere(&mut self, one_of: u64) {
        let living = self.messages.iter().filter(|(_, message)| message.settled.is_none());
        let ids: Vec<Id> = living.map(|(&id, _)| id).filter(|_| self.rng.below(one_of) == 0).collect();
        ids.into_iter().for_each(|id| self.settle(id));
        self.rest();
    }

    /// Completes everything that is under way.
    fn rest(&mut self) {
        self.seal();
        while !self.disk.is_idle() {
            self.complete();
            self.seal();
        }
    }

    /// Writes the gathered records. (A shard delays the mark behind messages until a moment without
    /// new ones.)
    fn seal_soon(&mut self) {
        if self.store.is_dirty() || !self.store.wants_write() || self.rng.below(4) == 0 {
            self.seal();
        }
    }

    fn seal(&mut self) {
        self.store.seal();
        while let Some(op) = self.store.next_op() {
            self.disk.submit(op);
        }
    }

    fn complete(&mut self) {
        let Some(done) = self.disk.complete(&mut self.rng) else { return };
        match done {
            Done::Created(segment) => self.store.on_created(segment),
            Done::Written(write) => self.store.on_written(write),
            Done::Indexed(indexed) => self.store.on_indexed(indexed),
            Done::Compacted(compacted) => self.store.on_compacted(compacted),
            Done::Deleted => {}
            Done::Read(reader, bytes) => {
                let brought = &mut self.brought;
                let mut got = Vec::new();
                let take = |sequence, past: Past, message: &MessageView<'_>| {
                    got.push((sequence, (message.body.bytes().to_vec(), past.returned)));
                };
                let loaded = self.store.on_read(reader, &bytes, take).expect("nothing is damaged");
                let slot = reader.level().queue.0.slot;
                if self.store.is_fetching(slot) {
                    for (sequence, (body, _)) in got {
                        assert!(self.asked.remove(&(slot, sequence)), "{sequence} was not asked for");
                        assert_eq!(self.messages[&(slot, sequence)].body, body);
                    }
                    return self.store.fetch(slot, None, PIECE);
                }
                brought.extend(got.into_iter().map(|(sequence, found)| ((slot, sequence), found)));
                if loaded.is_served {
                    self.store.load(slot, 0, PIECE);
                }
            }
        }
    }

    /// Stops the machine, opens the log again and checks its content.
    pub fn crash_and_check(&mut self) {
        let durable = self.store.durable();
        self.disk.crash(&mut self.rng);
        let recovered = self.disk.recover().unwrap_or_else(|trouble| panic!("segment {}: {trouble}", trouble.segment()));
        self.disk.clear(&recovered);
        self.take_up(recovered.store);
        self.compare_arrivals(durable);
        self.compare(durable);
    }

    fn take_up(&mut self, store: Store) {
        self.store = store;
        self.brought.clear();
        self.asked.clear();
        self.found.clear();
        for slot in 0..QUEUES {
            let opened = self.store.open_queue(number(slot), level(slot));
            assert_eq!(opened.slot, slot);
            self.found.insert(slot, opened.count);
            self.next[slot as usize] = opened.next;
            self.store.load(slot, 0, PIECE);
        }
        self.store.close_unknown();
        self.rest();
    }

    /// Checks that a message from another shard is noted if and only if the log has it, or had it.
    fn compare_arrivals(&mut self, durable: u64) {
        let found: BTreeSet<(u64, u64)> = self.store.arrivals().map(|arrival| (arrival.origin.place.1, arrival.queue)).collect();
        for (number, Arrived { ids, batch, forgotten }) in &self.arrived {
            for id in ids {
                let is_noted = found.contains(&(*number, self::number(id.0)));
                let (must, must_not) = (*batch <= durable && forgotten.is_none(), forgotten.is_some_and(|batch| batch <= durable));
                assert!(if is_noted { !must_not } else { !must }, "{id:?} is noted: {is_noted}");
                let is_living = self.messages.get(id).is_some_and(|message| message.settled.is_none());
                assert!(!is_living || forgotten.is_some() || is_noted == self.brought.contains_key(id), "{id:?} is noted: {is_noted}");
            }
        }
        let numbers: BTreeSet<u64> = found.iter().map(|(number, _)| *number).collect();
        self.arrived.retain(|number, _| numbers.contains(number));
        assert_eq!(
            self.arrived.values().map(|arrived| arrived.ids.len()).sum::<usize>(),
            found.len(),
            "something is noted that never came"
        );
        self.arrived.values_mut().for_each(|arrived| (arrived.batch, arrived.forgotten) = (0, None));
    }

    /// Checks that the log has everything that it must have, and nothing else.
    fn compare(&mut self, durable: u64) {
        for (id, message) in &self.messages {
            let must = message.batch <= durable && !message.transient && message.settled.is_none();
            let must_not = message.transient || message.settled.is_some_and(|batch| batch <= durable);
            match self.brought.get(id) {
                Some((body, counts)) => {
                    assert!(!must_not && *body == message.body, "{id:?} came back, or came back wrong");
                    let is_right = message.may_have(*counts, durable);
                    assert!(is_right, "{id:?} came back {counts:?} times: {:?}, {durable} was durable", message.counts);
                }
                None => assert!(!must, "{id:?} of batch {} is lost, {durable} was durable", message.batch),
            }
        }
        assert!(self.brought.keys().all(|id| self.messages.contains_key(id)), "something came back that never was");
        for (&slot, &count) in &self.found {
            assert_eq!(self.brought.range((slot, 0)..=(slot, u64::MAX)).count() as u64, count, "queue {slot} was counted wrong");
        }
        self.messages.retain(|id, _| self.brought.contains_key(id));
        for (id, message) in &mut self.messages {
            (message.batch, message.settled) = (0, None);
            message.counts = self.brought[id].1.into_iter().map(|counts| (0, counts)).collect();
        }
    }
}

fn number(slot: u32) -> u64 {
    100 + u64::from(slot)
}

/// The address of a queue's only level. The first queue that is opened gets the first slot.
fn level(slot: u32) -> LevelAddr {
    LevelAddr { queue: QueueId(Key { slot, generation: 0 }), level: 0 }
}

const QUEUES: u32 = 3;
/// The number of a queue on another shard.
const SOURCE: u64 = 7;
const PIECE: usize = 256 << 10;

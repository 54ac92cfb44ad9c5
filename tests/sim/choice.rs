//! Random choices: one generator per run, so that a seed determines all of them.

use ringmq::base::rng::Rng;

use crate::op::{Binding, DELAY_MAX, DELAYING, EXCHANGES, HASH, KEYS, MEMORY, MessageId, Name, Op, PATTERNS, Publish, delays, kind};
use crate::queues::{HASHED, LETTERS, TWIN, is_quorum};

/// The dice of a run.
pub struct Dice {
    rng: Rng,
    queues: &'static [Name],
}

impl Dice {
    /// Makes the dice of this seed, for a run with these queues.
    pub fn new(seed: u64, queues: &'static [Name]) -> Dice {
        Dice { rng: Rng::seeded(seed), queues }
    }

    /// Returns a number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.rng.below(n)
    }

    /// Returns an index below `n`.
    pub fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// Returns true once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Returns one of them.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())].clone()
    }

    /// Returns one of the numbers `0..weights.len()`, as often as its weight says.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        weights
            .iter()
            .position(|&weight| {
                let hit = left < weight;
                left = left.saturating_sub(weight);
                hit
            })
            .expect("the weights are not all 0")
    }

    /// Returns a queue's name.
    pub fn queue(&mut self) -> Name {
        self.pick(self.queues)
    }

    /// Returns the name of an exchange that clients declare.
    pub fn exchange(&mut self) -> Name {
        self.pick(EXCHANGES).0
    }

    /// Returns the name of an exchange that may be bound behind another one: not the one that
    /// remembers, and only one of those that delay.
    pub fn other_exchange(&mut self) -> Name {
        let is_other = |name: &Name| *name != MEMORY && !DELAYING[1..].contains(name);
        let others: Vec<Name> = EXCHANGES.iter().map(|(name, _)| *name).filter(is_other).collect();
        self.pick(&others)
    }

    /// Makes a binding between things that may exist.
    pub fn binding(&mut self) -> Binding {
        let source = if self.one_in(6) { "amq.direct" } else { self.exchange() };
        let to_queue = !self.one_in(4);
        let destination = if to_queue { self.queue() } else { self.other_exchange() };
        let key = if kind(source) == "topic" { self.pick(PATTERNS) } else { self.pick(KEYS) };
        let headers = (source == "h0").then(|| (self.one_in(2), self.headers(1)));
        Binding { source, destination, to_queue, key, headers }
    }

    /// Makes a message.
    pub fn publish(&mut self, id: MessageId) -> Publish {
        let exchange = match self.below(12) {
            0..4 => "",
            4 => "amq.direct",
            5 => "f0",
            6..8 => self.pick(DELAYING),
            _ => self.exchange(),
        };
        let key = if exchange.is_empty() { self.queue() } else { self.pick(KEYS) };
        let mut headers = if exchange == "h0" || self.one_in(4) { self.headers(0) } else { Vec::new() };
        headers.extend(self.one_in(2).then(|| (TWIN, self.pick(TWINS))));
        let priority = [None, Some(0), Some(1), Some(70), Some(255)][self.index(5)];
        let copy = self.one_in(8).then(|| self.pick(KEYS));
        Publish { id, exchange, key, headers, copy, delay: None, mandatory: self.one_in(3), persistent: !self.one_in(3), priority }
    }

    /// Chooses the delay of a message for this exchange: mostly some time, if it is an exchange
    /// that delays.
    pub fn delay(&mut self, exchange: Name) -> Option<u64> {
        let longest = self.pick(&[40, 1000, 9000, DELAY_MAX]);
        let waits = if delays(exchange) { !self.one_in(4) } else { self.one_in(20) };
        waits.then(|| 1 + self.below(longest))
    }

    /// Makes an operation on the catalog.
    pub fn topology(&mut self) -> Op {
        match self.weighted(&[12, 2, 20, 2, 2, 20, 6]) {
            0 => Op::DeclareExchange(self.exchange()),
            1 => Op::DeleteExchange { name: self.exchange(), if_unused: self.one_in(2) },
            2 => Op::DeclareQueue(self.queue()),
            3 => Op::CheckQueue(self.queue()),
            4 => {
                let name = self.queue();
                let may_ask = !is_quorum(name); // other queues cannot answer this request
                Op::DeleteQueue { name, if_unused: may_ask && self.one_in(3), if_empty: may_ask && self.one_in(3) }
            }
            5 => Op::Bind(self.binding()),
            _ => Op::Unbind(self.binding()),
        }
    }

    /// Makes an operation on the exchange that hashes.
    pub fn hash_topology(&mut self) -> Op {
        let binding = hash_binding(self.index(HASHED.len()));
        match self.weighted(&[3, 8, 2]) {
            0 => Op::DeclareExchange(HASH),
            1 => Op::Bind(binding),
            _ => Op::Unbind(binding),
        }
    }

    /// Makes headers of a message or a binding, at least this many.
    fn headers(&mut self, least: u64) -> Vec<(Name, Name)> {
        let all = [("color", "red"), ("color", "blue"), ("size", "xl"), ("shape", "round")];
        let first = self.index(all.len());
        let count = (least + self.below(2)) as usize;
        let mut chosen: Vec<(Name, Name)> = (0..count).map(|n| all[(first + n) % all.len()]).collect();
        chosen.dedup_by_key(|(name, _)| *name);
        chosen
    }
}

/// Returns the binding of a queue to the exchange that hashes, which always has the same weight.
pub fn hash_binding(at: usize) -> Binding {
    let key = ["1", "2", "5", "1", "3"][at];
    Binding { source: HASH, destination: HASHED[at], to_queue: true, key, headers: None }
}

/// Returns the binding by which all dead letters come to a queue.
pub fn letter_binding(destination: Name) -> Binding {
    Binding { source: LETTERS, destination, to_queue: true, key: "#", headers: None }
}

/// The values by which duplicates are known.
const TWINS: &[Name] = &["t1", "t2", "t3", "t4"];

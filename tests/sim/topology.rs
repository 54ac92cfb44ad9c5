//! The topology, as far as an observer can know it from the requests and answers of many clients
//! that work at once.
//!
//! Between a request and its answer, and where the requests of several clients overlap, nothing is
//! certain. So there are two pictures: the things that *certainly* exist, and those that *possibly*
//! do. A message reaches at least the queues of the first picture, and at most those of the second.
//! After a restart nothing overlaps any more; durable things exist as they did before.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{Binding, HASH, Name, Op, Publish, is_durable};
use crate::routing;

/// Both pictures.
#[derive(Default)]
pub struct Topology {
    exchanges: BTreeMap<Name, Existence>,
    queues: BTreeMap<Name, Existence>,
    bindings: Vec<(Binding, Existence)>,
}

#[derive(Clone, Copy, Default)]
struct Existence {
    certain: bool,
    possible: bool,
    /// A client was told that it was made, and no client has asked for its end since.
    is_promised: bool,
    /// Requests that were sent and not answered: all of them, and those that end something.
    pending: u64,
    pending_ends: u64,
    /// Counts requests and answers.
    changes: u64,
    changes_ends: u64,
}

/// The state of the things that a request is about, taken when it was sent: once for all changes,
/// once for ends. `None` if other requests about them were under way.
pub type Stamp = [Option<u64>; 2];

impl Topology {
    /// Makes the predefined exchanges.
    pub fn new() -> Topology {
        let there = Existence { certain: true, possible: true, is_promised: true, ..Existence::default() };
        Topology { exchanges: ["", "amq.direct", "amq.fanout"].into_iter().map(|name| (name, there)).collect(), ..Topology::default() }
    }

    /// Whether the exchange certainly exists.
    pub fn has_exchange(&self, name: Name) -> bool {
        self.exchanges.get(name).is_some_and(|exchange| exchange.certain)
    }

    /// Whether the exchange may exist.
    pub fn may_have_exchange(&self, name: Name) -> bool {
        self.exchanges.get(name).is_some_and(|exchange| exchange.possible)
    }

    /// Whether the queue may exist.
    pub fn may_have_queue(&self, name: Name) -> bool {
        self.queues.get(name).is_some_and(|queue| queue.possible)
    }

    /// Returns the least and the most queues that a message may reach, once it has waited.
    pub fn route(&self, message: &Publish) -> (BTreeSet<Name>, BTreeSet<Name>) {
        let message = &Publish { delay: None, ..message.clone() };
        let pick = |which: fn(&Existence) -> bool| {
            let bindings: Vec<Binding> =
                self.bindings.iter().filter(|(_, state)| which(state)).map(|(binding, _)| binding.clone()).collect();
            routing::route(&bindings, |name| self.queues.get(name).is_some_and(which), |_| None, message).0
        };
        let most = pick(|state| state.possible);
        (if message.exchange == HASH { BTreeSet::new() } else { pick(|state| state.certain) }, most)
    }

    /// Returns the queues among which the exchange that hashes chooses, if none of them is in
    /// doubt.
    pub fn hash_queues(&self) -> Option<BTreeSet<Name>> {
        let bound = || self.bindings.iter().filter(|(binding, _)| binding.source == HASH);
        let ends = bound().filter_map(|(binding, _)| self.queues.get(binding.destination));
        let mut states = self.exchanges.get(HASH).into_iter().chain(bound().map(|(_, state)| state)).chain(ends);
        let is_clear = states.all(|state| state.certain == state.possible);
        is_clear.then(|| bound().filter(|(_, state)| state.certain).map(|(binding, _)| binding.destination).collect())
    }

    /// Notes that a request was sent.
    pub fn on_sent(&mut self, op: &Op) -> Stamp {
        if let Op::Bind(binding) | Op::Unbind(binding) = op
            && !self.bindings.iter().any(|(other, _)| other == binding)
        {
            self.bindings.push((binding.clone(), Existence::default()));
        }
        let (makes, ends) = (matches!(op, Op::DeclareExchange(_) | Op::DeclareQueue(_) | Op::Bind(_)), is_end(op));
        let mut states = self.touched(op);
        let (alone, unthreatened) = (states.iter().all(|state| state.pending == 0), states.iter().all(|state| state.pending_ends == 0));
        if let Some(own) = states.first_mut() {
            own.count(ends, 1);
            own.possible |= makes;
            own.certain &= !ends;
            own.is_promised &= !ends;
        }
        let [all, of_ends] = sums(&states);
        if ends {
            self.doubt_bindings(op);
        }
        [alone.then_some(all), unthreatened.then_some(of_ends)]
    }

    /// Notes the answer to a request: it succeeded, or it had no effect.
    pub fn on_answered(&mut self, op: &Op, stamp: Stamp, done: bool) {
        let ends = is_end(op);
        let mut states = self.touched(op);
        let [all, of_ends] = sums(&states);
        let (undisturbed, unthreatened) = (stamp[0] == Some(all), stamp[1] == Some(of_ends));
        let Some(own) = states.first_mut() else { return };
        own.count(ends, -1);
        if done && undisturbed {
            own.possible = !ends;
            own.certain = own.possible && !is_short_lived(op);
        }
        own.is_promised |= done && unthreatened && !ends && !is_short_lived(op);
    }

    /// Returns all states that a request depends on; the one that it changes comes first.
    fn touched(&mut self, op: &Op) -> Vec<&mut Existence> {
        match op {
            Op::DeclareExchange(name) | Op::DeleteExchange { name, .. } => vec![self.exchanges.entry(name).or_default()],
            Op::DeclareQueue(name) | Op::DeleteQueue { name, .. } => vec![self.queues.entry(name).or_default()],
            Op::Bind(binding) | Op::Unbind(binding) => {
                let own = self.bindings.iter_mut().filter(|(other, _)| other == binding).map(|(_, state)| state);
                own.chain(
                    self.exchanges
                        .iter_mut()
                        .filter(|(name, _)| **name == binding.source || (!binding.to_queue && **name == binding.destination))
                        .map(|(_, state)| state),
                )
                .chain(self.queues.iter_mut().filter(|(name, _)| binding.to_queue && **name == binding.destination).map(|(_, state)| state))
                .collect()
            }
            _ => Vec::new(),
        }
    }

    /// Doubts the bindings of a thing that is being deleted: they go with it, but the observer does
    /// not see when.
    fn doubt_bindings(&mut self, op: &Op) {
        let (exchange, queue) = match op {
            Op::DeleteExchange { name, .. } => (Some(*name), None),
            Op::DeleteQueue { name, .. } => (None, Some(*name)),
            _ => return,
        };
        for (binding, state) in &mut self.bindings {
            let destination = if binding.to_queue { queue } else { exchange };
            if Some(binding.source) == exchange || Some(binding.destination) == destination {
                (state.certain, state.is_promised) = (false, false);
                state.changes += 1;
                state.changes_ends += 1;
            }
        }
    }

    /// Notes that the broker has stopped and starts again.
    pub fn on_crash(&mut self) {
        self.exchanges.iter_mut().chain(&mut self.queues).for_each(|(name, state)| state.on_crash(is_durable(name)));
        for (binding, state) in &mut self.bindings {
            state.on_crash(is_durable(binding.source) && is_durable(binding.destination));
        }
    }

    /// Notes that a client has looked while no other request was under way: the queue or exchange
    /// exists or does not.
    pub fn on_looked(&mut self, name: Name, is_queue: bool, is_there: bool) {
        let state = if is_queue { &mut self.queues } else { &mut self.exchanges }.entry(name).or_default();
        assert!(is_there || !state.certain, "{name} was declared and is not there");
        assert!(!is_there || state.possible, "{name} is there and should not be");
        state.possible = is_there;
        state.certain = is_there && !is_short(name);
        state.is_promised = state.certain;
    }
}

/// Counts all changes of the states, and those that end something.
fn sums(states: &[&mut Existence]) -> [u64; 2] {
    [states.iter().map(|state| state.changes).sum(), states.iter().map(|state| state.changes_ends).sum()]
}

impl Existence {
    /// Counts a request that is sent (1) or answered (-1).
    fn count(&mut self, ends: bool, by: i64) {
        self.pending = self.pending.wrapping_add_signed(by);
        self.changes += 1;
        if ends {
            self.pending_ends = self.pending_ends.wrapping_add_signed(by);
            self.changes_ends += 1;
        }
    }

    fn on_crash(&mut self, is_durable: bool) {
        self.is_promised &= is_durable;
        self.certain = self.is_promised;
        self.possible &= is_durable;
        (self.pending, self.pending_ends) = (0, 0);
        self.changes += 1;
        self.changes_ends += 1;
    }
}

fn is_end(op: &Op) -> bool {
    matches!(op, Op::DeleteExchange { .. } | Op::DeleteQueue { .. } | Op::Unbind(_))
}

/// Whether the thing may end without being deleted: exclusive and auto-delete things, and their
/// bindings.
fn is_short_lived(op: &Op) -> bool {
    match op {
        Op::DeclareExchange(name) | Op::DeclareQueue(name) => is_short(name),
        Op::Bind(binding) => is_short(binding.source) || is_short(binding.destination),
        _ => false,
    }
}

fn is_short(name: Name) -> bool {
    name.starts_with('x') || name.starts_with("a0") || name.starts_with("af")
}

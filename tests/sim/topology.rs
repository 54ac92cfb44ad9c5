//! What exists, as far as an observer can know who sees requests and answers of many clients at once.
//!
//! Between a request and its answer, and where the requests of several clients overlap, nothing is certain. So there are two pictures:
//! what *certainly* exists and what *possibly* does. A message reaches at least the queues of the first and at most those of the second.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{Binding, Name, Op, Publish};
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
    /// Requests that were sent and not answered.
    pending: u64,
    /// Counts requests and answers.
    changes: u64,
}

/// The state of the things that a request is about when it was sent; `None` if others were at them.
pub type Stamp = Option<u64>;

impl Topology {
    /// The exchanges that are always there.
    pub fn new() -> Topology {
        let there = Existence { certain: true, possible: true, ..Existence::default() };
        Topology { exchanges: ["", "amq.direct", "amq.fanout"].into_iter().map(|name| (name, there)).collect(), ..Topology::default() }
    }

    /// Whether the exchange certainly exists.
    pub fn has_exchange(&self, name: Name) -> bool {
        self.exchanges.get(name).is_some_and(|exchange| exchange.certain)
    }

    /// The least and the most that a message may reach.
    pub fn route(&self, message: &Publish) -> (BTreeSet<Name>, BTreeSet<Name>) {
        let pick = |which: fn(&Existence) -> bool| {
            let bindings: Vec<Binding> =
                self.bindings.iter().filter(|(_, state)| which(state)).map(|(binding, _)| binding.clone()).collect();
            routing::route(&bindings, |name| self.queues.get(name).is_some_and(which), message)
        };
        (pick(|state| state.certain), pick(|state| state.possible))
    }

    /// A request was sent.
    pub fn on_sent(&mut self, op: &Op) -> Stamp {
        if let Op::Bind(binding) | Op::Unbind(binding) = op
            && !self.bindings.iter().any(|(other, _)| other == binding)
        {
            self.bindings.push((binding.clone(), Existence::default()));
        }
        let (makes, ends) = (matches!(op, Op::DeclareExchange(_) | Op::DeclareQueue(_) | Op::Bind(_)), is_end(op));
        let mut states = self.touched(op);
        let alone = states.iter().all(|state| state.pending == 0);
        if let Some(own) = states.first_mut() {
            own.pending += 1;
            own.changes += 1;
            own.possible |= makes;
            own.certain &= !ends;
        }
        let stamp = states.iter().map(|state| state.changes).sum();
        if ends {
            self.doubt_bindings(op);
        }
        alone.then_some(stamp)
    }

    /// It was answered: with success, or without having had an effect.
    pub fn on_answered(&mut self, op: &Op, stamp: Stamp, done: bool) {
        let mut states = self.touched(op);
        let undisturbed = stamp == Some(states.iter().map(|state| state.changes).sum());
        let Some(own) = states.first_mut() else { return };
        own.pending -= 1;
        own.changes += 1;
        if done && undisturbed {
            own.possible = !is_end(op);
            own.certain = own.possible && !is_short_lived(op);
        }
    }

    /// All states that a request depends on; the one that it changes comes first.
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

    /// Bindings go with what they join; how far that has gone is not seen.
    fn doubt_bindings(&mut self, op: &Op) {
        let (exchange, queue) = match op {
            Op::DeleteExchange { name, .. } => (Some(*name), None),
            Op::DeleteQueue { name, .. } => (None, Some(*name)),
            _ => return,
        };
        for (binding, state) in &mut self.bindings {
            let destination = if binding.to_queue { queue } else { exchange };
            if Some(binding.source) == exchange || Some(binding.destination) == destination {
                state.certain = false;
                state.changes += 1;
            }
        }
    }
}

fn is_end(op: &Op) -> bool {
    matches!(op, Op::DeleteExchange { .. } | Op::DeleteQueue { .. } | Op::Unbind(_))
}

/// What may end without being deleted: exclusive and auto-delete things, and bindings of them.
fn is_short_lived(op: &Op) -> bool {
    let short = |name: &Name| name.starts_with('x') || name.starts_with("a0") || name.starts_with("af");
    match op {
        Op::DeclareExchange(name) | Op::DeclareQueue(name) => short(name),
        Op::Bind(binding) => short(&binding.source) || short(&binding.destination),
        _ => false,
    }
}

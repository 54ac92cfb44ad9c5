//! The clients' knowledge of every message, from which the broker's duties follow.
//!
//! A message in a queue, as its consumers see it:
//!
//! ```text
//! Waiting ─ delivered ─▶ Held ─ ack or reject sent ─▶ Settled ─ a later message confirmed ─▶ Gone
//!    ▲                    │                              │
//!    └─── nack, a kill ───┘◀───── came again: allowed ───┘
//! ```
//!
//! A message that is Gone never comes again; every other confirmed message that is not Settled at
//! the end must have come.

use super::message::{Id, QUEUES, ROUTES};

/// The events of all cycles.
pub struct Journal {
    /// The current cycle.
    pub cycle: u16,
    seed: u64,
    settled_lasts: bool,
    /// By publisher, then by number.
    published: Vec<Vec<Published>>,
    /// By queue, then by publisher, then by number.
    seen: Vec<Vec<Vec<Seen>>>,
    complaints: Vec<String>,
    deliveries: u64,
    redeliveries: u64,
}

#[derive(Clone, Copy)]
struct Published {
    cycle: u16,
    /// The cycle in which it was confirmed; 0 if it was not.
    confirmed: u16,
}

/// A message in a queue.
#[derive(Clone, Copy, Default)]
struct Seen {
    state: State,
    /// The cycle of the last change.
    cycle: u16,
    delivered: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    Held,
    Settled,
    Gone,
}

/// The messages that one consumer has received: the last number of every publisher.
#[derive(Default)]
pub struct Order([Option<u32>; ROUTES.len()]);

impl Journal {
    pub fn new(seed: u64, settled_lasts: bool) -> Journal {
        let published = ROUTES.iter().map(|_| Vec::new()).collect();
        let seen = QUEUES.iter().map(|_| ROUTES.iter().map(|_| Vec::new()).collect()).collect();
        Journal { cycle: 0, seed, settled_lasts, published, seen, complaints: Vec::new(), deliveries: 0, redeliveries: 0 }
    }

    /// Notes that a publisher is about to publish its next message.
    pub fn publish(&mut self, publisher: usize) -> (Id, Vec<u8>) {
        let id = Id { publisher, number: self.published[publisher].len() as u32 };
        self.published[publisher].push(Published { cycle: self.cycle, confirmed: 0 });
        ROUTES[publisher].queues.iter().for_each(|&queue| self.seen[queue][publisher].push(Seen::default()));
        (id, id.body(self.seed))
    }

    pub fn confirmed(&mut self, id: Id) {
        self.published[id.publisher][id.number as usize].confirmed = self.cycle;
    }

    /// Notes a delivery. Returns `None` if it is not one of the messages.
    pub fn delivered(&mut self, queue: usize, id: &str, body: &[u8], redelivered: bool) -> Option<Id> {
        let known = Id::parse(id).filter(|id| self.seen[queue][id.publisher].len() > id.number as usize);
        let Some(id) = known else {
            self.complain(format!("{}: {id:?} came, which was never published to it", QUEUES[queue]));
            return None;
        };
        if body != id.body(self.seed) {
            self.complain(format!("{}: {id} came with another content, of {} bytes", QUEUES[queue], body.len()));
        }
        let before = *self.seen(queue, id);
        if before.state == State::Gone && self.settled_lasts {
            self.complain(format!("{}: {id} came again, though its settlement was stored in cycle {}", QUEUES[queue], before.cycle));
        }
        if before.delivered && !redelivered {
            self.complain(format!("{}: {id} was delivered before, last in cycle {}, but does not say so", QUEUES[queue], before.cycle));
        }
        self.deliveries += 1;
        self.redeliveries += u64::from(before.delivered);
        *self.seen(queue, id) = Seen { state: State::Held, cycle: self.cycle, delivered: true };
        Some(id)
    }

    /// Complains about a message that the consumer with this order received before or after it
    /// should have, compared with others of its publisher. Of a run of messages that are too late,
    /// only the first one is reported.
    pub fn ordered(&mut self, queue: usize, order: &mut Order, id: Id) {
        let last = order.0[id.publisher].replace(id.number);
        if let Some(last) = last.filter(|&last| last >= id.number) {
            let cycle = |number: u32| self.published[id.publisher][number as usize].cycle;
            let (own, others) = (cycle(id.number), cycle(last));
            self.complain(format!("{}: {id} of cycle {own} came after {}-{last} of cycle {others}", QUEUES[queue], id.publisher));
        }
    }

    pub fn settled(&mut self, queue: usize, id: Id) {
        self.change(queue, id, State::Settled);
    }

    pub fn requeued(&mut self, queue: usize, id: Id) {
        self.change(queue, id, State::Waiting);
    }

    /// Notes that a settlement is stored, because a message that followed it was confirmed.
    pub fn gone(&mut self, queue: usize, id: Id) {
        if self.seen(queue, id).state == State::Settled {
            self.change(queue, id, State::Gone);
        }
    }

    /// Checks the number of messages that are ready right after a start.
    pub fn check_count(&self, queue: usize, found: u32) -> Option<String> {
        let (mut must, mut may) = (0, 0);
        for (published, seen) in self.published.iter().zip(&self.seen[queue]) {
            let unsettled = |(published, seen): &(&Published, &Seen)| published.confirmed > 0 && is_unsettled(seen);
            must += published.iter().zip(seen).filter(unsettled).count();
            may += seen.iter().filter(|seen| seen.state != State::Gone || !self.settled_lasts).count();
        }
        let fits = (must..=may).contains(&(found as usize));
        (!fits).then(|| format!("{} has {found} messages after the start: at least {must} must be there, at most {may} may", QUEUES[queue]))
    }

    /// Complains, after the drain, about confirmed messages that are neither settled nor there.
    pub fn complain_about_lost(&mut self) {
        for (queue, name) in QUEUES.iter().enumerate() {
            let mut lost = Vec::new();
            for (publisher, seen) in self.seen[queue].iter().enumerate() {
                for (number, (published, seen)) in self.published[publisher].iter().zip(seen).enumerate() {
                    if published.confirmed > 0 && is_unsettled(seen) {
                        lost.push(describe(Id { publisher, number: number as u32 }, *published, *seen));
                    }
                }
            }
            if !lost.is_empty() {
                let first = lost[..lost.len().min(SHOWN)].join("\n    ");
                self.complain(format!("{name}: {} confirmed messages are lost:\n    {first}", lost.len()));
            }
        }
    }

    pub fn complain(&mut self, text: String) {
        self.complaints.push(format!("cycle {}: {text}", self.cycle));
    }

    pub fn has_trouble(&self) -> bool {
        !self.complaints.is_empty()
    }

    /// Returns the first complaints, and the number of all.
    pub fn trouble(&self) -> String {
        let more = self.complaints.len().saturating_sub(SHOWN);
        let shown = self.complaints[..self.complaints.len() - more].join("\n");
        if more > 0 { format!("{shown}\nand {more} more") } else { shown }
    }

    pub fn summary(&self) -> String {
        let published: usize = self.published.iter().map(Vec::len).sum();
        let confirmed = self.published.iter().flatten().filter(|published| published.confirmed > 0).count();
        let gone = self.seen.iter().flatten().flatten().filter(|seen| seen.state == State::Gone).count();
        let (deliveries, redeliveries) = (self.deliveries, self.redeliveries);
        format!(
            "{published} published, {confirmed} confirmed, {deliveries} deliveries, {redeliveries} of them again, {gone} settled for good"
        )
    }

    fn change(&mut self, queue: usize, id: Id, state: State) {
        let cycle = self.cycle;
        let seen = self.seen(queue, id);
        (seen.state, seen.cycle) = (state, cycle);
    }

    fn seen(&mut self, queue: usize, id: Id) -> &mut Seen {
        &mut self.seen[queue][id.publisher][id.number as usize]
    }
}

fn is_unsettled(seen: &Seen) -> bool {
    matches!(seen.state, State::Waiting | State::Held)
}

fn describe(id: Id, published: Published, seen: Seen) -> String {
    let history = match (seen.delivered, seen.state) {
        (false, _) => "never delivered".to_owned(),
        (true, State::Held) => format!("left unacknowledged in cycle {}", seen.cycle),
        (true, _) => format!("requeued in cycle {}", seen.cycle),
    };
    format!("{id}, published in cycle {}, confirmed in {}, {history}", published.cycle, published.confirmed)
}

/// The most complaints, and lost messages of a queue, that are shown.
const SHOWN: usize = 10;

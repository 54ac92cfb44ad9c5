//! A second protocol, for tests: some verbs, a line each. It proves that the shard talks to a
//! session through [`contract::session`](crate::contract::session) alone.
//!
//! ```text
//! PUB queue body    publishes to a queue through the default exchange      OK, once it is accepted
//! SUB queue         declares a durable queue and consumes from it          OK
//! ACK tag           acknowledges one delivery                              OK
//! NAME              takes a name to which others may publish replies         OK name
//! BEGIN             from now on, PUB and ACK wait for a COMMIT             OK
//! COMMIT, ABORT     carries them out, or forgets them                      OK, once they are safe
//! MSG tag queue body    a delivery; tag 0: a reply                    ERR text    the verb before has failed
//! ```
//!
//! Every client is `guest` in the virtual host `/`. Publishes are answered in their order and at
//! the end of a turn, so a client that mixes verbs waits for each answer. A connection has one
//! channel ([`CHANNEL`]), and its consumers have [`PREFETCH`] unsettled deliveries each at most. A
//! line feed in a body of another protocol's client is delivered as a space.

mod absent;
mod confirms;
mod delivery;
mod input;

pub use delivery::Delivery;

use std::collections::BTreeMap;

use crate::base::budget::Budgets;
use crate::base::ids::{ConnAddr, ConsumerId, QueueAddr};
use crate::base::limits::SETTLE_SHARE;
use crate::base::outgoing::Outgoing;
use crate::contract::session::{Assembled, ChannelQuotas, Deliveries, Ended, Rest, Room, Settled, Taker};
use crate::contract::{Fault, Grant, Notice, Outcome, Receipt, Receipts, Tags, VhostId, Window};
use confirms::Confirms;

/// One connection.
#[derive(Debug)]
pub struct Session {
    addr: ConnAddr,
    budgets: Budgets,
    stage: Stage,
    vhost: VhostId,
    /// Whether a transaction has begun.
    is_transactional: bool,
    /// The message of the last `PUB`.
    assembled: Assembled,
    confirms: Confirms,
    /// By index; no index is used twice.
    consumers: BTreeMap<u32, Consumer>,
    next_index: u32,
    /// By delivery tag.
    unacked: BTreeMap<u64, Receipt>,
    last_tag: u64,
    output: Outgoing,
}

/// The stage of a connection's life.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// The user is to be logged in.
    Arrived,
    /// The virtual host is to be opened.
    LoggedIn,
    /// Lines are carried out.
    Running,
    /// This queue of a `SUB` is declared, and to be consumed from.
    Subscribing(Box<str>),
    /// Everything is said.
    Finished,
}

/// One consumer.
#[derive(Debug)]
struct Consumer {
    /// Its queue and its id there; `None` while it is being set up, and if it consumes replies.
    place: Option<(QueueAddr, ConsumerId)>,
    consumes_replies: bool,
    window: Window,
}

/// Deliveries that a connection leaves behind.
#[derive(Debug)]
struct Remaining(std::collections::btree_map::IntoValues<u64, Receipt>);

impl Deliveries for Remaining {
    fn take(&mut self, out: &mut Receipts) -> bool {
        self.0.by_ref().take(SETTLE_SHARE).for_each(|receipt| out.push(receipt));
        self.0.len() > 0
    }
}

impl Session {
    /// Makes the session of a connection just accepted; `budgets` are those of its shard.
    pub fn new(budgets: Budgets, addr: ConnAddr) -> Session {
        Session {
            addr,
            budgets,
            stage: Stage::Arrived,
            vhost: VhostId::default(),
            is_transactional: false,
            assembled: Assembled::default(),
            confirms: Confirms::default(),
            consumers: BTreeMap::new(),
            next_index: 0,
            unacked: BTreeMap::new(),
            last_tag: 0,
            output: Outgoing::default(),
        }
    }

    pub fn is_stalled(&self) -> bool {
        self.output.len() >= self.budgets.output.share()
    }

    pub fn addr(&self) -> ConnAddr {
        self.addr
    }

    pub fn vhost(&self) -> VhostId {
        self.vhost
    }

    pub fn vhost_name(&self) -> &str {
        VHOST
    }

    pub fn has_consumers(&self) -> bool {
        !self.consumers.is_empty()
    }

    pub fn consumer(&self, _: u16, index: u32) -> Option<(QueueAddr, ConsumerId)> {
        self.consumers.get(&index)?.place
    }

    pub fn logged_in(&mut self, accepted: bool) {
        match accepted {
            true => self.stage = Stage::LoggedIn,
            false => self.force_close("the login is refused"),
        }
    }

    pub fn opened(&mut self, opened: Result<(VhostId, ChannelQuotas), Fault>) {
        match opened {
            Ok((vhost, _)) => (self.vhost, self.stage) = (vhost, Stage::Running),
            Err(fault) => self.force_close(&fault.reply_text()),
        }
    }

    /// Takes the answer to one of the two requests of a `SUB`, to a `NAME` or to a `COMMIT`.
    pub fn answer(&mut self, notice: Notice) {
        match notice {
            Notice::QueueDeclared { name, .. } => self.stage = Stage::Subscribing(name),
            Notice::Consuming { queue, consumer, .. } => {
                self.added().place = Some((queue, consumer));
                self.say("OK");
            }
            Notice::Replying(name) => {
                self.added().consumes_replies = true;
                self.say(&format!("OK {}", name.encode()));
            }
            Notice::Done => self.say("OK"),
            Notice::Failed(fault) => {
                self.consumers.retain(|_, consumer| consumer.place.is_some() || consumer.consumes_replies);
                self.refuse(&fault.reply_text());
            }
            other => panic!("{other:?} answers no request of ours"),
        }
    }

    /// The consumer that is being set up.
    fn added(&mut self) -> &mut Consumer {
        let (_, added) = self.consumers.iter_mut().next_back().expect("a consumer stays until it is answered");
        added
    }

    /// Takes the deliveries of an `ACK` out.
    pub fn settle(&mut self, _: u16, tags: Tags, _: Outcome, out: &mut impl Taker) -> Option<Rest> {
        let Tags::Each { first: tag, .. } = tags else { panic!("an ACK has one tag") };
        match self.unacked.remove(&tag) {
            Some(Receipt { queue, consumer, entry }) => {
                out.take(tag, queue, consumer, std::iter::once(entry));
                self.say("OK");
            }
            None => self.refuse("unknown tag"),
        }
        None
    }

    /// Takes back what an `ABORT` makes unacknowledged again.
    pub fn begin_rollback(&mut self, _: u16, settles: Vec<Settled>) {
        self.unacked.extend(settles.into_iter().map(|settled| (settled.tag, settled.receipt)));
    }

    pub fn roll_back(&mut self) -> bool {
        self.say("OK");
        false
    }

    pub fn can_take(&self, _: u16, index: u32) -> Room {
        match self.consumers.get(&index) {
            None => Room::Gone,
            Some(_) if self.is_stalled() => Room::OutputFull,
            Some(_) => Room::Yes,
        }
    }

    pub fn grant(&mut self, _: u16, index: u32) -> (Grant, bool) {
        let has_room = !self.is_stalled();
        self.consumers.get_mut(&index).map_or_else(Default::default, |consumer| consumer.window.grant(has_room, 0))
    }

    pub fn on_arrived(&mut self, _: u16, index: u32, messages: u32, bytes: usize) -> bool {
        self.consumers.get_mut(&index).is_some_and(|consumer| {
            consumer.window.on_arrived(messages, bytes);
            consumer.window.is_due()
        })
    }

    pub fn consumer_gone(&mut self, _: u16, index: u32) {
        if self.consumers.remove(&index).is_some() {
            self.refuse("a queue is gone");
        }
    }

    pub fn output_mut(&mut self) -> &mut Outgoing {
        &mut self.output
    }

    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    pub fn take_output(&mut self) -> Outgoing {
        std::mem::take(&mut self.output)
    }

    pub fn shut_down(&mut self) {
        self.force_close("the broker stops");
    }

    pub fn force_close(&mut self, why: &str) {
        self.refuse(why);
        self.stage = Stage::Finished;
    }

    pub fn end(&mut self) -> Ended {
        let mut ended = Ended::default();
        ended.consumers.extend(std::mem::take(&mut self.consumers).into_values().filter_map(|consumer| consumer.place));
        let unacked = std::mem::take(&mut self.unacked);
        if !unacked.is_empty() {
            ended.unsettled.add(Remaining(unacked.into_values()));
        }
        ended
    }

    fn say(&mut self, line: &str) {
        self.output.bytes_mut().extend_from_slice(line.as_bytes());
        self.output.bytes_mut().push(b'\n');
    }

    fn refuse(&mut self, why: &str) {
        self.say(&format!("ERR {why}"));
    }
}

/// The number of the only channel.
const CHANNEL: u16 = 1;
/// Most unsettled deliveries of a consumer.
const PREFETCH: u32 = 100;
/// The virtual host of all clients.
const VHOST: &str = "/";

//! What a session tells the shard, and the values that go with it.

use std::collections::VecDeque;
use std::vec;

use smallvec::SmallVec;

use super::deadlines::Late;
use super::transaction::Transaction;
use super::unacked::Unacked;
use crate::base::ids::{ConsumerId, QueueAddr};
use crate::base::limits::{PUBLISH_RUN_MAX, SETTLE_SHARE};
use crate::contract::{Fault, Outcome, Receipt, Receipts, Request, Tags};
use crate::message::{Content, Route};

/// What the input, or something that happened to the session, asks of the shard. See [`super::Session::poll`].
#[derive(Debug)]
pub enum Event<'a> {
    /// Nothing more can be done with the input: the session wants at least [`super::Session::needed`] bytes from where it stopped.
    Starved,
    /// The client wants to log in. Parked until [`super::Session::logged_in`].
    Login(Login),
    /// The client wants this virtual host. Parked until [`super::Session::opened`].
    OpenVhost(Box<str>),
    /// One message or several in a row to the same place, complete in the input; poll's argument holds their contents.
    Publish(Publish<'a>),
    /// A message, complete in the session: [`super::Session::take_assembled`].
    Assembled {
        /// Its channel.
        channel: u16,
    },
    /// A message on a transactional channel, kept there for the commit: [`super::Session::staged`]. RabbitMQ checks it and routes it now (exchange,
    /// permissions, properties), so a fault belongs here and not to the commit.
    Staged {
        /// Its channel.
        channel: u16,
    },
    /// Deliveries are settled: [`super::Session::settle`] tells which.
    Settle {
        /// The channel.
        channel: u16,
        /// The delivery tags.
        tags: Tags,
        /// What becomes of them.
        outcome: Outcome,
    },
    /// basic.recover: all that the channel had not settled goes back to its queues
    /// ([`super::Session::recovery`]).
    Recover {
        /// The channel.
        channel: u16,
    },
    /// Something for the broker. Parked until [`super::Session::answer`] (or, for basic.get, [`super::Session::deliver_get`]).
    Request {
        /// The channel that asks.
        channel: u16,
        /// What it asks.
        request: Request,
    },
    /// tx.commit: [`super::Session::take_transaction`]. Parked until [`super::Session::answer`] with `Done` (or `Failed`).
    Commit {
        /// The channel.
        channel: u16,
    },
    /// tx.rollback: [`super::Session::begin_rollback`].
    Rollback {
        /// The channel.
        channel: u16,
    },
    /// A channel is over: [`super::Session::end_channel`], then, when all that is cleaned up, [`super::Session::release_channel`], before
    /// the next poll.
    ChannelEnded {
        /// The channel.
        channel: u16,
    },
    /// A channel that was full ([`Room::ChannelFull`]) has room again: its consumers ([`super::Session::consumers`]) may be served.
    Relieved {
        /// The channel.
        channel: u16,
    },
    /// A channel counts the unsettled deliveries of all its consumers together from now on: queues on other shards must ask before they send to those
    /// that acknowledge ([`super::Session::acking_consumers`]).
    Metered {
        /// The channel.
        channel: u16,
    },
    /// A consumer, or a channel, has kept a delivery for too long: [`super::Session::give_up`]. It is rare, and must not make every event larger.
    Late(Box<Late>),
    /// The client publishes while an alarm is on: its socket is not to be read, nor the session polled, until [`super::Session::on_alarms`] says so.
    Blocked,
    /// The connection is over: [`super::Session::end`], then, when all that is cleaned up, [`super::Session::released`]; parked until
    /// then. The reason is `None` if the client closed it.
    Closing(Option<Fault>),
    /// The peer does not speak our protocol; what it speaks instead, for the log. [`Event::Finished`] follows.
    NoAmqp(Box<str>),
    /// Nothing more is wanted from the peer: send the output, then close the socket. [`super::Session::end`] tells what is left.
    Finished,
}

/// Who a client says it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The SASL mechanism.
    pub mechanism: &'static str,
    /// The user's name; any bytes.
    pub user: Box<[u8]>,
    /// The password; any bytes.
    pub password: Box<[u8]>,
}

/// Messages that a client publishes one after the other to the same place.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// Their channel.
    pub channel: u16,
    /// Return those ([`super::Session::return_message`]) that find no queue.
    pub mandatory: bool,
    /// The first one's sequence number, if the channel confirms.
    pub confirm: Option<u64>,
    /// Exchange and routing key; any bytes.
    pub route: Route<'a>,
}

/// The contents of the messages of one [`Publish`]. Properties are checked.
pub type Contents<'a> = SmallVec<[Content<'a>; PUBLISH_RUN_MAX]>;

/// Whether a consumer can take a message now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// It can.
    Yes,
    /// Its channel has as many unsettled deliveries as it may have: [`Event::Relieved`] follows.
    ChannelFull,
    /// Too much output waits for the socket.
    OutputFull,
    /// There is no such consumer (any more).
    Gone,
}

/// What a channel, or all channels of a connection, leave behind.
#[derive(Debug, Default)]
pub struct Ended {
    /// Consumers to be taken from their queues.
    pub consumers: Vec<(QueueAddr, ConsumerId)>,
    /// Deliveries to be requeued.
    pub unsettled: Unsettled,
}

/// Deliveries of channels that have ended, or of a consumer that was late, to be taken some at a time.
#[derive(Debug, Default)]
pub struct Unsettled {
    /// Of each channel: what it had not settled, and what its transaction had.
    channels: VecDeque<(Unacked, Settles)>,
}

/// What a transaction had settled.
type Settles = vec::IntoIter<(u64, Receipt, Outcome)>;

/// A settlement that is carried out only in part.
#[derive(Debug)]
pub struct Rest {
    /// Its channel.
    pub channel: u16,
    /// The last tag that it concerns.
    pub up_to: u64,
    /// What becomes of the deliveries.
    pub outcome: Outcome,
    /// It is a basic.recover: a transaction does not hold it back.
    pub is_recovery: bool,
}

impl Unsettled {
    /// Deliveries of one channel, outside of a transaction.
    pub(super) fn of(unacked: Unacked) -> Unsettled {
        let mut unsettled = Unsettled::default();
        unsettled.add(unacked, Transaction::default());
        unsettled
    }

    /// Adds what a channel leaves behind.
    pub(super) fn add(&mut self, unacked: Unacked, transaction: Transaction) {
        if !unacked.is_empty() || !transaction.settles.is_empty() {
            self.channels.push_back((unacked, transaction.settles.into_iter()));
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Takes some more, in the order of channels and tags.
    pub fn take(&mut self, out: &mut Receipts) {
        let Some((unacked, settles)) = self.channels.front_mut() else { return };
        if !unacked.settle_rest(u64::MAX, out) {
            settles.by_ref().take(SETTLE_SHARE).for_each(|(_, receipt, _)| out.push(receipt));
            if settles.len() == 0 {
                self.channels.pop_front();
            }
        }
    }
}

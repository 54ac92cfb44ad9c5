//! What a protocol's session tells the shard while it reads a client's bytes, and what it is told.
//!
//! ```text
//! socket ─ bytes ─▶ session.poll ─ Event ─▶ shard  publishes, settlements, requests, login, end
//! socket ◀─ output ◀─ session ◀─ answers, deliveries, returned messages, confirms ◀─ shard
//! ```
//!
//! These types belong to no protocol. A *channel* is a stream of requests inside a connection that
//! can end by itself; a protocol without channels has one.

mod assembled;
mod figures;
mod loan;
mod settled;

pub use assembled::{Assembled, Payload};
pub use figures::{ChannelState, ConsumerState, ConsumerTerms, SessionFigures};
pub use loan::BodyLoan;
pub use settled::{Settled, Settling, Taker};

use std::collections::VecDeque;
use std::fmt::Debug;

use smallvec::SmallVec;

use super::{Fault, Origin, Outcome, Receipts, Request, Tags};
use crate::base::ids::{ConsumerId, QueueAddr};
use crate::base::limits::PUBLISH_RUN_MAX;
use crate::base::quota::Quota;
use crate::message::{Content, Route};

/// A demand of a session's input, or of a change of the session, on the shard.
#[derive(Debug)]
pub enum Event<'a> {
    /// Nothing more can be done with the input: the session wants at least `needed` bytes from
    /// where it stopped.
    Starved,
    /// The client wants to log in: `logged_in`, before the next poll.
    Login(Login),
    /// The client wants to open this virtual host: `opened`, before the next poll.
    OpenVhost(Box<str>),
    /// One message, or several in a row to the same place, complete in the input; poll's argument
    /// holds their contents.
    Publish(Publish<'a>),
    /// A message, complete in the session, which `take_assembled` takes out.
    Assembled {
        /// Its channel.
        channel: u16,
    },
    /// A message like that of `Assembled`, which the shard keeps until `Commit`. RabbitMQ checks and
    /// routes it now (exchange, permissions, properties), so its faults come now and not with the
    /// commit.
    PublishAtCommit {
        /// Its channel.
        channel: u16,
    },
    /// Deliveries are settled: `settle` takes them out.
    Settle {
        /// The channel.
        channel: u16,
        /// The delivery tags.
        tags: Tags,
        /// The fate of the deliveries.
        outcome: Outcome,
    },
    /// Deliveries are settled at the next commit: `settle` takes them out, and the shard keeps them
    /// until `Commit`.
    SettleAtCommit {
        /// The channel.
        channel: u16,
        /// The delivery tags.
        tags: Tags,
        /// The fate of the deliveries.
        outcome: Outcome,
    },
    /// All unsettled deliveries of the channel go back to their queues: `recovery`.
    Recover {
        /// The channel.
        channel: u16,
    },
    /// A request to the broker. The connection is parked until `answer` (or `deliver_get`, if a
    /// message was fetched).
    Request {
        /// The channel that asks.
        channel: u16,
        /// The request.
        request: Request,
    },
    /// What the shard keeps for the channel's commit takes effect: `committed`. The connection is
    /// parked until `answer` with `Done` or `Failed`.
    Commit {
        /// The channel.
        channel: u16,
    },
    /// The shard forgets what it keeps for the channel's commit: `begin_rollback`.
    Rollback {
        /// The channel.
        channel: u16,
    },
    /// A channel is over: `end_channel`, then, when everything is cleaned up, `release_channel`,
    /// before the next poll.
    ChannelEnded {
        /// The channel.
        channel: u16,
    },
    /// A channel that was full ([`Room::ChannelFull`]) has room again: its consumers may be served.
    Relieved {
        /// The channel.
        channel: u16,
    },
    /// From now on a channel counts the unsettled deliveries of all its consumers together: queues
    /// on other shards must ask before they send to those that acknowledge (`acking_consumers`).
    Metered {
        /// The channel.
        channel: u16,
    },
    /// A consumer, or a channel, has kept a delivery for too long: `give_up`. The box keeps this
    /// rare event from making all of them larger.
    Late(Box<Late>),
    /// The client publishes while an alarm is on: its socket is not to be read, nor the session
    /// polled, until `on_alarms` says so.
    Blocked,
    /// The connection is over: `end`, then, when everything is cleaned up, `released`, before the
    /// next poll. The reason is `None` if the client closed it.
    Closing(Option<Fault>),
    /// The peer does not speak the protocol; the protocol that it speaks, for the log.
    /// [`Event::Finished`] follows.
    WrongProtocol(Box<str>),
    /// Nothing more is wanted from the peer: send the output, then close the socket. `end` returns
    /// the rest.
    Finished,
}

/// The credentials of a client.
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
    /// Whether to return those that find no queue (`return_message`).
    pub mandatory: bool,
    /// The first one's sequence number, if the channel confirms.
    pub confirm: Option<u64>,
    /// Exchange and routing key; any bytes.
    pub route: Route<'a>,
}

/// The contents of the messages of one [`Publish`]. Their properties are checked.
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
    /// There is no such consumer, or no longer.
    Gone,
}

/// Limits of the number of channels.
#[derive(Clone, Debug, Default)]
pub struct ChannelQuotas {
    /// The user's limit.
    pub of_user: Quota,
    /// The broker's limit.
    pub in_broker: Quota,
}

/// A settlement that is carried out only in part.
#[derive(Debug)]
pub struct Rest {
    /// Its channel.
    pub channel: u16,
    /// The last tag that it covers.
    pub up_to: u64,
    /// The fate of the deliveries.
    pub outcome: Outcome,
}

/// A consumer, or a channel, that has kept a delivery for too long.
#[derive(Debug)]
pub struct Late {
    /// The channel.
    pub channel: u16,
    /// The queue and the consumer of the delivery.
    pub origin: Origin,
    /// The consumer's index in its channel; none: the channel itself is late.
    pub index: Option<u32>,
    /// The limit that it has exceeded, milliseconds.
    pub timeout_ms: u64,
}

/// The consequences of giving up a consumer that was [`Late`].
#[derive(Debug)]
pub struct GivenUp {
    /// Its unsettled deliveries, to be requeued.
    pub unsettled: Unsettled,
    /// The consumer, if it is cancelled and its queue does not know yet.
    pub cancelled: Option<ConsumerId>,
}

/// Consumers and messages that a channel, or all channels of a connection, leave behind.
#[derive(Debug, Default)]
pub struct Ended {
    /// Consumers to be removed from their queues.
    pub consumers: Vec<(QueueAddr, ConsumerId)>,
    /// Deliveries to be requeued.
    pub unsettled: Unsettled,
}

/// Deliveries that clients will not settle any more, to be taken out some at a time.
#[derive(Debug, Default)]
pub struct Unsettled(VecDeque<Box<dyn Deliveries>>);

/// Deliveries of one channel, in the order of their tags.
pub trait Deliveries: Debug + Send {
    /// Moves some of them to `out`, a share of a turn. Returns whether some are left.
    fn take(&mut self, out: &mut Receipts) -> bool;
}

impl Unsettled {
    /// Adds the deliveries of a channel.
    pub fn add(&mut self, deliveries: impl Deliveries + 'static) {
        self.0.push_back(Box::new(deliveries));
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves some more of them to `out`, in the order of channels and tags.
    pub fn take(&mut self, out: &mut Receipts) {
        if self.0.front_mut().is_some_and(|deliveries| !deliveries.take(out)) {
            self.0.pop_front();
        }
    }
}

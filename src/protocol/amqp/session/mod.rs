//! One AMQP 0-9-1 connection: negotiation, channels, windows, output. A pure machine.
//!
//! ```text
//! socket ─ bytes ─▶ poll ─┬─ what the session can do itself: negotiation, heartbeats, channels, qos, confirm.select, tx …
//!                         └─ Event ─▶ shard ─▶ broker
//! socket ◀─ output ◀─ answer, deliver, return_message, flush_confirms, fault, on_timer …
//! ```
//!
//! **The shard's side of the bargain.** [`Session::poll`] is called until it is starved, and again after anything that can give it
//! something to tell: new input, an answer, a fault, a settle, a tick. A *parked* session (its last event was a request that is not
//! answered yet) is not polled, nor is a *blocked* one (it publishes while an alarm is on); its input waits. Whatever ends a channel or
//! the connection, and whoever noticed it, the shard learns of it in one way: the next poll says `ChannelEnded`, `Closing` or `Finished`.
//!
//! **Output** is written in the order of the calls and is empty again when the shard has taken it ([`Session::take_output`]).

mod answers;
mod assembly;
mod channel;
mod closing;
mod confirms;
mod consumers;
mod credit;
mod deadlines;
mod delivery;
mod ended;
mod input;
mod keepalive;
mod loan;
mod methods;
mod negotiation;
mod output;
mod requests;
mod rollback;
mod sasl;
mod taker;
mod throttle;
mod transaction;
mod unacked;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

pub use delivery::Delivery;

use crate::base::budget::Budgets;
use crate::base::ids::{ConnAddr, ConsumerId, QueueAddr};
use crate::base::outgoing::Outgoing;
use crate::base::rng::Rng;
use crate::config::Config;
use crate::contract::session::{Assembled, ChannelQuotas, Contents, Event, Late, Publish, Rest, Room, Uncommitted};
use crate::contract::{Fault, VhostId};
use answers::Parked;
use assembly::Spare;
use channel::{Channel, Channels, Life, Mode, Replies};
use deadlines::Deadline;
use input::BodyFrame;
use keepalive::Keepalive;
use negotiation::Client;
use rollback::Rollback;
use throttle::Throttle;

/// Class and method number of a method.
type MethodIds = (u16, u16);

/// One connection.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    addr: ConnAddr,
    stage: Stage,
    client: Client,
    vhost: VhostId,
    vhost_name: Box<str>,
    channels: Channels,
    channel_quotas: ChannelQuotas,
    /// The method that is being carried out: a close frame names it.
    method: MethodIds,
    /// What must be answered before the next poll.
    parked: Option<Parked>,
    /// What the next polls will say first.
    announcements: VecDeque<Announcement>,
    /// The body frame of which a part has arrived.
    body_frame: Option<BodyFrame>,
    assembled: Option<Assembled>,
    rollback: Option<Rollback>,
    spare: Spare,
    output: Outgoing,
    budgets: Budgets,
    keepalive: Keepalive,
    throttle: Throttle,
    rng: Rng,
    consumer_generation: u16,
    /// Channels whose publisher has something to be told.
    unflushed: Vec<u16>,
    /// Consumers that may not keep what they got, and when to look at them next.
    deadlines: Vec<Deadline>,
    deadlines_due: Option<u64>,
}

/// How far a connection's life has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The protocol header is awaited.
    Greeting,
    /// connection.start was sent.
    Starting,
    /// connection.tune was sent.
    Tuning,
    /// connection.tune-ok was received.
    Opening,
    /// connection.open-ok was sent.
    Running,
    /// It is decided how the connection ends; the shard is cleaning up.
    Ending(Farewell),
    /// connection.close was sent, close-ok is awaited.
    Closing,
    /// close-ok was sent; the client closes the socket.
    Closed,
    /// The peer cannot be talked to; it gets some time to read what was sent to it.
    Muted,
    /// All is said.
    Finished,
}

/// What follows [`Stage::Ending`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Farewell {
    /// The client asked for it: close-ok.
    CloseOk,
    /// connection.close is on its way: wait for close-ok.
    Await,
    /// Nothing that the client may say matters: wait a little.
    Mute,
}

/// What poll has to say before it looks at the input.
#[derive(Debug)]
enum Announcement {
    ChannelEnded(u16),
    Relieved(u16),
    Metered(u16),
    Late(Box<Late>),
    Blocked,
    Closing(Option<Fault>),
}

impl Session {
    /// A connection just accepted, `now` in milliseconds since start. `seed` makes the names that it gives.
    /// `budgets` are those of its shard.
    pub fn new(config: Arc<Config>, budgets: Budgets, addr: ConnAddr, seed: u64, now: u64) -> Session {
        Session {
            keepalive: Keepalive::new(now, config.handshake_ms),
            config,
            addr,
            stage: Stage::Greeting,
            client: Client::default(),
            vhost: VhostId::default(),
            vhost_name: Box::default(),
            channels: Channels::default(),
            channel_quotas: ChannelQuotas::default(),
            method: (0, 0),
            parked: None,
            announcements: VecDeque::new(),
            body_frame: None,
            assembled: None,
            rollback: None,
            spare: Spare::default(),
            output: Outgoing::default(),
            budgets,
            throttle: Throttle::default(),
            rng: Rng::seeded(seed),
            consumer_generation: 0,
            unflushed: Vec::new(),
            deadlines: Vec::new(),
            deadlines_due: None,
        }
    }

    /// Where the connection is.
    pub fn addr(&self) -> ConnAddr {
        self.addr
    }

    /// The virtual host, once it is open.
    pub fn vhost(&self) -> VhostId {
        self.vhost
    }

    /// The virtual host's name, once it is asked for.
    pub fn vhost_name(&self) -> &str {
        &self.vhost_name
    }

    /// The user's name, once it has said it.
    pub fn user(&self) -> &[u8] {
        &self.client.user
    }

    /// `connection_name` of the client-properties, or nothing: for logs.
    pub fn client_name(&self) -> &[u8] {
        &self.client.name
    }

    /// Whether connection.open-ok was sent and the connection is not closing.
    pub fn is_running(&self) -> bool {
        self.stage == Stage::Running
    }

    /// Something has come from the client, though the session is not polled for it.
    pub fn heard(&mut self) {
        self.keepalive.received = true;
    }

    /// Whether something must be answered before the next poll.
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Whether the client asks for more and more and does not read what it gets, so that more output waits for it than one connection may have
    /// now. Then the session should not be polled, and nothing be
    /// read from its socket, until the output was taken.
    pub fn is_stalled(&self) -> bool {
        self.output.len() >= self.budgets.output.share()
    }

    /// What waits for the socket.
    pub fn output_mut(&mut self) -> &mut Outgoing {
        &mut self.output
    }

    /// Bytes that wait for the socket.
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Whether one of its channels has a consumer.
    pub fn has_consumers(&self) -> bool {
        self.channels.any(|channel| channel.consumers.len() > 0)
    }

    /// Takes what waits for the socket, to be sent.
    pub fn take_output(&mut self) -> Outgoing {
        self.keepalive.look_at_output(self.output.len());
        self.keepalive.output_taken();
        std::mem::take(&mut self.output)
    }

    /// Where a consumer of an open channel consumes.
    pub fn consumer(&self, channel: u16, index: u32) -> Option<(QueueAddr, ConsumerId)> {
        self.channels.find(channel)?.consumers.find(index)?.place
    }

    /// The queues and ids of a channel's consumers that acknowledge.
    pub fn acking_consumers(&self, channel: u16) -> impl Iterator<Item = (QueueAddr, ConsumerId)> + '_ {
        self.channels.find(channel).into_iter().flat_map(|channel| channel.consumers.acking_places())
    }

    /// The channel, if it and the connection are open.
    #[inline]
    fn open_channel(&mut self, number: u16) -> Option<&mut Channel> {
        if self.stage != Stage::Running {
            return None;
        }
        self.channels.find_mut(number).filter(|channel| channel.life == Life::Open)
    }
}

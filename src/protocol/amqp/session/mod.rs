//! The session of one AMQP 0-9-1 connection: negotiation, channels, windows, output. It does no I/O
//! and reads no clock.
//!
//! ```text
//! socket ─ bytes ─▶ poll ─┬─ done by the session itself: negotiation, heartbeats, channels, qos, …
//!                         └─ Event ─▶ shard ─▶ broker
//! socket ◀─ output ◀─ answer, deliver, return_message, flush_confirms, fault, on_timer …
//! ```
//!
//! **The contract with the shard.** The shard calls [`Session::poll`] until it is starved, and
//! again after anything that may cause events: new input, an answer, a fault, a settlement, a tick.
//! It must not poll a session whose last event is not answered yet, nor a *blocked* one (it publishes
//! while an alarm is on); the input waits. Whatever ends a channel or the connection, the shard is
//! told in one way: the next poll returns `ChannelEnded`, `Closing` or `Finished`.
//!
//! **Output** is written in the order of the calls, and is empty again when the shard has taken it
//! ([`Session::take_output`]).

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
mod figures;
mod input;
mod keepalive;
mod loan;
mod methods;
mod negotiation;
mod output;
mod requests;
mod rollback;
mod sasl;
mod throttle;
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
use crate::contract::session::{Assembled, ChannelQuotas, Contents, Event, Late, Publish, Rest, Room};
use crate::contract::{Fault, VhostId};
use answers::Pending;
use assembly::Spare;
use channel::{Channel, Channels, Life, Mode};
use deadlines::Deadline;
use input::BodyFrame;
use keepalive::Keepalive;
use negotiation::Client;
use rollback::Rollback;
use throttle::Throttle;

/// Class and method number of a method.
type MethodIds = (u16, u16);

/// The session of one connection.
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
    /// The method that is being carried out, which a close frame names.
    method: MethodIds,
    /// The request that is under way, if any.
    pending: Option<Pending>,
    /// Events that the next polls return first.
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
    /// Channels whose publisher must be told of confirms at the end of the turn.
    unflushed: Vec<u16>,
    /// The timeouts of consumers.
    deadlines: Vec<Deadline>,
    /// When to look at the timeouts next.
    deadlines_due: Option<u64>,
}

/// The stage of a connection's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Waits for the protocol header.
    Greeting,
    /// connection.start was sent.
    Starting,
    /// connection.tune was sent.
    Tuning,
    /// connection.tune-ok was received.
    Opening,
    /// connection.open-ok was sent.
    Running,
    /// The reply to the end is decided; the shard is cleaning up.
    Ending(Farewell),
    /// connection.close was sent; waits for close-ok.
    Closing,
    /// close-ok was sent; the client closes the socket.
    Closed,
    /// The peer does not speak the protocol, or its login failed; it gets some time to read the
    /// output.
    Muted,
    /// All output is written.
    Finished,
}

/// The stage that follows [`Stage::Ending`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Farewell {
    /// The client asked for the close: close-ok.
    CloseOk,
    /// connection.close is written: wait for close-ok.
    Await,
    /// The client's input is ignored: wait a little.
    Mute,
}

/// An event that poll returns before it looks at the input.
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
    /// Makes the session of a connection just accepted; `now` is in milliseconds since the start.
    /// `seed` makes the names that it generates; `budgets` are those of its shard.
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
            pending: None,
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

    /// The connection's address in the broker.
    pub fn addr(&self) -> ConnAddr {
        self.addr
    }

    /// The virtual host, once it is open.
    pub fn vhost(&self) -> VhostId {
        self.vhost
    }

    /// The virtual host's name, once the client has asked for it.
    pub fn vhost_name(&self) -> &str {
        &self.vhost_name
    }

    /// The user's name, once the client has given it.
    pub fn user(&self) -> &[u8] {
        &self.client.user
    }

    /// `connection_name` of the client-properties, for logs; empty if there is none.
    pub fn client_name(&self) -> &[u8] {
        &self.client.name
    }

    /// Whether connection.open-ok was sent and the connection is not closing.
    pub fn is_running(&self) -> bool {
        self.stage == Stage::Running
    }

    /// Notes that bytes have come from the client while the session is not polled.
    pub fn heard(&mut self) {
        self.keepalive.received = true;
    }

    /// Whether more output waits for the client than one connection may have now, because the
    /// client asks for output and does not read it. Then the session should not be polled, nor its
    /// socket read, until the output was taken.
    pub fn is_stalled(&self) -> bool {
        self.output.len() >= self.budgets.output.share()
    }

    /// The output that waits for the socket.
    pub fn output_mut(&mut self) -> &mut Outgoing {
        &mut self.output
    }

    /// Size of the output that waits for the socket, bytes.
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Whether any of its channels has a consumer.
    pub fn has_consumers(&self) -> bool {
        self.channels.any(|channel| channel.consumers.len() > 0)
    }

    /// Takes the waiting output, to be sent.
    pub fn take_output(&mut self) -> Outgoing {
        self.keepalive.look_at_output(self.output.len());
        self.keepalive.output_taken();
        std::mem::take(&mut self.output)
    }

    /// Returns the queue and id of a consumer of an open channel.
    pub fn consumer(&self, channel: u16, index: u32) -> Option<(QueueAddr, ConsumerId)> {
        self.channels.find(channel)?.consumers.find(index)?.place
    }

    /// Returns the queues and ids of a channel's consumers that acknowledge.
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

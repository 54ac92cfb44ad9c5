//! A connection as its shard keeps it: the session machine, input that waits, output that is under
//! way.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::budget::{Budgets, Held};
use crate::base::ids::{ConnAddr, ConsumerId, QueueAddr, TimerId};
use crate::broker::access::{Stay, User};
use crate::broker::catalog::Asker;
use crate::broker::routing::known_routes::Publisher;
use crate::config::{Config, Protocol};
use crate::contract::Request;
use crate::contract::session::Room;
use crate::shard::conns::channels::Channels;
use crate::shard::conns::lifecycle::Last;
use crate::shard::conns::parking::{OwnReason, Reason, Reasons};
use crate::shard::publish::commit::Committing;
use crate::shard::publish::last_routes::LastRoutes;
use crate::shard::publish::spread::Spread;
use crate::shard::session::Session;
use crate::shard::tally::Traffic;

/// One connection.
pub struct Conn {
    /// The protocol.
    pub session: Session,
    /// The broker's part of its channels.
    pub channels: Channels,
    /// The routes of its last messages.
    pub last_routes: LastRoutes,
    /// The user who has logged in, if any.
    pub user: Option<User>,
    /// Its place in its virtual host, while it has one open.
    pub stay: Option<Stay>,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The local address.
    pub local: SocketAddr,
    /// When it was accepted, milliseconds of the shard's time.
    pub accepted_at: u64,
    /// Whether its virtual host is traced.
    pub is_traced: bool,
    /// Bytes received and sent.
    pub traffic: Traffic,
    /// Bytes that are not parsed yet: the beginning of a frame, or all that came while parked.
    pub input: Vec<u8>,
    /// The answer at the end of the connection or of a channel, and how many other shards must
    /// first have read all mail about that end.
    pub last_word: Option<(usize, Last)>,
    /// The reasons for which its input waits.
    pub(super) reasons: Reasons,
    /// Messages that it has published to more queues than a share could serve.
    pub spread: Option<Box<Spread>>,
    /// The request for which a queue was asked. It is run again if the queue is gone.
    pub asked: Option<Request>,
    /// Whether its socket is not read for a while, because it floods a queue whose consumers have
    /// no room (see [`flow`](crate::shard::publish::flow)). Input that has arrived is carried out.
    pub is_held: bool,
    /// Whether `input` is being parsed further up the call stack.
    pub feeding: bool,
    /// Whether the driver was asked not to read the socket.
    pub paused: bool,
    /// Whether a send is under way.
    pub sending: bool,
    /// Bytes of the send under way.
    pub in_flight: usize,
    /// Output under way and waiting, as a part of the budget for all output.
    pub output: Held,
    /// Whether its output has ended: the rest is sent, then the socket is closed.
    pub ending: bool,
    /// Whether its peer went while it was busy or waited for its turn: it ends when all that had
    /// arrived is carried out.
    pub is_lost: bool,
    /// The tx.commit that is under way.
    pub commit: Option<Committing>,
    /// Messages that shard 0 routes and whose queues do not have them yet.
    pub relayed: usize,
    /// The request that waits for these messages.
    pub delayed: Option<(u16, Request)>,
    /// Consumers that found no room in the connection or in their channel.
    pub waiting: Vec<WaitingConsumer>,
    /// The session's timer.
    pub timer: Option<TimerId>,
}

/// A consumer that its queue serves again once there is room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitingConsumer {
    /// The consumer's channel.
    pub channel: u16,
    /// The consumer's index in its channel.
    pub index: u32,
    /// The consumer's queue.
    pub queue: QueueAddr,
    /// The consumer's id in its queue.
    pub consumer: ConsumerId,
}

impl Conn {
    /// Makes a connection that was just accepted.
    pub fn new(
        protocol: Protocol,
        config: &Arc<Config>,
        budgets: &Budgets,
        addr: ConnAddr,
        [peer, local]: [SocketAddr; 2],
        seed: u64,
        now: u64,
    ) -> Conn {
        Conn {
            session: Session::new(protocol, config.clone(), budgets.clone(), addr, seed, now),
            channels: Channels::new(&budgets.uncommitted),
            last_routes: LastRoutes::default(),
            user: None,
            stay: None,
            peer,
            local,
            accepted_at: now,
            is_traced: false,
            traffic: Traffic::default(),
            input: Vec::new(),
            last_word: None,
            reasons: Reasons::default(),
            spread: None,
            asked: None,
            is_held: false,
            feeding: false,
            paused: false,
            sending: false,
            in_flight: 0,
            output: budgets.output.hold(),
            ending: false,
            is_lost: false,
            commit: None,
            relayed: 0,
            delayed: None,
            waiting: Vec::new(),
            timer: None,
        }
    }

    /// Returns the user. Called only after the login.
    pub fn user(&self) -> &User {
        self.user.as_ref().expect("the user is needed only after the login")
    }

    /// Returns the virtual host and user for which routes are remembered.
    #[inline]
    pub fn publisher(&self) -> Publisher {
        (self.session.vhost(), self.user().id)
    }

    /// Returns the connection and user on whose behalf the catalog is asked.
    pub fn asker(&self) -> Asker {
        let addr = self.session.addr();
        Asker { home: addr.shard, conn: Some(addr), user: Some(self.user().id) }
    }

    /// Parks its input for a reason that [`unpark`](Self::unpark) ends. Returns whether it was not
    /// parked for it before.
    pub fn park(&mut self, reason: OwnReason) -> bool {
        self.reasons.add(Reason::Own(reason))
    }

    /// Ends a reason to wait. Returns whether there was this reason.
    pub fn unpark(&mut self, reason: OwnReason) -> bool {
        self.reasons.remove(Reason::Own(reason))
    }

    /// Whether its input waits for this reason.
    pub fn waits_for(&self, reason: OwnReason) -> bool {
        self.reasons.has(Reason::Own(reason))
    }

    /// Whether input waits: for one of the [reasons](Reason), for other shards, or for the end of an
    /// alarm.
    pub fn is_parked(&self) -> bool {
        !self.reasons.is_empty() || self.last_word.is_some() || self.session.is_blocked()
    }

    /// Lets the session look at the clock. Returns when to do so again.
    pub fn on_timer(&mut self, now: u64) -> Option<u64> {
        let channels = &self.channels;
        self.session.on_timer(now, |channel, origin| channels.oldest_settled(channel, origin))
    }

    /// Returns the tx.commit that is under way.
    pub fn committing(&mut self) -> &mut Committing {
        self.commit.as_mut().expect("a tx.commit is under way until all its messages are answered")
    }

    /// Counts the output that waits, or is under way, against the budget.
    #[inline]
    pub fn count_output(&mut self) {
        self.output.set(self.in_flight + self.session.output_len());
    }

    /// Whether the consumer `index` of `channel` can be given a message.
    pub fn room(&self, channel: u16, index: u32) -> Room {
        if self.ending || self.is_lost { Room::Gone } else { self.session.can_take(channel, index) }
    }
}

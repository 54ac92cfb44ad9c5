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
use crate::shard::conns::lifecycle::Last;
use crate::shard::publish::commit::Commit;
use crate::shard::publish::last_routes::LastRoutes;
use crate::shard::publish::spread::Spread;
use crate::shard::session::Session;

/// One connection.
pub struct Conn {
    /// The protocol.
    pub session: Session,
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
    /// Bytes that are not parsed yet: the beginning of a frame, or all that came while parked.
    pub input: Vec<u8>,
    /// The answer at the end of the connection or of a channel, and how many other shards must
    /// first have read all mail about that end.
    pub last_word: Option<(usize, Last)>,
    /// Whether a link has no room for more publishes; ended by the link's next flush with room.
    pub waits_for_link: bool,
    /// Whether stored messages need memory that is being prepared; ended when it is.
    pub waits_for_memory: bool,
    /// Whether the disk must take what waits for it before more comes.
    pub waits_for_log: bool,
    /// Whether it has spent its share of this turn and goes on in a later one.
    pub waits_for_turn: bool,
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
    /// Whether so much output waits that nothing more is read; ended when the socket takes some.
    pub stalled: bool,
    /// Whether its output has ended: the rest is sent, then the socket is closed.
    pub ending: bool,
    /// Whether a job for it (a tx.commit, or a settlement of very many messages) is under way.
    pub is_busy: bool,
    /// Whether its peer went while it was busy or waited for its turn: it ends when all that had
    /// arrived is carried out.
    pub is_lost: bool,
    /// Acceptances that a tx.commit still waits for.
    pub commit_pending: usize,
    /// Whether a queue has refused a message of the tx.commit.
    pub commit_failed: bool,
    /// Messages that shard 0 routes and whose queues do not have them yet.
    pub relayed: usize,
    /// The request that waits for these messages.
    pub delayed: Option<(u16, Request)>,
    /// The tx.commit whose settlements wait for these messages.
    pub relayed_commit: Option<Box<Commit>>,
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
            last_routes: LastRoutes::default(),
            user: None,
            stay: None,
            peer,
            local,
            input: Vec::new(),
            last_word: None,
            waits_for_link: false,
            waits_for_memory: false,
            waits_for_log: false,
            waits_for_turn: false,
            spread: None,
            asked: None,
            is_held: false,
            feeding: false,
            paused: false,
            sending: false,
            in_flight: 0,
            output: budgets.output.hold(),
            stalled: false,
            ending: false,
            is_busy: false,
            is_lost: false,
            commit_pending: 0,
            commit_failed: false,
            relayed: 0,
            delayed: None,
            relayed_commit: None,
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

    /// Whether input waits: for an answer, for other shards, for room in a link, for memory, for
    /// the disk, for its turn, for a job, for the end of an alarm, or for the client to read. One
    /// event ends each of these.
    pub fn is_parked(&self) -> bool {
        let waits =
            self.waits_for_link || self.waits_for_memory || self.waits_for_log || self.waits_for_turn || self.stalled || self.is_busy;
        waits || self.last_word.is_some() || self.session.is_parked() || self.session.is_blocked()
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

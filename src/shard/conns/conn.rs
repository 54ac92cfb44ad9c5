//! A connection, as its shard keeps it: the session machine, input that waits, output that is under way.

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
    /// Where its last messages went.
    pub last_routes: LastRoutes,
    /// Who has logged in, if anybody.
    pub user: Option<User>,
    /// Its right to be in its virtual host, while it is there.
    pub stay: Option<Stay>,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// Bytes that are not parsed yet: the beginning of a frame, or all that came while parked.
    pub input: Vec<u8>,
    /// What the connection says once so many other shards have read what its end, or that of a channel, means for them.
    pub last_word: Option<(usize, Last)>,
    /// A peer's link has no room for more publishes; its next flush with room ends that.
    pub waits_for_link: bool,
    /// Messages that wait would need memory that is being prepared; when it is, that ends.
    pub waits_for_memory: bool,
    /// The disk must take what waits for it before more comes.
    pub waits_for_log: bool,
    /// It has had its share of this turn and goes on in a later one.
    pub waits_for_turn: bool,
    /// What it has published to more queues than a share could serve.
    pub spread: Option<Box<Spread>>,
    /// The request whose queue was asked, to be run again should the queue be gone.
    pub asked: Option<Request>,
    /// It floods a queue whose consumers have no room: its socket is not read for a while (see [`flow`](crate::shard::publish::flow)). What has arrived is.
    pub is_held: bool,
    /// `input` is being parsed further up the call stack.
    pub feeding: bool,
    /// The driver was asked not to read the socket.
    pub paused: bool,
    /// A send is under way.
    pub sending: bool,
    /// How many bytes that is.
    pub in_flight: usize,
    /// Output under way and output that waits, as a part of all that does.
    pub output: Held,
    /// So much output waits that nothing more is read; that ends when the socket takes some.
    pub stalled: bool,
    /// Output ended: what is left is sent, then the socket is closed.
    pub ending: bool,
    /// A part of a tx.commit, or of a settlement of very many messages, is still to be done.
    pub is_busy: bool,
    /// Its peer was gone when that was so, or when it waited for its turn: it ends when all that had arrived is done.
    pub is_lost: bool,
    /// Messages of a tx.commit that remote queues have not accepted yet.
    pub commit_pending: usize,
    /// A queue has refused a message of the tx.commit.
    pub commit_failed: bool,
    /// Messages that shard 0 routes and whose queues do not have them yet.
    pub relayed: usize,
    /// The request that waits for them.
    pub delayed: Option<(u16, Request)>,
    /// The tx.commit whose settlements wait for them.
    pub relayed_commit: Option<Box<Commit>>,
    /// Consumers that found no room here or in their channel.
    pub waiting: Vec<WaitingConsumer>,
    /// The session's timer.
    pub timer: Option<TimerId>,
}

/// A consumer that its queue serves again once there is room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitingConsumer {
    /// Its channel.
    pub channel: u16,
    /// Its index there.
    pub index: u32,
    /// Its queue.
    pub queue: QueueAddr,
    /// Its id there.
    pub consumer: ConsumerId,
}

impl Conn {
    /// A connection that was just accepted.
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

    /// The user; only asked for after the login.
    pub fn user(&self) -> &User {
        self.user.as_ref().expect("nothing is asked for before the login")
    }

    /// Whose messages these are.
    #[inline]
    pub fn publisher(&self) -> Publisher {
        (self.session.vhost(), self.user().id)
    }

    /// Who asks for something.
    pub fn asker(&self) -> Asker {
        let addr = self.session.addr();
        Asker { home: addr.shard, conn: Some(addr), user: Some(self.user().id) }
    }

    /// Whether input waits: for an answer, for other shards, for room in a link, for memory, for the disk, for its turn, for a job
    /// to be done, for the end of an alarm, or for the client to read. Each is ended by one event.
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

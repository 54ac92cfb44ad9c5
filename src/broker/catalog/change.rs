//! Changes of the catalog. Every shard [applies](super::apply) the same changes in the same order.

use crate::base::ids::ShardId;
use crate::config::Founding;
use crate::contract::{Administration, Hashing, Owner, Password, PasswordHash, Permissions, Topology, UserSpec, VhostSpec};

/// One change. It names everything, so that it means the same in another process, and can be
/// [written as bytes](Change::encode).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A change of a virtual host's topology.
    Topology {
        /// The virtual host.
        vhost: Box<str>,
        /// The operation. The conditions of a deletion are met.
        topology: Topology,
        /// The seat of the queue that is made or deleted. An exchange that delays messages makes a
        /// queue of its own for them.
        seat: Option<Seat>,
        /// The connection that owns the queue, if it is exclusive.
        owner: Owner,
    },
    /// A change by an operator.
    Administration(Administration),
}

/// A queue's number, and the shard where it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat {
    /// The shard.
    pub home: ShardId,
    /// The number, from 1. No other queue ever has it, also not after a restart.
    pub number: u64,
}

impl Change {
    /// Makes a change of the topology without a seat: one that makes no queue, or deletes the queue
    /// of a name whatever its number.
    pub fn topology(vhost: &str, topology: Topology) -> Change {
        Change::Topology { vhost: vhost.into(), topology, seat: None, owner: None }
    }

    /// Returns the seat of the queue that the change makes.
    pub fn new_seat(&self) -> Option<Seat> {
        match self {
            Change::Topology { topology: Topology::DeclareQueue(_) | Topology::DeclareExchange(_), seat, .. } => *seat,
            _ => None,
        }
    }

    /// Returns the seat of the queue that the change makes, to be given another one.
    pub fn new_seat_mut(&mut self) -> Option<&mut Seat> {
        match self {
            Change::Topology { topology: Topology::DeclareQueue(_) | Topology::DeclareExchange(_), seat, .. } => seat.as_mut(),
            _ => None,
        }
    }

    /// Gives the next number to the queue that the change makes.
    #[must_use]
    pub fn numbered(mut self, next: &mut u64) -> Change {
        if let Some(seat) = self.new_seat_mut() {
            seat.number = *next;
            *next += 1;
        }
        self
    }

    /// Returns the changes that make a new broker: the virtual host `/`, and the user guest with
    /// all permissions there.
    pub fn of_a_new_broker() -> [Change; 3] {
        Change::founding(&Founding::default(), None, *GUEST_SALT)
    }

    /// Returns the changes that make a broker with this virtual host and user.
    pub fn founding(founding: &Founding, queue_type: Option<&str>, salt: [u8; 4]) -> [Change; 3] {
        let Founding { vhost, user, password, tags, configure, write, read } = founding;
        let password = Some(Password::Hashed(PasswordHash::new(Hashing::default(), salt, password.as_bytes())));
        let tags = Some(tags.iter().map(|tag| tag.as_str().into()).collect());
        let permissions = Permissions { configure: configure.as_str().into(), write: write.as_str().into(), read: read.as_str().into() };
        let (vhost, user): (Box<str>, Box<str>) = (vhost.as_str().into(), user.as_str().into());
        let (name, default_queue_type) = (vhost.clone(), queue_type.map(Into::into));
        [
            Administration::PutVhost(VhostSpec {
                name,
                description: "Default virtual host".into(),
                default_queue_type,
                ..VhostSpec::default()
            }),
            Administration::PutUser(UserSpec { name: user.clone(), password, tags }),
            Administration::SetPermissions { vhost, user, permissions },
        ]
        .map(Change::Administration)
    }
}

/// The default password is well known, so its salt need not be secret.
const GUEST_SALT: &[u8; 4] = b"ring";

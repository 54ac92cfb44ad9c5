//! What an operator asks: the management API, a definitions file, the command line tool. No connection is behind it, and nobody's permissions limit
//! it.
//!
//! A command goes to any shard. Shard 0 checks it against the catalog and orders it among all other changes; it is answered when the disk and every
//! shard have it. Names stand for themselves, as they do in a definitions file: what they name must exist when the command's turn comes.
//!
//! To *put* is to make what is not there and to change what is.

use std::fmt;

use super::{BindingSpec, ExchangeSpec, PolicyKind, PolicySpec, QueueSpec};

/// One command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Makes a virtual host with its predeclared exchanges, or changes what is said of it.
    PutVhost(VhostSpec),
    /// Deletes a virtual host with all that is in it, and closes its connections.
    DeleteVhost {
        /// The virtual host.
        name: Box<str>,
    },
    /// Makes a user, or changes it.
    PutUser(UserSpec),
    /// Deletes a user with all its permissions, and closes its connections.
    DeleteUser {
        /// The user.
        name: Box<str>,
    },
    /// Says what a user may do in a virtual host.
    SetPermissions {
        /// The virtual host.
        vhost: Box<str>,
        /// The user.
        user: Box<str>,
        /// What it may do.
        permissions: Permissions,
    },
    /// Keeps a user out of a virtual host.
    ClearPermissions {
        /// The virtual host.
        vhost: Box<str>,
        /// The user.
        user: Box<str>,
    },
    /// Says which routing keys a user may use with a topic exchange.
    SetTopicPermissions {
        /// The virtual host.
        vhost: Box<str>,
        /// The user.
        user: Box<str>,
        /// The exchange, which need not exist.
        exchange: Box<str>,
        /// Which keys.
        permissions: TopicPermissions,
    },
    /// Lets a user use all routing keys again.
    ClearTopicPermissions {
        /// The virtual host.
        vhost: Box<str>,
        /// The user.
        user: Box<str>,
        /// The exchange; none: all of them.
        exchange: Option<Box<str>>,
    },
    /// Sets all limits of a virtual host.
    SetVhostLimits {
        /// The virtual host.
        vhost: Box<str>,
        /// Its limits.
        limits: VhostLimits,
    },
    /// Sets all limits of a user.
    SetUserLimits {
        /// The user.
        user: Box<str>,
        /// Its limits.
        limits: UserLimits,
    },
    /// Sets a runtime parameter.
    PutParameter {
        /// The virtual host.
        vhost: Box<str>,
        /// What it is for, such as `federation-upstream`.
        component: Box<str>,
        /// Its name.
        name: Box<str>,
        /// Its value, JSON.
        value: Box<str>,
    },
    /// Forgets a runtime parameter.
    DeleteParameter {
        /// The virtual host.
        vhost: Box<str>,
        /// What it is for.
        component: Box<str>,
        /// Its name.
        name: Box<str>,
    },
    /// Sets a policy. What it is for follows it at once.
    PutPolicy {
        /// The virtual host.
        vhost: Box<str>,
        /// Whose it is.
        kind: PolicyKind,
        /// The policy.
        spec: PolicySpec,
    },
    /// Deletes a policy. What it was for follows it no more.
    DeletePolicy {
        /// The virtual host.
        vhost: Box<str>,
        /// Whose it is.
        kind: PolicyKind,
        /// Its name.
        name: Box<str>,
    },
    /// Sets a global parameter.
    PutGlobalParameter {
        /// Its name.
        name: Box<str>,
        /// Its value, JSON.
        value: Box<str>,
    },
    /// Forgets a global parameter.
    DeleteGlobalParameter {
        /// Its name.
        name: Box<str>,
    },
    /// exchange.declare; an equal one may be there.
    DeclareExchange {
        /// The virtual host.
        vhost: Box<str>,
        /// The exchange.
        spec: ExchangeSpec,
    },
    /// queue.declare; an equal one may be there. Nobody can own it, so it is not exclusive.
    DeclareQueue {
        /// The virtual host.
        vhost: Box<str>,
        /// The queue.
        spec: QueueSpec,
    },
    /// queue.bind, exchange.bind; it may be there.
    Bind {
        /// The virtual host.
        vhost: Box<str>,
        /// The binding.
        spec: BindingSpec,
    },
    /// exchange.delete; it may be gone.
    DeleteExchange {
        /// The virtual host.
        vhost: Box<str>,
        /// The exchange.
        name: Box<str>,
        /// Only if nothing is bound to it.
        if_unused: bool,
    },
    /// queue.delete; it may be gone. Its home has the last word.
    DeleteQueue {
        /// The virtual host.
        vhost: Box<str>,
        /// The queue.
        name: Box<str>,
        /// Only without consumers.
        if_unused: bool,
        /// Only without messages that are ready.
        if_empty: bool,
    },
    /// queue.unbind, exchange.unbind; it may be gone.
    Unbind {
        /// The virtual host.
        vhost: Box<str>,
        /// The binding.
        spec: BindingSpec,
    },
}

/// A virtual host and what is said of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VhostSpec {
    /// Its name.
    pub name: Box<str>,
    /// What it is for.
    pub description: Box<str>,
    /// Words that operators find it by.
    pub tags: Box<[Box<str>]>,
    /// The type of queues that are declared without one.
    pub default_queue_type: Option<Box<str>>,
    /// Whether messages are also published to `amq.rabbitmq.trace`.
    pub tracing: bool,
    /// Whether it refuses to be deleted.
    pub protected: bool,
}

/// A user; what is `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserSpec {
    /// Its name.
    pub name: Box<str>,
    /// How it logs in. A new user without one cannot.
    pub password: Option<Password>,
    /// What it may do beside using the broker (`administrator`, `monitoring`, …), and `impersonator`: its messages may bear any user-id.
    pub tags: Option<Box<[Box<str>]>>,
}

/// A password, as the operator has it.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// The password; the broker keeps its hash.
    Plain(Box<[u8]>),
    /// Its hash.
    Hashed(PasswordHash),
}

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PasswordHash {
    /// How it was hashed.
    pub hashing: Hashing,
    /// Four octets of salt, then the hash of salt and password. Empty: no password is right.
    pub octets: Box<[u8]>,
}

/// How a password is hashed: RabbitMQ's modules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hashing {
    /// `rabbit_password_hashing_sha256`
    #[default]
    Sha256,
    /// `rabbit_password_hashing_sha512`
    Sha512,
    /// `rabbit_password_hashing_md5`
    Md5,
}

/// What a user may do in a virtual host: Perl-compatible patterns of the names of exchanges and queues, not anchored; empty: none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Permissions {
    /// Which may be declared and deleted.
    pub configure: Box<str>,
    /// Which may be published to, and bound to others as a destination.
    pub write: Box<str>,
    /// Which may be consumed from, and bound to others as a source.
    pub read: Box<str>,
}

/// The routing keys that may be used with a topic exchange: patterns like those of [`Permissions`], in which `{username}` and `{vhost}` stand for the
/// user's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TopicPermissions {
    /// Of messages.
    pub write: Box<str>,
    /// Of bindings.
    pub read: Box<str>,
}

/// How many there may be; none: as many as there are.
pub type Limit = Option<u32>;

/// The limits of a virtual host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VhostLimits {
    /// Connections at a time.
    pub max_connections: Limit,
    /// Queues at a time.
    pub max_queues: Limit,
}

/// The limits of a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UserLimits {
    /// Connections at a time.
    pub max_connections: Limit,
    /// Channels at a time, of all its connections together.
    pub max_channels: Limit,
}

/// A password is nobody's business, not even a log's.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Password::Plain(_) => f.write_str("Plain(…)"),
            Password::Hashed(hash) => f.debug_tuple("Hashed").field(&hash.hashing).finish(),
        }
    }
}

impl Hashing {
    /// RabbitMQ's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Hashing::Sha256 => "rabbit_password_hashing_sha256",
            Hashing::Sha512 => "rabbit_password_hashing_sha512",
            Hashing::Md5 => "rabbit_password_hashing_md5",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Hashing> {
        [Hashing::Sha256, Hashing::Sha512, Hashing::Md5].into_iter().find(|hashing| hashing.name() == name)
    }
}

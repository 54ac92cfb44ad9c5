//! Administration: virtual hosts, users, permissions, limits, policies and parameters. Everything
//! is named, as in a definitions file, and must exist when its turn comes.
//!
//! To *put* something is to make it if it is not there, and to change it if it is.

use std::fmt;

use super::{PolicyKind, PolicySpec};

/// One operation on what only operators change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Administration {
    /// Makes a virtual host with its predeclared exchanges, or changes its attributes.
    PutVhost(VhostSpec),
    /// Deletes a virtual host with everything in it, and closes its connections.
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
    /// Sets what a user may do in a virtual host.
    SetPermissions {
        /// The virtual host.
        vhost: Box<str>,
        /// The user.
        user: Box<str>,
        /// The permissions.
        permissions: Permissions,
    },
    /// Keeps a user out of a virtual host.
    ClearPermissions {
        /// The virtual host.
        vhost: Box<str>,
        /// The user.
        user: Box<str>,
    },
    /// Sets which routing keys a user may use with a topic exchange.
    SetTopicPermissions {
        /// The virtual host.
        vhost: Box<str>,
        /// The user.
        user: Box<str>,
        /// The exchange, which need not exist.
        exchange: Box<str>,
        /// The permitted keys.
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
        /// The component that it is for, such as `federation-upstream`.
        component: Box<str>,
        /// Its name.
        name: Box<str>,
        /// Its value, JSON.
        value: Box<str>,
    },
    /// Deletes a runtime parameter.
    DeleteParameter {
        /// The virtual host.
        vhost: Box<str>,
        /// The component that it is for.
        component: Box<str>,
        /// Its name.
        name: Box<str>,
    },
    /// Sets a policy. Queues and exchanges that match follow it at once.
    PutPolicy {
        /// The virtual host.
        vhost: Box<str>,
        /// The kind of the policy.
        kind: PolicyKind,
        /// The policy.
        spec: PolicySpec,
    },
    /// Deletes a policy. Queues and exchanges that matched no longer follow it.
    DeletePolicy {
        /// The virtual host.
        vhost: Box<str>,
        /// The kind of the policy.
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
    /// Deletes a global parameter.
    DeleteGlobalParameter {
        /// Its name.
        name: Box<str>,
    },
}

/// A virtual host and its attributes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VhostSpec {
    /// Its name.
    pub name: Box<str>,
    /// A description for people.
    pub description: Box<str>,
    /// Tags by which operators find it.
    pub tags: Box<[Box<str>]>,
    /// The type of queues that are declared without one.
    pub default_queue_type: Option<Box<str>>,
    /// Whether messages are also published to `amq.rabbitmq.trace`.
    pub tracing: bool,
    /// Whether it refuses to be deleted.
    pub protected: bool,
}

/// A user; a field that is `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserSpec {
    /// Its name.
    pub name: Box<str>,
    /// The password. A new user without one cannot log in.
    pub password: Option<Password>,
    /// Roles beside using the broker (`administrator`, `monitoring`, …), and `impersonator`, whose
    /// messages may have any user-id.
    pub tags: Option<Box<[Box<str>]>>,
}

/// A password, as the operator gives it.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// The password; the broker keeps its hash.
    Plain(Box<[u8]>),
    /// The password's hash.
    Hashed(PasswordHash),
}

/// The stored form of a password.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PasswordHash {
    /// The hashing algorithm.
    pub hashing: Hashing,
    /// Four octets of salt, then the hash of salt and password. Empty: no password is right.
    pub octets: Box<[u8]>,
}

/// A hashing algorithm, one of RabbitMQ's modules.
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

/// What a user may do in a virtual host: Perl-compatible patterns of the names of exchanges and
/// queues, not anchored; empty: none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Permissions {
    /// Names that may be declared and deleted.
    pub configure: Box<str>,
    /// Names that may be published to, and bound to others as a destination.
    pub write: Box<str>,
    /// Names that may be consumed from, and bound to others as a source.
    pub read: Box<str>,
}

/// The routing keys that may be used with a topic exchange: patterns like those of [`Permissions`],
/// in which `{username}` and `{vhost}` stand for the user's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TopicPermissions {
    /// Keys of messages.
    pub write: Box<str>,
    /// Keys of bindings.
    pub read: Box<str>,
}

/// The most that there may be; none: no limit.
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

/// Passwords are never shown, not even in a log.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Password::Plain(_) => f.write_str("Plain(…)"),
            Password::Hashed(hash) => f.debug_tuple("Hashed").field(&hash.hashing).finish(),
        }
    }
}

impl Hashing {
    /// RabbitMQ's name of the algorithm.
    pub fn name(self) -> &'static str {
        match self {
            Hashing::Sha256 => "rabbit_password_hashing_sha256",
            Hashing::Sha512 => "rabbit_password_hashing_sha512",
            Hashing::Md5 => "rabbit_password_hashing_md5",
        }
    }

    /// The algorithm of this name.
    pub fn named(name: &str) -> Option<Hashing> {
        [Hashing::Sha256, Hashing::Sha512, Hashing::Md5].into_iter().find(|hashing| hashing.name() == name)
    }
}

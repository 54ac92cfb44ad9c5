//! Users and their permissions: for each virtual host three patterns of names, and for topic
//! exchanges patterns of routing keys.
//!
//! Permissions are checked with each request and when the router looks up a route, not for each
//! message: a remembered route is valid for one user and one version of the catalog, and a change
//! of permissions changes the version.

use std::collections::BTreeMap;

use super::Catalog;
use crate::base::ids::UserId;
use crate::base::quota::Quota;
use crate::broker::access::Pattern;
use crate::contract::{Code, Fault, PasswordHash, Permissions, TopicPermissions, UserLimits, VhostId};
use crate::message::erlang_text;

/// A user as the catalog knows it.
pub struct UserInfo {
    /// Its name.
    pub name: Box<str>,
    /// Its number.
    pub id: UserId,
    /// Its password, as stored.
    pub password: PasswordHash,
    /// Its tags: its roles as an operator.
    pub tags: Box<[Box<str>]>,
    /// Its limits.
    pub limits: UserLimits,
    /// Its connections.
    pub connections: Quota,
    /// Its channels.
    pub channels: Quota,
    /// Its permissions, by virtual host.
    pub access: BTreeMap<VhostId, Access>,
}

/// A user's permissions in a virtual host.
#[derive(Default)]
pub struct Access {
    grant: Option<Grant>,
    topics: BTreeMap<Box<str>, TopicGrant>,
}

struct Grant {
    permissions: Permissions,
    configure: Pattern,
    write: Pattern,
    read: Pattern,
}

struct TopicGrant {
    permissions: TopicPermissions,
    write: Pattern,
    read: Pattern,
}

/// A kind of access to an exchange or a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// Declare or delete the object.
    Configure,
    /// Send messages to it.
    Write,
    /// Receive messages from it.
    Read,
}

/// The exchange or queue that a right is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource<'a> {
    /// An exchange of this name, which need not exist.
    Exchange(&'a [u8]),
    /// A queue of this name, which need not exist.
    Queue(&'a [u8]),
}

impl Access {
    /// The permissions, if there are any.
    pub fn permissions(&self) -> Option<&Permissions> {
        self.grant.as_ref().map(|grant| &grant.permissions)
    }

    /// The topic permissions, by exchange.
    pub fn topic_permissions(&self) -> impl Iterator<Item = (&str, &TopicPermissions)> {
        self.topics.iter().map(|(exchange, grant)| (&**exchange, &grant.permissions))
    }

    fn is_empty(&self) -> bool {
        self.grant.is_none() && self.topics.is_empty()
    }
}

impl Grant {
    fn new(permissions: &Permissions) -> Result<Grant, String> {
        let [configure, write, read] = [&permissions.configure, &permissions.write, &permissions.read].map(|text| Pattern::new(text));
        Ok(Grant { permissions: permissions.clone(), configure: configure?, write: write?, read: read? })
    }

    fn pattern(&self, right: Right) -> &Pattern {
        match right {
            Right::Configure => &self.configure,
            Right::Write => &self.write,
            Right::Read => &self.read,
        }
    }
}

impl TopicGrant {
    /// Compiles the patterns. Variables are replaced by the user's values, unquoted, as in
    /// RabbitMQ.
    fn new(permissions: &TopicPermissions, user: &str, vhost: &str) -> Result<TopicGrant, String> {
        let compile = |text: &str| Pattern::new(&text.replace("{username}", user).replace("{vhost}", vhost));
        let (write, read) = (compile(&permissions.write)?, compile(&permissions.read)?);
        Ok(TopicGrant { permissions: permissions.clone(), write, read })
    }
}

impl Right {
    fn name(self) -> &'static str {
        match self {
            Right::Configure => "configure",
            Right::Write => "write",
            Right::Read => "read",
        }
    }
}

impl<'a> Resource<'a> {
    /// The kind of the object, and its name in patterns.
    fn parts(self) -> (&'static str, &'a [u8]) {
        match self {
            Resource::Exchange(b"") => ("exchange", b"amq.default"),
            Resource::Exchange(name) => ("exchange", name),
            Resource::Queue(name) => ("queue", name),
        }
    }
}

impl UserInfo {
    /// Whether the user has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| **own == *tag)
    }
}

impl Catalog {
    /// The user of this name.
    pub fn user_by_name(&self, name: &str) -> Option<&UserInfo> {
        self.user_names.get(name).map(|&id| &self.users[id])
    }

    /// The user of this number; `None` if it is gone.
    pub fn user(&self, id: UserId) -> Option<&UserInfo> {
        self.users.get(id)
    }

    /// All users, by number.
    pub fn users(&self) -> impl Iterator<Item = &UserInfo> {
        self.users.iter().map(|(_, user)| user)
    }

    /// The user's permissions in a virtual host, if any are set.
    pub fn access(&self, user: UserId, vhost: VhostId) -> Option<&Access> {
        self.user(user)?.access.get(&vhost)
    }

    /// Whether the user may open a virtual host.
    pub fn may_open(&self, user: UserId, vhost: VhostId) -> bool {
        self.access(user, vhost).is_some_and(|access| access.grant.is_some())
    }

    /// Checks that `user` has this right. The error is 403.
    pub(in crate::broker) fn permit(&self, user: UserId, vhost: VhostId, right: Right, resource: Resource<'_>) -> Result<(), Fault> {
        let (kind, name) = resource.parts();
        let grant = self.access(user, vhost).and_then(|access| access.grant.as_ref());
        if grant.is_some_and(|grant| grant.pattern(right).matches(name)) {
            return Ok(());
        }
        let (right, name, vhost) = (right.name(), erlang_text(name), self.vhost_name(vhost));
        let user = self.user(user).map_or("", |user| &*user.name);
        Err(Fault::new(Code::AccessRefused, format!("{right} access to {kind} '{name}' in vhost '{vhost}' refused for user '{user}'")))
    }

    /// Checks that `user` may use this routing key with a topic exchange; without topic permissions
    /// it may. The error is 403.
    pub(in crate::broker) fn permit_topic(
        &self,
        user: UserId,
        vhost: VhostId,
        right: Right,
        exchange: &str,
        key: &[u8],
    ) -> Result<(), Fault> {
        let Some(grant) = self.access(user, vhost).and_then(|access| access.topics.get(exchange)) else { return Ok(()) };
        let pattern = if right == Right::Read { &grant.read } else { &grant.write };
        if pattern.matches(key) {
            return Ok(());
        }
        let (right, key, vhost) = (right.name(), erlang_text(key), self.vhost_name(vhost));
        let user = self.user(user).map_or("", |user| &*user.name);
        let text = format!("{right} access to topic '{key}' in exchange '{exchange}' in vhost '{vhost}' refused for user '{user}'");
        Err(Fault::new(Code::AccessRefused, text))
    }

    /// Returns the permissions of a user in a virtual host, to be changed; empty ones are made if
    /// there are none.
    pub(super) fn access_mut(&mut self, vhost: &str, user: &str) -> Option<&mut Access> {
        let (vhost, user) = (self.vhost_by_name(vhost)?, *self.user_names.get(user)?);
        Some(self.users[user].access.entry(vhost).or_default())
    }

    pub(super) fn set_permissions(&mut self, vhost: &str, user: &str, permissions: &Permissions) -> Option<()> {
        self.access_mut(vhost, user)?.grant = Some(Grant::new(permissions).ok()?);
        Some(())
    }

    pub(super) fn clear_permissions(&mut self, vhost: &str, user: &str) -> Option<()> {
        self.access_mut(vhost, user)?.grant = None;
        self.forget_empty(vhost, user)
    }

    pub(super) fn set_topic_permissions(&mut self, vhost: &str, user: &str, exchange: &str, permissions: &TopicPermissions) -> Option<()> {
        let grant = TopicGrant::new(permissions, user, vhost).ok()?;
        self.access_mut(vhost, user)?.topics.insert(exchange.into(), grant);
        Some(())
    }

    pub(super) fn clear_topic_permissions(&mut self, vhost: &str, user: &str, exchange: Option<&str>) -> Option<()> {
        let topics = &mut self.access_mut(vhost, user)?.topics;
        match exchange {
            Some(exchange) => _ = topics.remove(exchange),
            None => topics.clear(),
        }
        self.forget_empty(vhost, user)
    }

    fn forget_empty(&mut self, vhost: &str, user: &str) -> Option<()> {
        let (vhost, user) = (self.vhost_by_name(vhost)?, *self.user_names.get(user)?);
        let access = &mut self.users[user].access;
        if access.get(&vhost).is_some_and(Access::is_empty) {
            access.remove(&vhost);
        }
        Some(())
    }
}

/// Checks the patterns of permissions.
pub(super) fn check_permissions(permissions: &Permissions) -> Result<(), String> {
    Grant::new(permissions).map(drop)
}

/// Checks the patterns of topic permissions.
pub(super) fn check_topic_permissions(permissions: &TopicPermissions, user: &str, vhost: &str) -> Result<(), String> {
    TopicGrant::new(permissions, user, vhost).map(drop)
}

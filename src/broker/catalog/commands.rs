//! The effect of an operator's commands on the catalog: whether one is in order, and what it
//! changes.

use super::users::{check_permissions, check_topic_permissions};
use super::{Applied, Asker, Catalog, Change, UserInfo, Verdict};
use crate::base::ids::{ShardId, UserId};
use crate::base::quota::Quota;
use crate::broker::policy::Policy;
use crate::contract::{Code, Command, Fault, Password, QueueSpec, Request, UserLimits, UserSpec, VhostId, VhostSpec};

/// The quotas of a new user or virtual host. They travel with the change that makes it, so that all
/// shards share them.
#[derive(Clone, Default, Debug)]
pub struct Quotas {
    /// Its connections.
    pub connections: Quota,
    /// A user's channels.
    pub channels: Quota,
}

/// Quotas do not count when changes are compared.
impl PartialEq for Quotas {
    fn eq(&self, _: &Quotas) -> bool {
        true
    }
}

impl Eq for Quotas {}

impl Catalog {
    /// Checks a command. A queue that it declares will live on the shard `home`.
    pub fn check_command(&self, command: &Command, home: ShardId) -> Result<Verdict, Fault> {
        let Some((vhost, request)) = as_request(command) else {
            self.check_order(command)?;
            return Ok(Verdict::Change(Change::command(command.clone())));
        };
        self.check(self.named_vhost(vhost)?, Asker { home, conn: None, user: None }, &request)
    }

    /// Checks that the things that it names exist, and that its values can be read.
    fn check_order(&self, command: &Command) -> Result<(), Fault> {
        match command {
            Command::PutVhost(spec) => check_default_type(spec),
            Command::PutUser(_) | Command::PutGlobalParameter { .. } | Command::DeleteGlobalParameter { .. } => Ok(()),
            Command::DeleteVhost { name } => self.check_delete_vhost(name),
            Command::DeleteUser { name: user } | Command::SetUserLimits { user, .. } => self.named_user(user),
            Command::SetVhostLimits { vhost, .. }
            | Command::PutParameter { vhost, .. }
            | Command::DeleteParameter { vhost, .. }
            | Command::DeletePolicy { vhost, .. } => self.named_vhost(vhost).map(drop),
            Command::PutPolicy { vhost, kind, spec } => {
                self.named_vhost(vhost)?;
                Policy::new(*kind, spec.clone()).map(drop).map_err(|why| Fault::new(Code::PreconditionFailed, why))
            }
            Command::ClearPermissions { vhost, user } | Command::ClearTopicPermissions { vhost, user, .. } => {
                self.named_user(user)?;
                self.named_vhost(vhost).map(drop)
            }
            Command::SetPermissions { vhost, user, permissions } => {
                self.named_user(user)?;
                self.named_vhost(vhost)?;
                check_permissions(permissions).map_err(bad_pattern)
            }
            Command::SetTopicPermissions { vhost, user, permissions, .. } => {
                self.named_user(user)?;
                self.named_vhost(vhost)?;
                check_topic_permissions(permissions, user, vhost).map_err(bad_pattern)
            }
            Command::DeclareExchange { .. }
            | Command::DeclareQueue { .. }
            | Command::Bind { .. }
            | Command::DeleteExchange { .. }
            | Command::DeleteQueue { .. }
            | Command::Unbind { .. } => unreachable!("checked as requests"),
        }
    }

    fn check_delete_vhost(&self, name: &str) -> Result<(), Fault> {
        let vhost = self.named_vhost(name)?;
        if self.vhost(vhost).spec.protected {
            let text = format!("Refusing to delete virtual host '{name}' because it is protected from deletion");
            return Err(Fault::new(Code::PreconditionFailed, text));
        }
        Ok(())
    }

    fn named_vhost(&self, name: &str) -> Result<VhostId, Fault> {
        self.vhost_by_name(name).ok_or_else(|| Fault::new(Code::NotFound, format!("Virtual host '{name}' does not exist")))
    }

    fn named_user(&self, name: &str) -> Result<(), Fault> {
        match self.user_by_name(name) {
            Some(_) => Ok(()),
            None => Err(Fault::new(Code::NotFound, format!("User '{name}' does not exist"))),
        }
    }

    /// Carries out a command that was checked; none: the thing that it names is gone.
    pub(super) fn apply_command(&mut self, command: &Command, quotas: &Quotas) -> Option<Applied> {
        match command {
            Command::PutVhost(spec) => self.put_vhost(spec, &quotas.connections),
            Command::DeleteVhost { name } => return self.delete_vhost(name),
            Command::PutUser(spec) => self.put_user(spec, quotas),
            Command::DeleteUser { name } => return self.delete_user(name),
            Command::SetPermissions { vhost, user, permissions } => self.set_permissions(vhost, user, permissions)?,
            Command::ClearPermissions { vhost, user } => self.clear_permissions(vhost, user)?,
            Command::SetTopicPermissions { vhost, user, exchange, permissions } => {
                self.set_topic_permissions(vhost, user, exchange, permissions)?;
            }
            Command::ClearTopicPermissions { vhost, user, exchange } => self.clear_topic_permissions(vhost, user, exchange.as_deref())?,
            Command::SetVhostLimits { vhost, limits } => {
                let vhost = self.vhost_by_name(vhost)?;
                let vhost = self.vhost_mut(vhost);
                vhost.limits = *limits;
                vhost.connections.set_max(limits.max_connections);
            }
            Command::SetUserLimits { user, limits } => self.set_user_limits(user, *limits)?,
            Command::PutParameter { vhost, component, name, value } => {
                let vhost = self.vhost_by_name(vhost)?;
                self.vhost_mut(vhost).parameters.insert((component.clone(), name.clone()), value.clone());
            }
            Command::DeleteParameter { vhost, component, name } => {
                let vhost = self.vhost_by_name(vhost)?;
                self.vhost_mut(vhost).parameters.remove(&(component.clone(), name.clone()));
            }
            Command::PutPolicy { vhost, kind, spec } => return self.put_policy(vhost, *kind, spec),
            Command::DeletePolicy { vhost, kind, name } => return self.delete_policy(vhost, *kind, name),
            Command::PutGlobalParameter { name, value } => _ = self.global_parameters.insert(name.clone(), value.clone()),
            Command::DeleteGlobalParameter { name } => _ = self.global_parameters.remove(name),
            Command::DeclareExchange { .. }
            | Command::DeclareQueue { .. }
            | Command::Bind { .. }
            | Command::DeleteExchange { .. }
            | Command::DeleteQueue { .. }
            | Command::Unbind { .. } => return None, // they are changes of their own
        }
        Some(Applied::Done)
    }

    fn put_user(&mut self, UserSpec { name, password, tags }: &UserSpec, quotas: &Quotas) {
        let id = match self.user_names.get(name) {
            Some(&id) => id,
            None => self.add_user(name, quotas),
        };
        let user = &mut self.users[id];
        match password {
            Some(Password::Hashed(hash)) => user.password = hash.clone(),
            Some(Password::Plain(_)) => unreachable!("a password is hashed before its command is ordered"),
            None => {}
        }
        if let Some(tags) = tags {
            user.tags.clone_from(tags);
        }
    }

    fn add_user(&mut self, name: &str, quotas: &Quotas) -> UserId {
        let id = self.users.insert_with(|id| UserInfo {
            name: name.into(),
            id,
            password: Default::default(),
            tags: Default::default(),
            limits: UserLimits::default(),
            connections: quotas.connections.clone(),
            channels: quotas.channels.clone(),
            access: Default::default(),
        });
        self.user_names.insert(name.into(), id);
        id
    }

    fn delete_user(&mut self, name: &str) -> Option<Applied> {
        let user = self.user_names.remove(name)?;
        self.users.remove(user);
        Some(Applied::UserGone(user))
    }

    fn set_user_limits(&mut self, user: &str, limits: UserLimits) -> Option<()> {
        let user = &mut self.users[*self.user_names.get(user)?];
        user.limits = limits;
        user.connections.set_max(limits.max_connections);
        user.channels.set_max(limits.max_channels);
        Some(())
    }

    /// All global parameters: names and values, JSON.
    pub fn global_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.global_parameters.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// A command that a client could ask for as well, and its virtual host.
fn as_request(command: &Command) -> Option<(&str, Request)> {
    Some(match command {
        Command::DeclareExchange { vhost, spec } => (vhost, Request::DeclareExchange(spec.clone())),
        Command::DeclareQueue { vhost, spec } => (vhost, Request::DeclareQueue(QueueSpec { exclusive: false, ..spec.clone() })),
        Command::Bind { vhost, spec } => (vhost, Request::Bind(spec.clone())),
        Command::DeleteExchange { vhost, name, if_unused } => {
            (vhost, Request::DeleteExchange { name: name.clone(), if_unused: *if_unused })
        }
        &Command::DeleteQueue { ref vhost, ref name, if_unused, if_empty } => {
            (vhost, Request::DeleteQueue { name: name.clone(), if_unused, if_empty })
        }
        Command::Unbind { vhost, spec } => (vhost, Request::Unbind(spec.clone())),
        _ => return None,
    })
}

fn check_default_type(spec: &VhostSpec) -> Result<(), Fault> {
    match spec.default_queue_type.as_deref() {
        None | Some("classic" | "quorum" | "stream") => Ok(()),
        Some(other) => Err(Fault::new(Code::PreconditionFailed, format!("{other} is not a valid queue type"))),
    }
}

fn bad_pattern(error: String) -> Fault {
    Fault::new(Code::PreconditionFailed, format!("invalid regexp: {error}"))
}

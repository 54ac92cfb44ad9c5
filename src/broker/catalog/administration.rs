//! The effect of operators' commands on the catalog: whether one is in order, and what it changes.

use super::users::{check_permissions, check_topic_permissions};
use super::{Applied, Asker, Catalog, Change, UserInfo, Verdict};
use crate::base::ids::{ShardId, UserId};
use crate::base::quota::Quota;
use crate::broker::policy::Policy;
use crate::contract::{Administration, Code, Command, Fault, Password, UserLimits, UserSpec, VhostId, VhostSpec};

/// The quotas of a user or a virtual host. All shards of a broker count by the same ones.
#[derive(Clone, Default, Debug)]
pub struct Quotas {
    /// Its connections.
    pub connections: Quota,
    /// A user's channels.
    pub channels: Quota,
}

impl Catalog {
    /// Checks a command. A queue that it declares will live on the shard `home`.
    pub fn check_command(&self, command: &Command, home: ShardId) -> Result<Verdict, Fault> {
        match command {
            Command::Topology { vhost, topology } => self.check(self.named_vhost(vhost)?, Asker { home, conn: None, user: None }, topology),
            Command::Administration(administration) => {
                self.check_administration(administration)?;
                Ok(Verdict::Change(Change::Administration(administration.clone())))
            }
        }
    }

    /// Checks that the things that it names exist, and that its values can be read.
    fn check_administration(&self, administration: &Administration) -> Result<(), Fault> {
        match administration {
            Administration::PutVhost(spec) => check_default_type(spec),
            Administration::PutUser(_) | Administration::PutGlobalParameter { .. } | Administration::DeleteGlobalParameter { .. } => Ok(()),
            Administration::DeleteVhost { name } => self.check_delete_vhost(name),
            Administration::DeleteUser { name: user } | Administration::SetUserLimits { user, .. } => self.named_user(user),
            Administration::SetVhostLimits { vhost, .. }
            | Administration::PutParameter { vhost, .. }
            | Administration::DeleteParameter { vhost, .. }
            | Administration::DeletePolicy { vhost, .. } => self.named_vhost(vhost).map(drop),
            Administration::PutPolicy { vhost, kind, spec } => {
                self.named_vhost(vhost)?;
                Policy::new(*kind, spec.clone()).map(drop).map_err(|why| Fault::new(Code::PreconditionFailed, why))
            }
            Administration::ClearPermissions { vhost, user } | Administration::ClearTopicPermissions { vhost, user, .. } => {
                self.named_user(user)?;
                self.named_vhost(vhost).map(drop)
            }
            Administration::SetPermissions { vhost, user, permissions } => {
                self.named_user(user)?;
                self.named_vhost(vhost)?;
                check_permissions(permissions).map_err(bad_pattern)
            }
            Administration::SetTopicPermissions { vhost, user, permissions, .. } => {
                self.named_user(user)?;
                self.named_vhost(vhost)?;
                check_topic_permissions(permissions, user, vhost).map_err(bad_pattern)
            }
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

    /// Carries out a change that was checked; none: the thing that it names is gone.
    pub(super) fn administer(&mut self, administration: &Administration, quotas: &Quotas) -> Option<Applied> {
        match administration {
            Administration::PutVhost(spec) => self.put_vhost(spec, &quotas.connections),
            Administration::DeleteVhost { name } => return self.delete_vhost(name),
            Administration::PutUser(spec) => self.put_user(spec, quotas),
            Administration::DeleteUser { name } => return self.delete_user(name),
            Administration::SetPermissions { vhost, user, permissions } => self.set_permissions(vhost, user, permissions)?,
            Administration::ClearPermissions { vhost, user } => self.clear_permissions(vhost, user)?,
            Administration::SetTopicPermissions { vhost, user, exchange, permissions } => {
                self.set_topic_permissions(vhost, user, exchange, permissions)?;
            }
            Administration::ClearTopicPermissions { vhost, user, exchange } => {
                self.clear_topic_permissions(vhost, user, exchange.as_deref())?
            }
            Administration::SetVhostLimits { vhost, limits } => {
                let vhost = self.vhost_by_name(vhost)?;
                let vhost = self.vhost_mut(vhost);
                vhost.limits = *limits;
                vhost.connections.set_max(limits.max_connections);
            }
            Administration::SetUserLimits { user, limits } => self.set_user_limits(user, *limits)?,
            Administration::PutParameter { vhost, component, name, value } => {
                let vhost = self.vhost_by_name(vhost)?;
                self.vhost_mut(vhost).parameters.insert((component.clone(), name.clone()), value.clone());
            }
            Administration::DeleteParameter { vhost, component, name } => {
                let vhost = self.vhost_by_name(vhost)?;
                self.vhost_mut(vhost).parameters.remove(&(component.clone(), name.clone()));
            }
            Administration::PutPolicy { vhost, kind, spec } => return self.put_policy(vhost, *kind, spec),
            Administration::DeletePolicy { vhost, kind, name } => return self.delete_policy(vhost, *kind, name),
            Administration::PutGlobalParameter { name, value } => _ = self.global_parameters.insert(name.clone(), value.clone()),
            Administration::DeleteGlobalParameter { name } => _ = self.global_parameters.remove(name),
        }
        Some(Applied::Done)
    }

    /// Lets users and virtual hosts count by the quotas that they have in `other`, a catalog of the
    /// same changes.
    pub fn share_quotas(&mut self, other: &Catalog) {
        for (id, user) in self.users.iter_mut() {
            if let Some(other) = other.users.get(id) {
                (user.connections, user.channels) = (other.connections.clone(), other.channels.clone());
            }
        }
        for (vhost, other) in self.vhosts.iter_mut().zip(&other.vhosts) {
            if let (Some(vhost), Some(other)) = (vhost, other) {
                vhost.connections = other.connections.clone();
            }
        }
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

fn check_default_type(spec: &VhostSpec) -> Result<(), Fault> {
    match spec.default_queue_type.as_deref() {
        None | Some("classic" | "quorum" | "stream") => Ok(()),
        Some(other) => Err(Fault::new(Code::PreconditionFailed, format!("{other} is not a valid queue type"))),
    }
}

fn bad_pattern(error: String) -> Fault {
    Fault::new(Code::PreconditionFailed, format!("invalid regexp: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::access::open_vhost;

    #[test]
    fn shards_count_by_the_same_quotas() {
        let (one, mut other) = (Catalog::new(), Catalog::new());
        let taken = |catalog: &Catalog| {
            let vhost = catalog.vhost(catalog.vhost_by_name("/").expect("it is there"));
            (catalog.user_by_name("guest").expect("it is there").connections.taken(), vhost.connections.taken())
        };
        let _stay = open_vhost(&one, &Quota::default(), &one.guest(), "/").expect("guest may");
        assert_eq!((taken(&one), taken(&other)), ((1, 1), (0, 0)));
        other.share_quotas(&one);
        assert_eq!(taken(&other), (1, 1));
        let made = [Change::Administration(Administration::PutUser(UserSpec { name: "u".into(), ..UserSpec::default() }))];
        let quotas = Quotas::default();
        let mut catalogs = [one, other];
        catalogs.iter_mut().for_each(|catalog| _ = catalog.apply_with(&made[0], &quotas));
        let [one, other] = catalogs.map(|catalog| catalog.user_by_name("u").expect("it was made").channels.clone());
        let _channel = one.take().expect("there is no limit");
        assert_eq!(other.taken(), 1);
    }
}

//! Administration as records of the catalog's log. They name everything by its name, and have a
//! hash in the place of a password.

use super::users::Access;
use super::{Catalog, Change, UserInfo, VhostInfo};
use crate::contract::{
    Administration, Hashing, Limit, Password, PasswordHash, Permissions, PolicyKind, PolicySpec, TopicPermissions, UserLimits, UserSpec,
    VhostLimits, VhostSpec,
};
use crate::message::{TableBuilder, TableRef, Value};

/// The record of a change.
pub(super) fn encode(administration: &Administration) -> TableBuilder {
    let begin = |op: &str| TableBuilder::new().text("op", op);
    let in_vhost = |op: &str, vhost: &str| begin(op).text("vhost", vhost);
    match administration {
        Administration::PutVhost(spec) => encode_vhost(in_vhost("vhost", &spec.name), spec),
        Administration::DeleteVhost { name } => in_vhost("delete-vhost", name),
        Administration::PutUser(spec) => encode_user(begin("user"), spec),
        Administration::DeleteUser { name } => begin("delete-user").text("user", name),
        Administration::SetPermissions { vhost, user, permissions: Permissions { configure, write, read } } => {
            in_vhost("permissions", vhost).text("user", user).text("configure", configure).text("write", write).text("read", read)
        }
        Administration::ClearPermissions { vhost, user } => in_vhost("clear-permissions", vhost).text("user", user),
        Administration::SetTopicPermissions { vhost, user, exchange, permissions: TopicPermissions { write, read } } => {
            in_vhost("topic-permissions", vhost).text("user", user).text("exchange", exchange).text("write", write).text("read", read)
        }
        Administration::ClearTopicPermissions { vhost, user, exchange } => {
            let table = in_vhost("clear-topic-permissions", vhost).text("user", user);
            exchange.iter().fold(table, |table, exchange| table.text("exchange", exchange))
        }
        Administration::SetVhostLimits { vhost, limits: VhostLimits { max_connections, max_queues } } => {
            let table = in_vhost("vhost-limits", vhost);
            limit(limit(table, "max-connections", *max_connections), "max-queues", *max_queues)
        }
        Administration::SetUserLimits { user, limits: UserLimits { max_connections, max_channels } } => {
            let table = begin("user-limits").text("user", user);
            limit(limit(table, "max-connections", *max_connections), "max-channels", *max_channels)
        }
        Administration::PutParameter { vhost, component, name, value } => {
            in_vhost("parameter", vhost).text("component", component).text("name", name).text("value", value)
        }
        Administration::DeleteParameter { vhost, component, name } => {
            in_vhost("delete-parameter", vhost).text("component", component).text("name", name)
        }
        Administration::PutPolicy { vhost, kind, spec } => encode_policy(in_vhost("policy", vhost).text("kind", kind.component()), spec),
        Administration::DeletePolicy { vhost, kind, name } => {
            in_vhost("delete-policy", vhost).text("kind", kind.component()).text("name", name)
        }
        Administration::PutGlobalParameter { name, value } => begin("global-parameter").text("name", name).text("value", value),
        Administration::DeleteGlobalParameter { name } => begin("delete-global-parameter").text("name", name),
    }
}

/// Reads a record; none if it is of another kind.
pub(super) fn decode(op: &str, table: TableRef<'_>) -> Option<Administration> {
    let text = |key| super::saved_topology::text(table, key);
    let limit = |key| table.find(key).and_then(Value::as_int).and_then(|max| u32::try_from(max).ok());
    Some(match op {
        "vhost" => Administration::PutVhost(decode_vhost(table)?),
        "delete-vhost" => Administration::DeleteVhost { name: text("vhost")? },
        "user" => Administration::PutUser(decode_user(table)?),
        "delete-user" => Administration::DeleteUser { name: text("user")? },
        "permissions" => {
            let permissions = Permissions { configure: text("configure")?, write: text("write")?, read: text("read")? };
            Administration::SetPermissions { vhost: text("vhost")?, user: text("user")?, permissions }
        }
        "clear-permissions" => Administration::ClearPermissions { vhost: text("vhost")?, user: text("user")? },
        "topic-permissions" => {
            let permissions = TopicPermissions { write: text("write")?, read: text("read")? };
            Administration::SetTopicPermissions { vhost: text("vhost")?, user: text("user")?, exchange: text("exchange")?, permissions }
        }
        "clear-topic-permissions" => {
            Administration::ClearTopicPermissions { vhost: text("vhost")?, user: text("user")?, exchange: text("exchange") }
        }
        "vhost-limits" => {
            let limits = VhostLimits { max_connections: limit("max-connections"), max_queues: limit("max-queues") };
            Administration::SetVhostLimits { vhost: text("vhost")?, limits }
        }
        "user-limits" => {
            let limits = UserLimits { max_connections: limit("max-connections"), max_channels: limit("max-channels") };
            Administration::SetUserLimits { user: text("user")?, limits }
        }
        "parameter" => Administration::PutParameter {
            vhost: text("vhost")?,
            component: text("component")?,
            name: text("name")?,
            value: text("value")?,
        },
        "delete-parameter" => Administration::DeleteParameter { vhost: text("vhost")?, component: text("component")?, name: text("name")? },
        "policy" => Administration::PutPolicy {
            vhost: text("vhost")?,
            kind: PolicyKind::of_component(&text("kind")?)?,
            spec: decode_policy(table)?,
        },
        "delete-policy" => {
            Administration::DeletePolicy { vhost: text("vhost")?, kind: PolicyKind::of_component(&text("kind")?)?, name: text("name")? }
        }
        "global-parameter" => Administration::PutGlobalParameter { name: text("name")?, value: text("value")? },
        "delete-global-parameter" => Administration::DeleteGlobalParameter { name: text("name")? },
        _ => return None,
    })
}

fn encode_vhost(table: TableBuilder, spec: &VhostSpec) -> TableBuilder {
    let VhostSpec { name: _, description, tags, default_queue_type, tracing, protected } = spec;
    let table = words(table.text("description", description), "tags", tags).bool("tracing", *tracing).bool("protected", *protected);
    default_queue_type.iter().fold(table, |table, kind| table.text("default-queue-type", kind))
}

fn decode_vhost(table: TableRef<'_>) -> Option<VhostSpec> {
    let text = |key| super::saved_topology::text(table, key);
    let flag = |key| table.find(key).and_then(Value::as_bool).unwrap_or(false);
    Some(VhostSpec {
        name: text("vhost")?,
        description: text("description")?,
        tags: read_words(table, "tags")?,
        default_queue_type: text("default-queue-type"),
        tracing: flag("tracing"),
        protected: flag("protected"),
    })
}

fn encode_user(table: TableBuilder, UserSpec { name, password, tags }: &UserSpec) -> TableBuilder {
    let table = table.text("user", name);
    let table = match password {
        Some(Password::Hashed(PasswordHash { hashing, octets })) => {
            table.text("hashing", hashing.name()).value("hash", Value::LongString(octets))
        }
        Some(Password::Plain(_)) => unreachable!("a password is hashed before its command is ordered"),
        None => table,
    };
    tags.iter().fold(table, |table, tags| words(table, "tags", tags))
}

fn decode_user(table: TableRef<'_>) -> Option<UserSpec> {
    let password = match super::saved_topology::text(table, "hashing") {
        Some(hashing) => {
            let (hashing, octets) = (Hashing::named(&hashing)?, table.find("hash")?.as_text()?.into());
            Some(Password::Hashed(PasswordHash { hashing, octets }))
        }
        None => None,
    };
    Some(UserSpec { name: super::saved_topology::text(table, "user")?, password, tags: read_words(table, "tags") })
}

fn encode_policy(table: TableBuilder, PolicySpec { name, pattern, apply_to, priority, definition }: &PolicySpec) -> TableBuilder {
    let table = table.text("name", name).text("pattern", pattern).text("apply-to", apply_to);
    table.long("priority", *priority).table("definition", definition)
}

fn decode_policy(table: TableRef<'_>) -> Option<PolicySpec> {
    let text = |key| super::saved_topology::text(table, key);
    Some(PolicySpec {
        name: text("name")?,
        pattern: text("pattern")?,
        apply_to: text("apply-to")?,
        priority: table.find("priority")?.as_int()?,
        definition: table.find("definition")?.as_table()?.to_owned(),
    })
}

fn limit(table: TableBuilder, key: &str, max: Limit) -> TableBuilder {
    max.iter().fold(table, |table, &max| table.long(key, max.into()))
}

fn words(table: TableBuilder, key: &str, words: &[Box<str>]) -> TableBuilder {
    table.array(key, |array| words.iter().fold(array, |array, word| array.text(word)))
}

fn read_words(table: TableRef<'_>, key: &str) -> Option<Box<[Box<str>]>> {
    let words = table.find(key)?.as_array()?;
    words.map(|word| std::str::from_utf8(word.as_text()?).ok().map(Box::from)).collect()
}

impl Catalog {
    /// Returns the commands that make virtual hosts, users and parameters anew, each after those
    /// that it needs.
    pub(super) fn administration(&self) -> impl Iterator<Item = Change> {
        let vhosts = self.vhosts().flat_map(VhostInfo::commands);
        let users = self.users().flat_map(|user| self.user_commands(user));
        let globals =
            self.global_parameters().map(|(name, value)| Administration::PutGlobalParameter { name: name.into(), value: value.into() });
        vhosts.chain(users).chain(globals).map(Change::Administration)
    }

    fn user_commands(&self, user: &UserInfo) -> Vec<Administration> {
        let (password, tags) = (Some(Password::Hashed(user.password.clone())), Some(user.tags.clone()));
        let mut commands = vec![Administration::PutUser(UserSpec { name: user.name.clone(), password, tags })];
        if user.limits != UserLimits::default() {
            commands.push(Administration::SetUserLimits { user: user.name.clone(), limits: user.limits });
        }
        for (&vhost, access) in &user.access {
            commands.extend(access.commands(self.vhost_name(vhost), &user.name));
        }
        commands
    }
}

impl VhostInfo {
    fn commands(&self) -> Vec<Administration> {
        let vhost = &self.spec.name;
        let mut commands = vec![Administration::PutVhost(self.spec.clone())];
        if self.limits != VhostLimits::default() {
            commands.push(Administration::SetVhostLimits { vhost: vhost.clone(), limits: self.limits });
        }
        commands.extend(self.parameters.iter().map(|((component, name), value)| Administration::PutParameter {
            vhost: vhost.clone(),
            component: component.clone(),
            name: name.clone(),
            value: value.clone(),
        }));
        let policies =
            self.policies.specs().map(|(kind, spec)| Administration::PutPolicy { vhost: vhost.clone(), kind, spec: spec.clone() });
        commands.extend(policies);
        commands
    }
}

impl Access {
    fn commands(&self, vhost: &str, user: &str) -> Vec<Administration> {
        let permissions = self.permissions().map(|permissions| Administration::SetPermissions {
            vhost: vhost.into(),
            user: user.into(),
            permissions: permissions.clone(),
        });
        let topics = self.topic_permissions().map(|(exchange, permissions)| Administration::SetTopicPermissions {
            vhost: vhost.into(),
            user: user.into(),
            exchange: exchange.into(),
            permissions: permissions.clone(),
        });
        permissions.into_iter().chain(topics).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Saved;
    use super::*;

    fn commands() -> Vec<Administration> {
        let hash = PasswordHash::new(Hashing::Sha512, [0, 255, 1, 2], b"secret");
        vec![
            Administration::PutVhost(VhostSpec {
                name: "v".into(),
                description: "for tests".into(),
                tags: ["a".into(), "b".into()].into(),
                default_queue_type: Some("quorum".into()),
                tracing: true,
                protected: true,
            }),
            Administration::PutVhost(VhostSpec { name: "w".into(), ..VhostSpec::default() }),
            Administration::PutUser(UserSpec {
                name: "u".into(),
                password: Some(Password::Hashed(hash)),
                tags: Some(["impersonator".into()].into()),
            }),
            Administration::PutUser(UserSpec { name: "nobody".into(), ..UserSpec::default() }),
            Administration::SetPermissions {
                vhost: "v".into(),
                user: "u".into(),
                permissions: Permissions { configure: "^u-".into(), write: "".into(), read: ".*".into() },
            },
            Administration::SetTopicPermissions {
                vhost: "v".into(),
                user: "nobody".into(),
                exchange: "amq.topic".into(),
                permissions: TopicPermissions { write: "^{username}".into(), read: "".into() },
            },
            Administration::SetVhostLimits {
                vhost: "w".into(),
                limits: VhostLimits { max_connections: Some(0), max_queues: Some(u32::MAX) },
            },
            Administration::SetUserLimits { user: "u".into(), limits: UserLimits { max_connections: None, max_channels: Some(7) } },
            Administration::PutParameter { vhost: "v".into(), component: "shovel".into(), name: "s".into(), value: "{\"a\": 1}".into() },
            policy(PolicyKind::User),
            policy(PolicyKind::Operator),
            Administration::PutGlobalParameter { name: "cluster_name".into(), value: "\"c\"".into() },
        ]
    }

    fn policy(kind: PolicyKind) -> Administration {
        let definition = TableBuilder::new().long("max-length", 5).text("overflow", "reject-publish").build();
        let (name, pattern, apply_to) = ("p".into(), "^(?!amq)".into(), "queues".into());
        Administration::PutPolicy { vhost: "v".into(), kind, spec: PolicySpec { name, pattern, apply_to, priority: -7, definition } }
    }

    fn undone() -> Vec<Administration> {
        vec![
            Administration::ClearPermissions { vhost: "v".into(), user: "u".into() },
            Administration::ClearTopicPermissions { vhost: "v".into(), user: "nobody".into(), exchange: Some("amq.topic".into()) },
            Administration::ClearTopicPermissions { vhost: "v".into(), user: "u".into(), exchange: None },
            Administration::SetVhostLimits { vhost: "w".into(), limits: VhostLimits::default() },
            Administration::SetUserLimits { user: "u".into(), limits: UserLimits::default() },
            Administration::DeleteParameter { vhost: "v".into(), component: "shovel".into(), name: "s".into() },
            Administration::DeletePolicy { vhost: "v".into(), kind: PolicyKind::Operator, name: "p".into() },
            Administration::DeleteGlobalParameter { name: "cluster_name".into() },
            Administration::DeleteUser { name: "u".into() },
            Administration::DeleteUser { name: "nobody".into() },
            Administration::DeleteUser { name: "guest".into() },
            Administration::DeleteVhost { name: "v".into() },
            Administration::DeleteVhost { name: "w".into() },
        ]
    }

    fn applied(catalog: &mut Catalog, commands: Vec<Administration>) -> Vec<Vec<u8>> {
        let save = |change: Change| {
            let record = catalog.save(&change).expect("a command is durable");
            catalog.apply(&change);
            record
        };
        commands.into_iter().map(Change::Administration).map(save).collect()
    }

    fn restored(records: &[Vec<u8>]) -> Catalog {
        Catalog::restored(&Saved::read(records.iter().map(Vec::as_slice)).expect("known"))
    }

    #[test]
    fn every_command_is_read_as_it_was_written() {
        for command in commands().into_iter().chain(undone()) {
            let record = encode(&command).build();
            let op = super::super::saved_topology::text(record.view(), "op").expect("every record has one");
            assert_eq!(decode(&op, record.view()), Some(command));
        }
    }

    #[test]
    fn what_operators_did_comes_back_from_the_log_and_from_a_snapshot() {
        let mut catalog = Catalog::new();
        let mut log = applied(&mut catalog, commands());
        let snapshot = catalog.snapshot();
        assert_eq!((restored(&log).snapshot(), restored(&snapshot).snapshot()), (snapshot.clone(), snapshot));
        let again = restored(&log);
        let user = again.user_by_name("u").expect("durable");
        assert!(user.password.is_of(b"secret") && user.has_tag("impersonator") && user.limits.max_channels == Some(7));
        assert!(again.may_open(user.id, again.vhost_by_name("v").expect("durable")));
        log.extend(applied(&mut catalog, undone()));
        let again = restored(&log);
        assert_eq!((again.vhosts().count(), again.users().count(), again.global_parameters().count()), (1, 0, 0));
        assert_eq!(restored(&catalog.snapshot()).users().count(), 0, "guest is gone for good");
    }
}

//! Operators' commands as records of the catalog's log. They name everything by its name, and have
//! a hash in the place of a password.

use super::users::Access;
use super::{Catalog, Change, UserInfo, VhostInfo};
use crate::contract::{
    Command, Hashing, Limit, Password, PasswordHash, Permissions, PolicyKind, PolicySpec, TopicPermissions, UserLimits, UserSpec,
    VhostLimits, VhostSpec,
};
use crate::message::{TableBuilder, TableRef, Value};

/// The record of a command that changes the catalog itself.
pub(super) fn encode(command: &Command) -> TableBuilder {
    let begin = |op: &str| TableBuilder::new().text("op", op);
    let in_vhost = |op: &str, vhost: &str| begin(op).text("vhost", vhost);
    match command {
        Command::PutVhost(spec) => encode_vhost(in_vhost("vhost", &spec.name), spec),
        Command::DeleteVhost { name } => in_vhost("delete-vhost", name),
        Command::PutUser(spec) => encode_user(begin("user"), spec),
        Command::DeleteUser { name } => begin("delete-user").text("user", name),
        Command::SetPermissions { vhost, user, permissions: Permissions { configure, write, read } } => {
            in_vhost("permissions", vhost).text("user", user).text("configure", configure).text("write", write).text("read", read)
        }
        Command::ClearPermissions { vhost, user } => in_vhost("clear-permissions", vhost).text("user", user),
        Command::SetTopicPermissions { vhost, user, exchange, permissions: TopicPermissions { write, read } } => {
            in_vhost("topic-permissions", vhost).text("user", user).text("exchange", exchange).text("write", write).text("read", read)
        }
        Command::ClearTopicPermissions { vhost, user, exchange } => {
            let table = in_vhost("clear-topic-permissions", vhost).text("user", user);
            exchange.iter().fold(table, |table, exchange| table.text("exchange", exchange))
        }
        Command::SetVhostLimits { vhost, limits: VhostLimits { max_connections, max_queues } } => {
            let table = in_vhost("vhost-limits", vhost);
            limit(limit(table, "max-connections", *max_connections), "max-queues", *max_queues)
        }
        Command::SetUserLimits { user, limits: UserLimits { max_connections, max_channels } } => {
            let table = begin("user-limits").text("user", user);
            limit(limit(table, "max-connections", *max_connections), "max-channels", *max_channels)
        }
        Command::PutParameter { vhost, component, name, value } => {
            in_vhost("parameter", vhost).text("component", component).text("name", name).text("value", value)
        }
        Command::DeleteParameter { vhost, component, name } => {
            in_vhost("delete-parameter", vhost).text("component", component).text("name", name)
        }
        Command::PutPolicy { vhost, kind, spec } => encode_policy(in_vhost("policy", vhost).text("kind", kind.component()), spec),
        Command::DeletePolicy { vhost, kind, name } => in_vhost("delete-policy", vhost).text("kind", kind.component()).text("name", name),
        Command::PutGlobalParameter { name, value } => begin("global-parameter").text("name", name).text("value", value),
        Command::DeleteGlobalParameter { name } => begin("delete-global-parameter").text("name", name),
        Command::DeclareExchange { .. }
        | Command::DeclareQueue { .. }
        | Command::Bind { .. }
        | Command::DeleteExchange { .. }
        | Command::DeleteQueue { .. }
        | Command::Unbind { .. } => unreachable!("they are changes of their own"),
    }
}

/// Reads a record; none if it is not a command's.
pub(super) fn decode(op: &str, table: TableRef<'_>) -> Option<Command> {
    let text = |key| super::saved::text(table, key);
    let limit = |key| table.find(key).and_then(Value::as_int).and_then(|max| u32::try_from(max).ok());
    Some(match op {
        "vhost" => Command::PutVhost(decode_vhost(table)?),
        "delete-vhost" => Command::DeleteVhost { name: text("vhost")? },
        "user" => Command::PutUser(decode_user(table)?),
        "delete-user" => Command::DeleteUser { name: text("user")? },
        "permissions" => {
            let permissions = Permissions { configure: text("configure")?, write: text("write")?, read: text("read")? };
            Command::SetPermissions { vhost: text("vhost")?, user: text("user")?, permissions }
        }
        "clear-permissions" => Command::ClearPermissions { vhost: text("vhost")?, user: text("user")? },
        "topic-permissions" => {
            let permissions = TopicPermissions { write: text("write")?, read: text("read")? };
            Command::SetTopicPermissions { vhost: text("vhost")?, user: text("user")?, exchange: text("exchange")?, permissions }
        }
        "clear-topic-permissions" => {
            Command::ClearTopicPermissions { vhost: text("vhost")?, user: text("user")?, exchange: text("exchange") }
        }
        "vhost-limits" => {
            let limits = VhostLimits { max_connections: limit("max-connections"), max_queues: limit("max-queues") };
            Command::SetVhostLimits { vhost: text("vhost")?, limits }
        }
        "user-limits" => {
            let limits = UserLimits { max_connections: limit("max-connections"), max_channels: limit("max-channels") };
            Command::SetUserLimits { user: text("user")?, limits }
        }
        "parameter" => {
            Command::PutParameter { vhost: text("vhost")?, component: text("component")?, name: text("name")?, value: text("value")? }
        }
        "delete-parameter" => Command::DeleteParameter { vhost: text("vhost")?, component: text("component")?, name: text("name")? },
        "policy" => {
            Command::PutPolicy { vhost: text("vhost")?, kind: PolicyKind::of_component(&text("kind")?)?, spec: decode_policy(table)? }
        }
        "delete-policy" => {
            Command::DeletePolicy { vhost: text("vhost")?, kind: PolicyKind::of_component(&text("kind")?)?, name: text("name")? }
        }
        "global-parameter" => Command::PutGlobalParameter { name: text("name")?, value: text("value")? },
        "delete-global-parameter" => Command::DeleteGlobalParameter { name: text("name")? },
        _ => return None,
    })
}

fn encode_vhost(table: TableBuilder, spec: &VhostSpec) -> TableBuilder {
    let VhostSpec { name: _, description, tags, default_queue_type, tracing, protected } = spec;
    let table = words(table.text("description", description), "tags", tags).bool("tracing", *tracing).bool("protected", *protected);
    default_queue_type.iter().fold(table, |table, kind| table.text("default-queue-type", kind))
}

fn decode_vhost(table: TableRef<'_>) -> Option<VhostSpec> {
    let text = |key| super::saved::text(table, key);
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
    let password = match super::saved::text(table, "hashing") {
        Some(hashing) => {
            let (hashing, octets) = (Hashing::named(&hashing)?, table.find("hash")?.as_text()?.into());
            Some(Password::Hashed(PasswordHash { hashing, octets }))
        }
        None => None,
    };
    Some(UserSpec { name: super::saved::text(table, "user")?, password, tags: read_words(table, "tags") })
}

fn encode_policy(table: TableBuilder, PolicySpec { name, pattern, apply_to, priority, definition }: &PolicySpec) -> TableBuilder {
    let table = table.text("name", name).text("pattern", pattern).text("apply-to", apply_to);
    table.long("priority", *priority).table("definition", definition)
}

fn decode_policy(table: TableRef<'_>) -> Option<PolicySpec> {
    let text = |key| super::saved::text(table, key);
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
    /// The commands that make virtual hosts, users and parameters anew, each after those that it
    /// needs.
    pub(super) fn administration(&self) -> impl Iterator<Item = Change> {
        let vhosts = self.vhosts().flat_map(VhostInfo::commands);
        let users = self.users().flat_map(|user| self.user_commands(user));
        let globals = self.global_parameters().map(|(name, value)| Command::PutGlobalParameter { name: name.into(), value: value.into() });
        vhosts.chain(users).chain(globals).map(Change::command)
    }

    fn user_commands(&self, user: &UserInfo) -> Vec<Command> {
        let (password, tags) = (Some(Password::Hashed(user.password.clone())), Some(user.tags.clone()));
        let mut commands = vec![Command::PutUser(UserSpec { name: user.name.clone(), password, tags })];
        if user.limits != UserLimits::default() {
            commands.push(Command::SetUserLimits { user: user.name.clone(), limits: user.limits });
        }
        for (&vhost, access) in &user.access {
            commands.extend(access.commands(self.vhost_name(vhost), &user.name));
        }
        commands
    }
}

impl VhostInfo {
    fn commands(&self) -> Vec<Command> {
        let vhost = &self.spec.name;
        let mut commands = vec![Command::PutVhost(self.spec.clone())];
        if self.limits != VhostLimits::default() {
            commands.push(Command::SetVhostLimits { vhost: vhost.clone(), limits: self.limits });
        }
        commands.extend(self.parameters.iter().map(|((component, name), value)| Command::PutParameter {
            vhost: vhost.clone(),
            component: component.clone(),
            name: name.clone(),
            value: value.clone(),
        }));
        let policies = self.policies.specs().map(|(kind, spec)| Command::PutPolicy { vhost: vhost.clone(), kind, spec: spec.clone() });
        commands.extend(policies);
        commands
    }
}

impl Access {
    fn commands(&self, vhost: &str, user: &str) -> Vec<Command> {
        let permissions = self.permissions().map(|permissions| Command::SetPermissions {
            vhost: vhost.into(),
            user: user.into(),
            permissions: permissions.clone(),
        });
        let topics = self.topic_permissions().map(|(exchange, permissions)| Command::SetTopicPermissions {
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
    use crate::base::quota::Quota;

    fn commands() -> Vec<Command> {
        let hash = PasswordHash::new(Hashing::Sha512, [0, 255, 1, 2], b"secret");
        vec![
            Command::PutVhost(VhostSpec {
                name: "v".into(),
                description: "for tests".into(),
                tags: ["a".into(), "b".into()].into(),
                default_queue_type: Some("quorum".into()),
                tracing: true,
                protected: true,
            }),
            Command::PutVhost(VhostSpec { name: "w".into(), ..VhostSpec::default() }),
            Command::PutUser(UserSpec {
                name: "u".into(),
                password: Some(Password::Hashed(hash)),
                tags: Some(["impersonator".into()].into()),
            }),
            Command::PutUser(UserSpec { name: "nobody".into(), ..UserSpec::default() }),
            Command::SetPermissions {
                vhost: "v".into(),
                user: "u".into(),
                permissions: Permissions { configure: "^u-".into(), write: "".into(), read: ".*".into() },
            },
            Command::SetTopicPermissions {
                vhost: "v".into(),
                user: "nobody".into(),
                exchange: "amq.topic".into(),
                permissions: TopicPermissions { write: "^{username}".into(), read: "".into() },
            },
            Command::SetVhostLimits { vhost: "w".into(), limits: VhostLimits { max_connections: Some(0), max_queues: Some(u32::MAX) } },
            Command::SetUserLimits { user: "u".into(), limits: UserLimits { max_connections: None, max_channels: Some(7) } },
            Command::PutParameter { vhost: "v".into(), component: "shovel".into(), name: "s".into(), value: "{\"a\": 1}".into() },
            policy(PolicyKind::User),
            policy(PolicyKind::Operator),
            Command::PutGlobalParameter { name: "cluster_name".into(), value: "\"c\"".into() },
        ]
    }

    fn policy(kind: PolicyKind) -> Command {
        let definition = TableBuilder::new().long("max-length", 5).text("overflow", "reject-publish").build();
        let (name, pattern, apply_to) = ("p".into(), "^(?!amq)".into(), "queues".into());
        Command::PutPolicy { vhost: "v".into(), kind, spec: PolicySpec { name, pattern, apply_to, priority: -7, definition } }
    }

    fn undone() -> Vec<Command> {
        vec![
            Command::ClearPermissions { vhost: "v".into(), user: "u".into() },
            Command::ClearTopicPermissions { vhost: "v".into(), user: "nobody".into(), exchange: Some("amq.topic".into()) },
            Command::ClearTopicPermissions { vhost: "v".into(), user: "u".into(), exchange: None },
            Command::SetVhostLimits { vhost: "w".into(), limits: VhostLimits::default() },
            Command::SetUserLimits { user: "u".into(), limits: UserLimits::default() },
            Command::DeleteParameter { vhost: "v".into(), component: "shovel".into(), name: "s".into() },
            Command::DeletePolicy { vhost: "v".into(), kind: PolicyKind::Operator, name: "p".into() },
            Command::DeleteGlobalParameter { name: "cluster_name".into() },
            Command::DeleteUser { name: "u".into() },
            Command::DeleteUser { name: "nobody".into() },
            Command::DeleteUser { name: "guest".into() },
            Command::DeleteVhost { name: "v".into() },
            Command::DeleteVhost { name: "w".into() },
        ]
    }

    fn applied(catalog: &mut Catalog, commands: Vec<Command>) -> Vec<Vec<u8>> {
        let save = |change: Change| {
            let record = catalog.save(&change).expect("a command is durable");
            catalog.apply(&change);
            record
        };
        commands.into_iter().map(Change::command).map(save).collect()
    }

    fn restored(records: &[Vec<u8>]) -> Catalog {
        Catalog::restored(&Saved::read(records.iter().map(Vec::as_slice)).expect("known"))
    }

    #[test]
    fn every_command_is_read_as_it_was_written() {
        for command in commands().into_iter().chain(undone()) {
            let record = encode(&command).build();
            let op = super::super::saved::text(record.view(), "op").expect("every record has one");
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

    #[test]
    fn all_shards_have_the_same_quotas() {
        let records = Saved::read(std::iter::empty()).expect("a new broker");
        let [one, other] = [(), ()].map(|()| Catalog::restored(&records));
        let _stay = crate::broker::access::open_vhost(&one, &Quota::default(), &one.guest(), "/").expect("guest may");
        assert_eq!(other.user_by_name("guest").expect("it is there").connections.taken(), 1);
    }
}

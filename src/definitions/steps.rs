//! Definitions → an operator's commands, in an order in which every object that a command names
//! exists already.
//!
//! Operator policies are parameters in RabbitMQ's JSON. Other policies may be parameters, too,
//! because RabbitMQ stores them so.

use serde_json::Value;

use super::arguments::to_table;
use super::model::{Binding, Definitions, Destination, Exchange, Limits, Parameter, Policy, Queue, User, Vhost};
use crate::contract::{
    Administration, BindingSpec, Command, ExchangeSpec, Hashing, Limit, Password, PasswordHash, Permissions, PolicyKind, PolicySpec,
    QueueSpec, TopicPermissions, Topology, UserLimits, UserSpec, VhostLimits, VhostSpec,
};

/// One command, and the object that it makes.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// The object, as a sentence names it: `queue 'q' in vhost '/'`.
    pub object: String,
    /// The command.
    pub command: Command,
}

impl Step {
    fn new(object: String, command: impl Into<Command>) -> Step {
        Step { object, command: command.into() }
    }
}

/// The component of the limits of a virtual host, which are parameters as well.
pub const VHOST_LIMITS: &str = "vhost-limits";

impl Definitions {
    /// Returns the steps that make all objects: virtual hosts, users, permissions, parameters,
    /// policies, queues, exchanges, bindings.
    ///
    /// # Errors
    /// One sentence that names the object with an impossible value.
    pub fn steps(&self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        self.vhosts.iter().for_each(|vhost| put_vhost(vhost, &mut steps));
        let hashing = self.default_hashing();
        self.users.iter().try_for_each(|user| put_user(user, hashing, &mut steps))?;
        self.add_permissions(&mut steps);
        self.global_parameters.iter().for_each(|parameter| {
            let command = Administration::PutGlobalParameter { name: boxed(&parameter.name), value: json_text(&parameter.value) };
            steps.push(Step::new(format!("global parameter '{}'", parameter.name), command));
        });
        self.parameters.iter().try_for_each(|parameter| put_parameter(parameter, &mut steps))?;
        for policy in &self.policies {
            steps.push(put_policy(PolicyKind::User, policy)?);
        }
        for queue in self.queues.iter().filter(|queue| !is_reserved(&queue.name)) {
            steps.push(declare_queue(queue)?);
        }
        for exchange in self.exchanges.iter().filter(|exchange| !is_reserved(&exchange.name)) {
            steps.push(declare_exchange(exchange)?);
        }
        for binding in self.bindings.iter().filter(|binding| !binding.source.is_empty()) {
            steps.push(bind(binding)?);
        }
        Ok(steps)
    }

    fn add_permissions(&self, steps: &mut Vec<Step>) {
        for permission in &self.permissions {
            let (user, vhost) = (boxed(&permission.user), boxed(&permission.vhost));
            let object = format!("permission of user '{user}' in vhost '{vhost}'");
            let (configure, write, read) = (boxed(&permission.configure), boxed(&permission.write), boxed(&permission.read));
            let command = Administration::SetPermissions { vhost, user, permissions: Permissions { configure, write, read } };
            steps.push(Step::new(object, command));
        }
        for permission in &self.topic_permissions {
            let (user, vhost, exchange) = (boxed(&permission.user), boxed(&permission.vhost), boxed(&permission.exchange));
            let object = format!("topic permission of user '{user}' for exchange '{exchange}' in vhost '{vhost}'");
            let permissions = TopicPermissions { write: boxed(&permission.write), read: boxed(&permission.read) };
            steps.push(Step::new(object, Administration::SetTopicPermissions { vhost, user, exchange, permissions }));
        }
    }

    /// The hash function of hashes that do not name theirs: before 3.6.0 there was only one.
    fn default_hashing(&self) -> Hashing {
        let mut numbers = self.rabbitmq_version.split('.').map_while(|number| number.parse::<u32>().ok());
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) if (major, minor) < (3, 6) => Hashing::Md5,
            _ => Hashing::default(),
        }
    }
}

/// Whether a name is reserved: that of the default exchange, or one that begins with `amq.`, as
/// those of the broker's own objects and of server-named queues do.
pub(super) fn is_reserved(name: &str) -> bool {
    name.is_empty() || name.starts_with("amq.")
}

fn put_vhost(vhost: &Vhost, steps: &mut Vec<Step>) {
    let (said, bare) = (&vhost.metadata, &vhost.bare);
    let either = |text: &Option<String>, other: &Option<String>| text.clone().or_else(|| other.clone());
    let kind = either(&bare.default_queue_type, &said.default_queue_type).filter(|kind| !kind.is_empty() && kind != "undefined");
    let tags = if bare.tags.is_empty() { &said.tags } else { &bare.tags };
    let spec = VhostSpec {
        name: boxed(&vhost.name),
        description: either(&bare.description, &said.description).unwrap_or_default().into(),
        tags: boxed_list(tags),
        default_queue_type: kind.map(Into::into),
        tracing: vhost.tracing.unwrap_or(false),
        protected: bare.protected_from_deletion.or(said.protected_from_deletion).unwrap_or(false),
    };
    let object = format!("vhost '{}'", vhost.name);
    steps.push(Step::new(object.clone(), Administration::PutVhost(spec)));
    steps.extend(vhost_limits(&vhost.name, &vhost.limits).map(|command| Step::new(format!("limits of {object}"), command)));
}

fn vhost_limits(vhost: &str, limits: &Limits) -> Option<Administration> {
    let limits = VhostLimits { max_connections: limit(limits, "max-connections"), max_queues: limit(limits, "max-queues") };
    (limits != VhostLimits::default()).then(|| Administration::SetVhostLimits { vhost: vhost.into(), limits })
}

fn put_user(user: &User, hashing: Hashing, steps: &mut Vec<Step>) -> Result<(), String> {
    let object = format!("user '{}'", user.name);
    let password = password(user, hashing).map_err(|why| format!("{object}: {why}"))?;
    let spec = UserSpec { name: boxed(&user.name), password, tags: Some(boxed_list(&user.tags)) };
    steps.push(Step::new(object.clone(), Administration::PutUser(spec)));
    let limits = UserLimits { max_connections: limit(&user.limits, "max-connections"), max_channels: limit(&user.limits, "max-channels") };
    if limits != UserLimits::default() {
        steps.push(Step::new(format!("limits of {object}"), Administration::SetUserLimits { user: boxed(&user.name), limits }));
    }
    Ok(())
}

fn password(user: &User, default: Hashing) -> Result<Option<Password>, String> {
    let Some(hash) = &user.password_hash else {
        return Ok(user.password.as_ref().map(|password| Password::Plain(password.as_bytes().into())));
    };
    let hashing = match user.hashing_algorithm.as_deref() {
        None => default,
        Some(name) => Hashing::named(name).ok_or_else(|| format!("there is no hashing algorithm '{name}'"))?,
    };
    let hash = PasswordHash::from_base64(hashing, hash).ok_or("its password_hash is not base64")?;
    Ok(Some(Password::Hashed(hash)))
}

/// Reads a limit; a negative number means no limit.
fn limit(limits: &Limits, name: &str) -> Limit {
    limits.get(name).and_then(|&limit| u32::try_from(limit).ok())
}

fn put_parameter(parameter: &Parameter, steps: &mut Vec<Step>) -> Result<(), String> {
    let Parameter { vhost, component, name, value } = parameter;
    let object = format!("parameter '{name}' of {component} in vhost '{vhost}'");
    if component == VHOST_LIMITS {
        let limits = serde_json::from_value(value.clone()).map_err(|error| format!("{object}: {error}"))?;
        steps.extend(vhost_limits(vhost, &limits).map(|command| Step::new(object, command)));
        return Ok(());
    }
    if let Some(kind) = PolicyKind::of_component(component) {
        steps.push(put_policy(kind, &policy_of_parameter(parameter)?)?);
        return Ok(());
    }
    let command =
        Administration::PutParameter { vhost: boxed(vhost), component: boxed(component), name: boxed(name), value: json_text(value) };
    steps.push(Step::new(object, command));
    Ok(())
}

fn put_policy(kind: PolicyKind, policy: &Policy) -> Result<Step, String> {
    let Policy { vhost, name, pattern, apply_to, definition, priority } = policy;
    let whose = if kind == PolicyKind::User { "policy" } else { "operator policy" };
    let object = format!("{whose} '{name}' in vhost '{vhost}'");
    let definition = to_table(definition).map_err(|why| format!("{object}: {why}"))?;
    let (name, pattern, apply_to) = (boxed(name), boxed(pattern), boxed(apply_to));
    let spec = PolicySpec { name, pattern, apply_to, priority: *priority, definition };
    Ok(Step::new(object, Administration::PutPolicy { vhost: boxed(vhost), kind, spec }))
}

/// Reads a policy that is written as a parameter.
fn policy_of_parameter(parameter: &Parameter) -> Result<Policy, String> {
    let Parameter { vhost, component, name, value } = parameter;
    let mut policy = value.clone();
    if let Some(fields) = policy.as_object_mut() {
        fields.insert("vhost".to_owned(), vhost.clone().into());
        fields.insert("name".to_owned(), name.clone().into());
    }
    serde_json::from_value(policy).map_err(|error| format!("parameter '{name}' of {component} in vhost '{vhost}': {error}"))
}

fn declare_queue(queue: &Queue) -> Result<Step, String> {
    let object = format!("queue '{}' in vhost '{}'", queue.name, queue.vhost);
    let arguments = to_table(&queue.arguments).map_err(|why| format!("{object}: {why}"))?;
    let (durable, auto_delete) = (queue.durable, queue.auto_delete);
    let spec = QueueSpec { name: boxed(&queue.name), durable, exclusive: false, auto_delete, arguments };
    Ok(Step::new(object, Command::topology(&queue.vhost, Topology::DeclareQueue(spec))))
}

fn declare_exchange(exchange: &Exchange) -> Result<Step, String> {
    let object = format!("exchange '{}' in vhost '{}'", exchange.name, exchange.vhost);
    let arguments = to_table(&exchange.arguments).map_err(|why| format!("{object}: {why}"))?;
    let &Exchange { durable, auto_delete, internal, .. } = exchange;
    let spec = ExchangeSpec { name: boxed(&exchange.name), kind: boxed(&exchange.kind), durable, auto_delete, internal, arguments };
    Ok(Step::new(object, Command::topology(&exchange.vhost, Topology::DeclareExchange(spec))))
}

fn bind(binding: &Binding) -> Result<Step, String> {
    let Binding { source, destination, vhost, .. } = binding;
    let (kind, word) = match binding.destination_type {
        Destination::Queue => (crate::contract::Destination::Queue, "queue"),
        Destination::Exchange => (crate::contract::Destination::Exchange, "exchange"),
    };
    let object = format!("binding from exchange '{source}' to {word} '{destination}' in vhost '{vhost}'");
    let arguments = to_table(&binding.arguments).map_err(|why| format!("{object}: {why}"))?.view().canonical();
    let key = binding.routing_key.as_bytes().into();
    let spec = BindingSpec { source: boxed(source), kind, destination: boxed(destination), key, arguments };
    Ok(Step::new(object, Command::topology(vhost, Topology::Bind(spec))))
}

fn boxed(text: &str) -> Box<str> {
    text.into()
}

fn boxed_list(texts: &[String]) -> Box<[Box<str>]> {
    texts.iter().map(|text| boxed(text)).collect()
}

fn json_text(value: &Value) -> Box<str> {
    value.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Result<Vec<Step>, String> {
        Definitions::read(text)?.steps()
    }

    #[test]
    fn what_is_named_is_made_before() {
        let steps = steps(include_str!("../../tests/definitions/cluster.json")).expect("RabbitMQ wrote it");
        let first_word = |step: &Step| step.object.split([' ', '\'']).next().unwrap_or_default().to_owned();
        let mut words: Vec<String> = steps.iter().map(first_word).collect();
        words.dedup();
        let expected = ["vhost", "limits", "vhost", "user", "limits", "user", "permission", "topic", "global"];
        assert_eq!(words[..9], expected);
        assert_eq!(words[9..12], ["operator", "parameter", "policy"]);
        assert_eq!(words[12..], ["queue", "exchange", "binding"]);
        let reserved = |step: &&Step| step.object.starts_with("exchange 'amq.");
        assert_eq!(steps.iter().filter(reserved).count(), 0);
    }

    #[test]
    fn passwords_are_taken_as_they_are() {
        let user = |text: &str, version: &str| -> Result<Option<Password>, String> {
            let steps = steps(&format!(r#"{{"rabbitmq_version": "{version}", "users": [{{"name": "u", {text}}}]}}"#))?;
            let Some(Step { command: Command::Administration(Administration::PutUser(spec)), .. }) = steps.into_iter().next() else {
                panic!("a user")
            };
            Ok(spec.password)
        };
        let hashed = |hashing, octets: &[u8]| Ok(Some(Password::Hashed(PasswordHash { hashing, octets: octets.into() })));
        assert_eq!(user(r#""password": "p""#, "4.3.6"), Ok(Some(Password::Plain(b"p".as_slice().into()))));
        assert_eq!(user(r#""tags": """#, "4.3.6"), Ok(None));
        assert_eq!(user(r#""password_hash": "AAEC""#, "4.3.6"), hashed(Hashing::Sha256, &[0, 1, 2]));
        assert_eq!(user(r#""password_hash": "AAEC""#, "3.5.7"), hashed(Hashing::Md5, &[0, 1, 2]));
        assert_eq!(
            user(r#""password_hash": "", "hashing_algorithm": "rabbit_password_hashing_sha512""#, "4.3.6"),
            hashed(Hashing::Sha512, b"")
        );
        assert_eq!(user(r#""password_hash": "%""#, "4.3.6"), Err("user 'u': its password_hash is not base64".into()));
        let unknown = user(r#""password_hash": "", "hashing_algorithm": "rot13""#, "4.3.6");
        assert_eq!(unknown, Err("user 'u': there is no hashing algorithm 'rot13'".into()));
    }

    #[test]
    fn limits_stand_in_either_place() {
        let limits = |text: &str| steps(text).map(|steps| steps.into_iter().map(|step| step.command).next_back());
        let expected =
            Administration::SetVhostLimits { vhost: "v".into(), limits: VhostLimits { max_connections: Some(0), max_queues: None } };
        let bare = r#"{"vhosts": [{"name": "v", "limits": {"max-connections": 0, "max-queues": -1}}]}"#;
        assert_eq!(limits(bare), Ok(Some(expected.clone().into())));
        let parameter =
            r#"{"parameters": [{"component": "vhost-limits", "name": "limits", "vhost": "v", "value": {"max-connections": 0}}]}"#;
        assert_eq!(limits(parameter), Ok(Some(expected.into())));
    }

    #[test]
    fn arguments_that_cannot_be_name_their_object() {
        let queue = r#"{"queues": [{"name": "q", "vhost": "v", "arguments": {"x": null}}]}"#;
        assert_eq!(steps(queue), Err("queue 'q' in vhost 'v': its argument 'x' is null".into()));
    }
}

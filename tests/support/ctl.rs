//! The operator's lines of a trace: they begin with `ctl`, and are named after rabbitmqctl's
//! commands.
//!
//! ```text
//! ctl add_vhost v default_queue_type=quorum       or without a type; guest may do everything there,
//!                                                 as after a PUT by the management API
//! ctl delete_vhost v
//! ctl add_user u password impersonator            with tags; a new password for a user that exists
//! ctl import_user u rabbit_password_hashing_md5 "…"    salt and hash in base64, or nothing
//! ctl delete_user u
//! ctl set_permissions v u configure write read    ctl clear_permissions v u
//! ctl set_topic_permissions v u exchange write read    ctl clear_topic_permissions v u
//! ctl set_vhost_limits v max-connections=1 max-queues=2    only the given limits exist
//! ctl set_user_limits u max-connections=1 max-channels=0
//! ctl set_policy p ^q '{"max-length": 5}' apply-to=queues priority=1 vhost=v
//!                                                 without these three: all, 0 and /
//! ctl set_operator_policy p ^q '{"max-length": 5}'
//! ctl clear_policy p vhost=v                      ctl clear_operator_policy p
//! ctl delete_queue q if-empty if-unused vhost=v   without conditions: always; without vhost: /
//! ctl delete_exchange e if-unused
//! ctl 0 < denied "why"                            the broker's refusal of the line before
//! ```
//!
//! A word that is empty or has spaces stands in quotes of either kind. There are no escapes,
//! because patterns are full of backslashes.
//!
//! RabbitMQ gets requests to its management API, shards in this process get commands. Everything
//! that a trace adds is removed after it; guest and `/`, which exist before, stay as they are.

use ringmq::contract::{
    Administration, Command, Hashing, Limit, Password, PasswordHash, Permissions, PolicyKind, PolicySpec, TopicPermissions, Topology,
    UserLimits, UserSpec, VhostLimits, VhostSpec,
};
use ringmq::definitions::arguments::to_table;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ctl {
    words: Vec<String>,
}

/// A request to the management API.
pub struct Http {
    /// PUT or DELETE.
    pub method: &'static str,
    /// The path after `/api/`.
    pub path: String,
    /// The body, in JSON.
    pub body: String,
}

impl Ctl {
    /// Reads the text after `ctl`.
    pub fn parse(line: &str) -> Result<Ctl, String> {
        let ctl = Ctl { words: words(line) };
        ctl.commands()?;
        Ok(ctl)
    }

    /// Returns the commands for shards.
    pub fn commands(&self) -> Result<Vec<Command>, String> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let administration = match words[..] {
            ["add_vhost", vhost, ref options @ ..] => {
                let all = Permissions { configure: ".*".into(), write: ".*".into(), read: ".*".into() };
                let default_queue_type = given(options, "default_queue_type").map(Into::into);
                let spec = VhostSpec { name: vhost.into(), default_queue_type, ..VhostSpec::default() };
                vec![
                    Administration::PutVhost(spec),
                    Administration::SetPermissions { vhost: vhost.into(), user: "guest".into(), permissions: all },
                ]
            }
            ["delete_vhost", vhost] => vec![Administration::DeleteVhost { name: own(vhost)? }],
            ["add_user", user, password, ref tags @ ..] => vec![put_user(user, Password::Plain(password.as_bytes().into()), tags)?],
            ["import_user", user, hashing, hash] => {
                let hashing = Hashing::named(hashing).ok_or("no such hashing")?;
                let hash = PasswordHash::from_base64(hashing, hash).ok_or("no base64")?;
                vec![put_user(user, Password::Hashed(hash), &[])?]
            }
            ["delete_user", user] => vec![Administration::DeleteUser { name: own(user)? }],
            ["set_permissions", vhost, user, configure, write, read] => {
                let permissions = Permissions { configure: configure.into(), write: write.into(), read: read.into() };
                vec![Administration::SetPermissions { vhost: vhost.into(), user: own(user)?, permissions }]
            }
            ["clear_permissions", vhost, user] => vec![Administration::ClearPermissions { vhost: vhost.into(), user: own(user)? }],
            ["set_topic_permissions", vhost, user, exchange, write, read] => {
                let permissions = TopicPermissions { write: write.into(), read: read.into() };
                vec![Administration::SetTopicPermissions { vhost: vhost.into(), user: own(user)?, exchange: exchange.into(), permissions }]
            }
            ["clear_topic_permissions", vhost, user] => {
                vec![Administration::ClearTopicPermissions { vhost: vhost.into(), user: own(user)?, exchange: None }]
            }
            ["set_vhost_limits", vhost, ref limits @ ..] => {
                let limits = VhostLimits { max_connections: limit(limits, "max-connections")?, max_queues: limit(limits, "max-queues")? };
                vec![Administration::SetVhostLimits { vhost: own(vhost)?, limits }]
            }
            ["set_user_limits", user, ref limits @ ..] => {
                let limits =
                    UserLimits { max_connections: limit(limits, "max-connections")?, max_channels: limit(limits, "max-channels")? };
                vec![Administration::SetUserLimits { user: own(user)?, limits }]
            }
            ["set_policy", name, pattern, definition, ref options @ ..] => {
                vec![put_policy(PolicyKind::User, name, pattern, definition, options)?]
            }
            ["set_operator_policy", name, pattern, definition, ref options @ ..] => {
                vec![put_policy(PolicyKind::Operator, name, pattern, definition, options)?]
            }
            ["delete_queue", name, ref options @ ..] => {
                let (if_unused, if_empty) = (options.contains(&"if-unused"), options.contains(&"if-empty"));
                let deletion = Topology::DeleteQueue { name: name.into(), if_unused, if_empty };
                return Ok(vec![Command::topology(option(options, "vhost", "/"), deletion)]);
            }
            ["delete_exchange", name, ref options @ ..] => {
                let deletion = Topology::DeleteExchange { name: name.into(), if_unused: options.contains(&"if-unused") };
                return Ok(vec![Command::topology(option(options, "vhost", "/"), deletion)]);
            }
            ["clear_policy", name, ref options @ ..] => vec![delete_policy(PolicyKind::User, name, options)],
            ["clear_operator_policy", name, ref options @ ..] => vec![delete_policy(PolicyKind::Operator, name, options)],
            _ => return Err(format!("no such command: {words:?}")),
        };
        Ok(administration.into_iter().map(Command::from).collect())
    }

    /// Returns the requests to RabbitMQ.
    pub fn requests(&self) -> Vec<Http> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words[..] {
            ["add_vhost", vhost, ref options @ ..] => {
                let kind: Vec<_> = given(options, "default_queue_type").map(|kind| ("default_queue_type", kind)).into_iter().collect();
                vec![put(&["vhosts", vhost], &kind)]
            }
            ["delete_vhost", vhost] => vec![delete(&["vhosts", vhost])],
            ["add_user", user, password, ref tags @ ..] => {
                vec![put(&["users", user], &[("password", password), ("tags", &tags.join(","))])]
            }
            ["import_user", user, hashing, hash] => {
                vec![put(&["users", user], &[("password_hash", hash), ("hashing_algorithm", hashing), ("tags", "")])]
            }
            ["delete_user", user] => vec![delete(&["users", user])],
            ["set_permissions", vhost, user, configure, write, read] => {
                vec![put(&["permissions", vhost, user], &[("configure", configure), ("write", write), ("read", read)])]
            }
            ["clear_permissions", vhost, user] => vec![delete(&["permissions", vhost, user])],
            ["set_topic_permissions", vhost, user, exchange, write, read] => {
                vec![put(&["topic-permissions", vhost, user], &[("exchange", exchange), ("write", write), ("read", read)])]
            }
            ["clear_topic_permissions", vhost, user] => vec![delete(&["topic-permissions", vhost, user])],
            ["set_vhost_limits", vhost, ref limits @ ..] => put_limits("vhost-limits", vhost, limits, ["max-connections", "max-queues"]),
            ["set_user_limits", user, ref limits @ ..] => put_limits("user-limits", user, limits, ["max-connections", "max-channels"]),
            ["set_policy", name, pattern, definition, ref options @ ..] => {
                vec![http_policy("policies", name, pattern, definition, options)]
            }
            ["set_operator_policy", name, pattern, definition, ref options @ ..] => {
                vec![http_policy("operator-policies", name, pattern, definition, options)]
            }
            ["delete_queue", name, ref options @ ..] => vec![delete_if("queues", name, options)],
            ["delete_exchange", name, ref options @ ..] => vec![delete_if("exchanges", name, options)],
            ["clear_policy", name, ref options @ ..] => vec![delete(&["policies", option(options, "vhost", "/"), name])],
            ["clear_operator_policy", name, ref options @ ..] => {
                vec![delete(&["operator-policies", option(options, "vhost", "/"), name])]
            }
            _ => unreachable!("parse has read it"),
        }
    }

    /// Returns the line that removes what this one adds.
    pub fn undo(&self) -> Option<Ctl> {
        let options = || self.words.iter().skip(4).filter(|word| word.starts_with("vhost=")).cloned();
        let remover = match self.words[0].as_str() {
            "set_policy" => "clear_policy",
            "set_operator_policy" => "clear_operator_policy",
            "add_vhost" => "delete_vhost",
            "add_user" | "import_user" => "delete_user",
            _ => return None,
        };
        Some(Ctl { words: [remover.into(), self.words[1].clone()].into_iter().chain(options()).collect() })
    }
}

fn words(mut line: &str) -> Vec<String> {
    let mut words = Vec::new();
    loop {
        line = line.trim_start();
        let quote = line.chars().next().filter(|quote| ['"', '\''].contains(quote));
        let (word, rest) = match quote {
            Some(quote) => line[1..].split_once(quote).unwrap_or((&line[1..], "")),
            None => line.split_at(line.find(char::is_whitespace).unwrap_or(line.len())),
        };
        if line.is_empty() {
            return words;
        }
        words.push(word.to_owned());
        line = rest;
    }
}

/// Returns the name of a user or virtual host that a trace may change.
fn own(name: &str) -> Result<Box<str>, String> {
    if ["guest", "/"].contains(&name) { Err(format!("{name} is not the trace's to change")) } else { Ok(name.into()) }
}

fn put_user(user: &str, password: Password, tags: &[&str]) -> Result<Administration, String> {
    let tags = tags.iter().map(|&tag| tag.into()).collect();
    Ok(Administration::PutUser(UserSpec { name: own(user)?, password: Some(password), tags: Some(tags) }))
}

fn put_policy(kind: PolicyKind, name: &str, pattern: &str, definition: &str, options: &[&str]) -> Result<Administration, String> {
    let definition = serde_json::from_str(definition).map_err(|error| format!("{definition}: {error}"))?;
    let spec = PolicySpec {
        name: name.into(),
        pattern: pattern.into(),
        apply_to: option(options, "apply-to", "all").into(),
        priority: option(options, "priority", "0").parse().map_err(|_| "priority takes a number")?,
        definition: to_table(&definition)?,
    };
    Ok(Administration::PutPolicy { vhost: option(options, "vhost", "/").into(), kind, spec })
}

/// Formats the conditions of a deletion, which follow a question mark.
fn delete_if(what: &str, name: &str, options: &[&str]) -> Http {
    let conditions: Vec<String> = options.iter().filter(|word| word.starts_with("if-")).map(|word| format!("{word}=true")).collect();
    let Http { method, path, body } = delete(&[what, option(options, "vhost", "/"), name]);
    let path = if conditions.is_empty() { path } else { format!("{path}?{}", conditions.join("&")) };
    Http { method, path, body }
}

fn delete_policy(kind: PolicyKind, name: &str, options: &[&str]) -> Administration {
    Administration::DeletePolicy { vhost: option(options, "vhost", "/").into(), kind, name: name.into() }
}

fn http_policy(kind: &str, name: &str, pattern: &str, definition: &str, options: &[&str]) -> Http {
    let (pattern, apply_to) = (json(pattern), json(option(options, "apply-to", "all")));
    let priority = option(options, "priority", "0");
    let body = format!(r#"{{"pattern":{pattern},"definition":{definition},"apply-to":{apply_to},"priority":{priority}}}"#);
    Http { body, ..put(&[kind, option(options, "vhost", "/"), name], &[]) }
}

/// Returns the text after `name=`.
fn given<'a>(options: &[&'a str], name: &str) -> Option<&'a str> {
    options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

fn option<'a>(options: &[&'a str], name: &str, default: &'a str) -> &'a str {
    given(options, name).unwrap_or(default)
}

fn limit(limits: &[&str], name: &str) -> Result<Limit, String> {
    given(limits, name).map(str::parse).transpose().map_err(|_| format!("{name} takes a number"))
}

fn put_limits(kind: &str, whose: &str, limits: &[&str], names: [&str; 2]) -> Vec<Http> {
    let one = |name| match limit(limits, name) {
        Ok(Some(max)) => Http { body: format!("{{\"value\":{max}}}"), ..put(&[kind, whose, name], &[]) },
        _ => delete(&[kind, whose, name]),
    };
    names.map(one).into()
}

fn put(path: &[&str], fields: &[(&str, &str)]) -> Http {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{}:{}", json(name), json(value))).collect();
    Http { method: "PUT", path: encoded(path), body: format!("{{{}}}", fields.join(",")) }
}

fn delete(path: &[&str]) -> Http {
    Http { method: "DELETE", path: encoded(path), body: String::new() }
}

fn json(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn encoded(path: &[&str]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let part = |part: &&str| part.bytes().map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect();
    path.iter().map(part).collect::<Vec<String>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_for_both_brokers() {
        let ctl = Ctl::parse(r#"set_permissions / u "^(?!amq\.) ." .* """#).expect("a command");
        let [Command::Administration(Administration::SetPermissions { permissions, .. })] = &ctl.commands().expect("a command")[..] else {
            panic!("another command")
        };
        assert_eq!((&*permissions.configure, &*permissions.write, &*permissions.read), (r"^(?!amq\.) .", ".*", ""));
        let http = &ctl.requests()[0];
        let body = r#"{"configure":"^(?!amq\\.) .","write":".*","read":""}"#;
        assert_eq!((http.method, &*http.path, &*http.body), ("PUT", "permissions/%2F/u", body));
        let limits = Ctl::parse("set_vhost_limits v max-queues=3").expect("a command").requests();
        assert_eq!(limits.iter().map(|http| (http.method, &*http.body)).collect::<Vec<_>>(), [("DELETE", ""), ("PUT", "{\"value\":3}")]);
        let ctl = Ctl::parse(r#"set_policy p ^q '{"max-length": 5}' priority=7 vhost=v"#).expect("a command");
        let body = r#"{"pattern":"^q","definition":{"max-length": 5},"apply-to":"all","priority":7}"#;
        assert_eq!((&*ctl.requests()[0].path, &*ctl.requests()[0].body), ("policies/v/p", body));
        assert_eq!(ctl.undo(), Ctl::parse("clear_policy p vhost=v").ok());
        assert!(Ctl::parse("delete_user guest").is_err() && Ctl::parse("sing").is_err());
    }
}

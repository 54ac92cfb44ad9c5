//! The defaults of every new virtual host: settings with a name of their own in the middle of their
//! key, which are therefore no flags (row PO9).
//!
//! ```text
//! default_queue_type = quorum
//!     the type of queues that are declared without one, unless the virtual host has its own
//! default_limits.vhosts.small.pattern = ^dev
//! default_limits.vhosts.small.max_connections = 10
//!     limits: of the groups whose pattern is found in the virtual host's name, the first by name
//! default_policies.operator.ttl.vhost_pattern = ^dev
//! default_policies.operator.ttl.message_ttl = 1h
//!     operator policies: all that match
//! default_users.qa.vhost_pattern = ^dev
//! default_users.qa.password = secret
//!     users: made if they are not there, with permissions in the virtual host
//! ```
//!
//! A pattern that is not given is found everywhere and permits everything.

use std::collections::BTreeMap;

use super::conf::Setting;
use super::settings::is;
use super::units::byte_size;

/// All defaults; groups by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Defaults {
    /// The queue type.
    pub queue_type: Option<String>,
    /// Limits.
    pub limits: BTreeMap<String, DefaultLimits>,
    /// Operator policies.
    pub policies: BTreeMap<String, DefaultPolicy>,
    /// Users.
    pub users: BTreeMap<String, DefaultUser>,
}

/// Limits of a virtual host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DefaultLimits {
    /// The pattern of virtual hosts.
    pub vhosts: Option<String>,
    /// Connections at a time.
    pub max_connections: Option<u32>,
    /// Queues at a time.
    pub max_queues: Option<u32>,
}

/// An operator policy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DefaultPolicy {
    /// The pattern of virtual hosts.
    pub vhosts: Option<String>,
    /// The pattern of queues.
    pub queues: Option<String>,
    /// The objects that it applies to; `all` by default.
    pub apply_to: Option<String>,
    /// The definition, with a policy's keys.
    pub definition: BTreeMap<String, DefaultTerm>,
}

/// A value in the definition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DefaultTerm {
    /// A number.
    Number(u64),
    /// A word.
    Text(String),
    /// Several words.
    Names(Vec<String>),
}

/// A user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DefaultUser {
    /// The pattern of virtual hosts.
    pub vhosts: Option<String>,
    /// The password; without one the user cannot log in.
    pub password: Option<String>,
    /// The tags.
    pub tags: Vec<String>,
    /// The pattern of objects that the user may declare and delete.
    pub configure: Option<String>,
    /// The pattern of objects that the user may send to.
    pub write: Option<String>,
    /// The pattern of objects that the user may receive from.
    pub read: Option<String>,
}

impl Defaults {
    /// Takes a setting of defaults. None: it is another setting.
    ///
    /// # Errors
    /// What to give instead of its value.
    pub fn take(&mut self, setting: &Setting) -> Option<Result<(), String>> {
        if !KNOWN.iter().any(|known| is(known, &setting.key)) {
            return None;
        }
        let value = &*setting.value;
        match &setting.key.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["default_queue_type"] => Some(queue_type(value).map(|kind| self.queue_type = Some(kind.to_owned()))),
            ["default_limits", "vhosts", id, key] => self.limits.entry((*id).to_owned()).or_default().take(key, value),
            ["default_policies", "operator", id, key] => self.policies.entry((*id).to_owned()).or_default().take(key, value),
            ["default_policies", "operator", id, "classic_queues", key] => {
                self.policies.entry((*id).to_owned()).or_default().take_for_classic(key, value)
            }
            ["default_users", name, key] => self.users.entry((*name).to_owned()).or_default().take(key, value),
            _ => None,
        }
    }

    /// Whether there are no defaults.
    pub fn is_empty(&self) -> bool {
        *self == Defaults::default()
    }
}

impl DefaultLimits {
    fn take(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        Some(match key {
            "pattern" => text(&mut self.vhosts, value),
            "max_connections" => positive(value).map(|number| self.max_connections = Some(number)),
            "max_queues" => positive(value).map(|number| self.max_queues = Some(number)),
            _ => return None,
        })
    }
}

impl DefaultPolicy {
    fn take(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        let number = match key {
            "vhost_pattern" => return Some(text(&mut self.vhosts, value)),
            "queue_pattern" => return Some(text(&mut self.queues, value)),
            "apply_to" => return Some(text(&mut self.apply_to, value)),
            "expires" | "message_ttl" => duration_ms(value),
            "max_length" | "max_in_memory_length" | "delivery_limit" => positive(value).map(u64::from),
            "max_length_bytes" | "max_in_memory_bytes" => byte_size(value).filter(|&size| size > 0).ok_or_else(|| SIZE.to_owned()),
            _ => return None,
        };
        Some(number.map(|number| self.say(key, DefaultTerm::Number(number))))
    }

    /// Takes a key that only classic queues know.
    fn take_for_classic(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        let term = match key {
            "ha_mode" | "ha_sync_mode" => DefaultTerm::Text(value.to_owned()),
            "ha_params" => value.parse().map_or_else(|_| DefaultTerm::Names(names(value)), DefaultTerm::Number),
            "queue_version" => return Some(positive(value).map(|version| self.say(key, DefaultTerm::Number(version.into())))),
            _ => return None,
        };
        self.say(key, term);
        Some(Ok(()))
    }

    fn say(&mut self, key: &str, term: DefaultTerm) {
        self.definition.insert(key.replace('_', "-"), term);
    }
}

impl DefaultUser {
    fn take(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        let field = match key {
            "vhost_pattern" => &mut self.vhosts,
            "password" => &mut self.password,
            "configure" => &mut self.configure,
            "write" => &mut self.write,
            "read" => &mut self.read,
            "tags" => {
                self.tags = names(value);
                return Some(Ok(()));
            }
            _ => return None,
        };
        Some(text(field, value))
    }
}

/// The type of queues. RabbitMQ also knows types by its modules.
fn queue_type(value: &str) -> Result<&'static str, String> {
    match value {
        "classic" | "rabbit_classic_queue" => Ok("classic"),
        "quorum" | "rabbit_quorum_queue" => Ok("quorum"),
        _ => Err("give classic or quorum".to_owned()),
    }
}

fn text(field: &mut Option<String>, value: &str) -> Result<(), String> {
    *field = Some(value.to_owned());
    Ok(())
}

/// The names between commas.
fn names(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn positive(value: &str) -> Result<u32, String> {
    value.parse().ok().filter(|&number| number > 0).ok_or_else(|| "give a number from 1 to 4294967295".to_owned())
}

/// Reads `1w2d3h4m5s6ms`, any of these parts; a number alone is milliseconds.
fn duration_ms(value: &str) -> Result<u64, String> {
    parse_duration(value).ok_or_else(|| "give milliseconds, or a time such as 500ms, 30s, 10m, 1h, 1d or 1d12h".to_owned())
}

fn parse_duration(value: &str) -> Option<u64> {
    if let Ok(ms) = value.parse() {
        return Some(ms);
    }
    let (mut rest, mut sum) = (value, 0_u64);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let (unit, behind) = behind.split_at(behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len()));
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum = number.parse::<u64>().ok()?.checked_mul(*factor)?.checked_add(sum)?;
        rest = behind;
    }
    (!value.is_empty()).then_some(sum)
}

/// The keys, as far as they are the same for all groups; `*` stands for a name.
pub(super) const KNOWN: [&str; 5] = [
    "default_queue_type",
    "default_limits.vhosts.*.*",
    "default_policies.operator.*.*",
    "default_policies.operator.*.classic_queues.*",
    "default_users.*.*",
];

const UNITS: [(&str, u64); 6] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

const SIZE: &str = "give bytes, or a size in KB, MB or GB, powers of 1024, from 1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::conf;

    fn read(text: &str) -> Result<Defaults, String> {
        let mut defaults = Defaults::default();
        conf::settings(text)?.iter().try_for_each(|setting| defaults.take(setting).unwrap_or_else(|| Err("another".into())))?;
        Ok(defaults)
    }

    #[test]
    fn groups_are_read() {
        let text = "default_queue_type = rabbit_quorum_queue\ndefault_limits.vhosts.b.max_queues = 2\ndefault_limits.vhosts.a.pattern = ^a\ndefault_limits.vhosts.a.max_connections = 3\n\
                    default_policies.operator.p.vhost_pattern = ^v\ndefault_policies.operator.p.queue_pattern = ^q\n\
                    default_policies.operator.p.apply_to = classic_queues\ndefault_policies.operator.p.expires = 1h\n\
                    default_policies.operator.p.max_length_bytes = 2KB\ndefault_policies.operator.p.delivery_limit = 7\n\
                    default_policies.operator.p.classic_queues.ha_mode = nodes\ndefault_policies.operator.p.classic_queues.ha_params = a, b\n\
                    default_policies.operator.p.classic_queues.queue_version = 2\n\
                    default_users.u.password = x\ndefault_users.u.tags = a, b\ndefault_users.u.read = ^r";
        let limits = [
            ("a", DefaultLimits { vhosts: Some("^a".into()), max_connections: Some(3), max_queues: None }),
            ("b", DefaultLimits { max_queues: Some(2), ..DefaultLimits::default() }),
        ];
        let numbers = [("expires", 3_600_000), ("max-length-bytes", 2048), ("delivery-limit", 7), ("queue-version", 2)];
        let texts = [("ha-mode", DefaultTerm::Text("nodes".into())), ("ha-params", DefaultTerm::Names(vec!["a".into(), "b".into()]))];
        let definition = numbers.map(|(key, number)| (key, DefaultTerm::Number(number))).into_iter().chain(texts);
        let policy = DefaultPolicy {
            vhosts: Some("^v".into()),
            queues: Some("^q".into()),
            apply_to: Some("classic_queues".into()),
            definition: definition.map(|(key, term)| (key.to_owned(), term)).collect(),
        };
        let tags = vec!["a".into(), "b".into()];
        let user = DefaultUser { password: Some("x".into()), tags, read: Some("^r".into()), ..DefaultUser::default() };
        let expected = Defaults {
            queue_type: Some("quorum".into()),
            limits: limits.map(|(id, limits)| (id.to_owned(), limits)).into(),
            policies: [("p".to_owned(), policy)].into(),
            users: [("u".to_owned(), user)].into(),
        };
        assert_eq!(read(text), Ok(expected));
    }

    #[test]
    fn wrong_values_and_other_keys_are_told() {
        for line in [
            "default_queue_type = stream",
            "default_limits.vhosts.a.max_queues = -1",
            "default_limits.vhosts.a.max_queues = 0",
            "default_policies.operator.p.max_length_bytes = 0",
            "default_policies.operator.p.max_length_bytes = 1TB",
            "default_policies.operator.p.expires = soon",
            "default_policies.operator.p.message_ttl = 1y",
            "default_policies.operator.p.classic_queues.queue_version = x",
        ] {
            assert!(read(line).is_err_and(|why| why.starts_with("give ")), "{line}");
        }
        for line in ["default_users.u = 1", "default_users.u.foo = 1", "default_policies.operator.p.classic_queues.expires = 1h", "a = 1"] {
            assert_eq!(read(line), Err("another".into()), "{line}");
        }
    }

    #[test]
    fn times_are_rabbitmq_s() {
        let units = ["5", "500ms", "30s", "10m", "1h", "1d12h", "1w1ms"].map(parse_duration);
        assert_eq!(units, [5, 500, 30_000, 600_000, 3_600_000, 129_600_000, 604_800_001].map(Some));
        assert_eq!(["", "s", "1 h", "1h5", "-1s", "1.5h", "99999999999999999w"].map(parse_duration), [None; 7]);
    }
}

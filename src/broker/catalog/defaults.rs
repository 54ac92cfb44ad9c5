//! The configured defaults of a new virtual host: limits, operator policies, users (row PO9). They
//! are applied once, like an operator's commands: what operators change later stays.

use super::{Catalog, Change, Verdict};
use crate::base::ids::ShardId;
use crate::broker::access::{Pattern, SALT};
use crate::broker::policy::Policy;
use crate::config::defaults::{DefaultPolicy, DefaultTerm, DefaultUser, Defaults};
use crate::contract::{Administration, Command, Password, Permissions, PolicyKind, PolicySpec, UserSpec, VhostLimits};
use crate::message::TableBuilder;

/// Checks the patterns, policies and permissions in the defaults.
///
/// # Errors
/// One sentence: which of them is wrong, and why.
pub fn check(defaults: &Defaults) -> Result<(), String> {
    let is_pattern = |key: String, text: &Option<String>| match text.as_deref().map(Pattern::new) {
        Some(Err(why)) => Err(format!("{key} should be regular expression but is invalid: {why}")),
        _ => Ok(()),
    };
    for (id, limits) in &defaults.limits {
        is_pattern(format!("default_limits.vhosts.{id}.pattern"), &limits.vhosts)?;
    }
    for (id, policy) in &defaults.policies {
        is_pattern(format!("default_policies.operator.{id}.vhost_pattern"), &policy.vhosts)?;
        Policy::new(PolicyKind::Operator, spec(id, policy)).map_err(|why| format!("default_policies.operator.{id}: {why}"))?;
    }
    for (name, user) in &defaults.users {
        let patterns = [("vhost_pattern", &user.vhosts), ("configure", &user.configure), ("write", &user.write), ("read", &user.read)];
        patterns.into_iter().try_for_each(|(key, pattern)| is_pattern(format!("default_users.{name}.{key}"), pattern))?;
    }
    Ok(())
}

/// Adds the configured defaults to an operator's command. As in RabbitMQ, they include the queue
/// type of a virtual host that exists already.
pub fn completed(mut command: Command, defaults: &Defaults) -> Command {
    if let Command::Administration(Administration::PutVhost(spec)) = &mut command {
        let by_default = || defaults.queue_type.as_deref().map(Into::into);
        spec.default_queue_type = spec.default_queue_type.take().or_else(by_default);
    }
    command
}

impl Catalog {
    /// The virtual host that a change is about to make, if it makes one.
    pub fn new_vhost(&self, change: &Change) -> Option<Box<str>> {
        match change {
            Change::Administration(Administration::PutVhost(spec)) if self.vhost_by_name(&spec.name).is_none() => Some(spec.name.clone()),
            _ => None,
        }
    }

    /// The commands to carry out for a virtual host of this name, which has just been made.
    pub fn defaults_for(&self, vhost: &str, defaults: &Defaults) -> Vec<Administration> {
        let is_for = |pattern: &Option<String>| is_for(pattern, vhost);
        let limits = defaults.limits.values().find(|limits| is_for(&limits.vhosts)).map(|limits| {
            let (max_connections, max_queues) = (limits.max_connections, limits.max_queues);
            Administration::SetVhostLimits { vhost: vhost.into(), limits: VhostLimits { max_connections, max_queues } }
        });
        let policies = defaults
            .policies
            .iter()
            .filter(|(_, policy)| is_for(&policy.vhosts))
            .map(|(name, policy)| Administration::PutPolicy { vhost: vhost.into(), kind: PolicyKind::Operator, spec: spec(name, policy) });
        let users = defaults.users.iter().filter(|(_, user)| is_for(&user.vhosts)).flat_map(|(name, user)| {
            let is_new = self.user_by_name(name).is_none();
            let permissions =
                Administration::SetPermissions { vhost: vhost.into(), user: name.as_str().into(), permissions: permissions(user) };
            is_new.then(|| put_user(name, user)).into_iter().chain([permissions])
        });
        limits.into_iter().chain(policies).chain(users).collect()
    }

    /// Applies the default commands to a catalog that is not in use yet. Returns the changes.
    pub fn add_defaults(&mut self, vhost: &str, defaults: &Defaults, mut salt: impl FnMut() -> [u8; SALT]) -> Vec<Change> {
        let mut changes = Vec::new();
        for administration in self.defaults_for(vhost, defaults) {
            let command = Command::from(administration.hashed(&mut salt));
            if let Ok(Verdict::Change(change)) = self.check_command(&command, ShardId::ORDERER) {
                self.apply(&change);
                changes.push(change);
            }
        }
        changes
    }
}

/// Whether a pattern matches a virtual host. As in a policy, an empty pattern matches every name.
fn is_for(pattern: &Option<String>, vhost: &str) -> bool {
    let pattern = pattern.as_deref().filter(|pattern| !pattern.is_empty());
    pattern.is_none_or(|pattern| Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(vhost.as_bytes())))
}

fn spec(name: &str, policy: &DefaultPolicy) -> PolicySpec {
    let definition = policy.definition.iter().fold(TableBuilder::new(), |definition, (key, term)| match term {
        &DefaultTerm::Number(number) => definition.long(key, i64::try_from(number).unwrap_or(i64::MAX)),
        DefaultTerm::Text(text) => definition.text(key, text),
        DefaultTerm::Names(names) => definition.array(key, |array| names.iter().fold(array, |array, name| array.text(name))),
    });
    PolicySpec {
        name: name.into(),
        pattern: policy.queues.as_deref().unwrap_or(".*").into(),
        apply_to: policy.apply_to.as_deref().unwrap_or("all").into(),
        priority: 0,
        definition: definition.build(),
    }
}

fn put_user(name: &str, user: &DefaultUser) -> Administration {
    let password = user.password.as_ref().map(|password| Password::Plain(password.as_bytes().into()));
    let tags = Some(user.tags.iter().map(|tag| tag.as_str().into()).collect());
    Administration::PutUser(UserSpec { name: name.into(), password, tags })
}

fn permissions(user: &DefaultUser) -> Permissions {
    let pattern = |text: &Option<String>| text.as_deref().unwrap_or(".*").into();
    Permissions { configure: pattern(&user.configure), write: pattern(&user.write), read: pattern(&user.read) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::conf;
    use crate::contract::VhostSpec;

    fn defaults(text: &str) -> Defaults {
        let mut defaults = Defaults::default();
        for setting in conf::settings(text).expect("settings") {
            defaults.take(&setting).expect("a default").expect("in order");
        }
        defaults
    }

    const SETTINGS: &str = "default_limits.vhosts.1.pattern = ^dev\ndefault_limits.vhosts.1.max_queues = 5\ndefault_limits.vhosts.2.max_queues = 9\n\
                            default_policies.operator.p.vhost_pattern = ^dev\ndefault_policies.operator.p.queue_pattern = ^q\n\
                            default_policies.operator.p.message_ttl = 1s\ndefault_policies.operator.other.vhost_pattern = ^prod\n\
                            default_policies.operator.other.expires = 1h\n\
                            default_policies.operator.other.classic_queues.ha_params = a,b\n\
                            default_policies.operator.other.classic_queues.ha_mode = nodes\n\
                            default_users.u.vhost_pattern = ^dev\ndefault_users.u.password = x\ndefault_users.u.read = ^r";

    #[test]
    fn a_virtual_host_gets_what_is_for_it_once() {
        let (mut catalog, defaults) = (Catalog::new(), defaults(SETTINGS));
        assert_eq!(check(&defaults), Ok(()));
        let mut make = |name: &str| {
            catalog.apply(&Change::Administration(Administration::PutVhost(VhostSpec { name: name.into(), ..VhostSpec::default() })));
            catalog.add_defaults(name, &defaults, || *b"salt").len()
        };
        assert_eq!(["dev1", "dev2", "prod", "x"].map(&mut make), [4, 3, 2, 1]);
        let vhost = |name| catalog.vhost(catalog.vhost_by_name(name).expect("made"));
        assert_eq!(["dev1", "x"].map(|name| vhost(name).limits.max_queues), [Some(5), Some(9)]);
        let definition = vhost("prod").policies.specs().next().expect("one").1.definition.clone();
        let nodes = TableBuilder::new().long("expires", 3_600_000).text("ha-mode", "nodes");
        let nodes = nodes.array("ha-params", |array| array.text("a").text("b"));
        assert_eq!(definition, nodes.build());
        let policies = |name| vhost(name).policies.specs().map(|(kind, spec)| (kind, spec.name.to_string())).collect::<Vec<_>>();
        assert_eq!(policies("dev1"), [(PolicyKind::Operator, "p".to_owned())]);
        assert_eq!(policies("prod"), [(PolicyKind::Operator, "other".to_owned())]);
        let user = catalog.user_by_name("u").expect("made");
        assert!(user.password.is_of(b"x"));
        assert_eq!(user.access.len(), 2);
    }

    #[test]
    fn a_virtual_host_has_a_type_of_queues() {
        let typed = |kind: Option<&str>, settings| {
            let spec = VhostSpec { name: "v".into(), default_queue_type: kind.map(Into::into), ..VhostSpec::default() };
            let command = completed(Administration::PutVhost(spec).into(), &defaults(settings));
            let Command::Administration(Administration::PutVhost(spec)) = command else { panic!("the same command") };
            spec.default_queue_type
        };
        assert_eq!(typed(None, "default_queue_type = quorum").as_deref(), Some("quorum"));
        assert_eq!(typed(Some("classic"), "default_queue_type = quorum").as_deref(), Some("classic"));
        assert_eq!(typed(None, ""), None);
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (line, why) in [
            ("default_limits.vhosts.a.pattern = (", "default_limits.vhosts.a.pattern should be regular expression but is invalid: "),
            ("default_policies.operator.p.vhost_pattern = (", "default_policies.operator.p.vhost_pattern should be"),
            (
                "default_policies.operator.p.classic_queues.queue_version = 3",
                "default_policies.operator.p: 3 is not a valid queue-version value",
            ),
            ("default_policies.operator.p.apply_to = foo", "default_policies.operator.p: "),
            ("default_users.u.write = (", "default_users.u.write should be regular expression"),
        ] {
            let refusal = check(&defaults(line)).expect_err(line);
            assert!(refusal.starts_with(why), "{refusal}");
        }
    }
}

//! Policies: settings that operators make for many queues and exchanges at once, by patterns of
//! their names (rows PO1 to PO7).
//!
//! ```text
//! PolicySpec ─ new: pattern, target and definition are valid ─▶ Policy
//! the best Policy that applies to a queue ─▶ Terms ─▶ the queue's settings
//! ```
//!
//! [`definition`] checks the keys; [`Terms`] merges the arguments and policies of one queue. The
//! [catalog](super::catalog) keeps the policies.

mod definition;
mod terms;

pub use terms::{Key, Terms, key};

use super::access::Pattern;
use crate::contract::{PolicyKind, PolicySpec};

/// A policy, ready to be matched.
pub struct Policy {
    /// The policy as it was set.
    pub spec: PolicySpec,
    pattern: Pattern,
    applies: ApplyTo,
}

/// A target of policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// An exchange.
    Exchange,
    /// A classic queue.
    ClassicQueue,
    /// A quorum queue.
    QuorumQueue,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ApplyTo {
    All,
    Exchanges,
    Queues,
    ClassicQueues,
    QuorumQueues,
    Streams,
}

impl Policy {
    /// Checks a policy and compiles its pattern.
    ///
    /// # Errors
    /// All of its errors, in RabbitMQ's words, one per line.
    pub fn new(kind: PolicyKind, spec: PolicySpec) -> Result<Policy, String> {
        let definition = definition::check(kind, spec.definition.view());
        let applies = ApplyTo::named(&spec.apply_to);
        // An empty pattern matches every name, unlike the empty pattern of a permission.
        let pattern = Pattern::new(if spec.pattern.is_empty() { ".*" } else { &spec.pattern });
        match (definition, applies, pattern) {
            (Ok(()), Ok(applies), Ok(pattern)) => Ok(Policy { spec, pattern, applies }),
            (definition, applies, pattern) => {
                let pattern = pattern.err().map(|why| format!("pattern should be regular expression but is invalid: {why}"));
                let all: Vec<String> = definition.err().into_iter().chain(applies.err()).chain(pattern).collect();
                Err(all.join("\n"))
            }
        }
    }

    /// Whether the policy applies to this target. It does not apply to a queue that does not
    /// support all of its keys.
    pub fn is_for(&self, target: Target, name: &[u8]) -> bool {
        let is_kind = match target {
            Target::Exchange => matches!(self.applies, ApplyTo::All | ApplyTo::Exchanges),
            Target::ClassicQueue => matches!(self.applies, ApplyTo::All | ApplyTo::Queues | ApplyTo::ClassicQueues),
            Target::QuorumQueue => matches!(self.applies, ApplyTo::All | ApplyTo::Queues | ApplyTo::QuorumQueues),
        };
        is_kind && definition::is_known_to(target, self.spec.definition.view()) && self.pattern.matches(name)
    }
}

impl ApplyTo {
    fn named(name: &str) -> Result<ApplyTo, String> {
        Ok(match name {
            "all" => ApplyTo::All,
            "exchanges" => ApplyTo::Exchanges,
            "queues" => ApplyTo::Queues,
            "classic_queues" => ApplyTo::ClassicQueues,
            "quorum_queues" => ApplyTo::QuorumQueues,
            "streams" => ApplyTo::Streams,
            _ => {
                return Err(format!(
                    "apply-to '{name}' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', \
                     'exchanges', or 'all'"
                ));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TableBuilder;

    fn policy(apply_to: &str, pattern: &str, definition: TableBuilder) -> Result<Policy, String> {
        let (name, pattern, apply_to) = ("p".into(), pattern.into(), apply_to.into());
        Policy::new(PolicyKind::User, PolicySpec { name, pattern, apply_to, priority: 0, definition: definition.build() })
    }

    fn is_for(apply_to: &str, definition: TableBuilder) -> [bool; 3] {
        let policy = policy(apply_to, "^q", definition).expect("in order");
        [Target::Exchange, Target::ClassicQueue, Target::QuorumQueue].map(|target| policy.is_for(target, b"q1"))
    }

    #[test]
    fn a_policy_is_for_what_it_applies_to() {
        let length = || TableBuilder::new().long("max-length", 1);
        assert_eq!(is_for("all", length()), [true, true, true]);
        assert_eq!(is_for("exchanges", length()), [true, false, false]);
        assert_eq!(is_for("queues", length()), [false, true, true]);
        assert_eq!(is_for("classic_queues", length()), [false, true, false]);
        assert_eq!(is_for("quorum_queues", length()), [false, false, true]);
        assert_eq!(is_for("streams", length()), [false, false, false]);
        assert!(policy("all", "", length()).expect("in order").is_for(Target::ClassicQueue, b"q"));
        let policy = policy("queues", "^(?!amq\\.).", length()).expect("in order");
        assert!(policy.is_for(Target::ClassicQueue, b"q") && !policy.is_for(Target::ClassicQueue, b"amq.gen-1"));
    }

    #[test]
    fn a_queue_that_does_not_know_a_key_follows_none() {
        assert_eq!(is_for("all", TableBuilder::new().long("max-length", 1).long("delivery-limit", 1)), [true, false, true]);
        assert_eq!(is_for("all", TableBuilder::new().long("max-length", 1).text("ha-mode", "all")), [true, true, false]);
        assert_eq!(is_for("all", TableBuilder::new().text("max-age", "1D")), [true, false, false]);
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let refusal = policy("foo", "(", TableBuilder::new().long("max-length", -1)).err().expect("nothing of it is right");
        let lines: Vec<&str> = refusal.lines().collect();
        assert_eq!(lines[0], "-1 is not a valid maximum length");
        assert!(lines[1].starts_with("apply-to 'foo' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', "));
        assert!(lines[2].starts_with("pattern should be regular expression but is invalid: "));
    }
}

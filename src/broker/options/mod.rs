//! The options of queues, in one table: the name of each, which types of queues have it as an
//! argument, whether policies may have it as a key, and the values that it takes.
//!
//! An argument has `x-` in front of its name; the key of a policy is the same without it. Policies
//! have a few keys that are for exchanges or plugins, so no queue has them as an argument.
//!
//! The table stands in RabbitMQ's order: in this order the arguments of a declaration are checked,
//! and those of a classic queue compared when it is declared again. Those of a quorum queue are
//! compared in the order of [`QUORUM_ORDER`].
//!
//! What an option does stands in `broker/queue` (`settings`, `rules`, `retry`). The arguments of
//! deduplication, which RabbitMQ leaves to a plugin, are in
//! [`deduplication`](super::deduplication).

mod argument;
mod policy;

pub use argument::{ArgumentRule, unacceptable};
pub use policy::PolicyRule;

/// The argument that names a queue's type.
pub const TYPE: &str = "x-queue-type";
/// The argument that names the dead-letter exchange.
pub const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";

/// A set of queue types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Types(u8);

impl Types {
    const NONE: Types = Types(0);
    /// Classic queues.
    pub const CLASSIC: Types = Types(1);
    /// Quorum queues.
    pub const QUORUM: Types = Types(2);
    const STREAM: Types = Types(4);

    const fn and(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    fn has(self, one: Types) -> bool {
        self.0 & one.0 != 0
    }
}

/// One option.
#[derive(Debug)]
pub struct QueueOption {
    /// The name as an argument. A key that is no argument has the prefix here, too.
    pub name: &'static str,
    arguments: Types,
    /// The values of the argument.
    pub rule: ArgumentRule,
    policy: Option<PolicyKey>,
}

/// An option as a key of policies.
#[derive(Clone, Copy, Debug)]
struct PolicyKey {
    rule: PolicyRule,
    /// The end of the refusal of a wrong value: `… is not a valid`.
    why: &'static str,
    /// Whether operator policies may have it, too.
    operator: bool,
    /// The types of queues that do not follow a policy with this key.
    unknown_to: Types,
}

impl QueueOption {
    /// Returns the key of policies.
    pub fn key(&self) -> &'static str {
        &self.name[2..]
    }

    /// Whether queues of this type have it as an argument.
    pub fn is_argument_of(&self, one: Types) -> bool {
        self.arguments.has(one)
    }

    /// Whether it is an argument, but not of queues of this type.
    pub fn is_foreign_to(&self, one: Types) -> bool {
        self.arguments != Types::NONE && !self.arguments.has(one)
    }

    /// Returns the values that policies may give it, and the end of the refusal of another value.
    pub fn in_policies(&self, operator: bool) -> Option<(PolicyRule, &'static str)> {
        self.policy.filter(|policy| policy.operator || !operator).map(|policy| (policy.rule, policy.why))
    }

    /// Whether queues of this type do not follow a policy that has it.
    pub fn is_unknown_to(&self, one: Types) -> bool {
        self.policy.is_some_and(|policy| policy.unknown_to.has(one))
    }
}

/// Finds the option of an argument.
pub fn of_argument(name: &[u8]) -> Option<&'static QueueOption> {
    OPTIONS.iter().find(|option| option.name.as_bytes() == name)
}

/// Finds the option of a policy's key.
pub fn of_key(key: &[u8]) -> Option<&'static QueueOption> {
    OPTIONS.iter().find(|option| option.key().as_bytes() == key)
}

/// All options, in the order in which RabbitMQ checks arguments.
pub fn all() -> impl Iterator<Item = &'static QueueOption> {
    OPTIONS.iter()
}

/// The arguments of a type, in the order in which RabbitMQ compares them.
pub fn arguments(one: Types) -> Vec<&'static QueueOption> {
    let mut own: Vec<_> = OPTIONS.iter().filter(|option| option.is_argument_of(one)).collect();
    if one == Types::QUORUM {
        own.sort_by_key(|option| QUORUM_ORDER.iter().position(|name| *name == option.name));
    }
    own
}

/// Returns the name, which must be an argument of the table; otherwise the program does not compile.
pub const fn known(name: &'static str) -> &'static str {
    let mut at = 0;
    while at < OPTIONS.len() {
        if OPTIONS[at].arguments.0 != Types::NONE.0 && is_same(OPTIONS[at].name.as_bytes(), name.as_bytes()) {
            return name;
        }
        at += 1;
    }
    panic!("the table has no such argument")
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    one.len() == other.len()
}

const fn argument(name: &'static str, arguments: Types, rule: ArgumentRule) -> QueueOption {
    QueueOption { name, arguments, rule, policy: None }
}

/// An option that is no argument.
const fn key(name: &'static str) -> QueueOption {
    argument(name, Types::NONE, ArgumentRule::Anything)
}

impl QueueOption {
    /// Makes it a key of policies, too.
    const fn policy(self, rule: PolicyRule, why: &'static str) -> QueueOption {
        QueueOption { policy: Some(PolicyKey { rule, why, operator: false, unknown_to: Types::NONE }), ..self }
    }

    /// Makes it a key of both kinds of policies, too.
    const fn policies(self, rule: PolicyRule, why: &'static str) -> QueueOption {
        QueueOption { policy: Some(PolicyKey { rule, why, operator: true, unknown_to: Types::NONE }), ..self }
    }

    /// Lets queues of these types follow no policy that has it.
    const fn unknown_to(self, types: Types) -> QueueOption {
        match self.policy {
            Some(policy) => QueueOption { policy: Some(PolicyKey { unknown_to: types, ..policy }), ..self },
            None => self,
        }
    }
}

use ArgumentRule as A;
use PolicyRule as P;

const CLASSIC: Types = Types::CLASSIC;
const QUORUM: Types = Types::QUORUM;
const STREAM: Types = Types::STREAM;
const BOTH: Types = CLASSIC.and(QUORUM);
const ALL: Types = BOTH.and(STREAM);

const NOT_NEGATIVE: P = P::Number(0, i64::MAX);
const POSITIVE: P = P::Number(1, i64::MAX);
const STRATEGIES: &[&str] = &["at-most-once", "at-least-once"];
const OVERFLOWS: &[&str] = &["drop-head", "reject-publish", "reject-publish-dlx"];
const LOCATORS: &[&str] = &["client-local", "balanced", "random", "least-leaders"];
const RETRIES: &[&str] = &["all", "failed", "returned", "disabled"];

const OPTIONS: &[QueueOption] = &[
    argument("x-expires", BOTH, A::Expires).policies(POSITIVE, "queue expiry"),
    argument("x-message-ttl", BOTH, A::Milliseconds).policies(NOT_NEGATIVE, "message TTL"),
    argument(DEAD_LETTER_EXCHANGE, BOTH, A::Text).policy(P::Text, "dead letter exchange name"),
    argument("x-dead-letter-routing-key", BOTH, A::DeadLetterKey).policy(P::Text, "dead letter routing key"),
    argument("x-dead-letter-strategy", QUORUM, A::OneOf(STRATEGIES, "invalid_dlx_strategy"))
        .policy(P::OneOf(STRATEGIES), "dead letter strategy")
        .unknown_to(CLASSIC),
    argument("x-max-length", BOTH, A::NotNegative).policies(NOT_NEGATIVE, "maximum length"),
    argument("x-max-length-bytes", ALL, A::NotNegative).policies(NOT_NEGATIVE, "maximum length in bytes"),
    argument("x-max-in-memory-length", QUORUM, A::NotNegative).policies(NOT_NEGATIVE, "maximum memory in bytes").unknown_to(CLASSIC),
    argument("x-max-in-memory-bytes", QUORUM, A::NotNegative).policies(NOT_NEGATIVE, "maximum memory in bytes").unknown_to(CLASSIC),
    argument("x-max-priority", CLASSIC, A::Priority),
    argument("x-overflow", BOTH, A::OneOf(OVERFLOWS, "invalid_overflow")).policies(P::OneOf(OVERFLOWS), "overflow value"),
    argument("x-queue-mode", CLASSIC, A::Anything).policy(P::OneOf(&["default", "lazy"]), "queue-mode value").unknown_to(QUORUM),
    argument("x-queue-version", CLASSIC, A::Version).policies(P::Number(1, 2), "queue-version value"),
    argument("x-single-active-consumer", BOTH, A::Bool),
    argument(TYPE, ALL, A::Anything),
    argument("x-consumer-timeout", QUORUM, A::NotNegative).policy(NOT_NEGATIVE, "consumer timeout"),
    argument("x-consumer-disconnected-timeout", QUORUM, A::NotNegative).policy(NOT_NEGATIVE, "consumer disconnected timeout"),
    argument("x-quorum-initial-group-size", QUORUM, A::Positive),
    argument("x-member-placement-tag", QUORUM, A::Anything),
    argument("x-queue-master-locator", CLASSIC, A::Anything).policy(P::Anything, "").unknown_to(QUORUM),
    argument("x-queue-leader-locator", ALL, A::OneOf(LOCATORS, "invalid_queue_locator_arg"))
        .policy(P::OneOf(LOCATORS), "queue leader locator value"),
    // RabbitMQ knows these four for quorum queues only.
    argument("x-delivery-limit", BOTH, A::Anything).policies(P::Number(i64::MIN, i64::MAX), "delivery limit").unknown_to(CLASSIC),
    argument("x-delayed-retry-type", BOTH, A::Anything)
        .policies(P::OneOf(RETRIES), "delayed retry type. Must be one of: all, failed, returned, disabled"),
    argument("x-delayed-retry-min", BOTH, A::Anything).policies(POSITIVE, "delayed retry minimum delay. Must be a positive integer"),
    argument("x-delayed-retry-max", BOTH, A::Anything).policies(POSITIVE, "delayed retry maximum delay. Must be a positive integer"),
    argument("x-max-age", STREAM, A::Anything).policy(P::Age, "max age").unknown_to(BOTH),
    argument("x-stream-max-segment-size-bytes", STREAM, A::Anything).policy(P::Number(0, 3_000_000_000), "segment size").unknown_to(BOTH),
    argument("x-stream-filter-size-bytes", STREAM, A::Anything).policy(P::Number(16, 255), "filter size. Valid range is 16-255"),
    argument("x-initial-cluster-size", STREAM, A::Anything).policy(NOT_NEGATIVE, "cluster size").unknown_to(BOTH),
    key("x-target-group-size").policies(POSITIVE, "qq target count value").unknown_to(CLASSIC),
    key("x-ha-mode").policies(P::Anything, "").unknown_to(QUORUM),
    key("x-ha-params").policies(P::Anything, "").unknown_to(QUORUM),
    key("x-ha-promote-on-failure").policies(P::Anything, "").unknown_to(QUORUM),
    key("x-ha-promote-on-shutdown").policies(P::Anything, "").unknown_to(QUORUM),
    key("x-ha-sync-batch-size").policy(P::Anything, ""),
    key("x-ha-sync-mode").policies(P::Anything, "").unknown_to(QUORUM),
    key("x-alternate-exchange").policy(P::Text, "alternate exchange name"),
    key("x-federation-upstream").policy(P::Text, "federation upstream name"),
    key("x-federation-upstream-pattern").policy(P::Text, "federation upstream pattern"),
    key("x-federation-upstream-set").policy(P::Text, "federation upstream set name"),
    key("x-routing-key").policy(P::Text, "routing key"),
    key("x-shards-per-node").policy(NOT_NEGATIVE, "number of shards per node"),
];

/// The order in which RabbitMQ compares the arguments of quorum queues.
const QUORUM_ORDER: [&str; 21] = [
    DEAD_LETTER_EXCHANGE,
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    TYPE,
    "x-quorum-initial-group-size",
    "x-member-placement-tag",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
    "x-consumer-disconnected-timeout",
    "x-consumer-timeout",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_option_stands_in_the_table_once() {
        assert!(OPTIONS.iter().all(|option| option.name.starts_with("x-")));
        let names: BTreeSet<&str> = OPTIONS.iter().map(|option| option.name).collect();
        assert_eq!(names.len(), OPTIONS.len());
        assert_eq!(arguments(QUORUM).iter().map(|option| option.name).collect::<Vec<_>>(), QUORUM_ORDER);
    }
}

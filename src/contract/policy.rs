//! Policies: what operators say of many queues and exchanges at once, by patterns of their names.

use crate::message::Table;

/// Whose word a policy is. Of each kind at most one is for a queue or an exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PolicyKind {
    /// That of whoever administers a virtual host.
    User,
    /// That of who runs the broker: it limits what users may set.
    Operator,
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicySpec {
    /// Its name.
    pub name: Box<str>,
    /// A Perl-compatible pattern of the names that it is for, not anchored.
    pub pattern: Box<str>,
    /// What it is for: `all`, `exchanges`, `queues`, or queues of one type.
    pub apply_to: Box<str>,
    /// Of several the highest counts.
    pub priority: i64,
    /// What it says: keys such as `max-length`, and values.
    pub definition: Table,
}

impl PolicyKind {
    /// Both.
    pub const ALL: [PolicyKind; 2] = [PolicyKind::User, PolicyKind::Operator];

    /// The component of runtime parameters that RabbitMQ keeps it in.
    pub fn component(self) -> &'static str {
        match self {
            PolicyKind::User => "policy",
            PolicyKind::Operator => "operator_policy",
        }
    }

    /// The one with this component.
    pub fn of_component(component: &str) -> Option<PolicyKind> {
        PolicyKind::ALL.into_iter().find(|kind| kind.component() == component)
    }
}

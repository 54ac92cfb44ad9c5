//! Policies: settings that operators make for many queues and exchanges at once, by patterns of
//! their names.

use crate::message::Table;

/// The kind of a policy. A queue or an exchange follows at most one of each kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PolicyKind {
    /// Made by an administrator of a virtual host.
    User,
    /// Made by an operator of the broker: it limits what users may set.
    Operator,
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicySpec {
    /// Its name.
    pub name: Box<str>,
    /// A Perl-compatible pattern of names, not anchored.
    pub pattern: Box<str>,
    /// The objects that it applies to: `all`, `exchanges`, `queues`, or queues of one type.
    pub apply_to: Box<str>,
    /// Of several matching policies the one with the highest priority counts.
    pub priority: i64,
    /// The definition: keys such as `max-length`, and values.
    pub definition: Table,
}

impl PolicyKind {
    /// Both kinds.
    pub const ALL: [PolicyKind; 2] = [PolicyKind::User, PolicyKind::Operator];

    /// The component of runtime parameters in which RabbitMQ keeps policies of this kind.
    pub fn component(self) -> &'static str {
        match self {
            PolicyKind::User => "policy",
            PolicyKind::Operator => "operator_policy",
        }
    }

    /// The kind with this component.
    pub fn of_component(component: &str) -> Option<PolicyKind> {
        PolicyKind::ALL.into_iter().find(|kind| kind.component() == component)
    }
}

//! The policies of virtual hosts, and which of them applies to a queue or an exchange.
//!
//! A queue stores no policy: the shards look up the policies of their queues after a change, and
//! that of an exchange when a message needs it. An exchange remembers its policy until the policies
//! of its virtual host change, so that setting a policy needs no walk through all exchanges.

use super::queue_arguments::is_quorum;
use super::{Applied, Catalog, ExchangeInfo, QueueInfo};
use crate::broker::policy::{Policy, Target, Terms};
use crate::contract::{PolicyKind, PolicySpec};
use crate::message::{TableRef, Value};

/// The policies of a virtual host.
#[derive(Default)]
pub struct Policies {
    /// The best policy first: by highest priority, then by name.
    user: Vec<Policy>,
    operator: Vec<Policy>,
    /// Counts their changes, from 1.
    version: u64,
}

/// The policy that an exchange remembers: an index in the list, at this version of the policies.
#[derive(Clone, Copy, Default)]
pub(super) struct Followed {
    version: u64,
    place: Option<usize>,
}

impl Policies {
    /// All policies, the best of each kind first.
    pub fn specs(&self) -> impl Iterator<Item = (PolicyKind, &PolicySpec)> {
        PolicyKind::ALL.into_iter().flat_map(|kind| self.list(kind).iter().map(move |policy| (kind, &policy.spec)))
    }

    fn list(&self, kind: PolicyKind) -> &[Policy] {
        match kind {
            PolicyKind::User => &self.user,
            PolicyKind::Operator => &self.operator,
        }
    }

    fn list_mut(&mut self, kind: PolicyKind) -> &mut Vec<Policy> {
        match kind {
            PolicyKind::User => &mut self.user,
            PolicyKind::Operator => &mut self.operator,
        }
    }

    fn put(&mut self, kind: PolicyKind, policy: Policy) {
        self.delete(kind, &policy.spec.name);
        let rank = |policy: &Policy| (std::cmp::Reverse(policy.spec.priority), policy.spec.name.clone());
        let list = self.list_mut(kind);
        let at = list.partition_point(|other| rank(other) < rank(&policy));
        list.insert(at, policy);
    }

    fn delete(&mut self, kind: PolicyKind, name: &str) {
        self.version += 1;
        self.list_mut(kind).retain(|policy| *policy.spec.name != *name);
    }

    /// The policy that applies to a target.
    fn best(&self, kind: PolicyKind, target: Target, name: &[u8]) -> Option<&PolicySpec> {
        self.list(kind).iter().find(|policy| policy.is_for(target, name)).map(|policy| &policy.spec)
    }
}

impl Catalog {
    /// Sets a policy that was checked.
    pub(super) fn put_policy(&mut self, vhost: &str, kind: PolicyKind, spec: &PolicySpec) -> Option<Applied> {
        let vhost = self.vhost_by_name(vhost)?;
        let policy = Policy::new(kind, spec.clone()).ok()?;
        self.vhost_mut(vhost).policies.put(kind, policy);
        Some(Applied::Policies)
    }

    pub(super) fn delete_policy(&mut self, vhost: &str, kind: PolicyKind, name: &str) -> Option<Applied> {
        let vhost = self.vhost_by_name(vhost)?;
        self.vhost_mut(vhost).policies.delete(kind, name);
        Some(Applied::Policies)
    }

    /// The terms of a queue: its arguments and its policies. The queue of an exchange's delayed
    /// messages has no policies.
    pub fn terms<'a>(&'a self, queue: &'a QueueInfo) -> Terms<'a> {
        let definition = |kind| self.policy(kind, queue).map_or(TableRef::EMPTY, |policy| policy.definition.view());
        Terms { arguments: queue.spec.arguments.view(), policy: definition(PolicyKind::User), operator: definition(PolicyKind::Operator) }
    }

    /// The policy of this kind that a queue follows.
    pub fn policy(&self, kind: PolicyKind, queue: &QueueInfo) -> Option<&PolicySpec> {
        if queue.delays.is_some() {
            return None;
        }
        let target = if is_quorum(&queue.spec.arguments) { Target::QuorumQueue } else { Target::ClassicQueue };
        self.vhost(queue.vhost).policies.best(kind, target, queue.spec.name.as_bytes())
    }

    /// The policy that an exchange follows; operators' policies are for queues.
    pub fn policy_of_exchange(&self, exchange: &ExchangeInfo) -> Option<&PolicySpec> {
        self.vhost(exchange.vhost).policies.best(PolicyKind::User, Target::Exchange, exchange.spec.name.as_bytes())
    }

    /// The alternate exchange of an exchange, if it exists. Its argument names it, or else its
    /// policy (row X13).
    pub fn alternate(&self, exchange: &ExchangeInfo) -> Option<&ExchangeInfo> {
        let name = exchange.alternate.as_deref().or_else(|| self.alternate_by_policy(exchange))?;
        self.exchange_by_name(exchange.vhost, name)
    }

    fn alternate_by_policy(&self, exchange: &ExchangeInfo) -> Option<&[u8]> {
        let policies = &self.vhost(exchange.vhost).policies;
        if policies.user.is_empty() {
            return None;
        }
        let mut followed = exchange.followed.get();
        if followed.version != policies.version {
            let name = exchange.spec.name.as_bytes();
            let place = policies.user.iter().position(|policy| policy.is_for(Target::Exchange, name));
            followed = Followed { version: policies.version, place };
            exchange.followed.set(followed);
        }
        policies.user[followed.place?].spec.definition.find(super::ALTERNATE).and_then(Value::as_text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ShardId;
    use crate::broker::catalog::{Change, Seat};
    use crate::broker::fixture::{VHOST, exchange};
    use crate::contract::{Administration, ExchangeSpec, Topology};
    use crate::message::TableBuilder;

    fn put(catalog: &mut Catalog, name: &str, pattern: &str, priority: i64, definition: TableBuilder) {
        let spec =
            PolicySpec { name: name.into(), pattern: pattern.into(), apply_to: "all".into(), priority, definition: definition.build() };
        catalog.apply(&Change::Administration(Administration::PutPolicy { vhost: "/".into(), kind: PolicyKind::User, spec }));
    }

    fn delete(catalog: &mut Catalog, name: &str) {
        let delete = Administration::DeletePolicy { vhost: "/".into(), kind: PolicyKind::User, name: name.into() };
        catalog.apply(&Change::Administration(delete));
    }

    fn length(catalog: &Catalog) -> Option<i64> {
        let queue = catalog.queue_by_name(VHOST, "q").expect("it is there");
        catalog.terms(queue).policy.find("max-length").and_then(Value::as_int)
    }

    #[test]
    fn the_highest_priority_counts_then_the_first_name() {
        let mut catalog = Catalog::new();
        catalog.with_queue("q");
        let long = |length| TableBuilder::new().long("max-length", length);
        put(&mut catalog, "b", "q", 1, long(1));
        assert_eq!(length(&catalog), Some(1));
        put(&mut catalog, "a", "q", 1, long(2));
        put(&mut catalog, "z", "^other", 9, long(3));
        put(&mut catalog, "y", "^$", 9, long(4));
        assert_eq!(length(&catalog), Some(2));
        put(&mut catalog, "c", "q", 2, long(5));
        assert_eq!(length(&catalog), Some(5));
        put(&mut catalog, "c", "q", -2, long(5));
        assert_eq!(length(&catalog), Some(2));
        ["a", "b", "none"].into_iter().for_each(|name| delete(&mut catalog, name));
        assert_eq!(length(&catalog), Some(5));
    }

    #[test]
    fn what_an_exchange_delays_follows_no_policy() {
        let mut catalog = Catalog::new();
        let arguments = TableBuilder::new().text("x-delayed-type", "fanout").build();
        let spec = ExchangeSpec { arguments, ..exchange("late", "x-delayed-message") };
        let seat = Some(Seat { home: ShardId(0), number: 1 });
        catalog.apply(&Change::Topology { vhost: "/".into(), topology: Topology::DeclareExchange(spec), seat, owner: None });
        put(&mut catalog, "p", "", 0, TableBuilder::new().long("max-length", 1));
        let hidden = catalog.queues().find(|queue| queue.delays.is_some()).expect("it has a queue of its own");
        assert!(catalog.terms(hidden).policy.is_empty());
    }

    #[test]
    fn an_exchange_follows_its_policy_as_it_is() {
        let mut catalog = Catalog::new();
        catalog.with_exchange("x", "direct").with_exchange("y", "fanout");
        let alternate = |catalog: &Catalog| {
            let exchange = catalog.exchange_by_name(VHOST, b"x").expect("it is there");
            catalog.alternate(exchange).map(|exchange| exchange.spec.name.to_string())
        };
        let to = |name: &str| TableBuilder::new().text("alternate-exchange", name);
        assert_eq!(alternate(&catalog), None);
        put(&mut catalog, "p", "^x", 0, to("y"));
        assert_eq!(alternate(&catalog).as_deref(), Some("y"));
        put(&mut catalog, "p", "^x", 0, to("amq.fanout"));
        assert_eq!(alternate(&catalog).as_deref(), Some("amq.fanout"));
        put(&mut catalog, "other", "^x", 1, TableBuilder::new().long("max-length", 1));
        assert_eq!(alternate(&catalog), None, "one policy is for it, not two");
        delete(&mut catalog, "other");
        delete(&mut catalog, "p");
        assert_eq!(alternate(&catalog), None);
    }
}

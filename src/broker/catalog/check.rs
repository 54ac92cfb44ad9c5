//! Checks of requests: is a request valid, and what does it change? Rules, order and texts are
//! RabbitMQ's. Names arrive in their final form: the session has removed CR and LF (where RabbitMQ
//! does), refused queue names that begin with `amq.`, and generated server-named ones.

use super::asker::{Asker, check_not_default};
use super::equivalence::{assert_exchange, assert_queue};
use super::{ALTERNATE, Catalog, Change, Dest, Resource, Right, Seat, queue_arguments};
use crate::base::ids::QueueAddr;
use crate::broker::exchange::{DELAYED, Kind, Matcher, check_arguments, check_binding, check_weight};
use crate::broker::options::DEAD_LETTER_EXCHANGE;
use crate::contract::{BindingSpec, Code, Destination, ExchangeSpec, Fault, Owner, QueueSpec, Topology, VhostId, is_reply_name};
use crate::message::{Table, Value, latin1_text};

/// The result of a request that is in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The catalog has to change, on every shard; then the request has succeeded.
    Change(Change),
    /// Nothing has to change: the request has succeeded. (A deletion: there is no such queue.)
    Already,
    /// The queue exists and the asker may use it: its home shard carries out the request.
    Queue(QueueAddr),
}

impl Catalog {
    /// Checks an operation on the topology, as far as the catalog can tell.
    pub fn check(&self, vhost: VhostId, asker: Asker, topology: &Topology) -> Result<Verdict, Fault> {
        self.check_vhost(vhost)?;
        match topology {
            Topology::DeclareExchange(spec) => self.check_declare_exchange(vhost, asker, spec),
            Topology::DeleteExchange { name, if_unused } => self.check_delete_exchange(vhost, asker, name, *if_unused),
            Topology::Bind(spec) => self.check_bind(vhost, asker, spec),
            Topology::Unbind(spec) => self.check_unbind(vhost, asker, spec),
            Topology::DeclareQueue(spec) => self.check_declare_queue(vhost, asker, spec),
            Topology::DeleteQueue { name, if_unused, if_empty } => self.check_delete_queue(vhost, asker, name, *if_unused, *if_empty),
        }
    }

    fn check_declare_exchange(&self, vhost: VhostId, asker: Asker, spec: &ExchangeSpec) -> Result<Verdict, Fault> {
        check_kind(&spec.kind)?;
        check_not_default(&spec.name)?;
        let exchange = Resource::Exchange(spec.name.as_bytes());
        self.allow(vhost, asker, Right::Configure, exchange)?;
        if let Some(current) = self.exchange_by_name(vhost, spec.name.as_bytes()) {
            assert_exchange(&current.spec, spec, &self.exchange_text(vhost, &spec.name))?;
            return Ok(Verdict::Already);
        }
        if spec.name.starts_with("amq.") {
            let text = format!("exchange name '{}' contains reserved prefix 'amq.*'", spec.name);
            return Err(Fault::new(Code::AccessRefused, text));
        }
        let exchange_text = self.exchange_text(vhost, &spec.name);
        if let Some(alternate) = named_exchange(&spec.arguments, ALTERNATE, &exchange_text)? {
            self.allow(vhost, asker, Right::Read, exchange)?;
            self.allow(vhost, asker, Right::Write, alternate)?;
        }
        check_arguments(spec, &exchange_text)?;
        let seat = (&*spec.kind == DELAYED).then_some(Seat { home: asker.home, number: 0 });
        Ok(self.change(vhost, Topology::DeclareExchange(spec.clone()), seat, None))
    }

    fn check_delete_exchange(&self, vhost: VhostId, asker: Asker, name: &str, if_unused: bool) -> Result<Verdict, Fault> {
        check_not_default(name)?;
        if name.starts_with("amq.") {
            let text = format!("deletion of system {} not allowed", self.exchange_text(vhost, name));
            return Err(Fault::new(Code::AccessRefused, text));
        }
        self.allow(vhost, asker, Right::Configure, Resource::Exchange(name.as_bytes()))?;
        match self.exchange_by_name(vhost, name.as_bytes()) {
            None => Ok(Verdict::Already),
            Some(exchange) if if_unused && !exchange.outgoing.is_empty() => {
                Err(Fault::new(Code::PreconditionFailed, format!("{} in use", self.exchange_text(vhost, name))))
            }
            Some(_) => Ok(self.change(vhost, Topology::DeleteExchange { name: name.into(), if_unused: false }, None, None)),
        }
    }

    fn check_bind(&self, vhost: VhostId, asker: Asker, spec: &BindingSpec) -> Result<Verdict, Fault> {
        self.check_ends(vhost, asker, spec)?;
        let source = self.exchange_by_name(vhost, spec.source.as_bytes());
        let source = source.ok_or_else(|| self.no_exchange(vhost, spec.source.as_bytes()))?;
        let dest = self.dest(vhost, spec.kind, &spec.destination).ok_or_else(|| self.no_dest(vhost, spec))?;
        match &source.matcher {
            Matcher::Headers(_) => check_binding(spec.arguments.view())?,
            Matcher::ConsistentHash(_) => check_weight(&spec.key)?,
            Matcher::Random(random) if random.is_local() => self.check_local(spec, dest)?,
            _ => {}
        }
        self.check_dest_access(asker, dest)?;
        match self.find_binding(vhost, spec) {
            Some(_) => Ok(Verdict::Already),
            None => Ok(self.change(vhost, Topology::Bind(spec.clone()), None, None)),
        }
    }

    /// Checks a binding of `x-local-random`: it leads to a classic queue and has no key.
    fn check_local(&self, spec: &BindingSpec, dest: Dest) -> Result<(), Fault> {
        let text = match dest {
            _ if !spec.key.is_empty() => format!("Non empty binding '{}' key not permitted", latin1_text(&spec.key)),
            Dest::Exchange(_) => "Destination not found".into(),
            Dest::Queue(addr) if queue_arguments::is_quorum(&self.queues[addr.queue].spec.arguments) => {
                "Queue type rabbit_quorum_queue not valid for this exchange type".into()
            }
            Dest::Queue(_) => return Ok(()),
        };
        Err(Fault::new(Code::PreconditionFailed, text))
    }

    /// Checks an unbind. If the binding, or one of its ends, does not exist, it counts as unbound.
    fn check_unbind(&self, vhost: VhostId, asker: Asker, spec: &BindingSpec) -> Result<Verdict, Fault> {
        self.check_ends(vhost, asker, spec)?;
        let Some(dest) = self.find_binding(vhost, spec) else { return Ok(Verdict::Already) };
        self.check_dest_access(asker, dest)?;
        Ok(self.change(vhost, Topology::Unbind(spec.clone()), None, None))
    }

    /// Checks that the asker may bind or unbind these ends, for a topic exchange also by this key.
    fn check_ends(&self, vhost: VhostId, asker: Asker, spec: &BindingSpec) -> Result<(), Fault> {
        let dest = match spec.kind {
            Destination::Queue => Resource::Queue(spec.destination.as_bytes()),
            Destination::Exchange => Resource::Exchange(spec.destination.as_bytes()),
        };
        check_is_no_reply_name(spec)?;
        self.allow(vhost, asker, Right::Write, dest)?;
        check_ends_not_default(spec)?;
        self.allow(vhost, asker, Right::Read, Resource::Exchange(spec.source.as_bytes()))?;
        let source = self.exchange_by_name(vhost, spec.source.as_bytes());
        match (asker.user, source.map(|source| &source.matcher)) {
            (Some(user), Some(Matcher::Topic(_))) => self.permit_topic(user, vhost, Right::Read, &spec.source, &spec.key),
            _ => Ok(()),
        }
    }

    /// Returns the destination of a binding, if the binding exists.
    fn find_binding(&self, vhost: VhostId, spec: &BindingSpec) -> Option<Dest> {
        let binding = self.resolve(vhost, spec)?;
        self.bindings.find(&binding).map(|_| binding.dest)
    }

    fn check_declare_queue(&self, vhost: VhostId, asker: Asker, spec: &QueueSpec) -> Result<Verdict, Fault> {
        let (owner, queue) = (asker.conn.filter(|_| spec.exclusive), Resource::Queue(spec.name.as_bytes()));
        let exclusive = owner.is_some();
        self.allow(vhost, asker, Right::Configure, queue)?;
        // An exclusive queue is deleted with its connection, so RabbitMQ does not call it durable.
        let arguments = queue_arguments::with_type(spec, self.vhost(vhost).spec.default_queue_type.as_deref());
        let spec = QueueSpec { durable: spec.durable && !exclusive, exclusive, arguments, ..spec.clone() };
        if let Some(current) = self.queue_by_name(vhost, &spec.name) {
            self.check_same_owner(current, owner)?;
            assert_queue(&current.spec, &spec, &self.queue_text(vhost, &spec.name))?;
            return Ok(Verdict::Queue(current.addr));
        }
        let queue_text = self.queue_text(vhost, &spec.name);
        if let Some(dead_letter) = named_exchange(&spec.arguments, DEAD_LETTER_EXCHANGE, &queue_text)? {
            self.allow(vhost, asker, Right::Read, queue)?;
            self.allow(vhost, asker, Right::Write, dead_letter)?;
        }
        queue_arguments::check(&spec, &queue_text)?;
        if asker.user.is_some() {
            self.check_queue_limit(vhost, &spec.name)?;
        }
        Ok(self.change(vhost, Topology::DeclareQueue(spec), Some(Seat { home: asker.home, number: 0 }), owner))
    }

    /// The verdict that this has to change. Shard 0 gives the seat its number.
    fn change(&self, vhost: VhostId, topology: Topology, seat: Option<Seat>, owner: Owner) -> Verdict {
        Verdict::Change(Change::Topology { vhost: self.vhost_name(vhost).into(), topology, seat, owner })
    }

    fn check_queue_limit(&self, vhost: VhostId, name: &str) -> Result<(), Fault> {
        let vhost = self.vhost(vhost);
        match vhost.limits.max_queues {
            Some(max) if vhost.queue_count() >= max as usize => {
                let text = format!("cannot declare queue '{name}': queue limit in vhost '{}' ({max}) is reached", vhost.spec.name);
                Err(Fault::new(Code::PreconditionFailed, text))
            }
            _ => Ok(()),
        }
    }

    /// Checks a deletion. For quorum queues it may have no conditions (row D9).
    fn check_delete_queue(&self, vhost: VhostId, asker: Asker, name: &str, if_unused: bool, if_empty: bool) -> Result<Verdict, Fault> {
        self.allow(vhost, asker, Right::Configure, Resource::Queue(name.as_bytes()))?;
        if self.queue_by_name(vhost, name).is_none() {
            return Ok(Verdict::Already);
        }
        let queue = self.usable_queue(vhost, asker, name)?;
        if (if_unused || if_empty) && self.is_quorum(vhost, name) {
            let (queue_text, flag) = (self.queue_text(vhost, name), if if_unused { "if-unused" } else { "if-empty" });
            let text =
                format!("cannot delete {queue_text}. queue.delete operations with {flag} flag set are not supported by quorum queues");
            return Err(Fault::new(Code::NotImplemented, text));
        }
        Ok(Verdict::Queue(queue))
    }

    fn check_dest_access(&self, asker: Asker, dest: Dest) -> Result<(), Fault> {
        match dest {
            Dest::Queue(addr) => self.check_access(&self.queues[addr.queue], asker),
            Dest::Exchange(_) => Ok(()),
        }
    }

    fn no_dest(&self, vhost: VhostId, spec: &BindingSpec) -> Fault {
        match spec.kind {
            Destination::Queue => self.no_queue(vhost, &spec.destination),
            Destination::Exchange => self.no_exchange(vhost, spec.destination.as_bytes()),
        }
    }
}

fn check_kind(kind: &str) -> Result<(), Fault> {
    match Kind::named(kind) {
        _ if kind == DELAYED => Ok(()),
        Some(_) => Ok(()),
        None if kind.is_empty() => Err(Fault::new(Code::PreconditionFailed, "invalid exchange type ''")),
        None => Err(Fault::new(Code::PreconditionFailed, format!("unknown exchange type '{kind}'"))),
    }
}

/// Refuses the names of direct reply-to: no queue is behind them (row S15).
fn check_is_no_reply_name(spec: &BindingSpec) -> Result<(), Fault> {
    if spec.kind == Destination::Queue && is_reply_name(spec.destination.as_bytes()) {
        return Err(Fault::new(Code::AccessRefused, "cannot bind or unbind to a volatile (direct reply-to) queue"));
    }
    Ok(())
}

fn check_ends_not_default(spec: &BindingSpec) -> Result<(), Fault> {
    if spec.kind == Destination::Exchange {
        check_not_default(&spec.destination)?;
    }
    check_not_default(&spec.source)
}

/// The exchange that an argument names; it is a long string.
fn named_exchange<'a>(arguments: &'a Table, name: &str, owner_text: &str) -> Result<Option<Resource<'a>>, Fault> {
    match arguments.find(name) {
        None => Ok(None),
        Some(Value::LongString(exchange)) => Ok(Some(Resource::Exchange(exchange))),
        Some(other) => {
            let text = format!("invalid type '{}' for arg '{name}' in {owner_text}", other.type_name());
            Err(Fault::new(Code::PreconditionFailed, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::{VHOST, asker, binding, conn, exchange, queue};
    use crate::contract::Topology::*;
    use crate::message::TableBuilder;

    const LOCKED: &str = "cannot obtain exclusive access to locked queue 'own' in vhost '/'. It could be originally declared on another \
                          connection or the exclusive property value does not match that of the original declaration.";

    /// Makes queues `q` and `own` (exclusive to connection 1), and exchange `x` (bound to `q`).
    fn catalog() -> Catalog {
        let mut catalog = Catalog::new();
        catalog.with_queue("q");
        catalog.with_exchange("x", "direct").with_binding("x", "k", "q");
        catalog.perform(conn(1), &DeclareQueue(QueueSpec { exclusive: true, ..queue("own") })).unwrap();
        catalog
    }

    /// What connection 0 is told: empty if nothing has to change.
    fn refusal(topology: Topology) -> String {
        match catalog().check(VHOST, asker(0), &topology) {
            Ok(Verdict::Already) => String::new(),
            Ok(verdict) => format!("{verdict:?}"),
            Err(fault) => format!("{} {}", fault.code as u16, fault.text),
        }
    }

    fn told(result: Result<(), Fault>) -> String {
        result.map_or_else(|fault| format!("{} {}", fault.code as u16, fault.text), |()| String::new())
    }

    fn is_change(topology: Topology) -> bool {
        matches!(catalog().check(VHOST, asker(0), &topology), Ok(Verdict::Change(_)))
    }

    fn is_queue(topology: Topology) -> bool {
        matches!(catalog().check(VHOST, asker(0), &topology), Ok(Verdict::Queue(_)))
    }

    fn delete(name: &str, if_unused: bool) -> Topology {
        DeleteExchange { name: name.into(), if_unused }
    }

    #[test]
    fn exchanges_are_declared_as_in_rabbitmq() {
        let default = "403 operation not permitted on the default exchange";
        assert!(is_change(DeclareExchange(exchange("new", "headers"))));
        assert_eq!(refusal(DeclareExchange(exchange("", "zzz"))), "406 unknown exchange type 'zzz'");
        assert_eq!(refusal(DeclareExchange(exchange("y", ""))), "406 invalid exchange type ''");
        assert_eq!(refusal(DeclareExchange(exchange("", "direct"))), default);
        let checked = |name| told(catalog().check_exchange(VHOST, asker(0), name));
        assert_eq!(checked(""), default);
        assert_eq!(checked("no"), "404 no exchange 'no' in vhost '/'");
        assert_eq!(checked("amq.rabbitmq.trace"), "");
        let reserved = "403 exchange name 'amq.y' contains reserved prefix 'amq.*'";
        assert_eq!(refusal(DeclareExchange(exchange("amq.y", "direct"))), reserved);
        let arguments = TableBuilder::new().int("alternate-exchange", 5).build();
        let invalid = "406 invalid type 'signedint' for arg 'alternate-exchange' in exchange 'y' in vhost '/'";
        assert_eq!(refusal(DeclareExchange(ExchangeSpec { arguments, ..exchange("y", "direct") })), invalid);
    }

    #[test]
    fn an_exchange_is_redeclared_the_same() {
        let redeclared = |change: fn(&mut ExchangeSpec)| {
            let mut spec = exchange("x", "direct");
            change(&mut spec);
            refusal(DeclareExchange(spec))
        };
        let inequivalent = |what: &str| format!("406 inequivalent arg {what}");
        assert_eq!(redeclared(|_| {}), "");
        assert_eq!(redeclared(|spec| spec.arguments = TableBuilder::new().int("foo", 1).build()), "");
        let expected = inequivalent("'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'");
        assert_eq!(redeclared(|spec| (spec.kind, spec.durable) = ("fanout".into(), true)), expected);
        let expected = inequivalent("'durable' for exchange 'x' in vhost '/': received 'true' but current is 'false'");
        assert_eq!(redeclared(|spec| (spec.durable, spec.auto_delete) = (true, true)), expected);
        let expected = inequivalent("'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'");
        assert_eq!(redeclared(|spec| (spec.auto_delete, spec.internal) = (true, true)), expected);
        let expected = inequivalent("'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'");
        assert_eq!(redeclared(|spec| spec.internal = true), expected);
        let expected = inequivalent(
            "'alternate-exchange' for exchange 'x' in vhost '/': received the value '5' of type 'signedint' but current is none",
        );
        assert_eq!(redeclared(|spec| spec.arguments = TableBuilder::new().int("alternate-exchange", 5).build()), expected);
        let predeclared = refusal(DeclareExchange(ExchangeSpec { durable: true, ..exchange("amq.direct", "direct") }));
        assert_eq!(predeclared, "");
    }

    #[test]
    fn exchanges_are_deleted_as_in_rabbitmq() {
        assert_eq!(refusal(delete("no", false)), "");
        assert_eq!(refusal(delete("", false)), "403 operation not permitted on the default exchange");
        assert_eq!(refusal(delete("amq.no", false)), "403 deletion of system exchange 'amq.no' in vhost '/' not allowed");
        assert_eq!(refusal(delete("x", true)), "406 exchange 'x' in vhost '/' in use");
        assert!(is_change(delete("x", false)));
    }

    #[test]
    fn bindings_are_checked_in_rabbitmq_s_order() {
        assert!(is_change(Bind(binding("amq.topic", "#", "q"))) && is_change(Bind(binding("x", "", "=>x"))));
        assert_eq!(refusal(Bind(binding("x", "k", "q"))), "");
        assert_eq!(refusal(Bind(binding("no", "", "none"))), "404 no exchange 'no' in vhost '/'");
        assert_eq!(refusal(Bind(binding("x", "", "none"))), "404 no queue 'none' in vhost '/'");
        assert_eq!(refusal(Bind(binding("x", "", "=>none"))), "404 no exchange 'none' in vhost '/'");
        let default = "403 operation not permitted on the default exchange";
        assert_eq!(refusal(Bind(binding("", "", "none"))), default);
        assert_eq!(refusal(Bind(binding("no", "", "=>"))), default);
        assert_eq!(refusal(Unbind(binding("", "", "q"))), default);
        let odd = |source| BindingSpec { arguments: TableBuilder::new().int("x-match", 5).build(), ..binding(source, "", "own") };
        assert_eq!(refusal(Bind(odd("amq.headers"))), "406 Invalid x-match field type signedint (value 5); expected longstr");
        assert_eq!(refusal(Bind(odd("amq.direct"))), format!("405 {LOCKED}"));
    }

    #[test]
    fn what_is_not_bound_is_unbound() {
        for spec in [binding("x", "other", "q"), binding("no", "", "q"), binding("x", "", "none"), binding("x", "", "own")] {
            assert_eq!(refusal(Unbind(spec)), "");
        }
        assert!(is_change(Unbind(binding("x", "k", "q"))));
        let mut catalog = catalog();
        catalog.perform(conn(1), &Bind(binding("x", "k", "own"))).unwrap();
        let fault = catalog.check(VHOST, asker(0), &Unbind(binding("x", "k", "own"))).unwrap_err();
        assert_eq!((fault.code, &*fault.text), (Code::ResourceLocked, LOCKED));
    }

    #[test]
    fn queues_are_found_unless_they_are_another_s() {
        let catalog = catalog();
        let found = |name: &str| told(catalog.check_queue(VHOST, asker(0), name).map(drop));
        let read = |name: &str| told(catalog.check_read(VHOST, asker(0), name).map(drop));
        let consumed = |name: &str| told(catalog.check_consume(VHOST, asker(0), name, false, &Table::empty()).map(drop));
        let delete = |name: &str| DeleteQueue { name: name.into(), if_unused: false, if_empty: false };
        assert!(is_queue(delete("q")));
        assert_eq!(refusal(delete("none")), "");
        assert_eq!(refusal(delete("own")), format!("405 {LOCKED}"));
        for ask in [&found as &dyn Fn(&str) -> String, &read, &consumed] {
            assert_eq!(ask("q"), "");
            assert_eq!(ask("none"), "404 no queue 'none' in vhost '/'");
            assert_eq!(ask("own"), format!("405 {LOCKED}"));
        }
    }

    #[test]
    fn a_queue_lives_where_it_was_declared() {
        let spec = QueueSpec { exclusive: true, durable: true, ..queue("new") };
        let Ok(Verdict::Change(change)) = catalog().check(VHOST, asker(3), &DeclareQueue(spec)) else { panic!("a new queue is a change") };
        let Change::Topology { topology: DeclareQueue(spec), seat, owner, .. } = change else { panic!("{change:?}") };
        assert_eq!((seat.map(|seat| seat.home), owner, spec.durable), (Some(conn(3).shard), Some(conn(3)), false));
    }

    #[test]
    fn a_queue_is_redeclared_the_same() {
        let redeclared = |change: fn(&mut QueueSpec)| {
            let mut spec = queue("q");
            change(&mut spec);
            refusal(DeclareQueue(spec))
        };
        assert!(is_queue(DeclareQueue(queue("q"))));
        assert!(redeclared(|spec| spec.exclusive = true).starts_with("405 cannot obtain exclusive access to locked queue 'q'"));
        let expected = "406 inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'";
        assert_eq!(redeclared(|spec| (spec.durable, spec.auto_delete) = (true, true)), expected);
        let expected = "406 inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'";
        assert_eq!(redeclared(|spec| spec.auto_delete = true), expected);
        assert_eq!(refusal(DeclareQueue(queue("own"))), format!("405 {LOCKED}"));
        let by_owner = |spec| catalog().check(VHOST, asker(1), &DeclareQueue(spec));
        assert!(matches!(by_owner(QueueSpec { exclusive: true, durable: true, ..queue("own") }), Ok(Verdict::Queue(_))));
        assert_eq!(by_owner(queue("own")).unwrap_err().text, LOCKED);
    }
}

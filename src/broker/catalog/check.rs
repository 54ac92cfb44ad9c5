//! Checks of requests: is one in order, and what does it change? RabbitMQ's rules, order and texts.
//!
//! Names arrive in their final form: the session has taken CR and LF out of them (where RabbitMQ
//! does), refused queue names that begin with `amq.` and made up server-named ones.

use super::equivalence::{assert_exchange, assert_queue};
use super::{ALTERNATE, Catalog, Change, Dest, QueueInfo, Resource, Right, Room, consumer_arguments, queue_arguments};
use crate::base::ids::{QueueAddr, ShardId, UserId};
use crate::broker::exchange::{DELAYED, Kind, Matcher, check_arguments, check_binding, check_weight};
use crate::contract::{BindingSpec, Code, Destination, ExchangeSpec, Fault, Owner, QueueSpec, Request, VhostId, is_reply_name};
use crate::message::{Table, Value, latin1_text};

/// The party that asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The shard where a queue that it declares will live.
    pub home: ShardId,
    /// Its connection, which owns exclusive queues; an operator has none.
    pub conn: Owner,
    /// The user whose permissions and limits count; an operator is above them.
    pub user: Option<UserId>,
}

/// The result of a request that is in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The catalog has to change, on every shard; then the answer is ok.
    Change(Change),
    /// Nothing has to change; the answer is ok. (For a deletion: there is no queue, of 0 messages.)
    Already,
    /// The queue is there and the asker may use it: its home does the rest.
    Queue(QueueAddr),
}

impl Catalog {
    /// Checks what `asker` requests, as far as the catalog can tell.
    pub fn check(&self, vhost: VhostId, asker: Asker, request: &Request) -> Result<Verdict, Fault> {
        if self.find_vhost(vhost).is_none() {
            return Err(Fault::new(Code::ConnectionForced, "the virtual host is deleted")); // while the request was on its way
        }
        match request {
            Request::DeclareExchange(spec) => self.check_declare_exchange(vhost, asker, spec),
            Request::CheckExchange { name } => self.check_exchange(vhost, asker, name),
            Request::DeleteExchange { name, if_unused } => self.check_delete_exchange(vhost, asker, name, *if_unused),
            Request::Bind(spec) => self.check_bind(vhost, asker, spec),
            Request::Unbind(spec) => self.check_unbind(vhost, asker, spec),
            Request::DeclareQueue(spec) => self.check_declare_queue(vhost, asker, spec),
            Request::DeleteQueue { name, if_unused, if_empty } => self.check_delete_queue(vhost, asker, name, *if_unused, *if_empty),
            Request::CheckQueue { name } => {
                self.allow_any(vhost, asker, Resource::Queue(name.as_bytes()))?;
                self.check_queue(vhost, asker, name)
            }
            Request::Consume { queue, limited, arguments, .. } => self.check_consume(vhost, asker, queue, *limited, arguments),
            Request::PurgeQueue { name } | Request::Get { queue: name, .. } => {
                self.allow(vhost, asker, Right::Read, Resource::Queue(name.as_bytes()))?;
                self.check_queue(vhost, asker, name)
            }
            Request::Cancel { .. } | Request::ConsumeReplies { .. } => Ok(Verdict::Already),
        }
    }

    fn allow(&self, vhost: VhostId, asker: Asker, right: Right, resource: Resource<'_>) -> Result<(), Fault> {
        asker.user.map_or(Ok(()), |user| self.permit(user, vhost, right, resource))
    }

    /// Any right is enough to see that an object exists; the text names the first.
    fn allow_any(&self, vhost: VhostId, asker: Asker, resource: Resource<'_>) -> Result<(), Fault> {
        let has = |right| self.allow(vhost, asker, right, resource).is_ok();
        if has(Right::Write) || has(Right::Read) { Ok(()) } else { self.allow(vhost, asker, Right::Configure, resource) }
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
        let room = (&*spec.kind == DELAYED).then_some(Room { home: asker.home, number: 0 });
        Ok(Verdict::Change(Change::DeclareExchange { vhost, spec: spec.clone(), room }))
    }

    fn check_exchange(&self, vhost: VhostId, asker: Asker, name: &str) -> Result<Verdict, Fault> {
        check_not_default(name)?;
        self.allow_any(vhost, asker, Resource::Exchange(name.as_bytes()))?;
        match self.exchange_by_name(vhost, name.as_bytes()) {
            Some(_) => Ok(Verdict::Already),
            None => Err(self.no_exchange(vhost, name.as_bytes())),
        }
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
            Some(_) => Ok(Verdict::Change(Change::DeleteExchange { vhost, name: name.into() })),
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
            None => Ok(Verdict::Change(Change::Bind { vhost, spec: spec.clone() })),
        }
    }

    /// Checks a binding of `x-local-random`: it leads to a classic queue, and has no key.
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

    /// A binding that does not exist, or an end that does not, counts as unbound.
    fn check_unbind(&self, vhost: VhostId, asker: Asker, spec: &BindingSpec) -> Result<Verdict, Fault> {
        self.check_ends(vhost, asker, spec)?;
        let Some(dest) = self.find_binding(vhost, spec) else { return Ok(Verdict::Already) };
        self.check_dest_access(asker, dest)?;
        Ok(Verdict::Change(Change::Unbind { vhost, spec: spec.clone() }))
    }

    /// Whether the asker may bind or unbind these two; on a topic exchange also by this key.
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

    /// The destination of a binding that is there.
    fn find_binding(&self, vhost: VhostId, spec: &BindingSpec) -> Option<Dest> {
        let binding = self.resolve(vhost, spec)?;
        self.bindings.find(&binding).map(|_| binding.dest)
    }

    fn check_declare_queue(&self, vhost: VhostId, asker: Asker, spec: &QueueSpec) -> Result<Verdict, Fault> {
        let (owner, queue) = (asker.conn.filter(|_| spec.exclusive), Resource::Queue(spec.name.as_bytes()));
        self.allow(vhost, asker, Right::Configure, queue)?;
        // An exclusive queue ends with its connection: RabbitMQ does not call it durable.
        let arguments = queue_arguments::with_type(spec, self.vhost(vhost).spec.default_queue_type.as_deref());
        let spec = QueueSpec { durable: spec.durable && !spec.exclusive, arguments, ..spec.clone() };
        if let Some(current) = self.queue_by_name(vhost, &spec.name) {
            self.check_same_owner(current, owner)?;
            assert_queue(&current.spec, &spec, &self.queue_text(vhost, &spec.name))?;
            return Ok(Verdict::Queue(current.addr));
        }
        let queue_text = self.queue_text(vhost, &spec.name);
        if let Some(dead_letter) = named_exchange(&spec.arguments, queue_arguments::DEAD_LETTER_EXCHANGE, &queue_text)? {
            self.allow(vhost, asker, Right::Read, queue)?;
            self.allow(vhost, asker, Right::Write, dead_letter)?;
        }
        queue_arguments::check(&spec, &queue_text)?;
        if asker.user.is_some() {
            self.check_queue_limit(vhost, &spec.name)?;
        }
        Ok(Verdict::Change(Change::DeclareQueue { vhost, spec, home: asker.home, owner, number: 0 }))
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

    /// Quorum queues are deleted without conditions (row D9).
    fn check_delete_queue(&self, vhost: VhostId, asker: Asker, name: &str, if_unused: bool, if_empty: bool) -> Result<Verdict, Fault> {
        self.allow(vhost, asker, Right::Configure, Resource::Queue(name.as_bytes()))?;
        if self.queue_by_name(vhost, name).is_none() {
            return Ok(Verdict::Already);
        }
        let verdict = self.check_queue(vhost, asker, name)?;
        if (if_unused || if_empty) && self.is_quorum(vhost, name) {
            let (queue_text, flag) = (self.queue_text(vhost, name), if if_unused { "if-unused" } else { "if-empty" });
            let text =
                format!("cannot delete {queue_text}. queue.delete operations with {flag} flag set are not supported by quorum queues");
            return Err(Fault::new(Code::NotImplemented, text));
        }
        Ok(verdict)
    }

    fn check_queue(&self, vhost: VhostId, asker: Asker, name: &str) -> Result<Verdict, Fault> {
        let queue = self.queue_by_name(vhost, name).ok_or_else(|| self.no_queue(vhost, name))?;
        self.check_access(queue, asker)?;
        Ok(Verdict::Queue(queue.addr))
    }

    /// Quorum queues know no limit of a whole channel (row Q4).
    fn check_consume(&self, vhost: VhostId, asker: Asker, name: &str, limited: bool, arguments: &Table) -> Result<Verdict, Fault> {
        self.allow(vhost, asker, Right::Read, Resource::Queue(name.as_bytes()))?;
        let verdict = self.check_queue(vhost, asker, name)?;
        let (quorum, queue_text) = (self.is_quorum(vhost, name), self.queue_text(vhost, name));
        consumer_arguments::check(arguments, quorum, &queue_text)?;
        if quorum && limited {
            return Err(Fault::new(Code::NotImplemented, format!("{queue_text} does not support global qos")));
        }
        Ok(verdict)
    }

    fn is_quorum(&self, vhost: VhostId, name: &str) -> bool {
        self.queue_by_name(vhost, name).is_some_and(|queue| queue_arguments::is_quorum(&queue.spec.arguments))
    }

    fn check_dest_access(&self, asker: Asker, dest: Dest) -> Result<(), Fault> {
        match dest {
            Dest::Queue(addr) => self.check_access(&self.queues[addr.queue], asker),
            Dest::Exchange(_) => Ok(()),
        }
    }

    /// An exclusive queue may be used by its owner only.
    fn check_access(&self, queue: &QueueInfo, asker: Asker) -> Result<(), Fault> {
        if queue.owner.is_some() { self.check_same_owner(queue, asker.conn) } else { Ok(()) }
    }

    fn check_same_owner(&self, queue: &QueueInfo, owner: Owner) -> Result<(), Fault> {
        if queue.owner == owner {
            return Ok(());
        }
        let text = format!(
            "cannot obtain exclusive access to locked {}. It could be originally declared on another connection or the exclusive \
             property value does not match that of the original declaration.",
            self.queue_text(queue.vhost, &queue.spec.name)
        );
        Err(Fault::new(Code::ResourceLocked, text))
    }

    fn no_dest(&self, vhost: VhostId, spec: &BindingSpec) -> Fault {
        match spec.kind {
            Destination::Queue => self.no_queue(vhost, &spec.destination),
            Destination::Exchange => self.no_exchange(vhost, spec.destination.as_bytes()),
        }
    }

    fn queue_text(&self, vhost: VhostId, name: &str) -> String {
        format!("queue '{name}' in vhost '{}'", self.vhost_name(vhost))
    }

    fn exchange_text(&self, vhost: VhostId, name: &str) -> String {
        format!("exchange '{name}' in vhost '{}'", self.vhost_name(vhost))
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

/// No queue is behind a reply name (row S15).
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

fn check_not_default(exchange: &str) -> Result<(), Fault> {
    if exchange.is_empty() {
        return Err(Fault::new(Code::AccessRefused, "operation not permitted on the default exchange"));
    }
    Ok(())
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
    use crate::contract::Request::*;
    use crate::message::TableBuilder;

    const LOCKED: &str = "cannot obtain exclusive access to locked queue 'own' in vhost '/'. It could be originally declared on another \
                          connection or the exclusive property value does not match that of the original declaration.";

    /// Queues `q` and `own` (exclusive to connection 1), and exchange `x` (direct, bound to `q`).
    fn catalog() -> Catalog {
        let mut catalog = Catalog::new();
        catalog.with_queue("q");
        catalog.with_exchange("x", "direct").with_binding("x", "k", "q");
        catalog.perform(conn(1), &DeclareQueue(QueueSpec { exclusive: true, ..queue("own") })).unwrap();
        catalog
    }

    /// What connection 0 is told: empty if nothing has to change.
    fn refusal(request: Request) -> String {
        match catalog().check(VHOST, asker(0), &request) {
            Ok(Verdict::Already) => String::new(),
            Ok(verdict) => format!("{verdict:?}"),
            Err(fault) => format!("{} {}", fault.code as u16, fault.text),
        }
    }

    fn is_change(request: Request) -> bool {
        matches!(catalog().check(VHOST, asker(0), &request), Ok(Verdict::Change(_)))
    }

    fn is_queue(request: Request) -> bool {
        matches!(catalog().check(VHOST, asker(0), &request), Ok(Verdict::Queue(_)))
    }

    fn delete(name: &str, if_unused: bool) -> Request {
        DeleteExchange { name: name.into(), if_unused }
    }

    #[test]
    fn exchanges_are_declared_as_in_rabbitmq() {
        let default = "403 operation not permitted on the default exchange";
        assert!(is_change(DeclareExchange(exchange("new", "headers"))));
        assert_eq!(refusal(DeclareExchange(exchange("", "zzz"))), "406 unknown exchange type 'zzz'");
        assert_eq!(refusal(DeclareExchange(exchange("y", ""))), "406 invalid exchange type ''");
        assert_eq!(refusal(DeclareExchange(exchange("", "direct"))), default);
        assert_eq!(refusal(CheckExchange { name: "".into() }), default);
        assert_eq!(refusal(CheckExchange { name: "no".into() }), "404 no exchange 'no' in vhost '/'");
        assert_eq!(refusal(CheckExchange { name: "amq.rabbitmq.trace".into() }), "");
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
        let get = |queue: &str| Get { queue: queue.into(), no_ack: true };
        let delete = |name: &str| DeleteQueue { name: name.into(), if_unused: false, if_empty: false };
        assert!(is_queue(get("q")) && is_queue(delete("q")));
        assert_eq!(refusal(delete("none")), "");
        assert_eq!(refusal(get("none")), "404 no queue 'none' in vhost '/'");
        assert_eq!(refusal(CheckQueue { name: "none".into() }), "404 no queue 'none' in vhost '/'");
        for request in [get("own"), delete("own"), CheckQueue { name: "own".into() }, PurgeQueue { name: "own".into() }] {
            assert_eq!(refusal(request), format!("405 {LOCKED}"));
        }
    }

    #[test]
    fn a_queue_lives_where_it_was_declared() {
        let spec = QueueSpec { exclusive: true, durable: true, ..queue("new") };
        let Ok(Verdict::Change(Change::DeclareQueue { spec, home, owner, .. })) = catalog().check(VHOST, asker(3), &DeclareQueue(spec))
        else {
            panic!("a new queue is a change")
        };
        assert_eq!((home, owner, spec.durable), (conn(3).shard, Some(conn(3)), false));
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

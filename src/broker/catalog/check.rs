//! Whether a request is in order, and what it changes: RabbitMQ's rules, in its order and with its texts.
//!
//! Names arrive as they shall be: the session has taken CR and LF out of them (where RabbitMQ does), refused queue names that begin
//! with `amq.` and made up those of server-named queues.

use super::equivalence::{assert_exchange, assert_queue};
use super::{ALTERNATE, Catalog, Change, Dest, QueueInfo, queue_arguments};
use crate::base::ids::{ConnAddr, QueueAddr};
use crate::broker::exchange::{Kind, Matcher, check_binding};
use crate::contract::{BindingSpec, Code, Destination, ExchangeSpec, Fault, Owner, QueueSpec, Request, VhostId};
use crate::message::{Table, Value};

/// What a request that is in order comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The catalog has to change, on every shard; then the answer is ok.
    Change(Change),
    /// Nothing has to change; the answer is ok. For a queue that shall be deleted: there is none, it held 0 messages.
    Already,
    /// The queue is there and the asker may use it: its home does or knows the rest.
    Queue(QueueAddr),
}

impl Catalog {
    /// Checks what `asker` requests, as far as the catalog can tell. A new queue would live on the asker's shard.
    pub fn check(&self, vhost: VhostId, asker: ConnAddr, request: &Request) -> Result<Verdict, Fault> {
        match request {
            Request::DeclareExchange(spec) => self.check_declare_exchange(vhost, spec),
            Request::CheckExchange { name } => self.check_exchange(vhost, name),
            Request::DeleteExchange { name, if_unused } => self.check_delete_exchange(vhost, name, *if_unused),
            Request::Bind(spec) => self.check_bind(vhost, asker, spec),
            Request::Unbind(spec) => self.check_unbind(vhost, asker, spec),
            Request::DeclareQueue(spec) => self.check_declare_queue(vhost, asker, spec),
            Request::DeleteQueue { name, .. } if self.queue_by_name(vhost, name).is_none() => Ok(Verdict::Already),
            Request::CheckQueue { name }
            | Request::PurgeQueue { name }
            | Request::DeleteQueue { name, .. }
            | Request::Consume { queue: name, .. }
            | Request::Get { queue: name, .. } => self.check_queue(vhost, asker, name),
            Request::Cancel { .. } => Ok(Verdict::Already),
        }
    }

    fn check_declare_exchange(&self, vhost: VhostId, spec: &ExchangeSpec) -> Result<Verdict, Fault> {
        check_kind(&spec.kind)?;
        check_not_default(&spec.name)?;
        if let Some(current) = self.exchange_by_name(vhost, spec.name.as_bytes()) {
            assert_exchange(&current.spec, spec, &self.exchange_text(vhost, &spec.name))?;
            return Ok(Verdict::Already);
        }
        if spec.name.starts_with("amq.") {
            let text = format!("exchange name '{}' contains reserved prefix 'amq.*'", spec.name);
            return Err(Fault::new(Code::AccessRefused, text));
        }
        check_names_exchange(&spec.arguments, ALTERNATE, &self.exchange_text(vhost, &spec.name))?;
        Ok(Verdict::Change(Change::DeclareExchange { vhost, spec: spec.clone() }))
    }

    fn check_exchange(&self, vhost: VhostId, name: &str) -> Result<Verdict, Fault> {
        check_not_default(name)?;
        match self.exchange_by_name(vhost, name.as_bytes()) {
            Some(_) => Ok(Verdict::Already),
            None => Err(self.no_exchange(vhost, name.as_bytes())),
        }
    }

    fn check_delete_exchange(&self, vhost: VhostId, name: &str, if_unused: bool) -> Result<Verdict, Fault> {
        check_not_default(name)?;
        if name.starts_with("amq.") {
            let text = format!("deletion of system {} not allowed", self.exchange_text(vhost, name));
            return Err(Fault::new(Code::AccessRefused, text));
        }
        match self.exchange_by_name(vhost, name.as_bytes()) {
            None => Ok(Verdict::Already),
            Some(exchange) if if_unused && !exchange.outgoing.is_empty() => {
                Err(Fault::new(Code::PreconditionFailed, format!("{} in use", self.exchange_text(vhost, name))))
            }
            Some(_) => Ok(Verdict::Change(Change::DeleteExchange { vhost, name: name.into() })),
        }
    }

    fn check_bind(&self, vhost: VhostId, asker: ConnAddr, spec: &BindingSpec) -> Result<Verdict, Fault> {
        check_ends_not_default(spec)?;
        let source = self.exchange_by_name(vhost, spec.source.as_bytes());
        let source = source.ok_or_else(|| self.no_exchange(vhost, spec.source.as_bytes()))?;
        let dest = self.dest(vhost, spec.kind, &spec.destination).ok_or_else(|| self.no_dest(vhost, spec))?;
        if let Matcher::Headers(_) = source.matcher {
            check_binding(spec.arguments.view())?;
        }
        self.check_dest_access(asker, dest)?;
        match self.find_binding(vhost, spec) {
            Some(_) => Ok(Verdict::Already),
            None => Ok(Verdict::Change(Change::Bind { vhost, spec: spec.clone() })),
        }
    }

    /// What is not bound, or not there at all, is unbound.
    fn check_unbind(&self, vhost: VhostId, asker: ConnAddr, spec: &BindingSpec) -> Result<Verdict, Fault> {
        check_ends_not_default(spec)?;
        let Some(dest) = self.find_binding(vhost, spec) else { return Ok(Verdict::Already) };
        self.check_dest_access(asker, dest)?;
        Ok(Verdict::Change(Change::Unbind { vhost, spec: spec.clone() }))
    }

    /// The destination of a binding that is there.
    fn find_binding(&self, vhost: VhostId, spec: &BindingSpec) -> Option<Dest> {
        let binding = self.resolve(vhost, spec)?;
        self.bindings.find(&binding).map(|_| binding.dest)
    }

    fn check_declare_queue(&self, vhost: VhostId, asker: ConnAddr, spec: &QueueSpec) -> Result<Verdict, Fault> {
        let owner = spec.exclusive.then_some(asker);
        // An exclusive queue ends with its connection: RabbitMQ does not call it durable.
        let spec = QueueSpec { durable: spec.durable && !spec.exclusive, ..spec.clone() };
        if let Some(current) = self.queue_by_name(vhost, &spec.name) {
            self.check_same_owner(current, owner)?;
            assert_queue(&current.spec, &spec, &self.queue_text(vhost, &spec.name))?;
            return Ok(Verdict::Queue(current.addr));
        }
        let queue_text = self.queue_text(vhost, &spec.name);
        check_names_exchange(&spec.arguments, queue_arguments::DEAD_LETTER_EXCHANGE, &queue_text)?;
        queue_arguments::check(&spec, &queue_text)?;
        Ok(Verdict::Change(Change::DeclareQueue { vhost, spec, home: asker.shard, owner }))
    }

    fn check_queue(&self, vhost: VhostId, asker: ConnAddr, name: &str) -> Result<Verdict, Fault> {
        let queue = self.queue_by_name(vhost, name).ok_or_else(|| self.no_queue(vhost, name))?;
        self.check_access(queue, asker)?;
        Ok(Verdict::Queue(queue.addr))
    }

    fn check_dest_access(&self, asker: ConnAddr, dest: Dest) -> Result<(), Fault> {
        match dest {
            Dest::Queue(addr) => self.check_access(&self.queues[addr.queue], asker),
            Dest::Exchange(_) => Ok(()),
        }
    }

    /// An exclusive queue is its owner's.
    fn check_access(&self, queue: &QueueInfo, asker: ConnAddr) -> Result<(), Fault> {
        if queue.owner.is_some() { self.check_same_owner(queue, Some(asker)) } else { Ok(()) }
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
        Some(_) => Ok(()),
        None if kind.is_empty() => Err(Fault::new(Code::PreconditionFailed, "invalid exchange type ''")),
        None => Err(Fault::new(Code::PreconditionFailed, format!("unknown exchange type '{kind}'"))),
    }
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

/// An argument that names an exchange is a long string.
fn check_names_exchange(arguments: &Table, name: &str, owner_text: &str) -> Result<(), Fault> {
    match arguments.find(name) {
        None | Some(Value::LongString(_)) => Ok(()),
        Some(other) => {
            let text = format!("invalid type '{}' for arg '{name}' in {owner_text}", other.type_name());
            Err(Fault::new(Code::PreconditionFailed, text))
        }
    }
}

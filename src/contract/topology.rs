//! The topology of a virtual host: exchanges, queues and bindings, and what can be done to them.
//! Clients' requests, operators' commands and the catalog's changes share these words.

use crate::message::Table;

/// The attributes of a queue, as in queue.declare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueSpec {
    /// The name, never empty here: the session makes up server-named ones.
    pub name: Box<str>,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it belongs to one connection and goes with it.
    pub exclusive: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// The x-arguments.
    pub arguments: Table,
}

/// The attributes of an exchange, as in exchange.declare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeSpec {
    /// Its name.
    pub name: Box<str>,
    /// The type as the client wrote it; the catalog knows which exist.
    pub kind: Box<str>,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it goes with its last binding as a source.
    pub auto_delete: bool,
    /// Whether clients may not publish to it.
    pub internal: bool,
    /// The x-arguments.
    pub arguments: Table,
}

/// The kind of a binding's destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Destination {
    /// queue.bind
    Queue,
    /// exchange.bind
    Exchange,
}

/// A binding. Source, destination, key and arguments together are its identity.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BindingSpec {
    /// The exchange that messages come from.
    pub source: Box<str>,
    /// Whether `destination` names a queue or an exchange.
    pub kind: Destination,
    /// The queue or exchange that they go to.
    pub destination: Box<str>,
    /// The binding key (may be any bytes up to 255, in practice UTF-8).
    pub key: Box<[u8]>,
    /// Arguments in canonical order (sorted by key), for the headers exchange.
    pub arguments: Table,
}

/// One operation on the topology of a virtual host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Topology {
    /// exchange.declare; an equal exchange may be there.
    DeclareExchange(ExchangeSpec),
    /// exchange.delete; the exchange may be gone.
    DeleteExchange {
        /// The exchange.
        name: Box<str>,
        /// Refuse if it is the source of bindings.
        if_unused: bool,
    },
    /// queue.declare; an equal queue may be there.
    DeclareQueue(QueueSpec),
    /// queue.delete; the queue may be gone. Its home has the last word.
    DeleteQueue {
        /// The queue.
        name: Box<str>,
        /// Refuse if it has consumers.
        if_unused: bool,
        /// Refuse if it has ready messages.
        if_empty: bool,
    },
    /// queue.bind, exchange.bind; the binding may be there.
    Bind(BindingSpec),
    /// queue.unbind, exchange.unbind; the binding may be gone.
    Unbind(BindingSpec),
}

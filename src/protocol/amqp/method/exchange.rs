//! Class exchange.

use crate::message::TableRef;

methods! { 40 "exchange";
    /// Client: declares an exchange, or (passive) asks whether it exists.
    Declare<'a> = 10 "declare" {
        ticket: u16,
        exchange: &'a str,
        kind: &'a str,
        passive: bool,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        nowait: bool,
        arguments: TableRef<'a>,
    }
    /// Server: the exchange exists.
    DeclareOk = 11 "declare-ok" {}
    /// Client: deletes an exchange.
    Delete<'a> = 20 "delete" {
        ticket: u16,
        exchange: &'a str,
        if_unused: bool,
        nowait: bool,
    }
    /// Server: the exchange is deleted.
    DeleteOk = 21 "delete-ok" {}
    /// Client: binds an exchange to another.
    Bind<'a> = 30 "bind" {
        ticket: u16,
        destination: &'a str,
        source: &'a str,
        routing_key: &'a str,
        nowait: bool,
        arguments: TableRef<'a>,
    }
    /// Server: the binding exists.
    BindOk = 31 "bind-ok" {}
    /// Client: removes a binding.
    Unbind<'a> = 40 "unbind" {
        ticket: u16,
        destination: &'a str,
        source: &'a str,
        routing_key: &'a str,
        nowait: bool,
        arguments: TableRef<'a>,
    }
    /// Server: the binding is removed. The number is RabbitMQ's; it does not follow the others.
    UnbindOk = 51 "unbind-ok" {}
}

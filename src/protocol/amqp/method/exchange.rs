//! Class exchange.

use crate::message::TableRef;

methods! { 40 "exchange";
    /// Client: creates an exchange, or (passive) asks whether it is there.
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
    /// Server: it is there.
    DeclareOk = 11 "declare-ok" {}
    /// Client: deletes an exchange.
    Delete<'a> = 20 "delete" {
        ticket: u16,
        exchange: &'a str,
        if_unused: bool,
        nowait: bool,
    }
    /// Server: it is gone.
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
    /// Server: bound.
    BindOk = 31 "bind-ok" {}
    /// Client: takes a binding away.
    Unbind<'a> = 40 "unbind" {
        ticket: u16,
        destination: &'a str,
        source: &'a str,
        routing_key: &'a str,
        nowait: bool,
        arguments: TableRef<'a>,
    }
    /// Server: unbound. The number is RabbitMQ's; it breaks the row.
    UnbindOk = 51 "unbind-ok" {}
}

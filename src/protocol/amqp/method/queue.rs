//! Class queue.

use crate::message::TableRef;

methods! { 50 "queue";
    /// Client: declares a queue, or (passive) asks about its state.
    Declare<'a> = 10 "declare" {
        ticket: u16,
        queue: &'a str,
        passive: bool,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        nowait: bool,
        arguments: TableRef<'a>,
    }
    /// Server: the queue's name and its state.
    DeclareOk<'a> = 11 "declare-ok" {
        queue: &'a str,
        message_count: u32,
        consumer_count: u32,
    }
    /// Client: binds a queue to an exchange.
    Bind<'a> = 20 "bind" {
        ticket: u16,
        queue: &'a str,
        exchange: &'a str,
        routing_key: &'a str,
        nowait: bool,
        arguments: TableRef<'a>,
    }
    /// Server: the binding exists.
    BindOk = 21 "bind-ok" {}
    /// Client: drops all ready messages.
    Purge<'a> = 30 "purge" {
        ticket: u16,
        queue: &'a str,
        nowait: bool,
    }
    /// Server: the number of dropped messages.
    PurgeOk = 31 "purge-ok" {
        message_count: u32,
    }
    /// Client: deletes a queue.
    Delete<'a> = 40 "delete" {
        ticket: u16,
        queue: &'a str,
        if_unused: bool,
        if_empty: bool,
        nowait: bool,
    }
    /// Server: the number of messages that were deleted with the queue.
    DeleteOk = 41 "delete-ok" {
        message_count: u32,
    }
    /// Client: removes a binding.
    Unbind<'a> = 50 "unbind" {
        ticket: u16,
        queue: &'a str,
        exchange: &'a str,
        routing_key: &'a str,
        arguments: TableRef<'a>,
    }
    /// Server: the binding is removed.
    UnbindOk = 51 "unbind-ok" {}
}

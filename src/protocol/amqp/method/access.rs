//! Class access: left over from AMQP 0-8, still sent by old clients.

methods! { 30 "access";
    /// Client: requests a ticket for a realm.
    Request<'a> = 10 "request" {
        realm: &'a str,
        exclusive: bool,
        passive: bool,
        active: bool,
        write_access: bool,
        read_access: bool,
    }
    /// Server: a ticket, which has no effect.
    RequestOk = 11 "request-ok" {
        ticket: u16,
    }
}

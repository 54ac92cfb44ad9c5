//! Class confirm: RabbitMQ's publisher confirms.

methods! { 85 "confirm";
    /// Client: wants its publishes confirmed from now on.
    Select = 10 "select" {
        nowait: bool,
    }
    /// Server: they will be.
    SelectOk = 11 "select-ok" {}
}

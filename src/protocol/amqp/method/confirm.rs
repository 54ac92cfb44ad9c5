//! Class confirm: RabbitMQ's publisher confirms.

methods! { 85 "confirm";
    /// Client: turns on confirms for the channel's later publishes.
    Select = 10 "select" {
        nowait: bool,
    }
    /// Server: confirms are on.
    SelectOk = 11 "select-ok" {}
}

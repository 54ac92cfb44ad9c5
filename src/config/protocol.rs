//! The protocols that a listener can speak.

/// The protocol of a listener's clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// AMQP 0-9-1.
    Amqp,
    /// The line protocol of the tests of sessions.
    #[cfg(test)]
    Line,
}

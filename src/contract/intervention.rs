//! Interventions of operators in what only one shard has: its connections, and the messages of its
//! queues. Unlike a [`Command`](super::Command), an intervention changes nothing in the catalog.

use crate::base::ids::{ConnAddr, QueueId};

/// One intervention.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Intervention {
    /// Close a connection and tell it the reason.
    CloseConnection {
        /// The connection.
        conn: ConnAddr,
        /// The text behind `CONNECTION_FORCED - `.
        reason: Box<str>,
    },
    /// Drop the messages of a queue that are ready.
    Purge(QueueId),
    /// Publish a message for the broker itself. No permission is needed, and nobody hears whether a
    /// queue has it.
    Publish(Box<Publication>),
}

/// A message of the broker itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// The virtual host.
    pub vhost: Box<str>,
    /// The exchange.
    pub exchange: Box<str>,
    /// The routing key, at most 255 bytes.
    pub key: Box<[u8]>,
    /// The properties as a content header has them.
    pub properties: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

/// The result of an [`Intervention`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intervened {
    /// It is done; for [`Intervention::Purge`], with the number of messages that went.
    Done {
        /// Number of messages.
        messages: u32,
    },
    /// The connection or the queue is not here, or no longer.
    Absent,
}

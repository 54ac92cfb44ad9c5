//! A message that owns its bytes, and what its publisher asked for.

use bytes::Bytes;

use crate::base::ids::QueueAddr;
use crate::base::limits::SHARED_BODY_MIN;
use crate::contract::RouteSet;
use crate::message::{Body, MessageView, Route, Stamp};

/// The message.
#[derive(Debug, Default)]
pub struct Assembled {
    /// The channel that it was published on.
    pub channel: u16,
    /// Whether to return it if it finds no queue.
    pub mandatory: bool,
    /// Its sequence number, if the channel confirms.
    pub confirm: Option<u64>,
    /// The queues of a message that waits for a commit: RabbitMQ routes it when it is published.
    pub routes: RouteSet,
    /// Reply names among its keys, which lead to channels that wait for replies.
    pub reply_names: Vec<Vec<u8>>,
    /// Whether an exchange on its way remembers messages: then all of it is routed at the commit.
    pub is_remembered: bool,
    /// Exchange and routing key, then the properties, each in wire form.
    pub head: Vec<u8>,
    /// Bytes of exchange and routing key in `head`.
    pub route_size: usize,
    /// The body.
    pub body: Payload,
}

/// A body: copied later on, or (from [`SHARED_BODY_MIN`] bytes on) counted.
#[derive(Debug)]
pub enum Payload {
    /// To be copied.
    Small(Vec<u8>),
    /// Shared by reference count.
    Shared(Bytes),
}

impl Default for Payload {
    fn default() -> Self {
        Payload::Small(Vec::new())
    }
}

impl Assembled {
    /// Copies a message.
    pub fn copy(channel: u16, mandatory: bool, message: &MessageView<'_>) -> Assembled {
        let route = message.route.wire();
        let body = match message.body {
            Body::Slice(bytes) if bytes.len() < SHARED_BODY_MIN => Payload::Small(bytes.to_vec()),
            Body::Slice(bytes) => Payload::Shared(Bytes::copy_from_slice(bytes)),
            Body::Shared(bytes) => Payload::Shared(bytes.clone()),
        };
        let head = [route, message.properties].concat();
        Assembled { channel, mandatory, head, route_size: route.len(), body, ..Assembled::default() }
    }

    /// Replaces the property list, in wire form.
    pub fn set_properties(&mut self, properties: &[u8]) {
        self.head.truncate(self.route_size);
        self.head.extend_from_slice(properties);
    }

    /// The message.
    pub fn view(&self) -> MessageView<'_> {
        let (route, properties) = self.head.split_at(self.route_size);
        let body = match &self.body {
            Payload::Small(bytes) => Body::Slice(bytes),
            Payload::Shared(bytes) => Body::Shared(bytes),
        };
        MessageView { route: Route::new(route), properties, stamp: Stamp::NONE, body }
    }

    /// Bytes of memory that the message takes beside its own structure.
    pub fn heap_size(&self) -> usize {
        let body = match &self.body {
            Payload::Small(bytes) => bytes.capacity(),
            Payload::Shared(bytes) => bytes.len(),
        };
        let routes = if self.routes.spilled() { self.routes.capacity() * size_of::<QueueAddr>() } else { 0 };
        let names: usize = self.reply_names.iter().map(|name| size_of::<Vec<u8>>() + name.capacity()).sum();
        self.head.capacity() + body + routes + names
    }
}

//! The incoming bytes of one connection, assembled into events: methods with their content, the
//! protocol header, heartbeats.

use super::value::Value;
use super::wire::{self, Fields, Frame, Header, Method};

/// An event that a client sees on a channel (0 for the connection itself).
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A method, with its content if it has one.
    Method(Method, Option<Content>),
    /// `AMQP` and four octets.
    ProtocolHeader([u8; 4]),
    /// One heartbeat or several.
    Heartbeat,
    /// Bytes that are no frame, or frames out of order.
    Garbage(Vec<u8>),
    /// The broker closed the socket.
    Closed,
}

impl Event {
    /// Returns the method's name, or an empty name.
    pub fn name(&self) -> &str {
        match self {
            Event::Method(method, _) => &method.name,
            _ => "",
        }
    }
}

/// A message's properties and body.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Content {
    /// The properties that are present.
    pub properties: Fields,
    /// The body.
    pub body: Vec<u8>,
    /// The sizes of the body's frames.
    pub parts: Vec<usize>,
}

/// The receiving half of a client connection.
#[derive(Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    open: Vec<Unfinished>,
}

/// An incomplete message: its channel, its method, and, once the header is there, its size and the
/// part of the body that has arrived.
type Unfinished = (u16, Method, Option<(u64, Content)>);

impl Incoming {
    /// Takes received bytes and returns the complete events, in order.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<(u16, Event)> {
        self.bytes.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            events.extend(event);
        }
        events
    }

    /// Takes one frame: `None` when bytes are missing, `Some(None)` when a message is incomplete.
    fn next(&mut self) -> Option<Option<(u16, Event)>> {
        if self.bytes.first() == Some(&b'A') {
            let header: [u8; 8] = self.bytes.get(..8)?.try_into().expect("eight bytes");
            self.bytes.drain(..8);
            return Some(Some((0, Event::ProtocolHeader([header[4], header[5], header[6], header[7]]))));
        }
        match wire::take_frame(&mut self.bytes) {
            Ok(frame) => Some(self.on_frame(frame?)),
            Err(()) => Some(Some((0, Event::Garbage(std::mem::take(&mut self.bytes))))),
        }
    }

    fn on_frame(&mut self, frame: Frame) -> Option<(u16, Event)> {
        let channel = frame.channel;
        let whole = match frame.kind {
            wire::HEARTBEAT => Some(Event::Heartbeat),
            wire::METHOD => self.on_method(&frame),
            wire::HEADER => self.on_header(&frame),
            _ => self.on_body(&frame),
        };
        whole.map(|event| (channel, event))
    }

    fn on_method(&mut self, frame: &Frame) -> Option<Event> {
        let unfinished = self.open.iter().any(|(channel, ..)| *channel == frame.channel);
        match Method::decode(&frame.payload) {
            Some(method) if method.shape().content && !unfinished => {
                self.open.push((frame.channel, method, None));
                None
            }
            Some(method) if !unfinished => Some(Event::Method(method, None)),
            _ => Some(Event::Garbage(frame.payload.clone())),
        }
    }

    fn on_header(&mut self, frame: &Frame) -> Option<Event> {
        let open = self.open.iter_mut().find(|(channel, _, content)| *channel == frame.channel && content.is_none());
        let (Some((_, _, content)), Some(header)) = (open, Header::decode(&frame.payload)) else {
            return Some(Event::Garbage(frame.payload.clone()));
        };
        *content = Some((header.body_size, Content { properties: header.properties, ..Content::default() }));
        self.finished(frame.channel)
    }

    fn on_body(&mut self, frame: &Frame) -> Option<Event> {
        let open = self.open.iter_mut().find_map(|(channel, _, content)| content.as_mut().filter(|_| *channel == frame.channel));
        let Some((_, content)) = open else { return Some(Event::Garbage(frame.payload.clone())) };
        content.body.extend_from_slice(&frame.payload);
        content.parts.push(frame.payload.len());
        self.finished(frame.channel)
    }

    fn finished(&mut self, channel: u16) -> Option<Event> {
        let is_whole = |(size, content): &(u64, Content)| content.body.len() as u64 >= *size;
        let at = self.open.iter().position(|(open, _, content)| *open == channel && content.as_ref().is_some_and(is_whole))?;
        let (_, method, content) = self.open.swap_remove(at);
        Some(Event::Method(method, content.map(|(_, content)| content)))
    }
}

/// Encodes a message as a client sends it: the method, the header, the body in frames of at most
/// `piece` bytes.
pub fn publish(channel: u16, method: &Method, content: &Content, piece: usize) -> Vec<u8> {
    let mut bytes = wire::method_frame(channel, method);
    bytes.extend(wire::content_frames(channel, &content.properties, &content.body, piece));
    bytes
}

/// The protocol header that opens a connection.
pub const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// Makes the start-ok of a usual client: guest by PLAIN, with these capabilities.
pub fn start_ok(capabilities: &[&str]) -> Method {
    start_ok_as("guest", "guest", capabilities)
}

/// Makes the start-ok of another user.
pub fn start_ok_as(user: &str, password: &str, capabilities: &[&str]) -> Method {
    let capabilities = capabilities.iter().map(|name| (name.as_bytes().to_vec(), Value::Bool(true))).collect();
    let properties = vec![(b"product".to_vec(), Value::text("trace")), (b"capabilities".to_vec(), Value::Table(capabilities))];
    let fields = [
        ("client_properties", Value::Table(properties)),
        ("mechanism", Value::text("PLAIN")),
        ("response", Value::text(format!("\0{user}\0{password}"))),
        ("locale", Value::text("en_US")),
    ];
    Method::new("connection.start-ok", &fields).expect("the list knows start-ok")
}

/// The capabilities of usual clients.
pub const CAPABILITIES: &[&str] = &[
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "authentication_failure_close",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_whole_with_its_last_byte() {
        let method = Method::new("basic.deliver", &[("consumer_tag", Value::text("c"))]).expect("the list knows it");
        let content = Content { body: b"12345".to_vec(), ..Content::default() };
        let bytes = publish(3, &method, &content, 4);
        let mut incoming = Incoming::default();
        assert_eq!(incoming.feed(&bytes[..bytes.len() - 1]), []);
        let whole = Content { parts: vec![4, 1], ..content };
        assert_eq!(incoming.feed(&bytes[bytes.len() - 1..]), [(3, Event::Method(method, Some(whole)))]);
    }
}

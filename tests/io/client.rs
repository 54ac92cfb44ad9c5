//! A blocking AMQP client that waits for answers, with a time limit on everything.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::client::{CAPABILITIES, Content, Event, Incoming, PROTOCOL_HEADER, publish, start_ok};
use crate::support::value::Value;
use crate::support::wire::{Method, method_frame};

/// One connection.
pub struct Client {
    stream: TcpStream,
    incoming: Incoming,
    events: VecDeque<Event>,
}

impl Client {
    /// Opens a socket and sends nothing.
    pub fn silent(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("a broker listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a TCP socket");
        Client { stream, incoming: Incoming::default(), events: VecDeque::new() }
    }

    /// Logs in as guest and opens channel 1.
    pub fn open(address: SocketAddr) -> Client {
        let mut client = Client::knock(address);
        client.expect("connection.open-ok");
        client.call(1, "channel.open", &[]);
        client.expect("channel.open-ok");
        client
    }

    /// Logs in as guest, up to connection.open.
    pub fn knock(address: SocketAddr) -> Client {
        let mut client = Client::silent(address);
        client.send(PROTOCOL_HEADER);
        client.expect("connection.start");
        client.send(&method_frame(0, &start_ok(CAPABILITIES)));
        client.expect("connection.tune");
        client.call(0, "connection.tune-ok", &[("frame_max", Value::number(FRAME_MAX)), ("channel_max", Value::number(2047))]);
        client.call(0, "connection.open", &[("virtual_host", Value::text("/"))]);
        client
    }

    /// Sends a method.
    pub fn call(&mut self, channel: u16, method: &str, fields: &[(&str, Value)]) {
        let method = Method::new(method, fields).expect("a method of the list");
        self.send(&method_frame(channel, &method));
    }

    /// Declares an auto-delete queue, and consumes from it without acks.
    pub fn consume(&mut self, queue: &str) {
        self.call(1, "queue.declare", &[("queue", Value::text(queue)), ("auto_delete", Value::Bool(true))]);
        self.expect("queue.declare-ok");
        self.call(1, "basic.consume", &[("queue", Value::text(queue)), ("no_ack", Value::Bool(true))]);
        self.expect("basic.consume-ok");
    }

    /// Publishes to a queue.
    pub fn publish(&mut self, queue: &str, body: &[u8]) {
        let method = Method::new("basic.publish", &[("routing_key", Value::text(queue))]).expect("a method of the list");
        let content = Content { body: body.to_vec(), ..Content::default() };
        self.send(&publish(1, &method, &content, FRAME_MAX as usize - 8));
    }

    /// Declares a durable queue and turns confirms on.
    pub fn confirm_durable(&mut self, queue: &str) {
        self.call(1, "queue.declare", &[("queue", Value::text(queue)), ("durable", Value::Bool(true))]);
        self.expect("queue.declare-ok");
        self.call(1, "confirm.select", &[]);
        self.expect("confirm.select-ok");
    }

    /// Publishes a persistent message to a queue.
    pub fn publish_persistent(&mut self, queue: &str, body: &[u8]) {
        let method = Method::new("basic.publish", &[("routing_key", Value::text(queue))]).expect("a method of the list");
        let properties = vec![("delivery_mode".to_owned(), Value::number(2u8))];
        let content = Content { properties, body: body.to_vec(), ..Content::default() };
        self.send(&publish(1, &method, &content, FRAME_MAX as usize - 8));
    }

    /// Waits until this many publishes are confirmed.
    pub fn await_confirms(&mut self, count: u32) {
        while self.expect("basic.ack").field("delivery_tag") != Some(&Value::number(u64::from(count))) {}
    }

    /// Returns the body of the next delivery.
    pub fn delivery(&mut self) -> Vec<u8> {
        match self.next() {
            Some(Event::Method(method, Some(content))) if method.name == "basic.deliver" => content.body,
            other => panic!("no delivery but {other:?}"),
        }
    }

    /// Returns the next method, which must have this name.
    pub fn expect(&mut self, method: &str) -> Method {
        match self.next() {
            Some(Event::Method(got, _)) if got.name == method => got,
            other => panic!("no {method} but {other:?}"),
        }
    }

    /// Returns the next event, or `None` when the broker has closed in good order. A reset is not
    /// good order.
    pub fn next(&mut self) -> Option<Event> {
        let mut bytes = [0; 65536];
        while self.events.is_empty() {
            let read = loop {
                match self.stream.read(&mut bytes) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    result => break result.expect("the broker answers in time and without a reset"),
                }
            };
            if read == 0 {
                return None;
            }
            self.events.extend(self.incoming.feed(&bytes[..read]).into_iter().map(|(_, event)| event));
        }
        self.events.pop_front()
    }

    /// Returns the next event that is not about an alarm. While the disk is full, the broker blocks
    /// a connection that declares something until the answer.
    fn next_answer(&mut self) -> Option<Event> {
        loop {
            match self.next() {
                Some(Event::Method(got, _)) if matches!(&*got.name, "connection.blocked" | "connection.unblocked") => {}
                other => return other,
            }
        }
    }

    /// Declares a queue. Returns false if the queue is another connection's; then the channel is
    /// opened anew.
    pub fn declares(&mut self, fields: &[(&str, Value)]) -> bool {
        self.call(1, "queue.declare", fields);
        match self.next_answer() {
            Some(Event::Method(got, _)) if got.name == "queue.declare-ok" => true,
            Some(Event::Method(got, _)) if got.name == "channel.close" => {
                self.call(1, "channel.close-ok", &[]);
                self.call(1, "channel.open", &[]);
                let opened = self.next_answer();
                assert!(matches!(&opened, Some(Event::Method(got, _)) if got.name == "channel.open-ok"), "not {opened:?}");
                false
            }
            other => panic!("no answer to queue.declare but {other:?}"),
        }
    }

    /// Ends the connection by a reset, as the kernel does for a process that dies with unread
    /// input.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// Returns the socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

const FRAME_MAX: u32 = 131_072;
const PATIENCE: Duration = Duration::from_secs(10);

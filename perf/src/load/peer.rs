//! A connection in a worker's loop: input is scanned and passed to its producer or consumer; output
//! is the producer's batch and, between two messages of it, the consumer's acks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::consumer::Consumer;
use super::producer::{Pause, Producer};
use super::stats::{Credits, Histograms, Phase, Tally};
use super::{CONSUME_CHANNEL, PUBLISH_CHANNEL};
use crate::amqp::encode::Encoder;
use crate::amqp::id;
use crate::amqp::scan::{Scanner, Sink};
use crate::connection::close_text;
use crate::sys;

/// The values that belong to one turn of a worker.
pub struct Turn<'a> {
    /// The time, nanoseconds.
    pub now_ns: u64,
    /// When the run began, nanoseconds.
    pub start_ns: u64,
    /// The phase of the run.
    pub phase: Phase,
    /// The worker's counts.
    pub tally: &'a mut Tally,
    /// The worker's latencies.
    pub histograms: &'a mut Histograms,
    /// The room in producers' windows.
    pub credits: &'a Credits,
}

/// One connection.
pub struct Peer {
    /// The socket.
    pub stream: TcpStream,
    /// The producer on this connection, if any.
    pub producer: Option<Producer>,
    /// The consumer on this connection, if any.
    pub consumer: Option<Consumer>,
    scanner: Scanner,
    /// Received bytes of an incomplete frame.
    carry: Vec<u8>,
    /// Whole frames to send.
    pub out: Vec<u8>,
    out_sent: usize,
    /// Whether the loop watches for space in the socket's buffer.
    pub waits_for_output: bool,
}

impl Peer {
    /// Makes a peer; `out` is what to send first.
    pub fn new(stream: TcpStream, producer: Option<Producer>, consumer: Option<Consumer>, out: Vec<u8>) -> Peer {
        let (scanner, carry) = (Scanner::default(), Vec::new());
        Peer { stream, producer, consumer, scanner, carry, out, out_sent: 0, waits_for_output: false }
    }

    /// Reads once and handles the bytes.
    pub fn read(&mut self, buffer: &mut [u8], turn: &mut Turn<'_>) -> Result<(), String> {
        if self.scanner.body_left() >= DISCARD_MIN
            && let Some(consumer) = self.consumer.as_mut().filter(|c| !c.reads_content())
        {
            let n = received(sys::discard(&self.stream, self.scanner.body_left()))?;
            self.scanner.skip(n);
            if n > 0 {
                consumer.skip(n, &mut self.out, turn);
            }
            return Ok(());
        }
        let kept = self.carry.len();
        buffer[..kept].copy_from_slice(&self.carry);
        let end = kept + received(self.stream.read(&mut buffer[kept..]))?;
        let mut reader = Reader { producer: &mut self.producer, consumer: &mut self.consumer, out: &mut self.out, turn, closed: None };
        let used = self.scanner.feed(&buffer[..end], &mut reader);
        if let Some(reason) = reader.closed {
            return Err(reason);
        }
        self.carry.clear();
        self.carry.extend_from_slice(&buffer[used..end]);
        if let Some(consumer) = &mut self.consumer {
            consumer.settle_run(turn);
        }
        Ok(())
    }

    /// Writes output. Frames of the producer and of the consumer alternate only at the boundaries
    /// of messages.
    pub fn write(&mut self, turn: &mut Turn<'_>) -> io::Result<Pause> {
        let mid_message = self.producer.as_ref().is_some_and(|p| !p.at_boundary());
        if !mid_message && !self.flush()? {
            return Ok(Pause::Socket);
        }
        let Some(producer) = &mut self.producer else { return Ok(Pause::Window) };
        let pause = producer.pump(&mut self.stream, turn)?;
        if mid_message && producer.at_boundary() && !self.flush()? {
            return Ok(Pause::Socket);
        }
        Ok(pause)
    }

    /// Closes the connection and waits for close-ok, after which exclusive queues are deleted. A
    /// connection in the middle of a message is closed without a handshake.
    pub fn close(mut self) {
        let whole = self.producer.as_ref().is_none_or(Producer::at_boundary) && self.out_sent == 0;
        if !whole || self.stream.set_nonblocking(false).is_err() || self.stream.set_read_timeout(Some(CLOSE_TIMEOUT)).is_err() {
            return;
        }
        let mut e = Encoder::default();
        e.method(0, id::CONNECTION_CLOSE, |e| {
            e.u16(200).short("").u32(0);
        });
        if self.stream.write_all(&e.out).is_ok() {
            self.await_close_ok();
        }
    }

    /// Waits for close-ok, after which servers leave it to the client to close the socket.
    fn await_close_ok(&mut self) {
        let mut e = Encoder::default();
        e.method(0, id::CONNECTION_CLOSE_OK, |_| ());
        let (mut piece, mut tail) = ([0; 16 << 10], Vec::new());
        while let Ok(n @ 1..) = self.stream.read(&mut piece) {
            tail.extend_from_slice(&piece[..n]);
            tail.drain(..tail.len().saturating_sub(e.out.len()));
            if tail == e.out {
                return;
            }
        }
    }

    /// Sends acks. Returns true if all of them are sent.
    fn flush(&mut self) -> io::Result<bool> {
        while self.out_sent < self.out.len() {
            match self.stream.write(&self.out[self.out_sent..]) {
                Ok(n) => self.out_sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.out_sent = 0;
        Ok(true)
    }
}

/// Number of bytes of a read: 0 if there were none.
fn received(result: io::Result<usize>) -> Result<usize, String> {
    match result {
        Ok(0) => Err("the server closed the connection".to_owned()),
        Ok(n) => Ok(n),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(e) => Err(format!("receive: {e}")),
    }
}

/// A receiver that passes input to producer and consumer.
struct Reader<'a, 'b> {
    producer: &'a mut Option<Producer>,
    consumer: &'a mut Option<Consumer>,
    out: &'a mut Vec<u8>,
    turn: &'a mut Turn<'b>,
    closed: Option<String>,
}

impl Sink for Reader<'_, '_> {
    #[inline]
    fn method(&mut self, _channel: u16, id: u32, args: &[u8]) {
        match (id, &mut *self.consumer, &mut *self.producer) {
            (id::BASIC_DELIVER, Some(consumer), _) => consumer.deliver(args),
            (id::BASIC_ACK, _, Some(producer)) => producer.settled(args, false, self.turn),
            (id::BASIC_NACK, _, Some(producer)) => producer.settled(args, true, self.turn),
            (id::CONNECTION_CLOSE | id::CHANNEL_CLOSE, ..) => self.closed = Some(close_text(args)),
            (id::BASIC_CANCEL, ..) => self.closed = Some("the server cancelled a consumer".to_owned()),
            _ => {}
        }
    }

    #[inline]
    fn header(&mut self, channel: u16, body_size: u64) {
        match (channel, &mut *self.consumer, &mut *self.producer) {
            (CONSUME_CHANNEL, Some(consumer), _) => consumer.header(body_size, self.out, self.turn),
            (PUBLISH_CHANNEL, _, Some(producer)) => producer.return_header(body_size, self.turn),
            _ => {}
        }
    }

    #[inline]
    fn body(&mut self, channel: u16, piece: &[u8]) {
        match (channel, &mut *self.consumer, &mut *self.producer) {
            (CONSUME_CHANNEL, Some(consumer), _) => consumer.body(piece, self.out, self.turn),
            (PUBLISH_CHANNEL, _, Some(producer)) => producer.return_body(piece.len(), self.turn),
            _ => {}
        }
    }
}

/// A rest of a body of this size is discarded in the kernel instead of being copied.
const DISCARD_MIN: usize = 16 << 10;
/// How long a server may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

//! A producer: decides how many messages may be sent now, stamps them in the batch, and sends the
//! batch's bytes as they are.
//!
//! ```text
//! batch   │ sent │ granted, being sent      │ not granted │
//!                ▲ cursor                   ▲ limit
//! cursor == limit: a message boundary, the next grant may be taken
//! ```

use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;

use super::batch::{BATCH_BYTES, Batch};
use super::confirms::Confirms;
use super::peer::Turn;
use super::stamp::Stamp;
use super::stats::Phase;
use super::verify::Noise;

/// The settings of a producer.
pub struct Orders {
    /// The producer's number.
    pub id: u16,
    /// Number of messages that may be published and not yet received.
    pub window: Option<u64>,
    /// Number of deliveries of each message.
    pub copies: u64,
    /// Number of publishes that may be unconfirmed; `None` for no confirms.
    pub confirm: Option<u32>,
    /// Nanoseconds between messages, if they are paced.
    pub pace_ns: Option<f64>,
    /// Number of messages in total.
    pub quota: u64,
    /// Which messages are stamped with the time.
    pub stamping: Stamping,
}

/// Which messages carry their publish time.
pub enum Stamping {
    /// The first of each grant, which costs nothing.
    First,
    Every,
    /// Every message, with checked contents.
    Content(Noise),
}

/// The reason why a producer has stopped for now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// The turn's share is used up.
    Turn,
    /// The socket is full.
    Socket,
    /// Window, confirms, or quota are used up.
    Window,
    /// The next message is not due before this time.
    Until(u64),
}

/// The publishing side of a connection.
pub struct Producer {
    orders: Orders,
    batch: Batch,
    confirms: Option<Confirms>,
    next: usize,
    cursor: usize,
    limit: usize,
    published: u64,
    stamped: Option<usize>,
    return_left: u64,
}

impl Producer {
    /// Makes a producer that has sent nothing.
    pub fn new(orders: Orders, mut batch: Batch) -> Producer {
        for i in 0..batch.spots.len() {
            stamp_at(&mut batch, i, Stamp { time_ns: 0, producer: orders.id, number: 0 });
        }
        let confirms = orders.confirm.map(Confirms::new);
        Producer { orders, batch, confirms, next: 0, cursor: 0, limit: 0, published: 0, stamped: None, return_left: 0 }
    }

    /// Publishes as much as is allowed, at most about one batch.
    pub fn pump(&mut self, stream: &mut TcpStream, turn: &mut Turn<'_>) -> io::Result<Pause> {
        let mut share = BATCH_BYTES;
        loop {
            if self.at_boundary()
                && let Some(pause) = self.take_grant(turn)
            {
                return Ok(pause);
            }
            match stream.write(&self.batch.bytes[self.cursor..self.limit]) {
                Ok(n) => (self.cursor, share) = (self.cursor + n, share.saturating_sub(n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Pause::Socket),
                Err(e) => return Err(e),
            }
            if share == 0 {
                return Ok(Pause::Turn);
            }
        }
    }

    /// Whether the written bytes end with a whole message.
    pub fn at_boundary(&self) -> bool {
        self.cursor == self.limit
    }

    fn take_grant(&mut self, turn: &mut Turn<'_>) -> Option<Pause> {
        if self.next == self.batch.spots.len() {
            (self.next, self.cursor, self.limit) = (0, 0, 0);
        }
        let allowed = match self.allowed(turn) {
            Ok(allowed) => allowed.min((self.batch.spots.len() - self.next) as u64),
            Err(pause) => return Some(pause),
        };
        let (first, end) = (self.next, self.next + allowed as usize);
        self.stamp(first, end, turn);
        turn.tally.published += allowed;
        turn.tally.published_bytes += self.batch.spots[first..end].iter().map(|s| s.body_len as u64).sum::<u64>();
        self.limit = self.batch.start(end);
        self.next = end;
        self.published += allowed;
        if let Some(confirms) = &mut self.confirms {
            confirms.published(allowed, turn.now_ns);
        }
        None
    }

    /// How many messages may be sent, at least one, or why none may be.
    fn allowed(&self, turn: &Turn<'_>) -> Result<u64, Pause> {
        if turn.phase != Phase::Run {
            return Err(Pause::Window);
        }
        let mut allowed = self.orders.quota - self.published;
        if let Some(window) = self.orders.window {
            let received = turn.credits.received(self.orders.id) / self.orders.copies;
            allowed = allowed.min(window.saturating_sub(self.published.saturating_sub(received)));
        }
        if let Some(confirms) = &self.confirms {
            allowed = allowed.min(confirms.room());
        }
        match (allowed, self.orders.pace_ns) {
            (0, _) => Err(Pause::Window),
            (_, None) => Ok(allowed),
            (_, Some(pace_ns)) => self.due(allowed, pace_ns, turn),
        }
    }

    /// How many of the allowed messages are due.
    fn due(&self, allowed: u64, pace_ns: f64, turn: &Turn<'_>) -> Result<u64, Pause> {
        let next_ns = self.due_ns(self.published, pace_ns, turn);
        if next_ns > turn.now_ns {
            return Err(Pause::Until(next_ns));
        }
        let due = ((turn.now_ns - turn.start_ns) as f64 / pace_ns - stagger(self.orders.id)) as u64 + 1;
        Ok(allowed.min(due.saturating_sub(self.published).max(1)))
    }

    /// When a message is due, whatever happened to those before it. Producers do not all begin at
    /// the same instant.
    fn due_ns(&self, number: u64, pace_ns: f64, turn: &Turn<'_>) -> u64 {
        turn.start_ns + ((number as f64 + stagger(self.orders.id)) * pace_ns) as u64
    }

    fn stamp(&mut self, first: usize, end: usize, turn: &Turn<'_>) {
        let producer = self.orders.id;
        if matches!(self.orders.stamping, Stamping::First) {
            if let Some(old) = self.stamped.replace(first) {
                stamp_at(&mut self.batch, old, Stamp { time_ns: 0, producer, number: 0 });
            }
            stamp_at(&mut self.batch, first, Stamp { time_ns: turn.now_ns, producer, number: 0 });
            return;
        }
        for i in first..end {
            let number = self.published + (i - first) as u64;
            let time_ns = self.orders.pace_ns.map_or(turn.now_ns, |pace_ns| self.due_ns(number, pace_ns, turn));
            if let Stamping::Content(noise) = &self.orders.stamping {
                self.batch.for_parts(self.batch.spots[i], |offset, part| noise.fill(number, offset, part));
            }
            stamp_at(&mut self.batch, i, Stamp { time_ns, producer, number });
        }
    }

    /// Takes basic.ack or basic.nack of a publish.
    pub fn settled(&mut self, args: &[u8], refused: bool, turn: &mut Turn<'_>) {
        let (Some(confirms), Some((tag, rest))) = (&mut self.confirms, args.split_first_chunk()) else { return };
        let multiple = rest.first().is_some_and(|bits| bits & 1 != 0);
        let count = confirms.settle(u64::from_be_bytes(*tag), multiple, turn.now_ns, &mut turn.histograms.confirm);
        turn.tally.confirmed += if refused { 0 } else { count };
        turn.tally.nacked += if refused { count } else { 0 };
        if refused {
            turn.credits.grant(self.orders.id, count * self.orders.copies);
        }
    }

    /// Takes the header of a returned message.
    pub fn return_header(&mut self, body_size: u64, turn: &mut Turn<'_>) {
        self.return_left = body_size;
        self.return_body(0, turn);
    }

    /// Takes a piece of a returned message. The message will not be delivered, so its room in the
    /// window is given back.
    pub fn return_body(&mut self, len: usize, turn: &mut Turn<'_>) {
        self.return_left = self.return_left.saturating_sub(len as u64);
        if self.return_left == 0 {
            turn.tally.returned += 1;
            turn.credits.grant(self.orders.id, self.orders.copies);
        }
    }
}

fn stamp_at(batch: &mut Batch, i: usize, stamp: Stamp) {
    let body = batch.spots[i].body;
    stamp.write(&mut batch.bytes[body..]);
}

/// The fraction of the pace by which a producer is late, spread over producers by the golden ratio.
fn stagger(id: u16) -> f64 {
    (f64::from(id) * 0.618_033_988_749_895).fract()
}

//! A consumer: counts deliveries, gives room in their windows back to producers, and acknowledges.

use hdrhistogram::Histogram;

use super::CONSUME_CHANNEL;
use super::peer::Turn;
use super::stamp::Stamp;
use super::verify::Verifier;
use crate::amqp::encode::ack;

/// The consuming side of a connection.
pub struct Consumer {
    /// After how many deliveries an ack is sent; `None` to consume without acknowledgements.
    ack_every: Option<u32>,
    unacked: u32,
    tag: u64,
    /// Number of bytes of the current body that are still to come.
    body_left: u64,
    /// Number of bytes of the current body that have come.
    body_seen: usize,
    stamp: Option<Stamp>,
    /// A run of deliveries of one producer, for which room is given back at once.
    run: (u16, u64),
    queue: u16,
    /// The checks of `--verify`, if they are wanted.
    pub verifier: Option<Verifier>,
}

impl Consumer {
    /// Makes a consumer that has received nothing.
    pub fn new(ack_every: Option<u32>, verify: bool) -> Consumer {
        let verifier = verify.then(Verifier::default);
        Consumer { ack_every, unacked: 0, tag: 0, body_left: 0, body_seen: 0, stamp: None, run: (0, 0), queue: 0, verifier }
    }

    /// Takes basic.deliver.
    #[inline]
    pub fn deliver(&mut self, args: &[u8]) {
        let name_len = usize::from(args.first().copied().unwrap_or_default());
        if let Some(tag) = args.get(1 + name_len..).and_then(|rest| rest.first_chunk()) {
            self.tag = u64::from_be_bytes(*tag);
        }
        if self.verifier.is_some() {
            self.queue = args.get(1..1 + name_len).map_or(0, queue_of);
        }
    }

    /// Takes a delivery's content header.
    #[inline]
    pub fn header(&mut self, body_size: u64, out: &mut Vec<u8>, turn: &mut Turn<'_>) {
        (self.body_left, self.body_seen, self.stamp) = (body_size, 0, None);
        if body_size == 0 {
            self.complete(out, turn);
        }
    }

    /// Takes the next piece of the body.
    #[inline]
    pub fn body(&mut self, piece: &[u8], out: &mut Vec<u8>, turn: &mut Turn<'_>) {
        if self.body_seen == 0 {
            self.stamp = Stamp::read(piece);
        }
        if let Some(verifier) = &mut self.verifier {
            verifier.content(self.stamp, self.body_seen, piece);
        }
        self.skip(piece.len(), out, turn);
    }

    /// Takes a piece of the body that is not read.
    #[inline]
    pub fn skip(&mut self, len: usize, out: &mut Vec<u8>, turn: &mut Turn<'_>) {
        self.body_seen += len;
        self.body_left = self.body_left.saturating_sub(len as u64);
        if self.body_left == 0 {
            self.complete(out, turn);
        }
    }

    #[inline]
    fn complete(&mut self, out: &mut Vec<u8>, turn: &mut Turn<'_>) {
        turn.tally.received += 1;
        turn.tally.received_bytes += self.body_seen as u64;
        if let Some(stamp) = self.stamp {
            self.credit(stamp.producer, turn);
            record(&mut turn.histograms.latency, stamp.time_ns, turn.now_ns);
        }
        if let Some(verifier) = &mut self.verifier {
            verifier.message(self.queue, self.stamp, turn.credits.producers());
        }
        let Some(every) = self.ack_every else { return };
        self.unacked += 1;
        if self.unacked == every {
            self.unacked = 0;
            out.extend_from_slice(&ack(CONSUME_CHANNEL, self.tag, every > 1));
        }
    }

    #[inline]
    fn credit(&mut self, producer: u16, turn: &Turn<'_>) {
        if self.run.0 != producer {
            self.settle_run(turn);
            self.run.0 = producer;
        }
        self.run.1 += 1;
    }

    /// Gives room in the window back for the deliveries since the last time.
    pub fn settle_run(&mut self, turn: &Turn<'_>) {
        if self.run.1 > 0 {
            turn.credits.grant(self.run.0, self.run.1);
            self.run.1 = 0;
        }
    }

    /// Whether bodies are read.
    pub fn reads_content(&self) -> bool {
        self.verifier.is_some()
    }
}

#[inline]
fn record(latency: &mut Histogram<u64>, then_ns: u64, now_ns: u64) {
    if then_ns != 0 {
        latency.saturating_record(now_ns.saturating_sub(then_ns));
    }
}

/// The queue's number, which is the consumer's tag.
fn queue_of(tag: &[u8]) -> u16 {
    tag.iter().fold(0, |n: u16, digit| n.wrapping_mul(10).wrapping_add(u16::from(digit.wrapping_sub(b'0'))))
}

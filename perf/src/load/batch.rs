//! A producer's messages, encoded once and sent again and again: the cheapest way to publish is to
//! give the kernel bytes that already exist. Only stamps (and contents with `--verify`) are written
//! between two sends.
//!
//! ```text
//! bytes  │publish·header·body│publish·header·body│…      each target, size and priority in turn,
//! spots             ▲ body              ▲ body    end▲   a whole number of rounds
//! ```

use crate::amqp::FRAME_OVERHEAD;
use crate::amqp::encode::{Encoder, Publish, Table};
use crate::values::Sizes;

/// The parts in which publishes differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The exchange's name.
    pub exchange: String,
    /// The routing key.
    pub key: String,
    /// The headers.
    pub headers: Table,
}

/// The parts that are the same for all messages of a producer.
pub struct Shape<'a> {
    /// The targets, which are used in turn.
    pub targets: &'a [Target],
    /// The sizes of bodies, which are used in turn.
    pub sizes: &'a Sizes,
    /// Whether messages are persistent.
    pub persistent: bool,
    /// Number of priorities, which are used in turn; 0 for none.
    pub priorities: u16,
    /// Whether messages are mandatory.
    pub mandatory: bool,
    /// The channel.
    pub channel: u16,
    /// The negotiated frame_max.
    pub frame_max: usize,
}

/// A message in the batch.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// Offset of the body's first byte.
    pub body: usize,
    /// Size of the body, bytes.
    pub body_len: usize,
    /// Offset of the end of the message.
    pub end: usize,
}

/// Encoded messages.
pub struct Batch {
    /// The encoded messages.
    pub bytes: Vec<u8>,
    /// Each message in `bytes`.
    pub spots: Vec<Spot>,
    frame_body_max: usize,
}

impl Batch {
    /// Encodes about [`BATCH_BYTES`] bytes of messages, at least one round of all targets, sizes
    /// and priorities.
    pub fn new(shape: &Shape<'_>) -> Batch {
        let sizes = size_round(shape.sizes);
        let round = shape.targets.len() * sizes.len() * usize::from(shape.priorities.max(1));
        let mut batch = Batch { bytes: Vec::new(), spots: Vec::new(), frame_body_max: shape.frame_max - FRAME_OVERHEAD };
        let mut encoder = Encoder::default();
        while encoder.out.len() < BATCH_BYTES || !batch.spots.len().is_multiple_of(round) {
            let i = batch.spots.len();
            let target = &shape.targets[i % shape.targets.len()];
            let body_len = sizes[i / shape.targets.len() % sizes.len()];
            let message = Publish {
                exchange: &target.exchange,
                key: &target.key,
                headers: &target.headers,
                persistent: shape.persistent,
                priority: i.checked_rem(shape.priorities.into()).map(|priority| priority as u8),
                mandatory: shape.mandatory,
                expiration: "",
                body: &vec![0; body_len],
            };
            let body = encoder.publish(shape.channel, &message, shape.frame_max);
            batch.spots.push(Spot { body, body_len, end: encoder.out.len() });
        }
        batch.bytes = encoder.out;
        batch
    }

    /// Average size of a message on the wire, bytes.
    pub fn message_bytes(&self) -> usize {
        self.bytes.len() / self.spots.len()
    }

    /// Offset of message `i`, or of the batch's end for the one after the last.
    pub fn start(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.spots[i - 1].end }
    }

    /// Calls `fill(offset in the body, bytes)` for the part of a body in each frame.
    pub fn for_parts(&mut self, spot: Spot, mut fill: impl FnMut(usize, &mut [u8])) {
        let (mut at, mut offset) = (spot.body, 0);
        while offset < spot.body_len {
            let len = self.frame_body_max.min(spot.body_len - offset);
            fill(offset, &mut self.bytes[at..at + len]);
            (at, offset) = (at + len + FRAME_OVERHEAD, offset + len);
        }
    }
}

/// Returns the sizes of one round. A range becomes values spread over it by the golden ratio, so
/// that neighbours differ.
fn size_round(sizes: &Sizes) -> Vec<usize> {
    match *sizes {
        Sizes::List(ref list) => list.clone(),
        Sizes::Range(from, to) => {
            let spread = |i: usize| from + ((i as f64 * GOLDEN).fract() * (to - from + 1) as f64) as usize;
            (0..RANGE_VALUES).map(spread).collect()
        }
    }
}

/// Size of a batch, sent at once: large sends are cheap, and batch and receive buffer together fit
/// into a core's cache.
pub const BATCH_BYTES: usize = 256 << 10;
const RANGE_VALUES: usize = 64;
const GOLDEN: f64 = 0.618_033_988_749_895;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_rounds_and_all_parts() {
        let target = |key: &str| Target { exchange: String::new(), key: key.to_owned(), headers: Table::new() };
        let sizes = Sizes::List(vec![16, 9000, 300]);
        let targets = [target("a"), target("bc")];
        let shape =
            Shape { targets: &targets, sizes: &sizes, persistent: false, priorities: 4, mandatory: false, channel: 1, frame_max: 4096 };
        let mut batch = Batch::new(&shape);
        assert_eq!(batch.spots.len() % 24, 0);
        assert_eq!(batch.spots.last().unwrap().end, batch.bytes.len());
        let mut parts = Vec::new();
        let spot = batch.spots[2];
        batch.for_parts(spot, |offset, part| parts.push((offset, part.len())));
        assert_eq!(parts, [(0, 4088), (4088, 4088), (8176, 824)]);
    }

    #[test]
    fn ranges_stay_inside() {
        let sizes = size_round(&Sizes::Range(20, 23));
        assert!(sizes.iter().all(|s| (20..=23).contains(s)) && sizes.contains(&20) && sizes.contains(&23));
    }
}

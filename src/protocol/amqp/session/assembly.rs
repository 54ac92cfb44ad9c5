//! Assembly: messages that arrive in pieces. A publish, its header and its body frames are put
//! together for each channel.
//!
//! ```text
//! publish ──▶ head  [len][exchange][len][key]
//! header  ──▶ head  [len][exchange][len][key][properties…]   reserves up to BODY_RESERVE_MAX
//! body    ──▶ body  grows with the bytes that have arrived, never ahead of them
//! ```
//!
//! A message that is complete in the input does not come here. A message that comes here uses the
//! buffers of the last such message again.

use crate::base::limits::{ASSEMBLY_KEEP_MAX, BODY_RESERVE_MAX, SHARED_BODY_MIN};
use crate::contract::session::{Assembled, Payload};

/// Buffers of the last message, for the next one.
#[derive(Debug, Default)]
pub struct Spare(Option<Assembled>);

impl Spare {
    /// Takes a message's buffers back.
    pub fn give(&mut self, message: Assembled) {
        self.0 = Some(emptied(message));
    }

    fn take(&mut self) -> Assembled {
        self.0.take().unwrap_or_default()
    }
}

/// Clears a message's buffers. Keeps their memory, unless it is too large.
fn emptied(message: Assembled) -> Assembled {
    let keep = |mut buffer: Vec<u8>| {
        buffer.clear();
        if buffer.capacity() > ASSEMBLY_KEEP_MAX { Vec::new() } else { buffer }
    };
    let body = match message.body {
        Payload::Small(bytes) => keep(bytes),
        Payload::Shared(_) => Vec::new(),
    };
    Assembled { head: keep(message.head), body: Payload::Small(body), ..Assembled::default() }
}

/// The kind of frame that must come next on a channel.
#[derive(Debug, Default)]
pub enum Assembly {
    /// A method.
    #[default]
    Method,
    /// A publish's content header.
    Header(Draft),
    /// A piece of the publish's body.
    Body(Draft),
}

/// A message that is not complete yet.
#[derive(Debug)]
pub struct Draft {
    message: Assembled,
    /// Whether the publish is `immediate`, which RabbitMQ refuses once the message is complete.
    pub immediate: bool,
    /// The body's size, as its header says.
    pub size: u64,
    arrived: u64,
    keep: bool,
}

impl Draft {
    /// Begins a message with its publish.
    pub fn new(channel: u16, mandatory: bool, immediate: bool, route: [&[u8]; 2], spare: &mut Spare) -> Draft {
        let mut message = Assembled { channel, mandatory, ..spare.take() };
        for name in route {
            message.head.push(u8::try_from(name.len()).expect("a short string"));
            message.head.extend_from_slice(name);
        }
        message.route_size = message.head.len();
        Draft { message, immediate, size: 0, arrived: 0, keep: true }
    }

    /// Takes the header. Unless `keep`, the body is counted and discarded, because the message will
    /// be refused.
    pub fn on_header(&mut self, size: u64, properties: &[u8], keep: bool) {
        (self.size, self.keep) = (size, keep);
        self.message.head.extend_from_slice(properties);
        if keep {
            self.reserve(size.try_into().map_or(BODY_RESERVE_MAX, |size: usize| size.min(BODY_RESERVE_MAX)));
        }
    }

    /// Number of octets of the body that are still missing.
    pub fn missing(&self) -> u64 {
        self.size - self.arrived
    }

    /// Takes a piece of the body, which is no longer than the missing part.
    pub fn on_body(&mut self, piece: &[u8]) {
        self.arrived += piece.len() as u64;
        if self.keep {
            self.reserve(piece.len());
            self.body().extend_from_slice(piece);
        }
    }

    /// Lends the body, with memory for `more` octets; `None` if the body is not kept.
    pub fn lend(&mut self, more: usize) -> Option<Vec<u8>> {
        if !self.keep {
            return None;
        }
        self.reserve(more);
        Some(std::mem::take(self.body()))
    }

    /// Takes the body back; it had `filled` octets before.
    pub fn take_back(&mut self, body: Vec<u8>, filled: usize) {
        self.arrived += (body.len() - filled) as u64;
        *self.body() = body;
    }

    /// The last octets of the body that have arrived, `len` of them if possible, for error texts.
    pub fn tail(&self, len: usize) -> &[u8] {
        match &self.message.body {
            Payload::Small(bytes) => &bytes[bytes.len().saturating_sub(len)..],
            Payload::Shared(_) => &[],
        }
    }

    /// Takes the complete message.
    pub fn finish(mut self) -> Assembled {
        if self.body().len() >= SHARED_BODY_MIN {
            self.message.body = Payload::Shared(std::mem::take(self.body()).into());
        }
        self.message
    }

    /// Reserves memory for `more` octets. The memory grows by doubling, but never beyond the
    /// message's size.
    fn reserve(&mut self, more: usize) {
        let missing = usize::try_from(self.size).unwrap_or(usize::MAX) - self.body().len();
        let body = self.body();
        if more > body.capacity() - body.len() {
            body.reserve_exact(missing.min(body.len()).max(more));
        }
    }

    fn body(&mut self) -> &mut Vec<u8> {
        match &mut self.message.body {
            Payload::Small(bytes) => bytes,
            Payload::Shared(_) => unreachable!("a draft's body is its own"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Body;

    fn assemble(body: &[u8], piece: usize, spare: &mut Spare) -> Assembled {
        let mut draft = Draft::new(3, true, false, [b"x", b"key"], spare);
        draft.on_header(body.len() as u64, &[0, 0], true);
        body.chunks(piece).for_each(|piece| draft.on_body(piece));
        assert_eq!(draft.missing(), 0);
        draft.finish()
    }

    #[test]
    fn pieces_make_a_message() {
        let message = assemble(b"hello", 2, &mut Spare::default());
        let view = message.view();
        assert_eq!((view.route.exchange(), view.route.key(), view.properties), (&b"x"[..], &b"key"[..], &[0, 0][..]));
        assert_eq!(view.body.bytes(), b"hello");
        assert!(message.mandatory && message.channel == 3);
        let copy = Assembled::copy(3, true, &view);
        assert_eq!(copy.view().body.bytes(), b"hello");
        assert!(copy.heap_size() >= 5 + 8 && message.heap_size() >= 5 + 8);
    }

    #[test]
    fn a_large_body_is_counted_and_as_large_as_it_must_be() {
        let body: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        let message = assemble(&body, 10_000, &mut Spare::default());
        assert!(matches!(message.view().body, Body::Shared(bytes) if bytes[..] == body[..]));
    }

    #[test]
    fn a_claim_alone_costs_little() {
        let mut draft = Draft::new(1, false, false, [b"", b"q"], &mut Spare::default());
        draft.on_header(500 << 20, &[0, 0], true);
        assert!(draft.body().capacity() <= BODY_RESERVE_MAX);
        let mut draft = Draft::new(1, false, false, [b"", b"q"], &mut Spare::default());
        draft.on_header(500 << 20, &[0, 0], false);
        draft.on_body(b"abc");
        assert_eq!((draft.body().capacity(), draft.missing()), (0, (500 << 20) - 3));
    }

    #[test]
    fn small_buffers_are_used_again_and_large_ones_are_not() {
        let mut spare = Spare::default();
        let message = assemble(&[1; 1000], 100, &mut spare);
        let at = message.view().body.bytes().as_ptr();
        spare.give(message);
        let message = assemble(&[2; 900], 100, &mut spare);
        assert_eq!(message.view().body.bytes().as_ptr(), at);
        assert_eq!(message.view().body.bytes(), [2; 900]);
        let message = assemble(&[3; 100_000], 100, &mut spare);
        spare.give(message);
        assert!(body_capacity(&spare.take()) <= ASSEMBLY_KEEP_MAX);
    }

    fn body_capacity(message: &Assembled) -> usize {
        match &message.body {
            Payload::Small(bytes) => bytes.capacity(),
            Payload::Shared(bytes) => bytes.len(),
        }
    }
}

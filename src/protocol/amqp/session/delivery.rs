//! The delivery of one message, or of several in a row, to a consumer.
//!
//! Successive messages mostly differ only in delivery tag and body. Then the bytes before the body
//! are copied from the delivery before, and patched:
//!
//! ```text
//! head   [deliver frame: prefix | tag | flag | route | 0xCE]
//!                                 ^^^   ^^^^
//!        [header frame: start | body size | properties | 0xCE][body frame's start | size]
//!                               ^^^^^^^^^                                          ^^^^
//! ```

use super::consumers::Consumer;
use super::unacked::Unacked;
use crate::base::limits::OUTPUT_SIZE_TIGHT;
use crate::base::outgoing::Outgoing;
use crate::contract::Entry;
use crate::message::{Body, MessageView, Route};
use crate::protocol::amqp::content::{HEADER_PAYLOAD_MIN, write_content};
use crate::protocol::amqp::deliver::write_deliver;
use crate::protocol::amqp::frame::{FRAME_END, FRAME_HEADER_SIZE, payload_max};

/// A consumer to which messages are delivered. The values that all deliveries need are looked up
/// once.
#[derive(Debug)]
pub struct Delivery<'s, 'm> {
    pub(super) consumer: &'s Consumer,
    pub(super) unacked: &'s mut Unacked,
    pub(super) volume: &'s mut u32,
    pub(super) volume_max: u32,
    pub(super) output: &'s mut Outgoing,
    /// Size of the output before the first delivery, bytes.
    pub(super) start: usize,
    pub(super) output_max: usize,
    pub(super) channel: u16,
    pub(super) frame_max: u32,
    /// The head of the last delivery, if it can be repeated.
    pub(super) last: Option<Head<'m>>,
}

/// A delivery's head in the output, and the offsets of its parts.
#[derive(Clone, Copy, Debug)]
pub struct Head<'m> {
    route: Route<'m>,
    properties: &'m [u8],
    start: usize,
    len: usize,
    /// Offset of the delivery tag in the head.
    tag_at: usize,
    /// Offset of the body's size in the head.
    size_at: usize,
    body_size: usize,
}

impl<'m> Delivery<'_, 'm> {
    /// Whether there is room for another message.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.output.len() < self.output_max && (self.consumer.no_ack || *self.volume < self.volume_max)
    }

    /// Number of bytes written so far.
    #[inline]
    pub fn written(&self) -> usize {
        self.output.len() - self.start
    }

    /// Whether little room is left.
    #[inline]
    pub fn is_tight(&self) -> bool {
        self.output.len() >= OUTPUT_SIZE_TIGHT
    }

    /// Delivers a message.
    #[inline(always)]
    pub fn deliver(&mut self, entry: Entry, message: &MessageView<'m>) {
        let tag = if self.consumer.no_ack {
            self.unacked.skip()
        } else {
            *self.volume += 1;
            self.unacked.push_next(entry)
        };
        match (&mut self.last, message.body) {
            (Some(head), Body::Slice(body)) if head.fits(message, body.len(), self.frame_max) => {
                head.repeat(tag, entry.redelivered(), body, self.output.bytes_mut());
            }
            _ => self.deliver_first(tag, entry.redelivered(), *message),
        }
    }

    /// Delivers a message whose head is not that of the message before.
    #[inline(never)]
    fn deliver_first(&mut self, tag: u64, redelivered: bool, message: MessageView<'m>) {
        let start = self.output.bytes_mut().len();
        write_deliver(self.consumer.prefix.bytes(), tag, redelivered, message.route.wire(), self.output.bytes_mut());
        write_content(self.channel, self.frame_max, message.properties, message.body, self.output);
        self.last = match message.body {
            Body::Slice(body) if !body.is_empty() && body.len() <= payload_max(self.frame_max) => {
                Some(Head::at(start, self.consumer.prefix.bytes().len(), &message, body.len()))
            }
            _ => None,
        };
    }
}

impl<'m> Head<'m> {
    fn at(start: usize, prefix_len: usize, message: &MessageView<'m>, body_size: usize) -> Head<'m> {
        let (route, properties) = (message.route, message.properties);
        let header_at = prefix_len + TAG_AND_FLAG + route.wire().len() + 1;
        let properties_at = header_at + FRAME_HEADER_SIZE + HEADER_PAYLOAD_MIN;
        let len = properties_at + properties.len() + 1 + FRAME_HEADER_SIZE;
        Head { route, properties, start, len, tag_at: prefix_len, size_at: properties_at - 8, body_size }
    }

    /// Whether a message has this head, except for the patched parts. Its body may have another
    /// size, if it fits into one frame, too.
    #[inline]
    fn fits(&self, message: &MessageView<'_>, body_size: usize, frame_max: u32) -> bool {
        message.shares_head(self.route, self.properties)
            && (body_size == self.body_size || (body_size > 0 && body_size <= payload_max(frame_max)))
    }

    /// Writes the head again, followed by a body. The next repetition is made from this copy,
    /// because it is in the cache.
    #[inline(always)]
    fn repeat(&mut self, tag: u64, redelivered: bool, body: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_within(self.start..self.start + self.len);
        self.start = start;
        let head = &mut out[start..];
        let patch: &mut [u8; TAG_AND_FLAG] = head[self.tag_at..].first_chunk_mut().expect("every head has a tag");
        patch[..8].copy_from_slice(&tag.to_be_bytes());
        patch[8] = u8::from(redelivered);
        if body.len() != self.body_size {
            self.body_size = body.len();
            head[self.size_at..self.size_at + 8].copy_from_slice(&(body.len() as u64).to_be_bytes());
            head[self.len - 4..].copy_from_slice(&(body.len() as u32).to_be_bytes());
        }
        out.extend_from_slice(body);
        out.push(FRAME_END);
    }
}

/// Size of delivery tag and redelivered flag, octets.
const TAG_AND_FLAG: usize = 9;

//! A consumer being served: one message or several in a row.
//!
//! Messages in a row are often alike but for delivery tag and body. What stands in front of the body is then copied from the delivery before:
//!
//! ```text
//! head   [deliver frame: prefix | tag | flag | route | 0xCE][header frame: start | properties | 0xCE][body frame's start]
//! ```

use super::consumers::Consumer;
use super::unacked::Unacked;
use crate::base::limits::OUTPUT_SIZE_MAX;
use crate::base::outgoing::Outgoing;
use crate::contract::Entry;
use crate::message::{Body, MessageView};
use crate::protocol::amqp::content::{HEADER_PAYLOAD_MIN, write_content};
use crate::protocol::amqp::deliver::write_deliver;
use crate::protocol::amqp::frame::{FRAME_END, FRAME_HEADER_SIZE, payload_max};

/// A consumer in the middle of being served: what every delivery needs is looked up once.
#[derive(Debug)]
pub struct Delivery<'s> {
    pub(super) consumer: &'s Consumer,
    pub(super) unacked: &'s mut Unacked,
    pub(super) volume: &'s mut u32,
    pub(super) volume_max: u32,
    pub(super) output: &'s mut Outgoing,
    pub(super) channel: u16,
    pub(super) frame_max: u32,
    /// The head of the last delivery, if the next one may have the same.
    pub(super) last: Option<Head>,
}

/// Where a delivery's head stands in the output, and its parts.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    tag_at: usize,
    route_at: usize,
    properties_at: usize,
    start: usize,
    end: usize,
    body_size: usize,
}

impl Delivery<'_> {
    /// Whether there is room for another message.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.output.len() < OUTPUT_SIZE_MAX && (self.consumer.no_ack || self.volume_max == 0 || *self.volume < self.volume_max)
    }

    /// Delivers a message.
    #[inline]
    pub fn deliver(&mut self, entry: Entry, message: &MessageView<'_>) {
        let tag = if self.consumer.no_ack {
            self.unacked.skip()
        } else {
            *self.volume += 1;
            self.unacked.push_next(entry)
        };
        match (self.last, message.body) {
            (Some(head), Body::Slice(body)) if head.fits(message, body, self.output.bytes_mut()) => {
                self.last = Some(head.repeat(tag, entry.redelivered(), body, self.output.bytes_mut()));
            }
            _ => self.deliver_first(tag, entry.redelivered(), message),
        }
    }

    fn deliver_first(&mut self, tag: u64, redelivered: bool, message: &MessageView<'_>) {
        let start = self.output.bytes_mut().len();
        write_deliver(self.consumer.prefix.bytes(), tag, redelivered, message.route.wire(), self.output.bytes_mut());
        write_content(self.channel, self.frame_max, message.properties, message.body, self.output);
        self.last = match message.body {
            Body::Slice(body) if !body.is_empty() && body.len() <= payload_max(self.frame_max) => {
                Some(Head::at(start, self.consumer.prefix.bytes().len(), message, body.len()))
            }
            _ => None,
        };
    }
}

impl Head {
    fn at(start: usize, prefix_len: usize, message: &MessageView<'_>, body_size: usize) -> Head {
        let tag_at = start + prefix_len;
        let route_at = tag_at + TAG_AND_FLAG;
        let properties_at = route_at + message.route.wire().len() + 1 + FRAME_HEADER_SIZE + HEADER_PAYLOAD_MIN;
        let end = properties_at + message.properties.len() + 1 + FRAME_HEADER_SIZE;
        Head { tag_at, route_at, properties_at, start, end, body_size }
    }

    /// Whether a message has this head, but for its tag and flag.
    #[inline]
    fn fits(&self, message: &MessageView<'_>, body: &[u8], out: &[u8]) -> bool {
        let properties_end = self.end - FRAME_HEADER_SIZE - 1;
        let route_end = self.properties_at - HEADER_PAYLOAD_MIN - FRAME_HEADER_SIZE - 1;
        body.len() == self.body_size
            && out[self.properties_at..properties_end] == *message.properties
            && out[self.route_at..route_end] == *message.route.wire()
    }

    /// Writes the head again, behind it another body; the answer is where the new head stands.
    #[inline]
    fn repeat(self, tag: u64, redelivered: bool, body: &[u8], out: &mut Vec<u8>) -> Head {
        let by = out.len() - self.start;
        out.reserve(self.end - self.start + body.len() + 1);
        out.extend_from_within(self.start..self.end);
        let tag_at = self.tag_at + by;
        out[tag_at..tag_at + 8].copy_from_slice(&tag.to_be_bytes());
        out[tag_at + 8] = u8::from(redelivered);
        out.extend_from_slice(body);
        out.push(FRAME_END);
        Head {
            tag_at,
            route_at: self.route_at + by,
            properties_at: self.properties_at + by,
            start: self.start + by,
            end: self.end + by,
            body_size: self.body_size,
        }
    }
}

/// Octets of delivery tag and redelivered flag.
const TAG_AND_FLAG: usize = 9;

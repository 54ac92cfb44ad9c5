//! A consumer being served with one message, or with several in a row.

use std::collections::BTreeMap;

use super::Session;
use crate::base::ids::{ConsumerId, QueueAddr};
use crate::base::limits::OUTPUT_SIZE_TIGHT;
use crate::base::outgoing::Outgoing;
use crate::contract::{Entry, Receipt};
use crate::message::MessageView;

/// A consumer being served.
#[derive(Debug)]
pub struct Delivery<'s> {
    /// The consumer's queue and its id there; `None` if it consumes replies.
    place: Option<(QueueAddr, ConsumerId)>,
    unacked: &'s mut BTreeMap<u64, Receipt>,
    last_tag: &'s mut u64,
    output: &'s mut Outgoing,
    /// Bytes that waited in the output before.
    start: usize,
    output_max: usize,
}

impl Session {
    pub fn delivery(&mut self, channel: u16, index: u32) -> Delivery<'_> {
        let place = self.consumer(channel, index);
        let (start, output_max) = (self.output.len(), self.budgets.output.share());
        let Session { unacked, last_tag, output, .. } = self;
        Delivery { place, unacked, last_tag, output, start, output_max }
    }
}

impl Delivery<'_> {
    pub fn has_room(&self) -> bool {
        self.output.len() < self.output_max
    }

    pub fn written(&self) -> usize {
        self.output.len() - self.start
    }

    pub fn is_tight(&self) -> bool {
        self.output.len() >= OUTPUT_SIZE_TIGHT
    }

    pub fn deliver(&mut self, entry: Entry, message: &MessageView<'_>) {
        let tag = self.place.map_or(0, |(queue, consumer)| {
            *self.last_tag += 1;
            self.unacked.insert(*self.last_tag, Receipt { queue, consumer: Some(consumer), entry });
            *self.last_tag
        });
        let out = self.output.bytes_mut();
        out.extend_from_slice(format!("MSG {tag} ").as_bytes());
        out.extend_from_slice(message.route.key());
        out.push(b' ');
        out.extend(message.body.bytes().iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }));
        out.push(b'\n');
    }
}

//! What a session tells of itself to operators.
//!
//! Most of what a channel counts follows from what it keeps anyway: delivery tags count deliveries,
//! sequence numbers count publishes that are confirmed.

use super::unacked::Unacked;
use super::*;
use crate::contract::session::{ChannelState, ConsumerState, SessionFigures};
use crate::contract::{Count, Counts, Outcome};

impl Session {
    /// Tells of the session.
    pub fn figures(&self) -> SessionFigures {
        let Client { mechanism, properties, frame_max, channel_max, heartbeat, .. } = &self.client;
        SessionFigures {
            protocol: "AMQP 0-9-1",
            mechanism,
            client_properties: properties.clone(),
            channels: self.channels.len(),
            channel_max: *channel_max,
            frame_max: *frame_max,
            heartbeat: *heartbeat,
        }
    }

    /// Tells of each channel.
    pub fn channel_states(&self) -> Vec<ChannelState> {
        self.channels.numbers().into_iter().filter_map(|number| Some(self.channels.find(number)?.state(number))).collect()
    }

    /// Tells of each consumer of a queue.
    pub fn consumer_states(&self) -> Vec<ConsumerState> {
        let of_channel = |channel: u16| {
            let found = self.channels.find(channel).into_iter().flat_map(|found| found.consumers.iter());
            found.filter_map(move |consumer| {
                let (queue, _) = consumer.place?;
                let (tag, ack_required, terms) = (consumer.tag.clone(), !consumer.no_ack, (*consumer.terms).clone());
                Some(ConsumerState { channel, queue, tag, ack_required, terms })
            })
        };
        self.channels.numbers().into_iter().flat_map(of_channel).collect()
    }
}

impl Channel {
    /// Settles deliveries, and counts them if they are acknowledged.
    #[inline]
    pub(super) fn counting_acks<T>(&mut self, outcome: Outcome, settle: impl FnOnce(&mut Unacked) -> T) -> T {
        let before = self.unacked.len();
        let settled = settle(&mut self.unacked);
        if outcome == Outcome::Acked {
            self.counts.add(Count::Ack, before - self.unacked.len());
        }
        settled
    }

    fn state(&self, channel: u16) -> ChannelState {
        let confirms = if let Mode::Confirm(confirms) = &self.mode { Some(confirms) } else { None };
        let unconfirmed = confirms.map_or(0, |confirms| confirms.unconfirmed());
        ChannelState {
            channel,
            confirm: confirms.is_some(),
            transactional: matches!(self.mode, Mode::Tx),
            prefetch: self.prefetch.into(),
            global_prefetch: self.volume_max,
            consumers: self.consumers.len(),
            unacked: self.unacked.len(),
            unconfirmed,
            counts: self.counted(unconfirmed),
        }
    }

    fn counted(&self, unconfirmed: usize) -> Counts {
        let (kept, skipped) = self.unacked.delivered();
        let mut counts = self.counts;
        counts[Count::Deliver] = kept.saturating_sub(counts[Count::Get]);
        counts[Count::DeliverNoAck] = skipped.saturating_sub(counts[Count::GetNoAck]);
        if let Mode::Confirm(confirms) = &self.mode {
            counts[Count::Publish] += confirms.published();
            counts[Count::Confirm] = confirms.published().saturating_sub(unconfirmed as u64);
        }
        counts
    }
}

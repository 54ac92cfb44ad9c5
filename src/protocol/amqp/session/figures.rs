//! What a session tells of itself to operators.
//!
//! Most of what a channel counts follows from what it keeps anyway: delivery tags and positions of
//! the unacked window count deliveries, sequence numbers count publishes that are confirmed.

use super::*;
use crate::contract::session::{ChannelState, ConsumerState, SessionFigures};
use crate::contract::{Count, Counts, Outcome, Receipts};

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
            is_running: self.stage == Stage::Running,
        }
    }

    /// Number of open channels.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
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
    /// Counts settled deliveries, if they are acknowledged.
    #[inline]
    pub(super) fn count_acks(&mut self, outcome: Outcome, settled: &Receipts) {
        if outcome == Outcome::Acked {
            self.counts.add(Count::Ack, settled.len());
        }
    }

    fn state(&self, channel: u16) -> ChannelState {
        let (mut confirm, mut unconfirmed, mut uncommitted, mut acks_uncommitted) = (false, 0, 0, 0);
        match &self.mode {
            Mode::Plain => {}
            Mode::Confirm(confirms) => (confirm, unconfirmed) = (true, confirms.unconfirmed()),
            Mode::Tx(transaction) => (uncommitted, acks_uncommitted) = (transaction.publishes.len(), transaction.settles.len()),
        }
        ChannelState {
            channel,
            confirm,
            transactional: matches!(self.mode, Mode::Tx(_)),
            prefetch: self.prefetch.into(),
            global_prefetch: self.volume_max,
            consumers: self.consumers.len(),
            unacked: self.unacked.len() + acks_uncommitted,
            unconfirmed,
            uncommitted,
            acks_uncommitted,
            counts: self.counted(unconfirmed),
        }
    }

    fn counted(&self, unconfirmed: usize) -> Counts {
        let (tagged, kept) = (self.unacked.next_tag() - 1, self.unacked.end());
        let mut counts = self.counts;
        counts[Count::Deliver] = kept.saturating_sub(counts[Count::Get]);
        counts[Count::DeliverNoAck] = (tagged - kept).saturating_sub(counts[Count::GetNoAck]);
        if let Mode::Confirm(confirms) = &self.mode {
            counts[Count::Publish] += confirms.published();
            counts[Count::Confirm] = confirms.published().saturating_sub(unconfirmed as u64);
        }
        counts
    }
}

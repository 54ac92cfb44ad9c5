//! Output that answers no method: deliveries, returned messages, confirms, cancelled consumers,
//! heartbeats.

use super::confirms::Told;
use super::delivery::Delivery;
use super::keepalive::Tick;
use super::*;
use crate::base::limits::OUTPUT_SIZE_MAX;
use crate::contract::{Code, Count, Origin};
use crate::message::MessageView;
use crate::protocol::amqp::content::write_content;
use crate::protocol::amqp::deliver::write_return;
use crate::protocol::amqp::frame::HEARTBEAT;
use crate::protocol::amqp::method::basic;

impl Session {
    /// Whether the consumer at `index` of `channel` can take a message now.
    #[inline]
    pub fn can_take(&self, channel: u16, index: u32) -> Room {
        let found = self.channels.find(channel).filter(|channel| channel.life == Life::Open && self.stage == Stage::Running);
        let Some((channel, consumer)) = found.and_then(|channel| Some((channel, channel.consumers.find(index)?))) else {
            return Room::Gone;
        };
        if self.output.len() >= self.output_max() {
            return Room::OutputFull;
        }
        if channel.is_full() && !consumer.no_ack { Room::ChannelFull } else { Room::Yes }
    }

    /// Begins one delivery or several in a row to the consumer at `index` of `channel`, which must
    /// exist ([`Session::can_take`]).
    #[inline]
    pub fn delivery<'m>(&mut self, channel: u16, index: u32) -> Delivery<'_, 'm> {
        let (frame_max, output_max) = (self.client.frame_max, self.output_max());
        let number = channel;
        let channel = self.channels.find_mut(number).expect("the consumer is there");
        let volume_max = channel.volume.saturating_add(channel.room());
        let Channel { consumers, unacked, volume, .. } = channel;
        let consumer = consumers.find(index).expect("the consumer is there");
        if !consumer.no_ack {
            let (queue, id) = consumer.place.expect("a queue delivers after it has taken the consumer");
            unacked.open_run(queue, Some(id));
        }
        Delivery {
            consumer,
            unacked,
            volume,
            volume_max,
            start: self.output.len(),
            output: &mut self.output,
            output_max,
            channel: number,
            frame_max,
            last: None,
        }
    }

    /// The size of the output beyond which nothing more is delivered.
    #[inline]
    pub(super) fn output_max(&self) -> usize {
        OUTPUT_SIZE_MAX.min(self.budgets.output.share())
    }

    /// Returns a mandatory message that found no queue, before its confirm, and before the close-ok
    /// of a channel that its client closes.
    pub fn return_message(&mut self, channel: u16, message: &MessageView<'_>) {
        let may_hear = |found: &&mut Channel| matches!(found.life, Life::Open | Life::Leaving);
        if self.stage == Stage::Running
            && let Some(found) = self.channels.find_mut(channel).filter(may_hear)
        {
            found.counts.add(Count::ReturnUnroutable, 1);
            let code = Code::NoRoute;
            write_return(channel, code as u16, code.name(), message.route.wire(), self.output.bytes_mut());
            write_content(channel, self.client.frame_max, message.properties, message.body, &mut self.output);
        }
    }

    /// Counts for a channel what the session does not see.
    pub fn count(&mut self, channel: u16, count: Count, messages: usize) {
        if let Some(found) = self.channels.find_mut(channel) {
            found.counts.add(count, messages);
        }
    }

    /// Holds the `publishes` publishes from sequence number `first` on until `queues` queues have
    /// accepted each. Called for the present publishes; those that are not held are confirmed at
    /// the next flush.
    pub fn hold(&mut self, channel: u16, first: u64, publishes: u64, queues: u32) {
        if let Some(Mode::Confirm(confirms)) = self.open_channel(channel).map(|channel| &mut channel.mode) {
            (first..first + publishes).for_each(|sequence| confirms.hold(sequence, queues));
        }
    }

    /// Distinguishes the open channel with this number from others that had the number before.
    pub fn generation(&self, channel: u16) -> u32 {
        self.channels.find(channel).map_or(0, |channel| channel.generation)
    }

    /// Notes that `count` queues have accepted the publish `sequence` of the channel with this
    /// number and [`generation`](Session::generation). If that channel is gone, nothing happens.
    pub fn accepted(&mut self, channel: u16, generation: u32, sequence: u64, count: u32) {
        let found = self.open_channel(channel).filter(|channel| channel.generation == generation);
        if let Some(Mode::Confirm(confirms)) = found.map(|channel| &mut channel.mode)
            && confirms.accepted(sequence, count)
        {
            self.must_flush(channel);
        }
    }

    /// Notes that a queue has refused the publish `sequence` of the channel, if that still exists.
    /// A nack follows.
    pub fn refused(&mut self, channel: u16, generation: u32, sequence: u64) {
        let found = self.open_channel(channel).filter(|channel| channel.generation == generation);
        if let Some(Mode::Confirm(confirms)) = found.map(|channel| &mut channel.mode) {
            confirms.refuse(sequence);
            self.must_flush(channel);
        }
    }

    /// Whether a publisher waits for [`Session::flush_confirms`].
    pub fn is_confirm_dirty(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// Writes the confirms since the last flush, at the end of a turn. Returns of how many messages.
    pub fn flush_confirms(&mut self) -> u64 {
        let mut flushed = 0;
        let mut unflushed = std::mem::take(&mut self.unflushed);
        for number in unflushed.drain(..).filter(|_| self.stage == Stage::Running) {
            if let Some(Channel { life: Life::Open, mode: Mode::Confirm(confirms), .. }) = self.channels.find_mut(number) {
                let out = self.output.bytes_mut();
                flushed += confirms.flush(|told| match told {
                    Told::Ack { sequence: delivery_tag, multiple } => basic::Ack { delivery_tag, multiple }.write(number, out),
                    Told::Nack { sequence: delivery_tag } => basic::Nack { delivery_tag, ..basic::Nack::default() }.write(number, out),
                });
            }
        }
        self.unflushed = unflushed;
        flushed
    }

    /// Ends a consumer whose queue is gone. The client is told if it supports that.
    pub fn consumer_gone(&mut self, channel: u16, index: u32) {
        if self.is_cancelling(channel, index) {
            return;
        }
        let Some(consumer) = self.open_channel(channel).and_then(|channel| channel.remove_consumer(index)) else {
            return;
        };
        if self.client.cancel_notify {
            basic::Cancel { consumer_tag: &consumer.tag, nowait: true }.write(channel, self.output.bytes_mut());
        }
    }

    /// Whether [`Session::on_timer`] should be called in this turn, because the time of its next
    /// tick has changed.
    pub fn wants_timer(&self) -> bool {
        self.keepalive.is_stale() || self.deadlines_due == Some(0)
    }

    /// Checks the time limits: heartbeats both ways, handshake and close, late consumers.
    /// `oldest_settled` returns the lowest tag of a delivery of a channel and of this origin that a
    /// transaction has settled. Returns when to call it again.
    pub fn on_timer(&mut self, now: u64, oldest_settled: impl Fn(u16, Origin) -> Option<u64>) -> Option<u64> {
        // While a client is not read, its silence means nothing.
        self.keepalive.received |= self.is_blocked() || self.is_stalled();
        self.keepalive.look_at_output(self.output.len());
        match self.keepalive.tick(now) {
            Tick::Quiet => {}
            Tick::Heartbeat => self.send_heartbeat(),
            Tick::Expired => self.on_expired(),
        }
        self.check_deadlines(now, oldest_settled);
        [self.keepalive.due(), self.deadlines_due].into_iter().flatten().min()
    }

    fn send_heartbeat(&mut self) {
        self.output.bytes_mut().extend_from_slice(&HEARTBEAT);
        self.keepalive.count_no_more(self.output.len());
    }

    /// Notes that a channel's publisher must be told of confirms at the end of the turn.
    #[inline]
    pub(super) fn must_flush(&mut self, channel: u16) {
        if self.unflushed.last() != Some(&channel) && !self.unflushed.contains(&channel) {
            self.unflushed.push(channel);
        }
    }
}

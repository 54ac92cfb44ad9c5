//! Deadlines: how long consumers may keep deliveries, and channels the messages that they fetched
//! (row S14).
//!
//! No delivery has a timer, and none is stored with its time. Each consumer with a timeout is
//! looked at some times per timeout, and each time the channel's next delivery tag is noted with
//! the time, as a mark: deliveries with lower tags happened before. So a delivery is late if the
//! oldest one has a lower tag than the mark that is as old as the timeout. This is noticed at most
//! an eighth of the timeout later. Messages that a channel fetches from one queue are treated like
//! those of one consumer, from the first until all are settled.
//!
//! ```text
//! marks   [10:00 tag 7] [10:05 tag 12] [10:10 tag 12] …
//! at 10:40, with a timeout of 30 minutes: tags below 12 are late
//! ```

use std::collections::VecDeque;

use super::ended::unsettled;
use super::*;
use crate::contract::session::{GivenUp, Late, Settled};
use crate::contract::{Code, Origin};
use crate::protocol::amqp::method::basic;

/// The timeout of one consumer, or of the messages fetched from one queue.
#[derive(Debug)]
pub struct Deadline {
    channel: u16,
    generation: u32,
    origin: Origin,
    /// The consumer's number on its channel.
    index: Option<u32>,
    timeout_ms: u64,
    /// Marks: a time, and a tag that was the channel's next one at that time or before.
    marks: VecDeque<(u64, u64)>,
}

impl Session {
    /// Begins a consumer's timeout.
    pub(super) fn time_consumer(&mut self, number: u16, index: u32, (queue, consumer): (QueueAddr, ConsumerId), timeout_ms: u64) {
        self.set_deadline(number, Some(index), (queue, Some(consumer)), timeout_ms);
    }

    /// Begins the timeout of messages fetched from a queue. It also applies to messages fetched
    /// later, while one of them is unsettled.
    pub(super) fn time_fetched(&mut self, number: u16, queue: QueueAddr, timeout_ms: u64) {
        let (origin, generation) = ((queue, None), self.generation(number));
        let is_its = |known: &Deadline| (known.channel, known.generation, known.origin) == (number, generation, origin);
        if !self.deadlines.iter().rev().any(is_its) {
            self.set_deadline(number, None, origin, timeout_ms);
        }
    }

    fn set_deadline(&mut self, channel: u16, index: Option<u32>, origin: Origin, timeout_ms: u64) {
        let (generation, timeout_ms) = (self.generation(channel), timeout_ms.max(1));
        self.deadlines.push(Deadline { channel, generation, origin, index, timeout_ms, marks: VecDeque::new() });
        self.deadlines_due = Some(0);
    }

    /// Looks for late deliveries, also among those that a transaction has settled.
    pub(super) fn check_deadlines(&mut self, now: u64, oldest_settled: impl Fn(u16, Origin) -> Option<u64>) {
        if self.deadlines_due.is_none_or(|due| due > now) {
            return;
        }
        let mut deadlines = std::mem::take(&mut self.deadlines);
        deadlines.retain_mut(|deadline| self.check_deadline(deadline, now, &oldest_settled));
        self.deadlines_due = deadlines.iter().filter_map(Deadline::due).min();
        self.deadlines = deadlines;
    }

    /// Checks a deadline. Returns whether it is still needed.
    fn check_deadline(&mut self, deadline: &mut Deadline, now: u64, oldest_settled: &impl Fn(u16, Origin) -> Option<u64>) -> bool {
        let (number, generation) = (deadline.channel, deadline.generation);
        let Some(channel) = self.open_channel(number).filter(|channel| channel.generation == generation) else { return false };
        let oldest = channel.unacked.oldest(deadline.origin).into_iter().chain(oldest_settled(number, deadline.origin)).min();
        let is_there = |index| channel.consumers.find(index).is_some();
        if oldest.is_none() && !deadline.index.is_some_and(is_there) {
            return false;
        }
        if deadline.due().is_none_or(|due| due <= now) {
            // `now` is rounded down: lower tags were delivered before the next millisecond.
            deadline.marks.push_back((now + 1, channel.unacked.next_tag()));
        }
        let is_late = oldest.is_some_and(|tag| tag < deadline.late_before(now));
        if is_late {
            let &mut Deadline { channel, origin, index, timeout_ms, .. } = deadline;
            self.announcements.push_back(Announcement::Late(Box::new(Late { channel, origin, index, timeout_ms })));
        }
        !is_late
    }

    /// Takes back all deliveries of a late consumer, with those that a transaction had `settled`,
    /// and cancels it, after [`Event::Late`]. Instead, the channel is closed if the client does not
    /// support such cancels, if the client has cancelled the consumer already, or if the channel
    /// itself is late. Settling the tags that were taken back is still allowed and has no effect.
    pub fn give_up(&mut self, late: &Late, settled: Vec<Settled>) -> GivenUp {
        let notify = self.client.cancel_notify;
        let Some(channel) = self.open_channel(late.channel) else {
            let mut unacked = super::unacked::Unacked::default();
            unacked.restore(settled);
            return GivenUp { unsettled: unsettled(unacked), cancelled: None };
        };
        if !settled.is_empty() {
            channel.unacked.restore(settled);
        }
        let unacked = channel.unacked.give_back(late.origin);
        let cancelled = late.index.filter(|_| notify).and_then(|index| channel.remove_consumer(index));
        let consumed = if late.origin.1.is_some() { unacked.len() as u32 } else { 0 };
        let relieved = channel.relieve(|channel| channel.volume -= consumed);
        let unsettled = unsettled(unacked);
        self.announce_relief(late.channel, relieved);
        match &cancelled {
            Some(consumer) => {
                basic::Cancel { consumer_tag: &consumer.tag, nowait: true }.write(late.channel, self.output.bytes_mut());
            }
            None => {
                let text = format!(
                    "delivery acknowledgement on channel {} timed out. Timeout value used: {} ms. This timeout value can be configured, see \
                     consumers doc guide to learn more",
                    late.channel, late.timeout_ms
                );
                self.fail(late.channel, (0, 0), Fault::new(Code::PreconditionFailed, text));
            }
        }
        GivenUp { unsettled, cancelled: cancelled.and(late.origin.1) }
    }
}

impl Deadline {
    /// When to look next; `None` for now.
    fn due(&self) -> Option<u64> {
        self.marks.back().map(|(time, _)| time + (self.timeout_ms / LOOKS).max(LOOK_MS_MIN))
    }

    /// Returns the tag below which deliveries are late.
    fn late_before(&mut self, now: u64) -> u64 {
        while self.marks.get(1).is_some_and(|(time, _)| time + self.timeout_ms <= now) {
            self.marks.pop_front();
        }
        self.marks.front().filter(|(time, _)| time + self.timeout_ms <= now).map_or(0, |&(_, tag)| tag)
    }
}

/// How often a consumer is looked at per timeout.
const LOOKS: u64 = 8;
/// The least time between two looks, milliseconds.
const LOOK_MS_MIN: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueId, ShardId};

    #[test]
    fn what_is_older_than_the_timeout_is_late() {
        let origin = (QueueAddr { home: ShardId(0), queue: QueueId(Key::default()) }, None);
        let mut deadline = Deadline { channel: 1, generation: 0, origin, index: None, timeout_ms: 800, marks: VecDeque::new() };
        assert_eq!(deadline.due(), None);
        (0..8).for_each(|n| deadline.marks.push_back((n * 100, n + 1)));
        assert_eq!((deadline.due(), deadline.late_before(799)), (Some(800), 0));
        assert_eq!((deadline.late_before(800), deadline.late_before(899), deadline.late_before(950)), (1, 1, 2));
        assert_eq!(deadline.marks.len(), 7);
    }
}

//! Counts of messages: what RabbitMQ calls `message_stats`. Queues, exchanges, channels, virtual
//! hosts and shards count in the same words, so sums, rates and names need no code of their own.

use std::ops::{AddAssign, Index, IndexMut};

/// A kind of event that is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Count {
    /// Messages that clients published; for a queue, those that it took.
    Publish,
    /// Messages that came to an exchange.
    PublishIn,
    /// Messages that an exchange gave to queues, once for each queue.
    PublishOut,
    /// Publishes that were confirmed, or refused.
    Confirm,
    /// Messages for no queue that went back to their publisher.
    ReturnUnroutable,
    /// Messages for no queue that were dropped.
    DropUnroutable,
    /// Deliveries to consumers that acknowledge.
    Deliver,
    /// Deliveries to consumers that do not acknowledge.
    DeliverNoAck,
    /// Messages fetched with basic.get, to be acknowledged.
    Get,
    /// Messages fetched with basic.get that need no acknowledgement.
    GetNoAck,
    /// Fetches from an empty queue.
    GetEmpty,
    /// Deliveries of messages that had been delivered before; they are counted as deliveries, too.
    Redeliver,
    /// Deliveries that were acknowledged.
    Ack,
}

impl Count {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Count; 13] = [
        Count::Publish,
        Count::PublishIn,
        Count::PublishOut,
        Count::Confirm,
        Count::ReturnUnroutable,
        Count::DropUnroutable,
        Count::Deliver,
        Count::DeliverNoAck,
        Count::Get,
        Count::GetNoAck,
        Count::GetEmpty,
        Count::Redeliver,
        Count::Ack,
    ];

    /// The name in RabbitMQ's management API.
    pub const fn name(self) -> &'static str {
        match self {
            Count::Publish => "publish",
            Count::PublishIn => "publish_in",
            Count::PublishOut => "publish_out",
            Count::Confirm => "confirm",
            Count::ReturnUnroutable => "return_unroutable",
            Count::DropUnroutable => "drop_unroutable",
            Count::Deliver => "deliver",
            Count::DeliverNoAck => "deliver_no_ack",
            Count::Get => "get",
            Count::GetNoAck => "get_no_ack",
            Count::GetEmpty => "get_empty",
            Count::Redeliver => "redeliver",
            Count::Ack => "ack",
        }
    }
}

/// How often each [`Count`] has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts([u64; Count::ALL.len()]);

impl Counts {
    /// Counts `n` events.
    #[inline]
    pub fn add(&mut self, count: Count, n: usize) {
        self.0[count as usize] += n as u64;
    }

    /// All deliveries and fetches: RabbitMQ's `deliver_get`.
    pub fn deliver_get(&self) -> u64 {
        [Count::Deliver, Count::DeliverNoAck, Count::Get, Count::GetNoAck].into_iter().map(|count| self[count]).sum()
    }

    /// The events since `earlier`, counted by the same object. An object that was made anew has
    /// fewer: then these are all of its own.
    #[must_use]
    pub fn since(&self, earlier: &Counts) -> Counts {
        let is_same = self.0.iter().zip(earlier.0).all(|(now, then)| *now >= then);
        let then = if is_same { earlier.0 } else { [0; Count::ALL.len()] };
        Counts(std::array::from_fn(|at| self.0[at] - then[at]))
    }
}

impl Index<Count> for Counts {
    type Output = u64;

    fn index(&self, count: Count) -> &u64 {
        &self.0[count as usize]
    }
}

impl IndexMut<Count> for Counts {
    fn index_mut(&mut self, count: Count) -> &mut u64 {
        &mut self.0[count as usize]
    }
}

impl AddAssign<&Counts> for Counts {
    fn add_assign(&mut self, other: &Counts) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, n)| *sum += n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_place_and_a_name() {
        let mut counts = Counts::default();
        for (at, count) in Count::ALL.into_iter().enumerate() {
            assert_eq!(count as usize, at, "{}", count.name());
            counts.add(count, at + 1);
        }
        assert_eq!(counts.deliver_get(), 7 + 8 + 9 + 10);
        let before = counts;
        counts += &before;
        assert_eq!(counts.since(&before), before);
        assert_eq!(Counts::default().since(&before), Counts::default());
    }
}

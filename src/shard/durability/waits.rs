//! The waits for one log: the senders of messages that hear when the disk has a position of it.
//!
//! Each log has waits of its own, so that a slow log holds up nobody who does not need it.
//!
//! ```text
//! log of messages   [Waits]                           confirms, commits, transfers, relayed messages
//! log of changes    control::order: unheard, pending  declarations and the like, on shard 0
//! ```
//!
//! A message in a queue that was just declared needs both logs. That happens on shard 0 alone, as
//! the others hear of a queue when the catalog's log has it. Still its sender waits for the log of
//! messages only, because that log is written after the other: a batch stays in memory, and those
//! behind it, until the store knows that the catalog's log has all queues of the batch
//! ([`Store::know_below`](crate::store::Store::know_below)).
//!
//! Invariant: positions grow from front to back.

use std::collections::VecDeque;

use crate::base::ids::ShardId;
use crate::shard::peers::mail::Hold;

/// The waits, in the order of the log.
#[derive(Default)]
pub struct Waits {
    list: VecDeque<Wait>,
}

/// Senders that wait for the same position.
struct Wait {
    position: u64,
    /// The shard of the senders.
    from: ShardId,
    /// The hold of the first message, and the number of messages.
    hold: Hold,
    count: u32,
}

impl Waits {
    /// Lets `hold` and the `count` behind it, of a sender on shard `from`, wait for `position`.
    pub fn push(&mut self, position: u64, from: ShardId, hold: Hold, count: u32) {
        if let Some(last) = self.list.back_mut()
            && (last.position, last.from) == (position, from)
            && last.hold.is_followed_by(hold, last.count)
        {
            last.count += count;
            return;
        }
        self.list.push_back(Wait { position, from, hold, count });
    }

    /// Takes the first wait that is over, now that the disk has the log up to `durable`: the shard
    /// of the senders, the first hold and the number of messages.
    pub fn pop(&mut self, durable: u64) -> Option<(ShardId, Hold, u32)> {
        let wait = self.list.pop_front_if(|wait| wait.position <= durable)?;
        Some((wait.from, wait.hold, wait.count))
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Gives back memory that is not needed now.
    pub fn give_back(&mut self) {
        self.list.shrink_to(0);
    }

    /// Asserts the invariant.
    pub fn check(&self) {
        assert!(self.list.iter().is_sorted_by_key(|wait| wait.position), "the disk takes positions in their order");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ConnId;

    fn confirm(sequence: u64) -> Hold {
        Hold::Confirm { conn: ConnId::default(), channel: 1, generation: 0, sequence }
    }

    #[test]
    fn messages_in_a_row_are_one_wait() {
        let (mut waits, here) = (Waits::default(), ShardId(0));
        waits.push(4, here, confirm(1), 2);
        waits.push(4, here, confirm(3), 1);
        waits.push(4, here, confirm(5), 1);
        waits.push(5, here, confirm(6), 1);
        waits.check();
        let mut over = |durable| std::iter::from_fn(|| waits.pop(durable)).collect::<Vec<_>>();
        assert_eq!(over(3), []);
        assert_eq!(over(4), [(here, confirm(1), 3), (here, confirm(5), 1)]);
        assert_eq!(over(9), [(here, confirm(6), 1)]);
        assert!(waits.is_empty());
    }
}

//! How often messages came back, as far as a restart needs it: the counts of quorum queues, and of
//! other queues that count.
//!
//! ```text
//! count ─▶ noted, for some milliseconds ─▶ a record with the next batch ─▶ stated: each count,
//!                                                                          and its segment
//! ```
//!
//! A count is that of the next start. While a consumer has a message, the log has the count that
//! results if the broker dies now, one more; when the message comes back, its real count. So a
//! message that is delivered and settled within one batch costs nothing. A segment stays as long as
//! one of its counts is current.

use super::Store;
use super::format::{self, Kind, RETURNED, Returned};
use super::queue_log::QueueLog;
use crate::base::hash::Map;
use crate::base::limits::LOG_RECORD_SIZE;

/// How often messages came back, for any reason and because a delivery failed.
pub type Counts = (u32, u32);

impl Store {
    /// Notes that messages `first` to `last` of a queue, which are in the log or will be soon, will
    /// have come back so often at the next start, if they are not settled before.
    pub fn count(&mut self, slot: u32, first: u64, last: u64, counts: Counts) {
        self.noted.entry(slot).or_default().set(first, last, counts);
    }

    /// Writes the noted counts of unsettled messages to the batch that fills.
    pub(super) fn write_returns(&mut self) {
        let mut fresh: Vec<Returned> = Vec::new();
        for (slot, noted) in std::mem::take(&mut self.noted) {
            let Some(log) = self.queues.get(slot as usize) else { continue };
            let living = noted.iter().flat_map(|(first, last, counts)| log.unsettled(first, last).map(move |range| (range, counts)));
            fresh.extend(living.map(|((first, last), counts)| (log.number, first, last, counts)));
        }
        for returns in fresh.chunks(LOG_RECORD_SIZE / RETURNED) {
            let (segment, _, space) = self.writer.extend(format::HEADER + returns.len() * RETURNED);
            format::write_returns(&mut space[format::HEADER..], returns);
            format::seal(space, segment, Kind::Returns, 0, 0);
            for &(queue, first, last, counts) in returns {
                self.segments.returned((queue, first, last, counts));
                self.log_mut(queue).expect("just seen").stated.set(first, last, (counts, segment));
            }
        }
        self.counting.extend(fresh.iter().map(|(queue, ..)| *queue));
    }

    /// The current counts that are in a segment.
    pub(super) fn stated(&mut self, segment: u32) -> Vec<Returned> {
        let mut counting = std::mem::take(&mut self.counting);
        counting.retain(|&number| self.log(number).is_some_and(|log| !log.stated.is_empty()));
        self.counting = counting;
        let logs = self.counting.iter().filter_map(|&number| self.log(number));
        let own = logs.flat_map(|log| log.stated.iter().map(move |(first, last, (counts, at))| (at, (log.number, first, last, counts))));
        own.filter(|(at, _)| *at == segment).map(|(_, returned)| returned).collect()
    }
}

/// Combines the counts of the segments, oldest first, for unsettled messages. Returns the numbers
/// of the queues with counts.
pub(super) fn find(logs: &mut Map<u64, QueueLog>, said: impl Iterator<Item = (u32, Returned)>) -> Vec<u64> {
    let mut counting = Vec::new();
    for (segment, (queue, first, last, counts)) in said {
        if let Some(log) = logs.get_mut(&queue) {
            log.stated.set(first, last, (counts, segment));
            counting.push(queue);
        }
    }
    counting.sort_unstable();
    counting.dedup();
    for queue in &counting {
        let log = logs.get_mut(queue).expect("just seen");
        let settled = log.settled.within(0, u64::MAX);
        settled.into_iter().for_each(|(first, last)| log.stated.remove(first, last));
        if let Some(before) = log.extents.front().map_or(u64::MAX, |extent| extent.first).checked_sub(1) {
            log.stated.remove(0, before);
        }
    }
    counting
}

//! How often messages come back, as far as a restart must know: the counts of quorum queues, and of others that count.
//!
//! ```text
//! count ─▶ noted, some milliseconds ─▶ a record with the next batch ─▶ stated: what a restart would find of each message, and in which segment
//! ```
//!
//! A count is that of the next start: while a consumer has a message, the log says what it will be if the broker dies now, one more; when the message
//! comes back, what it is. So what was given out and settled within one batch costs nothing. A segment stays as long as one of its counts holds.

use super::Store;
use super::format::{self, Kind, RETURNED, Returned};
use super::queue_log::QueueLog;
use crate::base::hash::Map;
use crate::base::limits::LOG_RECORD_SIZE;

/// How often messages came back, for any reason and because a delivery failed.
pub type Counts = (u32, u32);

impl Store {
    /// Messages `first` to `last` of a queue, which the log has or is about to get, will have come back so often by the next start, if they are not
    /// settled before.
    pub fn count(&mut self, slot: u32, first: u64, last: u64, counts: Counts) {
        self.noted.entry(slot).or_default().set(first, last, counts);
    }

    /// Writes what was noted to the batch that fills, less what is settled meanwhile.
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

    /// The counts of a segment that hold.
    pub(super) fn stated(&mut self, segment: u32) -> Vec<Returned> {
        let mut counting = std::mem::take(&mut self.counting);
        counting.retain(|&number| self.log(number).is_some_and(|log| !log.stated.is_empty()));
        self.counting = counting;
        let logs = self.counting.iter().filter_map(|&number| self.log(number));
        let own = logs.flat_map(|log| log.stated.iter().map(move |(first, last, (counts, at))| (at, (log.number, first, last, counts))));
        own.filter(|(at, _)| *at == segment).map(|(_, returned)| returned).collect()
    }
}

/// Puts together what the segments say, oldest first, less what is settled. The answer is the numbers of the queues that it is about.
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

//! Dead messages that are dropped because they would go in a circle (row DL7). They are counted,
//! and the log gets one line per queue and second.

use crate::base::hash::Map;
use crate::base::ids::QueueId;
use crate::base::limits::{CYCLES_TOLD_MAX, CYCLES_TOLD_MS};
use crate::shard::Shard;
use crate::shard::queues::lifetime::Timer;

/// Messages dropped since the last lines of the log, by queue.
#[derive(Default)]
pub struct Cycles(Map<QueueId, u64>);

impl Cycles {
    /// Counts a message that would have come back to this queue. Returns whether it is the first
    /// since the last lines of the log.
    fn note(&mut self, queue: QueueId) -> bool {
        let is_first = self.0.is_empty();
        *self.0.entry(queue).or_default() += 1;
        is_first
    }

    /// Takes out the counts for the log: the queues with the most such messages, then the number of
    /// other queues and of their messages.
    fn take(&mut self) -> (Vec<(QueueId, u64)>, usize, u64) {
        let mut told: Vec<(QueueId, u64)> = std::mem::take(&mut self.0).into_iter().collect();
        told.sort_unstable_by_key(|&(queue, count)| (std::cmp::Reverse(count), queue));
        let others = told.split_off(CYCLES_TOLD_MAX.min(told.len()));
        (told, others.len(), others.iter().map(|(_, count)| count).sum())
    }
}

impl Shard {
    /// Notes that a dead message does not go to these queues, where it has died before.
    pub(in crate::shard) fn note_cycles(&mut self, queues: impl IntoIterator<Item = QueueId>) {
        for queue in queues {
            if self.queues.dead.cycles.note(queue) {
                self.timers.set(self.now + CYCLES_TOLD_MS, Timer::Cycles);
            }
        }
    }

    /// Writes the counts to the log.
    pub(in crate::shard) fn tell_cycles(&mut self) {
        let (told, others, of_others) = self.queues.dead.cycles.take();
        for (queue, count) in told {
            let Some(info) = self.catalog.queue(queue) else { continue };
            let (name, vhost) = (info.spec.name.escape_debug(), self.catalog.vhost_name(info.vhost).escape_debug());
            log::warn!(
                "queue '{name}' in vhost '{vhost}': {count} dead messages came back where they had died, and were dropped as a cycle"
            );
        }
        if others > 0 {
            log::warn!("{others} more queues: {of_others} dead messages came back where they had died, and were dropped as a cycle");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Key;

    #[test]
    fn the_log_is_told_how_many_there_were() {
        let queue = |slot| QueueId(Key { slot, generation: 0 });
        let mut cycles = Cycles::default();
        assert!(cycles.note(queue(1)) && !cycles.note(queue(2)) && !cycles.note(queue(2)));
        assert_eq!(cycles.take(), (vec![(queue(2), 2), (queue(1), 1)], 0, 0));
        assert!(cycles.note(queue(0)));
        (0..30).for_each(|slot| assert!(!cycles.note(queue(slot))));
        let (told, others, of_others) = cycles.take();
        assert_eq!((told.len(), told[0], others, of_others), (CYCLES_TOLD_MAX, (queue(0), 2), 20, 20));
        assert_eq!(cycles.take(), (Vec::new(), 0, 0));
    }
}

//! What is to be freed, some in each turn: ten million messages, or values of duplicates, at once would hold everybody up.

use std::collections::VecDeque;

use super::Shard;
use crate::base::limits::PURGE_BUDGET;
use crate::broker::deduplication::Forgotten;
use crate::broker::queue::Purged;

/// What nobody needs any more.
#[derive(Default)]
pub struct Rubbish {
    /// Purged messages, whose places in the arena are still taken.
    pub purged: VecDeque<Purged>,
    /// What queues and exchanges knew duplicates by.
    pub forgotten: VecDeque<Forgotten>,
}

impl Rubbish {
    /// Whether nothing is left to be freed.
    pub fn is_empty(&self) -> bool {
        self.purged.is_empty() && self.forgotten.is_empty()
    }
}

impl Shard {
    /// Frees some of it.
    pub(super) fn free_rubbish(&mut self) {
        let Rubbish { purged, forgotten } = &mut self.rubbish;
        if forgotten.front_mut().is_some_and(|forgotten| !forgotten.free(PURGE_BUDGET)) {
            forgotten.pop_front();
        }
        for _ in 0..PURGE_BUDGET {
            let Some(level) = purged.front_mut() else { return };
            match level.pop() {
                Some(entry) => self.arena.release(entry.message),
                None => _ = purged.pop_front(),
            }
        }
    }
}

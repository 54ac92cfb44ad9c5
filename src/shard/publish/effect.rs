//! The effect of giving messages to their queues, as their publisher feels it. Each step on the way
//! returns its own; whoever gave the messages away merges them.
//!
//! ```text
//! enqueue    refused, memory short ─┐
//! the log    must last, log full ───┼─ merged ─▶ spread ─▶ the publisher is told of refusals and
//! a link     link full ─────────────┘            ─▶ park_if_congested: its input waits
//! ```

use std::ops::{BitOr, BitOrAssign};

/// A set of facts about messages that were given away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Effect(u8);

impl Effect {
    /// Nothing that a publisher would feel.
    pub const NONE: Effect = Effect(0);
    /// A queue has refused a message.
    pub const REFUSED: Effect = Effect(1);
    /// The log must keep the messages: confirms wait for the disk.
    pub const MUST_LAST: Effect = Effect(1 << 1);
    /// More is staged for another shard than its link should hold.
    pub const LINK_FULL: Effect = Effect(1 << 2);
    /// Messages were stored while memory for more is not prepared.
    pub const MEMORY_SHORT: Effect = Effect(1 << 3);
    /// The log holds back more than it should.
    pub const LOG_FULL: Effect = Effect(1 << 4);

    const CONGESTION: Effect = Effect(Effect::LINK_FULL.0 | Effect::MEMORY_SHORT.0 | Effect::LOG_FULL.0);

    /// Returns this effect if `happened`, else none.
    #[inline]
    pub fn when(self, happened: bool) -> Effect {
        if happened { self } else { Effect::NONE }
    }

    /// Whether the set has one of these facts.
    #[inline]
    pub fn has(self, facts: Effect) -> bool {
        self.0 & facts.0 != 0
    }

    /// Whether the publisher should publish no more for now.
    #[inline]
    pub fn is_congestion(self) -> bool {
        self.has(Effect::CONGESTION)
    }
}

impl BitOr for Effect {
    type Output = Effect;

    #[inline]
    fn bitor(self, other: Effect) -> Effect {
        Effect(self.0 | other.0)
    }
}

impl BitOrAssign for Effect {
    #[inline]
    fn bitor_assign(&mut self, other: Effect) {
        *self = *self | other;
    }
}

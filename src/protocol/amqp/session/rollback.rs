//! tx.rollback: publishes are discarded, and settled deliveries become unsettled again; if there
//! are very many, in parts.
//!
//! ```text
//! settled by the transaction  [3 4 5 9] ─┐
//! unsettled                   [7 8 …]   ─┴─▶ merged by their tags ─▶ [3 4 5 7 8 9 …]
//!                             deliveries that come in the meantime join the unsettled ones
//! ```

use std::iter::Peekable;
use std::vec;

use super::unacked::Unacked;
use super::*;
use crate::base::limits::SETTLE_SHARE;
use crate::contract::{Outcome, Receipt};
use crate::protocol::amqp::method::tx;

/// A rollback under way; its session does nothing else until it is done.
#[derive(Debug)]
pub struct Rollback {
    channel: u16,
    /// Settled deliveries, by their tags.
    settles: Peekable<vec::IntoIter<(u64, Receipt, Outcome)>>,
    merged: Unacked,
}

impl Session {
    /// Ends the transaction, after [`Event::Rollback`]. [`Session::roll_back`] follows until it is
    /// done, before the next poll.
    pub fn begin_rollback(&mut self, channel: u16) {
        let mut settles = self.take_uncommitted(channel).settles;
        settles.sort_by_key(|&(tag, ..)| tag); // fast if they are in order already
        self.rollback = Some(Rollback { channel, settles: settles.into_iter().peekable(), merged: Unacked::default() });
    }

    /// Goes on with a rollback. Returns whether anything is left; if not, the client was told.
    pub fn roll_back(&mut self) -> bool {
        let mut rollback = self.rollback.take().expect("a rollback has begun");
        let is_more = self.go_on(&mut rollback);
        self.rollback = Some(rollback).filter(|_| is_more);
        is_more
    }

    fn go_on(&mut self, rollback: &mut Rollback) -> bool {
        let Rollback { channel: number, settles, merged } = rollback;
        let Some(channel) = self.open_channel(*number) else { return false };
        let mut left = SETTLE_SHARE;
        while left > 0
            && let Some(&(tag, receipt, _)) = settles.peek()
        {
            left -= 1;
            match channel.unacked.pop_before(tag) {
                Some((tag, receipt)) => merged.put(tag, receipt),
                None => {
                    merged.put(tag, receipt);
                    settles.next();
                }
            }
        }
        if left == 0 {
            return true;
        }
        channel.unacked.put_in_front(std::mem::take(merged));
        tx::RollbackOk {}.write(*number, self.output.bytes_mut());
        false
    }
}

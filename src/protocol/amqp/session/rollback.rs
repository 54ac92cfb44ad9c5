//! tx.rollback: deliveries that the transaction had settled become unsettled again; if there are
//! very many, in parts.
//!
//! ```text
//! settled by the transaction  [3 4 5 9] ─┐
//! unsettled                   [7 8 …]   ─┴─▶ merged by their tags ─▶ [3 4 5 7 8 9 …]
//!                             deliveries that come in the meantime join the unsettled ones
//! ```
//!
//! A rollback is completed even if the connection begins to close meanwhile: its end finds all
//! deliveries unsettled.

use std::iter::Peekable;
use std::vec;

use super::unacked::Unacked;
use super::*;
use crate::base::limits::SETTLE_SHARE;
use crate::contract::session::Settled;
use crate::protocol::amqp::method::tx;

/// A rollback under way; its session does nothing else until it is done.
#[derive(Debug)]
pub struct Rollback {
    channel: u16,
    /// Settled deliveries, by their tags.
    settles: Peekable<vec::IntoIter<Settled>>,
    merged: Unacked,
}

impl Session {
    /// Takes back the deliveries that the transaction had settled, after [`Event::Rollback`].
    /// [`Session::roll_back`] follows until it is done, before the next poll.
    pub fn begin_rollback(&mut self, channel: u16, mut settles: Vec<Settled>) {
        settles.sort_by_key(|settled| settled.tag); // fast if they are in order already
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
        let Some(channel) = self.channels.find_mut(*number) else { return false };
        let mut left = SETTLE_SHARE;
        while left > 0
            && let Some(&Settled { tag, receipt, .. }) = settles.peek()
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
        if self.open_channel(*number).is_some() {
            tx::RollbackOk {}.write(*number, self.output.bytes_mut());
        }
        false
    }
}

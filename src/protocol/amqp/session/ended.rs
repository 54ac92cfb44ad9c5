//! The deliveries and consumers that a channel leaves behind when it ends.

use std::vec;

use super::unacked::Unacked;
use super::*;
use crate::base::limits::SETTLE_SHARE;
use crate::contract::session::{Deliveries, Ended, Unsettled};
use crate::contract::{Outcome, Receipt, Receipts};

/// The unsettled deliveries of one channel that has ended, or of a consumer that was late.
#[derive(Debug)]
struct Remaining {
    unacked: Unacked,
    /// Deliveries that its transaction had settled.
    settles: vec::IntoIter<(u64, Receipt, Outcome)>,
}

impl Deliveries for Remaining {
    fn take(&mut self, out: &mut Receipts) -> bool {
        if self.unacked.settle_rest(u64::MAX, out) {
            return true;
        }
        self.settles.by_ref().take(SETTLE_SHARE).for_each(|(_, receipt, _)| out.push(receipt));
        self.settles.len() > 0
    }
}

/// Takes the consumers and deliveries from a channel.
pub fn take_channel(ended: &mut Ended, channel: &mut Channel) {
    let consumers = std::mem::take(&mut channel.consumers);
    ended.consumers.extend(consumers.places());
    let settles = if let Mode::Tx(transaction) = std::mem::take(&mut channel.mode) { transaction.settles } else { Vec::new() };
    add(&mut ended.unsettled, std::mem::take(&mut channel.unacked), settles);
}

/// Returns the deliveries of a consumer that may not keep them.
pub fn unsettled(unacked: Unacked) -> Unsettled {
    let mut unsettled = Unsettled::default();
    add(&mut unsettled, unacked, Vec::new());
    unsettled
}

fn add(unsettled: &mut Unsettled, unacked: Unacked, settles: Vec<(u64, Receipt, Outcome)>) {
    if !unacked.is_empty() || !settles.is_empty() {
        unsettled.add(Remaining { unacked, settles: settles.into_iter() });
    }
}

//! The deliveries and consumers that a channel leaves behind when it ends.

use super::unacked::Unacked;
use super::*;
use crate::contract::Receipts;
use crate::contract::session::{Deliveries, Ended, Unsettled};

/// The unsettled deliveries of one channel that has ended, or of a consumer that was late.
#[derive(Debug)]
struct Remaining(Unacked);

impl Deliveries for Remaining {
    fn take(&mut self, out: &mut Receipts) -> bool {
        self.0.settle_rest(u64::MAX, out)
    }
}

/// Takes the consumers and deliveries from a channel.
pub fn take_channel(ended: &mut Ended, channel: &mut Channel) {
    let consumers = std::mem::take(&mut channel.consumers);
    ended.consumers.extend(consumers.places());
    add(&mut ended.unsettled, std::mem::take(&mut channel.unacked));
}

/// Returns the deliveries of a consumer that may not keep them.
pub fn unsettled(unacked: Unacked) -> Unsettled {
    let mut unsettled = Unsettled::default();
    add(&mut unsettled, unacked);
    unsettled
}

fn add(unsettled: &mut Unsettled, unacked: Unacked) {
    if !unacked.is_empty() {
        unsettled.add(Remaining(unacked));
    }
}

//! Where a message goes: the queues that its exchange and routing key lead to.

use smallvec::SmallVec;

use crate::base::ids::QueueAddr;

/// The queues of one message, each once.
pub type RouteSet = SmallVec<[QueueAddr; 4]>;

/// Makes `to` what `from` is. (`clone_from` goes from one queue to the next.)
#[inline]
pub fn copy_routes(from: &RouteSet, to: &mut RouteSet) {
    to.clear();
    to.extend_from_slice(from);
}

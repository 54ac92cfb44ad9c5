//! The fanout exchange: every binding matches.

use super::{Dest, Destinations};

/// All bindings, whatever their keys.
#[derive(Default)]
pub struct Fanout(Destinations);

impl Fanout {
    /// Adds a binding.
    pub fn bind(&mut self, dest: Dest) {
        self.0.add(dest);
    }

    /// Removes a binding, which must exist.
    pub fn unbind(&mut self, dest: Dest) {
        self.0.remove(dest);
    }

    /// Finds all destinations.
    #[inline]
    pub fn matching(&self, found: &mut impl FnMut(Dest)) {
        self.0.iter().for_each(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::exchange::tests::{collect, queue};

    #[test]
    fn a_queue_stays_until_its_last_binding_goes() {
        let mut fanout = Fanout::default();
        fanout.bind(queue(1));
        fanout.bind(queue(1));
        fanout.bind(queue(2));
        fanout.unbind(queue(1));
        assert_eq!(collect(|found| fanout.matching(found)), [queue(1), queue(2)]);
        fanout.unbind(queue(1));
        assert_eq!(collect(|found| fanout.matching(found)), [queue(2)]);
    }
}

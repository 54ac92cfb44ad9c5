//! The direct exchange: one hash lookup by routing key.

use super::{Dest, Destinations};
use crate::base::hash::Map;

/// Bindings by their key.
#[derive(Default)]
pub struct Direct(Map<Box<[u8]>, Destinations>);

impl Direct {
    /// Adds a binding.
    pub fn bind(&mut self, key: &[u8], dest: Dest) {
        self.0.entry(key.into()).or_default().add(dest);
    }

    /// Removes a binding, which must exist.
    pub fn unbind(&mut self, key: &[u8], dest: Dest) {
        let destinations = self.0.get_mut(key).expect("a binding that is removed exists");
        destinations.remove(dest);
        if destinations.is_empty() {
            self.0.remove(key);
        }
    }

    /// Finds the destinations whose binding key is the routing key.
    #[inline]
    pub fn matching(&self, key: &[u8], found: &mut impl FnMut(Dest)) {
        if let Some(destinations) = self.0.get(key) {
            destinations.iter().for_each(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::exchange::tests::{collect, queue};

    #[test]
    fn a_key_leads_to_its_queues_until_the_last_binding_goes() {
        let mut direct = Direct::default();
        direct.bind(b"a", queue(1));
        direct.bind(b"a", queue(2));
        direct.bind(b"a", queue(1));
        direct.bind(b"", queue(3));
        assert_eq!(collect(|found| direct.matching(b"a", found)), [queue(1), queue(2)]);
        assert_eq!(collect(|found| direct.matching(b"", found)), [queue(3)]);
        direct.unbind(b"a", queue(1));
        assert_eq!(collect(|found| direct.matching(b"a", found)), [queue(1), queue(2)]);
        direct.unbind(b"a", queue(1));
        direct.unbind(b"a", queue(2));
        assert!(collect(|found| direct.matching(b"a", found)).is_empty());
        assert_eq!(direct.0.len(), 1);
    }
}

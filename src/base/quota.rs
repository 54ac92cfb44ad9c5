//! How many there may be of something that all shards have together, such as the connections of a user.
//!
//! A [`Place`] is taken and held for as long as the thing lasts; who holds it need not think of giving it back. Counting is exact, whichever shards
//! take places at the same time. A limit that is lowered sends nobody away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Places to take; a copy is the same quota.
#[derive(Clone, Debug)]
pub struct Quota(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    taken: AtomicU32,
    max: AtomicU32,
}

/// One of a quota's places, until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Counts>);

impl Quota {
    /// Sets how many places there are; none: as many as are wanted.
    pub fn set_max(&self, max: Option<u32>) {
        self.0.max.store(max.unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Takes a place.
    ///
    /// # Errors
    /// How many there are, if all are taken.
    pub fn take(&self) -> Result<Place, u32> {
        // Nothing else is told by a place, so no order is needed.
        let max = self.0.max.load(Ordering::Relaxed);
        let taken = self.0.taken.try_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < max).then(|| taken + 1));
        taken.map(|_| Place(self.0.clone())).map_err(|_| max)
    }

    /// How many places there are.
    pub fn max(&self) -> u32 {
        self.0.max.load(Ordering::Relaxed)
    }

    /// How many places are taken.
    pub fn taken(&self) -> u32 {
        self.0.taken.load(Ordering::Relaxed)
    }
}

/// As many places as are wanted.
impl Default for Quota {
    fn default() -> Quota {
        Quota(Arc::new(Counts { taken: AtomicU32::new(0), max: AtomicU32::new(u32::MAX) }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let quota = Quota::default();
        let (first, copy) = (quota.take().expect("there is no limit"), quota.clone());
        copy.set_max(Some(2));
        let second = copy.take();
        assert!(second.is_ok() && quota.taken() == 2);
        assert_eq!(quota.take().err(), Some(2));
        drop(first);
        assert!(quota.take().is_ok());
        quota.set_max(Some(0));
        assert_eq!((quota.take().err(), quota.taken()), (Some(0), 1));
        quota.set_max(None);
        assert!(quota.take().is_ok());
    }
}

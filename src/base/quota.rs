//! A limit of how many objects of a kind there may be on all shards together, such as the
//! connections of a user.
//!
//! Each object has a [`Place`], one unit of the quota, which is given back on drop. Counting is
//! exact, even when several shards take units at the same time. When a limit is lowered, existing
//! objects stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A quota; clones share its counts.
#[derive(Clone, Debug)]
pub struct Quota(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    taken: AtomicU32,
    max: AtomicU32,
    /// How many units were ever taken.
    ever: AtomicU64,
}

/// One unit of a quota, given back on drop.
#[derive(Debug)]
pub struct Place(Arc<Counts>);

impl Quota {
    /// Sets the number of units; `None` for no limit.
    pub fn set_max(&self, max: Option<u32>) {
        self.0.max.store(max.unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Takes a unit.
    ///
    /// # Errors
    /// The number of units, if all are taken.
    pub fn take(&self) -> Result<Place, u32> {
        // The counts publish no other memory, so no ordering is needed.
        let max = self.0.max.load(Ordering::Relaxed);
        let taken = self.0.taken.try_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < max).then(|| taken + 1));
        taken.inspect(|_| _ = self.0.ever.fetch_add(1, Ordering::Relaxed)).map(|_| Place(self.0.clone())).map_err(|_| max)
    }

    /// Number of units.
    pub fn max(&self) -> u32 {
        self.0.max.load(Ordering::Relaxed)
    }

    /// How many units were ever taken.
    pub fn ever_taken(&self) -> u64 {
        self.0.ever.load(Ordering::Relaxed)
    }

    /// Number of taken units.
    pub fn taken(&self) -> u32 {
        self.0.taken.load(Ordering::Relaxed)
    }
}

/// Makes a quota without a limit.
impl Default for Quota {
    fn default() -> Quota {
        Quota(Arc::new(Counts { taken: AtomicU32::new(0), max: AtomicU32::new(u32::MAX), ever: AtomicU64::new(0) }))
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

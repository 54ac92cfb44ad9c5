//! An inbox: values that threads without a ring of their own leave for a shard. Rare and unhurried,
//! so it is a list under a lock; a shard that has none in its inbox finds that out with one load.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// An inbox, and the bell of its owner.
pub struct Inbox<T> {
    is_filled: AtomicBool,
    values: Mutex<Vec<T>>,
    ring: Box<dyn Fn() + Send + Sync>,
}

impl<T> Inbox<T> {
    /// Makes an empty inbox. `ring` wakes its owner.
    pub fn new(ring: impl Fn() + Send + Sync + 'static) -> Inbox<T> {
        Inbox { is_filled: AtomicBool::new(false), values: Mutex::default(), ring: Box::new(ring) }
    }

    /// Leaves a value and wakes the owner, unless others wait already.
    pub fn put(&self, value: T) {
        let is_first = {
            let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
            values.push(value);
            values.len() == 1
        };
        self.is_filled.store(true, Ordering::Release);
        if is_first {
            (self.ring)();
        }
    }

    /// Takes all values, in their order.
    #[inline]
    pub fn take(&self) -> Vec<T> {
        if self.is_filled.load(Ordering::Relaxed) { self.take_some() } else { Vec::new() }
    }

    #[cold]
    fn take_some(&self) -> Vec<T> {
        self.is_filled.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn the_bell_rings_once_for_what_waits() {
        let rung = Arc::new(AtomicUsize::new(0));
        let bell = rung.clone();
        let inbox = Inbox::new(move || _ = bell.fetch_add(1, Ordering::Relaxed));
        assert!(inbox.take().is_empty());
        (0..3).for_each(|n| inbox.put(n));
        assert_eq!((inbox.take(), rung.load(Ordering::Relaxed)), (vec![0, 1, 2], 1));
        assert!(inbox.take().is_empty());
        inbox.put(3);
        assert_eq!((inbox.take(), rung.load(Ordering::Relaxed)), (vec![3], 2));
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let inbox = Arc::new(Inbox::new(|| {}));
        let threads: Vec<_> =
            (0..4).map(|_| inbox.clone()).map(|inbox| std::thread::spawn(move || (0..1000).for_each(|n| inbox.put(n)))).collect();
        let mut count = 0;
        while count < 4000 {
            count += inbox.take().len();
        }
        threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        assert!(inbox.take().is_empty());
    }
}

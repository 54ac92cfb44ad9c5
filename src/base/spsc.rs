//! The ring between two shards: one producer, one consumer, no lock.
//!
//! ```text
//!            head (consumer stores)          tail (producer stores)
//!              v                               v
//!  slots   [ . | read, not released | published | staged | . . . ]
//!                                 ^                      ^
//!                         Receiver::head            Sender::tail
//! ```
//!
//! Each side works on a position of its own and shows it to the other side once per batch: the
//! producer stages any number of items and publishes them with one release store; the consumer
//! reads any number and releases their slots with another. Each side keeps the position of the
//! other that it last loaded, and loads a new one only when the ring seems full or empty. So a
//! batch of any length costs two cache lines that change hands. The positions count up and wrap; a
//! slot is position & mask.
//!
//! Invariant: head <= Receiver::head <= tail <= Sender::tail <= head + slots. Items in [head,
//! Receiver::head) were moved out, those in [Receiver::head, Sender::tail) are initialized; the
//! producer writes only outside of [head, Sender::tail).
//!
//! A [`Doorbell`] lets a consumer sleep without missing an item.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicUsize, fence};

/// Makes a ring of `slots` slots, a power of two.
pub fn ring<T>(slots: usize) -> (Sender<T>, Receiver<T>) {
    assert!(slots.is_power_of_two(), "positions wrap at a power of two");
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        slots: (0..slots).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let sender = Sender { shared: Arc::clone(&shared), tail: 0, published: 0, head_seen: 0 };
    (sender, Receiver { shared, head: 0, released: 0, tail_seen: 0 })
}

/// The producer's end.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    /// The position where the next item is staged.
    tail: usize,
    /// The value of `tail` that the consumer was shown.
    published: usize,
    /// The consumer's head when it was last loaded.
    head_seen: usize,
}

impl<T> Sender<T> {
    /// Stages `item` for the next [`publish`](Self::publish), or returns it if the ring is full.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.room() == 0 && self.free() == 0 {
            return Err(item);
        }
        // SAFETY: there is a free slot, so `tail` is outside of [head, tail): the consumer released
        // this slot (its head was acquired) and reads it again only after the release store in
        // `publish`.
        unsafe { (*self.shared.slot(self.tail)).write(item) };
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Shows all staged items to the consumer. Returns whether there were any.
    #[inline]
    pub fn publish(&mut self) -> bool {
        let anything = self.tail != self.published;
        if anything {
            self.shared.tail.0.store(self.tail, Release);
            self.published = self.tail;
        }
        anything
    }

    /// Number of items that can be staged now.
    #[inline]
    pub fn free(&mut self) -> usize {
        self.head_seen = self.shared.head.0.load(Acquire);
        self.room()
    }

    /// A lower bound of the free slots, by the consumer's position when it was last loaded.
    fn room(&self) -> usize {
        self.shared.slots.len() - self.tail.wrapping_sub(self.head_seen)
    }
}

/// Staged items are not lost: they are published.
impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.publish();
    }
}

/// The consumer's end.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The position where the next item is read.
    head: usize,
    /// The value of `head` that the producer was shown.
    released: usize,
    /// The producer's tail when it was last loaded.
    tail_seen: usize,
}

impl<T> Receiver<T> {
    /// Number of published items that wait.
    #[inline]
    pub fn available(&mut self) -> usize {
        self.tail_seen = self.shared.tail.0.load(Acquire);
        self.waiting()
    }

    /// Takes the oldest published item. The producer can use its slot after the next
    /// [`release`](Self::release).
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.waiting() == 0 && self.available() == 0 {
            return None;
        }
        // SAFETY: the item at `head` was written before the tail that was acquired here was stored;
        // the producer does not touch it until `release`; and moving `head` on means that it is
        // read only this once.
        let item = unsafe { (*self.shared.slot(self.head)).assume_init_read() };
        self.head = self.head.wrapping_add(1);
        Some(item)
    }

    /// Gives the slots of all taken items back to the producer; once per batch.
    #[inline]
    pub fn release(&mut self) {
        if self.head != self.released {
            self.shared.head.0.store(self.head, Release);
            self.released = self.head;
        }
    }

    /// A lower bound of the items that wait, by the producer's position when it was last loaded.
    fn waiting(&self) -> usize {
        self.tail_seen.wrapping_sub(self.head)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.release();
    }
}

struct Shared<T> {
    /// The oldest slot that the producer must not touch.
    head: Padded<AtomicUsize>,
    /// The first slot that the consumer must not touch.
    tail: Padded<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: an item is written by one thread and moved out by another, which `T: Send` allows; the
// positions ensure that no slot is touched by both at a time, and neither end can be cloned.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above; no `&T` is ever shared, so `T: Sync` is not needed.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    #[inline]
    fn slot(&self, position: usize) -> *mut MaybeUninit<T> {
        self.slots[position & (self.slots.len() - 1)].get()
    }
}

/// Both ends are dropped and have shown their positions: the items between head and tail were never
/// taken.
impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let (mut head, tail) = (*self.head.0.get_mut(), *self.tail.0.get_mut());
        while head != tail {
            // SAFETY: items in [head, tail) are initialized and were not moved out, and both ends
            // are gone.
            unsafe { (*self.slot(head)).assume_init_drop() };
            head = head.wrapping_add(1);
        }
    }
}

/// A value in two cache lines of its own: processors fetch them in pairs.
#[repr(align(128))]
struct Padded<T>(T);

/// The bell of one consumer, shared with all its producers.
///
/// A consumer calls [`prepare_sleep`](Self::prepare_sleep), checks every ring once more, waits if
/// they are empty, and calls [`awake`](Self::awake). A producer publishes, calls
/// [`ring`](Self::ring), and wakes the consumer if the result says so.
///
/// No wake is missed, because both sides store, fence, then load what the other stored, and the
/// fences have an order. If the consumer's fence is first, the producer sees that it sleeps; if the
/// producer's is first, the consumer's last check sees the items. Of several producers, the one
/// that swaps the flag back wakes the consumer; the others rely on that one. They may, because a
/// woken consumer fences again before it next waits.
#[repr(align(128))]
#[derive(Default)]
pub struct Doorbell {
    sleeping: AtomicU32,
}

impl Doorbell {
    /// Notes that the consumer is about to wait. It must check its rings once more after this, and
    /// wait only if they are empty.
    pub fn prepare_sleep(&self) {
        self.sleeping.store(1, Relaxed);
        fence(SeqCst);
    }

    /// Notes that the consumer no longer waits, for whatever reason.
    pub fn awake(&self) {
        self.sleeping.store(0, Relaxed);
    }

    /// Called after a publish. Returns whether the caller, and no other producer, must wake the
    /// consumer now.
    #[inline]
    pub fn ring(&self) -> bool {
        fence(SeqCst);
        self.sleeping.load(Relaxed) == 1 && self.sleeping.swap(0, Relaxed) == 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::hint::spin_loop;
    use std::rc::Rc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::base::rng::Rng;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn staged_items_are_seen_when_published_and_not_before() {
        let (mut tx, mut rx) = ring(4);
        tx.push('a').expect("room");
        tx.push('b').expect("room");
        assert_eq!((rx.available(), rx.pop()), (0, None));
        assert!(tx.publish());
        assert!(!tx.publish());
        assert_eq!((rx.available(), rx.pop(), rx.pop(), rx.pop()), (2, Some('a'), Some('b'), None));
    }

    #[test]
    fn slots_come_back_when_released_and_not_before() {
        let (mut tx, mut rx) = ring(2);
        tx.push(1).expect("room");
        tx.push(2).expect("room");
        assert_eq!((tx.push(3), tx.free()), (Err(3), 0));
        tx.publish();
        assert_eq!(rx.pop(), Some(1));
        assert_eq!(tx.push(3), Err(3));
        rx.release();
        assert_eq!((tx.free(), tx.push(3)), (1, Ok(())));
    }

    #[test]
    fn it_behaves_like_two_deques_around_the_wrap_of_positions() {
        for seed in 0..20 {
            run_against_model(&mut Rng::seeded(seed));
        }
    }

    fn run_against_model(rng: &mut Rng) {
        let slots = 1_usize << rng.below(5);
        let (mut tx, mut rx) = ring(slots);
        start_at(&mut tx, &mut rx, usize::MAX - 20);
        let (mut staged, mut published, mut unreleased) = (VecDeque::new(), VecDeque::new(), 0);
        for n in 0..2000 {
            match rng.below(6) {
                0..=1 => {
                    let full = staged.len() + published.len() + unreleased == slots;
                    assert_eq!(tx.push(n).is_err(), full);
                    staged.extend((!full).then_some(n));
                }
                2 => {
                    assert_eq!(tx.publish(), !staged.is_empty());
                    published.append(&mut staged);
                }
                3..=4 => {
                    let item = published.pop_front();
                    unreleased += usize::from(item.is_some());
                    assert_eq!(rx.pop(), item);
                }
                _ => {
                    rx.release();
                    unreleased = 0;
                }
            }
            assert_eq!(rx.available(), published.len());
            assert_eq!(tx.free(), slots - staged.len() - published.len() - unreleased);
        }
    }

    fn start_at<T>(tx: &mut Sender<T>, rx: &mut Receiver<T>, position: usize) {
        tx.shared.head.0.store(position, Relaxed);
        tx.shared.tail.0.store(position, Relaxed);
        (tx.tail, tx.published, tx.head_seen) = (position, position, position);
        (rx.head, rx.released, rx.tail_seen) = (position, position, position);
    }

    #[test]
    fn what_nobody_took_is_dropped_once() {
        for receiver_first in [false, true] {
            let counted = Rc::new(());
            let (mut tx, mut rx) = ring(8);
            for published in [true, true, true, false, false] {
                tx.push(Rc::clone(&counted)).expect("room");
                let _ = published && tx.publish();
            }
            drop(rx.pop());
            assert_eq!(Rc::strong_count(&counted), 5);
            if receiver_first {
                drop((rx, tx))
            } else {
                drop((tx, rx))
            }
            assert_eq!(Rc::strong_count(&counted), 1);
        }
    }

    #[test]
    fn two_threads_see_every_item_in_order() {
        const COUNT: u64 = 100_000;
        let (mut tx, mut rx) = ring(64);
        let producer = thread::spawn(move || {
            let mut rng = Rng::seeded(1);
            for n in 0..COUNT {
                push_patiently(&mut tx, Box::new(n));
                let _ = rng.below(8) == 0 && tx.publish();
            }
        });
        let (mut last, mut expected) = (Instant::now(), 0);
        while expected < COUNT {
            assert!(last.elapsed() < PATIENCE, "stuck at {expected}");
            while let Some(item) = rx.pop() {
                assert_eq!(*item, expected);
                (last, expected) = (Instant::now(), expected + 1);
            }
            rx.release();
            thread::yield_now();
        }
        producer.join().expect("the producer is well");
    }

    fn push_patiently<T>(tx: &mut Sender<T>, item: T) {
        let (start, mut next) = (Instant::now(), Some(item));
        while let Some(item) = next.take() {
            next = tx.push(item).err();
            if next.is_some() {
                assert!(start.elapsed() < PATIENCE, "the ring stays full");
                tx.publish();
                thread::yield_now();
            }
        }
    }

    #[test]
    fn the_bell_rings_once_per_sleep() {
        let bell = Doorbell::default();
        assert!(!bell.ring());
        bell.prepare_sleep();
        assert_eq!((bell.ring(), bell.ring()), (true, false));
        bell.prepare_sleep();
        bell.awake();
        assert!(!bell.ring());
    }

    /// The ring has one slot: the producer cannot go on before its item is taken, so nothing makes
    /// up for a missed wake, and the consumer would sleep until its time is up. It delays its sleep
    /// a little, to fall asleep just when the next item comes.
    #[test]
    fn no_wake_is_missed() {
        const ROUNDS: u32 = 100_000;
        let bell = Arc::new(Doorbell::default());
        let (mut tx, mut rx) = ring(1);
        let (producer_bell, consumer) = (Arc::clone(&bell), thread::current());
        let producer = thread::spawn(move || {
            for n in 0..ROUNDS {
                push_patiently(&mut tx, n);
                if tx.publish() && producer_bell.ring() {
                    consumer.unpark();
                }
            }
        });
        let (mut rng, mut received) = (Rng::seeded(1), 0);
        while received < ROUNDS {
            received += u32::from(rx.pop().is_some());
            rx.release();
            (0..rng.below(200)).for_each(|_| spin_loop());
            bell.prepare_sleep();
            if rx.available() == 0 && received < ROUNDS {
                let start = Instant::now();
                thread::park_timeout(PATIENCE);
                assert!(start.elapsed() < PATIENCE, "nobody rang after {received} items");
            }
            bell.awake();
        }
        producer.join().expect("the producer is well");
    }
}

//! Timers, exact to the millisecond, set and cancelled in constant time.
//!
//! ```text
//!  level 0   64 slots of 1 ms      a timer is at the level of the highest 6-bit digit in which its
//!  level 1   64 slots of 64 ms     due time differs from now, in that digit's slot
//!  level 2   64 slots of 4 s       now  = 0x00·12·05     due = 0x00·13·20  ->  level 1, slot 0x13
//!  ...                             due  = 0x00·12·3f     ->  level 0, slot 0x3f
//! ```
//!
//! When time reaches a slot of a level above 0, its timers are set again, at lower levels (a timer
//! moves at most ten times); at level 0 a slot is one millisecond, and its timers fire. Empty slots
//! are skipped by bitmaps, so a jump of hours costs as much as the timers in it.
//!
//! Invariant: every timer is due at `now` or later, in the slot that `place(now, due)` returns.
//! This stays true when time moves on, because slots are emptied when time reaches them. So the
//! first occupied slot of the lowest occupied level contains the next timer: all timers of a level
//! are due before those of the levels above. Slots are first in, first out, and a slot is emptied
//! before a later timer can be set below it: timers due in the same millisecond fire in the order
//! in which they were set.

use super::ids::TimerId;
use super::slots::Slots;

/// Timers with a value of type `T` each.
pub struct TimerWheel<T> {
    /// The time of the last `advance`, ms.
    now: u64,
    timers: Slots<TimerId, Timer<T>>,
    /// Bit n: level n has timers.
    occupied: u16,
    levels: Box<[Level; LEVELS]>,
}

struct Timer<T> {
    due: u64,
    prev: Option<TimerId>,
    next: Option<TimerId>,
    value: T,
}

#[derive(Clone, Copy)]
struct Level {
    /// Bit n: slot n has timers.
    occupied: u64,
    slots: [List; SLOTS],
}

/// The timers of one slot, in the order in which they were set.
#[derive(Clone, Copy, Default)]
struct List {
    head: Option<TimerId>,
    tail: Option<TimerId>,
}

/// The slot of a timer.
#[derive(Clone, Copy)]
struct Place {
    level: usize,
    slot: usize,
}

impl<T> TimerWheel<T> {
    /// Makes a wheel without timers at the time `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        let empty = Level { occupied: 0, slots: [List::default(); SLOTS] };
        TimerWheel { now: now_ms, timers: Slots::new(), occupied: 0, levels: Box::new([empty; LEVELS]) }
    }

    /// Number of timers that are set.
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// Sets a timer that fires at the first [`advance`](Self::advance) to `due_ms` or later. An
    /// earlier time than that of the last advance counts as that time: the timer fires at the next
    /// advance.
    pub fn set(&mut self, due_ms: u64, value: T) -> TimerId {
        let due = due_ms.max(self.now);
        let id = self.timers.insert(Timer { due, prev: None, next: None, value });
        self.link(id);
        id
    }

    /// Cancels a timer and returns its value, or `None` if it has fired or was cancelled before.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        self.timers.get(id)?;
        self.unlink(id);
        self.timers.remove(id).map(|timer| timer.value)
    }

    /// Advances the time to `now_ms` and appends the values of the timers due by then to `fired`,
    /// by due time and then in the order in which they were set. An earlier time than the present
    /// one changes nothing.
    pub fn advance(&mut self, now_ms: u64, fired: &mut Vec<T>) {
        while let Some((place, start)) = self.first_slot().filter(|&(_, start)| start <= now_ms) {
            self.now = start;
            let list = self.take(place);
            if place.level == 0 {
                self.fire(list, fired);
            } else {
                self.lower(list);
            }
        }
        self.now = self.now.max(now_ms);
    }

    /// When to advance next, ms: never later than the next timer is due. It is exact within the
    /// current 64 ms, otherwise the start of the timer's slot. A caller that sleeps until then may
    /// wake some times (at most ten) without a timer that fires; each such advance moves the timer
    /// to a lower level, and brings the result closer. `None` if no timer is set.
    pub fn next_due(&self) -> Option<u64> {
        self.first_slot().map(|(_, start)| start)
    }

    /// The slot of the next timer, and when time reaches it.
    fn first_slot(&self) -> Option<(Place, u64)> {
        if self.occupied == 0 {
            return None;
        }
        let level = self.occupied.trailing_zeros() as usize;
        let slot = self.levels[level].occupied.trailing_zeros() as usize;
        let above = self.now.checked_shr(DIGIT * (level as u32 + 1)).unwrap_or(0);
        let start = ((above << DIGIT) | slot as u64) << (DIGIT * level as u32);
        Some((Place { level, slot }, start))
    }

    /// Takes all timers out of a slot, still linked to each other.
    fn take(&mut self, place: Place) -> List {
        let list = std::mem::take(&mut self.levels[place.level].slots[place.slot]);
        self.mark_empty(place);
        list
    }

    fn fire(&mut self, list: List, fired: &mut Vec<T>) {
        let mut at = list.head;
        while let Some(id) = at {
            let timer = self.timers.remove(id).expect("a linked timer is set");
            at = timer.next;
            fired.push(timer.value);
        }
    }

    /// Sets the timers of a slot again, after time has reached it.
    fn lower(&mut self, list: List) {
        let mut at = list.head;
        while let Some(id) = at {
            at = self.timers[id].next;
            self.link(id);
        }
    }

    /// Appends a timer to its slot.
    fn link(&mut self, id: TimerId) {
        let place = place(self.now, self.timers[id].due);
        let level = &mut self.levels[place.level];
        level.occupied |= 1 << place.slot;
        self.occupied |= 1 << place.level;
        let prev = level.slots[place.slot].tail.replace(id);
        match prev {
            Some(prev) => self.timers[prev].next = Some(id),
            None => level.slots[place.slot].head = Some(id),
        }
        let timer = &mut self.timers[id];
        (timer.prev, timer.next) = (prev, None);
    }

    fn unlink(&mut self, id: TimerId) {
        let Timer { due, prev, next, .. } = self.timers[id];
        let place = place(self.now, due);
        let list = &mut self.levels[place.level].slots[place.slot];
        match prev {
            Some(prev) => self.timers[prev].next = next,
            None => list.head = next,
        }
        match next {
            Some(next) => self.timers[next].prev = prev,
            None => list.tail = prev,
        }
        if list.head.is_none() {
            self.mark_empty(place);
        }
    }

    fn mark_empty(&mut self, place: Place) {
        let level = &mut self.levels[place.level];
        level.occupied &= !(1 << place.slot);
        if level.occupied == 0 {
            self.occupied &= !(1 << place.level);
        }
    }
}

/// The slot for a timer: at the highest digit in which `due` differs from `now`, or the lowest one
/// if they are equal.
fn place(now: u64, due: u64) -> Place {
    let level = (now ^ due).checked_ilog2().unwrap_or(0) / DIGIT;
    let slot = (due >> (DIGIT * level)) % SLOTS as u64;
    Place { level: level as usize, slot: slot as usize }
}

/// Bits of a digit of time.
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
/// Number of digits of a u64: every time has a slot.
const LEVELS: usize = u64::BITS.div_ceil(DIGIT) as usize;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::rng::Rng;

    fn advance<T>(wheel: &mut TimerWheel<T>, now: u64) -> Vec<T> {
        let mut fired = Vec::new();
        wheel.advance(now, &mut fired);
        fired
    }

    #[test]
    fn a_timer_fires_in_its_millisecond() {
        for due in [0, 1, 63, 64, 65, 4095, 4096, 100_000, 1 << 36, u64::MAX] {
            let mut wheel = TimerWheel::new(0);
            wheel.set(due, due);
            if let Some(before) = due.checked_sub(1) {
                assert!(advance(&mut wheel, before).is_empty());
            }
            assert_eq!(advance(&mut wheel, due), [due]);
            assert_eq!((wheel.is_empty(), wheel.next_due()), (true, None));
        }
    }

    #[test]
    fn a_timer_of_the_past_fires_at_once() {
        let mut wheel = TimerWheel::new(500);
        wheel.set(7, 'p');
        assert_eq!(wheel.next_due(), Some(500));
        assert_eq!(advance(&mut wheel, 500), ['p']);
    }

    #[test]
    fn a_cancelled_timer_does_not_fire_and_a_fired_one_is_not_cancelled() {
        let mut wheel = TimerWheel::new(0);
        let (one, two) = (wheel.set(100, 1), wheel.set(100, 2));
        assert_eq!((wheel.cancel(one), wheel.cancel(one)), (Some(1), None));
        assert_eq!(advance(&mut wheel, 100), [2]);
        let reused = wheel.set(200, 3);
        assert_eq!(wheel.cancel(two), None);
        assert_eq!((wheel.len(), wheel.cancel(reused), wheel.next_due()), (1, Some(3), None));
    }

    #[test]
    fn timers_of_one_millisecond_fire_in_the_order_they_were_set() {
        let mut wheel = TimerWheel::new(0);
        wheel.set(5000, 1);
        assert!(advance(&mut wheel, 4990).is_empty());
        wheel.set(5000, 2);
        wheel.set(4999, 0);
        wheel.set(5000, 3);
        assert_eq!(advance(&mut wheel, 1 << 40), [0, 1, 2, 3]);
    }

    #[test]
    fn who_sleeps_until_next_due_wakes_few_times() {
        let mut wheel = TimerWheel::new(123);
        let due = 0xdead_beef_dead_beef;
        wheel.set(due, ());
        let mut wakes = 0;
        while let Some(next) = wheel.next_due() {
            assert!(next <= due);
            wakes += 1;
            assert_eq!(advance(&mut wheel, next).len(), usize::from(next == due));
        }
        assert!(wakes <= LEVELS, "{wakes}");
    }

    #[test]
    fn it_behaves_like_a_sorted_map() {
        for seed in 0..60 {
            Run::new(seed).play(1500);
        }
    }

    /// The wheel, and a model of it: due time and number of each timer, in order.
    struct Run {
        rng: Rng,
        now: u64,
        wheel: TimerWheel<u64>,
        model: BTreeMap<(u64, u64), TimerId>,
    }

    impl Run {
        fn new(seed: u64) -> Run {
            let mut rng = Rng::seeded(seed);
            let now = rng.below(1 << 40);
            Run { rng, now, wheel: TimerWheel::new(now), model: BTreeMap::new() }
        }

        fn play(&mut self, steps: u64) {
            for number in 0..steps {
                match self.rng.below(8) {
                    0..=3 => self.set(number),
                    4 => self.cancel(),
                    _ => self.advance(),
                }
                self.check_next();
            }
            self.now = u64::MAX;
            self.fire();
            assert!(self.wheel.is_empty());
        }

        /// Returns a span of time: mostly short, now and then hours.
        fn span(&mut self) -> u64 {
            let bits = 1 + self.rng.below(26);
            let below = 1 << self.rng.below(bits);
            self.rng.below(below)
        }

        fn set(&mut self, number: u64) {
            let past = self.rng.below(20) == 0;
            let due = if past { self.now.saturating_sub(self.span()) } else { self.now + self.span() };
            let id = self.wheel.set(due, number);
            self.model.insert((due.max(self.now), number), id);
        }

        fn cancel(&mut self) {
            let count = self.model.len() as u64;
            if count > 0 {
                let nth = self.rng.below(count) as usize;
                let (&key, &id) = self.model.iter().nth(nth).expect("below the count");
                self.model.remove(&key);
                assert_eq!(self.wheel.cancel(id), Some(key.1));
            }
        }

        fn advance(&mut self) {
            self.now += self.span();
            self.fire();
        }

        fn fire(&mut self) {
            let due = self.model.iter().take_while(|((due, _), _)| *due <= self.now);
            let due: Vec<_> = due.map(|(&key, _)| key).collect();
            assert_eq!(advance(&mut self.wheel, self.now), due.iter().map(|key| key.1).collect::<Vec<_>>());
            self.model.retain(|key, _| !due.contains(key));
        }

        fn check_next(&self) {
            let (told, due) = (self.wheel.next_due(), self.model.keys().next().map(|key| key.0));
            assert_eq!((told.is_some(), self.wheel.len()), (due.is_some(), self.model.len()));
            assert!(told <= due && told.is_none_or(|told| told >= self.now), "{told:?} {due:?}");
        }
    }
}

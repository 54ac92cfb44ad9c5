//! A queue's levels, one per priority. The next message is that of the highest level that has any.
//!
//! ```text
//! usual    3 ▸ [……]        messages without priority; the only level of a plain queue
//! others   busy  0 0 1 0 … 1 0       levels that have messages: the highest is found by its bit
//!          at    level → index in the list
//!          list  [7 ▸ ……] [2 ▸ ……]   levels that were ever in use, by their first message
//! ```
//!
//! A plain queue has the usual level alone; all that it pays is a look whether there are others. A
//! level is made with its first message and costs nothing before. While a level is empty, it keeps
//! little more than its next sequence number, because messages may be on their way to consumers and
//! in the log.

use super::level::{Level, Purged};
use crate::broker::catalog::is_quorum;
use crate::contract::Entry;
use crate::message::{Properties, Table, Value, flag};

/// The levels that a queue may have, and the level of each message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Priorities {
    /// The highest level; it also gets messages of higher priorities.
    pub max: u8,
    /// The level of messages without priority.
    pub usual: u8,
}

impl Priorities {
    /// Derives the levels from a queue's arguments (rows D17, D18).
    pub fn of(arguments: &Table) -> Priorities {
        if is_quorum(arguments) {
            return QUORUM;
        }
        match arguments.find("x-max-priority").and_then(Value::as_int) {
            // In RabbitMQ, a maximum of 0 means 1.
            Some(max) => Priorities { max: u8::try_from(max).unwrap_or(u8::MAX).max(1), usual: 0 },
            None => Priorities::default(),
        }
    }

    /// Whether the queue may have more than one level.
    pub fn has_levels(self) -> bool {
        self.max > 0
    }

    /// The level of a message with these properties.
    #[inline]
    pub fn level(self, properties: &[u8]) -> u8 {
        if !self.has_levels() { 0 } else { priority(properties).unwrap_or(self.usual).min(self.max) }
    }
}

/// The priority in a message's properties.
pub fn priority(properties: &[u8]) -> Option<u8> {
    let properties = Properties::trusted(properties);
    if properties.has_any(flag::PRIORITY) { properties.priority() } else { None }
}

/// The levels of a queue.
pub struct Levels {
    usual: Level,
    others: Option<Box<Others>>,
}

/// Levels beside the usual one.
struct Others {
    list: Vec<Level>,
    at: [u8; 256],
    busy: LevelSet,
    /// Number of messages ready for delivery.
    ready: usize,
    /// Number of those that are only in the log.
    spilled: u64,
}

impl Levels {
    /// Makes a queue's levels with the usual one alone.
    pub fn new(usual: Level) -> Levels {
        Levels { usual, others: None }
    }

    /// Whether the level exists: the usual level, and any other that had a message.
    #[inline]
    pub fn is_open(&self, level: u8) -> bool {
        level == self.usual.number() || self.others.as_ref().is_some_and(|others| others.at[usize::from(level)] != NONE)
    }

    /// Adds a level, with the state that it has in the log.
    pub fn open(&mut self, level: Level) {
        if level.number() == self.usual.number() {
            self.usual = level;
        } else {
            self.others().open(level);
        }
    }

    /// The level, which must be open.
    #[inline]
    pub fn get(&self, level: u8) -> &Level {
        if level == self.usual.number() {
            return &self.usual;
        }
        let others = self.others.as_ref().expect("the level is open");
        &others.list[usize::from(others.at[usize::from(level)])]
    }

    /// Changes a level, which must be open.
    #[inline]
    pub fn change<T>(&mut self, level: u8, edit: impl FnOnce(&mut Level) -> T) -> T {
        let is_usual = level == self.usual.number();
        let changed = if is_usual { &mut self.usual } else { self.others().uncount(level) };
        let done = edit(changed);
        if !is_usual {
            self.others().count(level);
        }
        done
    }

    fn others(&mut self) -> &mut Others {
        self.others.get_or_insert_default()
    }

    /// All levels that were ever in use.
    pub fn iter(&self) -> impl Iterator<Item = &Level> {
        std::iter::once(&self.usual).chain(self.others.iter().flat_map(|others| &others.list))
    }

    /// The level of the next message, or the usual level if there is no message.
    #[inline]
    pub fn first(&self) -> &Level {
        match self.others.as_ref().and_then(|others| others.before(&self.usual)) {
            Some(level) => self.get(level),
            None => &self.usual,
        }
    }

    /// Takes the next message, if it is in memory.
    #[inline]
    pub fn pop(&mut self) -> Option<Entry> {
        if self.others.is_none() { self.usual.pop() } else { self.pop_highest() }
    }

    #[inline(never)]
    fn pop_highest(&mut self) -> Option<Entry> {
        let level = self.first().number();
        self.change(level, Level::pop)
    }

    /// Removes all messages that are ready for delivery, level by level.
    pub fn purge(&mut self) -> Vec<Purged> {
        let mut purged = vec![self.usual.purge()];
        if let Some(others) = &mut self.others {
            while let Some(level) = others.busy.highest() {
                purged.push(others.uncount(level).purge());
                others.count(level);
            }
        }
        purged
    }

    /// Number of messages that can be taken before the log must be read.
    #[inline]
    pub fn at_hand(&self) -> usize {
        match &self.others {
            None => self.usual.loaded(),
            Some(_) if self.spilled() == 0 => self.len(),
            Some(_) => self.first().loaded(),
        }
    }

    /// Number of messages that are only in the log.
    #[inline]
    pub fn spilled(&self) -> u64 {
        self.usual.spilled() + self.others.as_ref().map_or(0, |others| others.spilled)
    }

    /// Number of messages ready for delivery.
    pub fn len(&self) -> usize {
        self.usual.len() + self.others.as_ref().map_or(0, |others| others.ready)
    }

    /// Whether no message is ready for delivery.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.usual.is_empty() && self.others.as_ref().is_none_or(|others| others.ready == 0)
    }
}

impl Others {
    fn open(&mut self, level: Level) {
        let number = level.number();
        self.at[usize::from(number)] = self.list.len() as u8;
        self.list.push(level);
        self.count(number); // messages that a restart has found
    }

    /// The highest level that has messages, if it comes before the usual level.
    #[inline]
    fn before(&self, usual: &Level) -> Option<u8> {
        self.busy.highest().filter(|&level| level > usual.number() || usual.is_empty())
    }

    /// Returns a level that is about to change: its messages are not counted until
    /// [`count`](Self::count).
    fn uncount(&mut self, number: u8) -> &mut Level {
        let level = &mut self.list[usize::from(self.at[usize::from(number)])];
        self.ready -= level.len();
        self.spilled -= level.spilled();
        level
    }

    /// Counts the messages of a level again.
    fn count(&mut self, number: u8) {
        let level = &mut self.list[usize::from(self.at[usize::from(number)])];
        self.ready += level.len();
        self.spilled += level.spilled();
        if level.is_empty() {
            level.trim();
            self.busy.remove(number);
        } else {
            self.busy.insert(number);
        }
    }
}

impl Default for Others {
    fn default() -> Others {
        Others { list: Vec::new(), at: [NONE; 256], busy: LevelSet::default(), ready: 0, spilled: 0 }
    }
}

/// A set of levels.
#[derive(Clone, Copy, Default)]
struct LevelSet([u64; 4]);

impl LevelSet {
    fn insert(&mut self, level: u8) {
        self.0[usize::from(level >> 6)] |= bit(level);
    }

    fn remove(&mut self, level: u8) {
        self.0[usize::from(level >> 6)] &= !bit(level);
    }

    fn highest(&self) -> Option<u8> {
        let word = self.0.iter().rposition(|&word| word != 0)?;
        Some((word as u8) << 6 | (63 - self.0[word].leading_zeros() as u8))
    }
}

fn bit(level: u8) -> u64 {
    1 << (level & 63)
}

/// Stands for no index in the list. The list is never that long: the usual level is not in it.
const NONE: u8 = u8::MAX;
/// The levels of a quorum queue, which has priorities without asking for them.
const QUORUM: Priorities = Priorities { max: 31, usual: 4 };

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::rng::Rng;
    use crate::contract::split_place;
    use crate::message::{MessageRef, TableBuilder};

    /// The ready messages, by level (highest first) and sequence number; `None` for spilled ones.
    #[derive(Default)]
    struct Model(BTreeMap<(Reverse<u8>, u64), Option<Entry>>);

    impl Model {
        fn pop(&mut self) -> Option<Entry> {
            self.0.first_entry().filter(|first| first.get().is_some())?.remove()
        }

        fn first(&self, usual: u8) -> u8 {
            self.0.first_key_value().map_or(usual, |(&(Reverse(level), _), _)| level)
        }

        fn at_hand(&self) -> usize {
            let (first, has_spilled) = (self.first(0), self.0.values().any(Option::is_none));
            self.0.iter().filter(|&(&(Reverse(level), _), entry)| entry.is_some() && (!has_spilled || level == first)).count()
        }

        fn spilled(&self, level: u8) -> Option<u64> {
            let mut of_level = self.0.range((Reverse(level), 0)..=(Reverse(level), u64::MAX));
            of_level.find(|(_, entry)| entry.is_none()).map(|(&(_, sequence), _)| sequence)
        }
    }

    /// Levels, and the model that they must agree with.
    struct Run {
        rng: Rng,
        priorities: Priorities,
        levels: Levels,
        model: Model,
        taken: Vec<Entry>,
    }

    impl Run {
        fn new(seed: u64, priorities: Priorities) -> Run {
            let levels = Levels::new(Level::new(priorities.usual, 0, 0, 0));
            Run { rng: Rng::seeded(seed), priorities, levels, model: Model::default(), taken: Vec::new() }
        }

        fn step(&mut self) {
            let level = self.rng.below(u64::from(self.priorities.max) + 1) as u8;
            if !self.levels.is_open(level) {
                self.levels.open(Level::new(level, u32::from(level), 0, 0));
            }
            match self.rng.below(44) {
                0 => self.purge(),
                40.. => self.take(),
                1..4 => self.spill(level),
                4..12 => self.load(level),
                12..18 => self.requeue(),
                18..28 => self.push(level),
                _ => self.pop(),
            }
            self.check();
        }

        fn push(&mut self, level: u8) {
            if self.model.spilled(level).is_some() {
                return; // a new message joins the spilled ones
            }
            let entry = self.levels.change(level, append);
            assert_eq!(entry.level(), level);
            assert_eq!(self.model.0.insert((Reverse(level), entry.sequence()), Some(entry)), None);
        }

        fn pop(&mut self) {
            let popped = self.levels.pop();
            assert_eq!(popped, self.model.pop());
            self.taken.extend(popped);
        }

        fn requeue(&mut self) {
            if self.taken.is_empty() {
                return;
            }
            let at = self.rng.below(self.taken.len() as u64) as usize;
            let entry = self.taken.swap_remove(at).returned();
            self.levels.change(entry.level(), |level| level.requeue(entry));
            self.model.0.insert((Reverse(entry.level()), entry.sequence()), Some(entry));
        }

        fn spill(&mut self, level: u8) {
            let count = 1 + self.rng.below(3);
            let first = split_place(self.levels.get(level).next()).1;
            self.levels.change(level, |level| level.spill(count as usize));
            self.model.0.extend((first..first + count).map(|sequence| ((Reverse(level), sequence), None)));
        }

        fn load(&mut self, level: u8) {
            let Some(sequence) = self.model.spilled(level) else { return };
            let entry = Entry::new(level, sequence, MessageRef::default());
            if self.rng.below(8) == 0 {
                self.levels.change(level, |level| level.lose(1));
                self.model.0.remove(&(Reverse(level), sequence));
            } else {
                self.levels.change(level, |level| level.load(entry));
                self.model.0.insert((Reverse(level), sequence), Some(entry));
            }
        }

        /// Removes a message somewhere, which may be gone already.
        fn take(&mut self) {
            let at = self.rng.below(self.model.0.len() as u64 + 1) as usize;
            let wanted = self.model.0.values().flatten().nth(at).or(self.taken.last()).copied();
            let Some(entry) = wanted else { return };
            let found = self.levels.change(entry.level(), |level| level.take(entry.place()));
            assert_eq!(found, self.model.0.remove(&(Reverse(entry.level()), entry.sequence())).flatten());
        }

        fn purge(&mut self) {
            let purged = self.levels.purge();
            assert_eq!(purged.iter().map(Purged::count).sum::<usize>(), self.model.0.len());
            let mut entries: Vec<Entry> = purged.iter().flat_map(Purged::entries).collect();
            entries.sort_by_key(|entry| (Reverse(entry.level()), entry.sequence()));
            assert!(entries.iter().eq(self.model.0.values().flatten()));
            self.model.0.clear();
        }

        fn check(&self) {
            let (levels, model) = (&self.levels, &self.model);
            assert_eq!((levels.len(), levels.is_empty()), (model.0.len(), model.0.is_empty()));
            assert_eq!(levels.spilled() as usize, model.0.values().filter(|entry| entry.is_none()).count());
            assert_eq!((levels.at_hand(), levels.first().number()), (model.at_hand(), model.first(self.priorities.usual)));
            assert_eq!(levels.iter().map(Level::len).sum::<usize>(), levels.len());
        }
    }

    fn append(level: &mut Level) -> Entry {
        let entry = Entry::at(level.next(), MessageRef::default());
        level.push(entry);
        entry
    }

    #[test]
    fn levels_do_as_a_naive_model() {
        for (seed, priorities) in [(0, 0), (1, 0), (31, 4), (255, 0)].into_iter().zip(1..).flat_map(|((max, usual), n)| {
            let priorities = Priorities { max, usual };
            (0..10).map(move |round| (n * 100 + round, priorities))
        }) {
            let mut run = Run::new(seed, priorities);
            (0..2_000).for_each(|_| run.step());
        }
    }

    #[test]
    fn the_highest_level_is_next_wherever_its_bit_is() {
        let mut levels = Levels::new(Level::new(0, 0, 0, 0));
        for level in (1..=255).rev().chain([0]) {
            if level > 0 {
                levels.open(Level::new(level, 0, 0, 0));
            }
            levels.change(level, append);
        }
        let order: Vec<u8> = std::iter::from_fn(|| levels.pop()).map(Entry::level).collect();
        assert!(order.into_iter().eq((0..=255).rev()));
    }

    #[test]
    fn what_a_restart_has_found_counts() {
        let mut levels = Levels::new(Level::new(0, 0, 0, 0));
        levels.open(Level::new(9, 1, 12, 3));
        assert_eq!((levels.len(), levels.first().number(), levels.at_hand(), levels.pop()), (3, 9, 0, None));
    }

    #[test]
    fn levels_that_are_not_in_use_cost_nothing() {
        let levels = Levels::new(Level::new(0, 0, 0, 0));
        assert!(levels.others.is_none());
        assert!(size_of::<Levels>() <= size_of::<Level>() + 8);
    }

    #[test]
    fn arguments_say_which_levels_there_may_be() {
        let of = |arguments: TableBuilder| Priorities::of(&arguments.build());
        assert_eq!(of(TableBuilder::new()), Priorities { max: 0, usual: 0 });
        assert_eq!(of(TableBuilder::new().int("x-max-priority", 0)), Priorities { max: 1, usual: 0 });
        assert_eq!(of(TableBuilder::new().int("x-max-priority", 255)), Priorities { max: 255, usual: 0 });
        assert_eq!(of(TableBuilder::new().text("x-queue-type", "quorum")), Priorities { max: 31, usual: 4 });
        assert_eq!(of(TableBuilder::new().text("x-queue-type", "classic")), Priorities::default());
    }

    #[test]
    fn a_message_s_priority_is_its_level_up_to_the_maximum() {
        let (none, seven, two_hundred) = ([0, 0], [8, 0, 7], [8, 0, 200]);
        let levels = |max, usual| [&none[..], &seven, &two_hundred].map(|properties| Priorities { max, usual }.level(properties));
        assert_eq!(levels(0, 0), [0, 0, 0]);
        assert_eq!(levels(5, 0), [0, 5, 5]);
        assert_eq!(levels(31, 4), [4, 7, 31]);
        assert_eq!([&none[..], &seven].map(priority), [None, Some(7)]);
    }
}

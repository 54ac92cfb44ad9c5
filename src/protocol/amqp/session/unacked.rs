//! The unacked window: a channel's delivered and unsettled messages, by delivery tag.
//!
//! ```text
//! runs      [tag 7, queue a, consumer x]                     [tag 12, queue b, consumer y]
//! entries   [7: message] [8: —] [9: message] [10: message]   [12: message] [13: message]
//!                         settled: swept at the front, or when such positions outnumber the others
//! ```
//!
//! Successive deliveries from one queue to one consumer are a run. A run stores their common values
//! once, so an entry takes 16 bytes. A delivery that needs no acknowledgement takes a tag and no
//! position: it ends a run. A tag's run is found by binary search, its position in the run by
//! subtraction. The oldest message may stay unsettled for hours while others come and go: the
//! window has at most twice as many positions as messages.
//!
//! Invariant: runs ascend in tags and in positions; every position belongs to the last run that
//! begins at it or before.

mod origin;
mod restore;

use std::collections::{BTreeSet, VecDeque};

use crate::base::ids::{ConsumerId, QueueAddr};
use crate::base::limits::SETTLE_SHARE;
use crate::contract::session::Taker;
use crate::contract::{Entry, Receipt, Tags};

/// The window.
#[derive(Debug)]
pub struct Unacked {
    runs: VecDeque<Run>,
    entries: VecDeque<Option<Entry>>,
    /// The position of `entries[0]`: positions count up without end.
    first: u64,
    /// Number of settled positions.
    settled: usize,
    next_tag: u64,
    /// Number of tags of deliveries that needed no acknowledgement.
    skipped: u64,
    /// Tags of messages taken back from their consumer: settling them is too late, but no error.
    given_back: BTreeSet<u64>,
}

/// Successive deliveries from one queue to one consumer.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The tag and the position of the first one.
    tag: u64,
    place: u64,
    queue: QueueAddr,
    consumer: Option<ConsumerId>,
}

/// A delivery tag of no unsettled message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownTag(pub u64);

impl Default for Unacked {
    fn default() -> Self {
        Unacked {
            runs: VecDeque::new(),
            entries: VecDeque::new(),
            first: 0,
            settled: 0,
            next_tag: 1,
            skipped: 0,
            given_back: BTreeSet::new(),
        }
    }
}

impl Unacked {
    /// Adds a delivery and returns its tag.
    pub fn push(&mut self, Receipt { queue, consumer, entry }: Receipt) -> u64 {
        self.open_run(queue, consumer);
        self.push_next(entry)
    }

    /// Opens a run: the next deliveries, added by [`push_next`](Self::push_next), have this origin.
    pub fn open_run(&mut self, queue: QueueAddr, consumer: Option<ConsumerId>) {
        let (tag, place) = (self.next_tag, self.end());
        let continues = |run: &Run| (run.queue, run.consumer) == (queue, consumer) && run.tag + (place - run.place) == tag;
        if !self.runs.back().is_some_and(continues) {
            self.runs.push_back(Run { tag, place, queue, consumer });
        }
    }

    /// Adds a delivery to the run that was opened last. Returns its tag.
    #[inline]
    pub fn push_next(&mut self, entry: Entry) -> u64 {
        self.entries.push_back(Some(entry));
        self.next_tag += 1;
        self.next_tag - 1
    }

    /// Uses the tag of a delivery that needs no acknowledgement.
    #[inline]
    pub fn skip(&mut self) -> u64 {
        self.skipped += 1;
        self.next_tag += 1;
        self.next_tag - 1
    }

    /// Number of unsettled messages.
    pub fn len(&self) -> usize {
        self.entries.len() - self.settled
    }

    /// Takes out messages in the order of their tags; `out` gets those with successive tags
    /// together. If there are very many ([`Tags::UpTo`]), it takes the first ones, and returns the
    /// tag up to which [`settle_rest`](Self::settle_rest) takes the others.
    ///
    /// # Errors
    /// The first tag of no unsettled message; messages before it are taken out. With
    /// [`Tags::UpTo`], as in RabbitMQ, the tag itself must be unsettled, or nothing is taken out.
    pub fn settle(&mut self, tags: Tags, out: &mut impl Taker) -> Result<Option<u64>, UnknownTag> {
        let result = match tags {
            Tags::UpTo(0) => {
                self.given_back.clear();
                Ok(self.take_share(self.end(), out).then_some(self.next_tag - 1))
            }
            Tags::UpTo(tag) => self.find_end(tag).ok_or(UnknownTag(tag)).map(|end| {
                self.forget_up_to(tag);
                self.take_share(end, out).then_some(tag)
            }),
            Tags::Each { first, last } => self.take_each(first, last, out).map(|()| None),
        };
        self.sweep();
        result
    }

    /// Takes out more messages up to a tag. Returns whether any are left.
    pub fn settle_rest(&mut self, tag: u64, out: &mut impl Taker) -> bool {
        let is_more = self.take_share(self.place_behind(tag), out);
        self.sweep();
        is_more
    }

    /// Whether no message is unsettled.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The tag that the next delivery gets.
    pub fn next_tag(&self) -> u64 {
        self.next_tag
    }

    fn take_each(&mut self, first: u64, last: u64, out: &mut impl Taker) -> Result<(), UnknownTag> {
        let mut tag = first;
        while tag <= last {
            if self.given_back.remove(&tag) {
                tag += 1;
                continue;
            }
            let place = self.find(tag).ok_or(UnknownTag(tag))?;
            let run_at = self.run_of_place(place);
            let run = self.runs[run_at];
            let end = self.run_end(run_at).min(place + (last - tag) + 1);
            let places = self.entries.range_mut((place - self.first) as usize..(end - self.first) as usize);
            let taken = out.take(tag, run.queue, run.consumer, places.map_while(Option::take));
            self.settled += taken;
            tag += taken as u64;
        }
        Ok(())
    }

    /// Takes out messages before position `end`, a share of a turn. Returns whether any are left.
    #[inline]
    fn take_share(&mut self, end: u64, out: &mut impl Taker) -> bool {
        let part = end.min(self.first + SETTLE_SHARE as u64);
        self.take_up_to(part, out);
        part < end
    }

    /// Takes out all messages before the position `end`.
    fn take_up_to(&mut self, end: u64, out: &mut impl Taker) {
        while self.first < end {
            let run = self.runs[0];
            let run_end = self.run_end(0).min(end);
            let count = (run_end - self.first) as usize;
            let mut tag = run.tag + (self.first - run.place);
            let mut left = self.entries.drain(..count).peekable();
            while left.peek().is_some() {
                let taken = out.take(tag, run.queue, run.consumer, std::iter::from_fn(|| left.next_if(Option::is_some).flatten()));
                let gap = std::iter::from_fn(|| left.next_if(Option::is_none)).count();
                self.settled -= gap;
                tag += (taken + gap) as u64;
            }
            drop(left);
            self.first = run_end;
            if run_end == self.run_end(0) {
                self.runs.pop_front();
            }
        }
    }

    /// The position of the unsettled message `tag`.
    #[inline]
    fn find(&self, tag: u64) -> Option<u64> {
        let run_at = self.runs.partition_point(|run| run.tag <= tag).checked_sub(1)?;
        let run = &self.runs[run_at];
        let place = run.place + (tag - run.tag);
        let at = usize::try_from(place.checked_sub(self.first)?).ok()?;
        (place < self.run_end(run_at) && self.entries[at].is_some()).then_some(place)
    }

    /// The position after the message `tag`, also if it was taken back.
    fn find_end(&self, tag: u64) -> Option<u64> {
        match self.find(tag) {
            Some(place) => Some(place + 1),
            None => self.given_back.contains(&tag).then(|| self.place_behind(tag)),
        }
    }

    /// The position after the last message whose tag is not above this one.
    fn place_behind(&self, tag: u64) -> u64 {
        let next_run = self.runs.partition_point(|run| run.tag <= tag);
        let Some(run_at) = next_run.checked_sub(1) else { return self.first };
        let run = &self.runs[run_at];
        run.place.saturating_add(tag - run.tag).saturating_add(1).min(self.run_end(run_at)).max(self.first)
    }

    /// Number of deliveries so far that needed an acknowledgement, and of the others.
    pub fn delivered(&self) -> (u64, u64) {
        ((self.next_tag - 1).saturating_sub(self.skipped), self.skipped)
    }

    fn forget_up_to(&mut self, tag: u64) {
        if !self.given_back.is_empty() {
            self.given_back = self.given_back.split_off(&(tag + 1));
        }
    }

    fn run_of_place(&self, place: u64) -> usize {
        self.runs.partition_point(|run| run.place <= place) - 1
    }

    /// The position after a run.
    #[inline]
    fn run_end(&self, run_at: usize) -> u64 {
        self.runs.get(run_at + 1).map_or(self.end(), |next| next.place)
    }

    /// The position after the last one.
    #[inline]
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn sweep(&mut self) {
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
            self.settled -= 1;
        }
        while !self.runs.is_empty() && self.run_end(0) <= self.first {
            self.runs.pop_front();
        }
        if self.settled > SWEEP_MIN && self.settled * 2 > self.entries.len() {
            let left = self.unsettled().collect();
            self.rebuild(left);
        }
        if self.entries.is_empty() && self.entries.capacity() > KEEP_MAX {
            (self.entries, self.runs) = (VecDeque::new(), VecDeque::new());
        }
    }

    /// The unsettled messages with their tags.
    fn unsettled(&self) -> impl Iterator<Item = (u64, Receipt)> + '_ {
        let in_run = move |run_at: usize| {
            let Run { tag, place, queue, consumer } = self.runs[run_at];
            let places = place.max(self.first)..self.run_end(run_at);
            let receipt = move |entry| Receipt { queue, consumer, entry };
            places.filter_map(move |at| Some((tag + (at - place), receipt(self.entries[(at - self.first) as usize]?))))
        };
        (0..self.runs.len()).flat_map(in_run)
    }

    /// Replaces all messages by these, tags ascending.
    fn rebuild(&mut self, messages: Vec<(u64, Receipt)>) {
        let next_tag = std::mem::take(&mut self.next_tag);
        (self.first, self.settled) = (self.end(), 0);
        self.entries.clear();
        self.runs.clear();
        for (tag, receipt) in messages {
            self.next_tag = tag;
            self.push(receipt);
        }
        self.next_tag = next_tag;
    }
}

/// Number of settled positions that is not worth a sweep.
const SWEEP_MIN: usize = 32;
/// Number of positions whose memory an empty window keeps.
const KEEP_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueAddr, QueueId, ShardId};
    use crate::base::rng::Rng;
    use crate::contract::session::{Settled, Settling};
    use crate::contract::{Entry, Outcome};
    use crate::message::MessageRef;

    fn receipt(sequence: u64) -> Receipt {
        let queue = QueueAddr { home: ShardId(0), queue: QueueId(Key::default()) };
        Receipt { queue, consumer: None, entry: Entry::new(0, sequence, MessageRef::default()) }
    }

    fn window(len: u64) -> Unacked {
        let mut window = Unacked::default();
        (1..=len).for_each(|n| assert_eq!(window.push(receipt(n)), n));
        window
    }

    fn keeping(settles: &mut Vec<Settled>) -> Settling<'_> {
        Settling { settles, outcome: Outcome::Acked }
    }

    fn tags(tag: u64, multiple: bool) -> Tags {
        if multiple { Tags::UpTo(tag) } else { Tags::Each { first: tag, last: tag } }
    }

    fn take(window: &mut Unacked, tags: Tags) -> (Vec<u64>, Result<(), UnknownTag>) {
        let mut settles = Vec::new();
        let mut taken = keeping(&mut settles);
        let result = window.settle(tags, &mut taken).map(|rest| {
            if let Some(up_to) = rest {
                while window.settle_rest(up_to, &mut taken) {}
            }
        });
        let checked = settles.iter().inspect(|one| assert_eq!(one.tag, one.receipt.entry.sequence()));
        (checked.map(|one| one.tag).collect(), result)
    }

    fn settle(window: &mut Unacked, tag: u64, multiple: bool) -> Option<Vec<u64>> {
        let (taken, result) = take(window, tags(tag, multiple));
        assert!(result.is_ok() || taken.is_empty());
        result.ok().map(|()| taken)
    }

    #[test]
    fn tags_are_settled_once() {
        let mut window = window(5);
        assert_eq!(settle(&mut window, 3, false), Some(vec![3]));
        assert_eq!(settle(&mut window, 3, false), None);
        assert_eq!(settle(&mut window, 3, true), None, "RabbitMQ wants the tag itself");
        assert_eq!(settle(&mut window, 4, true), Some(vec![1, 2, 4]));
        assert_eq!(settle(&mut window, 6, true), None);
        assert_eq!(settle(&mut window, 0, false), None);
        assert_eq!(settle(&mut window, 0, true), Some(vec![5]));
        assert_eq!(settle(&mut window, 0, true), Some(vec![]));
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn a_tag_whose_message_was_given_back_is_no_mistake() {
        let consumer = ConsumerId(Key { slot: 1, generation: 0 });
        let mut window = window(2);
        (3..=6).for_each(|n| assert_eq!(window.push(Receipt { consumer: Some(consumer), ..receipt(n) }), n));
        window.push(receipt(7));
        let origin = (receipt(0).queue, Some(consumer));
        assert_eq!((window.oldest(origin), window.give_back(origin).len()), (Some(3), 4));
        assert_eq!((window.oldest(origin), window.next_tag()), (None, 8));
        assert_eq!(settle(&mut window, 4, false), Some(vec![]));
        assert_eq!(settle(&mut window, 4, false), None, "once");
        assert_eq!(settle(&mut window, 5, true), Some(vec![1, 2]));
        assert_eq!(settle(&mut window, 3, false), None);
        assert_eq!(take(&mut window, Tags::Each { first: 6, last: 7 }), (vec![7], Ok(())));
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn a_tag_without_acknowledgement_leaves_a_gap() {
        let mut window = window(2);
        assert_eq!((window.skip(), window.skip()), (3, 4));
        assert_eq!(window.push(receipt(5)), 5);
        assert_eq!(settle(&mut window, 3, false), None);
        assert_eq!(settle(&mut window, 4, true), None);
        assert_eq!(settle(&mut window, 5, true), Some(vec![1, 2, 5]));
    }

    #[test]
    fn very_many_are_settled_some_at_a_time() {
        const LEN: u64 = 3 * SETTLE_SHARE as u64;
        for tag in [0, LEN, LEN - 10] {
            let mut window = window(LEN);
            settle(&mut window, 5, false);
            let mut settles = Vec::new();
            let mut taken = keeping(&mut settles);
            let up_to = window.settle(Tags::UpTo(tag), &mut taken).expect("it is unsettled").expect("a share cannot hold all");
            assert_eq!(window.push(receipt(LEN + 1)), LEN + 1);
            assert_eq!(taken.settles.len(), SETTLE_SHARE - 1, "and one place that was settled");
            assert!(window.settle_rest(up_to, &mut taken) && !window.settle_rest(up_to, &mut taken));
            let last = if tag == 0 { LEN } else { tag };
            assert!(settles.iter().map(|one| one.tag).eq((1..=last).filter(|&tag| tag != 5)));
            assert_eq!(window.len() as u64, LEN + 1 - last, "what was delivered meanwhile stays");
        }
    }

    #[test]
    fn others_are_put_in_front_by_their_tags() {
        let mut window = window(9);
        let mut settles = Vec::new();
        let mut taken = keeping(&mut settles);
        for (tag, multiple) in [(2, true), (4, false), (5, false), (8, false)] {
            window.settle(tags(tag, multiple), &mut taken).expect("unsettled");
        }
        let mut merged = Unacked::default();
        for Settled { tag, receipt, .. } in settles {
            while let Some((tag, receipt)) = window.pop_before(tag) {
                merged.put(tag, receipt);
            }
            merged.put(tag, receipt);
        }
        assert_eq!(window.pop_before(9), None);
        assert_eq!(window.push(receipt(10)), 10);
        window.put_in_front(merged);
        assert_eq!((settle(&mut window, 9, false), window.push(receipt(11))), (Some(vec![9]), 11));
        assert_eq!(settle(&mut window, 11, true), Some(vec![1, 2, 3, 4, 5, 6, 7, 8, 10, 11]));
    }

    #[test]
    fn what_is_restored_can_be_settled_again() {
        let mut window = window(4);
        let mut settles = Vec::new();
        let mut taken = keeping(&mut settles);
        for (tag, multiple) in [(2, true), (4, false)] {
            window.settle(tags(tag, multiple), &mut taken).expect("unsettled");
        }
        window.restore(settles);
        assert_eq!(window.push(receipt(5)), 5);
        assert_eq!(settle(&mut window, 5, true), Some(vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn one_old_message_does_not_keep_the_slots_of_the_others() {
        let mut window = window(1);
        for tag in 2..100_000 {
            window.push(receipt(tag));
            assert_eq!(settle(&mut window, tag, false), Some(vec![tag]));
        }
        assert!(window.entries.len() < 100 && window.runs.len() < 100 && window.len() == 1);
        assert_eq!(settle(&mut window, 1, false), Some(vec![1]));
    }

    #[test]
    fn a_row_of_tags_is_settled_up_to_the_first_unknown_one() {
        let mut window = window(6);
        assert_eq!(take(&mut window, Tags::Each { first: 2, last: 3 }), (vec![2, 3], Ok(())));
        assert_eq!(take(&mut window, Tags::Each { first: 1, last: 4 }), (vec![1], Err(UnknownTag(2))));
        assert_eq!(take(&mut window, Tags::Each { first: 5, last: 9 }), (vec![5, 6], Err(UnknownTag(7))));
        assert_eq!(settle(&mut window, 0, true), Some(vec![4]));
    }

    #[test]
    fn it_behaves_as_a_sorted_list() {
        let mut rng = Rng::seeded(1);
        let (mut window, mut model) = (Unacked::default(), Vec::<u64>::new());
        for _ in 0..20_000 {
            match rng.below(9) {
                0..4 => {
                    let consumer = (rng.below(3) > 0).then(ConsumerId::default);
                    model.push(window.push(Receipt { consumer, ..receipt(window.next_tag) }));
                }
                4 => drop(window.skip()),
                5 => {
                    let first = rng.below(window.next_tag + 1);
                    let row: Vec<u64> = (first..first + 4).take_while(|tag| model.binary_search(tag).is_ok()).collect();
                    let unknown = UnknownTag(first + row.len() as u64);
                    let expected = if row.len() == 4 { Ok(()) } else { Err(unknown) };
                    model.retain(|tag| !row.contains(tag));
                    assert_eq!(take(&mut window, Tags::Each { first, last: first + 3 }), (row, expected));
                }
                op => {
                    let (tag, multiple) = (rng.below(window.next_tag + 1), op == 6 && rng.below(20) == 0);
                    let expected = match model.binary_search(&tag) {
                        Ok(at) if multiple => Some(model.drain(..=at).collect::<Vec<_>>()),
                        Ok(at) => Some(vec![model.remove(at)]),
                        Err(_) if tag == 0 && multiple => Some(std::mem::take(&mut model)),
                        Err(_) => None,
                    };
                    assert_eq!(settle(&mut window, tag, multiple), expected);
                }
            }
            assert_eq!(window.len(), model.len());
        }
    }
}

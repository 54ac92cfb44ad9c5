//! Delayed retry: how long a message that came back waits before it is delivered again (row D24).
//! The more often it has failed, the longer it waits.

use std::collections::BTreeMap;

use super::Queue;
use crate::broker::arena::Arena;
use crate::broker::policy::{Key, Terms, key};
use crate::contract::{Entry, Outcome};
use crate::message::Value;

/// The retry settings of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Whether messages wait whose delivery failed.
    failed: bool,
    /// Whether messages wait that were only returned.
    returned: bool,
    /// The first delay, milliseconds.
    min: u64,
    /// The longest delay, milliseconds.
    max: u64,
}

impl Retry {
    /// Derives the settings. Returns `None` if no message waits. RabbitMQ does not check these
    /// arguments: unusable ones count as missing.
    pub fn of(terms: &Terms<'_>) -> Option<Retry> {
        let number = |key| terms.own(key).and_then(Value::as_int).and_then(|number| u64::try_from(number).ok());
        let (failed, returned) = match terms.own_text(&TYPE)? {
            b"all" => (true, true),
            b"failed" => (true, false),
            b"returned" => (false, true),
            _ => return None,
        };
        let (min, max) = (number(&MIN)?, number(&MAX).unwrap_or(u64::MAX));
        (min > 0).then_some(Retry { failed, returned, min, max })
    }

    /// How long a message waits that came back and has failed this often; `None` if it does not
    /// wait.
    pub fn delay(&self, outcome: Outcome, failures: u32) -> Option<u64> {
        let waits = match outcome {
            Outcome::Failed => self.failed,
            Outcome::Requeued => self.returned,
            _ => false,
        };
        waits.then(|| self.min.saturating_mul(u64::from(failures).max(1)).min(self.max))
    }
}

impl Queue {
    /// Whether messages that come back may wait.
    pub fn delays_returns(&self) -> bool {
        self.settings().is_some_and(|settings| settings.retry.is_some())
    }

    /// Holds a message that came back, if the settings delay it; its delay counts from `start`, and
    /// its TTL goes on. Returns whether it is held; not if its time is over at `now`.
    pub fn hold_returned(&mut self, entry: Entry, outcome: Outcome, arena: &Arena, [now, start]: [u64; 2]) -> bool {
        let Some(retry) = self.settings().and_then(|settings| settings.retry) else { return false };
        let failures = self.counts(entry).map_or(0, |counts| counts.delivered);
        let deadline = self.deadline(entry.place(), &arena.view(entry.message));
        let is_over = deadline.is_some_and(|deadline| deadline <= now);
        let Some(delay) = retry.delay(outcome, failures).filter(|_| !is_over) else { return false };
        let extras = self.extras();
        extras.held.hold(start.saturating_add(delay), entry);
        deadline.into_iter().for_each(|deadline| extras.deadlines.push(deadline, entry.place(), entry.place()));
        true
    }

    /// Takes the next held message that is ready again at this time.
    pub fn take_held(&mut self, time: u64) -> Option<Entry> {
        self.extras.as_mut()?.held.take_due(time)
    }
}

/// Messages that wait until they are ready again. Those that are ready at the same time come in the
/// order of their return.
#[derive(Default, Debug)]
pub struct Held {
    /// The places of all messages, in the order in which they are ready.
    due: BTreeMap<Turn, u64>,
    /// Messages by place.
    entries: BTreeMap<u64, (Turn, Entry)>,
    returned: u64,
}

/// When a message is ready again, milliseconds since 1970, and the number of its return.
type Turn = (u64, u64);

impl Held {
    /// Lets a message wait until this time.
    pub fn hold(&mut self, due: u64, entry: Entry) {
        self.returned += 1;
        let turn = (due, self.returned);
        self.due.insert(turn, entry.place());
        self.entries.insert(entry.place(), (turn, entry));
    }

    /// Removes the next message, if it is ready by `now`.
    pub fn take_due(&mut self, now: u64) -> Option<Entry> {
        let (_, &place) = self.due.first_key_value().filter(|((due, _), _)| *due <= now)?;
        self.take(place)
    }

    /// Removes the message at this place, if it waits.
    pub fn take(&mut self, place: u64) -> Option<Entry> {
        let (turn, entry) = self.entries.remove(&place)?;
        self.due.remove(&turn);
        Some(entry)
    }

    /// Whether a message at this place waits.
    pub fn contains(&self, place: u64) -> bool {
        self.entries.contains_key(&place)
    }

    /// When the next message is ready.
    pub fn next(&self) -> Option<u64> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    /// All messages.
    pub fn iter(&self) -> impl Iterator<Item = Entry> {
        self.entries.values().map(|(_, entry)| *entry)
    }
}

const TYPE: Key = key("x-delayed-retry-type");
const MIN: Key = key("x-delayed-retry-min");
const MAX: Key = key("x-delayed-retry-max");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::QueueId;
    use crate::broker::arena::Holders;
    use crate::broker::queue::Rules;
    use crate::message::{Body, MessageRef, MessageView, Route, Stamp, TableBuilder, TableRef};

    fn retry(kind: &str, min: i32, max: Option<i32>) -> Option<Retry> {
        let arguments = TableBuilder::new().text("x-delayed-retry-type", kind).int("x-delayed-retry-min", min);
        let arguments = max.into_iter().fold(arguments, |arguments, max| arguments.int("x-delayed-retry-max", max));
        Retry::of(&Terms::of(arguments.build().view()))
    }

    #[test]
    fn held_messages_come_when_they_are_due() {
        let mut held = Held::default();
        for (due, sequence) in [(30, 1), (10, 2), (20, 3), (20, 4), (20, 0)] {
            held.hold(due, Entry::new(0, sequence, MessageRef::default()));
        }
        assert_eq!((held.next(), held.take_due(9)), (Some(10), None));
        assert_eq!(held.take(3).map(Entry::sequence), Some(3));
        let order: Vec<u64> = std::iter::from_fn(|| held.take_due(25)).map(Entry::sequence).collect();
        assert_eq!((order, held.contains(1), held.contains(2), held.next()), (vec![2, 4, 0], true, false, Some(30)));
        assert!(held.iter().map(Entry::sequence).eq([1]));
    }

    #[test]
    fn a_message_that_expires_while_it_is_held_takes_no_bytes_of_others() {
        let body = Body::Slice(b"12345");
        let message = MessageView { route: Route::EMPTY, properties: &[0, 0], stamp: Stamp::NONE, body };
        let (mut arena, mut queue) = (Arena::default(), Queue::new(QueueId::default(), Rules::default()));
        for sequence in 0..2 {
            let entry = Entry::new(0, sequence, arena.insert(&message, Holders::One));
            queue.push(0, 1, 5, |_, _| entry);
        }
        let (first, _) = queue.pop(&arena).expect("it waits");
        queue.extras().held.hold(10, first.returned());
        assert_eq!(queue.take(first.place(), &arena).map(Entry::place), Some(first.place()));
        queue.check(&arena);
    }

    #[test]
    fn the_delay_grows_with_the_failures_up_to_the_longest() {
        let retry = retry("all", 300, Some(1000)).expect("it is asked for");
        let delays = [0, 1, 2, 3, 4, 50].map(|failures| retry.delay(Outcome::Failed, failures).expect("it waits"));
        assert_eq!(delays, [300, 300, 600, 900, 1000, 1000]);
    }

    #[test]
    fn the_type_says_who_waits() {
        for (kind, failed, returned) in [("all", true, true), ("failed", true, false), ("returned", false, true)] {
            let retry = retry(kind, 5, None).expect("it is asked for");
            let waits = |outcome| retry.delay(outcome, 1).is_some();
            assert_eq!((waits(Outcome::Failed), waits(Outcome::Requeued), waits(Outcome::Acked)), (failed, returned, false));
        }
        assert!(retry("disabled", 5, None).is_none() && retry("odd", 5, None).is_none() && retry("all", -1, None).is_none());
        assert!(retry("all", 0, Some(5)).is_none() && Retry::of(&Terms::of(TableRef::EMPTY)).is_none());
    }
}

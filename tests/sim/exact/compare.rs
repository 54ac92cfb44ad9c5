//! The comparison of the events that clients saw with the model's predictions.

use std::collections::{BTreeMap, BTreeSet};

use super::Exact;
use crate::op::{Counts, MessageId, Place, Saw, saw};
use crate::support::client::Event;

impl Exact<'_> {
    /// Returns the events of all clients since the last look, once the broker is at rest.
    pub(super) fn collect(&mut self) -> BTreeMap<Place, Vec<Saw>> {
        let mut seen: BTreeMap<Place, Vec<Saw>> = BTreeMap::new();
        let mut quiet = 0;
        while quiet <= self.quiet_steps {
            quiet += 1;
            for (&name, client) in &mut self.clients {
                for (channel, event) in client.incoming.feed(&self.broker.drain(client.conn)) {
                    quiet = 0;
                    if event != Event::Heartbeat {
                        seen.entry((name, channel)).or_default().push(saw(event));
                    }
                }
            }
            if !self.broker.wait() && quiet > 0 {
                break;
            }
        }
        seen
    }

    pub(super) fn compare(&mut self) {
        let mut seen = self.collect();
        for (at, saw) in seen.iter().flat_map(|(at, seen)| seen.iter().map(move |saw| (at, saw))) {
            self.history.note(format_args!("{at:?} < {saw:?}"));
        }
        let answers = self.model.confirms.keys().chain(self.model.refusals.keys());
        let places: BTreeSet<Place> = seen.keys().chain(self.model.expected.keys()).chain(answers).copied().collect();
        for at in places {
            let seen = seen.remove(&at).unwrap_or_default();
            let expected = self.model.expected.remove(&at).unwrap_or_default();
            let confirms = self.model.confirms.remove(&at).unwrap_or_default();
            let refusals = self.model.refusals.remove(&at).unwrap_or_default();
            let open = self.clients.contains_key(&at.0);
            if let Err(difference) = if open { self.compare_channel(at, &seen, &expected, [confirms, refusals]) } else { Ok(()) } {
                panic!("{at:?}: {difference}\n  expected {expected:?}\n  saw      {seen:?}");
            }
        }
    }

    /// Checks confirms and refusals, which come in any order, and takes the answered publishes out
    /// of the two sets.
    fn compare_channel(&mut self, at: Place, seen: &[Saw], expected: &[Saw], mut answers: [BTreeSet<u64>; 2]) -> Result<(), String> {
        let others = |all: &[Saw]| all.iter().filter(|saw| !is_apart(saw)).cloned().collect::<Vec<_>>();
        let cancels = |all: &[Saw]| all.iter().filter(|saw| is_cancel(saw)).map(|saw| format!("{saw:?}")).collect::<BTreeSet<_>>();
        if others(seen) != others(expected) || cancels(seen) != cancels(expected) {
            return Err("other answers than expected".into());
        }
        for saw in seen {
            let (kind, tag, multiple) = match saw {
                Saw::Confirmed { tag, multiple } => (0, tag, multiple),
                Saw::Refused { tag, multiple } => (1, tag, multiple),
                _ => continue,
            };
            let before = answers[kind].len();
            answers[kind].retain(|sequence| if *multiple { sequence > tag } else { sequence != tag });
            if before == answers[kind].len() {
                return Err(format!("nothing is answered by {saw:?}"));
            }
        }
        let failed = seen.iter().any(|saw| matches!(saw, Saw::ChannelClosed(_)));
        if !answers.iter().all(BTreeSet::is_empty) && !failed {
            return Err(format!("neither confirmed nor refused: {answers:?}"));
        }
        self.compare_deliveries(at, seen, expected)
    }

    /// Compares deliveries. Those of one consumer come in order; the order between several queues
    /// is open, so the tags are learnt.
    fn compare_deliveries(&mut self, at: Place, seen: &[Saw], expected: &[Saw]) -> Result<(), String> {
        let by_consumer = |all: &[Saw]| {
            let mut lists: BTreeMap<u32, Vec<Delivery>> = BTreeMap::new();
            for saw in all {
                if let &Saw::Delivered { consumer, tag, redelivered, counts, id } = saw {
                    lists.entry(consumer).or_default().push(((id, redelivered, counts), tag));
                }
            }
            lists
        };
        let (seen, expected) = (by_consumer(seen), by_consumer(expected));
        let what = |lists: &BTreeMap<u32, Vec<Delivery>>| {
            lists.iter().map(|(consumer, list)| (*consumer, list.iter().map(|(what, _)| *what).collect())).collect::<Vec<(u32, Vec<_>)>>()
        };
        if what(&seen) != what(&expected) {
            return Err("other deliveries than expected".into());
        }
        let Some(channel) = self.model.channels.get_mut(&at) else { return Ok(()) };
        let learnt: BTreeMap<u64, u64> =
            expected.values().flatten().zip(seen.values().flatten()).map(|((_, model), (_, real))| (*model, *real)).collect();
        let held = std::mem::take(&mut channel.held);
        channel.held = held.into_iter().map(|(tag, held)| (learnt.get(&tag).copied().unwrap_or(tag), held)).collect();
        Ok(())
    }
}

/// Whether an event is a delivery, a confirm or a cancel; these are compared separately.
fn is_apart(saw: &Saw) -> bool {
    is_cancel(saw) || matches!(saw, Saw::Delivered { .. } | Saw::Confirmed { .. } | Saw::Refused { .. })
}

fn is_cancel(saw: &Saw) -> bool {
    matches!(saw, Saw::Reply(reply) if reply.starts_with("basic.cancel "))
}

/// A delivery: its message, whether it was flagged, how often it had come back; and its tag.
type Delivery = ((MessageId, bool, Counts), u64);

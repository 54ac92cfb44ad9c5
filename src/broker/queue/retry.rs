//! How long a message that came back waits before it is delivered again (row D24): the longer, the more often it has failed.

use crate::contract::Outcome;
use crate::message::{TableRef, Value};

/// What a queue's arguments say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Those whose delivery failed wait, those that were only given back wait.
    failed: bool,
    returned: bool,
    /// The first delay, and the longest, milliseconds.
    min: u64,
    max: u64,
}

impl Retry {
    /// None: nobody waits. RabbitMQ does not check these arguments: what it cannot use is as if it was not there.
    pub fn of(arguments: TableRef<'_>) -> Option<Retry> {
        let kind = arguments.find("x-delayed-retry-type").and_then(Value::as_text)?;
        let number = |name| arguments.find(name).and_then(Value::as_int).and_then(|number| u64::try_from(number).ok());
        let (failed, returned) = match kind {
            b"all" => (true, true),
            b"failed" => (true, false),
            b"returned" => (false, true),
            _ => return None,
        };
        let (min, max) = (number("x-delayed-retry-min")?, number("x-delayed-retry-max").unwrap_or(u64::MAX));
        (min > 0).then_some(Retry { failed, returned, min, max })
    }

    /// How long a message waits that came back, and has failed so often; none: not at all.
    pub fn delay(&self, outcome: Outcome, failures: u32) -> Option<u64> {
        let waits = match outcome {
            Outcome::Failed => self.failed,
            Outcome::Requeued => self.returned,
            _ => false,
        };
        waits.then(|| self.min.saturating_mul(u64::from(failures).max(1)).min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TableBuilder;

    fn retry(kind: &str, min: i32, max: Option<i32>) -> Option<Retry> {
        let arguments = TableBuilder::new().text("x-delayed-retry-type", kind).int("x-delayed-retry-min", min);
        let arguments = max.into_iter().fold(arguments, |arguments, max| arguments.int("x-delayed-retry-max", max));
        Retry::of(arguments.build().view())
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
            assert_eq!((waits(Outcome::Failed), waits(Outcome::Requeued), waits(Outcome::Undelivered)), (failed, returned, false));
        }
        assert!(retry("disabled", 5, None).is_none() && retry("odd", 5, None).is_none() && retry("all", -1, None).is_none());
        assert!(retry("all", 0, Some(5)).is_none() && Retry::of(TableRef::EMPTY).is_none());
    }
}

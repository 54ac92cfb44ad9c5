//! The x-arguments of a consumer: which of them the type of its queue knows, and their values (row
//! S3). Arguments that no type knows are ignored.

use crate::contract::{Code, Fault};
use crate::message::{Table, Value};

/// The arguments of a consumer, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConsumerArguments {
    /// x-priority: consumers of a higher priority are served first.
    pub priority: i32,
    /// x-consumer-timeout: how long a delivery may stay unsettled, milliseconds.
    pub timeout: Option<u64>,
}

impl ConsumerArguments {
    /// Reads arguments that were checked.
    pub fn of(arguments: &Table) -> ConsumerArguments {
        let number = |name| arguments.find(name).and_then(Value::as_int);
        let priority = number(PRIORITY).unwrap_or(0).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        ConsumerArguments { priority, timeout: number(TIMEOUT).and_then(|timeout| u64::try_from(timeout).ok()) }
    }
}

/// Checks the arguments of a consumer. `queue_text` is `queue 'NAME' in vhost 'VHOST'`.
pub(super) fn check(arguments: &Table, quorum: bool, queue_text: &str) -> Result<(), Fault> {
    let invalid = |name: &str, why: &str| Err(Fault::new(Code::PreconditionFailed, format!("invalid arg '{name}' for {queue_text}{why}")));
    for name in [PRIORITY, TIMEOUT].into_iter().filter(|&name| quorum || name != TIMEOUT) {
        match arguments.find(name).map(|value| (value, value.as_int())) {
            Some((value, None)) => return invalid(name, &format!(": \"expected integer, got {}\"", value.type_name())),
            Some((_, Some(number))) if number < 0 && name == TIMEOUT => return invalid(name, &format!(": {{value_negative,{number}}}")),
            _ => {}
        }
    }
    let kind = if quorum { "quorum" } else { "classic" };
    let foreign = if quorum { &OTHERS[1..] } else { &OTHERS[..] };
    match foreign.iter().find(|name| arguments.find(name).is_some()) {
        Some(name) => invalid(name, &format!(" of queue type rabbit_{kind}_queue")),
        None => Ok(()),
    }
}

const PRIORITY: &str = "x-priority";
const TIMEOUT: &str = "x-consumer-timeout";

/// Arguments that classic queues refuse. Quorum queues refuse all of them except the first.
const OTHERS: [&str; 4] = [TIMEOUT, "x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TableBuilder;

    fn refusal(table: TableBuilder, quorum: bool) -> String {
        check(&table.build(), quorum, "Q").map_or_else(|fault| fault.text, |()| String::new())
    }

    #[test]
    fn a_priority_is_any_integer() {
        let priority = |table: TableBuilder| ConsumerArguments::of(&table.build()).priority;
        assert_eq!(priority(TableBuilder::new()), 0);
        assert_eq!(priority(TableBuilder::new().int("x-priority", -3)), -3);
        assert_eq!(priority(TableBuilder::new().long("x-priority", 1 << 40)), i32::MAX);
        assert_eq!(
            refusal(TableBuilder::new().text("x-priority", "1"), false),
            "invalid arg 'x-priority' for Q: \"expected integer, got longstr\""
        );
    }

    #[test]
    fn each_type_knows_its_own() {
        let timeout = |n| TableBuilder::new().int("x-consumer-timeout", n);
        assert_eq!(refusal(timeout(1), false), "invalid arg 'x-consumer-timeout' for Q of queue type rabbit_classic_queue");
        assert_eq!((refusal(timeout(1), true), ConsumerArguments::of(&timeout(1).build()).timeout), (String::new(), Some(1)));
        assert_eq!(refusal(timeout(-1), true), "invalid arg 'x-consumer-timeout' for Q: {value_negative,-1}");
        let offset = || TableBuilder::new().int("x-stream-offset", 1);
        assert_eq!(refusal(offset(), true), "invalid arg 'x-stream-offset' for Q of queue type rabbit_quorum_queue");
        assert_eq!(refusal(offset(), false), "invalid arg 'x-stream-offset' for Q of queue type rabbit_classic_queue");
    }
}

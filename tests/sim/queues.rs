//! The queues of the simulated clients: each queue's name determines the arguments of its
//! declaration.

use crate::op::{Name, Publish};
use crate::support::value::{Table, Value};

/// All queues. `x*` are exclusive, `a*` auto-delete, `v*` transient; `p*` have priorities, `s*` a
/// single active consumer; in `r*` returned messages wait, and in `k*`, a quorum queue that
/// dead-letters at least once; `u*` drop duplicates.
pub const QUEUES: &[Name] = &["q0", "p0", "s0", "q2", "v0", "r0", "k0", "u0", "u1", "a0", "x0"];

/// The queues that RabbitMQ has, too, and that have no timers.
pub const PLAIN: &[Name] = &["q0", "p0", "s0", "q2", "v0", "a0", "x0"];

/// The queues that go only if they are deleted.
pub const STAYING: &[Name] = QUEUES.split_at(9).0;

/// The queues among which an exchange hashes.
pub const HASHED: &[Name] = QUEUES.split_at(5).0;

/// The queue whose dead letters go to [`LETTERS`], at least once each.
pub const BURYING: Name = "k0";

/// The exchange of the dead letters.
pub const LETTERS: Name = "l0";

/// The queue that drops duplicates of messages that it has.
pub const UNIQUE: Name = "u0";

/// The queue that drops duplicates of its last [`SEEN_MAX`] messages, if they came in the last
/// [`SEEN_MS`] milliseconds.
pub const SEEN: Name = "u1";

/// The number of values that it remembers.
pub const SEEN_MAX: usize = 3;

/// The time for which it remembers them.
pub const SEEN_MS: u64 = 2500;

/// The header by which queues know duplicates.
pub const TWIN: Name = "twin";

/// Delays are multiples of this, plus a rest that identifies the reason of the delay: so no two
/// things happen to a queue in the same moment.
pub const LANES: u64 = 10;

/// The shortest wait of a returned message, and the longest one in a classic queue.
const RETRY_MIN: u64 = 404;
const RETRY_MAX: u64 = 1016;

/// The highest priorities of queues that have any.
const PRIORITY_MAX: u8 = 200;
const QUORUM_PRIORITY_MAX: u8 = 31;
const QUORUM_PRIORITY: u8 = 4;

/// Returns the arguments of a queue's declaration.
pub fn arguments(queue: Name) -> Table {
    let number = |name: &str, value: u64| (name.as_bytes().to_vec(), Value::Number('l', value.into()));
    let text = |name: &str, value: &str| (name.as_bytes().to_vec(), Value::text(value));
    let is_set = |name: &str| (name.as_bytes().to_vec(), Value::Bool(true));
    let limit = failures_max(queue).map(|most| number("x-delivery-limit", most.into()));
    let own = match queue {
        BURYING => vec![
            text("x-queue-type", "quorum"),
            text("x-delayed-retry-type", "failed"),
            number("x-delayed-retry-min", RETRY_MIN),
            text("x-dead-letter-exchange", LETTERS),
            text("x-dead-letter-strategy", "at-least-once"),
            text("x-overflow", "reject-publish"),
        ],
        UNIQUE => vec![is_set("x-message-deduplication"), text("x-deduplication-header", TWIN)],
        SEEN => vec![
            is_set("x-message-deduplication"),
            text("x-deduplication-header", TWIN),
            number("x-cache-size", SEEN_MAX as u64),
            number("x-cache-ttl", SEEN_MS),
        ],
        _ if counts(queue) => {
            vec![text("x-delayed-retry-type", "all"), number("x-delayed-retry-min", RETRY_MIN), number("x-delayed-retry-max", RETRY_MAX)]
        }
        _ if queue.starts_with('p') => vec![number("x-max-priority", PRIORITY_MAX.into())],
        _ if is_single_active(queue) => vec![is_set("x-single-active-consumer")],
        _ => Vec::new(),
    };
    own.into_iter().chain(limit).collect()
}

/// Returns the level of a message in a queue.
pub fn level(queue: Name, message: &Publish) -> u8 {
    match message.priority {
        priority if is_quorum(queue) => priority.unwrap_or(QUORUM_PRIORITY).min(QUORUM_PRIORITY_MAX),
        Some(priority) if queue.starts_with('p') => priority.min(PRIORITY_MAX),
        _ => 0,
    }
}

/// Whether the queue serves one consumer at a time.
pub fn is_single_active(queue: Name) -> bool {
    queue.starts_with('s')
}

/// Whether it is a quorum queue.
pub fn is_quorum(queue: Name) -> bool {
    queue == BURYING
}

/// Whether the queue may drop new messages.
pub fn drops_duplicates(queue: Name) -> bool {
    [UNIQUE, SEEN].contains(&queue)
}

/// Whether the queue counts how often a message comes back.
pub fn counts(queue: Name) -> bool {
    queue.starts_with(['r', 'k'])
}

/// Returns how often a message of the queue may fail.
pub fn failures_max(queue: Name) -> Option<u32> {
    counts(queue).then_some(if queue == BURYING { 2 } else { 3 })
}

/// Returns how long a returned message waits; `has_failed`: its last holder failed, and `failures`
/// counts all failures so far.
pub fn retry_delay(queue: Name, has_failed: bool, failures: u32) -> Option<u64> {
    let waits = counts(queue) && (has_failed || queue != BURYING);
    let longest = if queue == BURYING { u64::MAX } else { RETRY_MAX };
    waits.then(|| (RETRY_MIN * u64::from(failures.max(1))).min(longest))
}

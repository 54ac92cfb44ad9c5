//! The x-arguments of a new queue: which of them the queue's type knows, and their values
//! (RabbitMQ's `rabbit_amqqueue`).
//!
//! Order of the checks: the type itself; the values of the arguments that the type knows, in
//! RabbitMQ's order; and last whether an argument belongs to another type. Arguments that no type
//! knows are ignored, except for deduplication, which RabbitMQ leaves to a plugin.

use crate::base::limits::EXPIRATION_MS_MAX;
use crate::broker::deduplication;
use crate::contract::{Code, Fault, QueueSpec};
use crate::message::{Table, TableBuilder, TableRef, Value, erlang_text};

/// The argument that names a queue's type.
pub(super) const TYPE: &str = "x-queue-type";
/// The argument that names the dead-letter exchange.
pub(super) const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";

/// The prefix of the names that sessions generate.
const SERVER_NAMED: &str = "amq.gen-";

/// A kind of value that an argument may have.
#[derive(Clone, Copy)]
enum Rule {
    NotNegative,
    Expires,
    Milliseconds,
    Priority,
    Positive,
    Bool,
    Text,
    /// A text; it needs a dead-letter exchange beside it.
    DeadLetterKey,
    /// The number 2, because queue version 1 no longer exists.
    Version,
    /// One of these texts; this error otherwise.
    OneOf(&'static [&'static str], &'static str),
}

/// Checks the arguments and, for a quorum queue, the flags. `queue_text` is `queue 'NAME' in vhost
/// 'VHOST'`.
pub(super) fn check(spec: &QueueSpec, queue_text: &str) -> Result<(), Fault> {
    let arguments = spec.arguments.view();
    check_type(arguments).map_err(|why| invalid(TYPE, queue_text, &why))?;
    let known = known(&spec.arguments);
    for (name, rule) in RULES.iter().filter(|(name, _)| known.contains(name)) {
        if let Some(value) = arguments.find(name) {
            rule.check(value, arguments).map_err(|why| invalid(name, queue_text, &why))?;
        }
    }
    deduplication::check_queue(arguments)?;
    let quorum = is_quorum(&spec.arguments);
    let foreign = |name: &&[u8]| foreign_to(quorum).any(|foreign| foreign.as_bytes() == *name);
    if let Some(name) = arguments.iter().map(|(name, _)| name).find(foreign) {
        let (name, kind) = (erlang_text(name), if quorum { "quorum" } else { "classic" });
        let text = format!("invalid arg '{name}' for {queue_text} of queue type rabbit_{kind}_queue");
        return Err(Fault::new(Code::PreconditionFailed, text));
    }
    if quorum { check_quorum_flags(spec, queue_text) } else { Ok(()) }
}

/// The arguments that a queue's type knows. They are compared when the queue is declared again.
pub(super) fn known(arguments: &Table) -> &'static [&'static str] {
    if is_quorum(arguments) { QUORUM } else { CLASSIC }
}

/// The arguments of a declared queue: a queue without a type gets the default type of its virtual
/// host, if its flags allow that (row V1).
pub(super) fn with_type(spec: &QueueSpec, default: Option<&str>) -> Table {
    let is_named = !matches!(spec.arguments.find(TYPE), None | Some(Value::LongString(b"" | b"undefined")));
    match default.filter(|&default| default != "classic" && !is_named) {
        Some(default) if spec.durable && !spec.exclusive && !spec.auto_delete => {
            let others = spec.arguments.view().without(|name| name == TYPE.as_bytes());
            TableBuilder::extending(&others).text(TYPE, default).build()
        }
        _ => spec.arguments.clone(),
    }
}

/// Whether the arguments are those of a quorum queue.
pub fn is_quorum(arguments: &Table) -> bool {
    arguments.find(TYPE) == Some(Value::LongString(b"quorum"))
}

fn foreign_to(quorum: bool) -> impl Iterator<Item = &'static str> {
    let own = if quorum { QUORUM } else { CLASSIC };
    [CLASSIC, QUORUM, STREAM].into_iter().flatten().copied().filter(move |name| !own.contains(name))
}

/// Checks the type. Classic and quorum queues exist; an empty type and "undefined" mean the
/// default.
fn check_type(arguments: TableRef<'_>) -> Result<(), String> {
    match arguments.find(TYPE) {
        None | Some(Value::LongString(b"classic" | b"quorum" | b"" | b"undefined")) => Ok(()),
        Some(Value::LongString(other)) => Err(format!("\"unsupported queue type '{}'\"", erlang_text(other))),
        Some(other) => Err(unacceptable(other)),
    }
}

fn check_quorum_flags(spec: &QueueSpec, queue_text: &str) -> Result<(), Fault> {
    if spec.name.starts_with(SERVER_NAMED) {
        return Err(Fault::new(Code::PreconditionFailed, "Cannot declare a server-named queue for type rabbit_quorum_queue"));
    }
    let property = match spec {
        QueueSpec { auto_delete: true, .. } => "auto-delete",
        QueueSpec { exclusive: true, .. } => "exclusive-owner",
        QueueSpec { durable: false, .. } => "non-durable",
        _ => return Ok(()),
    };
    Err(Fault::new(Code::PreconditionFailed, format!("invalid property '{property}' for {queue_text}")))
}

impl Rule {
    fn check(self, value: Value<'_>, arguments: TableRef<'_>) -> Result<(), String> {
        match self {
            Rule::NotNegative => not_negative(value).map(drop),
            Rule::Expires => match integer(value)? {
                0 => Err("{value_zero,0}".to_owned()),
                number => expiry(number),
            },
            Rule::Milliseconds => expiry(integer(value)?),
            Rule::Priority => match not_negative(value)? {
                0..=255 => Ok(()),
                number => Err(format!("{{max_value_exceeded,{number}}}")),
            },
            Rule::Positive => match not_negative(value)? {
                0 => Err("{value_zero,0}".to_owned()),
                _ => Ok(()),
            },
            Rule::Bool => value.as_bool().map(drop).ok_or_else(|| unacceptable(value)),
            Rule::Text => text(value).map(drop),
            Rule::DeadLetterKey => match (text(value)?, arguments.find(DEAD_LETTER_EXCHANGE)) {
                (_, Some(_)) => Ok(()),
                (_, None) => Err("routing_key_but_no_dlx_defined".to_owned()),
            },
            Rule::Version => match not_negative(value)? {
                2 => Ok(()),
                number => Err(format!("\"unsupported queue version '{number}'\"")),
            },
            Rule::OneOf(texts, why) => {
                let text = text(value)?;
                texts.iter().any(|known| known.as_bytes() == text).then_some(()).ok_or_else(|| why.to_owned())
            }
        }
    }
}

fn integer(value: Value<'_>) -> Result<i64, String> {
    value.as_int().ok_or_else(|| format!("\"expected integer, got {}\"", value.type_name()))
}

fn not_negative(value: Value<'_>) -> Result<i64, String> {
    match integer(value)? {
        number if number < 0 => Err(format!("{{value_negative,{number}}}")),
        number => Ok(number),
    }
}

fn expiry(number: i64) -> Result<(), String> {
    match u64::try_from(number) {
        Err(_) => Err(format!("{{value_negative,{number}}}")),
        Ok(0..=EXPIRATION_MS_MAX) => Ok(()),
        Ok(_) => Err(format!("{{value_too_large,{number}}}")),
    }
}

fn text(value: Value<'_>) -> Result<&[u8], String> {
    value.as_text().ok_or_else(|| unacceptable(value))
}

fn unacceptable(value: Value<'_>) -> String {
    format!("{{unacceptable_type,{}}}", value.type_name())
}

fn invalid(name: &str, queue_text: &str, why: &str) -> Fault {
    Fault::new(Code::PreconditionFailed, format!("invalid arg '{name}' for {queue_text}: {why}"))
}

const RULES: &[(&str, Rule)] = &[
    ("x-expires", Rule::Expires),
    ("x-message-ttl", Rule::Milliseconds),
    (DEAD_LETTER_EXCHANGE, Rule::Text),
    ("x-dead-letter-routing-key", Rule::DeadLetterKey),
    ("x-dead-letter-strategy", Rule::OneOf(&["at-most-once", "at-least-once"], "invalid_dlx_strategy")),
    ("x-max-length", Rule::NotNegative),
    ("x-max-length-bytes", Rule::NotNegative),
    ("x-max-in-memory-length", Rule::NotNegative),
    ("x-max-in-memory-bytes", Rule::NotNegative),
    ("x-max-priority", Rule::Priority),
    ("x-overflow", Rule::OneOf(&["drop-head", "reject-publish", "reject-publish-dlx"], "invalid_overflow")),
    ("x-queue-version", Rule::Version),
    ("x-single-active-consumer", Rule::Bool),
    ("x-consumer-timeout", Rule::NotNegative),
    ("x-consumer-disconnected-timeout", Rule::NotNegative),
    ("x-quorum-initial-group-size", Rule::Positive),
    ("x-queue-leader-locator", Rule::OneOf(&["client-local", "balanced", "random", "least-leaders"], "invalid_queue_locator_arg")),
];

const CLASSIC: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    DEAD_LETTER_EXCHANGE,
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    TYPE,
    "x-queue-master-locator",
    "x-queue-leader-locator",
    // RabbitMQ knows these for quorum queues only.
    "x-delivery-limit",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
];

const QUORUM: &[&str] = &[
    DEAD_LETTER_EXCHANGE,
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    TYPE,
    "x-quorum-initial-group-size",
    "x-member-placement-tag",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
    "x-consumer-disconnected-timeout",
    "x-consumer-timeout",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
];

const STREAM: &[&str] = &[
    "x-max-length-bytes",
    TYPE,
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
    "x-queue-leader-locator",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::queue;

    fn refusal(arguments: TableBuilder, durable: bool) -> String {
        let spec = QueueSpec { arguments: arguments.build(), durable, ..queue("q") };
        check(&spec, "Q").map_or_else(|fault| fault.text, |()| String::new())
    }

    fn of(name: &str, value: Value<'_>) -> String {
        refusal(TableBuilder::new().value(name, value), true)
    }

    #[test]
    fn values_are_refused_with_rabbitmq_s_words() {
        use Value::{Bool, Decimal, LongString, SignedInt, Timestamp, Void};
        for (name, value, why) in [
            ("x-queue-type", LongString(b"zz"), r#""unsupported queue type 'zz'""#),
            ("x-queue-type", SignedInt(5), "{unacceptable_type,signedint}"),
            ("x-queue-type", Void, "{unacceptable_type,void}"),
            ("x-expires", SignedInt(0), "{value_zero,0}"),
            ("x-expires", SignedInt(-1), "{value_negative,-1}"),
            ("x-expires", LongString(b"a"), r#""expected integer, got longstr""#),
            ("x-expires", Timestamp(5), r#""expected integer, got timestamp""#),
            ("x-expires", Decimal(1, 5), r#""expected integer, got decimal""#),
            ("x-expires", Value::Long(315_360_000_001), "{value_too_large,315360000001}"),
            ("x-message-ttl", SignedInt(-1), "{value_negative,-1}"),
            ("x-dead-letter-routing-key", SignedInt(5), "{unacceptable_type,signedint}"),
            ("x-dead-letter-routing-key", LongString(b"a"), "routing_key_but_no_dlx_defined"),
            ("x-max-length", SignedInt(-1), "{value_negative,-1}"),
            ("x-max-priority", SignedInt(256), "{max_value_exceeded,256}"),
            ("x-overflow", LongString(b"zz"), "invalid_overflow"),
            ("x-overflow", Void, "{unacceptable_type,void}"),
            ("x-queue-version", SignedInt(1), r#""unsupported queue version '1'""#),
            ("x-single-active-consumer", SignedInt(1), "{unacceptable_type,signedint}"),
            ("x-single-active-consumer", LongString(b"a"), "{unacceptable_type,longstr}"),
            ("x-queue-leader-locator", LongString(b"zz"), "invalid_queue_locator_arg"),
        ] {
            assert_eq!(of(name, value), format!("invalid arg '{name}' for Q: {why}"));
        }
        for (name, value) in [
            ("x-queue-type", LongString(b"undefined")),
            ("x-message-ttl", SignedInt(0)),
            ("x-single-active-consumer", Bool(false)),
            ("x-queue-mode", SignedInt(5)),
            ("x-overflow", LongString(b"reject-publish-dlx")),
            ("x-foo", Void),
        ] {
            assert_eq!(of(name, value), "");
        }
    }

    #[test]
    fn another_type_s_arguments_are_refused_last() {
        let foreign = "invalid arg 'x-quorum-initial-group-size' for Q of queue type rabbit_classic_queue";
        assert_eq!(of("x-quorum-initial-group-size", Value::SignedInt(5)), foreign);
        let both = TableBuilder::new().int("x-quorum-initial-group-size", 5).int("x-expires", 0);
        assert_eq!(refusal(both, true), "invalid arg 'x-expires' for Q: {value_zero,0}");
    }

    #[test]
    fn a_quorum_queue_is_durable_and_nothing_else() {
        let quorum = || TableBuilder::new().text("x-queue-type", "quorum");
        assert_eq!(refusal(quorum().int("x-delivery-limit", 5), true), "");
        assert_eq!(
            refusal(quorum().int("x-max-priority", 5), true),
            "invalid arg 'x-max-priority' for Q of queue type rabbit_quorum_queue"
        );
        assert_eq!(refusal(quorum(), false), "invalid property 'non-durable' for Q");
    }
}

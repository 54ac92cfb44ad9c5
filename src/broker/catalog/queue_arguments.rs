//! The x-arguments of a new queue: which of them the queue's type knows, and their values
//! (RabbitMQ's `rabbit_amqqueue`).
//!
//! Order of the checks: the type itself; the values of the arguments that the type knows, in
//! RabbitMQ's order; and last whether an argument belongs to another type. Arguments that no type
//! knows are ignored, except for deduplication, which RabbitMQ leaves to a plugin.

use crate::broker::deduplication;
use crate::broker::options::{self, TYPE, Types, unacceptable};
use crate::contract::{Code, Fault, QueueSpec};
use crate::message::{Table, TableBuilder, TableRef, Value, erlang_text};

/// The prefix of the names that sessions generate.
const SERVER_NAMED: &str = "amq.gen-";

/// Checks the arguments and, for a quorum queue, the flags. `queue_text` is `queue 'NAME' in vhost
/// 'VHOST'`.
pub(super) fn check(spec: &QueueSpec, queue_text: &str) -> Result<(), Fault> {
    let arguments = spec.arguments.view();
    check_type(arguments).map_err(|why| invalid(TYPE, queue_text, &why))?;
    let own = kind(&spec.arguments);
    for option in options::all().filter(|option| option.is_argument_of(own)) {
        if let Some(value) = arguments.find(option.name) {
            option.rule.check(value, arguments).map_err(|why| invalid(option.name, queue_text, &why))?;
        }
    }
    deduplication::check_queue(arguments)?;
    let quorum = is_quorum(&spec.arguments);
    let foreign = |name: &&[u8]| options::of_argument(name).is_some_and(|option| option.is_foreign_to(own));
    if let Some(name) = arguments.iter().map(|(name, _)| name).find(foreign) {
        let (name, kind) = (erlang_text(name), if quorum { "quorum" } else { "classic" });
        let text = format!("invalid arg '{name}' for {queue_text} of queue type rabbit_{kind}_queue");
        return Err(Fault::new(Code::PreconditionFailed, text));
    }
    if quorum { check_quorum_flags(spec, queue_text) } else { Ok(()) }
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

/// The type of a queue with these arguments.
pub(super) fn kind(arguments: &Table) -> Types {
    if is_quorum(arguments) { Types::QUORUM } else { Types::CLASSIC }
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

fn invalid(name: &str, queue_text: &str, why: &str) -> Fault {
    Fault::new(Code::PreconditionFailed, format!("invalid arg '{name}' for {queue_text}: {why}"))
}

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

//! Equivalence: whether a second declaration is the same as the first. If not, the answer is 406,
//! with the first difference in RabbitMQ's order.

use super::{ALTERNATE, queue_arguments};
use crate::broker::options::{self, QueueOption};
use crate::contract::{Code, ExchangeSpec, Fault, QueueSpec};
use crate::message::{Table, Value};

/// Compares an exchange with its redeclaration. Of the arguments, only `alternate-exchange` is
/// compared.
pub(super) fn assert_exchange(current: &ExchangeSpec, received: &ExchangeSpec, exchange_text: &str) -> Result<(), Fault> {
    assert_same("type", &current.kind, &received.kind, exchange_text)?;
    assert_same("durable", current.durable, received.durable, exchange_text)?;
    assert_same("auto_delete", current.auto_delete, received.auto_delete, exchange_text)?;
    assert_same("internal", current.internal, received.internal, exchange_text)?;
    assert_argument(ALTERNATE, current.arguments.find(ALTERNATE), received.arguments.find(ALTERNATE), exchange_text)
}

/// Compares a queue with its redeclaration. Of the arguments, those that the queue's type knows are
/// compared. The owner was compared before.
pub(super) fn assert_queue(current: &QueueSpec, received: &QueueSpec, queue_text: &str) -> Result<(), Fault> {
    assert_same("durable", current.durable, received.durable, queue_text)?;
    assert_same("auto_delete", current.auto_delete, received.auto_delete, queue_text)?;
    for QueueOption { name, .. } in options::arguments(queue_arguments::kind(&current.arguments)) {
        assert_argument(name, queue_argument(&current.arguments, name), queue_argument(&received.arguments, name), queue_text)?;
    }
    Ok(())
}

/// An argument of a queue. A queue that was declared without a type has the default type.
fn queue_argument<'a>(arguments: &'a Table, name: &str) -> Option<Value<'a>> {
    let default = (name == options::TYPE).then_some(Value::LongString(b"classic"));
    arguments.find(name).or(default)
}

fn assert_same<T: PartialEq + std::fmt::Display>(name: &str, current: T, received: T, owner_text: &str) -> Result<(), Fault> {
    if current == received {
        return Ok(());
    }
    Err(inequivalent(name, owner_text, &format!("'{received}'"), &format!("'{current}'")))
}

fn assert_argument(name: &str, current: Option<Value<'_>>, received: Option<Value<'_>>, owner_text: &str) -> Result<(), Fault> {
    let (current, received) = match (current, received) {
        (None, None) => return Ok(()),
        (Some(current), Some(received)) if current.equivalent(received) => return Ok(()),
        (Some(current), Some(received)) => (bare(current), bare(received)),
        (current, received) => (typed(current), typed(received)),
    };
    Err(inequivalent(name, owner_text, &received, &current))
}

fn inequivalent(name: &str, owner_text: &str, received: &str, current: &str) -> Fault {
    let text = format!("inequivalent arg '{name}' for {owner_text}: received {received} but current is {current}");
    Fault::new(Code::PreconditionFailed, text)
}

fn bare(value: Value<'_>) -> String {
    if value == Value::Void { "none".to_owned() } else { format!("'{value}'") }
}

fn typed(value: Option<Value<'_>>) -> String {
    match value {
        Some(value) => format!("the value '{value}' of type '{}'", value.type_name()),
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::queue;
    use crate::message::TableBuilder;

    fn compare(current: TableBuilder, received: TableBuilder) -> String {
        let spec = |arguments: TableBuilder| QueueSpec { arguments: arguments.build(), ..queue("q") };
        let result = assert_queue(&spec(current), &spec(received), "queue 'q' in vhost '/'");
        result.map_or_else(|fault| fault.text, |()| String::new())
    }

    #[test]
    fn arguments_are_compared_and_shown_as_in_rabbitmq() {
        let table = TableBuilder::new;
        let ttl = || table().int("x-message-ttl", 10);
        for (current, received, shown) in [
            (ttl(), table(), "received none but current is the value '10' of type 'signedint'"),
            (table(), ttl(), "received the value '10' of type 'signedint' but current is none"),
            (ttl(), table().long("x-message-ttl", 20), "received '20' but current is '10'"),
            (ttl(), table().text("x-message-ttl", "10"), "received '10' but current is '10'"),
            (ttl(), table().value("x-message-ttl", Value::Void), "received none but current is '10'"),
            (ttl(), table().bool("x-message-ttl", true), "received 'true' but current is '10'"),
            (
                ttl(),
                table().table("x-message-ttl", &table().int("a", 1).build()),
                r#"received '[{<<"a">>,signedint,1}]' but current is '10'"#,
            ),
        ] {
            let expected = format!("inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': {shown}");
            assert_eq!(compare(current, received), expected);
        }
    }

    #[test]
    fn widths_and_unknown_arguments_do_not_count() {
        let table = TableBuilder::new;
        assert_eq!(compare(table().int("x-expires", 10), table().long("x-expires", 10)), "");
        assert_eq!(compare(table().int("x-expires", 10), table().timestamp("x-expires", 10)), "");
        assert_eq!(compare(table().int("foo", 1), table().text("bar", "b")), "");
        assert_eq!(compare(table(), table().int("x-quorum-initial-group-size", 5)), "", "no argument of classic queues");
    }

    #[test]
    fn no_type_is_classic() {
        let (table, kind) = (TableBuilder::new, |kind| TableBuilder::new().text("x-queue-type", kind));
        assert_eq!(compare(table(), kind("classic")), "");
        assert_eq!(compare(kind("classic"), table()), "");
        let expected = "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'";
        assert_eq!(compare(table(), kind("quorum")), expected);
        let expected = "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'classic' but current is 'quorum'";
        assert_eq!(compare(kind("quorum"), table()), expected);
    }
}

//! The definition of a policy: its keys and their values, with RabbitMQ's texts for refusals (rows
//! PO2 to PO4).
//!
//! Keys of classic mirroring, which RabbitMQ 4 refuses, are accepted and have no effect, so that
//! definitions of older brokers can be imported as they are; the same goes for keys of federation
//! and sharding.

use super::Target;
use crate::broker::options::{self, Types};
use crate::contract::PolicyKind;
use crate::message::{ErlangBinary, TableRef, Value};

/// Checks a definition: first the values of known keys, in the order of their names, then whether
/// all keys are known.
pub(super) fn check(kind: PolicyKind, definition: TableRef<'_>) -> Result<(), String> {
    if definition.is_empty() {
        return Err("no policy provided".into());
    }
    let definition = definition.canonical();
    let (mut unknown, mut delays) = (Vec::new(), Vec::new());
    for (name, value) in definition.iter() {
        let option = options::of_key(name);
        match option.zip(option.and_then(|option| option.in_policies(kind == PolicyKind::Operator))) {
            Some((_, (rule, why))) if !rule.allows(value) => return Err(format!("{} is not a valid {why}", term(value))),
            Some((option, _)) if option.key().starts_with("delayed-retry") => delays.push((option.key(), value)),
            Some(_) => {}
            None => unknown.push(format!("{{{},{}}}", ErlangBinary(name), term(value))),
        }
    }
    check_delays(&delays)?;
    if unknown.is_empty() { Ok(()) } else { Err(format!("[{}] are not recognised policy settings", unknown.join(","))) }
}

/// Checks the keys of delayed retries, which depend on each other.
fn check_delays(delays: &[(&str, Value<'_>)]) -> Result<(), String> {
    let find = |name| delays.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let [least, most] = ["delayed-retry-min", "delayed-retry-max"].map(|name| find(name).and_then(Value::as_int));
    match (find("delayed-retry-type"), least, most) {
        (Some(kind), None, _) if kind.as_text() != Some(b"disabled") => {
            Err(format!("delayed-retry-min is required when delayed-retry-type is {kind}"))
        }
        (_, Some(least), Some(most)) if most < least => {
            Err(format!("delayed-retry-max ({most}) must not be smaller than delayed-retry-min ({least})"))
        }
        _ => Ok(()),
    }
}

/// Whether a target supports all keys of a definition.
pub(super) fn is_known_to(target: Target, definition: TableRef<'_>) -> bool {
    let queues = match target {
        Target::Exchange => return true,
        Target::ClassicQueue => Types::CLASSIC,
        Target::QuorumQueue => Types::QUORUM,
    };
    !definition.iter().any(|(name, _)| options::of_key(name).is_some_and(|option| option.is_unknown_to(queues)))
}

/// Returns Erlang's term for a value that came as JSON.
fn term(value: Value<'_>) -> String {
    match value {
        Value::LongString(text) => ErlangBinary(text).to_string(),
        Value::Array(values) => format!("[{}]", values.map(term).collect::<Vec<_>>().join(",")),
        Value::Table(table) => {
            let entries: Vec<String> = table.iter().map(|(key, value)| format!("{} => {}", ErlangBinary(key), term(value))).collect();
            format!("#{{{}}}", entries.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TableBuilder;

    fn refusal(kind: PolicyKind, definition: TableBuilder) -> String {
        check(kind, definition.build().view()).err().unwrap_or_default()
    }

    fn of(name: &str, value: Value<'_>) -> String {
        refusal(PolicyKind::User, TableBuilder::new().value(name, value))
    }

    #[test]
    fn values_are_refused_with_rabbitmq_s_words() {
        use Value::{Bool, Double, Long, LongString};
        for (name, value, why) in [
            ("alternate-exchange", Long(5), "5 is not a valid alternate exchange name"),
            ("consumer-timeout", Double(1.5), "1.5 is not a valid consumer timeout"),
            ("consumer-disconnected-timeout", Long(-1), "-1 is not a valid consumer disconnected timeout"),
            ("dead-letter-exchange", Long(5), "5 is not a valid dead letter exchange name"),
            ("dead-letter-routing-key", Bool(true), "true is not a valid dead letter routing key"),
            ("dead-letter-strategy", LongString(b"x"), r#"<<"x">> is not a valid dead letter strategy"#),
            ("message-ttl", LongString(b"a"), r#"<<"a">> is not a valid message TTL"#),
            ("expires", Long(0), "0 is not a valid queue expiry"),
            ("max-length", Long(-1), "-1 is not a valid maximum length"),
            ("max-length-bytes", Long(-1), "-1 is not a valid maximum length in bytes"),
            ("max-in-memory-length", Long(-1), "-1 is not a valid maximum memory in bytes"),
            ("queue-mode", LongString(b"x"), r#"<<"x">> is not a valid queue-mode value"#),
            ("queue-version", Long(3), "3 is not a valid queue-version value"),
            ("overflow", LongString(b"x"), r#"<<"x">> is not a valid overflow value"#),
            ("delivery-limit", Double(1.5), "1.5 is not a valid delivery limit"),
            ("max-age", LongString(b"0D"), r#"<<"0D">> is not a valid max age"#),
            ("stream-max-segment-size-bytes", Long(3_000_000_001), "3000000001 is not a valid segment size"),
            ("stream-filter-size-bytes", Long(15), "15 is not a valid filter size. Valid range is 16-255"),
            ("queue-leader-locator", LongString(b"x"), r#"<<"x">> is not a valid queue leader locator value"#),
            ("initial-cluster-size", Long(-1), "-1 is not a valid cluster size"),
            ("target-group-size", Long(0), "0 is not a valid qq target count value"),
            ("delayed-retry-min", Long(0), "0 is not a valid delayed retry minimum delay. Must be a positive integer"),
            (
                "delayed-retry-type",
                LongString(b"x"),
                r#"<<"x">> is not a valid delayed retry type. Must be one of: all, failed, returned, disabled"#,
            ),
            ("delayed-retry-type", LongString(b"all"), "delayed-retry-min is required when delayed-retry-type is all"),
            ("foo", Long(1), r#"[{<<"foo">>,1}] are not recognised policy settings"#),
            ("max-priority", Long(5), r#"[{<<"max-priority">>,5}] are not recognised policy settings"#),
        ] {
            assert_eq!(of(name, value), why);
        }
        let nested = TableBuilder::new().array("a", |array| array.value(Long(1)).value(LongString(b"b"))).build();
        assert_eq!(of("max-length", Value::Table(nested.view())), r#"#{<<"a">> => [1,<<"b">>]} is not a valid maximum length"#);
    }

    #[test]
    fn values_in_their_bounds_are_taken() {
        use Value::{Long, LongString};
        for (name, value) in [
            ("message-ttl", Long(0)),
            ("message-ttl", Long(315_360_000_001)),
            ("expires", Long(1)),
            ("delivery-limit", Long(-1)),
            ("alternate-exchange", LongString(b"")),
            ("max-age", LongString(b"12h")),
            ("delayed-retry-type", LongString(b"disabled")),
            ("ha-mode", LongString(b"all")),
            ("ha-params", Long(2)),
            ("federation-upstream-set", LongString(b"all")),
        ] {
            assert_eq!(of(name, value), "", "{name}");
        }
    }

    #[test]
    fn keys_are_told_in_the_order_of_their_names() {
        let table = TableBuilder::new;
        assert_eq!(refusal(PolicyKind::User, table()), "no policy provided");
        let two = table().long("foo", 1).long("max-length", 1).long("bar", 2);
        assert_eq!(refusal(PolicyKind::User, two), r#"[{<<"bar">>,2},{<<"foo">>,1}] are not recognised policy settings"#);
        let both = table().long("bar", 1).long("message-ttl", -2).long("max-length", -1);
        assert_eq!(refusal(PolicyKind::User, both), "-1 is not a valid maximum length");
        let swapped = table().long("delayed-retry-min", 5).long("delayed-retry-max", 1);
        assert_eq!(refusal(PolicyKind::User, swapped), "delayed-retry-max (1) must not be smaller than delayed-retry-min (5)");
    }

    #[test]
    fn operators_have_fewer_keys() {
        let table = TableBuilder::new;
        assert_eq!(refusal(PolicyKind::Operator, table().long("max-length", 1).text("overflow", "reject-publish")), "");
        let user_s = refusal(PolicyKind::Operator, table().text("dead-letter-exchange", "x").long("max-length", 1));
        assert_eq!(user_s, r#"[{<<"dead-letter-exchange">>,<<"x">>}] are not recognised policy settings"#);
        let timeout = refusal(PolicyKind::Operator, table().long("consumer-timeout", 1));
        assert_eq!(timeout, r#"[{<<"consumer-timeout">>,1}] are not recognised policy settings"#);
    }
}

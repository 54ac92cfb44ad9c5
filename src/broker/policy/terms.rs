//! The terms of one queue: its arguments and the policies that apply to it, and which of them takes
//! precedence (rows PO4, PO5).

use crate::broker::options;
use crate::message::{TableRef, Value};

/// The terms of one queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// Its x-arguments, checked.
    pub arguments: TableRef<'a>,
    /// The definition of its policy.
    pub policy: TableRef<'a>,
    /// The definition of its operator policy.
    pub operator: TableRef<'a>,
}

impl<'a> Terms<'a> {
    /// Makes the terms of a queue without policies.
    pub fn of(arguments: TableRef<'a>) -> Terms<'a> {
        Terms { arguments, ..Terms::default() }
    }

    /// The lowest number for `key`.
    pub fn least(&self, key: &Key) -> Option<u64> {
        let number = |value: Value<'_>| value.as_int().and_then(|number| u64::try_from(number).ok());
        self.all(key).filter_map(number).min()
    }

    /// The lowest limit for `key`. A negative number means no limit, so any other number is lower.
    pub fn limit(&self, key: &Key) -> Option<i64> {
        let stricter = |one: i64, other: i64| if one < 0 || other < 0 { one.max(other) } else { one.min(other) };
        self.all(key).filter_map(Value::as_int).reduce(stricter)
    }

    /// The text for `key`; the argument takes precedence over policies.
    pub fn own_text(&self, key: &Key) -> Option<&'a [u8]> {
        self.own(key).and_then(Value::as_text)
    }

    /// The value for `key`; the argument takes precedence over policies.
    pub fn own(&self, key: &Key) -> Option<Value<'a>> {
        self.argument(key).or_else(|| self.of_policies(key))
    }

    /// The text for `key`; policies take precedence over the argument.
    pub fn policy_text(&self, key: &Key) -> Option<&'a [u8]> {
        self.of_policies(key).or_else(|| self.argument(key)).and_then(Value::as_text)
    }

    fn all(&self, key: &Key) -> impl Iterator<Item = Value<'a>> {
        let policies = [self.policy, self.operator].into_iter().filter_map(|policy| policy.find(key.policy));
        policies.chain(self.argument(key))
    }

    fn argument(&self, key: &Key) -> Option<Value<'a>> {
        self.arguments.find(key.argument)
    }

    /// The value for `key` in the policies; the operator's takes precedence.
    fn of_policies(&self, key: &Key) -> Option<Value<'a>> {
        self.operator.find(key.policy).or_else(|| self.policy.find(key.policy))
    }
}

/// The name of a setting: as an argument, and as a key of policies.
pub struct Key {
    argument: &'static str,
    policy: &'static str,
}

/// Makes the key of an argument, which must be an option of queues; in policies, its name has no
/// `x-`.
pub const fn key(argument: &'static str) -> Key {
    let argument = options::known(argument);
    Key { argument, policy: argument.split_at(2).1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Table, TableBuilder};

    const LENGTH: Key = key("x-max-length");
    const LIMIT: Key = key("x-delivery-limit");
    const OVERFLOW: Key = key("x-overflow");

    fn with<T>(tables: [TableBuilder; 3], ask: impl FnOnce(Terms<'_>) -> T) -> T {
        let tables: [Table; 3] = tables.map(TableBuilder::build);
        ask(Terms { arguments: tables[0].view(), policy: tables[1].view(), operator: tables[2].view() })
    }

    fn numbers(name: &str, numbers: [Option<i64>; 3]) -> [TableBuilder; 3] {
        let table = |number: Option<i64>, name| number.iter().fold(TableBuilder::new(), |table, &number| table.long(name, number));
        let argument = format!("x-{name}");
        [table(numbers[0], argument.as_str()), table(numbers[1], name), table(numbers[2], name)]
    }

    #[test]
    fn the_lowest_number_counts() {
        for (said, least) in [
            ([None, None, None], None),
            ([Some(3), Some(2), None], Some(2)),
            ([Some(1), Some(2), Some(3)], Some(1)),
            ([None, Some(5), Some(4)], Some(4)),
        ] {
            assert_eq!(with(numbers("max-length", said), |terms| terms.least(&LENGTH)), least);
        }
    }

    #[test]
    fn any_limit_is_lower_than_none() {
        for (said, limit) in [
            ([None, None, None], None),
            ([Some(-1), Some(2), None], Some(2)),
            ([Some(5), Some(-1), Some(3)], Some(3)),
            ([None, Some(-1), None], Some(-1)),
            ([Some(1), Some(2), Some(3)], Some(1)),
        ] {
            assert_eq!(with(numbers("delivery-limit", said), |terms| terms.limit(&LIMIT)), limit);
        }
    }

    #[test]
    fn a_text_is_the_argument_s_or_the_policy_s_as_asked() {
        let text = |name: &str, text: &str| TableBuilder::new().text(name, text);
        let all = || [text("x-overflow", "argument"), text("overflow", "policy"), text("overflow", "operator")];
        assert_eq!(with(all(), |terms| terms.own_text(&OVERFLOW).map(<[u8]>::to_vec)), Some(b"argument".to_vec()));
        assert_eq!(with(all(), |terms| terms.policy_text(&OVERFLOW).map(<[u8]>::to_vec)), Some(b"operator".to_vec()));
        let policies = [TableBuilder::new(), text("overflow", "policy"), text("overflow", "operator")];
        assert_eq!(with(policies, |terms| terms.own_text(&OVERFLOW).map(<[u8]>::to_vec)), Some(b"operator".to_vec()));
    }
}

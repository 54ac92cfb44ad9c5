//! The headers exchange: it matches as RabbitMQ does, and does no more work than needed.

use super::*;
use crate::base::rng::Rng;
use crate::broker::exchange::tests::{collect, queue};
use crate::message::TableBuilder;

thread_local! {
    /// Number of headers that were compared with the name of an argument.
    pub static SEARCHED: Cell<usize> = const { Cell::new(0) };
}

fn matches(arguments: TableBuilder, headers: TableBuilder) -> bool {
    let mut bindings = Headers::default();
    bindings.bind(&arguments.build().view().canonical(), queue(1));
    let headers = headers.build();
    !collect(|found| _ = bindings.matching(headers.view(), found)).is_empty()
}

fn table() -> TableBuilder {
    TableBuilder::new()
}

fn mode(mode: &str) -> TableBuilder {
    table().text("x-match", mode)
}

#[test]
fn values_are_equal_as_in_rabbitmq() {
    let one = |value| table().value("a", value);
    assert!(matches(one(Value::SignedInt(5)), one(Value::Long(5))));
    assert!(matches(one(Value::Timestamp(5)), one(Value::Long(5))));
    assert!(matches(one(Value::Long(5000)), one(Value::Timestamp(5))));
    assert!(!matches(one(Value::Timestamp(5)), one(Value::Timestamp(5))), "RabbitMQ's quirk");
    assert!(matches(one(Value::LongString(b"x")), one(Value::Binary(b"x"))));
    assert!(matches(one(Value::Float(1.5)), one(Value::Double(1.5))));
    assert!(matches(one(Value::Bool(true)), one(Value::Bool(true))));
    assert!(matches(one(Value::Decimal(1, 15)), one(Value::Decimal(1, 15))));
    assert!(matches(table().array("a", |a| a.bool(true)), table().array("a", |a| a.bool(true))));
    assert!(!matches(one(Value::Long(1)), one(Value::Double(1.0))));
    assert!(!matches(one(Value::LongString(b"1")), one(Value::Long(1))));
    assert!(!matches(one(Value::Bool(true)), one(Value::Long(1))));
}

#[test]
fn a_void_argument_asks_for_presence() {
    let void = || table().value("a", Value::Void);
    assert!(matches(void(), table().int("a", 1)) && matches(void(), void()));
    assert!(!matches(void(), table()) && !matches(table().int("a", 1), void()));
}

#[test]
fn modes_overlook_what_they_shall() {
    assert!(matches(table(), table()) && matches(mode("all"), table().int("a", 1)));
    assert!(!matches(mode("any"), table().int("a", 1)) && !matches(mode("any-with-x"), mode("any-with-x")));
    assert!(matches(mode("all-with-x"), table()));
    assert!(matches(mode("all").int("x-a", 2).int("b", 1), table().int("x-a", 1).int("b", 1)));
    assert!(!matches(mode("any").int("x-a", 1).int("b", 1), table().int("x-a", 1)));
    assert!(matches(mode("any-with-x").int("x-a", 1).int("b", 1), table().int("x-a", 1)));
    assert!(matches(mode("all-with-x").int("x-a", 1), table().int("x-a", 1)));
    assert!(!matches(mode("all-with-x").int("x-a", 1), table()));
    assert!(!matches(table().int("X-A", 1), table().int("X-A", 2)));
}

#[test]
fn of_headers_with_one_name_the_last_counts() {
    let twice = || table().int("a", 1).int("a", 2);
    assert!(matches(table().int("a", 2), twice()) && !matches(table().int("a", 1), twice()));
}

/// Each header and each argument of a candidate is read once, whatever their types.
#[test]
fn many_arguments_cost_no_more_than_to_read_them() {
    const MANY: usize = 15_000;
    let numbered =
        |table: TableBuilder, value: Value<'_>| (0..MANY).fold(table, |table, n| table.value(format!("name-{n}"), value)).build();
    for value in [Value::SignedInt(1), Value::Bool(true), Value::LongString(b"text"), Value::Void] {
        let mut bindings = Headers::default();
        for matching in ["all", "any", "all-with-x", "any-with-x"] {
            bindings.bind(&numbered(mode(matching), value).view().canonical(), queue(1));
        }
        for sent in [value, Value::Bool(false)] {
            let headers = numbered(table(), sent);
            SEARCHED.set(0);
            let looked_at = bindings.matching(headers.view(), &mut |_| {});
            assert!(looked_at <= (1 + 4) * MANY, "{value:?}, {sent:?}: looked {looked_at} times");
            assert!(SEARCHED.get() <= 4 * 3 * MANY, "{value:?}, {sent:?}: searched {} headers", SEARCHED.get());
        }
        let one = table().value("name-14999", value).build();
        assert!(bindings.matching(one.view(), &mut |_| {}) <= 1 + 4 * MANY);
    }
}

#[test]
fn a_message_looks_only_at_bindings_that_want_its_rarest_pair() {
    let mut bindings = Headers::default();
    let wanted = |n: usize| table().int("a", n as i32).int("b", 1).int("c", 2).build().view().canonical();
    (0..10_000).for_each(|n| bindings.bind(&wanted(n), queue(n as u32)));
    assert!(bindings.matching(wanted(7_000).view(), &mut |dest| assert_eq!(dest, queue(7_000))) <= 3 + 3 * 3);
    (0..10_000).for_each(|n| bindings.unbind(&wanted(n), queue(n as u32)));
    assert!(bindings.anchors.is_empty());
}

#[test]
fn a_destination_stays_until_its_last_binding_goes() {
    let (mut bindings, all, any) = (Headers::default(), table().int("a", 1).build(), mode("any").int("a", 1).int("b", 2).build());
    let arguments = [&all, &all, &any, &Table::empty()];
    arguments.iter().for_each(|arguments| bindings.bind(arguments, queue(1)));
    assert_eq!(collect(|found| _ = bindings.matching(all.view(), found)), [queue(1); 3]);
    for (n, arguments) in arguments.iter().enumerate() {
        assert!(!collect(|found| _ = bindings.matching(all.view(), found)).is_empty(), "{n}");
        bindings.unbind(arguments, queue(1));
    }
    assert!(collect(|found| _ = bindings.matching(all.view(), found)).is_empty());
    assert!(bindings.anchors.is_empty() && bindings.index.is_empty() && bindings.always.is_empty() && bindings.names == 0);
}

#[test]
fn x_match_is_one_of_four_texts() {
    let text = |table: TableBuilder| check_binding(table.build().view()).map_err(|fault| fault.text);
    assert_eq!(text(table()), Ok(()));
    assert_eq!(text(mode("any-with-x")), Ok(()));
    let expected = r#"Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x"#;
    assert_eq!(text(mode("foo")), Err(expected.into()));
    let expected = "Invalid x-match field type signedint (value 5); expected longstr";
    assert_eq!(text(table().int("x-match", 5)), Err(expected.into()));
    let expected = r#"Invalid x-match field type table (value [{<<"a">>,signedint,1}]); expected longstr"#;
    assert_eq!(text(table().table("x-match", &table().int("a", 1).build())), Err(expected.into()));
}

/// RabbitMQ's rule, word for word: a fold over the arguments against a map of the headers.
fn naive(arguments: &Table, headers: &Table) -> bool {
    let mode = arguments.find("x-match").and_then(Value::as_text).unwrap_or(b"all");
    let mut results = arguments.iter().filter_map(|(name, wanted)| {
        let overlooked = if mode.ends_with(b"-with-x") { name == b"x-match" } else { name.starts_with(b"x-") };
        let value = headers.iter().filter(|&(key, _)| key == name).last().map(|(_, value)| value);
        (!overlooked).then(|| value.is_some_and(|value| wanted == Value::Void || same_value(wanted, value)))
    });
    if mode.starts_with(b"any") { results.any(|result| result) } else { results.all(|result| result) }
}

fn random_table(rng: &mut Rng, modes: bool) -> Table {
    let names = ["a", "b", "c", "x-a", "x-b"];
    let values = [Value::SignedInt(1), Value::Long(1), Value::LongString(b"1"), Value::Void, Value::Bool(true), Value::Double(1.0)];
    let pick = |rng: &mut Rng, len: usize| rng.below(len as u64) as usize;
    let mut table = table();
    for _ in 0..rng.below(4) {
        table = table.value(names[pick(rng, names.len())], values[pick(rng, values.len())]);
    }
    if modes && rng.below(5) > 0 {
        table = table.text("x-match", ["all", "any", "all-with-x", "any-with-x"][pick(rng, 4)]);
    }
    table.build().view().canonical()
}

#[test]
fn it_matches_like_a_naive_model() {
    let mut rng = Rng::seeded(5);
    for _ in 0..300 {
        let mut bindings = Headers::default();
        let mut all: Vec<Table> = (0..20).map(|_| random_table(&mut rng, true)).collect();
        all.iter().enumerate().for_each(|(n, arguments)| bindings.bind(arguments, queue(n as u32)));
        while let Some(last) = all.len().checked_sub(1) {
            let headers = random_table(&mut rng, false);
            let found = collect(|found| _ = bindings.matching(headers.view(), found));
            for (n, arguments) in all.iter().enumerate() {
                assert_eq!(found.contains(&queue(n as u32)), naive(arguments, &headers), "{arguments:?} {headers:?}");
            }
            bindings.unbind(&all[last], queue(last as u32));
            all.pop();
        }
    }
}

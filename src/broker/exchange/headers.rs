//! The headers exchange: a binding's arguments are compared with the message's headers.
//!
//! ```text
//! binding {x-match: all, type: pdf, pages: 3}    anchors   hash(type, pdf) -> [ … ]     of an "all" binding one stands, under the
//! binding {x-match: any, type: pdf, draft}                 hash(pages, 3)  -> [ … ]     anchor that fewest others chose; of an "any"
//! message {type: pdf, size: 9}                             hash(draft)     -> [ … ]     binding all
//! ```
//!
//! A binding can only match a message that has one of its anchors: the hash of a name and a value that it wants, or of a name whose
//! value is hard to hash or does not matter. So a message looks up its own few headers instead of comparing itself with every
//! binding. Hashes only choose candidates, the comparison decides.
//!
//! The rules are RabbitMQ's: `all` (also without x-match) and `any` overlook names that begin with `x-`, `all-with-x` and
//! `any-with-x` overlook only `x-match`; a void argument asks that the header is there; values are equal as in [`same_value`]; of
//! headers with one name, the last counts. No argument to compare: `all` matches every message, `any` none.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use super::Dest;
use crate::base::hash::Map;
use crate::contract::{Code, Fault};
use crate::message::{ErlangBinary, Table, TableRef, Value};

/// Bindings by their anchors.
#[derive(Default)]
pub struct Headers {
    bindings: Slab<Binding>,
    /// Places in `bindings` by arguments and destination.
    index: HashTable<usize>,
    anchors: Map<u64, Vec<usize>>,
    /// `all` bindings without anything to compare: they match everything.
    always: Vec<usize>,
    hasher: foldhash::fast::RandomState,
}

struct Binding {
    arguments: Table,
    dest: Dest,
    /// How many bindings have these arguments and destination: they may differ in their keys.
    copies: u32,
    mode: Mode,
    /// The anchors under which it stands.
    anchors: SmallVec<[u64; 1]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quantity {
    All,
    Any,
}

#[derive(Clone, Copy)]
struct Mode {
    quantity: Quantity,
    with_x: bool,
}

impl Headers {
    /// Adds a binding.
    pub fn bind(&mut self, arguments: &Table, dest: Dest) {
        if let Some(at) = self.find(arguments, dest) {
            self.bindings[at].copies += 1;
            return;
        }
        let mode = Mode::of(arguments.view());
        let anchors = self.choose_anchors(arguments.view(), mode);
        let at = self.bindings.vacant_key();
        if mode.quantity == Quantity::All && anchors.is_empty() {
            self.always.push(at);
        }
        anchors.iter().for_each(|&anchor| self.anchors.entry(anchor).or_default().push(at));
        self.bindings.insert(Binding { arguments: arguments.clone(), dest, copies: 1, mode, anchors });
        let Headers { bindings, index, hasher, .. } = self;
        index.insert_unique(identity(hasher, arguments, dest), at, |&at| identity(hasher, &bindings[at].arguments, bindings[at].dest));
    }

    /// Takes back a binding that is there.
    pub fn unbind(&mut self, arguments: &Table, dest: Dest) {
        let at = self.find(arguments, dest).expect("what is unbound was bound");
        self.bindings[at].copies -= 1;
        if self.bindings[at].copies == 0 {
            self.remove(at);
        }
    }

    /// Whose arguments the headers satisfy.
    pub fn matching(&self, headers: TableRef<'_>, found: &mut impl FnMut(Dest)) {
        self.always.iter().for_each(|&at| found(self.bindings[at].dest));
        if self.anchors.is_empty() {
            return;
        }
        for (name, value) in headers.iter() {
            let named = self.anchors.get(&self.name_anchor(name));
            let valued = self.value_anchor(name, value, HEADER_SECOND).and_then(|anchor| self.anchors.get(&anchor));
            for &at in named.into_iter().chain(valued).flatten() {
                let binding = &self.bindings[at];
                if binding.matches(headers) {
                    found(binding.dest);
                }
            }
        }
    }

    fn find(&self, arguments: &Table, dest: Dest) -> Option<usize> {
        let same = |&at: &usize| self.bindings[at].dest == dest && self.bindings[at].arguments == *arguments;
        self.index.find(identity(&self.hasher, arguments, dest), same).copied()
    }

    fn remove(&mut self, at: usize) {
        let binding = self.bindings.remove(at);
        let entry = self.index.find_entry(identity(&self.hasher, &binding.arguments, binding.dest), |&place| place == at);
        entry.expect("every binding is in the index").remove();
        self.always.retain(|&place| place != at);
        for anchor in binding.anchors {
            let places = self.anchors.get_mut(&anchor).expect("a binding stands under its anchors");
            places.retain(|&place| place != at);
            if places.is_empty() {
                self.anchors.remove(&anchor);
            }
        }
    }

    /// Every anchor for `any`, the one with the fewest bindings for `all`.
    fn choose_anchors(&self, arguments: TableRef<'_>, mode: Mode) -> SmallVec<[u64; 1]> {
        let mut all: Vec<u64> = mode.compared(arguments).map(|(name, wanted)| self.anchor(name, wanted)).collect();
        if mode.quantity == Quantity::Any {
            all.sort_unstable();
            all.dedup();
            return all.into();
        }
        all.into_iter().min_by_key(|anchor| self.anchors.get(anchor).map_or(0, Vec::len)).into_iter().collect()
    }

    /// What every header that satisfies this argument has in common.
    fn anchor(&self, name: &[u8], wanted: Value<'_>) -> u64 {
        self.value_anchor(name, wanted, ARGUMENT_SECOND).unwrap_or_else(|| self.name_anchor(name))
    }

    fn name_anchor(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    /// `None` for values that have no simple form to hash.
    fn value_anchor(&self, name: &[u8], value: Value<'_>, second: i128) -> Option<u64> {
        match value {
            Value::LongString(bytes) | Value::Binary(bytes) => Some(self.hasher.hash_one((name, bytes))),
            _ => integer(value, second).map(|number| self.hasher.hash_one((name, number))),
        }
    }
}

impl Binding {
    fn matches(&self, headers: TableRef<'_>) -> bool {
        let mut compared = self.mode.compared(self.arguments.view());
        let satisfied = |(name, wanted)| satisfies(headers, name, wanted);
        match self.mode.quantity {
            Quantity::All => compared.all(satisfied),
            Quantity::Any => compared.any(satisfied),
        }
    }
}

impl Mode {
    /// The mode that x-match names; `all` if it is missing.
    fn of(arguments: TableRef<'_>) -> Mode {
        let (quantity, with_x) = match arguments.find("x-match").and_then(Value::as_text) {
            Some(b"any") => (Quantity::Any, false),
            Some(b"any-with-x") => (Quantity::Any, true),
            Some(b"all-with-x") => (Quantity::All, true),
            _ => (Quantity::All, false),
        };
        Mode { quantity, with_x }
    }

    /// The arguments that count.
    fn compared<'a>(self, arguments: TableRef<'a>) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let overlooked = if self.with_x { &b"x-match"[..] } else { b"x-" };
        arguments.iter().filter(move |&(name, _)| if self.with_x { name != overlooked } else { !name.starts_with(overlooked) })
    }
}

/// What a headers exchange asks of a binding's arguments: x-match is one of four texts.
pub fn check_binding(arguments: TableRef<'_>) -> Result<(), Fault> {
    let text = match arguments.find("x-match") {
        None | Some(Value::LongString(b"all" | b"any" | b"all-with-x" | b"any-with-x")) => return Ok(()),
        Some(Value::LongString(other)) => {
            format!("Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x", ErlangBinary(other))
        }
        Some(Value::Binary(other)) => invalid_type("binary", ErlangBinary(other)),
        Some(other) => invalid_type(other.type_name(), other),
    };
    Err(Fault::new(Code::PreconditionFailed, text))
}

fn invalid_type(name: &str, value: impl std::fmt::Display) -> String {
    format!("Invalid x-match field type {name} (value {value}); expected longstr")
}

/// Whether the last header of this name is what the argument wants.
fn satisfies(headers: TableRef<'_>, name: &[u8], wanted: Value<'_>) -> bool {
    let last = headers.iter().filter(|&(key, _)| key == name).last();
    last.is_some_and(|(_, value)| wanted == Value::Void || same_value(wanted, value))
}

/// Equality of values in RabbitMQ's headers exchange: by what they mean, whatever the width of their type.
fn same_value(wanted: Value<'_>, value: Value<'_>) -> bool {
    match value {
        Value::Timestamp(_) => integer(wanted, ARGUMENT_SECOND) == integer(value, HEADER_SECOND),
        _ => wanted.equivalent(value),
    }
}

/// The number that an integer or a timestamp is compared by.
fn integer(value: Value<'_>, second: i128) -> Option<i128> {
    match value {
        Value::Timestamp(seconds) => Some(i128::from(seconds) * second),
        _ => value.as_int().map(i128::from),
    }
}

fn identity(hasher: &foldhash::fast::RandomState, arguments: &Table, dest: Dest) -> u64 {
    hasher.hash_one((arguments, dest))
}

/// RabbitMQ compares a header's timestamp in milliseconds but an argument's in seconds, so that the two never match (sic).
const HEADER_SECOND: i128 = 1000;
const ARGUMENT_SECOND: i128 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::broker::exchange::tests::{collect, queue};
    use crate::message::TableBuilder;

    fn matches(arguments: TableBuilder, headers: TableBuilder) -> bool {
        let mut bindings = Headers::default();
        bindings.bind(&arguments.build().view().canonical(), queue(1));
        let headers = headers.build();
        !collect(|found| bindings.matching(headers.view(), found)).is_empty()
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

    #[test]
    fn a_destination_stays_until_its_last_binding_goes() {
        let (mut bindings, all, any) = (Headers::default(), table().int("a", 1).build(), mode("any").int("a", 1).int("b", 2).build());
        let arguments = [&all, &all, &any, &Table::empty()];
        arguments.iter().for_each(|arguments| bindings.bind(arguments, queue(1)));
        assert_eq!(collect(|found| bindings.matching(all.view(), found)), [queue(1); 3]);
        for (n, arguments) in arguments.iter().enumerate() {
            assert!(!collect(|found| bindings.matching(all.view(), found)).is_empty(), "{n}");
            bindings.unbind(arguments, queue(1));
        }
        assert!(collect(|found| bindings.matching(all.view(), found)).is_empty());
        assert!(bindings.anchors.is_empty() && bindings.index.is_empty() && bindings.always.is_empty());
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
                let found = collect(|found| bindings.matching(headers.view(), found));
                for (n, arguments) in all.iter().enumerate() {
                    assert_eq!(found.contains(&queue(n as u32)), naive(arguments, &headers), "{arguments:?} {headers:?}");
                }
                bindings.unbind(&all[last], queue(last as u32));
                all.pop();
            }
        }
    }
}

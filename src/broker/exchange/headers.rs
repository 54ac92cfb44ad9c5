//! The headers exchange: a binding's arguments are compared with the message's headers.
//!
//! ```text
//! binding {x-match: all, type: pdf, pages: 3}   anchors   hash(type, pdf) -> [ … ]
//! binding {x-match: any, type: pdf, draft}                hash(pages, 3)  -> [ … ]
//! message {type: pdf, size: 9}                            hash(draft)     -> [ … ]
//! an "all" binding is listed under one anchor, the one that fewest others chose; an "any" binding
//! under all its anchors
//! ```
//!
//! A binding can only match a message that has one of its anchors: the hash of a name and a value
//! that the binding demands, or of a name alone if the value is hard to hash or does not matter. So
//! the few headers of a message are looked up, instead of comparing the message with every binding.
//! Hashes only choose candidates; the comparison decides.
//!
//! A message's headers are sorted once, each name once; a binding's arguments are sorted by name,
//! too. So a candidate is compared by going through both lists in parallel. Each candidate is
//! compared at most once per message, so the cost is that of reading the candidates.
//!
//! The rules are RabbitMQ's: `all` (also without x-match) and `any` ignore names that begin with
//! `x-`, `all-with-x` and `any-with-x` ignore only `x-match`; a void argument demands that the
//! header exists; values are equal as in [`same_value`]; of headers with one name, the last is
//! used. Without arguments to compare, `all` matches every message, `any` none.
//!
//! Invariant: a binding is in the list of each of its anchors (in `always` if it is an "all"
//! binding without any), at the recorded position.

use std::cell::Cell;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use super::Dest;
use crate::contract::{Code, Fault};
use crate::message::{ErlangBinary, Table, TableRef, Value};

/// Bindings by their anchors.
#[derive(Default)]
pub struct Headers {
    bindings: Slab<Binding>,
    /// Indices in `bindings` by arguments and destination.
    index: HashTable<usize>,
    anchors: HashTable<Anchor>,
    /// Number of anchors that are names without values.
    names: usize,
    /// `all` bindings without arguments to compare: they match every message.
    always: Vec<usize>,
    hasher: foldhash::fast::RandomState,
    /// Number of the latest message: marks with other numbers are void.
    message: Cell<u64>,
}

/// An anchor, with the indices of its bindings.
#[derive(Debug)]
struct Anchor {
    hash: u64,
    is_name: bool,
    places: Vec<usize>,
}

struct Binding {
    arguments: Table,
    dest: Dest,
    /// Number of bindings with these arguments and this destination: they may differ in their keys.
    copies: u32,
    mode: Mode,
    /// The anchors under which it is listed, ascending, and its positions in their lists.
    anchors: SmallVec<[(u64, usize); 1]>,
    /// The number of the message that was last compared with it.
    compared: Cell<u64>,
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

/// The headers of a message by name, each name once.
type Sorted<'m> = SmallVec<[(&'m [u8], Value<'m>); 16]>;

impl Headers {
    /// Adds a binding. Its arguments are in their canonical form.
    pub fn bind(&mut self, arguments: &Table, dest: Dest) {
        if let Some(at) = self.find(arguments, dest) {
            self.bindings[at].copies += 1;
            return;
        }
        let mode = Mode::of(arguments.view());
        let at = self.bindings.vacant_key();
        let chosen = self.choose_anchors(arguments.view(), mode);
        let anchors = match (mode.quantity, &chosen[..]) {
            (Quantity::All, []) => {
                self.always.push(at);
                [(ALWAYS, self.always.len() - 1)].into()
            }
            (_, chosen) => chosen.iter().map(|&(hash, is_name)| (hash, self.stand_under(hash, is_name, at))).collect(),
        };
        self.bindings.insert(Binding { arguments: arguments.clone(), dest, copies: 1, mode, anchors, compared: Cell::new(0) });
        let Headers { bindings, index, hasher, .. } = self;
        index.insert_unique(identity(hasher, arguments, dest), at, |&at| identity(hasher, &bindings[at].arguments, bindings[at].dest));
    }

    /// Removes a binding, which must exist.
    pub fn unbind(&mut self, arguments: &Table, dest: Dest) {
        let at = self.find(arguments, dest).expect("a binding that is removed exists");
        self.bindings[at].copies -= 1;
        if self.bindings[at].copies == 0 {
            self.remove(at);
        }
    }

    /// Finds the destinations whose arguments the headers satisfy. Returns the work that was done:
    /// number of headers, and of arguments of candidates.
    pub fn matching(&self, headers: TableRef<'_>, found: &mut impl FnMut(Dest)) -> usize {
        self.always.iter().for_each(|&at| found(self.bindings[at].dest));
        if self.anchors.is_empty() {
            return 0;
        }
        let sorted = sort(headers);
        self.message.set(self.message.get() + 1);
        let mut looked_at = sorted.len();
        for &(name, value) in &sorted {
            let named = if self.names > 0 { self.places(self.name_anchor(name)) } else { &[] };
            let valued = self.value_anchor(name, value, HEADER_SECOND).map_or(&[][..], |anchor| self.places(anchor));
            for &at in named.iter().chain(valued) {
                let binding = &self.bindings[at];
                if binding.compared.replace(self.message.get()) == self.message.get() {
                    continue;
                }
                if binding.matches(&sorted, &mut looked_at) {
                    found(binding.dest);
                }
            }
        }
        looked_at
    }

    fn places(&self, anchor: u64) -> &[usize] {
        self.anchors.find(anchor, |found| found.hash == anchor).map_or(&[], |found| &found.places)
    }

    fn find(&self, arguments: &Table, dest: Dest) -> Option<usize> {
        let same = |&at: &usize| self.bindings[at].dest == dest && self.bindings[at].arguments == *arguments;
        self.index.find(identity(&self.hasher, arguments, dest), same).copied()
    }

    /// Adds the binding `at` to the list of an anchor. Returns its position in the list.
    fn stand_under(&mut self, hash: u64, is_name: bool, at: usize) -> usize {
        let entry = self.anchors.entry(hash, |anchor| anchor.hash == hash, |anchor| anchor.hash);
        let mut anchor = entry.or_insert_with(|| {
            self.names += usize::from(is_name);
            Anchor { hash, is_name, places: Vec::new() }
        });
        anchor.get_mut().places.push(at);
        anchor.get().places.len() - 1
    }

    fn remove(&mut self, at: usize) {
        let binding = self.bindings.remove(at);
        let entry = self.index.find_entry(identity(&self.hasher, &binding.arguments, binding.dest), |&place| place == at);
        entry.expect("every binding is in the index").remove();
        if let [(ALWAYS, stands)] = binding.anchors[..] {
            return leave(&mut self.always, stands, ALWAYS, &mut self.bindings);
        }
        for (hash, stands) in binding.anchors {
            let entry = self.anchors.find_entry(hash, |anchor| anchor.hash == hash);
            let mut anchor = entry.expect("a binding is listed under its anchors");
            leave(&mut anchor.get_mut().places, stands, hash, &mut self.bindings);
            if anchor.get().places.is_empty() {
                self.names -= usize::from(anchor.remove().0.is_name);
            }
        }
    }

    /// Returns every anchor for `any`, the one with the fewest bindings for `all`. They are
    /// ascending, each with whether it is a name without a value.
    fn choose_anchors(&self, arguments: TableRef<'_>, mode: Mode) -> Vec<(u64, bool)> {
        let mut all: Vec<_> = mode.compared(arguments).map(|(name, wanted)| self.anchor(name, wanted)).collect();
        if mode.quantity == Quantity::Any {
            all.sort_unstable();
            all.dedup_by_key(|&mut (hash, _)| hash);
            return all;
        }
        all.into_iter().min_by_key(|&(hash, _)| self.places(hash).len()).into_iter().collect()
    }

    /// Returns the anchor of an argument: a hash that all headers that satisfy the argument have in
    /// common, and whether it is that of the name alone.
    fn anchor(&self, name: &[u8], wanted: Value<'_>) -> (u64, bool) {
        match self.value_anchor(name, wanted, ARGUMENT_SECOND) {
            Some(hash) => (hash, false),
            None => (self.name_anchor(name), true),
        }
    }

    fn name_anchor(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name).max(ALWAYS + 1)
    }

    /// Hashes a name and a value. Returns `None` for values that are hard to hash.
    fn value_anchor(&self, name: &[u8], value: Value<'_>, second: i128) -> Option<u64> {
        let hash = match value {
            Value::LongString(bytes) | Value::Binary(bytes) => self.hasher.hash_one((name, bytes)),
            _ => self.hasher.hash_one((name, integer(value, second)?)),
        };
        Some(hash.max(ALWAYS + 1))
    }
}

/// Removes the binding at `stands` from the list of an anchor; the last one moves there.
fn leave(places: &mut Vec<usize>, stands: usize, anchor: u64, bindings: &mut Slab<Binding>) {
    places.swap_remove(stands);
    if let Some(&moved) = places.get(stands) {
        let anchors = &mut bindings[moved].anchors;
        let found = anchors.binary_search_by_key(&anchor, |&(hash, _)| hash).expect("a binding is listed under its anchors");
        anchors[found].1 = stands;
    }
}

/// Sorts headers by name; of several with one name, the last one stays.
fn sort(headers: TableRef<'_>) -> Sorted<'_> {
    let mut sorted: Sorted<'_> = headers.iter().collect();
    if !sorted.is_sorted_by(|left, right| left.0 < right.0) {
        sorted.reverse(); // `dedup` keeps the first one
        sorted.sort_by_key(|&(name, _)| name);
        sorted.dedup_by_key(|&mut (name, _)| name);
    }
    sorted
}

/// Counts the sorted headers before the name. Searches near the front first, where the next
/// argument's header mostly is.
fn count_before(headers: &[(&[u8], Value<'_>)], name: &[u8]) -> usize {
    let is_before = |&(key, _): &(&[u8], Value<'_>)| {
        #[cfg(test)]
        tests::SEARCHED.set(tests::SEARCHED.get() + 1);
        key < name
    };
    let mut end = 1;
    while end <= headers.len() && is_before(&headers[end - 1]) {
        end *= 2;
    }
    let (start, end) = (end / 2, end.min(headers.len()));
    start + headers[start..end].partition_point(is_before)
}

impl Binding {
    /// Compares the binding with sorted headers; `looked_at` counts its arguments.
    fn matches(&self, mut headers: &[(&[u8], Value<'_>)], looked_at: &mut usize) -> bool {
        let mut compared = self.mode.compared(self.arguments.view());
        let satisfied = |(name, wanted): (&[u8], Value<'_>)| {
            *looked_at += 1;
            headers = &headers[count_before(headers, name)..];
            let header = headers.first().filter(|&&(key, _)| key == name);
            header.is_some_and(|&(_, value)| wanted == Value::Void || same_value(wanted, value))
        };
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

    /// The arguments that are compared.
    fn compared<'a>(self, arguments: TableRef<'a>) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let overlooked = if self.with_x { &b"x-match"[..] } else { b"x-" };
        arguments.iter().filter(move |&(name, _)| if self.with_x { name != overlooked } else { !name.starts_with(overlooked) })
    }
}

/// Checks the arguments of a binding: x-match must be one of four texts.
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

/// Compares values as RabbitMQ's headers exchange does: by what they mean, whatever the width of
/// their type.
fn same_value(wanted: Value<'_>, value: Value<'_>) -> bool {
    match value {
        Value::Timestamp(_) => integer(wanted, ARGUMENT_SECOND) == integer(value, HEADER_SECOND),
        _ => wanted.equivalent(value),
    }
}

/// The number by which an integer or a timestamp is compared.
fn integer(value: Value<'_>, second: i128) -> Option<i128> {
    match value {
        Value::Timestamp(seconds) => Some(i128::from(seconds) * second),
        _ => value.as_int().map(i128::from),
    }
}

fn identity(hasher: &foldhash::fast::RandomState, arguments: &Table, dest: Dest) -> u64 {
    hasher.hash_one((arguments, dest))
}

/// RabbitMQ compares a header's timestamp in milliseconds with an argument's in seconds, so the two
/// never match (sic).
const HEADER_SECOND: i128 = 1000;
const ARGUMENT_SECOND: i128 = 1;
/// The anchor of bindings that match every message.
const ALWAYS: u64 = 0;

#[cfg(test)]
mod tests;

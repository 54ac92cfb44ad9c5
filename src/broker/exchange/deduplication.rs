//! Deduplication: an exchange drops a message that carries a header value which it has seen before.
//!
//! Two ways to ask for it. RabbitMQ's community plugin has an exchange type, `x-message-deduplication`, which otherwise is a fanout and must be told
//! how many values it remembers (`x-cache-size`). LavinMQ has an argument for exchanges of any type, `x-message-deduplication: true`, which
//! remembers 128 unless told otherwise. With both, `x-cache-ttl` says for how many milliseconds a value is remembered (for ever, if it is missing),
//! a message's header of that name overrides it, and the value is that of the header `x-deduplication-header`, or of the one that the exchange's
//! argument `x-deduplication-header` names. A message without it passes.
//!
//! A full cache forgets its oldest value. Values that have expired stand until they are the oldest, or come again: no timer looks for them. Equal
//! are values of one type with the same content; all widths of integers are one type.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::hash::Map;
use crate::contract::{Code, ExchangeSpec, Fault};
use crate::message::{Table, TableRef, Value};

/// The cache of one exchange.
pub struct Deduplication {
    header: Box<[u8]>,
    size: usize,
    ttl_ms: Option<u64>,
    seen: Map<Arc<[u8]>, Seen>,
    /// The keys of `seen` by number: the first is the oldest.
    order: BTreeMap<u64, Arc<[u8]>>,
    next: u64,
}

struct Seen {
    number: u64,
    /// None: never.
    expires: Option<u64>,
}

impl Deduplication {
    /// The empty cache of such an exchange; none if it does not deduplicate. The arguments were checked by [`check_arguments`].
    pub fn of(spec: &ExchangeSpec) -> Option<Deduplication> {
        let size = match number(&spec.arguments, SIZE) {
            _ if !is_wanted(spec) => return None,
            Some(size) => usize::try_from(size).unwrap_or(usize::MAX),
            None => SIZE_DEFAULT,
        };
        let header = spec.arguments.find(HEADER).and_then(Value::as_text).unwrap_or(HEADER.as_bytes()).into();
        let ttl_ms = number(&spec.arguments, TTL);
        Some(Deduplication { header, size, ttl_ms, seen: Map::default(), order: BTreeMap::new(), next: 0 })
    }

    /// Whether a message with these headers passes at `now`. Its value is remembered.
    pub fn passes(&mut self, headers: TableRef<'_>, now: u64) -> bool {
        let Some(value) = headers.find(&self.header) else { return true };
        let key = value.key();
        match self.seen.get(&key[..]) {
            Some(seen) if seen.expires.is_none_or(|expires| now < expires) => return false,
            Some(expired) => _ = self.order.remove(&expired.number),
            None if self.order.len() == self.size => self.forget_oldest(),
            None => {}
        }
        let ttl_ms = headers.find(TTL).and_then(as_number).or(self.ttl_ms);
        self.remember(key.into(), ttl_ms.map(|ttl_ms| now.saturating_add(ttl_ms)));
        true
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            self.seen.remove(&key);
        }
    }

    fn remember(&mut self, key: Arc<[u8]>, expires: Option<u64>) {
        self.order.insert(self.next, key.clone());
        self.seen.insert(key, Seen { number: self.next, expires });
        self.next += 1;
    }
}

/// Whether an exchange of this type and with these arguments deduplicates.
pub fn is_wanted(spec: &ExchangeSpec) -> bool {
    &*spec.kind == NAME || spec.arguments.find(NAME) == Some(Value::Bool(true))
}

/// What such an exchange asks of its arguments, with the plugin's texts.
pub fn check_arguments(spec: &ExchangeSpec) -> Result<(), Fault> {
    let refuse = |text: &str| Err(Fault::new(Code::PreconditionFailed, text));
    let is_positive = |name| number(&spec.arguments, name).is_some_and(|number| number > 0);
    let is_given = |name| spec.arguments.find(name).is_some();
    if !is_wanted(spec) {
        return Ok(());
    }
    if (is_given(SIZE) || &*spec.kind == NAME) && !is_positive(SIZE) {
        return refuse("Missing or invalid argument, 'x-cache-size' must be an integer greater than 0");
    }
    if is_given(TTL) && !is_positive(TTL) {
        return refuse("Invalid argument, 'x-cache-ttl' must be an integer greater than 0");
    }
    match spec.arguments.find(PERSISTENCE) {
        None | Some(Value::LongString(b"memory")) => Ok(()),
        Some(_) => refuse("Invalid argument, 'x-cache-persistence' must be 'memory'"),
    }
}

/// An argument that is a number, or its decimal text.
fn number(arguments: &Table, name: &str) -> Option<u64> {
    let value = arguments.find(name)?;
    as_number(value).or_else(|| std::str::from_utf8(value.as_text()?).ok()?.parse().ok())
}

fn as_number(value: Value<'_>) -> Option<u64> {
    value.as_int().and_then(|number| u64::try_from(number).ok())
}

const NAME: &str = "x-message-deduplication";
const HEADER: &str = "x-deduplication-header";
const SIZE: &str = "x-cache-size";
const TTL: &str = "x-cache-ttl";
/// The plugin can also keep its cache on disk. What we cannot do we refuse.
const PERSISTENCE: &str = "x-cache-persistence";
/// LavinMQ's.
const SIZE_DEFAULT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::broker::fixture::exchange;
    use crate::message::TableBuilder;

    fn cache(arguments: TableBuilder) -> Deduplication {
        let spec = ExchangeSpec { arguments: arguments.build(), ..exchange("e", NAME) };
        check_arguments(&spec).expect("in order");
        Deduplication::of(&spec).expect("it deduplicates")
    }

    fn of_size(size: i32) -> TableBuilder {
        TableBuilder::new().int(SIZE, size)
    }

    fn passes(cache: &mut Deduplication, value: Value<'_>, now: u64) -> bool {
        cache.passes(TableBuilder::new().value(HEADER, value).build().view(), now)
    }

    #[test]
    fn a_value_passes_once() {
        let mut cache = cache(of_size(10));
        assert!(passes(&mut cache, Value::LongString(b"5"), 0) && !passes(&mut cache, Value::LongString(b"5"), u64::MAX));
        assert!(passes(&mut cache, Value::SignedInt(5), 0) && !passes(&mut cache, Value::Long(5), 0));
        assert!(passes(&mut cache, Value::Bool(true), 0) && passes(&mut cache, Value::Bool(false), 0));
        assert!((0..2).all(|_| cache.passes(TableRef::EMPTY, 0)));
    }

    #[test]
    fn a_value_is_forgotten_after_its_time() {
        let mut cache = cache(of_size(10).int(TTL, 100));
        assert!(
            passes(&mut cache, Value::Long(1), 0) && !passes(&mut cache, Value::Long(1), 99) && passes(&mut cache, Value::Long(1), 100)
        );
        assert!(!passes(&mut cache, Value::Long(1), 199));
        let mut own = |ttl, now| cache.passes(TableBuilder::new().text(HEADER, "x").int(TTL, ttl).build().view(), now);
        assert!(own(5, 0) && !own(5, 4) && own(1000, 5) && !own(5, 1004) && own(5, 1005));
    }

    #[test]
    fn the_argument_names_another_header() {
        let mut cache = cache(of_size(1).text(HEADER, "id"));
        assert!(passes(&mut cache, Value::Long(1), 0) && passes(&mut cache, Value::Long(1), 0));
        let mut by_id = |id| cache.passes(TableBuilder::new().long("id", id).build().view(), 0);
        assert!(by_id(1) && !by_id(1) && by_id(2) && by_id(1), "it remembers one");
    }

    #[test]
    fn arguments_are_checked() {
        let refusal = |kind: &str, arguments: TableBuilder| {
            let spec = ExchangeSpec { arguments: arguments.build(), ..exchange("e", kind) };
            check_arguments(&spec).err().map(|fault| fault.text.to_string()).unwrap_or_default()
        };
        let size = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0";
        let table = TableBuilder::new;
        assert_eq!(refusal(NAME, table()), size);
        assert_eq!(refusal(NAME, of_size(0)), size);
        assert_eq!(refusal(NAME, table().text(SIZE, "many")), size);
        assert_eq!(refusal(NAME, table().text(SIZE, "10")), "");
        assert_eq!(refusal(NAME, of_size(1).int(TTL, -1)), "Invalid argument, 'x-cache-ttl' must be an integer greater than 0");
        assert_eq!(refusal(NAME, of_size(1).text(PERSISTENCE, "memory")), "");
        assert_eq!(refusal(NAME, of_size(1).text(PERSISTENCE, "disk")), "Invalid argument, 'x-cache-persistence' must be 'memory'");
        assert_eq!(refusal("direct", table().bool(NAME, true).int(SIZE, 0)), size);
        assert_eq!((refusal("direct", table().bool(NAME, true)), refusal("direct", of_size(0))), (String::new(), String::new()));
    }

    #[test]
    fn it_remembers_what_a_naive_list_does() {
        let (mut rng, mut cache) = (Rng::seeded(9), cache(of_size(8).int(TTL, 20)));
        let mut model: Vec<(i64, u64)> = Vec::new();
        for now in 0..5000 {
            let value = rng.below(16) as i64;
            let known = model.iter().position(|(other, _)| *other == value);
            let is_seen = known.is_some_and(|at| now < model[at].1);
            if !is_seen {
                match known {
                    Some(at) => _ = model.remove(at),
                    None if model.len() == 8 => _ = model.remove(0),
                    None => {}
                }
                model.push((value, now + 20));
            }
            assert_eq!(passes(&mut cache, Value::Long(value), now), !is_seen);
            assert_eq!((cache.seen.len(), cache.order.len()), (model.len(), model.len()));
        }
    }
}

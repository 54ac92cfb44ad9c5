//! Deduplication: an exchange or a queue drops messages with a header value that it has seen
//! before.
//!
//! **Exchanges** know two forms. RabbitMQ's community plugin has an exchange type,
//! `x-message-deduplication`, which otherwise is a fanout and must be told how many values it
//! remembers (`x-cache-size`). LavinMQ has an argument for exchanges of any type,
//! `x-message-deduplication: true`, which remembers 128 values by default. With both, `x-cache-ttl`
//! sets for how many milliseconds a value is remembered (without limit, if it is missing), and a
//! message's header of that name overrides it.
//!
//! A **queue** has that argument, too, in both meanings. With a size or a time it is LavinMQ's: the
//! queue remembers values as an exchange does, whatever happens to its messages. Without either it
//! is the plugin's: a value is remembered while a message with it is in the queue, delivered or
//! not, until that message is settled, dies or is purged. (A purge forgets all values, as in the
//! plugin.) Messages that a restart has found are remembered once they are read.
//!
//! The value is that of the header `x-deduplication-header`, or of the header that the argument
//! `x-deduplication-header` names. A message without it passes. A full cache forgets its oldest
//! value. Expired values stay until they are the oldest, or arrive again: no timer looks for them.
//! Values are equal if they have the same type and content; integers of all widths are one type.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use hashbrown::hash_map;

use crate::base::hash::Map;
use crate::contract::{Code, ExchangeSpec, Fault};
use crate::message::{TableRef, Value};

/// The deduplication that the arguments of an exchange or queue ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    header: Box<[u8]>,
    scope: Scope,
}

/// How long a value is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scope {
    /// While a message with it is in the queue.
    Queue,
    /// While it is among the last `size` values, and for this time, milliseconds.
    Last { size: usize, ttl_ms: Option<u64> },
}

/// The cache of one exchange or queue.
pub struct Deduplication {
    wanted: Wanted,
    seen: Map<Arc<[u8]>, Seen>,
    /// The keys of `seen` by number, from the oldest. If a queue remembers the values of its
    /// messages, the number is the message's place.
    order: BTreeMap<u64, Arc<[u8]>>,
    next: u64,
}

struct Seen {
    number: u64,
    /// When it expires; `None` for never.
    expires: Option<u64>,
}

/// Forgotten values of a cache, to be freed in steps, because there may be a million.
pub struct Forgotten {
    seen: hash_map::IntoIter<Arc<[u8]>, Seen>,
    order: btree_map::IntoIter<u64, Arc<[u8]>>,
}

impl Forgotten {
    /// Frees up to `count` values. Returns whether it freed that many.
    pub fn free(&mut self, count: usize) -> bool {
        let keys = self.order.by_ref().take(count).count();
        self.seen.by_ref().take(count).count().max(keys) == count
    }
}

impl Wanted {
    /// The deduplication of an exchange, if it has any. The arguments were checked.
    pub fn by_exchange(spec: &ExchangeSpec) -> Option<Wanted> {
        is_wanted_by_exchange(spec).then(|| Wanted { header: header(spec.arguments.view()), scope: Scope::last(spec.arguments.view()) })
    }

    /// The deduplication of a queue with these arguments, if it has any. The arguments were
    /// checked.
    pub fn by_queue(arguments: TableRef<'_>) -> Option<Wanted> {
        let is_given = |name| arguments.find(name).is_some();
        let scope = if is_given(SIZE) || is_given(TTL) { Scope::last(arguments) } else { Scope::Queue };
        is_wanted(arguments).then(|| Wanted { header: header(arguments), scope })
    }

    /// Whether values are remembered as long as a message with them is in the queue.
    pub fn is_by_content(&self) -> bool {
        self.scope == Scope::Queue
    }
}

impl Scope {
    fn last(arguments: TableRef<'_>) -> Scope {
        let size = number(arguments, SIZE).map_or(SIZE_DEFAULT, |size| usize::try_from(size).unwrap_or(usize::MAX));
        Scope::Last { size, ttl_ms: number(arguments, TTL) }
    }
}

impl Deduplication {
    /// Makes an empty cache.
    pub fn new(wanted: Wanted) -> Deduplication {
        Deduplication { wanted, seen: Map::default(), order: BTreeMap::new(), next: 0 }
    }

    /// Whether a message with these headers passes at `now`. If it does, its value is remembered.
    pub fn passes(&mut self, headers: TableRef<'_>, now: u64) -> bool {
        let Some(value) = headers.find(&self.wanted.header) else { return true };
        let key = value.key();
        match self.seen.get(&key[..]) {
            Some(seen) if seen.expires.is_none_or(|expires| now < expires) => return false,
            Some(expired) => _ = self.order.remove(&expired.number),
            None => self.make_room(),
        }
        self.remember(key.into(), self.expires(headers, now));
        true
    }

    /// Whether a message passes that will get this place in a queue. If it does, its value is
    /// remembered.
    pub fn passes_into(&mut self, place: u64, headers: TableRef<'_>, now: u64) -> bool {
        if self.wanted.is_by_content() {
            self.next = place;
        }
        self.passes(headers, now)
    }

    /// Remembers the value of a message that a restart has found at this place in the queue.
    pub fn learn(&mut self, place: u64, headers: TableRef<'_>) {
        if self.wanted.is_by_content() {
            self.passes_into(place, headers, 0);
        }
    }

    /// Forgets the value of the message at this place in the queue, which is gone.
    pub fn forget(&mut self, place: u64) {
        if self.wanted.is_by_content()
            && let Some(key) = self.order.remove(&place)
        {
            self.seen.remove(&key);
        }
    }

    /// Forgets the values of a purged queue, if they are remembered with its messages. Returns
    /// them.
    pub fn purge(&mut self) -> Option<Forgotten> {
        self.wanted.is_by_content().then(|| self.forget_all())
    }

    /// Forgets all values. Returns them.
    pub fn forget_all(&mut self) -> Forgotten {
        Forgotten { seen: std::mem::take(&mut self.seen).into_iter(), order: std::mem::take(&mut self.order).into_iter() }
    }

    fn make_room(&mut self) {
        if let Scope::Last { size, .. } = self.wanted.scope
            && self.order.len() == size
            && let Some((_, key)) = self.order.pop_first()
        {
            self.seen.remove(&key);
        }
    }

    fn expires(&self, headers: TableRef<'_>, now: u64) -> Option<u64> {
        let Scope::Last { ttl_ms, .. } = self.wanted.scope else { return None };
        // `now` is rounded down, so the time counts from the next millisecond: no value is
        // forgotten early.
        headers.find(TTL).and_then(as_number).or(ttl_ms).map(|ttl_ms| now.saturating_add(ttl_ms).saturating_add(ttl_ms.min(1)))
    }

    fn remember(&mut self, key: Arc<[u8]>, expires: Option<u64>) {
        self.order.insert(self.next, key.clone());
        self.seen.insert(key, Seen { number: self.next, expires });
        self.next += 1;
    }
}

/// Whether an exchange of this type and with these arguments deduplicates messages.
pub fn is_wanted_by_exchange(spec: &ExchangeSpec) -> bool {
    &*spec.kind == NAME || is_wanted(spec.arguments.view())
}

fn is_wanted(arguments: TableRef<'_>) -> bool {
    arguments.find(NAME) == Some(Value::Bool(true))
}

/// Checks the arguments of such an exchange, with the plugin's texts.
pub fn check_exchange(spec: &ExchangeSpec) -> Result<(), Fault> {
    if is_wanted_by_exchange(spec) { check(spec.arguments.view(), &*spec.kind == NAME) } else { Ok(()) }
}

/// Checks the arguments of such a queue, with the plugin's texts.
pub fn check_queue(arguments: TableRef<'_>) -> Result<(), Fault> {
    if is_wanted(arguments) { check(arguments, false) } else { Ok(()) }
}

fn check(arguments: TableRef<'_>, needs_size: bool) -> Result<(), Fault> {
    let refuse = |text: &str| Err(Fault::new(Code::PreconditionFailed, text));
    let is_positive = |name| number(arguments, name).is_some_and(|number| number > 0);
    let is_given = |name| arguments.find(name).is_some();
    if (is_given(SIZE) || needs_size) && !is_positive(SIZE) {
        return refuse("Missing or invalid argument, 'x-cache-size' must be an integer greater than 0");
    }
    if is_given(TTL) && !is_positive(TTL) {
        return refuse("Invalid argument, 'x-cache-ttl' must be an integer greater than 0");
    }
    match arguments.find(PERSISTENCE) {
        None | Some(Value::LongString(b"memory")) => Ok(()),
        Some(_) => refuse("Invalid argument, 'x-cache-persistence' must be 'memory'"),
    }
}

fn header(arguments: TableRef<'_>) -> Box<[u8]> {
    arguments.find(HEADER).and_then(Value::as_text).unwrap_or(HEADER.as_bytes()).into()
}

/// Reads an argument that is a number, or its decimal text.
fn number(arguments: TableRef<'_>, name: &str) -> Option<u64> {
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
/// The plugin can also keep its cache on disk. RingMQ cannot, and refuses that value.
const PERSISTENCE: &str = "x-cache-persistence";
/// LavinMQ's default.
const SIZE_DEFAULT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::broker::fixture::exchange;
    use crate::message::TableBuilder;

    fn cache(arguments: TableBuilder) -> Deduplication {
        let spec = ExchangeSpec { arguments: arguments.build(), ..exchange("e", NAME) };
        check_exchange(&spec).expect("in order");
        Deduplication::new(Wanted::by_exchange(&spec).expect("it deduplicates"))
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
            passes(&mut cache, Value::Long(1), 0) && !passes(&mut cache, Value::Long(1), 100) && passes(&mut cache, Value::Long(1), 101)
        );
        assert!(!passes(&mut cache, Value::Long(1), 201));
        let mut own = |ttl, now| cache.passes(TableBuilder::new().text(HEADER, "x").int(TTL, ttl).build().view(), now);
        assert!(own(5, 0) && !own(5, 5) && own(1000, 6) && !own(5, 1006) && own(0, 1007) && own(5, 1007));
    }

    #[test]
    fn the_argument_names_another_header() {
        let mut cache = cache(of_size(1).text(HEADER, "id"));
        assert!(passes(&mut cache, Value::Long(1), 0) && passes(&mut cache, Value::Long(1), 0));
        let mut by_id = |id| cache.passes(TableBuilder::new().long("id", id).build().view(), 0);
        assert!(by_id(1) && !by_id(1) && by_id(2) && by_id(1), "it remembers one");
    }

    #[test]
    fn a_queue_remembers_what_it_has() {
        let mut cache = Deduplication::new(Wanted::by_queue(TableBuilder::new().bool(NAME, true).build().view()).expect("it deduplicates"));
        let headers = |value| TableBuilder::new().long(HEADER, value).int(TTL, 1).build();
        let passes = |cache: &mut Deduplication, place, value| cache.passes_into(place, headers(value).view(), place);
        assert!((0..1000).all(|value| passes(&mut cache, value as u64, value)), "however many there are");
        assert!(!passes(&mut cache, 1000, 0) && !passes(&mut cache, u64::MAX, 999), "however long");
        cache.forget(0);
        cache.forget(1000); // no message is there
        assert!(passes(&mut cache, 1000, 0) && !passes(&mut cache, 1001, 0) && !passes(&mut cache, 1001, 1));
        cache.learn(2000, headers(1).view());
        cache.learn(2001, headers(-1).view());
        cache.forget(2000); // its value was remembered before
        assert!(!passes(&mut cache, 2002, 1) && !passes(&mut cache, 2002, -1));
        let mut forgotten = cache.purge().expect("it goes with what the queue had");
        assert!(cache.seen.is_empty() && cache.order.is_empty() && passes(&mut cache, 1001, 1));
        assert!((0..9).all(|_| forgotten.free(100)) && !forgotten.free(200) && !forgotten.free(1), "some at a time");
    }

    #[test]
    fn a_queue_with_a_size_or_a_time_remembers_as_an_exchange_does() {
        let of = |arguments: TableBuilder| Wanted::by_queue(arguments.bool(NAME, true).build().view()).expect("it deduplicates");
        assert_eq!(of(of_size(7)), Wanted { header: HEADER.as_bytes().into(), scope: Scope::Last { size: 7, ttl_ms: None } });
        let timed = of(TableBuilder::new().int(TTL, 9).text(HEADER, "id"));
        assert_eq!(timed, Wanted { header: b"id"[..].into(), scope: Scope::Last { size: SIZE_DEFAULT, ttl_ms: Some(9) } });
        let mut cache = Deduplication::new(of(of_size(7)));
        let headers = TableBuilder::new().text(HEADER, "v").build();
        assert!(cache.passes_into(5, headers.view(), 0));
        (0..9).for_each(|place| cache.forget(place));
        assert!(cache.purge().is_none());
        assert!(!cache.passes_into(6, headers.view(), 0));
        assert_eq!(Wanted::by_queue(of_size(7).bool(NAME, false).build().view()), None);
        assert_eq!(check_queue(of_size(0).build().view()), Ok(()));
        assert!(check_queue(of_size(0).bool(NAME, true).build().view()).is_err());
    }

    #[test]
    fn arguments_are_checked() {
        let refusal = |kind: &str, arguments: TableBuilder| {
            let spec = ExchangeSpec { arguments: arguments.build(), ..exchange("e", kind) };
            check_exchange(&spec).err().map(|fault| fault.text.to_string()).unwrap_or_default()
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
                model.push((value, now + 21));
            }
            assert_eq!(passes(&mut cache, Value::Long(value), now), !is_seen);
            assert_eq!((cache.seen.len(), cache.order.len()), (model.len(), model.len()));
        }
    }
}

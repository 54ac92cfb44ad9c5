//! Dead letters: the headers with the history of a dead message, and the queues where it has died
//! before.
//!
//! ```text
//! x-death   [{count, reason, queue, time, exchange, routing-keys}, …]
//!           one entry for each queue and reason, the latest death first
//! x-first-death-{exchange, queue, reason}     x-last-death-{…}
//! ```
//!
//! Rows DL1 to DL7; the rest follows RabbitMQ 4.3: the headers are sorted by name, and a name that
//! occurs twice keeps its first value.
//!
//! RabbitMQ ignores an x-death that a client has sent. Here it is continued (row P11), because
//! retries in clients rely on it. But its entries make no cycle: a client that publishes a message
//! again with the headers that it got wants the message to take the same way again. Entries of
//! deaths since the last publish are in front of those that the client sent, and the message's
//! stamp has their number.

use std::collections::BTreeMap;

use crate::message::{MessageView, Properties, Stamp, Table, TableBuilder, TableRef, Value, flag, replace_headers};

/// The reason of a death.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A consumer refused the message.
    Rejected,
    /// The message waited too long.
    Expired,
    /// There were too many messages in the queue.
    MaxLength,
    /// Too many deliveries of the message failed.
    DeliveryLimit,
}

/// A death.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Death<'a> {
    /// The queue in which the message died.
    pub queue: &'a str,
    /// The reason.
    pub reason: Reason,
    /// The time, seconds since 1970.
    pub time: u64,
}

/// A queue in which a message died, and the reason.
type Station = (Box<[u8]>, Box<[u8]>);

/// A dead message, ready to be published again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dead {
    /// The new properties.
    pub properties: Vec<u8>,
    /// Queues and reasons of the deaths since the message was published, the latest first.
    history: Vec<Station>,
}

impl Reason {
    /// The reason's name in the headers.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::MaxLength => "maxlen",
            Reason::DeliveryLimit => "delivery_limit",
        }
    }
}

impl Dead {
    /// Adds a death of `message` to its headers. With `trusts_client`, deaths that its publisher
    /// has sent are continued.
    pub fn new(message: &MessageView<'_>, death: &Death<'_>, trusts_client: bool) -> Dead {
        let properties = Properties::trusted(message.properties);
        let headers = properties.headers().unwrap_or_default();
        let knows = trusts_client || message.stamp.has_died();
        let mut deaths = if knows { earlier(headers) } else { Vec::new() };
        let is_first = deaths.is_empty();
        let (same, known) = (deaths.iter().position(|entry| entry_is(*entry, death)), message.stamp.deaths());
        let own = known + usize::from(same.is_none_or(|at| at >= known));
        let entry = same.map_or_else(|| new_entry(message, properties, death), |at| counted(deaths.remove(at)));
        deaths.insert(0, entry.view());
        let history = history(&deaths, own);
        let deaths = TableBuilder::new().array(DEATHS, |array| deaths.iter().fold(array, |array, entry| array.value(Value::Table(*entry))));
        let headers = with_death(headers, deaths.build().view(), message.route.exchange(), death, is_first);
        Dead { properties: replace_headers(message.properties, headers.view(), flag::EXPIRATION), history }
    }

    /// Reads a message to whose headers [`new`](Dead::new) has added its death before.
    pub fn again(message: &MessageView<'_>) -> Dead {
        let headers = Properties::trusted(message.properties).headers().unwrap_or_default();
        Dead { properties: message.properties.to_vec(), history: history(&earlier(headers), message.stamp.deaths()) }
    }

    /// Returns the message's stamp after its death, given its stamp before.
    pub fn stamp(&self, before: Stamp) -> Stamp {
        before.died(self.history.len())
    }

    /// Whether the message has come back to `queue` in a cycle: it died there before, and no
    /// consumer has rejected it since (row DL7).
    pub fn is_cycle(&self, queue: &str) -> bool {
        let at = self.history.iter().position(|(name, _)| **name == *queue.as_bytes());
        at.is_some_and(|at| self.history[..=at].iter().all(|(_, reason)| **reason != *Reason::Rejected.name().as_bytes()))
    }
}

/// Returns the queues and reasons of the `own` latest deaths.
fn history(deaths: &[TableRef<'_>], own: usize) -> Vec<Station> {
    let part = |entry: &TableRef<'_>, name| entry.find(name).and_then(Value::as_text).unwrap_or_default().into();
    deaths.iter().take(own).map(|entry| (part(entry, "queue"), part(entry, "reason"))).collect()
}

/// Returns the entries of x-death, if it has the form that brokers write.
fn earlier(headers: TableRef<'_>) -> Vec<TableRef<'_>> {
    let is_entry = |entry: &TableRef<'_>| {
        let is_text = |name| entry.find(name).and_then(Value::as_text).is_some();
        is_text("queue") && is_text("reason") && entry.find("count").and_then(Value::as_int).is_some()
    };
    let entries: Option<Vec<_>> = headers.find(DEATHS).and_then(Value::as_array).map(|array| array.filter_map(Value::as_table).collect());
    entries.filter(|entries| entries.iter().all(is_entry)).unwrap_or_default()
}

fn entry_is(entry: TableRef<'_>, death: &Death<'_>) -> bool {
    let is = |name, text: &str| entry.find(name).and_then(Value::as_text) == Some(text.as_bytes());
    is("queue", death.queue) && is("reason", death.reason.name())
}

/// Returns the entry with one more death.
fn counted(entry: TableRef<'_>) -> Table {
    let count = |value: Value<'_>| value.as_int().unwrap_or_default().saturating_add(1);
    let add = |table: TableBuilder, (name, value): (&[u8], Value<'_>)| match name {
        b"count" => table.value(name, Value::Long(count(value))),
        _ => table.value(name, value),
    };
    entry.iter().fold(TableBuilder::new(), add).build()
}

fn new_entry(message: &MessageView<'_>, properties: Properties<'_>, death: &Death<'_>) -> Table {
    let expiration = properties.expiration();
    let table = expiration.into_iter().fold(TableBuilder::new(), |table, text| table.value("original-expiration", Value::LongString(text)));
    let copies = properties.headers().and_then(|headers| headers.find("CC")).and_then(Value::as_array);
    let copies = copies.into_iter().flatten().filter(|key| key.as_text().is_some());
    table
        .long("count", 1)
        .text("reason", death.reason.name())
        .text("queue", death.queue)
        .timestamp("time", death.time)
        .value("exchange", Value::LongString(message.route.exchange()))
        .array("routing-keys", |array| copies.fold(array.value(Value::LongString(message.route.key())), |array, key| array.value(key)))
        .build()
}

/// Returns the headers with the deaths, and with exchange, queue and reason of the first and the
/// last one.
fn with_death(headers: TableRef<'_>, deaths: TableRef<'_>, exchange: &[u8], death: &Death<'_>, is_first: bool) -> Table {
    let mut names: BTreeMap<&[u8], Value<'_>> = BTreeMap::new();
    for (name, value) in headers.iter() {
        names.entry(name).or_insert(value);
    }
    names.extend(deaths.iter());
    let facts = [exchange, death.queue.as_bytes(), death.reason.name().as_bytes()].map(Value::LongString);
    for ((first, last), fact) in FIRST_DEATH.iter().zip(LAST_DEATH).zip(facts) {
        if is_first {
            names.insert(first.as_bytes(), fact);
        }
        names.entry(first.as_bytes()).or_insert(fact);
        names.insert(last.as_bytes(), fact);
    }
    names.into_iter().fold(TableBuilder::new(), |table, (name, value)| table.value(name, value)).build()
}

const DEATHS: &str = "x-death";
const FIRST_DEATH: [&str; 3] = ["x-first-death-exchange", "x-first-death-queue", "x-first-death-reason"];
const LAST_DEATH: [&str; 3] = ["x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Body, PropertiesBuilder, Route};

    fn died(properties: &[u8], queue: &str, reason: Reason, stamp: Stamp, trusts_client: bool) -> Dead {
        let message = MessageView { route: Route::new(b"\x01e\x01k"), properties, stamp, body: Body::Slice(b"") };
        Dead::new(&message, &Death { queue, reason, time: 7 }, trusts_client)
    }

    fn count(dead: &Dead) -> Vec<(String, i64)> {
        let headers = Properties::parse(&dead.properties).expect("a list").headers().expect("some");
        let deaths = headers.find(DEATHS).and_then(Value::as_array).expect("an array").filter_map(Value::as_table);
        let text =
            |entry: TableRef<'_>, name| String::from_utf8_lossy(entry.find(name).and_then(Value::as_text).expect("text")).into_owned();
        deaths
            .map(|entry| (text(entry, "queue") + " " + &text(entry, "reason"), entry.find("count").and_then(Value::as_int).expect("one")))
            .collect()
    }

    #[test]
    fn each_queue_and_reason_has_its_entry() {
        let first = died(Properties::NONE, "q", Reason::Expired, Stamp::at(5), false);
        let second = died(&first.properties, "p", Reason::Rejected, first.stamp(Stamp::at(5)), false);
        let third = died(&second.properties, "q", Reason::Expired, second.stamp(Stamp::at(5)), false);
        assert_eq!(count(&third), [("q expired".into(), 2), ("p rejected".into(), 1)]);
        let headers = Properties::trusted(&third.properties).headers().expect("some");
        assert_eq!(headers.find("x-first-death-queue"), Some(Value::LongString(b"q")));
        assert_eq!(headers.find("x-last-death-reason"), Some(Value::LongString(b"expired")));
        assert!(first.is_cycle("q") && !first.is_cycle("p"));
        assert!(!second.is_cycle("p") && !second.is_cycle("q"));
        assert!(third.is_cycle("q") && !third.is_cycle("p"));
    }

    #[test]
    fn what_a_client_says_counts_if_it_is_believed() {
        let earlier = died(Properties::NONE, "q", Reason::Rejected, Stamp::NONE, true);
        assert_eq!(count(&died(&earlier.properties, "q", Reason::Rejected, Stamp::NONE, true)), [("q rejected".into(), 2)]);
        assert_eq!(count(&died(&earlier.properties, "q", Reason::Rejected, Stamp::NONE, false)), [("q rejected".into(), 1)]);
        let odd = TableBuilder::new().text(DEATHS, "odd").build();
        let odd = PropertiesBuilder { headers: Some(odd.view()), ..PropertiesBuilder::default() }.build();
        assert_eq!(count(&died(&odd, "q", Reason::Expired, Stamp::NONE, true)), [("q expired".into(), 1)]);
    }

    #[test]
    fn only_deaths_since_the_last_publish_make_a_cycle() {
        let first = died(Properties::NONE, "long", Reason::Expired, Stamp::at(5), true);
        let second = died(&first.properties, "short", Reason::Expired, first.stamp(Stamp::at(5)), true);
        assert!(second.is_cycle("long") && second.is_cycle("short"));
        // The consumer publishes the message again with the headers that it got.
        let again = died(&second.properties, "long", Reason::Expired, Stamp::at(9), true);
        assert_eq!(count(&again), [("long expired".into(), 2), ("short expired".into(), 1)]);
        assert!(again.is_cycle("long") && !again.is_cycle("short"));
        let last = died(&again.properties, "short", Reason::Expired, again.stamp(Stamp::at(9)), true);
        assert_eq!(count(&last), [("short expired".into(), 2), ("long expired".into(), 2)]);
        assert!(last.is_cycle("long") && last.is_cycle("short") && last.stamp(Stamp::NONE).deaths() == 2);
        let message =
            MessageView { route: Route::EMPTY, properties: &last.properties, stamp: again.stamp(Stamp::at(9)), body: Body::Slice(b"") };
        assert!(Dead::again(&message).is_cycle("short") && !Dead::again(&message).is_cycle("long"));
    }

    #[test]
    fn the_expiration_is_in_the_history_only() {
        let list = PropertiesBuilder { expiration: Some("60"), app_id: Some("a"), ..PropertiesBuilder::default() }.build();
        let dead = died(&list, "q", Reason::Expired, Stamp::NONE, true);
        let properties = Properties::parse(&dead.properties).expect("a list");
        assert_eq!((properties.expiration(), properties.app_id()), (None, Some(&b"a"[..])));
        let deaths = properties.headers().and_then(|headers| headers.find(DEATHS)).and_then(Value::as_array).expect("an array");
        let entry = deaths.filter_map(Value::as_table).next().expect("one");
        assert_eq!(entry.iter().next(), Some((&b"original-expiration"[..], Value::LongString(b"60"))));
    }
}

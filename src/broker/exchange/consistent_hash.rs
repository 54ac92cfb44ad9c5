//! The exchange type `x-consistent-hash`: each message goes to one destination, chosen by a hash of
//! its routing key, of a header or of a property. A destination's share grows with its weight, the
//! number in its binding key.
//!
//! The method is weighted rendezvous hashing. For each destination, the hashed value and the
//! destination's identity make a number `u` between 0 and 1; the destination with the smallest
//! `-ln(u) / weight` gets the message. (With 100,000 keys, the shares of ten queues are within 1 %
//! of a tenth each, and that error comes from the keys.) A ring with virtual points needs thousands
//! of points per destination for shares as even, and with RabbitMQ's buckets, most keys move when a
//! queue other than the last one is unbound. Here, only the keys of the unbound destination move,
//! and a new one takes keys from all others alike. The order of binding has no influence, so shards
//! agree, and a restart moves no key. The price is a few nanoseconds per destination for a message
//! whose route is not remembered.
//!
//! As in RabbitMQ, one binding per destination is used: there it is the first one until the broker
//! starts again, here the heaviest. Messages without the header or property to be hashed all go to
//! one destination. Only the first routing key is hashed, not those in CC and BCC.

use std::borrow::Cow;

use super::members::{Member, Members};
use super::{Dest, Features};
use crate::base::hash;
use crate::contract::{Code, Fault};
use crate::message::{ErlangBinary, Table, Value, erlang_text};

/// Bindings by destination, and which part of a message is hashed.
pub struct ConsistentHash {
    members: Members,
    hashed: Hashed,
}

/// The part of a message that is hashed.
enum Hashed {
    Key,
    Header(Box<[u8]>),
    CorrelationId,
    MessageId,
    Timestamp,
}

impl ConsistentHash {
    /// Makes an empty table.
    pub fn new(arguments: &Table) -> ConsistentHash {
        let text = |name| arguments.find(name).and_then(Value::as_text);
        let hashed = match (text(HEADER), text(PROPERTY)) {
            (Some(header), _) => Hashed::Header(header.into()),
            (None, Some(b"correlation_id")) => Hashed::CorrelationId,
            (None, Some(b"message_id")) => Hashed::MessageId,
            (None, Some(b"timestamp")) => Hashed::Timestamp,
            (None, _) => Hashed::Key,
        };
        ConsistentHash { members: Members::default(), hashed }
    }

    /// Adds a binding whose key was checked by [`check_weight`].
    pub fn bind(&mut self, key: &[u8], dest: Dest, identity: u64) {
        self.members.add(dest, identity, weight(key));
    }

    /// Removes a binding, which must exist.
    pub fn unbind(&mut self, key: &[u8], dest: Dest, identity: u64) {
        self.members.remove(dest, identity, weight(key));
    }

    /// The destination of a message with this routing key and these features.
    pub fn matching(&self, key: &[u8], features: Features<'_>) -> Option<Dest> {
        let hashed = hash::fixed(&self.hashed(key, features));
        let distance = |member: &Member| distance(hashed, member);
        let nearest = self.members.list().iter().min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
        Some(nearest.dest)
    }

    /// Whether the routing key alone decides the destination.
    pub fn is_by_key(&self) -> bool {
        matches!(self.hashed, Hashed::Key)
    }

    fn hashed<'m>(&self, key: &'m [u8], Features { headers, properties }: Features<'m>) -> Cow<'m, [u8]> {
        let bytes = match &self.hashed {
            Hashed::Key => Some(key),
            Hashed::Header(name) => return headers.find(name).map_or(Cow::Borrowed(&[]), hashed_value),
            Hashed::CorrelationId => properties.correlation_id(),
            Hashed::MessageId => properties.message_id(),
            Hashed::Timestamp => return properties.timestamp().map_or(Cow::Borrowed(&[]), |time| Cow::Owned(time.to_be_bytes().to_vec())),
        };
        Cow::Borrowed(bytes.unwrap_or_default())
    }
}

/// The bytes of a value to be hashed: text as it is, any other value with its type.
fn hashed_value(value: Value<'_>) -> Cow<'_, [u8]> {
    value.as_text().map_or_else(|| Cow::Owned(value.key()), Cow::Borrowed)
}

/// The distance of a destination, exponentially distributed with the weight as its rate. The
/// smallest distance wins.
fn distance(hashed: u64, member: &Member) -> f64 {
    let bits = hash::mixed(hashed ^ member.identity) >> (64 - f64::MANTISSA_DIGITS);
    let between_0_and_1 = (bits as f64 + 0.5) / (1u64 << f64::MANTISSA_DIGITS) as f64;
    -between_0_and_1.ln() / f64::from(member.weight())
}

/// Checks the arguments of such an exchange. `exchange_text` is `exchange 'NAME' in vhost 'VHOST'`.
pub fn check_arguments(arguments: &Table, exchange_text: &str) -> Result<(), Fault> {
    let text = match (text(arguments, HEADER, exchange_text)?, text(arguments, PROPERTY, exchange_text)?) {
        (Some(_), Some(_)) => "hash-header and hash-property are mutually exclusive".into(),
        (None, Some(property)) if !PROPERTIES.contains(&property) => format!("Unsupported property: {}", erlang_text(property)),
        _ => return Ok(()),
    };
    Err(Fault::new(Code::PreconditionFailed, text))
}

/// Reads an argument that is a long string, if it is there. (RabbitMQ has no clause for other types
/// and closes the connection with 541.)
fn text<'a>(arguments: &'a Table, name: &str, exchange_text: &str) -> Result<Option<&'a [u8]>, Fault> {
    match arguments.find(name) {
        None => Ok(None),
        Some(Value::LongString(text)) => Ok(Some(text)),
        Some(other) => {
            let text = format!("invalid type '{}' for arg '{name}' in {exchange_text}", other.type_name());
            Err(Fault::new(Code::PreconditionFailed, text))
        }
    }
}

/// Checks a binding key of such an exchange: a whole number from 1 to 10,000.
pub fn check_weight(key: &[u8]) -> Result<(), Fault> {
    let text = match parse(key) {
        Some((false, 1..=WEIGHT_MAX)) => return Ok(()),
        Some((false, number)) if number > 0 => format!("The binding key must not exceed {WEIGHT_MAX}"),
        Some(_) => "The binding key must be greater than 0".into(),
        None => format!("The binding key must be an integer: {}", ErlangBinary(key)),
    };
    Err(Fault::new(Code::PreconditionFailed, text))
}

fn weight(key: &[u8]) -> u16 {
    parse(key).and_then(|(_, number)| u16::try_from(number).ok()).expect("the binding key was checked")
}

/// Reads an integer as Erlang does. Returns whether it is negative, and its magnitude, cut at the
/// largest number.
fn parse(text: &[u8]) -> Option<(bool, u32)> {
    let digits = text.strip_prefix(b"+").or(text.strip_prefix(b"-")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
    Some((text.starts_with(b"-"), number))
}

const HEADER: &str = "hash-header";
const PROPERTY: &str = "hash-property";
const PROPERTIES: [&[u8]; 3] = [b"correlation_id", b"message_id", b"timestamp"];
const WEIGHT_MAX: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::exchange::tests::queue;
    use crate::message::{Properties, PropertiesBuilder, TableBuilder, TableRef};

    const KEYS: u32 = 100_000;

    /// Binds queues 0, 1, … with these weights.
    fn bound(weights: &[u16]) -> ConsistentHash {
        let mut exchange = ConsistentHash::new(&Table::empty());
        for (n, weight) in (0..).zip(weights) {
            exchange.bind(weight.to_string().as_bytes(), queue(n), identity(n));
        }
        exchange
    }

    fn identity(n: u32) -> u64 {
        hash::fixed(format!("queue-{n}").as_bytes())
    }

    fn none() -> Features<'static> {
        Features { headers: TableRef::EMPTY, properties: Properties::trusted(Properties::NONE) }
    }

    fn choices(exchange: &ConsistentHash) -> Vec<Dest> {
        (0..KEYS).map(|key| exchange.matching(format!("key-{key}").as_bytes(), none()).expect("there are queues")).collect()
    }

    fn shares(choices: &[Dest], queues: u32) -> Vec<f64> {
        let count = |n| choices.iter().filter(|&&dest| dest == queue(n)).count();
        (0..queues).map(|n| count(n) as f64 / f64::from(KEYS)).collect()
    }

    #[test]
    fn ten_queues_of_one_weight_get_a_tenth_each() {
        for share in shares(&choices(&bound(&[1; 10])), 10) {
            assert!((share / 0.1 - 1.0).abs() < 0.05, "{share}");
        }
    }

    #[test]
    fn shares_follow_weights() {
        let weights = [1, 2, 3, 10, 100];
        let total: u16 = weights.iter().sum();
        for (share, weight) in shares(&choices(&bound(&weights)), 5).into_iter().zip(weights) {
            let expected = f64::from(weight) / f64::from(total);
            assert!((share / expected - 1.0).abs() < 0.1, "{share} instead of {expected}");
        }
    }

    #[test]
    fn only_the_keys_of_who_comes_or_goes_move() {
        let (nine, ten) = (choices(&bound(&[1; 9])), choices(&bound(&[1; 10])));
        let moved: Vec<_> = nine.iter().zip(&ten).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|(_, after)| **after == queue(9)));
        assert!((moved.len() as f64 / f64::from(KEYS) / 0.1 - 1.0).abs() < 0.05, "{} keys moved", moved.len());
        let mut without_first = bound(&[1; 10]);
        without_first.unbind(b"1", queue(0), identity(0));
        assert!(ten.iter().zip(choices(&without_first)).all(|(before, after)| *before == after || *before == queue(0)));
    }

    #[test]
    fn neither_ids_nor_the_order_of_binding_decide() {
        let mut other = ConsistentHash::new(&Table::empty());
        for n in (0..10).rev() {
            other.bind(b"1", queue(n + 500), identity(n));
        }
        let renamed = choices(&bound(&[1; 10])).into_iter().map(|dest| (0..10).find(|&n| queue(n) == dest).expect("one of ten"));
        assert!(renamed.map(|n| queue(n + 500)).eq(choices(&other)));
    }

    #[test]
    fn the_heaviest_binding_of_a_queue_counts() {
        let mut exchange = bound(&[1, 1]);
        exchange.bind(b"1000", queue(0), identity(0));
        assert!(shares(&choices(&exchange), 1)[0] > 0.99);
        exchange.unbind(b"1000", queue(0), identity(0));
        assert!((shares(&choices(&exchange), 1)[0] - 0.5).abs() < 0.01);
    }

    #[test]
    fn what_is_hashed_decides_and_nothing_else() {
        let by = |name: &str, value: &str| {
            let mut exchange = ConsistentHash::new(&TableBuilder::new().text(name, value).build());
            (0..10).for_each(|n| exchange.bind(b"1", queue(n), identity(n)));
            exchange
        };
        let spread = |exchange: &ConsistentHash, list: &dyn Fn(u32) -> Vec<u8>| {
            let choose = |n: u32| {
                let list = list(n);
                let properties = Properties::trusted(&list);
                let features = Features { headers: properties.headers().unwrap_or_default(), properties };
                exchange.matching(&n.to_be_bytes(), features).expect("there are queues")
            };
            (0..200).map(choose).collect::<std::collections::HashSet<_>>().len()
        };
        let header = |value: Value<'_>| {
            let headers = TableBuilder::new().value("h", value).build();
            PropertiesBuilder { headers: Some(headers.view()), ..Default::default() }.build()
        };
        let by_header = by("hash-header", "h");
        assert!(!by_header.is_by_key());
        assert_eq!(spread(&by_header, &|n| header(Value::SignedInt(n as i32))), 10);
        assert_eq!(spread(&by_header, &|n| if n % 2 == 0 { header(Value::SignedInt(7)) } else { header(Value::Long(7)) }), 1);
        assert_eq!(spread(&by_header, &|_| Properties::NONE.to_vec()), 1);
        let ids = |n: u32| PropertiesBuilder { correlation_id: Some(&n.to_string()), ..Default::default() }.build();
        assert_eq!((spread(&by("hash-property", "correlation_id"), &ids), spread(&by("hash-property", "message_id"), &ids)), (10, 1));
        let times = |n: u32| PropertiesBuilder { timestamp: Some(n.into()), ..Default::default() }.build();
        assert_eq!(spread(&by("hash-property", "timestamp"), &times), 10);
    }
}

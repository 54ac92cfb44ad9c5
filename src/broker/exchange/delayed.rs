//! The exchange type `x-delayed-message`: a message with a header `x-delay` waits that many
//! milliseconds before it is routed (rows X20, N3).
//!
//! `x-delayed-type` names the type by which the message is then routed. Messages without a delay
//! are routed at once. Delayed messages wait in a queue of the exchange's own, see
//! [`Delays`](crate::broker::queue::Delays).
//!
//! RabbitMQ's plugin does the same, with limits that do not exist here: in RingMQ a delay may be
//! longer than 2^32 milliseconds, a delayed message is not returned to a publisher of mandatory
//! messages, and it is as safe as a message in a queue.

use super::Kind;
use crate::contract::{Code, ExchangeSpec, Fault};
use crate::message::{Properties, TableBuilder, TableRef, Value, replace_headers};

/// The name of the type.
pub const DELAYED: &str = "x-delayed-message";

/// The type by which a delaying exchange routes messages.
pub fn inner(spec: &ExchangeSpec) -> Option<Kind> {
    let name = spec.arguments.find(INNER).and_then(Value::as_text)?;
    Kind::named(std::str::from_utf8(name).ok()?).filter(|kind| !matches!(kind, Kind::RecentHistory | Kind::Deduplication))
}

/// Checks the arguments of a new exchange.
pub fn check_arguments(spec: &ExchangeSpec) -> Result<(), Fault> {
    if &*spec.kind == DELAYED && inner(spec).is_none() {
        let text = "Invalid argument, 'x-delayed-type' must be an existing exchange type that remembers no messages";
        return Err(Fault::new(Code::PreconditionFailed, text));
    }
    Ok(())
}

/// How many milliseconds a message with these headers waits; `None` if it does not. As in the
/// plugin, texts and fractions count as numbers.
pub fn delay(headers: TableRef<'_>) -> Option<u64> {
    let delay = match headers.find(HEADER)? {
        Value::Double(delay) => delay as i64,
        Value::Float(delay) => delay as i64,
        value => match value.as_text() {
            Some(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
            None => value.as_int()?,
        },
    };
    u64::try_from(delay).ok().filter(|&delay| delay > 0)
}

/// Returns the properties of a message that has waited. The delay becomes negative, so that the
/// message does not wait again and its receiver sees that it did.
pub fn without_delay(properties: &[u8]) -> Vec<u8> {
    let headers = Properties::trusted(properties).headers().unwrap_or_default();
    let waited = delay(headers).and_then(|delay| i64::try_from(delay).ok()).unwrap_or(i64::MAX);
    let waited = i32::try_from(-waited).map_or(Value::Long(-waited), Value::SignedInt);
    let copy =
        |table: TableBuilder, (name, value): (&[u8], Value<'_>)| table.value(name, if name == HEADER.as_bytes() { waited } else { value });
    replace_headers(properties, headers.iter().fold(TableBuilder::new(), copy).build().view(), 0)
}

const HEADER: &str = "x-delay";
const INNER: &str = "x-delayed-type";

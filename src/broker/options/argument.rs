//! The values of queue arguments, and RabbitMQ's reasons against others.

use super::DEAD_LETTER_EXCHANGE;
use crate::base::limits::EXPIRATION_MS_MAX;
use crate::message::{TableRef, Value};

/// The values that an argument may have.
#[derive(Clone, Copy, Debug)]
pub enum ArgumentRule {
    /// An integer from 0.
    NotNegative,
    /// Milliseconds from 1.
    Expires,
    /// Milliseconds from 0.
    Milliseconds,
    /// An integer from 0 to 255.
    Priority,
    /// An integer from 1.
    Positive,
    /// A boolean.
    Bool,
    /// A text.
    Text,
    /// A text; it needs a dead-letter exchange beside it.
    DeadLetterKey,
    /// The number 2, because queue version 1 no longer exists.
    Version,
    /// One of these texts; this error otherwise.
    OneOf(&'static [&'static str], &'static str),
    /// Any value.
    Anything,
}

impl ArgumentRule {
    /// Checks a value of the argument, beside all `arguments`.
    ///
    /// # Errors
    /// RabbitMQ's reason: an Erlang term.
    pub fn check(self, value: Value<'_>, arguments: TableRef<'_>) -> Result<(), String> {
        match self {
            ArgumentRule::NotNegative => not_negative(value).map(drop),
            ArgumentRule::Expires => match integer(value)? {
                0 => Err("{value_zero,0}".to_owned()),
                number => expiry(number),
            },
            ArgumentRule::Milliseconds => expiry(integer(value)?),
            ArgumentRule::Priority => match not_negative(value)? {
                0..=255 => Ok(()),
                number => Err(format!("{{max_value_exceeded,{number}}}")),
            },
            ArgumentRule::Positive => match not_negative(value)? {
                0 => Err("{value_zero,0}".to_owned()),
                _ => Ok(()),
            },
            ArgumentRule::Bool => value.as_bool().map(drop).ok_or_else(|| unacceptable(value)),
            ArgumentRule::Text => text(value).map(drop),
            ArgumentRule::DeadLetterKey => match (text(value)?, arguments.find(DEAD_LETTER_EXCHANGE)) {
                (_, Some(_)) => Ok(()),
                (_, None) => Err("routing_key_but_no_dlx_defined".to_owned()),
            },
            ArgumentRule::Version => match not_negative(value)? {
                2 => Ok(()),
                number => Err(format!("\"unsupported queue version '{number}'\"")),
            },
            ArgumentRule::Anything => Ok(()),
            ArgumentRule::OneOf(texts, why) => {
                let text = text(value)?;
                texts.iter().any(|known| known.as_bytes() == text).then_some(()).ok_or_else(|| why.to_owned())
            }
        }
    }
}

fn integer(value: Value<'_>) -> Result<i64, String> {
    value.as_int().ok_or_else(|| format!("\"expected integer, got {}\"", value.type_name()))
}

fn not_negative(value: Value<'_>) -> Result<i64, String> {
    match integer(value)? {
        number if number < 0 => Err(format!("{{value_negative,{number}}}")),
        number => Ok(number),
    }
}

fn expiry(number: i64) -> Result<(), String> {
    match u64::try_from(number) {
        Err(_) => Err(format!("{{value_negative,{number}}}")),
        Ok(0..=EXPIRATION_MS_MAX) => Ok(()),
        Ok(_) => Err(format!("{{value_too_large,{number}}}")),
    }
}

fn text(value: Value<'_>) -> Result<&[u8], String> {
    value.as_text().ok_or_else(|| unacceptable(value))
}

/// RabbitMQ's reason against a value of this type.
pub fn unacceptable(value: Value<'_>) -> String {
    format!("{{unacceptable_type,{}}}", value.type_name())
}
